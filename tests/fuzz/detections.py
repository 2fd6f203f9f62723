"""Draws the layers of detectors: priors, proposals, regions and their features, detections.

What they choose among is drawn without equals, and never made by another layer: rounding may tie and untie nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.fuzz.draw import Array, Blob, Gen, Layer, Shape, section

PYTHON_PROPOSALS = "python_param {{ module: 'rpn.proposal_layer' layer: 'ProposalLayer' param_str: \"{}\" }}"


def distinct(g: Gen, shape: Shape, reach: float = 1.0) -> Array:
    """Numbers of -reach to reach in random order, no two alike."""
    size = int(np.prod(shape))
    return (g.rng().permutation(size).reshape(shape) * 2 + 1 - size) * (reach / max(size, 1))


def corners(g: Gen, count: int, grid: int) -> Array:
    """So many boxes: corners on a grid within the image."""
    return np.sort(g.integers((count, 2, 2), 0, grid + 1) / grid, axis=1).reshape(count, 4)


def priors(g: Gen, count: int) -> Blob:
    boxes = corners(g, count, 16).reshape(1, 1, -1)
    return g.input(np.concatenate((boxes, np.tile([0.125, 0.125, 0.25, 0.25], count).reshape(1, 1, -1)), axis=1))


def regions(g: Gen, images: int, size: int, axes: bool = True) -> Blob:
    """Image, x1, y1, x2, y2 of a few regions, at halves of pixels, some beyond the plane."""
    count = g.int(1, 3)
    rois = np.zeros((count, 5))
    rois[:, 0] = g.integers((count,), 0, images)
    ends = g.rng().integers(-4, 2 * size + 4, size=(count, 4)) / 2
    rois[:, 1:3], rois[:, 3:5] = np.minimum(ends[:, :2], ends[:, 2:]), np.maximum(ends[:, :2], ends[:, 2:])
    return g.input(rois.reshape(g.choice(((count, 5), (count, 5, 1, 1))) if axes else (count, 5)))


def _prior_fields(g: Gen) -> str:
    fields = g.opt("clip", g.chance(50), False) + g.choice(
        ("variance: 0.25 ", "variance: 0.5 ", "variance: 0.5 variance: 0.5 variance: 0.25 variance: 0.25 ")
    )
    fields += g.choice(("", "step: 4.0 ", "step_h: 2.0 step_w: 8.0 "))
    fields += g.choice(("", "img_size: 32 ", "img_h: 8 img_w: 16 "))
    return str(fields + g.opt("offset", g.choice((0.5, 0.0)), 0.5))


def prior_box(g: Gen) -> Layer:
    x, image = g.plane(), g.plane()
    least = sorted({g.int(1, 9) for _ in range(g.int(1, 2))})
    fields = "".join(f"min_size: {n} " for n in least)
    if g.chance(50):
        fields += "".join(f"max_size: {n + g.int(1, 5)} " for n in least)
    fields += "".join(f"aspect_ratio: {r!r} " for r in (2.0, 3.0, 0.25)[: g.int(0, 3)])
    fields += g.opt("flip", g.chance(50), True) + _prior_fields(g)
    return Layer("PriorBox", [x, image], section("prior_box_param", fields), exact=True)


def clustered(g: Gen) -> Layer:
    fields = "".join(f"width: {g.int(1, 9)}.5 height: {g.int(1, 9)} " for _ in range(g.int(1, 3)))
    return Layer("PriorBoxClustered", [g.plane(), g.plane()], section("prior_box_param", fields + _prior_fields(g)),
                 exact=True)  # fmt: skip


def detection_output(g: Gen) -> Layer:
    images, boxes, classes, shared = g.int(1, 2), g.int(1, 6), g.int(2, 3), g.chance(70)
    location = g.input(g.array((images, boxes * (1 if shared else classes) * 4)) / 8)
    scores = g.input(distinct(g, (images, boxes * classes)))
    fields = f"num_classes: {classes} " + g.opt("share_location", shared, True)
    fields += g.opt("code_type", g.choice(("CORNER", "CENTER_SIZE", "CORNER_SIZE")), "CORNER")
    fields += g.opt("variance_encoded_in_target", g.chance(30), False)
    fields += g.choice(("", "keep_top_k: 4 ", "keep_top_k: -1 ")) + g.choice(("", "confidence_threshold: 0.25 "))
    fields += f"nms_param {{ nms_threshold: {g.choice((0.3, 0.45, 0.6))!r} " + g.choice(("", "top_k: 3 ")) + "} "
    bottoms = [location, scores, priors(g, boxes)]
    params = section("detection_output_param", fields)
    return Layer("DetectionOutput", bottoms, params, fixed=(0, 1, 2), odd=True, dynamic=True)


def multibox_loss(g: Gen) -> Layer:
    images, boxes, classes, true = g.int(1, 2), g.int(2, 6), g.int(2, 3), g.int(1, 4)
    mining = g.choice(("MAX_NEGATIVE", "HARD_EXAMPLE", "NONE"))
    shared = mining != "NONE" or g.chance(60)
    low = g.rng().uniform(0, 0.6, size=(boxes + true, 2))
    both = np.hstack((low, low + g.rng().uniform(0.2, 0.5, size=low.shape)))
    spread = np.tile([0.1, 0.1, 0.2, 0.2], boxes)
    truth = np.zeros((1, 1, true, 8))
    truth[0, 0, :, 0] = g.integers((true,), -1, images)
    truth[0, 0, :, 1] = g.integers((true,), 1, classes)
    truth[0, 0, :, 3:7], truth[0, 0, :, 7] = both[boxes:], g.integers((true,), 0, 2)
    bottoms = [
        g.input(distinct(g, (images, boxes * (1 if shared else classes) * 4), 0.3)),
        g.input(distinct(g, (images, boxes * classes))),
        g.input(np.stack((both[:boxes].ravel(), spread))[None]),
        g.input(truth),
    ]
    fields = f"num_classes: {classes} " + g.opt("share_location", shared, True)
    fields += g.opt("mining_type", mining, "MAX_NEGATIVE") + ("sample_size: 4 " if mining == "HARD_EXAMPLE" else "")
    fields += g.opt("code_type", g.choice(("CORNER", "CENTER_SIZE", "CORNER_SIZE")), "CORNER")
    fields += g.opt("match_type", g.choice(("PER_PREDICTION", "BIPARTITE")), "PER_PREDICTION")
    fields += g.opt("use_difficult_gt", g.chance(50), True) + g.opt("bp_inside", g.chance(30), False)
    fields += g.opt("loc_loss_type", g.choice(("SMOOTH_L1", "L2")), "SMOOTH_L1")
    fields += g.opt("conf_loss_type", g.choice(("SOFTMAX", "LOGISTIC")), "SOFTMAX")
    normalization = g.choice(("", "loss_param { normalization: FULL } ", "loss_param { normalize: false } "))
    return Layer("MultiBoxLoss", bottoms, normalization + section("multibox_loss_param", fields), fixed=(0, 1, 2, 3),
                 auto_top=True)  # fmt: skip


def _proposals(g: Gen, anchors: int, images: int = 1) -> list[Blob]:
    """Scores, offsets and the image's size and scale."""
    grid = g.int(1, 3), g.int(1, 3)
    image = np.tile([48.0, 64.0, 1.5, 1.25][: g.int(3, 4)], (images, 1))
    each = (g.input(distinct(g, (images, n * anchors, *grid))) for n in (2, 4))
    return [*each, g.input(image)]


