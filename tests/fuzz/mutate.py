"""Nets with mistakes: a valid net, then a few of its numbers, words and wires changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from netcompile.ir.build import Options
from netcompile.pipeline import analyse, compile_net
from netcompile.prototxt.diagnostic import NetError
from netcompile.prototxt.source import Source
from tests.fuzz.draw import Array
from tests.fuzz.nets import nets
from tests.layers.harness import draw_blobs, module_of

NUMBERS = ("0", "-1", "1", "2", "3", "-2", "5", "7", "17", "-5", "255", "1000000", "2147483647", "-2147483648")
FLOATS = ("0", "-1", "0.5", "-0.5", "1e10", "1e-10", "inf", "nan", "-0.0")
NUMBER = re.compile(r"(?<=: )-?\d+(?:\.\d+)?(?:e-?\d+)?(?=[ ,\]}])")
WIRE = re.compile(r'(bottom|top): "((?:[^"\\]|\\.)*)" ')
FIELD = re.compile(r"\b\w+: (?:-?[\d.e-]+|true|false|[A-Z_0-9]+) ")
ENUM = re.compile(r"(?<=: )(?:true|false|[A-Z][A-Z_0-9]+)(?= )")
SECTION = re.compile(r"\b\w+_param \{[^{}]*\}")
KINDS = ("number",) * 8 + ("field", "field", "word", "word", "float", "section", "wire", "wire", "drop wire", "again")
OUTSIDE = re.compile(r"index -?\d+ is out of bounds|index out of range in self")
LARGE_STRIDE = re.compile(r"stride(?:_h|_w)?: \d{7}")
BOUND = 200_000  # elements that a net may have to be run


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
    import torch

    options = Options(train=net.train, with_loss=True)
    analysed = analyse(Source(net.text, "net.prototxt"), options).require()
    assert analysed.reports is not None
    assert analysed.valid
    modules = [compile_net(analysed, level, list(analysed.graph.blobs)) for level in (0, 1)]
    sizes = [int(np.prod(shape, dtype=float)) for shape in analysed.shapes.values()]
    specs = [s.shape for n in analysed.graph.nodes for s in n.layer.blobs(*(analysed.shapes[b] for b in n.bottoms))]
    if max(sizes, default=0) > BOUND or sum(float(np.prod(s, dtype=float)) for s in specs) > BOUND:
        return
    blobs = draw_blobs(analysed)
    feed = []
    for value in modules[0].inputs:
        shape = analysed.shapes[value]
        array = net.inputs.get(value.blob)
        # Another shape than drawn: zeros and ones, which are labels and indices as well.
        feed.append(
            array
            if array is not None and array.shape == shape
            else np.indices(shape).sum(0) % 2
            if shape
            else np.array(1)
        )
    for level, module in enumerate(modules):
        made = module_of(analysed, module, blobs)
        try:
            with torch.no_grad():
                result = made(*(torch.from_numpy(np.array(a, np.float64)) for a in feed))
        except Exception as error:
            if OUTSIDE.search(str(error)):
                return  # a label or an index that the changed net has no place for
            if LARGE_STRIDE.search(net.text) and "allocate memory" in str(error):
                return  # pooling pads its plane by a stride, which here is beyond all reason
            raise Crash(net, f"accepted, but -O{level} fails: {type(error).__name__}: {error}") from error
        tensors = result if isinstance(result, dict) else {module.outputs[0]: result}
        for name, tensor in tensors.items():
            wanted = analysed.shapes[analysed.graph.blobs[name]]
            if tuple(tensor.shape) != wanted and "Filter" not in net.types:
                raise Crash(net, f"-O{level}: blob '{name}' is {tuple(tensor.shape)}, inferred {wanted}")
