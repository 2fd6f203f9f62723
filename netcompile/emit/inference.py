"""What -O2 adds to the emitted class: a forward without gradients, windows of blobs, and the borders around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netcompile.emit.code import Code, Shaped
from netcompile.emit.layout import lay_out
from netcompile.emit.prelude import free_names
from netcompile.ir.graph import Graph, Value
from netcompile.layers.base import Dim
from netcompile.layers.source import extent, string

# Names that the methods below use.
ATTRIBUTES = frozenset(
    ["compute", "literal", "windowed", "border", "borders", "borders_from", "plain", "relu", "packed"]
)
VARIABLES = frozenset(
    [
        "H",
        "W",
        "border",
        "key",
        "weights",
        "weight",
        "state",
        "plain",
        "zeros",
        "n",
        "height",
        "width",
        "recorded",
        "only_border",
        "rows",
        "band",
        "iter",
        "next",
    ]
)

BORDERS_KEPT = 64


class Surrounding(Protocol):
    """A layer that puts a window into the midst of its border."""

    @property
    def blob(self) -> str: ...  # the border's name
    @property
    def value(self) -> Value: ...  # what the border is cut from, in the graph without windows
    @property
    def start(self) -> tuple[int, int]: ...  # where the border begins in that value
    @property
    def extent(self) -> tuple[Dim, Dim]: ...
    @property
    def base(self) -> int: ...  # the least input extent whose border serves for others
    @property
    def period(self) -> int: ...  # borders are alike for input extents that agree modulo this


@dataclass(frozen=True, slots=True)
class Windowed(Shaped):
    """A graph that computes windows, with its shapes, and its layers that put them into borders."""

    surrounds: tuple[Surrounding, ...]


def bordered_values(windowed: Windowed, plain: Graph) -> dict[str, Value]:
    """Border names with the values of the plain graph that they are cut from, in the order in which they are made."""
    cut = {surround.value: surround.blob for surround in windowed.surrounds}
    return {cut[value]: value for value in plain.values() if value in cut}


def size_and_border(code: Code, image: str = "") -> list[str]:
    """Statements for what layers' code mentions: the image's height H and width W, and the windows' borders.

    A net without inputs has no image: what it computes has one size.
    """
    if not image:
        return []
    used = free_names("\n".join(statement for layer in code.layers for statement in layer.forward))
    size = [] if used.isdisjoint(["H", "W"]) else [f"H, W = {image}.shape[2:]"]
    return [*size, *([f"border = self.border({image})"] if "border" in used else [])]


def dispatch(arguments: Sequence[str], image: str = "", base: int = 0) -> list[str]:
    """The method `forward`: where gradients are recorded, and which way a small image takes."""
    named = ", ".join(arguments)
    wants = " or ".join(["self.training", *(f"{a}.requires_grad" for a in arguments)])
    lines = lay_out(f"def forward({', '.join(['self', *arguments])}):", 4)
    lines += ["        # Gradients are recorded in training alone, or for an input that wants one."]
    lines += lay_out(f"recorded = torch.is_grad_enabled() and ({wants})", 8)
    if image:
        lines += ["        if recorded or self.training:  # the border has a gradient too"]
        lines += [f"            return self.literal({named})", "        with torch.no_grad():"]
        lines += lay_out(f"if min({image}.shape[2:]) < {base}:  # smaller images have no border of their own", 12)
        lines += [f"                return self.literal({named})"]
        return [*lines, f"            return self.windowed({named})"]
    lines += ["        with torch.set_grad_enabled(recorded):"]
    return [*lines, f"            return self.compute({named})"]


def border_method(windowed: Windowed, image: str, channels: int) -> list[str]:
    """The method `border`, which cuts what `literal` gives for an image of zeros to the windows' surroundings."""
    first = windowed.surrounds[0]
    base, period = first.base, first.period
    size = f"{base} + (n - {base}) % {period}" if base % period else f"{base} + n % {period}"
    lines = [
        "    @torch.no_grad()",
        f"    def border(self, {image}):",
        '        """What surrounds the windows, kept until the weights change.',
        "",
        "        Where nothing of the image is seen, a blob is that of an image of zeros,",
        f"        and but for its length the same for all sizes that agree modulo {period}.",
        '        """',
        "        weights = [*self.parameters(), *self.buffers()]",
        "        state = [(weight.data_ptr(), version(weight)) for weight in weights]",
        "        if self.borders_from != state:",
        "            self.borders, self.borders_from = {}, state",
        f"        H, W = ({size} for n in {image}.shape[2:])",
        f"        key = H, W, {image}.dtype, {image}.device",
        "        if key not in self.borders:",
        f"            zeros = {image}.new_zeros(1, {channels}, H, W)",
        "            plain = self.literal(zeros, only_border=True)",
        f"            if len(self.borders) >= {BORDERS_KEPT}:",
        "                self.borders.pop(next(iter(self.borders)))",
        "            border = self.borders[key] = {}",
    ]
    for surround in windowed.surrounds:
        key = string(surround.blob)
        place = ", ".join([*map(str, surround.start), *map(extent, surround.extent)])
        lines += lay_out(f"border[{key}] = window(plain[{key}], {place})", 12)
    return [*lines, "        return self.borders[key]"]
