"""Nets with mistakes: a valid net, then a few of its numbers, words and wires changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from tests.fuzz import commands
from tests.fuzz.agree import agree
from tests.fuzz.draw import Array
from tests.fuzz.nets import nets

NUMBERS = ("0", "-1", "1", "2", "3", "-2", "5", "7", "17", "-5", "255", "1000000", "2147483647", "-2147483648")
FLOATS = ("0", "-1", "0.5", "-0.5", "1e10", "1e-10", "inf", "nan", "-0.0")
NUMBER = re.compile(r"(?<=: )-?\d+(?:\.\d+)?(?:e-?\d+)?(?=[ ,\]}])")
WIRE = re.compile(r'(bottom|top): "((?:[^"\\]|\\.)*)" ')
FIELD = re.compile(r"\b\w+: (?:-?[\d.e-]+|true|false|[A-Z_0-9]+) ")
ENUM = re.compile(r"(?<=: )(?:true|false|[A-Z][A-Z_0-9]+)(?= )")
SECTION = re.compile(r"\b\w+_param \{[^{}]*\}")
TYPE = re.compile(r'type: "(\w+)"')
BOTTOM = re.compile(r'^(layer \{ name: "[^"]*" type: "\w+" )bottom: "([^"]*)" ', re.MULTILINE)
KINDS = ("number",) * 8 + ("field", "field", "word", "word", "float", "section", "wire", "wire", "drop wire", "again")
KINDS += ("type", "type", "unknown field", "turned", "turned")


class Crash(AssertionError):
    """Something else than a diagnostic."""

    def __init__(self, net: Mutant, what: str) -> None:
        super().__init__(f"{what}\n{net!r}")
        self.net, self.what = net, what


@dataclass
class Mutant:
    """A text that may be no net any more."""

    text: str
    train: bool
    types: tuple[str, ...] = ()
    inputs: dict[str, Array] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"phase {'TRAIN' if self.train else 'TEST'}\n{self.text}"


@st.composite
def mutants(draw: Callable[[st.SearchStrategy[Any]], Any], only: tuple[str, ...] = ()) -> Mutant:
    """A drawn net with one to three changes."""
    net = draw(nets(only))
    text = net.text
    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        text = _change(draw, text)
    return Mutant(text, net.train, net.types, net.inputs)


def _change(draw: Callable[[st.SearchStrategy[Any]], Any], text: str) -> str:
    kind = draw(st.sampled_from(KINDS))
    pattern = {"number": NUMBER, "float": NUMBER, "drop wire": WIRE, "wire": WIRE, "again": WIRE}.get(kind)
    pattern = pattern or {"type": TYPE, "unknown field": SECTION, "turned": BOTTOM}.get(kind)
    pattern = pattern or {"field": FIELD, "word": ENUM, "section": SECTION}[kind]
    found = list(pattern.finditer(text))
    if not found:
        return text
    at = found[draw(st.integers(0, len(found) - 1))]
    if kind == "number":
        new = draw(st.sampled_from(NUMBERS))
    elif kind == "float":
        new = draw(st.sampled_from(FLOATS))
    elif kind == "wire":
        other = found[draw(st.integers(0, len(found) - 1))]
        new = f'{at[1]}: "{other[2]}" '
    elif kind == "type":
        other = found[draw(st.integers(0, len(found) - 1))]
        new = draw(st.sampled_from((other[0], 'type: "NoSuchLayer"', 'type: ""')))
    elif kind == "unknown field":
        new = f"{at[0][:-1]}no_such_field: 1 }}"
    elif kind == "turned":  # height and width change places in front of a layer
        turn = f'layer {{ name: "turn" type: "Permute" bottom: "{at[2]}" top: "turned" '
        turn += "permute_param { order: 0 order: 1 order: 3 order: 2 } }"
        new = f'{turn}\n{at[1]}bottom: "turned" '
    elif kind == "again":
        new = at[0] * 2
    elif kind == "word":
        words = [m[0] for m in found]
        new = draw(st.sampled_from([*words, "true", "false", "MAX", "SUM", "STOCHASTIC", "VALID"]))
    elif kind == "section":
        other = found[draw(st.integers(0, len(found) - 1))]
        new = draw(st.sampled_from(("", other[0])))
    else:
        new = ""
    return text[: at.start()] + new + text[at.end() :]


def check(net: Mutant) -> None:
    """The net runs, or is refused by located diagnostics; nothing else. Raises Crash."""
    try:
        _run(net)
    except NetError as error:
        for diagnostic in error.diagnostics:
            if diagnostic.span is None:
                raise Crash(net, f"a diagnostic without a place: {diagnostic.code}: {diagnostic.what}") from error
            diagnostic.format()
    except Crash:
        raise
    except Exception as error:
        raise Crash(net, f"{type(error).__name__}: {error}") from error


def _run(net: Mutant) -> None:
    options = Options(train=net.train, with_loss=True)
    analysed = analyse(Source(net.text, "net.prototxt"), options).require()
    assert analysed.reports is not None
    assert analysed.valid
    agree(analysed, net.inputs, len(net.text))


def check_commands(net: Mutant) -> None:
    """Every command over the net. Raises Crash."""
    options = ["--with-loss", *(("--phase", "train") if net.train else ())]
    try:
        commands.examine(net.text, options)
    except commands.Misbehaved as error:
        raise Crash(net, str(error)) from error
