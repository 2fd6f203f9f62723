"""Draws layers over windows: convolutions, poolings, and what is like them."""

from __future__ import annotations

from math import ceil, floor, prod

from tests.fuzz.draw import Gen, Layer, Shape, Unsuitable, section
from tests.oracles.base import toward_zero


def per_axis(g: Gen, name: str, stem: str, values: list[int], default: int | None) -> str:
    """A field of a window: once, once for each axis, or as height and width."""
    if len(set(values)) == 1 and values[0] == default and not g.chance(30):
        return ""
    if len(values) == 2 and stem and g.chance(30):
        return f"{stem}_h: {values[0]} {stem}_w: {values[1]} "
    if len(set(values)) == 1 and (not values or not g.chance(30)):
        return f"{name}: {values[0]} "
    return "".join(f"{name}: {v} " for v in values)


def same_or_each(g: Gen, rank: int, least: int, most: int) -> list[int]:
    if not g.chance(40):
        return [g.int(least, most)] * rank
    return [g.int(least, most) for _ in range(rank)]


def convolution_windows(g: Gen, size: Shape, transposed: bool) -> tuple[list[int], Shape, str]:
    """(kernel, output size, fields)."""
    rank = len(size)
    kernel = same_or_each(g, rank, 1, 3 if rank > 2 else 4)
    stride = same_or_each(g, rank, 1, 3)
    pad = same_or_each(g, rank, 0, 3) if g.chance(50) else [0] * rank
    dilation = same_or_each(g, rank, 1, 3) if g.chance(30) else [1] * rank
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, pad, dilation, strict=True):
        reach = d * (k - 1) + 1
        out.append(s * (n - 1) + reach - 2 * p if transposed else toward_zero(n + 2 * p - reach, s) + 1)
    if any(v < 1 for v in out) or prod(out) > 400:
        raise Unsuitable
    fields = (
        (per_axis(g, "kernel_size", "kernel", kernel, None) or "kernel_size: 1 ")
        + per_axis(g, "stride", "stride", stride, 1)
        + per_axis(g, "pad", "pad", pad, 0)
        + per_axis(g, "dilation", "", dilation, 1)
    )
    return kernel, tuple(out), fields


