"""Plain NumPy forward passes of the forks' larger layers: convolutions, detection, regions, flow, and the
CRF.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.forks import ORACLES, Array, four, oracle


def one(s: Message, field: str, default: int) -> int:
    value = s.get(field)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return int(value) if s.has(field) and value is not None else default


def correlate(x: Array, w: Array, group: int, stride: Any, pad: Any, dilation: int = 1) -> Array:
    """Cross-correlation of N × C × … with O × C/group × …, by loops over the output."""
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    reach = [dilation * (k - 1) + 1 for k in w.shape[2:]]
    size = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    per_in, per_out = x.shape[1] // group, w.shape[0] // group
    for index in np.ndindex(*size):
        cut = tuple(slice(index[a] * stride[a], index[a] * stride[a] + reach[a], dilation) for a in range(rank))
        for o in range(w.shape[0]):
            first = o // per_out * per_in
            window = x[(slice(None), slice(first, first + per_in), *cut)]
            y[(slice(None), o, *index)] = (window * w[o]).sum(axis=tuple(range(1, rank + 2)))
    return y


def with_bias(y: Array, blobs: list[Array]) -> Array:
    return y + blobs[1].reshape(-1, *(1,) * (y.ndim - 2)) if len(blobs) > 1 else y


@oracle("ConvolutionDepthwise", "DepthwiseConvolution", "HoleConvolution")
def convolution(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC Caffe's convolution with a group for each channel; the real cases convdw-* and dwconv-*. `hole` is DeepLab's
    older name of dilation.
    """
    s, x = p.get("convolution_param"), four(bottoms[0])
    group = x.shape[1] if p.get("type") == "ConvolutionDepthwise" else s.get("group")
    stride, pad = (
        [s.get(f"{name}_h"), s.get(f"{name}_w")] if s.has(f"{name}_h") else [one(s, name, default)] * 2
        for name, default in (("stride", 1), ("pad", 0))
    )
    hole = one(s, "hole", 1) if s.has("hole") else one(s, "dilation", 1)
    return [with_bias(correlate(x, blobs[0], group, stride, pad, hole), blobs)]


def volume(p: Message, own: str, shared: str) -> tuple[Message, list[int], list[int], list[int]]:
    s = p.get(own if p.has(own) else shared)
    kernel = [one(s, "kernel_depth", 1)] + [one(s, "kernel_size", 1)] * 2
    stride = [one(s, "temporal_stride", 1)] + [one(s, "stride", 1)] * 2
    return s, kernel, stride, [one(s, "temporal_pad", 0)] + [one(s, "pad", 0)] * 2


@oracle("Convolution3D")
def convolution3d(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """facebookarchive/C3D, C3D-v1.1/src/caffe/layers/convolution3d_layer.cpp; the real cases conv3d-*, c3d-net."""
    _, _, stride, pad = volume(p, "convolution3d_param", "convolution_param")
    return [with_bias(correlate(bottoms[0], blobs[0], 1, stride, pad), blobs)]


@oracle("Deconvolution3D")
def deconvolution3d(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """facebookarchive/C3D, C3D-v1.1/src/caffe/layers/deconvolution3d_layer.cpp; the real cases deconv3d-*."""
    _, kernel, stride, pad = volume(p, "convolution3d_param", "convolution_param")
    x, w = bottoms[0], blobs[0]
    blobs = blobs[: 1 + p.get("convolution_param").get("bias_term")]
    size = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], stride, kernel, strict=True)]
    y = np.zeros((x.shape[0], w.shape[1], *size))
    for index in np.ndindex(*x.shape[2:]):
        cut = tuple(slice(i * s, i * s + k) for i, s, k in zip(index, stride, kernel, strict=True))
        value = x[(slice(None), slice(None), *index)]
        y[(slice(None), slice(None), *cut)] += np.einsum("nc,co...->no...", value, w)
    inner = tuple(slice(q, n - q) for q, n in zip(pad, size, strict=True))
    return [with_bias(y[(slice(None), slice(None), *inner)], blobs)]


