"""Lints about rounding: windows beyond their bottom, streams that round differently, numbers that floats lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import Shapes
from netcompile.analysis.symbolic import Symbolic, where
from netcompile.analysis.windows import windows
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.convolution import Convolution
from netcompile.layers.crop import Crop
from netcompile.layers.params import locate
from netcompile.layers.pooling import Pooling

EXACT = 1 << 24  # a float32 holds every integer up to here


def hazards(graph: Graph, shapes: Shapes, sym: Symbolic, valid: tuple[NSet, NSet] | None) -> list[Diagnostic]:
    """All of them, in no order; `valid` are the heights and widths that are legal for the net."""
    return [
        *_windows(graph, shapes, sym, valid or (NSet.all(), NSet.all())),
        *_limits(sym),
        *_probabilities(graph, graph.producers()),
        *_indices(graph, shapes),
    ]


def _windows(graph: Graph, shapes: Shapes, sym: Symbolic, valid: tuple[NSet, NSet]) -> Iterator[Diagnostic]:
    for node in graph.nodes:
        pair = windows(node, shapes) if isinstance(node.layer, Convolution | Pooling) else None
        for axis, window in enumerate(pair or ()):
            bottom, top = _extent(sym, shapes, node.bottoms[0], axis), _extent(sym, shapes, node.tops[0], axis)
            if bottom is None or top is None:
                continue
            found = None
            if isinstance(node.layer, Pooling):
                if node.layer.clip or window.stride <= window.kernel:
                    continue
                starts = follow.follow(partial(_last_start, top, window.stride))
                bad = None if isinstance(starts, Unfollowed) else _where(starts, bottom, valid[axis])
                found = None if bad is None else _empty(node, bad.describe("HW"[axis]))
            elif window.stride > 1:
                bad = _where(Size.constant(window.extent - 2 * window.pad - 1), bottom, valid[axis])
                if bad is not None and sym.declared[axis] in bad:
                    found = _cut(node, window.extent)
            if found is not None:
                yield found
                break  # once for a layer


def _last_start(windows: Size, stride: int) -> Size:
    """Where the last of so many windows begins."""
    return (windows - 1) * stride


def _extent(sym: Symbolic, shapes: Shapes, value: Value, axis: int) -> Size | None:
    shape = sym.shapes.get(value) or shapes.get(value)
    made = follow.size(shape[axis + 2]) if shape is not None and len(shape) == 4 else None
    return made if made is not None and made.name in ("", "HW"[axis]) else None


def _where(left: Size, right: Size, valid: NSet) -> NSet | None:
    """The legal extents for which left >= right; None where there are none."""
    found = follow.both(follow.follow(lambda: left.where_at_least(right)), valid)
    return None if isinstance(found, Unfollowed) or found.is_empty else found


def _empty(node: Node, sizes: str) -> Diagnostic:
    return Diagnostic(
        "empty-window",
        f"the last window of pooling '{node.name}' holds nothing for {sizes}",
        locate(node.message, "type"),
        why="the stride is greater than the kernel, and Caffe rounds the number of windows up: a maximum over nothing "
        "is -3.4e38, a mean is not a number",
        remedy="round_mode: FLOOR, or a kernel as large as the stride",
        severity="warning",
    )


def _cut(node: Node, extent: int) -> Diagnostic:
    return Diagnostic(
        "cut-window",
        f"convolution '{node.name}' has no room for its window of {extent}",
        locate(node.message, "type"),
        why="Caffe divides towards zero, so it computes one window that is cut off, where others refuse",
        remedy="a larger input, or more pad",
        severity="warning",
    )


def _limits(sym: Symbolic) -> Iterator[Diagnostic]:
    """Conditions that hold for some residues of the input's size only: ways that round differently meet."""
    told: set[int] = set()
    for limit in sym.limits:
        if id(limit.node) in told or limit.condition.relation != "==" or isinstance(limit.node.layer, Crop):
            continue
        these = where(limit.condition, sym.declared[limit.axis])
        if these.is_finite or these.is_cofinite:
            continue
        name, left, right = "HW"[limit.axis], limit.condition.left, limit.condition.right
        told.add(id(limit.node))
        yield Diagnostic(
            "rounding",
            f"layer '{limit.node.name}' gets blobs of equal size for {these.describe(name)} only",
            locate(limit.node.message, "bottom[1]"),
            why=f"{left} against {right}: one way rounds up where the other rounds down",
            remedy="resize or pad inputs to such sizes",
            severity="note",
        )


def _probabilities(graph: Graph, producers: Mapping[Value, Node]) -> Iterator[Diagnostic]:
    """Logarithms of probabilities that a float may have rounded to 0 or 1 already; probabilities made twice."""
    for node in graph.nodes:
        before = producers.get(node.bottoms[0]) if node.bottoms else None
        if before is None:
            continue
        if before.layer.with_loss == node.type:
            yield Diagnostic(
                "twice-normalised",
                f"loss '{node.name}' takes the {before.type.lower()} of a {before.type.lower()}",
                locate(node.message, "bottom[0]"),
                why=f"{node.type} contains the {before.type} that layer '{before.name}' applies already",
                remedy=f"feed it '{before.bottoms[0].blob}'",
                severity="warning",
            )
        elif node.layer.takes_logarithm() and before.layer.with_loss:
            yield Diagnostic(
                "log-of-probability",
                f"layer '{node.name}' takes the logarithm of what '{before.name}' has rounded",
                locate(node.message, "bottom[0]"),
                why="a probability below 1e-38 is 0 in float32, one above 1 - 6e-8 is 1",
                remedy=f"{before.layer.with_loss} on '{before.bottoms[0].blob}' does both at once and keeps the digits",
                severity="note",
            )


def _indices(graph: Graph, shapes: Shapes) -> Iterator[Diagnostic]:
    """Indices kept in float32 blobs that are too large for it."""
    for node in graph.nodes:
        top = next((top for top in node.layer.index_tops() if top < len(node.tops)), None)
        if top is None or any(value not in shapes for value in (*node.bottoms, node.tops[top])):
            continue
        count = node.layer.choices(*(shapes[bottom] for bottom in node.bottoms))
        if count > EXACT:
            yield Diagnostic(
                "float-index",
                f"the indices in '{node.tops[top].blob}' go up to {count - 1}, beyond what a float32 holds exactly",
                locate(node.message, f"top[{top}]"),
                why=f"blobs are float32, which skips integers from {EXACT} on",
                remedy="a smaller input, or fewer elements to choose from",
                severity="note",
            )
