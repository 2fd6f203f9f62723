"""Plain NumPy forward passes of the layers that make and use regions: Faster R-CNN's proposals, Cascade R-CNN's
ROIAlign and DecodeBBox, and YOLO's detections. No real numbers of these layers are at hand; each is written from
the source that its docstring names, in loops.
"""

from __future__ import annotations

import math

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.forks import ORACLES, Array, oracle
from tests.oracles.forks_structured import overlap


def anchors_of(ratios: list[float], scales: list[float], base: int, half_up: bool) -> Array:
    """rbgirshick/py-faster-rcnn, lib/rpn/generate_anchors.py; with `half_up` generate_anchors of
    oylz/caffe-pvanet-shufflenet, src/caffe/layers/proposal_layer.cpp.
    """

    def whole(v: float) -> float:
        return float(int(v + 0.5)) if half_up else float(np.round(v))

    found = []
    for ratio in ratios:
        w = whole(math.sqrt(base * base / ratio))
        h = whole(w * ratio)
        for scale in scales:
            c = (base - 1) / 2
            found.append([c - 0.5 * (w * scale - 1), c - 0.5 * (h * scale - 1)])
            found[-1] += [c + 0.5 * (w * scale - 1), c + 0.5 * (h * scale - 1)]
    return np.array(found)


def pixel_overlap(a: Array, b: Array) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(q[2] - q[0] + 1) * (q[3] - q[1] + 1) for q in (a, b)]
    return float(w * h / (sum(areas) - w * h))


def proposals(
    bottoms: list[Array],
    anchors: Array,
    stride: int,
    before: int,
    after: int,
    limit: float,
    least: float,
    keep_small: bool = False,
) -> tuple[Array, Array]:
    """rbgirshick/py-faster-rcnn, lib/rpn/proposal_layer.py; with `keep_small` the C++ layer of
    oylz/caffe-pvanet-shufflenet, where boxes that are too small score 0.
    """
    scores, deltas, info = bottoms
    rows, values, count = [], [], len(anchors)
    info = info.reshape(len(info), -1)
    for n in range(len(scores)):
        own = info[min(n, len(info) - 1)]
        height, width, scale_y, scale_x = own[0], own[1], own[2], own[min(3, len(own) - 1)]
        found = []
        for i in range(scores.shape[2]):
            for j in range(scores.shape[3]):
                for a in range(count):
                    x1, y1, x2, y2 = anchors[a] + [j * stride, i * stride, j * stride, i * stride]
                    dx, dy, dw, dh = deltas[n, 4 * a : 4 * a + 4, i, j]
                    w, h = x2 - x1 + 1, y2 - y1 + 1
                    cx, cy = x1 + 0.5 * w + dx * w, y1 + 0.5 * h + dy * h
                    w, h = math.exp(dw) * w, math.exp(dh) * h
                    box = np.array([cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h])
                    box = np.maximum(np.minimum(box, [width - 1, height - 1] * 2), 0)
                    fits = box[2] - box[0] + 1 >= least * scale_x and box[3] - box[1] + 1 >= least * scale_y
                    score = scores[n, count + a, i, j]
                    if fits or keep_small:
                        found.append((score * fits, box))
        found.sort(key=lambda f: f[0])
        kept: list[tuple[float, Array]] = []
        for score, box in found[::-1][:before]:
            if len(kept) < after and all(pixel_overlap(box, other) <= limit for _, other in kept):
                kept.append((score, box))
        rows += [[n, *box] for _, box in kept]
        values += [score for score, _ in kept]
    return np.array(rows).reshape(-1, 5), np.array(values)


