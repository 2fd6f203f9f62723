"""SSD's detections: DetectionOutput, and the box arithmetic that its training shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Condition, Emission, Emitted, Layer, Refused, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.shapes import volume
from netcompile.layers.source import literal
from netcompile.layers.traits import Rows


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


@dataclass(frozen=True, slots=True)
class Detections(Layer):
    """Boxes that stay of those which a net's scores and offsets give: 1 × 1 × K × 7, K as the numbers have it."""

    sized_by_values: ClassVar[bool] = True
    family: ClassVar[str] = "prediction"

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return ((1, 1, 1, 7),)

    def content(self, *bottoms: str) -> str:
        return "detections"


@layer("DetectionOutput")
@dataclass(frozen=True, slots=True)
class DetectionOutput(Detections):
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
    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("detection_output_param")
        s.ignore("save_output_param", "visualize", "visualize_threshold", "save_file")
        if p.has("transform_param"):  # for drawing
            p.sub("transform_param").ignore_all()
        classes = s.required_positive("num_classes")
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
            classes,
            shared,
            background,
            s.get("code_type"),
            bool(s.get("variance_encoded_in_target")),
            int(s.get("keep_top_k")),
            s.given("confidence_threshold"),
            nms.get("nms_threshold"),
            int(nms.get("top_k")) if nms.has("top_k") else -1,
            nms.get("eta"),
        )

    def detected(self) -> Rows | None:
        return Rows(self.classes, self.background == 0)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        return boxes_agree(bottoms, self.classes, self.classes if not self.shared else 1)

    def emit(self, e: Emission) -> Emitted:
        return e.call(
            "detection.detect",
            *e.x[:3],
            classes=self.classes,
            code=f'"{self.code}"',
            overlap=literal(self.overlap),
            shared=None if self.shared else False,
            background=self.background or None,
            encoded=self.encoded or None,
            threshold=None if self.threshold is None else literal(self.threshold),
            most=self.most if self.most > -1 else None,
            keep=self.keep if self.keep > -1 else None,
            eta=literal(self.eta) if self.eta < 1 else None,
        )

    def traced(self) -> Mapping[str, str]:
        if self.eta < 1 and self.overlap > 0.5:
            raise Refused(
                f"ONNX's NonMaxSuppression has one threshold, this one falls by eta {self.eta:g} with every box kept",
                code="export",
                at="detection_output_param.nms_param.eta",
            )
        return {"detect": "netcompile.export.detection.detect"}