@oracle("Pooling3D")
def pooling3d(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """facebookarchive/C3D, C3D-v1.1/src/caffe/layers/pool3d_layer.cpp; the real cases pool3d-*."""
    s, kernel, stride, pad = volume(p, "pooling3d_param", "pooling_param")
    x = bottoms[0]
    size = [math.ceil((n + 2 * q - k) / t) + 1 for n, k, t, q in zip(x.shape[2:], kernel, stride, pad, strict=True)]
    y = np.zeros((*x.shape[:2], *size))
    for index in np.ndindex(*size):
        cut, count = [], 1
        for i, k, t, q, n in zip(index, kernel, stride, pad, x.shape[2:], strict=True):
            start = i * t - q
            end = min(start + k, n + q)
            count *= end - start
            cut.append(slice(max(start, 0), max(min(end, n), 0)))
        window = x[(slice(None), slice(None), *cut)]
        axes = (2, 3, 4)
        with np.errstate(invalid="ignore"):
            y[(slice(None), slice(None), *index)] = (
                window.max(axis=axes, initial=-3.4028235e38)
                if s.get("pool") == "MAX"
                else window.sum(axis=axes) / np.float64(count)
            )
    return [y]


@oracle("PriorBox", "PriorBoxClustered")
def prior_box(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Rests on the cases priorbox-* (real numbers of SSD's layer), on weiliu89/caffe and, for fixed widths and
    heights, on openvinotoolkit/training_toolbox_caffe: src/caffe/layers/prior_box_layer.cpp and
    prior_box_clustered_layer.cpp. An early version of SSD's file based ratio boxes on √(min · max); the cases
    and later versions do not.
    """
    s, (x, image) = p.get("prior_box_param"), bottoms
    grid, picture = ((*b.shape, 1, 1)[2:4] for b in (x, image))
    height = s.get("img_h") or s.get("img_size") or picture[0]
    width = s.get("img_w") or s.get("img_size") or picture[1]
    step_h = s.get("step_h") or s.get("step") or height / grid[0]
    step_w = s.get("step_w") or s.get("step") or width / grid[1]
    ratios: list[float] = []
    for ratio in s.all("aspect_ratio"):
        if abs(ratio - 1) > 1e-6 and all(abs(ratio - r) > 1e-6 for r in ratios):
            ratios += [ratio, float(np.float32(1 / ratio))] if s.get("flip") else [ratio]
    sizes: list[tuple[float, float]] = list(zip(s.all("width"), s.all("height"), strict=True))
    for index, least in enumerate(s.all("min_size")):
        sizes.append((int(least), int(least)))
        if s.all("max_size"):
            sizes.append((math.sqrt(int(least) * int(s.all("max_size")[index])),) * 2)
        sizes += [(int(least) * math.sqrt(r), int(least) / math.sqrt(r)) for r in ratios]
    sizes = [(float(np.float32(w)), float(np.float32(h))) for w, h in sizes]  # box_width and box_height are floats
    boxes: list[float] = []
    for i in range(grid[0]):
        for j in range(grid[1]):
            cx, cy = (j + s.get("offset")) * step_w, (i + s.get("offset")) * step_h
            for w, h in sizes:
                boxes += [(cx - w / 2) / width, (cy - h / 2) / height]
                boxes += [(cx + w / 2) / width, (cy + h / 2) / height]
    variance = list(s.all("variance")) or [float(np.float32(0.1))]
    variances = np.resize(variance, len(boxes))
    return [np.array([[np.clip(boxes, 0, 1) if s.get("clip") else boxes, variances]])]


def overlap(a: Array, b: Array) -> float:
    """JaccardOverlap of weiliu89/caffe, src/caffe/util/bbox_util.cpp: 0 where the boxes do not overlap, and a box
    whose corners are swapped has no area.
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [0 if q[2] < q[0] or q[3] < q[1] else (q[2] - q[0]) * (q[3] - q[1]) for q in (a, b)]
    return float(width * height / (sum(areas) - width * height))


def decode(code: str, prior: Array, d: Array) -> Array:
    """DecodeBBox of weiliu89/caffe, src/caffe/util/bbox_util.cpp, the variances in `d` already."""
    x1, y1, x2, y2 = prior
    w, h = x2 - x1, y2 - y1
    if code == "CORNER":
        return prior + d
    if code == "CORNER_SIZE":
        return prior + d * [w, h, w, h]
    cx, cy = d[0] * w + (x1 + x2) / 2, d[1] * h + (y1 + y2) / 2
    half_w, half_h = math.exp(d[2]) * w / 2, math.exp(d[3]) * h / 2
    return np.array([cx - half_w, cy - half_h, cx + half_w, cy + half_h])


@oracle("DetectionOutput")
def detection_output(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Rests on the cases detection-* and ssd-head-*, and on weiliu89/caffe: detection_output_layer.cpp, and
    ApplyNMSFast and GetMaxScoreIndex (a stable sort) of bbox_util.cpp.
    """
    s, (location, scores, priors) = p.get("detection_output_param"), bottoms[:3]
    nms, classes, rows = s.get("nms_param"), s.get("num_classes"), []
    corners, variances = priors[0].reshape(2, -1, 4)
    count, labels = len(corners), 1 if s.get("share_location") else classes
    for n in range(location.shape[0]):
        offsets, score = location[n].reshape(count, labels, 4), scores[n].reshape(count, classes)
        kept: list[tuple[float, int, Array]] = []
        for label in range(classes):
            if label == s.get("background_label_id"):
                continue
            found = []
            for index in range(count):
                if s.has("confidence_threshold") and not score[index, label] > s.get("confidence_threshold"):
                    continue
                d = offsets[index, 0 if labels == 1 else label]
                d = d if s.get("variance_encoded_in_target") else d * variances[index]
                found.append((score[index, label], label, decode(s.get("code_type"), corners[index], d)))
            found.sort(key=lambda f: -f[0])
            if nms.has("top_k") and nms.get("top_k") > -1:
                found = found[: nms.get("top_k")]
            limit, own = nms.get("nms_threshold"), []
            for candidate in found:
                if all(overlap(candidate[2], other[2]) <= limit for other in own):
                    own.append(candidate)
                    if nms.get("eta") < 1 and limit > 0.5:
                        limit *= nms.get("eta")
            kept += own
        if s.get("keep_top_k") > -1:
            best = sorted(kept, key=lambda f: -f[0])[: s.get("keep_top_k")]
            kept = sorted(best, key=lambda f: f[1])
        rows += [[n, label, value, *box] for value, label, box in kept]
    if not rows:
        rows = [[n, *[-1] * 6] for n in range(location.shape[0])]
    return [np.array(rows)[None, None]]


def away(v: float) -> int:
    return math.floor(v + 0.5) if v >= 0 else math.ceil(v - 0.5)


@oracle("ROIPooling")
def roi_pooling(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Rests on the cases roipool-* and frcnn-tail; pad_ratio on zhaoweicai/mscnn,
    src/caffe/layers/roi_pooling_layer.cpp.
    """
    s, (x, rois) = p.get("roi_pooling_param"), bottoms
    cells, scale = (s.get("pooled_h"), s.get("pooled_w")), s.get("spatial_scale")
    y = np.zeros((len(rois), x.shape[1], *cells))
    for n, roi in enumerate(rois.reshape(-1, 5)):
        pad_x, pad_y = ((roi[3 + i] - roi[1 + i] + 1) * s.get("pad_ratio") for i in (0, 1))
        x1, y1, x2, y2 = (away(v * scale) for v in np.add(roi[1:], [-pad_x, -pad_y, pad_x, pad_y]))
        step = max(y2 - y1 + 1, 1) / cells[0], max(x2 - x1 + 1, 1) / cells[1]
        for i in range(cells[0]):
            for j in range(cells[1]):
                top, bottom = math.floor(i * step[0]) + y1, math.ceil((i + 1) * step[0]) + y1
                left, right = math.floor(j * step[1]) + x1, math.ceil((j + 1) * step[1]) + x1
                top, bottom = max(top, 0), min(bottom, x.shape[2])
                left, right = max(left, 0), min(right, x.shape[3])
                if bottom > top and right > left:
                    y[n, :, i, j] = x[int(roi[0]), :, top:bottom, left:right].max(axis=(1, 2))
    return [y]


@oracle("PSROIPooling")
def psroi_pooling(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Rests on the cases psroi-* and rfcn-tail (real numbers of R-FCN's layer, case.json says whose)."""
    s, (x, rois) = p.get("psroi_pooling_param"), bottoms
    k, channels, scale = s.get("group_size"), s.get("output_dim"), s.get("spatial_scale")
    y = np.zeros((len(rois), channels, k, k))
    for n, roi in enumerate(rois.reshape(-1, 5)):
        left0, top0 = away(roi[1]) * scale, away(roi[2]) * scale
        right0, bottom0 = (away(roi[3]) + 1) * scale, (away(roi[4]) + 1) * scale
        h, w = max(bottom0 - top0, 0.1) / k, max(right0 - left0, 0.1) / k
        for c in range(channels):
            for i in range(k):
                for j in range(k):
                    rows = slice(max(math.floor(i * h + top0), 0), max(math.ceil((i + 1) * h + top0), 0))
                    columns = slice(max(math.floor(j * w + left0), 0), max(math.ceil((j + 1) * w + left0), 0))
                    window = x[int(roi[0]), (c * k + i) * k + j, rows, columns]
                    y[n, c, i, j] = window.mean() if window.size else 0
    return [y]


@oracle("Correlation", "Correlation1D")
def correlation(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """FlowNet's and DispNet's correlation layers; the real cases corr-* and corr1d-*."""
    s, flat = p.get("correlation_param"), p.get("type") == "Correlation1D"
    k, reach, pad = s.get("kernel_size"), s.get("max_displacement"), s.get("pad")
    stride, step = s.get("stride_1"), s.get("stride_2")
    margin = [(0, 0), (0, 0), (0, 0) if flat else (pad, pad), (pad, pad)]
    a, b = (np.pad(x, margin) for x in bottoms)
    up = 0 if flat else reach
    size = [
        math.ceil((a.shape[2] - 2 * (up + k // 2)) / stride),
        math.ceil((a.shape[3] - 2 * (reach + k // 2)) / stride),
    ]
    steps = range(-(reach // step), reach // step + 1)
    across = range(reach // step + 1) if s.get("single_direction") == 1 else steps
    moves = [(dy * step, dx * step) for dy in ([0] if flat else steps) for dx in across]
    y = np.zeros((a.shape[0], len(moves), *size))
    for channel, (dy, dx) in enumerate(moves):
        for i in range(size[0]):
            for j in range(size[1]):
                top, left = i * stride + up, j * stride + reach
                one_ = a[:, :, top : top + k, left : left + k]
                two = b[:, :, top + dy : top + dy + k, left + dx : left + dx + k]
                match = np.abs(one_ - two) if s.get("correlation_type") == "SUBTRACT" else one_ * two
                y[:, channel, i, j] = match.mean(axis=(1, 2, 3))
    return [y]


@oracle("FlowWarp")
def flow_warp(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """FlowNet 2's flow_warp_layer; the real cases flowwarp-*, flow2-warp-chain."""
    x, flow = bottoms
    fill = np.nan if p.get("flow_warp_param").get("fill_value") == "NOT_A_NUMBER" else 0
    y = np.full_like(x, fill)
    h, w = x.shape[2:]
    for n in range(x.shape[0]):
        for i in range(h):
            for j in range(w):
                u, v = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
                if 0 <= u < w and 0 <= v < h:
                    left, top = int(u), int(v)
                    right, bottom = min(left + 1, w - 1), min(top + 1, h - 1)
                    a, b = u - left, v - top
                    y[n, :, i, j] = (
                        (1 - a) * (1 - b) * x[n, :, top, left]
                        + a * (1 - b) * x[n, :, top, right]
                        + (1 - a) * b * x[n, :, bottom, left]
                        + a * b * x[n, :, bottom, right]
                    )
    return [y]


@oracle("Warp")
def warp(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """NVlabs/PWC-Net, Caffe/warping_code; the same kernel in lvzhaoyang/caffe, src/caffe/layers/warp_layer.cu."""
    x, flow = bottoms
    y, (h, w) = np.zeros_like(x), x.shape[2:]
    for n, i, j in np.ndindex(x.shape[0], h, w):
        u, v = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
        if 0 <= u <= w - 1 and 0 <= v <= h - 1:
            left, top, right, bottom = math.floor(u), math.floor(v), math.ceil(u), math.ceil(v)
            a, b = u - left, v - top
            upper = (1 - a) * x[n, :, top, left] + a * x[n, :, top, right]
            lower = (1 - a) * x[n, :, bottom, left] + a * x[n, :, bottom, right]
            y[n, :, i, j] = (1 - b) * upper + b * lower
    return [y]


@oracle("Resample")
def resample(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """lmb-freiburg/flownet2, src/caffe/layers/resample_layer.cu; the real cases resample-*."""
    s, x = p.get("resample_param"), bottoms[0]
    size = bottoms[1].shape[2:] if len(bottoms) > 1 else (s.get("height"), s.get("width"))
    fy, fx = x.shape[2] / size[0], x.shape[3] / size[1]
    wide = s.get("antialias") and max(fx, fy) > 1

    def weight(d: float, factor: float) -> float:
        d = abs(d) / (factor if wide else 1)
        if s.get("type") == "LINEAR":
            return max(1 - d, 0)
        if d <= 1:
            return d * d * (1.5 * d - 2.5) + 1
        return d * (d * (-0.5 * d + 2.5) - 4) + 2 if d < 2 else 0

    y = np.zeros((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            v, u = i * fy + fx / 2 - 0.5, j * fx + fy / 2 - 0.5
            if s.get("type") == "NEAREST":
                for n, c in np.ndindex(*x.shape[:2]):  # a place in memory, whatever row and plane it is in
                    at = ((n * x.shape[1] + c) * x.shape[2] + away(v)) * x.shape[3] + away(u)
                    y[n, c, i, j] = x.flat[min(at, x.size - 1)]
                continue
            total = 0.0
            for row in range(x.shape[2]):
                for column in range(x.shape[3]):
                    share = weight(v - row, fy) * weight(u - column, fx)
                    y[:, :, i, j] += share * x[:, :, row, column]
                    total += share
            y[:, :, i, j] = y[:, :, i, j] / total if total else 0
    return [y]


@oracle("DataAugmentation")
def data_augmentation(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """FlowNet 2's data_augmentation_layer; the shapes of its tops and blobs checked against lmb-freiburg/flownet2,
    src/caffe/layers/data_augmentation_layer.cpp, its numbers against no real case: it runs on a GPU alone.
    """
    s, x = p.get("augmentation_param"), bottoms[0]
    h, w = x.shape[2:]
    size = (s.get("crop_height"), s.get("crop_width")) if s.has("crop_width") else (h, w)
    y = np.zeros((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            if not s.has("crop_width"):
                y[:, :, i, j] = x[:, :, i, j]
                continue
            v = max(0.0, min(i - size[0] / 2 + h / 2, h - 1.05))
            u = max(0.0, min(j - size[1] / 2 + w / 2, w - 1.05))
            top, left = int(v), int(u)
            a, b = v - top, u - left
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            y[:, :, i, j] = (
                (1 - a) * (1 - b) * x[:, :, top, left]
                + (1 - a) * b * x[:, :, top, right]
                + a * (1 - b) * x[:, :, bottom, left]
                + a * b * x[:, :, bottom, right]
            )
    if s.get("recompute_mean"):
        return [y - blobs[1 if s.get("mean_per_pixel") else 2]]
    if len(s.all("mean")) == 3 and not s.get("mean_per_pixel"):
        return [y - np.array(s.all("mean")).reshape(3, 1, 1)]
    return [y]


class Lattice:
    """The permutohedral lattice with a dictionary of vertices, after Adams, Baek and Davis (2010), point by point.

    Zeros fill the points up to a multiple of 4, as in BVLC/caffe@07dcc07c, src/caffe/util/modified_permutohedral.cpp,
    built for SSE; these have vertices and no numbers.
    """

    def __init__(self, features: Array) -> None:
        d = features.shape[1]
        self.d, self.vertices, self.simplices = d, dict[tuple[int, ...], int](), []
        count = len(features)
        for point in np.pad(features, ((0, -count % 4), (0, 0))):
            scaled = [f * math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i, f in enumerate(point)]
            raised = [sum(scaled)]
            raised += [sum(scaled[i:]) - i * scaled[i - 1] for i in range(1, d + 1)]
            base = [round(v / (d + 1)) * (d + 1) for v in raised]
            over = sum(base) // (d + 1)
            rest = [r - b for r, b in zip(raised, base, strict=True)]
            order = sorted(range(d + 1), key=lambda i: -rest[i])
            rank = [order.index(i) + over for i in range(d + 1)]
            for i in range(d + 1):
                if rank[i] < 0:
                    rank[i], base[i] = rank[i] + d + 1, base[i] + d + 1
                elif rank[i] > d:
                    rank[i], base[i] = rank[i] - d - 1, base[i] - d - 1
            # Coordinates sorted: the weights are the gaps between neighbours in rank.
            gap = [0.0] * (d + 1)
            for i in range(d + 1):
                gap[rank[i]] = (raised[i] - base[i]) / (d + 1)
            weights = [1 - (gap[0] - gap[d])] + [gap[d - k] - gap[d - k + 1] for k in range(1, d + 1)]
            simplex = []
            for k in range(d + 1):
                key = tuple(base[i] + (k if rank[i] <= d - k else k - d - 1) for i in range(d + 1))
                assert sum(key) == 0
                simplex.append((self.vertices.setdefault(key, len(self.vertices)), weights[k]))
            self.simplices.append(simplex)
        del self.simplices[count:]

    def filter(self, values: Array) -> Array:
        """`values` is channels × points."""
        grid = np.zeros((len(values), len(self.vertices)))
        for point, simplex in enumerate(self.simplices):
            for vertex, weight in simplex:
                grid[:, vertex] += weight * values[:, point]
        for axis in range(self.d + 1):
            blurred = grid.copy()
            for key, vertex in self.vertices.items():
                for sign in (1, -1):
                    step = [k - sign for k in key]
                    step[axis] += sign * (self.d + 1)
                    other = self.vertices.get(tuple(step))
                    if other is not None:
                        blurred[:, vertex] += 0.5 * grid[:, other]
            grid = blurred
        out = np.zeros_like(values)
        for point, simplex in enumerate(self.simplices):
            for vertex, weight in simplex:
                out[:, point] += weight * grid[:, vertex]
        return np.asarray(out / (1 + 2.0**-self.d))


@oracle("MultiStageMeanfield")
def mean_field(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """CRF-RNN's multi_stage_meanfield; the real case crf-net."""
    s, (unary, start, image) = p.get("multi_stage_meanfield_param"), bottoms
    spatial, bilateral, compatibility = (b.reshape(unary.shape[1], -1) for b in blobs)
    h, w = unary.shape[2:]
    place = np.array([(j, i) for i in range(h) for j in range(w)], float)
    near = Lattice(place / s.get("theta_gamma"))
    tops = []
    for n in range(len(unary)):
        colours = image[n, :3].reshape(3, -1).T
        alike = Lattice(np.hstack([place / s.get("theta_alpha"), colours / s.get("theta_beta")]))
        q = start[n].reshape(len(spatial), -1)
        norms = [lattice.filter(np.ones((1, h * w))) for lattice in (near, alike)]
        for _ in range(s.get("num_iterations")):
            q = np.exp(q - q.max(axis=0))
            q = q / q.sum(axis=0)
            message = spatial @ (near.filter(q) / norms[0]) + bilateral @ (alike.filter(q) / norms[1])
            q = unary[n].reshape(len(spatial), -1) - compatibility @ message
        tops.append(q.reshape(unary.shape[1:]))
    return [np.array(tops)]


@oracle("SoftmaxCrossEntropyLoss")
def cross_entropy(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC/caffe@d273a746, src/caffe/layers/softmax_cross_entropy_loss_layer.cpp."""
    x, target = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    q = e / e.sum(axis=1, keepdims=True)
    loss = sum(t * (math.log(t) - math.log(v)) for t, v in zip(target.ravel(), q.ravel(), strict=True) if t > 0)
    return [np.array(loss / len(x))]


@oracle("SmoothL1Loss")
def smooth_l1(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """Rests on the cases smoothl1-* (real numbers of Fast R-CNN's and SSD's layers); axes of 1 may be missing, as
    weiliu89/caffe's src/caffe/layers/smooth_L1_loss_layer.cpp compares channels, height and width.
    """
    bottoms = [four(b) for b in bottoms]
    sigma, loss = p.get("smooth_l1_loss_param").get("sigma"), 0.0
    inside = bottoms[2] if len(bottoms) > 2 else np.ones_like(bottoms[0])
    outside = bottoms[3] if len(bottoms) > 3 else np.ones_like(bottoms[0])
    for index in np.ndindex(*bottoms[0].shape):
        d = abs(inside[index] * (bottoms[0][index] - bottoms[1][index]))
        term = 0.5 * (sigma * d) ** 2 if d < 1 / sigma**2 else d - 0.5 / sigma**2
        loss += outside[index] * term
    return [np.array(loss / len(bottoms[0]))]


__all__ = ["ORACLES"]
