"""SSD's MultiBoxLoss in plain loops, step by step as the fork's code goes.

Rests on the case multibox-loss (a real number), on weiliu89/caffe, src/caffe/util/bbox_util.cpp (MatchBBox,
FindMatches, MineHardExamples, EncodeLocPrediction, EncodeConfPrediction, ApplyNMS) and on
src/caffe/layers/multibox_loss_layer.cpp as jackmitch/caffe has it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.forks import ORACLES, Array, oracle
from tests.oracles.forks_structured import decode, overlap

Truth = list[dict[str, Any]]
FLT_MIN = 1.1754944e-38


def encode(code: str, prior: Array, box: Array, variance: Array) -> Array:
    x1, y1, x2, y2 = prior
    w, h = x2 - x1, y2 - y1
    if code == "CORNER":
        return (box - prior) / variance
    if code == "CORNER_SIZE":
        return (box - prior) / [w, h, w, h] / variance
    cx, cy, bw, bh = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    found = [(cx - (x1 + x2) / 2) / w, (cy - (y1 + y2) / 2) / h, math.log(bw / w), math.log(bh / h)]
    return np.array(found) / variance


def match(boxes: Array, truth: Truth, s: Message, label: int | None) -> tuple[list[int], list[float]]:
    """MatchBBox: indices into `truth`, -1 or -2, and overlaps."""
    matched, overlaps = [-1] * len(boxes), [0.0] * len(boxes)
    pool = [g for g, t in enumerate(truth) if label is None or t["label"] == label]
    table: dict[tuple[int, int], float] = {}
    for i, box in enumerate(boxes):
        if s.get("ignore_cross_boundary_bbox") and ((box < 0) | (box > 1)).any():
            matched[i] = -2
            continue
        for g in pool:
            value = overlap(box, truth[g]["box"])
            if value > 1e-6:
                table[i, g] = value
                overlaps[i] = max(overlaps[i], value)
    free = list(pool)
    while free:
        best, at = -1.0, None
        for i in range(len(boxes)):
            for g in free:
                if matched[i] == -1 and table.get((i, g), -2) > best:
                    best, at = table[i, g], (i, g)
        if at is None:
            break
        matched[at[0]], overlaps[at[0]] = at[1], best
        free.remove(at[1])
    if s.get("match_type") == "PER_PREDICTION":
        for i in range(len(boxes)):
            best = -1.0
            for g in pool if matched[i] == -1 else []:
                value = table.get((i, g), -2.0)
                if value >= s.get("overlap_threshold") and value > best:
                    matched[i], overlaps[i], best = g, value, value
    return matched, overlaps


def logistic(x: Array, target: Array) -> float:
    return float(sum(math.log1p(math.exp(-abs(v))) + max(v, 0) - v * t for v, t in zip(x, target, strict=True)))


def softmax_loss(x: Array, label: int) -> float:
    e = np.exp(x - x.max())
    return -math.log(max(e[label] / e.sum(), FLT_MIN))


def smooth(d: Array, squared: bool) -> float:
    return float(sum(0.5 * v * v if squared or abs(v) < 1 else abs(v) - 0.5 for v in d))


def suppress(boxes: Array, loss: list[float], limit: float, top: int) -> list[int]:
    """ApplyNMS: top_k 0, the default, keeps nothing."""
    order = sorted(range(len(loss)), key=lambda i: -loss[i])
    order = order[:top] if top > -1 else order
    kept: list[int] = []
    for i in order:
        b = boxes[i]
        if max(b[2] - b[0], 0) * max(b[3] - b[1], 0) < 1e-5 or b[2] < b[0] or b[3] < b[1]:
            continue
        if all(overlap(b, boxes[k]) <= limit for k in kept):
            kept.append(i)
    return kept


def mine(
    s: Message, matched: list[int], overlaps: list[float], loss: list[float], boxes: Array, priors: Array
) -> tuple[list[int], list[int]]:
    """MineHardExamples for one image: the matches that stay, and the negatives."""
    hard = s.get("mining_type") == "HARD_EXAMPLE"
    pairs = [m for m, g in enumerate(matched) if hard or (g == -1 and overlaps[m] < s.get("neg_overlap"))]
    positives = sum(g > -1 for g in matched)
    size = s.get("sample_size") if hard else int(positives * np.float32(s.get("neg_pos_ratio")))
    nms = s.get("nms_param")
    if s.has("nms_param") and nms.get("nms_threshold") > 0:
        own = (priors if s.get("use_prior_for_nms") else boxes)[pairs]
        order = suppress(own, [loss[m] for m in pairs], nms.get("nms_threshold"), nms.get("top_k") or 0)
    else:
        order = sorted(range(len(pairs)), key=lambda i: -loss[pairs[i]])
    chosen = {pairs[i] for i in order[: min(size, len(pairs))]}
    stay = [-1 if hard and g > -1 and m not in chosen else g for m, g in enumerate(matched)]
    return stay, [m for m, g in enumerate(matched) if g == -1 and m in chosen]


@oracle("MultiBoxLoss")
def multibox_loss(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, code = p.get("multibox_loss_param"), p.get("multibox_loss_param").get("code_type")
    location, scores, priors, truth = bottoms
    classes, shared, background = s.get("num_classes"), s.get("share_location"), s.get("background_label_id")
    corners, variances = priors[0].reshape(2, -1, 4)
    n, count = len(location), len(corners)
    location, scores = location.reshape(n, count, -1, 4), scores.reshape(n, count, classes)
    encoded, mining = s.get("encode_variance_in_target"), s.get("mining_type")
    spread = np.ones_like(variances) if encoded else variances
    squared, is_logistic = s.get("loc_loss_type") == "L2", s.get("conf_loss_type") == "LOGISTIC"
    images: dict[int, Truth] = {}
    for row in truth.reshape(-1, 8):
        if int(row[0]) != -1 and (s.get("use_difficult_gt") or not row[7]):
            images.setdefault(int(row[0]), []).append({"label": int(row[1]), "box": row[3:7]})

    def difference(i: int, j: int, slot: int, box: Array) -> Array:
        goal, d = encode(code, corners[j], box, spread[j]), location[i, j, slot].copy()
        if s.get("bp_inside"):
            own = corners[j] if s.get("use_prior_for_matching") else decode(code, corners[j], d * spread[j])
            d = np.where((own < 0) | (own > 1), goal, d)
        return (d - goal) / (variances[j] if encoded else 1)

    loc, matches, rows = 0.0, 0, []
    full = np.full(n * count * classes, float(background)) if is_logistic else np.full(n * count, background)
    for i in sorted(images):
        own, found = images[i], []
        slots = [None] if shared else [c for c in range(classes) if c != background]
        decoded = [
            np.array([decode(code, corners[j], location[i, j, c or 0] * spread[j]) for j in range(count)])
            for c in slots
        ]
        for c, boxes in zip(slots, decoded, strict=True):
            if s.get("use_prior_for_matching"):
                matched, overlaps = match(corners, own, s, None)
                if c is not None:
                    matched = [g if g > -1 and own[g]["label"] == c else -1 for g in matched]
            else:
                matched, overlaps = match(boxes, own, s, c)
            negatives: list[int] = []
            if mining != "NONE":
                loss = []
                for j, g in enumerate(matched):
                    label = own[g]["label"] if g > -1 else background
                    one = np.eye(classes)[label]
                    loss.append(logistic(scores[i, j], one) if is_logistic else softmax_loss(scores[i, j], label))
                    if mining == "HARD_EXAMPLE" and g > -1:
                        loss[-1] += smooth(difference(i, j, 0, own[g]["box"]), squared)
                matched, negatives = mine(s, matched, overlaps, loss, boxes, corners)
            found.append((c or 0, matched, negatives))
        for slot, matched, _ in found:
            for j, g in enumerate(matched):
                if g > -1:
                    matches += 1
                    loc += smooth(difference(i, j, slot, own[g]["box"]), squared)
                    label = background + 1 if s.get("map_object_to_agnostic") else own[g]["label"]
                    rows.append((i, j, label, True))
                    if is_logistic:
                        full[i * count + j * classes + label] = 1
                    else:
                        full[i * count + j] = label
        rows += [(i, j, background, False) for _, _, negatives in found for j in negatives]
    conf = 0.0
    if mining == "NONE":
        flat = scores.reshape(-1, classes)
        for k in range(len(flat)):
            part = full[k * classes : (k + 1) * classes] if is_logistic else full[k]
            conf += logistic(flat[k], part) if is_logistic else softmax_loss(flat[k], int(part))
    for i, j, label, _ in rows if mining != "NONE" else []:
        target = np.full(classes, float(background))
        target[label] = 1
        conf += logistic(scores[i, j], target) if is_logistic else softmax_loss(scores[i, j], label)
    normal, loss_param = "VALID", p.get("loss_param")
    if loss_param.has("normalization"):
        normal = loss_param.get("normalization")
    elif loss_param.has("normalize"):
        normal = "VALID" if loss_param.get("normalize") else "BATCH_SIZE"
    divisor = {"VALID": max(matches, 1), "FULL": n * count, "BATCH_SIZE": n, "NONE": 1}[normal]
    return [np.array((s.get("loc_weight") * loc + conf) / divisor)]


__all__ = ["ORACLES"]