@oracle("Python", "Python:rpn.proposal_layer.ProposalLayer")
def python_proposals(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    anchors = anchors_of([0.5, 1, 2], [8, 16, 32], 16, half_up=False)
    before, after = (12000, 2000) if train else (6000, 300)
    rois, values = proposals(bottoms, anchors, 16, before, after, 0.7, 16)
    return [rois, values[:, None]][: len(p.all("top"))]


@oracle("FrcnnProposal")
def frcnn_proposals(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """FrcnnProposalLayer of the C++ ports of Faster R-CNN (src/caffe/FRCNN): tops of 4 axes."""
    tops = python_proposals(p, bottoms, blobs, train)
    return [top[:, :, None, None] for top in tops]


@oracle("Proposal")
def pvanet_proposals(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("proposal_param")
    anchors = anchors_of(list(s.all("ratio")), list(s.all("scale")), s.get("base_size"), half_up=True)
    limits = s.get("pre_nms_topn"), s.get("post_nms_topn"), s.get("nms_thresh"), s.get("min_size")
    found = proposals(bottoms, anchors, s.get("feat_stride"), *limits, keep_small=True)
    return list(found)[: len(p.all("top"))]


@oracle("ROIAlign")
def roi_align(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """zhaoweicai/cascade-rcnn, src/caffe/layers/roi_align_layer.cpp."""
    s, (x, rois) = p.get("roi_pooling_param"), bottoms
    cells, scale, pad = (s.get("pooled_h"), s.get("pooled_w")), s.get("spatial_scale"), s.get("pad_ratio")
    height, width = x.shape[2:]
    rois = rois.reshape(-1, 5)
    y = np.zeros((len(rois), x.shape[1], cells[0] + 1, cells[1] + 1))
    for n, (image, x1, y1, x2, y2) in enumerate(rois):
        pad_x, pad_y = (x2 - x1 + 1) * pad, (y2 - y1 + 1) * pad
        left, top = (x1 - pad_x) * scale - 0.5, (y1 - pad_y) * scale - 0.5
        w, h = (x2 + pad_x) * scale - 0.5 - left, (y2 + pad_y) * scale - 0.5 - top
        for i in range(cells[0] + 1):
            for j in range(cells[1] + 1):
                v, u = top + i * (h / cells[0]), left + j * (w / cells[1])
                outside = v < -0.5 or v > height - 0.5 or u < -0.5 or u > width - 0.5
                if w <= 0 or h <= 0 or outside:
                    continue
                rows = [min(max(math.floor(v) + d, 0), height - 1) for d in (0, 1)]
                columns = [min(max(math.floor(u) + d, 0), width - 1) for d in (0, 1)]
                a = min(max(v, 0), height - 1) - rows[0]
                b = min(max(u, 0), width - 1) - columns[0]
                maps = x[int(image)]
                y[n, :, i, j] = (1 - a) * ((1 - b) * maps[:, rows[0], columns[0]] + b * maps[:, rows[0], columns[1]])
                y[n, :, i, j] += a * ((1 - b) * maps[:, rows[1], columns[0]] + b * maps[:, rows[1], columns[1]])
    return [y]


@oracle("DecodeBBox")
def decode_bbox(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """zhaoweicai/mscnn and zhaoweicai/cascade-rcnn, src/caffe/layers/decode_bbox_layer.cpp, with
    DecodeBBoxesWithPrior of their bbox_util.cpp.
    """
    s = p.get("bbox_reg_param")
    mean, std = s.all("bbox_mean") or (0,) * 4, s.all("bbox_std") or (1,) * 4
    rows = []
    for n, (roi, numbers) in enumerate(zip(bottoms[1].reshape(-1, 5), bottoms[0].reshape(-1, 8), strict=True)):
        d = numbers[4:] * std + mean
        w, h = roi[3] - roi[1] + 1, roi[4] - roi[2] + 1
        cx, cy = d[0] * w + 0.5 * (roi[1] + roi[3]), d[1] * h + 0.5 * (roi[2] + roi[4])
        w, h = w * math.exp(d[2]), h * math.exp(d[3])
        x1, y1 = cx - (w - 1) / 2, cy - (h - 1) / 2
        box = [x1, y1, x1 + w - 1, y1 + h - 1]
        if train and (box[0] > box[2] or box[1] > box[3]):
            continue
        if len(bottoms) > 2 and bottoms[2].reshape(len(bottoms[2]), -1)[n, -1] >= p.get("decode_bbox_param").get(
            "gt_iou_thr"
        ):
            continue
        rows.append([roi[0], *box])
    return [np.array(rows).reshape(-1, 5, 1, 1)]


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def part(box: Array) -> Array:
    return np.array([box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2])


def ordered(found: list[tuple[float, int, Array]], limit: float, images: int) -> Array:
    """Best first; a box goes whose overlap with one that stays reaches the limit; rows as MobileNet-YOLO's."""
    kept: list[tuple[float, int, Array]] = []
    for score, label, box in sorted(found, key=lambda f: -f[0]):
        if all(overlap(part(box), part(other)) < limit for _, _, other in kept):
            kept.append((score, label, box))
    rows = [[0, label + 1, score, *part(box)] for score, label, box in kept]
    return np.array(rows or [[n, *[-1] * 6] for n in range(images)])[None, None]


@oracle("YoloDetectionOutput")
def yolo2(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """eric612/MobileNet-YOLO@092f8df0, and without its fields the OpenCL branch in BVLC/caffe:
    src/caffe/layers/yolo_detection_output_layer.cpp, the latter's ApplyNms in util/bbox_util.cpp.
    """
    s = p.get("yolo_detection_output_param")
    classes, count = s.get("num_classes"), s.get("num_box")
    mobilenet, limit, biases = s.has("num_box"), s.get("nms_threshold"), s.all("biases")
    rows: list[list[float]] = []
    every: list[tuple[float, int, Array]] = []
    images = [(n, image) for x in (bottoms if mobilenet else bottoms[:1]) for n, image in enumerate(x)]
    for n, image in images:
        found, side = [], image.shape[2]
        for i in range(side):
            for j in range(side):
                for b in range(count):
                    v = image[:, i, j].reshape(count, -1)[b]
                    e = np.exp(v[5 : 5 + classes] - v[5 : 5 + classes].max())
                    score = sigmoid(v[4]) * (e / e.sum()).max()
                    w, h = math.exp(v[2]) * biases[2 * b] / side, math.exp(v[3]) * biases[2 * b + 1] / side
                    box = np.array([(j + sigmoid(v[0])) / side, (i + sigmoid(v[1])) / side, w, h])
                    if score >= s.get("confidence_threshold"):
                        found.append((score, int(e.argmax()), box))
        every += found
        kept: list[Array] = []
        for score, label, box in [] if mobilenet else found:
            edges = np.clip(part(box), 0, 1)
            if all(overlap(edges, other) < limit for other in kept):
                kept.append(edges)
                row = [n, label + 1, score, *part(box)] if s.get("ssd_format") else [n, label, score, *box]
                rows.append(row)
    return [ordered(every, limit, len(bottoms[0])) if mobilenet else np.array(rows).reshape(1, 1, -1, 7)]


@oracle("Yolov3DetectionOutput")
def yolo3(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """eric612/Caffe-YOLOv3-Windows, src/caffe/layers/yolov3_detection_output_layer.cpp."""
    s = p.get("yolov3_detection_output_param")
    classes, count, biases, mask = s.get("num_classes"), s.get("num_box"), s.all("biases"), s.all("mask")
    each, found = len(mask) // s.get("mask_group_num"), []
    for t, x in enumerate(bottoms):
        side, pixels = x.shape[3], s.all("anchors_scale")[t]
        for n in range(len(x)):
            for i in range(side):
                for j in range(side):
                    for b in range(count):
                        v, anchor = x[n, :, i, j].reshape(count, -1)[b], mask[t * each + b]
                        w = math.exp(v[2]) * biases[2 * anchor] / (side * pixels)
                        h = math.exp(v[3]) * biases[2 * anchor + 1] / (side * pixels)
                        box = np.array([(j + sigmoid(v[0])) / side, (i + sigmoid(v[1])) / side, w, h])
                        for c in range(classes):
                            score = sigmoid(v[5 + c]) * sigmoid(v[4])
                            if score > s.get("confidence_threshold"):
                                found.append((score, c, box))
    return [ordered(found, s.get("nms_threshold"), len(bottoms[-1]))]


__all__ = ["ORACLES"]
