"""What is proved of a crop for all input sizes at once: how much it leaves over, and what the smallest input gives.

A crop along an axis takes ``reference`` pixels from ``offset`` on. It leaves ``offset`` pixels before its window and
``cropped - reference - offset`` behind, both exact functions of the input's extent n. So "legal for every n", the
least and the greatest slack are read off one period and hold for all n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import sub

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size, crop_slack
from netcompile.analysis import follow
from netcompile.analysis.crops import CropReport
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes, infer
from netcompile.analysis.symbolic import Symbolic
from netcompile.ir.graph import Graph, Node
from netcompile.layers.base import Dim, Layer


@dataclass(frozen=True, slots=True)
class Smallest:
    """The crop at the smallest legal input extent: ``cropped = before + reference + after``."""

    n: int
    cropped: int
    reference: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Slack:
    """What a crop leaves over along height (axis 0) or width (1).

    `least` and `greatest` bound `after` over every n for which both blobs exist; None: it has no bound there, or
    none that can be written down.
    """

    axis: int
    cropped: Size
    reference: Size
    before: int
    after: Size
    least: int | None
    greatest: int | None
    smallest: Smallest | None

    @property
    def needless(self) -> bool:
        """Whether the crop cuts nothing here, for any input."""
        return self.before == 0 and self.after.as_int() == 0


def slacks(report: CropReport, sym: Symbolic, valid: tuple[NSet, NSet] | None) -> tuple[Slack | None, Slack | None]:
    """Height's and width's; None for an axis that is not cropped, or whose extents no `Size` can say.

    `valid` are the extents that are legal for the whole net.
    """
    shapes = [sym.shapes.get(bottom) for bottom in report.node.bottoms]
    if report.used is None or any(shape is None or len(shape) != 4 for shape in shapes):
        return None, None
    cropped, reference = (shape for shape in shapes if shape is not None)
    found: list[Slack | None] = [None, None]
    for axis in (0, 1):
        position = axis + 2 - report.axis
        if position >= 0:
            legal = None if valid is None else valid[axis]
            found[axis] = _slack(axis, cropped[axis + 2], reference[axis + 2], report.used[position], legal)
    return found[0], found[1]


def _slack(axis: int, cropped: Dim, reference: Dim, offset: int, legal: NSet | None) -> Slack | None:
    a, b = follow.size(cropped), follow.size(reference)
    if a is None or b is None or follow.variable(a, b) not in ("", "HW"[axis]):
        return None
    after = follow.follow(lambda: crop_slack(a, b, offset))
    if isinstance(after, Unfollowed):
        return None
    bounds: list[int | None] = []
    for find in (after.minimum, after.maximum):
        bound = follow.follow(find)
        bounds.append(None if isinstance(bound, Unfollowed) else bound)
    return Slack(axis, a, b, offset, after, bounds[0], bounds[1], _smallest(a, b, offset, legal))


def _smallest(cropped: Size, reference: Size, offset: int, legal: NSet | None) -> Smallest | None:
    n = None if legal is None else legal.first()
    if n is None:
        return None
    a, b = cropped.at(n), reference.at(n)
    if a is None or b is None:
        return None
    return Smallest(n, a, b, offset, a - b - offset)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An input extent that is not legal, and what refuses it: the layer, and its words."""

    axis: int
    n: int
    layer: str
    line: int
    what: str


def refusals(graph: Graph, known: Shapes, sym: Symbolic, valid: tuple[NSet, NSet] | None) -> tuple[Refusal, ...]:
    """Per axis: the greatest extent below the smallest legal one, and the least illegal one above it."""
    if valid is None:
        return ()
    found = []
    for axis in (0, 1):
        first = valid[axis].first()
        if first is None:
            continue
        wanted = [first - 1] if first > 1 else []
        others = follow.follow(partial(sub, NSet.between(first), valid[axis]))
        wanted += () if isinstance(others, Unfollowed) else others.members(1)
        found += [refusal for n in wanted if (refusal := _refusal(graph, known, sym, axis, n)) is not None]
    return tuple(found)


def _refusal(graph: Graph, known: Shapes, sym: Symbolic, axis: int, n: int) -> Refusal | None:
    shapes, problems = infer(resized(graph, sym, {axis: n}))
    for problem in problems:
        for node in graph.nodes:
            span = node.message.span
            if problem.span is not None and span.start <= problem.span.start < span.end:
                what = problem.what.removeprefix(f"layer '{node.name}': ")
                return Refusal(axis, n, node.name, node.line, what)
    for value, node in sym.pins:
        if shapes.get(value) != known.get(value):
            return Refusal(axis, n, node.name, node.line, "its weights are made for the declared size")
    return None


def resized(graph: Graph, sym: Symbolic, extents: dict[int, int]) -> Graph:
    """The graph with other heights (axis 0) or widths (1) of the inputs that vary with H and W."""
    shapes = {entry.value: entry.shape for entry in graph.inputs if entry.value in sym.spatial}
    return graph.with_inputs(
        {value: (*shape[:2], extents.get(0, shape[2]), extents.get(1, shape[3])) for value, shape in shapes.items()}
    )


@dataclass(frozen=True, slots=True)
class Tie:
    """A layer that ties the net to the sizes it is declared for: by the shape of its weights, or because it gives
    its bottom's elements a fixed shape."""

    node: Node
    by_weights: bool


def ties(sym: Symbolic) -> tuple[Tie, ...]:
    """Every such layer once, in file order."""
    found: dict[int, Tie] = {}
    for _, node in sym.pins:
        found.setdefault(id(node), Tie(node, type(node.layer).blobs is not Layer.blobs))
    return tuple(found.values())
