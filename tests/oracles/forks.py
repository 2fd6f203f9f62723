"""Plain NumPy forward passes of the forks' layers: slow, in float64, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message

Array = np.ndarray[Any, Any]
Oracle = Callable[[Message, list[Array], list[Array], bool], list[Array]]
ORACLES: dict[str, Oracle] = {}


def oracle(*types: str) -> Callable[[Oracle], Oracle]:
    def register(function: Oracle) -> Oracle:
        ORACLES.update(dict.fromkeys(types, function))
        return function

    return register


def four(x: Array) -> Array:
    """The blob by Caffe's old accessors: 1s behind fewer axes than four."""
    return x.reshape(*x.shape, *(1,) * (4 - x.ndim))


@oracle("Interp")
def interp(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """DeepLab's interp_layer; the real cases interp-*."""
    s, x = p.get("interp_param"), four(bottoms[0])
    begin, end = -s.get("pad_beg"), -s.get("pad_end")
    x = x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end]
    zoom = s.get("zoom_factor") if s.has("zoom_factor") else None
    shrink = s.get("shrink_factor") if s.has("shrink_factor") else None
    size = []
    for axis, field in ((2, "height"), (3, "width")):
        n = x.shape[axis]
        if shrink and not zoom:
            size.append((n - 1) // shrink + 1)
        elif zoom and not shrink:
            size.append(n + (n - 1) * (zoom - 1))
        elif s.has(field):
            size.append(s.get(field))
        elif zoom and shrink:
            n = (n - 1) // shrink + 1
            size.append(n + (n - 1) * (zoom - 1))
        else:
            size.append(four(bottoms[1]).shape[axis])
    y = np.zeros((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            h = i * (x.shape[2] - 1) / (size[0] - 1) if size[0] > 1 else 0
            w = j * (x.shape[3] - 1) / (size[1] - 1) if size[1] > 1 else 0
            # Corners fall on corners exactly; rounding must not carry one across.
            h, w = min(h, x.shape[2] - 1), min(w, x.shape[3] - 1)
            top, left = int(h), int(w)
            below, right = min(top + 1, x.shape[2] - 1), min(left + 1, x.shape[3] - 1)
            a, b = h - top, w - left
            y[:, :, i, j] = (1 - a) * ((1 - b) * x[:, :, top, left] + b * x[:, :, top, right]) + a * (
                (1 - b) * x[:, :, below, left] + b * x[:, :, below, right]
            )
    return [y]


def to_places(x: Array, mask: Array, height: int, width: int) -> Array:
    y = np.zeros((*x.shape[:2], height * width))
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for value, place in zip(x[n, c].ravel(), mask[n, c].ravel(), strict=True):
                y[n, c, int(place)] = value
    return y.reshape(*x.shape[:2], height, width)


@oracle("Upsample")
def upsample(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """SegNet's src/caffe/layers/upsample_layer.cpp and the YOLO forks'; the real cases upsample-*."""
    s, x = p.get("upsample_param"), bottoms[0]
    scale = [s.get(f"scale_{a}") if s.has(f"scale_{a}") else s.get("scale") for a in "hw"]
    if len(bottoms) == 1:
        scale = scale if s.has("scale") or s.has("scale_h") else [1, 1]
        y = np.zeros((*x.shape[:-2], x.shape[-2] * scale[0], x.shape[-1] * scale[1]))
        for i in range(y.shape[-2]):
            for j in range(y.shape[-1]):
                y[..., i, j] = x[..., i // scale[0], j // scale[1]]
        return [y]
    if s.has("upsample_h"):
        return [to_places(x, bottoms[1], s.get("upsample_h"), s.get("upsample_w"))]
    height = x.shape[2] * scale[0] - int(s.get("pad_out_h"))
    return [to_places(x, bottoms[1], height, x.shape[3] * scale[1] - int(s.get("pad_out_w")))]


@oracle("Unpooling")
def unpooling(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """HyeonwooNoh/caffe, anujkhare/caffe-cedn (without a size), tum-vision/fusenet (scale, output_h):
    src/caffe/layers/unpooling_layer.cpp each; the real cases unpooling-* for the first.
    """
    s, x = p.get("unpooling_param"), bottoms[0]

    def pair(name: str, stem: str) -> list[int]:
        return [s.get(f"{stem}_{a}") if s.has(f"{stem}_{a}") else s.get(name) for a in "hw"]

    x = four(x)
    if s.has("output_h"):
        return [to_places(x, bottoms[1], s.get("output_h"), s.get("output_w"))]
    if s.has("scale"):
        return [to_places(x, bottoms[1], *(n * s.get("scale") for n in x.shape[2:]))]
    kernel, stride = pair("kernel_size", "kernel"), pair("stride", "stride")
    if s.has("unpool_size") or s.has("unpool_h"):
        size = pair("unpool_size", "unpool")
    else:
        size = [(n - 1) * t + k for n, t, k in zip(x.shape[2:], stride, kernel, strict=True)]
    if s.get("unpool") == "MAX" and len(bottoms) == 2:
        return [to_places(x, bottoms[1], *size)]
    y = np.zeros((*x.shape[:2], *size))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            top, left = i * stride[0], j * stride[1]
            if s.get("unpool") == "MAX":
                y[:, :, min(top, size[0] - 1), min(left, size[1] - 1)] = x[:, :, i, j]
                continue
            bottom, right = min(top + kernel[0], size[0]), min(left + kernel[1], size[1])
            if bottom <= top or right <= left:
                continue
            share = (bottom - top) * (right - left) if s.get("unpool") == "AVE" else 1
            y[:, :, top:bottom, left:right] += x[:, :, i, j][:, :, None, None] / share
    return [y]


@oracle("Padding")
def padding(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """DeepLab's padding_layer; the real cases padding-*."""
    s, x = p.get("padding_param"), four(bottoms[0])
    begin, end = s.get("pad_beg"), s.get("pad_end")
    y = np.zeros((*x.shape[:2], x.shape[2] + begin + end, x.shape[3] + begin + end))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            if 0 <= i - begin < x.shape[2] and 0 <= j - begin < x.shape[3]:
                y[:, :, i, j] = x[:, :, i - begin, j - begin]
    return [y]


@oracle("Permute")
def permute(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """SSD's permute_layer; the real cases permute-*."""
    order = list(p.get("permute_param").all("order"))
    order += [axis for axis in range(bottoms[0].ndim) if axis not in order]
    y = np.zeros([bottoms[0].shape[axis] for axis in order])
    for index in np.ndindex(*y.shape):
        place = [0] * y.ndim
        for i, axis in enumerate(order):
            place[axis] = index[i]
        y[index] = bottoms[0][tuple(place)]
    return [y]


@oracle("Reorg")
def reorg(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Darknet's loop over flat indices, as the YOLOv2 forks' reorg_layer.cpp has it; the real cases reorg-*."""
    s, x = p.get("reorg_param"), bottoms[0]
    stride, (n, c, h, w) = s.get("stride"), x.shape
    flat, out = x.ravel(), np.zeros(x.size)
    planes = c // stride**2
    for b in range(n):
        for k in range(c):
            for j in range(h):
                for i in range(w):
                    small = i + w * (j + h * (k + c * b))
                    offset = k // planes
                    column = i * stride + offset % stride
                    row = j * stride + offset // stride
                    big = column + w * stride * (row + h * stride * (k % planes + planes * b))
                    if s.get("reverse"):
                        out[big] = flat[small]
                    else:
                        out[small] = flat[big]
    if s.get("reverse"):
        return [out.reshape(n, planes, h * stride, w * stride)]
    return [out.reshape(n, c * stride**2, h // stride, w // stride)]


@oracle("ShuffleChannel")
def shuffle_channel(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """farmingyard/ShuffleNet's shuffle_channel_layer; the real cases shuffle-*."""
    group, x = p.get("shuffle_channel_param").get("group"), bottoms[0]
    x = four(x)
    each, y = x.shape[1] // group, np.zeros_like(x)
    for g in range(group):
        for i in range(each):
            y[:, i * group + g] = x[:, g * each + i]
    return [y]


@oracle("Reverse")
def reverse(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """tianzhi0549/CTPN, caffe/src/caffe/layers/reverse_layer.cpp; the real cases reverse-*."""
    return [np.flip(bottoms[0], p.get("reverse_param").get("axis"))]


@oracle("ContinuationIndicator")
def continuation(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC/caffe@04a2c447 (with a bottom) and intel/caffe (without): continuation_indicator_layer.cpp; the real
    cases contind-* for the first.
    """
    s = p.get("continuation_indicator_param")
    streams = bottoms[0].shape[s.get("axis")] if bottoms else s.get("batch_size")
    y = np.ones((s.get("time_step"), streams))
    y[0] = 0
    return [y]


@oracle("SpatialPyramidPooling")
def pyramid(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The SPP-net branch; the real cases sppnet-*."""
    x, bins = bottoms[0], p.get("spatial_pyramid_pooling_param").all("spatial_bin")
    reduce = np.max if p.get("pooling_param").get("pool") == "MAX" else np.mean
    columns = []
    for b in bins:
        h, w = x.shape[2] // b, x.shape[3] // b
        if len(bins) == 1:
            h, w = x.shape[2:]
        level = [
            [reduce(x[:, :, i : i + h, j : j + w], axis=(2, 3)) for j in range(0, x.shape[3], w)]
            for i in range(0, x.shape[2], h)
        ]
        columns.append(np.array(level).transpose(2, 3, 0, 1).reshape(x.shape[0], -1))
    return [np.concatenate(columns, axis=1)[:, :, None, None]]


def along_channels(values: Array, rank: int) -> Array:
    return values.reshape(-1, *(1,) * (rank - 2))


@oracle("BN")
def bn(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """alexgkendall/caffe-segnet and hszhao/PSPNet: src/caffe/layers/bn_layer.cpp; the real cases bn-segnet-* and
    bn-pspnet-*.
    """
    s, x = p.get("bn_param"), bottoms[0]
    if len(blobs) == 2:
        x = four(x)
    swapped = s.get("axis") == 2  # an early PSPNet's
    x = x.swapaxes(1, 2) if swapped else x
    scale, shift = (along_channels(b.ravel(), x.ndim) for b in blobs[:2])
    if s.get("bn_mode") == "INFERENCE":
        return [x * scale + shift, *np.zeros((2, 1, x.shape[1], 1, 1))][: len(p.all("top"))]
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean, variance = x.mean(axis=others, keepdims=True), x.var(axis=others, keepdims=True)
    tops: list[Array] = []
    eps = 1e-9
    if len(blobs) == 4:
        early = any(s.has(f) for f in ("var_eps", "decay", "moving_average"))
        eps = s.get("var_eps" if early else "eps")
        stored = (s.get("moving_average") and not train) if early else (s.get("frozen") or not train)
        if stored:
            mean, variance = (along_channels(b.ravel(), x.ndim)[None] for b in blobs[2:])
    else:
        tops = [mean.reshape(1, -1, 1, 1), variance.reshape(1, -1, 1, 1)]
    y = (x - mean) / np.sqrt(variance + eps) * scale + shift
    y = y.swapaxes(1, 2) if swapped else y
    return [y, *tops][: len(p.all("top"))]


@oracle("Normalize")
def normalize(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """weiliu89/caffe, normalize_layer.cpp, and the real cases normalize-*; without norm_param tanghy2016/caffe's."""
    s, x = p.get("norm_param"), bottoms[0]
    if not p.has("norm_param"):
        return unit_length(p, four(x))
    y = np.zeros_like(x)
    for n in range(x.shape[0]):
        if s.get("across_spatial"):
            y[n] = x[n] / math.sqrt((x[n] ** 2).sum() + s.get("eps"))
        else:
            y[n] = x[n] / np.sqrt((x[n] ** 2).sum(axis=0) + s.get("eps"))
    return [y * along_channels(blobs[0].ravel(), x.ndim) if blobs[0].size > 1 else y * blobs[0].ravel()[0]]


def unit_length(p: Message, x: Array) -> list[Array]:
    y, lengths = np.zeros_like(x), np.zeros((x.shape[0], 1, *x.shape[2:]))
    for n, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
        channels = x[n, :, i, j]
        if p.get("normalize_param").get("normalize_type") == "L1":
            length = float(np.abs(channels).sum()) + 1e-6
        else:
            length = math.sqrt(float((channels**2).sum()) + 1e-6)
        y[n, :, i, j], lengths[n, 0, i, j] = channels / length, length
    return [y, lengths][: len(p.all("top"))]


@oracle("LRNMap")
def lrn_map(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC/caffe@3629f764, src/caffe/layers/lrn_map_layer.cpp: x · (1 + α · mean pooling of x²)^−β."""
    s, x = p.get("lrn_map_param"), bottoms[0]
    half, y = s.get("local_size") // 2, np.zeros_like(x)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            window = x[:, :, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
            mean = (window**2).sum(axis=(2, 3)) / s.get("local_size") ** 2
            y[:, :, i, j] = x[:, :, i, j] * (1 + s.get("alpha") * mean) ** -s.get("beta")
    return [y]


@oracle("ReLU6")
def relu6(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real cases relu6-*; n: openvinotoolkit/training_toolbox_caffe, src/caffe/layers/relu6_layer.cpp."""
    slope = p.get("relu6_param" if p.has("relu6_param") else "relu_param").get("negative_slope")
    x = bottoms[0]
    return [np.minimum(np.maximum(x, 0) + slope * np.minimum(x, 0), p.get("relu6_param").get("n"))]


@oracle("NegReLU")
def neg_relu(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real case negrelu."""
    x = bottoms[0]
    return [np.minimum(x, 0) + p.get("relu_param").get("negative_slope") * np.maximum(x, 0)]


@oracle("CReLU")
def crelu(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real case crelu-1xN. winggan/caffe@635408a5, src/caffe/layers/crelu_layer.cpp, writes the negative parts
    one count of the bottom behind the positive ones; Cambricon/caffe@77445b2d, the file of that name, has crelu_param.
    """
    x = bottoms[0]
    if not p.has("crelu_param"):
        flat = np.concatenate([np.maximum(x, 0).ravel(), np.maximum(-x, 0).ravel()])
        return [flat.reshape(len(x), 2 * x.shape[1], *x.shape[2:])]
    s = p.get("crelu_param")
    both = np.concatenate([x, -x], axis=s.get("concat_axis"))
    return [np.maximum(both, 0) + s.get("negative_slope") * np.minimum(both, 0)]


@oracle("SeLu", "SELU")
def selu(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real case selu-param."""
    s, x = p.get("selu_param"), bottoms[0]
    return [s.get("lambda") * np.where(x > 0, x, s.get("alpha") * (np.exp(np.minimum(x, 0)) - 1))]


@oracle("SeLuDropout")
def selu_dropout(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC/caffe@3866af4c, src/caffe/layers/selu_dropout_layer.cpp: a copy at test."""
    return [bottoms[0]]


@oracle("Quantize")
def quantize(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real case quantize."""

    def level(v: float) -> int:
        if v < 1 or v >= 200:
            return 0
        return 1 if v < 12 else 2 if v < 36 else 3 if v < 80 else 4

    return [np.vectorize(level, otypes=[float])(bottoms[0])]


@oracle("Rescale")
def rescale(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real cases rescale-*."""
    rf, x = p.get("rescale_param").get("rf"), bottoms[0]
    y, inside = np.zeros_like(x), np.zeros_like(x)
    for index, v in np.ndenumerate(x):
        if not (v >= rf or abs(v) <= 0.0001):
            y[index], inside[index] = 2 * v / rf - 1, 1
    return [y, inside][: len(p.all("top"))]


@oracle("Axpy")
def axpy(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """The real cases axpy-*."""
    a, x, y = bottoms
    out = np.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[n, c] = a.reshape(x.shape[0], -1)[n, c] * x[n, c] + y[n, c]
    return [out]
