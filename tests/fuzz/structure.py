"""Draws layers that move elements about, or keep some of them."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.fuzz.draw import Gen, Layer, Unsuitable, section


def split(g: Gen) -> Layer:
    return Layer("Split", [g.any()], tops=g.int(1, 3), exact=True)


def silence(g: Gen) -> Layer:
    return Layer("Silence", [g.any() for _ in range(g.int(1, 2))], tops=0, exact=True)


def concat(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = min(1, rank - 1) if g.chance(60) else g.int(0, rank - 1)

    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == rank and all(
            a == b for i, (a, b) in enumerate(zip(shape, x.shape, strict=True)) if i != axis
        )

    def fresh() -> object:
        return g.array(tuple(g.int(1, 4) if i == axis else n for i, n in enumerate(x.shape)))

    bottoms = [x, *(g.bottom(lambda b: fits(b.shape), fresh) for _ in range(g.choice((0, 1, 1, 1, 2))))]
    old = axis >= 0 and g.chance(25)
    fields = f"concat_dim: {axis} " if old else g.opt("axis", g.axis(axis, rank), 1)
    return Layer("Concat", bottoms, section("concat_param", fields), exact=True)


def slice_(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = g.choice([i for i in range(rank) if x.shape[i] > 1] or [0])
    n = x.shape[axis]
    fields = f"slice_dim: {axis} " if g.chance(25) else g.opt("axis", g.axis(axis, rank), 1)
    if n > 1 and g.chance(60):
        points = sorted({g.int(1, n - 1) for _ in range(g.int(1, 3))})
        fields += "".join(f"slice_point: {p} " for p in points)
        tops = len(points) + 1
    else:
        tops = g.choice([d for d in range(1, n + 1) if n % d == 0])
    return Layer("Slice", [x], section("slice_param", fields), tops=tops, exact=True)


def tile(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = g.int(0, rank - 1)
    fields = g.opt("axis", g.axis(axis, rank), 1) + f"tiles: {g.int(1, 3)} "
    return Layer("Tile", [x], section("tile_param", fields), exact=True)


def flatten(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    start = min(1, rank - 1) if g.chance(50) else g.int(0, rank - 1)
    end = rank - 1 if g.chance(50) else g.int(max(start - 1, 0), rank - 1)
    fields = g.opt("axis", g.axis(start, rank), 1) + g.opt("end_axis", g.axis(end, rank), -1)
    return Layer("Flatten", [x], section("flatten_param", fields), exact=True)


def reshape(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    start = 0 if g.chance(50) else g.int(0, rank)
    end = rank if g.chance(60) else g.int(start, rank)
    left, dims, free = prod(x.shape[start:end]), [], g.chance(50)
    for place in range(g.int(1, 4)):
        at = start + place
        if at < rank and left % x.shape[at] == 0 and g.chance(40):
            dims.append(0)
            left //= x.shape[at]
        elif free and -1 not in dims and g.chance(40):
            dims.append(-1)
        else:
            d = g.choice([d for d in range(1, left + 1) if left % d == 0])
            dims.append(d)
            left //= d
    if -1 not in dims and left > 1:
        dims.append(g.choice((-1, left)))
    fields = "shape { " + "".join(f"dim: {d} " for d in dims) + "} "
    fields += g.opt("axis", start - rank - 1 if g.chance(30) else start, 0)
    fields += g.opt("num_axes", -1 if end == rank else end - start, -1)
    return Layer("Reshape", [x], section("reshape_param", fields), exact=True)


def reduction(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = 0 if g.chance(30) else g.int(0, rank - 1)
    fields = g.opt("operation", g.choice(("SUM", "ASUM", "SUMSQ", "MEAN")), "SUM")
    fields += g.opt("axis", g.axis(axis, rank), 0) + g.opt("coeff", g.dyadic(), 1.0)
    return Layer("Reduction", [x], section("reduction_param", fields))


def arg_max(g: Gen) -> Layer:
    x = g.any()
    rank = len(x.shape)
    axis = g.int(0, rank - 1) if g.chance(60) else None
    most = prod(x.shape[1:]) if axis is None else x.shape[axis]
    fields = "" if axis is None else f"axis: {g.axis(axis, rank)} "
    fields += g.opt("top_k", g.int(1, most) if g.chance(40) else 1, 1)
    fields += g.opt("out_max_val", g.chance(40), False)
    return Layer("ArgMax", [x], section("argmax_param", fields), exact=True)


def filter_(g: Gen) -> Layer:
    x = g.any()
    data = [x]
    if g.chance(40):
        data.append(g.bottom(lambda b: b.shape[:1] == x.shape[:1], lambda: g.array((x.shape[0], 2))))
    n = x.shape[0]
    selector = g.input(g.integers(g.choice(((n,), (n, 1), (n, 1, 1, 1))), 0, 2))
    if not selector.value.any():
        raise Unsuitable
    return Layer("Filter", [*data, selector], tops=len(data), exact=True, fixed=(len(data),), dynamic=True)


def batch_reindex(g: Gen) -> Layer:
    x = g.any()
    index = g.input(g.integers((g.int(1, 4),), 0, x.shape[0]))
    return Layer("BatchReindex", [x, index], exact=True, fixed=(1,))


def parameter(g: Gen) -> Layer:
    shape = g.shape()
    fields = "shape { " + "".join(f"dim: {d} " for d in shape) + "} "
    return Layer("Parameter", [], section("parameter_param", fields), blobs=[g.array(shape)], exact=True)


def dummy_data(g: Gen) -> Layer:
    tops = g.int(1, 2)
    shapes = [g.shape(4, 4) for _ in range(tops if g.chance(60) else 1)]
    if g.chance(50):
        fields = "".join(
            f"{name}: {s[i]} " for i, name in enumerate(("num", "channels", "height", "width")) for s in shapes
        )
    else:
        fields = "".join("shape { " + "".join(f"dim: {d} " for d in s) + "} " for s in shapes)
    for _ in range(g.choice((0, 1, tops))):
        fields += "data_filler { " + g.opt("type", '"constant"', '"constant"') + f"value: {g.dyadic()!r} }} "
    return Layer("DummyData", [], section("dummy_data_param", fields), tops=tops, exact=True)


def hdf5_output(g: Gen) -> Layer:
    x = g.any(1, 4)
    y = g.bottom(lambda b: len(b.shape) <= 4 and b.shape[:1] == x.shape[:1], lambda: g.array(x.shape[:1]))
    return Layer("HDF5Output", [x, y], 'hdf5_output_param { file_name: "never-written.h5" }', tops=0, exact=True)


def scalar(g: Gen) -> Layer:
    """A Scale by a blob without axes."""
    x, factor = g.any(), g.input(np.asarray(g.dyadic()))
    return Layer("Scale", [x, factor], in_place=True)


DRAWS = {
    "Split": split,
    "Silence": silence,
    "Concat": concat,
    "Slice": slice_,
    "Tile": tile,
    "Flatten": flatten,
    "Reshape": reshape,
    "Reduction": reduction,
    "ArgMax": arg_max,
    "Filter": filter_,
    "BatchReindex": batch_reindex,
    "Parameter": parameter,
    "DummyData": dummy_data,
    "HDF5Output": hdf5_output,
    "Scale by a scalar": scalar,
}