def _convolution(g: Gen, type_: str, transposed: bool) -> Layer:
    x = g.any(2, 5)
    rank = len(x.shape)
    axis = 1 if not g.chance(15) else g.int(0, rank - 1)
    channels, size = x.shape[axis], x.shape[axis + 1 :]
    if len(size) > 3:
        raise Unsuitable  # netcompile has no convolution over four axes
    kernel, _, fields = convolution_windows(g, size, transposed)
    group = g.choice([d for d in range(1, channels + 1) if channels % d == 0]) if g.chance(40) else 1
    outputs = group * g.int(1, max(1, 4 // group))
    bottoms = [x] + [g.like(x) for _ in range(g.choice((0, 0, 0, 0, 0, 1, 2)))]
    bias = g.chance(70)
    shape = (channels, outputs // group) if transposed else (outputs, channels // group)
    if prod(shape) * prod(kernel) > 400 or prod(x.shape) * prod(kernel) * outputs // group > 40000:
        raise Unsuitable
    blobs = [g.array((*shape, *kernel)) / 2] + ([g.array((outputs,))] if bias else [])
    axis_text = g.opt("axis", g.axis(axis, rank), 1)
    params = section(
        "convolution_param",
        f"num_output: {outputs} ",
        fields,
        g.opt("group", group, 1),
        g.opt("bias_term", bias, True),
        axis_text,
        g.opt("engine", g.choice(("DEFAULT", "CAFFE", "CUDNN")), "DEFAULT"),
        g.opt("force_nd_im2col", g.chance(10), False),
        "weight_filler { type: 'xavier' } " * g.chance(20),
    )
    return Layer(type_, bottoms, params, tops=len(bottoms), blobs=blobs, linear=True)


def convolution(g: Gen) -> Layer:
    return _convolution(g, "Convolution", False)


def deconvolution(g: Gen) -> Layer:
    return _convolution(g, "Deconvolution", True)


def im2col(g: Gen) -> Layer:
    x = g.any(3, 5)
    rank = len(x.shape)
    axis = 1 if not g.chance(25) else g.int(0, rank - 2)
    _, _, fields = convolution_windows(g, x.shape[axis + 1 :], False)
    axis_text = g.opt("axis", g.axis(axis, rank), 1)
    return Layer("Im2col", [x], section("convolution_param", fields, axis_text), exact=True)


def pooling(g: Gen) -> Layer:
    x = g.plane()
    method = g.choice(("MAX", "AVE", "MAX", "AVE", "STOCHASTIC"))
    mask = method == "MAX" and g.chance(30)
    text = g.opt("pool", method, "MAX")
    exact = method == "MAX"
    if g.chance(12):
        text += "global_pooling: true " + g.opt("stride", 1, 1) + g.opt("pad", 0, 0)
    else:
        kernel, stride = same_or_each(g, 2, 1, 5), same_or_each(g, 2, 1, 4)
        pad = [g.int(0, k - 1) for k in kernel] if g.chance(50) and method != "STOCHASTIC" else [0, 0]
        mode = g.choice(("CEIL", "CEIL", "FLOOR"))
        up = ceil if mode == "CEIL" else floor
        for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
            if up((n + 2 * p - k) / s) + 1 < 1:
                raise Unsuitable
        text += _pool_field(g, "kernel_size", "kernel", kernel, 0) + _pool_field(g, "stride", "stride", stride, 1)
        text += _pool_field(g, "pad", "pad", pad, 0) + g.opt("round_mode", mode, "CEIL")
    return Layer("Pooling", [x], section("pooling_param", text), tops=1 + mask, exact=exact, odd=True)


def _pool_field(g: Gen, name: str, stem: str, pair: list[int], default: int) -> str:
    if pair[0] == pair[1] and not g.chance(30):
        return g.opt(name, pair[0], default)
    return f"{stem}_h: {pair[0]} {stem}_w: {pair[1]} "


def spp(g: Gen) -> Layer:
    x = g.plane()
    height, method = g.int(1, 3), g.choice(("MAX", "AVE", "STOCHASTIC"))
    for level in range(height):
        bins = 2**level
        for n in x.shape[2:]:
            kernel = ceil(n / bins)
            pad = (kernel * bins - n + 1) // 2
            if pad >= kernel or (pad and method == "STOCHASTIC"):
                raise Unsuitable
    fields = f"pyramid_height: {height} " + g.opt("pool", method, "MAX")
    return Layer("SPP", [x], section("spp_param", fields), exact=method == "MAX")


def lrn(g: Gen) -> Layer:
    x = g.plane()
    params = section(
        "lrn_param",
        g.opt("local_size", g.choice((1, 3, 5, 7)), 5),
        g.opt("alpha", g.choice((1.0, 0.5, 2.0, 0.125)), 1.0),
        g.opt("beta", g.choice((0.75, 0.5, 1.0, 0.25, -0.5)), 0.75),
        g.opt("k", g.choice((1.0, 2.0, 0.5)), 1.0),
        g.opt("norm_region", g.choice(("ACROSS_CHANNELS", "WITHIN_CHANNEL")), "ACROSS_CHANNELS"),
    )
    return Layer("LRN", [x], params)


def crop(g: Gen) -> Layer:
    x = g.any(1, 5)
    rank = len(x.shape)
    axis = min(2, rank - 1) if g.chance(60) else g.int(0, rank - 1)
    small = tuple(g.int(1, n) if i >= axis else g.int(1, 3) for i, n in enumerate(x.shape))
    reference = g.bottom(
        lambda b: len(b.shape) == rank and all(b.shape[i] <= x.shape[i] for i in range(axis, rank)) and b is not x,
        lambda: g.array(small),
    )
    room = [n - m for n, m in zip(x.shape[axis:], reference.shape[axis:], strict=True)]
    text = g.opt("axis", g.axis(axis, rank), 2)
    match g.choice(("none", "one", "each", "each")):
        case "one":
            text += f"offset: {g.int(0, min(room))} "
        case "each":
            offsets = [g.int(0, r) for r in room]
            if len(offsets) > 1 or g.chance(50):
                text += "".join(f"offset: {o} " for o in offsets)
    return Layer("Crop", [x, reference], f"crop_param {{ {text}}}", exact=True)


DRAWS = {
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "Im2col": im2col,
    "Pooling": pooling,
    "SPP": spp,
    "LRN": lrn,
    "Crop": crop,
}
