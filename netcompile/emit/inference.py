"""What -O2 adds to the emitted class: a forward without gradients, windows of blobs, and the borders around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netcompile.emit.code import Code, Shaped
from netcompile.emit.layout import lay_out, signature
from netcompile.emit.prelude import free_names
from netcompile.ir.graph import Graph, Value
from netcompile.ir.prune import needed
from netcompile.layers.base import Dim
from netcompile.layers.source import extent, string

# Names that the methods below use.
ATTRIBUTES = frozenset(
    ["compute", "literal", "inferred", "windowed", "border", "borders", "passes", "plain", "relu", "packed"]
)
_VARIABLES = (
    "H W border layers key now before plain zeros n height width recorded only_border rows iter next min dict list"
)
VARIABLES = frozenset(_VARIABLES.split(" "))
# Functions of `netcompile/prelude` that they call.
FUNCTIONS = ("inference.eager", "inference.Kept", "workers.shared_out", "recording.replayed")
BORDER_FUNCTIONS = (
    "recording.computed_once",
    "inference.tensors_of",
    "inference.is_hooked",
    "inference.state_of",
    "inference.is_known",
    "inference.is_usable",
    "inference.window",
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
    """A graph that computes windows, with its shapes, and its layers that put them into borders.

    `padded` are the layers, by name and occurrence, whose bottoms get zeros around them before they run.
    """

    surrounds: tuple[Surrounding, ...]
    padded: tuple[tuple[str, int], ...] = ()


def bordered_values(windowed: Windowed, plain: Graph) -> dict[str, Value]:
    """Border names with the values of the plain graph that they are cut from, in the order in which they are made."""
    cut = {surround.value: surround.blob for surround in windowed.surrounds}
    return {cut[value]: value for value in plain.values() if value in cut}


def bordering(code: Code, windowed: Windowed) -> tuple[list[str], list[str]]:
    """The attributes of the plain graph's layers whose weights must be what they were, and finite, for a border.

    Those that hold modules, and those that hold tensors.
    """
    graph = code.net.graph
    values = needed(graph.nodes, bordered_values(windowed, graph).values())
    modules, tensors = list[str](), list[str]()
    for layer in code.layers:
        nodes = [graph.nodes[index] for index in layer.nodes]
        keys = [(node.name, node.occurrence) for node in nodes]
        tops = [top for node in nodes for top in node.tops]
        if values.isdisjoint(tops) and not any(key in windowed.padded for key in keys):
            continue
        for statement in layer.init:
            name, is_set, made = statement.removeprefix("self.").partition(" = ")
            name = name if is_set else code.attributes.get(keys[0], ".")
            if "." not in name and name not in tensors:  # else it is shared, and another layer's
                (tensors if made.startswith(("nn.Parameter(", "nn.Buffer(")) else modules).append(name)
    return modules, tensors


def size(code: Code, image: str = "") -> list[str]:
    """Statements for the image's height H and width W, where layers' code mentions them.

    A net without inputs has no image: what it computes has one size.
    """
    if not image:
        return []
    used = free_names("\n".join(statement for layer in code.layers for statement in layer.forward))
    return [] if used.isdisjoint(["H", "W"]) else [f"H, W = {image}.shape[2:]"]


def dispatch(arguments: Sequence[str], result: str, image: str = "", base: int = 0, alone: str = "") -> list[str]:
    """The method `forward`: where gradients are recorded, and which way a small image takes.

    `alone` is the blob that it returns where that is one; what `literal` returns has every blob by its name.
    """
    named, plain = ", ".join(arguments), "literal" if image else "compute"
    wants = " or ".join(["self.training", *(f"{a}.requires_grad" for a in arguments)])
    lines = signature("forward", ["self", *(f"{a}: Tensor" for a in arguments)], result, 4)
    every = f"return self.{plain}({named})" + (f"[{string(alone)}]" if image and alone else "")
    direct = lay_out(every, 12)
    lines += ["        # Compiled, traced or transformed it is a module as any other."]
    lines += [*lay_out(f"if not eager({named}):", 8), *direct]
    lines += ["        # Gradients are recorded in training alone, or for an input that wants one."]
    lines += lay_out(f"recorded = torch.is_grad_enabled() and ({wants})", 8)
    if image:
        lines += ["        if recorded or self.training:  # the border has a gradient too"]
        lines += [*direct, *lay_out(f"with torch.no_grad(), shared_out({image}):", 8)]
        lines += [*lay_out(f"return {_replayed('inferred', named, result)}", 12), ""]
        lines += signature("inferred", ["self", *(f"{a}: Tensor" for a in arguments)], result, 4)
        lines += lay_out(f"if min({image}.shape[2:]) < {base}:  # smaller images have no border of their own", 8)
        lines += [*direct, "        with computed_once():", f"            border = self.border({image})"]
        lines += ["        if border is None:  # weights not finite, or layers with hooks"]
        return [*lines, *direct, *lay_out(f"return self.windowed({named}, border)", 8)]
    shared = [f"shared_out({name})" for name in arguments[:1]]
    lines += lay_out(f"with {', '.join(['torch.set_grad_enabled(recorded)', *shared])}:", 8)
    return [*lines, *lay_out(f"return {_replayed('compute', named, result)}", 12)]


def _replayed(method: str, named: str, result: str) -> str:
    """A call of a method, by the calls that it made before where weights are frozen."""
    return f"replayed({', '.join(['self', f'self.{method}', *([named] if named else [])])})"


def border_method(
    windowed: Windowed, depends: tuple[Sequence[str], Sequence[str]], image: str, channels: int
) -> list[str]:
    """The method `border`, which cuts what `literal` gives for an image of zeros to the windows' surroundings.

    `depends`: the attributes with modules that it depends on, and those with tensors.
    """
    layers, tensors = depends
    state = ", ".join(["*tensors_of(*layers)", *(f"self.{name}" for name in tensors)])
    first = windowed.surrounds[0]
    base, period = first.base, first.period
    typed = "" if layers else ": list[nn.Module]"
    size = f"{base} + (n - {base}) % {period}" if base % period else f"{base} + n % {period}"
    lines = [
        "    @torch.no_grad()",
        f"    def border(self, {image}: Tensor) -> dict[str, Tensor] | None:",
        '        """What surrounds the windows, kept until the weights change.',
        "",
        "        Where nothing of the image is seen, a blob is that of an image of zeros,",
        f"        and but for its length the same for all sizes that agree modulo {period}.",
        "        None where weights are not finite, or hooks may change what layers give.",
        '        """',
        *lay_out(f"layers{typed} = [{', '.join(f'self.{layer}' for layer in layers)}]", 8),
        *lay_out(f"now = None if is_hooked(*layers) else state_of({state})", 8),
        f"        H, W = ({size} for n in {image}.shape[2:])",
        f"        key = H, W, {image}.dtype, {image}.device",
        "        border: dict[str, Tensor] | None",
        "        before, border = self.borders.get(key, (None, None))",
        "        if is_known(before, now):",
        "            return border",
        "        border = None",
        "        if is_usable(now):",
        f"            zeros = {image}.new_zeros(1, {channels}, H, W)",
        "            plain = self.literal(zeros, only_border=True)",
        "            border = {}",
    ]
    for surround in windowed.surrounds:
        key = string(surround.blob)
        place = ", ".join([*map(str, surround.start), *map(extent, surround.extent)])
        lines += lay_out(f"border[{key}] = window(plain[{key}], {place})", 12)
    lines += [f"        if len(self.borders) >= {BORDERS_KEPT}:"]
    lines += ["            self.borders.pop(next(iter(self.borders)), None)"]
    return [*lines, "        self.borders[key] = now, border", "        return border"]
