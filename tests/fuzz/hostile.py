"""Nets that nobody would write: layers of every registered type with whatever their parameter messages allow.

A layer's fields are drawn from the schema, so a new type and a new field are found without a rule for them. Numbers
are mostly small and harmless, so that nets get past the first check, and now and then absurd. A net follows from its
number: hypothesis prefers extremes, and a net of extremes is refused at once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, build
from netcompile.layers.base import Arity, Layer
from netcompile.layers.registry import load
from netcompile.prototxt.load import load_net
from netcompile.prototxt.schema import FieldType, enum_type, message_type
from tests.fuzz import commands
from tests.fuzz.agree import agree
from tests.fuzz.draw import WORDS

SMALL = (1, 2, 3, 4, 1, 2, 3, 0, 5, 7, 8, 6)
ABSURD = (-1, -2, 17, 255, 1000, 65536, 10**6, 2**31 - 1, -(2**31), 2**32 - 1, 2**31, 2**63 - 1, -(2**63), 2**70)
REALS = ("1", "0.5", "2", "0.25", "0.1", "0", "-1", "-0.5")
ABSURD_REALS = ("1e10", "1e-10", "1e38", "1e39", "inf", "-inf", "nan", "-0.0", "1e-46", "3.4028235e38")
WORDS_OF_FIELDS = (
    "constant",
    "xavier",
    "bilinear",
    "gaussian",
    "",
    "x",
    "a.b",
    "größe",
    "\\\\",
    "{",
    "msra",
    "0",
    "1x2",
)
EXTENTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 21, 33, 1, 2, 4)
ABSURD_EXTENTS = (0, -1, 255, 1000, 4096, 65536, 10**6, 2**31 - 1, 2**31, 2**40)
ATTEMPTS = 16
ALONE = Options(with_loss=True)
RANKS = (4, 4, 4, 4, 4, 2, 3, 5, 1, 0, 6, 2, 3)
UNKNOWN = ("NoSuchLayer", "Convolutoin", "relu", "Proposal", "MATMUL", "Yolo V3", "")
PARAM = re.compile(r"\b(\w+_param)\b")
SECTION = re.compile(r"\b\w+ \{[^{}]*\} ?")
FIELD = re.compile(r'\b(?!name|type)\w+: (?:"[^"]*"|[^\s{}"]+) ')
COMMONS = (
    "propagate_down: true ",
    "loss_weight: 1 ",
    "loss_weight: -1 loss_weight: 2 ",
    "phase: TRAIN ",
    "phase: TEST ",
    "include { phase: TRAIN } ",
    "include { min_level: 1 } ",
    'param { lr_mult: 0 name: "w" } param { } param { } ',
    'param { name: "w" share_mode: PERMISSIVE } ',
    "blobs { shape { dim: 1 } data: 1 } ",
    "no_such_field: 1 ",
    "no_such_param { a: 1 } ",
    "transform_param { crop_size: 3 } ",
    "loss_param { ignore_label: 255 } ",
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """A text, and the options of the commands that read it."""

    text: str
    options: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    extra: int = 0

    def __repr__(self) -> str:
        return f"options {' '.join(self.options)}\n{self.text}"


class Wild(AssertionError):
    """What a command did with a hostile net."""

    def __init__(self, net: Any, what: str) -> None:
        super().__init__(f"{what}\n{net!r}")
        self.net, self.what = net, what


@cache
def types() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """BVLC Caffe's types, and its forks'."""
    known = {name: c for name, c in load().items() if c.__module__.startswith("netcompile.")}
    return tuple(n for n, c in known.items() if not c.fork), tuple(n for n, c in known.items() if c.fork)


@cache
def params_of(cls: type[Layer]) -> tuple[str, ...]:
    """The parameter messages that a class or one of its bases reads."""
    known = message_type("LayerParameter").fields
    found: dict[str, None] = {}
    for base in cls.__mro__[:-1]:
        if base.__module__.startswith("netcompile.layers."):
            found.update(dict.fromkeys(PARAM.findall(inspect.getsource(base))))
    module = inspect.getmodule(cls)
    if not found and module is not None:  # functions of the module read them
        found.update(dict.fromkeys(PARAM.findall(inspect.getsource(module))))
    return tuple(name for name in found if name in known and known[name].message)


def accepted(text: str, train: bool, loss: bool) -> bool:
    """Whether netcompile makes something of the net; also where it fails, for that is what is looked for."""
    try:
        found = analyse(Source(text, commands.NET), Options(train=train, with_loss=loss, allow_unknown=True))
    except NetError:
        return False
    except Exception:
        return True
    return not found.problems


class Writer:
    """Draws the text of one hostile net."""

    def __init__(self, number: int, only: tuple[str, ...]) -> None:
        self._random = Random(number)
        self.only = only
        self.shapes: list[list[int]] = []
        self.train, self.loss = self.chance(20), self.chance(70)
        self.absurd = self.int(0, 3)  # none in a quarter of the nets, then more and more
        self.known: list[str] = []
        self.types: list[str] = []
        self.count = 0

    def int(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def choice(self, options: Any) -> Any:
        return options[self.int(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.int(0, 99) >= 100 - percent

    def sane(self) -> bool:
        return not self.chance(2 * self.absurd)

    def net(self) -> str:
        """Layers that are accepted, and at the end perhaps one that is not: mistakes would hide one another."""
        text = "".join(self.input() for _ in range(self.int(1, 3)))
        mistaken = self.chance(35)
        for _ in range(self.int(1, 4)):
            name, cls = self.type()
            for attempt in range(ATTEMPTS):
                known = list(self.known)
                line = self.layer(name, cls)
                if attempt == ATTEMPTS - 1 and mistaken:
                    return text + line
                if accepted(text + line, self.train, self.loss):
                    text += line
                    self.types.append(name)
                    break
                self.known = known
        return text

    def shape(self) -> list[int]:
        return [
            int(self.choice(EXTENTS if self.sane() or self.sane() else ABSURD_EXTENTS))
            for _ in range(self.choice(RANKS))
        ]

    def input(self) -> str:
        self.count += 1
        shape = self.choice(self.shapes) if self.known and self.chance(50) else self.shape()
        self.shapes.append(shape)
        name = f"x{self.count}"
        self.known.append(name)
        dims = "".join(f"dim: {d} " for d in shape)
        return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims}}} }} }}\n'

    def type(self) -> tuple[str, type[Layer] | None]:
        own, forks = types()
        name = str(self.choice(self.only or self.choice((own, forks, forks))))
        if self.chance(4):
            return str(self.choice(UNKNOWN)), None
        return name, load()[name]

    def layer(self, name: str, cls: type[Layer] | None) -> str:
        self.count += 1
        self.likely = int(self.choice((10, 25, 50, 70)))
        bottoms, tops = self.wires(cls)
        wires = "".join(f'bottom: "{b}" ' for b in bottoms) + "".join(f'top: "{t}" ' for t in tops)
        params = "".join(self.param(p) for p in (params_of(cls) if cls else ("convolution_param",)))
        common = str(self.choice(COMMONS)) if not self.sane() and self.chance(50) else ""
        self.known += [top for top in tops if top not in self.known]
        word = self.choice(WORDS) if self.chance(10) else ""
        return f'layer {{ name: "{word}L{self.count}" type: "{name}" {wires}{common}{params}}}\n'

    def wires(self, cls: type[Layer] | None) -> tuple[list[str], list[str]]:
        """Mostly as many as the type takes."""
        arity = cls.arity if cls else Arity((0, 3), (0, 3))
        counts = []
        for bound in (arity.bottoms, arity.tops):
            least, most = Arity.range(bound)
            count = self.int(least, min(least + 3, least + 3 if most is None else most))
            counts.append(count if self.sane() else self.int(0, 4))
        if arity.equal:
            counts[1] = counts[0]
        last = self.known[-1:] if self.chance(40) else self.known
        bottoms = [str(self.choice(last)) if self.sane() else "nowhere" for _ in range(counts[0])]
        tops = [f"b{self.count}_{i}" for i in range(counts[1])]
        if bottoms and tops and self.chance(12):
            tops[0] = bottoms[0]
        return bottoms, tops

    def param(self, name: str) -> str:
        """A parameter message: left out at times, empty at times."""
        if self.chance(15):
            return ""
        message = message_type("LayerParameter").fields[name].message
        assert message is not None
        return f"{name} {{ {self.fields(message)}}} "

    def fields(self, message: str, depth: int = 0) -> str:
        found = message_type(message).fields.values()
        return "".join(self.field(f, depth) for f in found if f.required or self.chance(self.likely))

    def field(self, f: FieldType, depth: int) -> str:
        times = self.choice((1, 1, 2, 3)) if f.repeated or not (self.sane() or self.sane()) else 1
        return "".join(self.value(f, depth) for _ in range(times))

    def value(self, f: FieldType, depth: int) -> str:
        if f.message is not None:
            return "" if depth > 2 else f"{f.name} {{ {self.fields(f.message, depth + 1)}}} "
        if f.enum is not None:
            text = (
                str(self.choice(tuple(enum_type(f.enum).numbers))) if self.sane() else self.choice(("17", "NO", "-1"))
            )
        elif f.type == "bool":
            text = self.choice(("true", "false"))
        elif f.type in ("string", "bytes"):
            text = f'"{self.choice(WORDS_OF_FIELDS)}"'
        elif f.type in ("float", "double"):
            text = self.choice(REALS if self.sane() else ABSURD_REALS)
        else:
            text = str(self.choice(SMALL if self.sane() else ABSURD))
        return f"{f.name}: {text} "


@cache
def hostile(number: int, only: tuple[str, ...] = ()) -> Hostile:
    """The hostile net of this number, with the options that it is read with."""
    writer = Writer(number, only)
    text = writer.net()
    options = ["--with-loss"] if writer.loss else []
    options += ["--phase", "train"] if writer.train else []
    options += ["--allow-unknown"] if writer.chance(85) else []
    options += ["--crop-offsets", writer.choice(("declared", "inferred"))] if writer.chance(10) else []
    return Hostile(text, tuple(options), tuple(writer.types), writer.int(0, 63))


def alone(number: int, name: str) -> Layer | None:
    """One layer of a type with drawn parameters, harmless bottoms and as many of them as it takes; None if refused."""
    writer, cls = Writer(number, ()), load()[name]
    writer.absurd, writer.likely = 0, int(writer.choice((10, 25, 50, 70)))
    bottoms, tops = (Arity.range(bound)[0] for bound in (cls.arity.bottoms, cls.arity.tops))
    names = [f"x{i}" for i in range(bottoms)]
    text = "".join(
        f'layer {{ type: "Input" top: "{x}" input_param {{ shape {{ dim: [1, 4, 4, 4] }} }} }}\n' for x in names
    )
    wires = "".join(f'bottom: "{x}" ' for x in names) + "".join(f'top: "y{i}" ' for i in range(tops))
    params = "".join(writer.param(p) for p in params_of(cls))
    try:
        built = build(load_net(Source(f'{text}layer {{ name: "l" type: "{name}" {wires}{params}}}')).net, ALONE)
    except NetError:
        return None
    return next((node.layer for node in built.graph.nodes if node.name == "l"), None)


def check(net: Hostile, every: bool = True) -> None:
    """All commands, or a few of them in turn; then a run, if the net is accepted. Raises Wild."""
    chosen: Sequence[Sequence[str]] = commands.EVERY
    if not every:
        reports, builds = commands.REPORTS, commands.BUILDS
        chosen = (("check",), reports[net.extra % len(reports)], builds[net.extra % len(builds)])
    try:
        commands.examine(net.text, net.options, chosen)
        options = Options(train="train" in net.options, with_loss="--with-loss" in net.options)
        try:
            analysed = analyse(Source(net.text, commands.NET), options).require()
            agree(analysed, {}, net.extra)
        except NetError:
            return
    except AssertionError as error:
        raise Wild(net, str(error)) from error
    except Exception as error:
        raise Wild(net, f"{type(error).__name__}: {error}") from error


def kind(error: AssertionError) -> str:
    """What is alike in the same failure of two nets."""
    what = str(getattr(error, "what", error)).strip()
    return re.sub(r"'[^']*'|\S*/\S*|-?\d[\d.e+-]*", "…", what)[:90]


def smaller(net: Hostile, fails: Callable[[Hostile], bool]) -> Hostile:
    """A net that still fails and from which no layer, section, field or option can be left out."""
    done = False
    while not done:
        done = True
        for text in _without(net.text):
            if fails(replace(net, text=text)):
                net, done = replace(net, text=text), False
                break
    for option in ("--with-loss", "--allow-unknown"):
        fewer = replace(net, options=tuple(o for o in net.options if o != option))
        if fails(fewer):
            net = fewer
    return net


def _without(text: str) -> Iterator[str]:
    """The text without one line; without one section or field of a line."""
    lines = text.splitlines(keepends=True)
    for i in range(len(lines)):
        yield "".join(lines[:i] + lines[i + 1 :])
    for pattern in (SECTION, FIELD):
        for match in pattern.finditer(text):
            yield text[: match.start()] + text[match.end() :]
