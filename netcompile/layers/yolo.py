"""YOLO's detections: YoloDetectionOutput (YOLOv2) as two forks have it, and Yolov3DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Condition, Emission, Emitted, Refused, Shape, layer
from netcompile.layers.detection import Detections
from netcompile.layers.params import Params, Section
from netcompile.layers.shapes import number
from netcompile.layers.source import literal
from netcompile.layers.traits import Rows

# Fields that MobileNet-YOLO's nets give and those of the OpenCL branch of BVLC's repository leave to their defaults.
MOBILENET_FIELDS = ("side", "num_box", "label_map_file")


def _pairs(values: tuple[float, ...]) -> str:
    """Source of the anchors (width, height)."""
    pairs = zip(values[::2], values[1::2], strict=False)
    return "[" + ", ".join(f"({literal(float(w))}, {literal(float(h))})" for w, h in pairs) + "]"


def _square(shape: Shape, index: int, channels: int) -> list[Condition]:
    """Maps must be square, of so many channels at least."""
    if len(shape) != 4:
        raise Refused(f"YOLO's maps have 4 axes, not {len(shape)}", at=f"bottom[{index}]")
    grid = Refused(f"a grid of {shape[2]} × {shape[3]} cells", at=f"bottom[{index}]", why="the layer's are square")
    few = Refused(f"{shape[1]} channels, not {channels}", at=f"bottom[{index}]", why="5 and the classes for each box")
    return [Condition(shape[2], "==", shape[3], grid), Condition(shape[1], ">=", channels, few)]


def _common(s: Section) -> tuple[int, int, tuple[float, ...]]:
    """Classes, boxes of a cell, anchors."""
    return s.required_positive("num_classes"), s.positive("num_box"), tuple(float(v) for v in s.all("biases"))


@layer("YoloDetectionOutput")
@dataclass(frozen=True, slots=True)
class YoloDetectionOutput(Detections):
    """YOLOv2's boxes of a map, 1 × 1 × K × 7, suppressed where they overlap, whatever their class.

    MobileNet-YOLO: boxes of both maps and of all images together, in order of their confidence; rows of 0, class + 1,
    confidence, xmin, ymin, xmax, ymax, or of −1 where there is no box. The OpenCL branch of BVLC's repository: boxes
    in order of their cells; rows of image, class, confidence, centre x and y, width, height; it only draws on its
    second bottom.
    """

    classes: int = 1
    boxes: int = 5
    anchors: tuple[float, ...] = ()
    threshold: float = 0.01
    overlap: float = 0.45
    mobilenet: bool = True
    corners: bool = True
    side: int = 13

    arity: ClassVar[Arity] = Arity(bottoms=(1, 2), tops=1)
    fork: ClassVar[str] = "MobileNet-YOLO, OpenCL Caffe"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("yolo_detection_output_param")
        classes, boxes, anchors = _common(s)
        s.ignore("coords", "label_map_file")
        if len(anchors) < 2 * boxes:
            s.refuse("biases", f"{len(anchors)} biases for {boxes} boxes", code="param-count", why="two for each")
        mobilenet = any(s.has(field) for field in MOBILENET_FIELDS) and not s.has("ssd_format")
        threshold = s.get("confidence_threshold") if s.has("confidence_threshold") else 0.01
        corners = bool(s.get("ssd_format"))
        what = "MobileNet-YOLO's YoloDetectionOutput" if mobilenet else "YoloDetectionOutput of OpenCL Caffe"
        why = "forks of this name differ in what a row holds and in which order boxes suppress others"
        if corners:
            why += "; ssd_format is taken to mean rows as SSD's, since no source of it was found"
        p.note("type", f"read as {what}", code="fork-reading", why=why, severity="warning" if corners else "note")
        return cls(
            classes, boxes, anchors[: 2 * boxes], threshold, s.get("nms_threshold"), mobilenet, corners, s.get("side")
        )

    def detected(self) -> Rows | None:
        return Rows(self.classes + 1) if self.mobilenet or self.corners else Rows(self.classes, False, centred=True)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        x, found = bottoms[0], list[Condition]()
        for index, own in enumerate(bottoms if self.mobilenet else bottoms[:1]):
            found += _square(own, index, self.boxes * (5 + self.classes))
            if number(own[1]) % self.boxes:
                raise Refused(f"{own[1]} channels for {self.boxes} boxes", at=f"bottom[{index}]")
        if self.mobilenet:
            return found
        side = Refused(f"a grid of {x[3]} cells, not {self.side}", at="bottom[0]", why=f"side is {self.side}")
        return [*found, Condition(x[3], "==", self.side, side)]

    def emit(self, e: Emission) -> Emitted:
        options = (_pairs(self.anchors), self.classes, literal(self.threshold), literal(self.overlap))
        if self.mobilenet:
            return e.call("yolo.yolo2_rows", f"[{', '.join(e.x)}]", *options)
        return e.call("yolo.yolo2_cells", e.x[0], *options, corners=True if self.corners else None)


@layer("Yolov3DetectionOutput")
@dataclass(frozen=True, slots=True)
class Yolov3DetectionOutput(Detections):
    """YOLOv3's boxes of several maps, 1 × 1 × K × 7, suppressed where they overlap, whatever their class.

    Rows of 0, class + 1, confidence, xmin, ymin, xmax, ymax, best first; of −1 where there is no box.
    """

    classes: int = 1
    boxes: int = 3
    anchors: tuple[float, ...] = ()
    masks: tuple[tuple[int, ...], ...] = ()  # for each bottom the anchors of its boxes
    scales: tuple[int, ...] = ()  # pixels of a cell of each bottom
    threshold: float = 0.01
    overlap: float = 0.45

    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=1)
    fork: ClassVar[str] = "MobileNet-YOLO"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("yolov3_detection_output_param")
        classes, boxes, anchors = _common(s)
        mask, scales = [int(v) for v in s.all("mask")], tuple(int(v) for v in s.all("anchors_scale"))
        groups = int(s.get("mask_group_num"))
        if groups != p.bottoms:
            s.refuse("mask_group_num", f"mask_group_num {groups} for {p.bottoms} bottoms", code="param-count")
        each = len(mask) // max(groups, 1)
        masks = tuple(tuple(mask[i * each : i * each + boxes]) for i in range(p.bottoms))
        if any(len(m) < boxes for m in masks):
            s.refuse("mask", f"{len(mask)} masks for {p.bottoms} bottoms of {boxes} boxes", code="param-count")
        if len(scales) < p.bottoms or 0 in scales:
            s.refuse("anchors_scale", f"{len(scales)} anchors_scale for {p.bottoms} bottoms", code="param-count")
        if any(2 * m + 1 >= len(anchors) for m in mask):
            s.refuse("mask", f"mask {max(mask)} for {len(anchors) // 2} anchors", code="param-range")
        return cls(classes, boxes, anchors, masks, scales, s.get("confidence_threshold"), s.get("nms_threshold"))

    def detected(self) -> Rows | None:
        return Rows(self.classes + 1)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        found: list[Condition] = []
        for index, shape in enumerate(bottoms):
            found += _square(shape, index, self.boxes * (5 + self.classes))
        return found

    def emit(self, e: Emission) -> Emitted:
        maps = []
        for x, mask, scale in zip(e.x, self.masks, self.scales, strict=False):
            own = _pairs(tuple(self.anchors[2 * m + i] for m in mask for i in (0, 1)))
            maps.append(f"({x}, {own}, {scale})")
        options = f"{self.classes}, {literal(self.threshold)}, {literal(self.overlap)}"
        return e.call("yolo.yolo3_rows", f"[{', '.join(maps)}]", options)
