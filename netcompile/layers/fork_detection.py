"""SSD's detections: DetectionOutput, and the box arithmetic that its training shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import (
    Arity,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    layer,
    literal,
    volume,
)
from netcompile.layers.params import Params


def boxes_agree(bottoms: Sequence[Shape], classes: int, each: int) -> list[Condition]:
    """That locations, scores and priors are of the same boxes, with `each` locations for a box. Raises Refused."""
    location, scores, priors = bottoms[:3]
    unlike = Refused("bottom[2] is not made of prior boxes", at="bottom[2]", why="1 × 2 × 4n, as PriorBox makes")
    if len(priors) != 3:
        raise unlike
    boxes = priors[2] // 4
    images = [shape[0] if shape else 1 for shape in (location, scores)]
    alike = Refused(f"scores of {images[1]} images for {images[0]}", at="bottom[1]")
    found = [Condition(priors[2], "==", boxes * 4, unlike), Condition(images[0], "==", images[1], alike)]
    for index, shape, size in ((0, location, boxes * each * 4), (1, scores, boxes * classes)):
        refusal = Refused(
            f"{volume(shape[1:])} numbers for each image, not {size}",
            at=f"bottom[{index}]",
            why=f"{boxes} priors, {classes} classes",
        )
        found.append(Condition(volume(shape[1:]), "==", size, refusal))
    return found


@layer("DetectionOutput")
@dataclass(frozen=True, slots=True)
class DetectionOutput(Layer):
    """SSD's boxes: location offsets, class scores and priors to 1 × 1 × K × 7.

    A row is image, class, score, xmin, ymin, xmax, ymax. K depends on the numbers; without any box the top is
    one row of −1 per image, with the image's number in front.
    """

    classes: int = 2
    shared: bool = True
    background: int = 0
    code: str = "CORNER"
    encoded: bool = False  # variance_encoded_in_target
    keep: int = -1
    threshold: float | None = None
    overlap: float = 0.3
    most: int = -1
    eta: float = 1.0

    arity: ClassVar[Arity] = Arity(bottoms=(3, 4), tops=1)
    sized_by_values: ClassVar[bool] = True
    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("detection_output_param")
        s.ignore("save_output_param", "visualize", "visualize_threshold", "save_file")
        if p.has("transform_param"):  # for drawing
            transform = p.sub("transform_param")
            transform.ignore(*(entry.field.name for entry in transform.message.entries))
        classes = int(s.required("num_classes") or 0)
        if s.has("num_classes") and classes < 1:
            s.refuse("num_classes", f"num_classes {classes} is less than 1", code="param-range")
        shared, background = bool(s.get("share_location")), int(s.get("background_label_id"))
        if shared and background == -1:
            s.refuse(
                "background_label_id",
                "share_location with background_label_id -1",
                why="SSD's code knows the shared boxes under the label -1, drops those of the background, and stops",
                remedy="share_location: false, or the background's own label",
            )
        nms = s.get("nms_param")
        if nms.get("nms_threshold") < 0:
            s.refuse("nms_param", "nms_threshold is negative", code="param-range")
        if not 0 < nms.get("eta") <= 1:
            s.refuse("nms_param", f"eta {nms.get('eta'):g} is not in (0, 1]", code="param-range")
        return cls(
            max(classes, 1),
            shared,
            background,
            s.get("code_type"),
            bool(s.get("variance_encoded_in_target")),
            int(s.get("keep_top_k")),
            s.get("confidence_threshold") if s.has("confidence_threshold") else None,
            nms.get("nms_threshold"),
            int(nms.get("top_k")) if nms.has("top_k") else -1,
            nms.get("eta"),
        )

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return boxes_agree(bottoms, self.classes, self.classes if not self.shared else 1)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((1, 1, 1, 7),)

    def emit(self, e: Emission) -> Emitted:
        location, scores, priors = e.x[:3]
        options = [
            f"classes={self.classes}",
            f'code="{self.code}"',
            f"overlap={literal(self.overlap)}",
        ]
        options += [] if self.shared else ["shared=False"]
        options += [f"background={self.background}"] if self.background else []
        options += ["encoded=True"] if self.encoded else []
        options += [f"threshold={literal(self.threshold)}"] if self.threshold is not None else []
        options += [f"most={self.most}"] if self.most > -1 else []
        options += [f"keep={self.keep}"] if self.keep > -1 else []
        options += [f"eta={literal(self.eta)}"] if self.eta < 1 else []
        make = f"detect({location}, {scores}, {priors}, {', '.join(options)})"
        return Emitted((f"{e.y[0]} = {make}",), functions=(DECODE, OVERLAP, SUPPRESS, BEST_FIRST, DETECT))

    def traced(self) -> Mapping[str, str]:
        if self.eta < 1 and self.overlap > 0.5:
            raise Refused(
                f"ONNX's NonMaxSuppression has one threshold, this one falls by eta {self.eta:g} with every box kept",
                code="export",
                at="detection_output_param.nms_param.eta",
            )
        return {"detect": "netcompile.export.detection.detect"}


DECODE = '''
def decode_boxes(offsets, priors, variances, code):
    """Boxes (xmin, ymin, xmax, ymax) from offsets to prior boxes; all are … × 4."""
    offsets = offsets * variances
    low, high = priors[..., :2], priors[..., 2:]
    if code == "CORNER":
        return priors + offsets
    if code == "CORNER_SIZE":
        return priors + offsets * (high - low).repeat(1, 1, 2)
    centre = offsets[..., :2] * (high - low) + (low + high) / 2
    half = offsets[..., 2:].exp() * (high - low) / 2
    return torch.cat((centre - half, centre + half), dim=-1)
'''

OVERLAP = '''
def box_overlap(a, b, border=0):
    """Intersection over union of boxes (xmin, ymin, xmax, ymax), 0 if they are apart.

    A box whose corners are swapped has no area. `border` 1: corners are whole pixels,
    and both belong to the box.
    """
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:]) + border
    shared = (high - low).clamp_min(0).prod(dim=-1)
    sizes = [box[..., 2:] - box[..., :2] + border for box in (a, b)]
    one, two = (size.clamp_min(0).prod(dim=-1) for size in sizes)
    return torch.where(shared > 0, shared / (one + two - shared), 0)
'''

SUPPRESS = '''
def suppress(boxes, overlap, eta=1.0, border=0, most=None, strict=False):
    """Greedy suppression of boxes sorted by score: which stay, as indices.

    A box goes if its intersection over union with one that stays exceeds `overlap`, or
    with `strict` reaches it; `eta` shrinks `overlap` with every box that stays, down to
    a half. At most `most` stay.
    """
    worst, kept, index = boxes.new_full((len(boxes),), -1), [], 0
    while most is None or len(kept) < most:
        rest = worst[index:]
        free = (rest < overlap if strict else rest <= overlap).nonzero()
        if len(free) == 0:
            break
        index += int(free[0])
        kept.append(index)
        worst = torch.maximum(worst, box_overlap(boxes[index], boxes, border))
        if eta < 1 and overlap > 0.5:
            overlap *= eta
        index += 1
    return kept
'''

BEST_FIRST = '''
def best_first(scores):
    """Indices of a list of scores in descending order, as C++'s std::sort puts them.

    It partitions around medians of three down to 16 scores and then inserts, so equal
    scores come in an order of their own, which decides what a limit keeps of them.
    """
    order = list(range(len(scores)))
    spans = [(0, len(order))] if len(set(scores)) < len(scores) else []
    while spans:
        first, last = spans.pop()
        if last - first <= 16:
            continue
        a, b, c = first + 1, (first + last) // 2, last - 1
        median = sorted((scores[order[i]], i) for i in (a, b, c))[1][1]
        order[first], order[median] = order[median], order[first]
        pivot, low, high = scores[order[first]], first + 1, last - 1
        while True:
            while scores[order[low]] > pivot:
                low += 1
            while pivot > scores[order[high]]:
                high -= 1
            if low >= high:
                break
            order[low], order[high] = order[high], order[low]
            low, high = low + 1, high - 1
        spans += [(first, low), (low, last)]
    return sorted(order, key=lambda i: -scores[i])
'''

DETECT = '''
def detect(
    location,
    scores,
    priors,
    classes,
    code,
    overlap,
    shared=True,
    background=0,
    encoded=False,
    threshold=-3.4028235e38,
    most=-1,
    keep=-1,
    eta=1.0,
):
    """SSD's detections, 1 × 1 × K × 7: image, class, score, xmin, ymin, xmax, ymax.

    For each class the boxes above `threshold`, at most the `most` best, are suppressed
    where they overlap; of an image the `keep` best stay. K depends on the numbers.
    """
    n, count = location.shape[0], priors.shape[2] // 4
    corners, variances = priors[0].reshape(2, 1, count, 4)
    offsets = location.reshape(n, count, -1, 4).transpose(1, 2)
    scores = scores.reshape(n, count, classes)
    rows = []
    for image in range(n):
        spread = torch.ones_like(variances) if encoded else variances
        boxes = decode_boxes(offsets[image], corners, spread, code)
        found = []
        for label in range(classes):
            if label == background:
                continue
            score = scores[image, :, label]
            order = score.sort(descending=True, stable=True).indices
            order = order[score[order] > threshold]
            order = order[:most] if most > -1 else order
            candidates = boxes[0 if shared else label][order]
            stay = suppress(candidates, overlap, eta)
            values = score[order].tolist()
            found += [(values[i], label, candidates[i]) for i in stay]
        if -1 < keep < len(found):
            best = best_first([score for score, _, _ in found])[:keep]
            found = sorted((found[i] for i in best), key=lambda row: row[1])
        for score, label, box in found:
            rows.append(torch.cat((box.new_tensor([image, label, score]), box)))
    if not rows:
        none = location.new_full((n, 7), -1)
        none[:, 0] = torch.arange(n, device=none.device)
        return none[None, None]
    return torch.stack(rows)[None, None]
'''
