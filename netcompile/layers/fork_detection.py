"""SSD's detection head: PriorBox and DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from netcompile.layers.base import (
    Arity,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    count,
    layer,
    literal,
    number,
)
from netcompile.layers.fork_resize import four_axes
from netcompile.layers.params import Params, Section
from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self


def _pair(s: Section, one: str, high: str, wide: str) -> tuple[float, float] | None:
    """`one` for both axes, or `high` and `wide`; None where the file has neither."""
    if s.has(high) or s.has(wide):
        if s.has(one):
            s.refuse(one, f"{one} and {high}/{wide} together", code="param-conflict", remedy=f"keep {one}")
        pair = (s.get(high), s.get(wide))
        names = (high, wide)
    elif s.has(one):
        pair, names = (s.get(one), s.get(one)), (one, one)
    else:
        return None
    for name, value in zip(names, pair, strict=True):
        if not value > 0:
            s.refuse(name, f"{name} must be larger than 0", code="param-range")
            return None
    return pair


@layer("PriorBox")
@record
class PriorBox(Layer):
    """Default boxes of every cell of bottom[0] on the image bottom[1]: 1 × 2 × (cells · boxes · 4).

    Channel 0 holds xmin, ymin, xmax, ymax as parts of the image, channel 1 the variances. Sizes lose their
    fraction, as in SSD's code.
    """

    boxes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  # (width, height) in pixels, in SSD's order
    image: tuple[float, float] | None = None  # (height, width)
    step: tuple[float, float] | None = None
    offset: float = 0.5
    clip: bool = False
    variance: tuple[float, ...] = (0.1,)

    arity: ClassVar[Arity] = Arity(bottoms=2, tops=1)
    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("prior_box_param")
        least, most = [float(v) for v in s.all("min_size")], [float(v) for v in s.all("max_size")]
        if not least:
            s.refuse("", "no min_size", code="param-missing", remedy="prior_box_param { min_size: … }")
        if any(v <= 0 for v in least):
            s.refuse("min_size", "min_size must be positive", code="param-range")
            least = []
        if most and len(most) != len(least):
            s.refuse("max_size", f"{len(most)} max_size for {len(least)} min_size", code="param-count")
            most = []
        if any(a >= b for a, b in zip(least, most, strict=False)):
            s.refuse("max_size", "max_size must be greater than min_size", code="param-range")
        ratios = [1.0]
        for ratio in s.all("aspect_ratio"):
            if ratio <= 0:
                s.refuse("aspect_ratio", f"aspect_ratio {ratio:g} is not positive", code="param-range")
            elif all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += [ratio, 1 / ratio] if s.get("flip") else [ratio]
        variance = tuple(float(v) for v in s.all("variance")) or (0.1,)
        if len(variance) not in (1, 4):
            s.refuse("variance", f"{len(variance)} variances", code="param-count", why="SSD wants none, 1 or 4")
            variance = (0.1,)
        if any(v <= 0 for v in variance):
            s.refuse("variance", "variance must be positive", code="param-range")
        boxes: list[tuple[float, float]] = []
        for index, size in enumerate(map(int, least)):
            boxes.append((float(size), float(size)))
            base = float(size)
            if most:
                base = sqrt(size * int(most[index]))
                boxes.append((base, base))
            boxes += [(base * sqrt(r), base / sqrt(r)) for r in ratios if abs(r - 1) >= 1e-6]
        return cls(
            tuple(boxes) or ((1.0, 1.0),),
            _pair(s, "img_size", "img_h", "img_w"),
            _pair(s, "step", "step_h", "step_w"),
            s.get("offset"),
            bool(s.get("clip")),
            variance,
        )

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        for index, bottom in enumerate(bottoms):
            four_axes(bottom, "PriorBox", f"bottom[{index}]")
        return ((1, 2, count(bottoms[0], 2) * len(self.boxes) * 4),)

    def emit(self, e: Emission) -> Emitted:
        x, image = e.x
        size = f"{image}.shape[2:]" if self.image is None else literal2(self.image)
        boxes = "[" + ", ".join(f"({w!r}, {h!r})" for w, h in self.boxes) + "]"
        variance = "[" + ", ".join(literal(v) for v in self.variance) + "]"
        extra = f", step={literal2(self.step)}" if self.step else ""
        extra += f", offset={literal(self.offset)}" if self.offset != 0.5 else ""
        extra += ", clip=True" if self.clip else ""
        make = f"prior_boxes({x}, {size}, {boxes}, {variance}{extra})"
        return Emitted((f"{e.y[0]} = {make}",), functions=(PRIORS,))


def literal2(pair: tuple[float, float]) -> str:
    """Source of a pair, whole numbers without a point."""
    return "(" + ", ".join(literal(float(v)) if float(v) % 1 else str(int(v)) for v in pair) + ")"


PRIORS = '''
def prior_boxes(x, image, sizes, variances, step=None, offset=0.5, clip=False):
    """SSD's default boxes: for every cell of x one of each size (width, height).

    `image` and `step` are (height, width) in pixels. Returns 1 × 2 × n: the corners as
    parts of the image, and their variances.
    """
    options = {"device": x.device, "dtype": x.dtype}
    step = step or [whole / n for whole, n in zip(image, x.shape[2:])]
    cy, cx = (
        (torch.arange(n, **options) + offset) * s for n, s in zip(x.shape[2:], step)
    )
    centre = torch.stack(torch.meshgrid(cx, cy, indexing="xy"), dim=-1)[:, :, None]
    half = torch.tensor(sizes, **options) / 2
    corners = torch.cat((centre - half, centre + half), dim=-1)
    boxes = corners / torch.tensor([image[1], image[0]] * 2, **options)
    boxes = boxes.clamp(0, 1) if clip else boxes
    spread = torch.tensor(variances, **options).expand_as(boxes)
    return torch.stack((boxes.flatten(), spread.flatten()))[None]
'''


@layer("DetectionOutput")
@record
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
        nms = s.get("nms_param")
        if nms.get("nms_threshold") < 0:
            s.refuse("nms_param", "nms_threshold is negative", code="param-range")
        if not 0 < nms.get("eta") <= 1:
            s.refuse("nms_param", f"eta {nms.get('eta'):g} is not in (0, 1]", code="param-range")
        return cls(
            max(classes, 1),
            bool(s.get("share_location")),
            int(s.get("background_label_id")),
            s.get("code_type"),
            bool(s.get("variance_encoded_in_target")),
            int(s.get("keep_top_k")),
            s.get("confidence_threshold") if s.has("confidence_threshold") else None,
            nms.get("nms_threshold"),
            int(nms.get("top_k")) if nms.has("top_k") else -1,
            nms.get("eta"),
        )

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        location, scores, priors = bottoms[:3]
        if len(priors) != 3 or number(priors[2]) % 4:
            raise Refused("bottom[2] is not made of prior boxes", at="bottom[2]", why="1 × 2 × 4n, as PriorBox makes")
        boxes = number(priors[2]) // 4
        each = 1 if self.shared else self.classes
        found = []
        for index, shape, size in ((0, location, boxes * each * 4), (1, scores, boxes * self.classes)):
            refusal = Refused(
                f"{count(shape, 1)} numbers for each image, not {size}",
                at=f"bottom[{index}]",
                why=f"{boxes} priors, {self.classes} classes",
            )
            found.append(Condition(count(shape, 1), "==", size, refusal))
        return found

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
        return Emitted((f"{e.y[0]} = {make}",), functions=(DECODE, SUPPRESS, DETECT))


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

SUPPRESS = '''
def suppress(boxes, overlap, eta=1.0):
    """Greedy suppression of boxes sorted by score: which stay, as indices.

    A box goes if its intersection over union with one that stays exceeds `overlap`.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    area = (high - low).clamp_min(0).prod(dim=1)
    shared = torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)
    shared = shared.clamp_min(0).prod(dim=2)
    union = area[:, None] + area - shared
    close = torch.where(shared > 0, shared / union, 0).cpu()
    kept = []
    for index in range(len(boxes)):
        if bool((close[index, kept] <= overlap).all()):
            kept.append(index)
            if eta < 1 and overlap > 0.5:
                overlap *= eta
    return kept
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
    threshold=None,
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
            if threshold is not None:
                order = order[score[order] > threshold]
            order = order[:most] if most > -1 else order
            candidates = boxes[0 if shared else label][order]
            stay = suppress(candidates, overlap, eta)
            found += [(score[order[i]], label, candidates[i]) for i in stay]
        if -1 < keep < len(found):
            best = torch.stack([score for score, _, _ in found])
            best = best.sort(descending=True, stable=True).indices[:keep]
            found = sorted((found[i] for i in best.tolist()), key=lambda row: row[1])
        for score, label, box in found:
            head = score.new_tensor([image, label])
            rows.append(torch.cat((head, score[None], box)))
    if not rows:
        none = location.new_full((n, 7), -1)
        none[:, 0] = torch.arange(n)
        return none[None, None]
    return torch.stack(rows)[None, None]
'''
