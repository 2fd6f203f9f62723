"""`crop(a, b)`: the Crop layer that aligns one top with another, its offset computed and not guessed.

Each layer type says where the pixels of its tops lie on its bottoms (`Layer.coords`). Composed along a path that is the
map of a top to an ancestor, and from the maps A and B of both tops to a common ancestor follows the offset, (B.offset −
A.offset) / A.stride per axis. All paths to all common ancestors are computed, and must agree.
"""

from __future__ import annotations

from fractions import Fraction

from netcompile.algebra.coords import AxisMap, StrideMismatch, crop_offset
from netcompile.layers.base import IDENTITY, Axes, Refused
from netcompile.layers.params import Params
from netcompile.layers.registry import layer_class
from netcompile.spec.fields import SpecError
from netcompile.spec.net_spec import Function, Top, layers

# Spatial nets are N×C×H×W; the extents themselves do not matter to where pixels lie.
_SHAPE = (1, 1, 1, 1)
_AXIS = 2
_PER_AXIS = frozenset(("kernel_size", "stride", "pad", "dilation", "offset"))


class UndefinedMapException(SpecError):
    """No path without an undefined map leads from both tops to a common ancestor."""


class AxisMismatchException(SpecError):
    """Two paths to an ancestor, or two ancestors, give different maps."""


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop of `top_from` to where `top_to` lies, and to its size.

    Raises SpecError if no integer, non-negative offset aligns them: UndefinedMapException, AxisMismatchException.
    """
    offsets = []
    for axis, (a, b) in zip("HW", zip(*coord_maps(top_from, top_to), strict=True), strict=True):
        try:
            offset = crop_offset(a, b)
        except StrideMismatch:
            raise SpecError(
                f"crop along {axis}: {top_from} has stride {a.stride}, {top_to} stride {b.stride}"
            ) from None
        where = f"crop along {axis}: {top_to} starts at {offset} in {top_from}"
        if offset.denominator != 1:
            raise SpecError(f"{where}, between two pixels")
        if offset < 0:
            raise SpecError(f"{where}, outside it")
        offsets.append(int(offset))
    once = offsets[0] == offsets[1] and not _tells_axes_apart(top_from, top_to)
    offset_field = offsets[:1] if once else offsets
    cropped: Top = layers.Crop(top_from, top_to, crop_param={"axis": _AXIS, "offset": offset_field})
    return cropped


def _tells_axes_apart(top_from: Top, top_to: Top) -> bool:
    """Whether a layer up to the nearest common ancestor has a value for each axis; pycaffe writes two offsets then."""
    cone_from, cone_to = _topological(top_from), _topological(top_to)
    shared = set(cone_from)
    nearest = next(item for item in cone_to if item in shared)
    below = {*cone_from, *cone_to}.difference(_topological(nearest))
    return any(
        isinstance(value, (list, tuple)) and len(value) > 1
        for item in below
        for keywords in (item.fn.keywords, *map(item.fn.keywords.get, ("convolution_param", "crop_param")))
        for name, value in (keywords or {}).items()
        if name in _PER_AXIS
    )


def coord_map_from_to(top_from: Top, top_to: Top) -> tuple[int, Fraction, Fraction]:
    """(axis, a, b) with: index in `top_to` = a · index in `top_from` + b, `axis` the one before the first spatial one.

    Raises SpecError where H and W differ, or no map is defined.
    """
    a, b = coord_maps(top_from, top_to)
    maps = {to.inverse().compose(cropped) for cropped, to in zip(a, b, strict=True)}
    if len(maps) > 1:
        raise AxisMismatchException(f"{top_from} and {top_to} are aligned differently along H and W")
    found = maps.pop()
    return _AXIS - 1, found.stride, found.offset


def coord_maps(top_from: Top, top_to: Top) -> tuple[Axes, Axes]:
    """The maps (H, W) of both tops to a common ancestor.

    Raises UndefinedMapException, AxisMismatchException.
    """
    ways_from, ways_to = _ancestors(top_from), _ancestors(top_to)
    found: tuple[Axes, Axes] | None = None
    relation: tuple[AxisMap, ...] | None = None
    for ancestor, maps_from in ways_from.items():
        for a in maps_from:
            for b in ways_to.get(ancestor, ()):
                here = tuple(q.inverse().compose(p) for p, q in zip(a, b, strict=True))
                if relation is not None and here != relation:
                    raise AxisMismatchException(
                        f"paths from {top_from} and {top_to} to their common ancestors disagree: "
                        f"{_show(relation)} along one, {_show(here)} along another"
                    )
                relation, found = here, (a, b)
    if found is None:
        reached = [item.fn for item in (*ways_from, *ways_to)]
        ends = sorted({fn.type_name for fn in reached if fn.inputs and not any(_steps(fn))})
        stopped = f"; they end at {', '.join(ends)}" if ends else ""
        raise UndefinedMapException(f"coordinates lead from {top_from} and {top_to} to no common ancestor{stopped}")
    return found


def _ancestors(top: Top) -> dict[Top, dict[Axes, None]]:
    """Every top that coordinates can be followed to, with every map that some path gives."""
    order = _topological(top)
    ways: dict[Top, dict[Axes, None]] = {item: {} for item in order}
    ways[top][IDENTITY] = None
    for item in order:
        for bottom, step in zip(item.fn.inputs, _steps(item.fn), strict=True):
            if step is not None:
                for h, w in ways[item]:
                    ways[bottom][step[0].compose(h), step[1].compose(w)] = None
    return {item: maps for item, maps in ways.items() if maps}


def _topological(top: Top) -> list[Top]:
    """`top` and everything before it, every top ahead of those that it was made from."""
    done: dict[Top, None] = {}
    stack = [(top, False)]
    while stack:
        item, finished = stack.pop()
        if finished:
            done[item] = None
        elif item not in done:
            stack.append((item, True))
            stack.extend((bottom, False) for bottom in item.fn.inputs if bottom not in done)
    return list(done)[::-1]


def _steps(fn: Function) -> tuple[Axes | None, ...]:
    """Per bottom, where a pixel of the layer's tops lies on it; None where that is not defined."""
    undefined = (None,) * len(fn.inputs)
    kind = layer_class(fn.type_name)
    if kind is None or not fn.inputs:
        return undefined
    message = fn.message([f"bottom{n}" for n in range(len(fn.inputs))], [f"top{n}" for n in range(fn.ntop)], "layer")
    try:
        return kind.read(Params(message, train=False)).coords(*[_SHAPE] * len(fn.inputs)) or undefined
    except Refused:
        return undefined


def _show(relation: tuple[AxisMap, ...]) -> str:
    return " × ".join(dict.fromkeys(map(str, relation)))
