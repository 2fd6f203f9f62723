"""Draws layers of Caffe's forks."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod

import numpy as np

from netcompile.layers.base import Layer as LayerClass
from netcompile.layers.loss_variants import ForeignMeasure
from netcompile.layers.python_layers import PythonTraining
from netcompile.layers.registry import load
from tests.fuzz import detections, sequences
from tests.fuzz.draw import Blob, Gen, Layer, Unsuitable, section

LIMIT = 500  # elements of a top


def volume(g: Gen) -> Blob:
    """A video: batch, channels, time, height, width."""
    return g.bottom(
        lambda b: len(b.shape) == 5,
        lambda: g.array((1, g.int(1, 2), g.int(1, 4), g.int(2, 5), g.int(2, 5))),
    )


def interp(g: Gen) -> Layer:
    x = g.plane()
    begin, end = (-g.int(0, 2), -g.int(0, 2)) if g.chance(25) else (0, 0)
    if min(x.shape[2:]) + begin + end < 1:
        raise Unsuitable
    fields = g.opt("pad_beg", begin, 0) + g.opt("pad_end", end, 0)
    bottoms = [x]
    match g.choice(("zoom", "shrink", "both", "size", "like")):
        case "zoom":
            fields += f"zoom_factor: {g.int(1, 3)} "
        case "shrink":
            fields += f"shrink_factor: {g.int(1, 3)} "
        case "both":
            fields += f"zoom_factor: {g.int(1, 3)} shrink_factor: {g.int(1, 3)} "
        case "size":
            fields += f"height: {g.int(1, 9)} width: {g.int(1, 9)} "
        case "like":
            bottoms.append(g.plane())
    return Layer("Interp", bottoms, section("interp_param", fields))


def upsample(g: Gen) -> Layer:
    x = g.plane()
    if g.chance(50):
        h, w = x.shape[2] * 2, x.shape[3] * 2
        short = g.chance(20)
        fields = g.opt("scale", 2, 2) + ("pad_out_h: true pad_out_w: true " if short else "")
        if g.chance(30):
            short, fields = False, f"upsample_h: {h + 1} upsample_w: {w} "
        places = (h - short) * (w - short)
        if places < 1:
            raise Unsuitable
        mask = g.input(g.integers(x.shape, 0, places))
        return Layer("Upsample", [x, mask], section("upsample_param", fields), exact=True, fixed=(1,))
    fields = g.choice(("", "scale: 3 ", "scale_h: 1 scale_w: 2 ", "scale: 1 "))
    return Layer("Upsample", [x], section("upsample_param", fields), exact=True)


def unpooling(g: Gen) -> Layer:
    x = g.plane()
    kernel, stride = [g.int(1, 3), g.int(1, 3)], [g.int(1, 3), g.int(1, 3)]
    size = [g.int(1, 9), g.int(1, 9)]
    method = g.choice(("MAX", "AVE", "TILE"))
    fields = f"unpool: {method} "
    for stem, pair in (("kernel", kernel), ("stride", stride), ("unpool", size)):
        fields += f"{stem}_h: {pair[0]} {stem}_w: {pair[1]} "
    bottoms = [x]
    if method == "MAX" and g.chance(50):
        bottoms.append(g.input(g.integers(x.shape, 0, prod(size))))
    return Layer(
        "Unpooling", bottoms, section("unpooling_param", fields), exact=method == "MAX", fixed=(1,) * (len(bottoms) > 1)
    )


def padding(g: Gen) -> Layer:
    x, sign = g.plane(), g.choice((1, -1))
    begin, end = sign * g.int(0, 2), sign * g.int(0, 2)
    if min(x.shape[2:]) + begin + end < 1:
        raise Unsuitable
    return Layer(
        "Padding", [x], section("padding_param", g.opt("pad_beg", begin, 0), g.opt("pad_end", end, 0)), exact=True
    )


def permute(g: Gen) -> Layer:
    x = g.any()
    left, order = list(range(len(x.shape))), []
    for _ in range(g.int(0, len(left))):
        order.append(left.pop(g.int(0, len(left) - 1)))
    return Layer("Permute", [x], section("permute_param", "".join(f"order: {a} " for a in order)), exact=True)


def reorg(g: Gen) -> Layer:
    stride, back = g.int(1, 2), g.chance(40)
    block = stride**2

    def fits(s: tuple[int, ...]) -> bool:
        return len(s) == 4 and s[1] % block == 0 and (back or (s[2] % stride == 0 and s[3] % stride == 0))

    x = g.bottom(
        lambda b: fits(b.shape),
        lambda: g.array((g.int(1, 2), block * g.int(1, 2), stride * g.int(1, 3), stride * g.int(1, 3))),
    )
    return Layer("Reorg", [x], section("reorg_param", f"stride: {stride} ", g.opt("reverse", back, False)), exact=True)


def shuffle_channel(g: Gen) -> Layer:
    x = g.any(2, 4)
    group = g.choice([d for d in range(1, x.shape[1] + 1) if x.shape[1] % d == 0])
    return Layer("ShuffleChannel", [x], section("shuffle_channel_param", g.opt("group", group, 1)), exact=True)


def reverse(g: Gen) -> Layer:
    x = g.any()
    return Layer("Reverse", [x], section("reverse_param", g.opt("axis", g.int(0, len(x.shape) - 1), 0)), exact=True)


def continuation(g: Gen) -> Layer:
    x = g.any()
    fields = f"time_step: {g.int(1, 4)} " + g.opt("axis", g.int(0, len(x.shape) - 1), 0)
    return Layer("ContinuationIndicator", [x], section("continuation_indicator_param", fields), exact=True)


def pyramid(g: Gen) -> Layer:
    x = g.plane()
    bins = [g.int(1, 3) for _ in range(g.int(1, 3))]
    if len(bins) > 1 and min(x.shape[2:]) < max(bins):
        raise Unsuitable
    method = g.choice(("MAX", "AVE"))
    params = section("spatial_pyramid_pooling_param", "".join(f"spatial_bin: {b} " for b in bins))
    params += " " + section("pooling_param", g.opt("pool", method, "MAX"))
    return Layer("SpatialPyramidPooling", [x], params, exact=method == "MAX", linear=method == "AVE")


def bn(g: Gen) -> Layer:
    kind = g.choice(("segnet", "learn", "running", "early"))
    x = g.any(2, 4)
    c = x.shape[1]
    two = [g.array((1, c, 1, 1)), g.array((1, c, 1, 1))]
    tops = 1
    match kind:
        case "segnet":
            fields, blobs = "bn_mode: INFERENCE ", two
        case "learn":
            fields, blobs, tops = "bn_mode: LEARN ", two, g.choice((1, 3))
        case "running":
            fields = f"eps: {g.choice((0.0625, 0.5))!r} " + g.opt("frozen", g.chance(30), False)
        case _:
            fields = "var_eps: 0.0625 " + g.opt("moving_average", g.chance(50), False)
    if kind in ("running", "early"):
        blobs = [g.array((1, c, 1, 1), numbers) for numbers in ("", "", "", "positive")]
    return Layer("BN", [x], section("bn_param", fields), tops, blobs, learned=kind in ("segnet", "learn"))


def normalize(g: Gen) -> Layer:
    x, shared = g.any(2, 4), g.chance(50)
    blob = g.array(() if shared else (x.shape[1],))
    fields = g.opt("across_spatial", g.chance(50), True) + g.opt("channel_shared", shared, True)
    fields += f"eps: {g.choice((0.0625, 0.5))!r} "
    return Layer("Normalize", [x], section("norm_param", fields), blobs=[blob])


def lrn_map(g: Gen) -> Layer:
    fields = f"local_size: {g.choice((1, 3, 5))} alpha: {g.choice((0.5, 1.0))!r} beta: {g.choice((0.75, 0.5))!r} "
    return Layer("LRNMap", [g.plane()], section("lrn_map_param", fields))


def _sloped(type_: str, name: str) -> Callable[[Gen], Layer]:
    def draw(g: Gen) -> Layer:
        return Layer(type_, [g.any()], section(name, g.opt("negative_slope", g.choice((0.0, 0.25)), 0.0)), exact=True)

    return draw


def selu(g: Gen) -> Layer:
    fields = f"alpha: {g.positive()!r} lambda: {g.positive()!r} "
    return Layer(g.choice(("SeLu", "SELU")), [g.any()], section("selu_param", fields))


def selu_dropout(g: Gen) -> Layer:
    if g.net.train:
        raise Unsuitable
    return Layer("SeLuDropout", [g.any()], exact=True)


def quantize(g: Gen) -> Layer:
    return Layer("Quantize", [g.any()], exact=True)


def rescale(g: Gen) -> Layer:
    return Layer("Rescale", [g.any()], f"rescale_param {{ rf: {g.positive()!r} }}", g.int(1, 2))


def axpy(g: Gen) -> Layer:
    x = g.any(2)
    tail = (1,) * g.choice((0, 2))
    a = g.bottom(lambda b: b.shape == (*x.shape[:2], *tail), lambda: g.array((*x.shape[:2], *tail)))
    return Layer("Axpy", [a, x, g.like(x)])


def depthwise(g: Gen) -> Layer:
    x = g.plane()
    c, kernel = x.shape[1], g.int(1, 3)
    stride, pad, has_bias = g.int(1, 2), g.int(0, 1), g.chance(60)
    if min(x.shape[2:]) + 2 * pad < kernel:
        raise Unsuitable
    type_ = g.choice(("ConvolutionDepthwise", "DepthwiseConvolution", "DepthwiseConvolutionLayer", "HoleConvolution"))
    fields = f"num_output: {c} kernel_size: {kernel} stride: {stride} pad: {pad} "
    fields += "" if type_ == "ConvolutionDepthwise" and g.chance(50) else f"group: {c} "
    fields += g.opt("bias_term", has_bias, True)
    blobs = [g.array((c, 1, kernel, kernel))] + ([g.array((c,))] if has_bias else [])
    return Layer(type_, [x], section("convolution_param", fields), blobs=blobs, linear=True)


def _volume_windows(g: Gen, x: Blob, padded: bool) -> tuple[list[int], list[int], list[int], str]:
    """(kernel, stride, pad, fields)."""
    kernel, stride = [g.int(1, 2), *[g.int(1, 3)] * 2], [g.int(1, 2), *[g.int(1, 2)] * 2]
    pad = [0, *[g.int(0, kernel[1] - 1)] * 2] if padded and g.chance(40) else [0, 0, 0]
    if any(n < k for n, k in zip(x.shape[2:], kernel, strict=True)):
        raise Unsuitable
    fields = f"kernel_size: {kernel[1]} kernel_depth: {kernel[0]} " + g.opt("stride", stride[1], 1)
    fields += g.opt("temporal_stride", stride[0], 1) + g.opt("pad", pad[1], 0)
    return kernel, stride, pad, fields


def volume_convolution(g: Gen) -> Layer:
    x = volume(g)
    kernel, stride, pad, fields = _volume_windows(g, x, True)
    type_ = g.choice(("Convolution3D", "Deconvolution3D"))
    c, outputs, has_bias = x.shape[1], g.int(1, 2), g.chance(60)
    extents = [s * (n - 1) + k - 2 * p for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)]
    if type_ == "Deconvolution3D" and (min(extents) < 1 or prod(extents) > LIMIT):
        raise Unsuitable
    name = g.choice(("convolution_param", "convolution3d_param"))
    has_bias |= type_ == "Deconvolution3D" and name == "convolution3d_param"  # it looks into convolution_param
    shape = (outputs, c, *kernel) if type_ == "Convolution3D" else (c, outputs, *kernel)
    blobs = [g.array(shape) / 2] + ([g.array((1, 1, 1, 1, outputs))] if has_bias else [])
    fields += f"num_output: {outputs} " + g.opt("bias_term", has_bias, True)
    return Layer(type_, [x], section(name, fields), blobs=blobs, linear=True)


def volume_pooling(g: Gen) -> Layer:
    x, method = volume(g), g.choice(("MAX", "AVE"))
    kernel, stride, pad, fields = _volume_windows(g, x, method == "AVE")
    for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        if ceil((n + 2 * p - k) / s) * s >= n + p:
            raise Unsuitable  # the lowest number, or NaN, which nothing behind it could be compared by
    fields += g.opt("pool", method, "MAX")
    name = g.choice(("pooling_param", "pooling3d_param"))
    return Layer("Pooling3D", [x], section(name, fields), exact=method == "MAX", linear=method == "AVE")


def correlation(g: Gen) -> Layer:
    x = g.plane()
    flat, kernel = g.chance(40), g.choice((1, 1, 3))
    reach, pad = g.int(0, 2), g.int(0, 3)
    stride, step = g.int(1, 2), g.int(1, 2)
    border = reach + kernel // 2
    width = x.shape[3] + 2 * pad - 2 * border
    height = x.shape[2] - 2 * (kernel // 2) if flat else x.shape[2] + 2 * pad - 2 * border
    if width < 1 or height < 1:
        raise Unsuitable
    fields = f"kernel_size: {kernel} max_displacement: {reach} " + g.opt("pad", pad, 0)
    fields += g.opt("stride_1", stride, 1) + g.opt("stride_2", step, 1)
    fields += g.opt("correlation_type", g.choice(("MULTIPLY", "SUBTRACT")), "MULTIPLY")
    if flat and g.chance(30):
        fields += "single_direction: 1 "
    type_ = "Correlation1D" if flat else "Correlation"
    return Layer(type_, [x, g.like(x)], section("correlation_param", fields))


def flow_warp(g: Gen) -> Layer:
    x = g.plane()
    n, _, h, w = x.shape
    flow = g.bottom(lambda b: b.shape == (n, 2, h, w), lambda: g.array((n, 2, h, w)))
    fields = g.opt("fill_value", g.choice(("ZERO", "NOT_A_NUMBER")), "ZERO")
    return Layer("FlowWarp", [x, flow], section("flow_warp_param", fields), odd=True)


def resample(g: Gen) -> Layer:
    x, bottoms = g.plane(), []
    fields = g.opt("type", g.choice(("LINEAR", "CUBIC", "NEAREST")), "LINEAR") + g.opt("antialias", g.chance(60), True)
    if g.chance(30):
        bottoms = [g.plane()]
    else:
        fields += f"height: {g.int(1, 8)} width: {g.int(1, 8)} "
    return Layer("Resample", [x, *bottoms], section("resample_param", fields))


def smooth_l1(g: Gen) -> Layer:
    x = g.any(1, 4)  # the fork asks for channels, height and width, which five axes do not have
    bottoms = [x, *(g.like(x) for _ in range(g.choice((1, 1, 3))))]
    fields = g.opt("sigma", g.choice((1.0, 2.0, 0.5)), 1.0)
    return Layer("SmoothL1Loss", bottoms, section("smooth_l1_loss_param", fields))


def cross_entropy(g: Gen) -> Layer:
    x = g.any(2)
    target = g.bottom(lambda b: b.shape == x.shape and bool((b.value >= 0).all()), lambda: abs(g.array(x.shape)))
    return Layer("SoftmaxCrossEntropyLoss", [x, target])


def data_augmentation(g: Gen) -> Layer:
    if g.net.train:
        raise Unsuitable
    x, fields = g.plane(), ""
    _, c, h, w = x.shape
    if g.chance(50):
        h, w = g.int(1, h), g.int(1, w)
        fields += f"crop_height: {h} crop_width: {w} "
    blobs = [np.ones((1, 1, 1, 1))]
    if g.chance(50):
        fields += f"recompute_mean: {g.int(1, 5)} " + g.opt("mean_per_pixel", g.chance(50), True)
        blobs += [g.array((1, c, h, w)), g.array((1, c, 1, 1))]
    elif c == 3 and g.chance(60):
        fields += "mean: 0.5 mean: 0.25 mean: 1.0 mean_per_pixel: false "
    return Layer("DataAugmentation", [x], section("augmentation_param", fields), blobs=blobs, learned=False)


def mean_field(g: Gen) -> Layer:
    scores = g.bottom(lambda b: len(b.shape) == 4 and b.shape[1] < 4, lambda: g.array((1, 2, g.int(1, 5), g.int(1, 5))))
    n, c, h, w = scores.shape
    image = g.bottom(lambda b: b.shape == (n, 3, h, w), lambda: g.array((n, 3, h, w)))
    fields = f"num_iterations: {g.int(2, 3)} theta_alpha: {g.choice((2.0, 160.0))!r} "
    fields += f"theta_beta: {g.choice((0.5, 3.0))!r} theta_gamma: {g.choice((1.0, 3.0))!r} "
    blobs = [g.array((1, 1, c, c)) for _ in range(3)]
    params = section("multi_stage_meanfield_param", fields)
    return Layer("MultiStageMeanfield", [scores, g.like(scores), image], params, blobs=blobs)


def sink(g: Gen) -> Layer:
    type_ = g.choice(("MatWrite", "PFMWriter", "FLOWriter", "ImgWriter", "FloatWriter", "BlackHole"))
    return Layer(type_, [g.any() for _ in range(g.int(1, 2))], tops=0, exact=True)


def warp(g: Gen) -> Layer:
    x = g.plane()
    n, _, h, w = x.shape
    # Halves: where a flow leaves the plane is no matter of rounding.
    return Layer("Warp", [x, g.input(g.integers((n, 2, h, w), -6, 7) / 2)], fixed=(1,))


DRAWS: dict[str, Callable[[Gen], Layer]] = {
    **detections.DRAWS,
    **sequences.DRAWS,
    "Warp": warp,
    "Interp": interp,
    "Upsample": upsample,
    "Unpooling": unpooling,
    "Padding": padding,
    "Permute": permute,
    "Reorg": reorg,
    "ShuffleChannel": shuffle_channel,
    "Reverse": reverse,
    "ContinuationIndicator": continuation,
    "SpatialPyramidPooling": pyramid,
    "BN": bn,
    "Normalize": normalize,
    "LRNMap": lrn_map,
    "ReLU6": _sloped("ReLU6", "relu_param"),
    "NegReLU": _sloped("NegReLU", "relu_param"),
    "CReLU": lambda g: Layer("CReLU", [g.any(2)], exact=True),
    "SeLu": selu,
    "SeLuDropout": selu_dropout,
    "Quantize": quantize,
    "Rescale": rescale,
    "Axpy": axpy,
    "DepthwiseConvolution": depthwise,
    "Convolution3D": volume_convolution,
    "Pooling3D": volume_pooling,
    "Correlation": correlation,
    "FlowWarp": flow_warp,
    "Resample": resample,
    "SmoothL1Loss": smooth_l1,
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "ConvolutionDepthwise": depthwise,
    "Deconvolution3D": volume_convolution,
    "DataAugmentation": data_augmentation,
    "MultiStageMeanfield": mean_field,
    "MatWrite": sink,
}
# The same by class. What a fork adds needs a rule here, or a reason below; `tests.fuzz.hostile` draws it all the same.
RULES: dict[type[LayerClass], Callable[[Gen], Layer]] = {load()[name]: rule for name, rule in DRAWS.items()}


def reason(cls: type[LayerClass]) -> str:
    """Why a fork's layer class has no rule; "" where there is no reason."""
    if cls.is_data:
        return "it becomes an input: nets begin with one"
    if issubclass(cls, ForeignMeasure | PythonTraining):
        return "it is known, and not computed: it vanishes, or is refused"
    return ""
