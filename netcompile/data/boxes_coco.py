"""Boxes in the files of COCO: true ones (``instances_*.json``) and results. A box is x, y, width, height there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from netcompile.data.boxes import Detections, TrueBoxes
from netcompile.data.class_names import coco_ids
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.source import Source, Span
from netcompile.diagnostics.visible import visible
from netcompile.files.reading import read_json

_KEYS = ("images", "annotations", "categories")
_TOO_LARGE = 2**63  # for ids and coordinates; NaN is not below it either


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of a COCO file."""

    number: int  # its id
    file_name: str
    height: int  # 0 where the file does not say it
    width: int


@dataclass(frozen=True, slots=True)
class CocoTruth:
    """What a COCO file says: images, names of classes by the ids of their categories, true boxes by image.

    The boxes' classes are ids of categories, their corners edges. `raw` is the file's value, for pycocotools.
    """

    images: tuple[CocoImage, ...]
    categories: Mapping[int, str]
    boxes: Mapping[int, TrueBoxes]
    raw: Mapping[str, Any]


def read_instances(path: str) -> CocoTruth:
    """The images, categories and true boxes of a COCO file, in the order of the file; crowds count as difficult.

    Ids may be any whole numbers. Raises NetError that names the entry at fault, and OSError.
    """
    try:
        raw = read_json(path)
    except ValueError as error:
        _wrong(path, "this is no JSON text", visible(str(error)))
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), list) for key in _KEYS):
        _wrong(path, "this is no file of COCO's boxes", f"it is an object with the lists {', '.join(_KEYS)}")
    images: dict[int, CocoImage] = {}
    for entry in _entries(raw, "images", path):
        sides = [entry.whole(side) if side in entry.value else 0 for side in ("height", "width")]
        found = CocoImage(entry.whole("id"), entry.text("file_name"), *sides)
        if images.setdefault(found.number, found) is not found:
            entry.refuse(f"has the id {found.number} of an earlier one")
    categories: dict[int, str] = {}
    for entry in _entries(raw, "categories", path):
        number, name = entry.whole("id"), entry.text("name")
        if number in categories or name in categories.values():
            entry.refuse(f"has the id or name of an earlier one: {number}, '{visible(name)}'")
        categories[number] = name
    return CocoTruth(tuple(images.values()), categories, _boxes(raw, images, categories, path), raw)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a list, with its place for messages: ``annotations[7]``."""

    value: Mapping[str, Any]
    place: str
    path: str

    def refuse(self, what: str) -> NoReturn:
        _wrong(self.path, f"{self.place} {what}")

    def whole(self, key: str) -> int:
        value = self.value.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LARGE:
            return value
        self.refuse(f"has no {key} that is a whole number")

    def text(self, key: str) -> str:
        value = self.value.get(key)
        if isinstance(value, str):
            return value
        self.refuse(f"has no {key} that is a text")

    def box(self) -> list[float]:
        found = self.value.get("bbox")
        numbers = isinstance(found, list) and len(found) == 4 and all(map(_is_number, found))
        if not isinstance(found, list) or not numbers:
            self.refuse("has no bbox of four numbers")
        x, y, width, height = map(float, found)
        if width < 0 or height < 0:
            self.refuse(f"has a bbox of {width:g} × {height:g}")
        return [x, y, x + width, y + height]


def _entries(raw: Mapping[str, Any], key: str, path: str) -> Iterator[_Entry]:
    for index, entry in enumerate(raw[key]):
        if not isinstance(entry, dict):
            _wrong(path, f"{key}[{index}] is no object")
        yield _Entry(entry, f"{key}[{index}]", path)


def _boxes(
    raw: Mapping[str, Any], images: Mapping[int, CocoImage], categories: Mapping[int, str], path: str
) -> dict[int, TrueBoxes]:
    """The true boxes by image."""
    rows: dict[int, list[tuple[int, list[float], bool]]] = {number: [] for number in images}
    for entry in _entries(raw, "annotations", path):
        image, label = entry.whole("image_id"), entry.whole("category_id")
        if image not in images or label not in categories:
            key, number = ("image_id", image) if image not in images else ("category_id", label)
            entry.refuse(f"has the {key} {number}, which there is not")
        rows[image].append((label, entry.box(), bool(entry.value.get("iscrowd", 0))))
    return {
        image: TrueBoxes(
            np.array([label for label, _, _ in found], np.int64),
            np.array([box for _, box, _ in found], np.float64).reshape(-1, 4),
            np.array([crowd for _, _, crowd in found], bool),
        )
        for image, found in rows.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LARGE


def _wrong(path: str, what: str, why: str = "") -> NoReturn:
    refuse("annotation", what, Span(Source("", path), 0, 0), why)


def category_ids(names: Sequence[str]) -> tuple[int, ...]:
    """The id of each class of a net among COCO's categories, by its name; the class's own index where a name is no
    class of COCO's, as SSD writes it. The background never has an id.
    """
    known = coco_ids()
    if all(name in known for name in names[1:]) and len(names) > 1:
        return tuple(known.get(name, 0) for name in names)
    return tuple(range(len(names)))


def results(found: Iterable[tuple[int | str, Detections]], ids: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's list of results for images with their ids: image_id, category_id, bbox (x, y, width, height), score.

    `ids` are those of the net's classes. Nothing is rounded.
    """
    made: list[dict[str, Any]] = []
    for image, detections in found:
        ordered = detections.best_first()
        for label, score, (x, y, right, bottom) in zip(
            ordered.classes.tolist(), ordered.scores.tolist(), ordered.edges().tolist(), strict=True
        ):
            box = [x, y, right - x, bottom - y]
            made.append({"image_id": image, "category_id": ids[label], "bbox": box, "score": score})
    return made


def results_text(found: Sequence[Mapping[str, Any]]) -> str:
    """The list as JSON, an entry a line; boxes to hundredths of a pixel as SSD rounds them, scores to six digits."""
    rounded = [
        {**entry, "bbox": [round(value, 2) for value in entry["bbox"]], "score": round(entry["score"], 6)}
        for entry in found
    ]
    return "[" + ",\n".join(map(json.dumps, rounded)) + "]\n"