def proposal(g: Gen) -> Layer:
    """PVANET's, with a batch."""
    ratios, scales = [0.5, 1.0, 2.0][: g.int(1, 3)], [1.0, 2.0, 3.0][: g.int(1, 2)]
    fields = "".join(f"ratio: {r!r} " for r in ratios) + "".join(f"scale: {s!r} " for s in scales)
    fields += g.opt("base_size", g.choice((16, 8)), 16) + g.opt("feat_stride", g.choice((16, 8)), 16)
    fields += g.choice(("", "pre_nms_topn: 5 ", "post_nms_topn: 3 ", "nms_thresh: 0.4 ", "min_size: 20 "))
    bottoms = _proposals(g, len(ratios) * len(scales), g.int(1, 2))
    return Layer("Proposal", bottoms, section("proposal_param", fields), g.int(1, 2), fixed=(0, 1, 2), dynamic=True)


def default_proposal(g: Gen) -> Layer:
    """Those that leave their numbers to py-faster-rcnn's configuration."""
    type_, params = g.choice((("Python", PYTHON_PROPOSALS.format("'feat_stride': 16")), ("FrcnnProposal", "")))
    return Layer(type_, _proposals(g, 9), params, g.int(1, 2), fixed=(0, 1, 2), dynamic=True, odd=True)


def _pooled(g: Gen) -> str:
    fields = f"pooled_h: {g.int(1, 3)} pooled_w: {g.int(1, 3)} " + g.opt("spatial_scale", g.choice((1.0, 0.5)), 1.0)
    return fields + g.opt("pad_ratio", g.choice((0.0, 0.25)), 0.0)


