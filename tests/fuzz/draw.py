"""Draws one net: layer after layer, each computed by its oracle as soon as it is drawn.

So a layer's parameters can be drawn to suit the shapes and the values that its bottoms really have, and the
expected blobs are known when the net is complete. Nothing here asks netcompile what is legal: the rules are
those of Caffe's source, written down once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.message import Message
from tests.fuzz.memory import shares
from tests.fuzz.oracles import oracle

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
ELEMENTS = 1500  # no blob is larger: the oracles are loops
LARGE = 1e6  # no value is larger
PRECISE = 2e-13  # errors that a blob may carry, as a part of its largest value
DYADIC = (0.5, 1.0, 2.0, -1.0, 0.25, -0.5, 0.0, 1.5, -2.0, 0.75, 3.0, -0.25)


class Unsuitable(Exception):
    """The drawn layer does not work out (too large, too imprecise): another one is drawn."""


@dataclass
class Blob:
    """A blob as it stands: the value of its last writer. `error` bounds what rounding may have done to it."""

    name: str
    value: Array
    error: float = 0.0
    consumed: bool = False
    passed: bool = False  # to a layer that makes something
    usable: bool = True  # fit to be a bottom
    dynamic: bool = False  # how large it is depends on values
    memory: list[str] = field(default_factory=list)  # the blobs that are one piece of memory in Caffe, if several

    @property
    def shape(self) -> Shape:
        return tuple(self.value.shape)


@dataclass
class Layer:
    """A layer to add: what a draw function makes."""

    type: str
    bottoms: Sequence[Blob]
    params: str = ""
    tops: int = 1
    blobs: Sequence[Array] = ()
    in_place: bool = False  # it may work in place
    exact: bool = False  # it computes without rounding
    linear: bool = False  # it is known to be well conditioned: no need to measure
    fixed: tuple[int, ...] = ()  # bottoms that hold indices or labels
    auto_top: bool = False  # a top need not be named
    odd: bool = False  # NaN and -FLT_MAX are what it may give
    dynamic: bool = False
    learned: bool = True  # its blobs have learning rates


@dataclass
class Drawn:
    """A complete net: text, what goes in, and what must come out."""

    text: str = ""
    train: bool = False
    inputs: dict[str, Array] = field(default_factory=dict)
    blobs: dict[str, list[Array]] = field(default_factory=dict)  # by layer
    expected: dict[str, Array] = field(default_factory=dict)  # final values
    tops: dict[str, list[Shape]] = field(default_factory=dict)  # by layer
    outputs: tuple[str, ...] = ()
    dynamic: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()
    extra: int = 0  # drawn bits that choose among the costly checks

    def __repr__(self) -> str:
        inputs = "".join(f"# input {name}: {a.tolist()}\n" for name, a in self.inputs.items() if a.size < 40)
        return f"phase {'TRAIN' if self.train else 'TEST'}\n{self.text}{inputs}"


@cache
def _integers(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most)


WORDS = (
    "",
    "conv1/3x3",
    "for",
    "x",
    "self",
    "a b",
    "größe",
    "1st",
    "torch",
    "x.y",
    "res-2",
    "F",
    "'",
    "y",
    "inception_3a/a_name_that_fills_lines",
)


class Gen:
    """What draw functions use: random choices, bottoms, arrays."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], train: bool) -> None:
        self._draw = draw
        self.net = Drawn(train=train)
        self.live: dict[str, Blob] = {}
        self.layers: list[str] = []
        self.shared: list[tuple[str, Array]] = []
        self.pending: list[str] = []  # inputs that the layer being drawn has made
        self.count = 0

    # choices ---------------------------------------------------------------------------------------------------

    def int(self, least: int, most: int) -> int:
        return int(self._draw(_integers(least, max(least, most))))

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.int(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.int(0, 99) >= 100 - percent

    def dyadic(self) -> float:
        return float(self.choice(DYADIC))

    def positive(self) -> float:
        return float(self.choice((0.5, 1.0, 2.0, 0.25, 1.5, 0.125, 3.0)))

    def axis(self, axis: int, rank: int) -> int:
        """The axis as it is or counted from the end."""
        return axis - rank if self.chance(30) else axis

    def opt(self, name: str, value: Any, default: Any) -> str:
        """A field; one that has its default value may be left out."""
        return "" if value == default and not self.chance(25) else field_text(name, value)

    # arrays ----------------------------------------------------------------------------------------------------

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.int(0, 2**20))

    def array(self, shape: Shape, kind: str = "") -> Array:
        """Multiples of 1/64, which float32 holds; or small integers, among which are equals."""
        rng = self.rng()
        kind = kind or self.choice(("normal", "normal", "normal", "small"))
        if kind == "small":
            return rng.integers(-2, 3, size=shape).astype(float)
        if kind == "positive":
            return rng.integers(8, 160, size=shape) / 64
        return np.clip(np.round(rng.normal(size=shape) * 64), -255, 255) / 64

    def integers(self, shape: Shape, low: int, high: int) -> Array:
        """Integers from low up to high, exclusive."""
        return self.rng().integers(low, high, size=shape).astype(float)

    # blobs -----------------------------------------------------------------------------------------------------

    def name(self) -> str:
        self.count += 1
        word = self.choice(WORDS) if self.chance(40) else ""
        return f"{word or 'b'}{self.count}"

    def input(self, value: Array) -> Blob:
        """A new input of the net."""
        if value.size > ELEMENTS:
            raise Unsuitable
        blob = Blob(self.name(), np.asarray(value, float))
        self.live[blob.name] = blob
        self.net.inputs[blob.name] = blob.value
        self.pending.append(blob.name)
        return blob

    def usable(self, fits: Callable[[Blob], bool]) -> list[Blob]:
        return [b for b in reversed(self.live.values()) if b.usable and fits(b)]

    def bottom(self, fits: Callable[[Blob], bool], fresh: Callable[[], Array]) -> Blob:
        """A blob of the net that fits, or a new input."""
        known = self.usable(fits)
        if known and not self.chance(12):
            return known[0 if self.chance(40) else self.int(0, len(known) - 1)]  # chains, and fan-out
        return self.input(fresh())

    def any(self, least: int = 1, most: int = 5) -> Blob:
        """A blob of some rank."""
        return self.bottom(lambda b: least <= len(b.shape) <= most, lambda: self.array(self.shape(least, most)))

    def plane(self) -> Blob:
        return self.bottom(lambda b: len(b.shape) == 4, lambda: self.array(self.shape(4, 4)))

    def like(self, other: Blob) -> Blob:
        """One of the same shape; perhaps the same one."""
        return self.bottom(lambda b: b.shape == other.shape, lambda: self.array(other.shape))

    def shape(self, least: int = 1, most: int = 5) -> Shape:
        rank = self.choice([r for r in (4, 4, 4, 2, 3, 1, 5) if least <= r <= most])
        most_ = {4: 7, 5: 4}.get(rank, 6)
        sizes = [self.int(1, 2 if i == 0 and rank > 2 else 5 if i == 1 else most_) for i in range(rank)]
        if rank > 2 and self.chance(25):
            sizes[-1] = sizes[-2] = self.int(1, 9)
        return tuple(sizes)

    # the net ---------------------------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Compute the layer and write it down. Raises Unsuitable."""
        name = f"{self.choice(WORDS) if self.chance(25) else ''}L{self.count}"
        self.count += 1
        blobs, params = self._params(layer)
        tops, places = self._tops(layer)
        rules = self._rules()
        weight = f"loss_weight: {self.positive()!r} " * bool(layer.auto_top and self.chance(20) and len(tops) == 1)
        head = f'layer {{ name: "{name}" type: "{layer.type}" '
        wires = "".join(f'bottom: "{b.name}" ' for b in layer.bottoms)
        wires += "".join(f'top: "{top}" ' for top in tops)
        text = f"{head}{wires}{params}{weight}{rules}{layer.params} }}"
        message = load_net(Source(text)).net.all("layer")[0]
        results, error = self._compute(layer, message, blobs)
        self._inputs_text()
        self.layers.append(text)
        if blobs:
            self.net.blobs[name] = blobs
        self.net.tops[name] = [tuple(r.shape) for r in results]
        self.net.types += (layer.type,)
        for blob in layer.bottoms:
            blob.consumed, blob.passed = True, blob.passed or bool(results)
        if layer.auto_top and not tops:  # Caffe's name for it; no output, and of several the last stays
            self.live.pop("(automatic)", None)
            self.live["(automatic)"] = Blob("(automatic)", results[0], error, consumed=True, usable=False)
        for top, place, value in zip(tops, places, results, strict=False):
            fine = bool(np.isfinite(value).all()) and np.abs(value).max(initial=0) <= LARGE and value.size > 0
            made = Blob(top, value, error, usable=fine and not layer.dynamic, dynamic=layer.dynamic)
            if place is not None:
                del self.live[top]
                self._change(made, place.memory)
            elif shares(layer.type, len(layer.bottoms), layer.tops, message):
                made.memory = layer.bottoms[0].memory
                made.memory += [top] if made.memory else [layer.bottoms[0].name, top]
            self.live[top] = made

    def _change(self, made: Blob, memory: list[str]) -> None:
        """A layer in place has made `made`: the other blobs of its memory hold the same."""
        made.memory = memory
        for name in memory:
            if name != made.name:
                old = self.live[name]
                value = made.value.reshape(old.shape)
                self.live[name] = replace(old, value=value, error=made.error, usable=old.usable and made.usable)

    def _params(self, layer: Layer) -> tuple[list[Array], str]:
        """The layer's blobs, of which some may be shared, and its param specs."""
        blobs = [np.asarray(b, float) for b in layer.blobs]
        if not blobs or not self.chance(25 if layer.learned else 8):
            return blobs, ""
        texts = []
        rate = f"lr_mult: {self.choice((1, 2, 0)) if layer.learned else 0} "
        for index in range(self.int(1, len(blobs))):
            text = rate if not layer.learned or self.chance(50) else ""
            same = [s for s in self.shared if s[1].shape == blobs[index].shape]
            alike = [s for s in self.shared if s[1].size == blobs[index].size]
            if layer.learned and not text and alike and self.chance(60):
                shared, value = self.choice(same or alike)
                if value.shape != blobs[index].shape or self.chance(30):
                    text += "share_mode: PERMISSIVE "
                text += f'name: "{shared}" '
                blobs[index] = value.reshape(blobs[index].shape)
            elif layer.learned and not text and self.chance(60):
                shared = f"p{len(self.shared)}"
                self.shared.append((shared, blobs[index]))
                text += f'name: "{shared}" '
            texts.append(f"param {{ {text}}} ")
        return blobs, "".join(texts)

    def _tops(self, layer: Layer) -> tuple[list[str], list[Blob | None]]:
        if layer.auto_top and layer.tops == 1 and self.chance(15):
            return [], []
        first = layer.bottoms[0] if layer.bottoms else None
        alone = sum(b is first for b in layer.bottoms) == 1
        if layer.in_place and first is not None and not first.consumed and alone and self.chance(35):
            return [first.name], [first]
        return [self.name() for _ in range(layer.tops)], [None] * layer.tops

    def _rules(self) -> str:
        phase, other = ("TRAIN", "TEST") if self.net.train else ("TEST", "TRAIN")
        if not self.chance(6):
            return ""
        return str(
            self.choice(
                (
                    f"include {{ phase: {phase} }} ",
                    f"exclude {{ phase: {other} }} ",
                    f"include {{ phase: {other} }} include {{ phase: {phase} }} ",
                    'include { not_stage: "never" } ',
                    'exclude { stage: "never" } ',
                    "include { min_level: -1 max_level: 3 } ",
                )
            )
        )

    def _inputs_text(self) -> None:
        """Input layers for what the layer being added reads first."""
        fresh, self.pending = self.pending, []
        if len(fresh) > 1 and self.chance(40):
            self.layers.append(self._input_layer(fresh))
            return
        for name in fresh:
            self.layers.append(self._input_layer([name]))

    def _input_layer(self, names: list[str]) -> str:
        shapes = [self.net.inputs[name].shape for name in names]
        if len(set(shapes)) == 1:
            shapes = shapes[:1]
        texts = "".join(
            f"shape {{ {''.join(f'dim: {d} ' for d in s)}}} "
            if self.chance(70)
            else f"shape {{ dim: [{', '.join(map(str, s))}] }} "
            for s in shapes
        )
        tops = "".join(f'top: "{name}" ' for name in names)
        self.count += 1
        return f'layer {{ name: "in{self.count}" type: "Input" {tops}input_param {{ {texts}}} }}'

    def _compute(self, layer: Layer, message: Message, blobs: list[Array]) -> tuple[list[Array], float]:
        """The tops' values, and how precise they can be. Raises Unsuitable."""
        values = [b.value for b in layer.bottoms]
        compute = oracle(layer.type)

        def run(bottoms: list[Array]) -> list[Array]:
            try:
                with np.errstate(all="ignore"):
                    found = compute(message, [b.copy() for b in bottoms], [b.copy() for b in blobs], self.net.train)
            except (ArithmeticError, ValueError) as error:
                if isinstance(error, ArithmeticError) or "math domain error" in str(error):
                    raise Unsuitable from error
                raise
            return [np.asarray(v, float) for v in found]

        if any(layer.bottoms[i].error for i in layer.fixed):
            raise Unsuitable  # rounding could change an index
        results = run(values)
        for value in results:
            ordinary = np.isfinite(value).all() and np.abs(value).max(initial=0) <= LARGE
            if value.size > ELEMENTS or not (ordinary or layer.odd):
                raise Unsuitable
        error = max((b.error for b in layer.bottoms), default=0.0)
        if layer.exact and not error:
            return results, 0.0
        error += 1e-16
        if layer.linear:
            error *= 8
        else:
            error *= self._amplification(layer, values, results, run)
        if error > PRECISE:
            raise Unsuitable
        return results, error

    def _amplification(
        self, layer: Layer, values: list[Array], results: list[Array], run: Callable[[list[Array]], list[Array]]
    ) -> float:
        """How much larger, as parts of the largest value, errors are behind the layer than before it."""
        step, worst = 1e-9, 1.0
        rng = np.random.default_rng(1)
        moves = [rng.uniform(-1, 1, v.shape) * step * np.abs(v).max(initial=0) for v in values]
        for sign in (1, -1):
            moved = [
                v if i in layer.fixed else v + sign * m for i, (v, m) in enumerate(zip(values, moves, strict=True))
            ]
            for one, two in zip(results, run(moved), strict=True):
                if one.shape != two.shape or not (np.isfinite(one) == np.isfinite(two)).all():
                    raise Unsuitable
                ordinary = np.isfinite(one) & (np.abs(one) <= LARGE)
                if not one.size or not ordinary.any():
                    continue
                change = np.abs(one[ordinary] - two[ordinary]).max()
                worst = max(worst, float(change / max(np.abs(one[ordinary]).max(), 1e-3) / step))
        return worst

    def snapshot(self) -> tuple[Any, ...]:
        return dict(self.live), dict(self.net.inputs), len(self.shared), list(self.pending)

    def restore(self, before: tuple[Any, ...]) -> None:
        """Forget what an unsuitable layer left behind."""
        self.live, self.net.inputs, shared, self.pending = before
        del self.shared[shared:]

    def outputs(self) -> tuple[str, ...]:
        """The blobs that no layer takes; or else a loss without a top, or what only layers without tops take."""
        made = [b for b in self.live.values() if b.value is not self.net.inputs.get(b.name)]
        ends = [b for b in self.live.values() if not b.consumed] or [b for b in made if b.name == "(automatic)"]
        return tuple(b.name for b in ends or [b for b in made if not b.passed])

    def finish(self) -> Drawn:
        net = self.net
        self._inputs_text()
        net.text = "\n".join(([f'name: "{self.choice(WORDS)}"'] if self.chance(30) else []) + self.layers) + "\n"
        net.expected = {b.name: b.value for b in self.live.values()}
        net.outputs = self.outputs()
        net.dynamic = frozenset(b.name for b in self.live.values() if b.dynamic)
        net.extra = self.int(0, 63)
        return net


def field_text(name: str, value: Any) -> str:
    """``name: value`` in prototxt; a list gives the field several times."""
    if isinstance(value, list | tuple):
        return "".join(field_text(name, v) for v in value)
    if isinstance(value, bool):
        value = str(value).lower()
    return f"{name}: {value!r} " if isinstance(value, float) else f"{name}: {value} "


def section(name: str, *fields: str) -> str:
    """A parameter message, left out if it is empty."""
    inner = "".join(fields)
    return f"{name} {{ {inner}}}" if inner else ""