def roi_pooling(g: Gen) -> Layer:
    x = g.plane()
    rois = regions(g, x.shape[0], max(x.shape[2:]))
    return Layer("ROIPooling", [x, rois], section("roi_pooling_param", _pooled(g)), exact=True, fixed=(1,))


def roi_align(g: Gen) -> Layer:
    x = g.plane()
    rois = regions(g, x.shape[0], max(x.shape[2:]))
    return Layer("ROIAlign", [x, rois], section("roi_pooling_param", _pooled(g)), fixed=(1,))


def psroi_pooling(g: Gen) -> Layer:
    group, channels = g.int(1, 2), g.int(1, 2)
    x = g.bottom(
        lambda b: len(b.shape) == 4 and b.shape[1] == channels * group**2,
        lambda: g.array((g.int(1, 2), channels * group**2, g.int(2, 6), g.int(2, 6))),
    )
    fields = f"output_dim: {channels} group_size: {group} spatial_scale: {g.choice((1.0, 0.5))!r} "
    rois = regions(g, x.shape[0], max(x.shape[2:]))
    return Layer("PSROIPooling", [x, rois], section("psroi_pooling_param", fields), fixed=(1,))


def decode_bbox(g: Gen) -> Layer:
    rois = regions(g, 2, 9, axes=False)
    count = rois.shape[0]
    bottoms = [g.input(g.array((count, 8)) / 4), rois]
    fields = g.choice(("", "bbox_mean: [0, 0, 0.5, 0.25] bbox_std: [0.5, 0.25, 1, 2] "))
    params = section("bbox_reg_param", fields)
    if g.net.train and g.chance(50):
        bottoms.append(g.input(distinct(g, (count, 6))))
        params += " decode_bbox_param { gt_iou_thr: 0.25 }"
    return Layer("DecodeBBox", bottoms, params, fixed=tuple(range(len(bottoms))), dynamic=g.net.train, odd=True)


def _anchors(count: int) -> str:
    return "".join(f"biases: {v!r} " for v in (1.5, 2.0, 0.75, 3.25, 2.5, 1.0, 4.0, 0.5, 1.25, 1.75)[: 2 * count])


def yolo2(g: Gen) -> Layer:
    """MobileNet-YOLO's, or that of OpenCL Caffe, whose cells have 5 boxes where num_box is left out."""
    mobilenet, classes, side = g.chance(60), g.int(1, 3), g.int(1, 3)
    boxes, images = (g.int(1, 3), 1) if mobilenet else (5, g.int(1, 2))
    fields = f"num_classes: {classes} " + _anchors(boxes)
    fields += f"confidence_threshold: {g.choice((0.25, 0.0625))!r} nms_threshold: {g.choice((0.45, 0.3))!r} "
    fields += f"num_box: {boxes} " if mobilenet else f"side: {side} ssd_format: {g.choice(('true', 'false'))} "
    x = g.input(distinct(g, (images, boxes * (5 + classes), side, side), 2.0))
    params = section("yolo_detection_output_param", fields)
    return Layer("YoloDetectionOutput", [x], params, fixed=(0,), dynamic=True, odd=True)


def yolo3(g: Gen) -> Layer:
    classes, boxes, maps = g.int(1, 2), g.int(1, 2), g.int(1, 2)
    fields = f"num_classes: {classes} num_box: {boxes} mask_group_num: {maps} " + _anchors(4)
    fields += "".join(f"mask: {g.int(0, 3)} " for _ in range(maps * boxes))
    fields += "".join(f"anchors_scale: {2 ** (i + 1)} " for i in range(maps))
    fields += f"confidence_threshold: {g.choice((0.25, 0.0625))!r} nms_threshold: {g.choice((0.45, 0.3))!r} "
    sides = [g.int(1, 3) for _ in range(maps)]
    bottoms = [g.input(distinct(g, (1, boxes * (5 + classes), side, side), 2.0 + i)) for i, side in enumerate(sides)]
    params = section("yolov3_detection_output_param", fields)
    return Layer("Yolov3DetectionOutput", bottoms, params, fixed=tuple(range(maps)), dynamic=True, odd=True)


DRAWS: dict[str, Callable[[Gen], Layer]] = {
    "PriorBox": prior_box,
    "PriorBoxClustered": clustered,
    "DetectionOutput": detection_output,
    "MultiBoxLoss": multibox_loss,
    "Proposal": proposal,
    "FrcnnProposal": default_proposal,
    "Python:rpn.proposal_layer.ProposalLayer": default_proposal,
    "ROIPooling": roi_pooling,
    "ROIAlign": roi_align,
    "PSROIPooling": psroi_pooling,
    "DecodeBBox": decode_bbox,
    "YoloDetectionOutput": yolo2,
    "Yolov3DetectionOutput": yolo3,
}
