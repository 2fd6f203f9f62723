"""Boxes in PASCAL VOC's files: annotations as XML, and the texts of results that its development kit reads."""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NoReturn

import numpy as np

from netcompile.array import Array
from netcompile.data.boxes import Detections
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.diagnostics.source import Source, Span
from netcompile.files.reading import read_bytes

MOST_BYTES = 1 << 24  # of an annotation; those of VOC have a few thousand
_PER_BYTE = 16  # bytes of memory that a byte of an annotation can become
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """The objects of one annotation: names of their classes, boxes N×4 (whole pixels from 0), and two flags each."""

    names: tuple[str, ...]
    boxes: Array
    difficult: Array
    truncated: Array


@dataclass(slots=True)
class _Object:
    line: int
    texts: dict[str, tuple[str, int]] = field(default_factory=dict)  # with its line, by the name of the element


def read_annotation(path: str) -> Annotation:
    """The objects of an annotation file: name, bndbox, and difficult and truncated where they are given.

    The file numbers pixels from 1, the result from 0. Parts of objects (heads, hands) are left out. Entities, which
    could make a few bytes gigabytes or name other files, are refused. Raises NetError with the place, and OSError.
    """
    data = read_bytes(path, MOST_BYTES, grows=_PER_BYTE)
    source = Source(data.decode("utf-8-sig", "surrogateescape"), path)
    objects = [_checked(found, source) for found in _objects(data, source)]
    return Annotation(
        tuple(name for name, _, _ in objects),
        np.array([box for _, box, _ in objects]).reshape(-1, 4) - 1,
        np.array([flags[0] for _, _, flags in objects], bool),
        np.array([flags[1] for _, _, flags in objects], bool),
    )


def _objects(data: bytes, source: Source) -> list[_Object]:
    """The texts of every object: of its own elements and of those of its box."""
    found: list[_Object] = []
    above: list[str] = []
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, _: object) -> None:
        above.append(name)
        if len(above) == 1 and name != "annotation":
            _wrong(source, parser.CurrentLineNumber, f"the root is <{name[:40]}>, not <annotation>")
        if above == ["annotation", "object"]:
            found.append(_Object(parser.CurrentLineNumber))

    def text(characters: str) -> None:
        if above[1:2] == ["object"] and (len(above) == 3 or (len(above) == 4 and above[2] == "bndbox")):
            before, line = found[-1].texts.get(above[-1], ("", parser.CurrentLineNumber))
            found[-1].texts[above[-1]] = (before + characters, line)

    def entity(name: str, *_: object) -> None:
        what = f"entity '{name[:40]}' is declared"
        _wrong(source, parser.CurrentLineNumber, what, "entities can stand for gigabytes, or for other files")

    parser.StartElementHandler, parser.CharacterDataHandler, parser.EntityDeclHandler = start, text, entity
    parser.EndElementHandler = lambda _: above.pop() and None
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        _wrong(source, error.lineno, "this is no XML text", xml.parsers.expat.errors.messages.get(error.code, ""))
    except NetError:
        raise
    except (LookupError, ValueError) as error:  # of an encoding that Python does not know either
        _wrong(source, 1, "this is no XML text", str(error))
    return found


def _checked(found: _Object, source: Source) -> tuple[str, list[float], tuple[bool, bool]]:
    """Name, box and flags of an object."""
    name = found.texts.get("name", ("", 0))[0].strip()
    if not name:
        _wrong(source, found.line, "an object without a name")
    if missing := [side for side in _SIDES if side not in found.texts]:
        _wrong(source, found.line, f"object '{name}' has no {missing[0]} in its bndbox")
    box = [_number(*found.texts[side], source) for side in _SIDES]
    if box[2] < box[0] or box[3] < box[1]:
        corners = ", ".join(f"{value:g}" for value in box)
        _wrong(source, found.texts["xmin"][1], f"the box of '{name}' ends before it begins: {corners}")
    flags = [
        _number(*found.texts[flag], source) != 0 if flag in found.texts else False
        for flag in ("difficult", "truncated")
    ]
    return name, box, (flags[0], flags[1])


def _number(text: str, line: int, source: Source) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        _wrong(source, line, f"'{text.strip()[:40]}' is no number")
    return number


def _wrong(source: Source, line: int, what: str, why: str = "") -> NoReturn:
    refuse("annotation", what, Span(source, *source.line_range(line)), why)


def voc_corners(found: Detections) -> Array:
    """The corners as they stand in a file of results, N×4; VOC numbers pixels from 1.

    Whole pixels get 1 added, as py-faster-rcnn does. Edges are written as they are: SSD divides VOC's numbers by the
    image's size when it makes its data (`ReadXMLToAnnotatedDatum`) and multiplies what the net says by it when it
    writes results (`DetectionOutputLayer`), so they are VOC's numbers already.
    """
    return found.boxes + 1 if found.whole_pixels else found.boxes


def results_by_class(found: Sequence[tuple[str, Detections]], names: Sequence[str]) -> dict[str, str]:
    """The texts of VOC's files of results by class, for images with their names and what was found in them.

    A line is image, score, xmin, ymin, xmax, ymax: ``comp4_det_test_CLASS.txt`` of the development kit. Scores have six
    digits behind the point and corners two, where py-faster-rcnn writes three and one, and SSD cuts corners to whole
    numbers.
    """
    lines: dict[str, list[str]] = {name: [] for name in names}
    for image, detections in found:
        ordered = detections.best_first()
        for label, score, box in zip(ordered.classes, ordered.scores, voc_corners(ordered), strict=True):
            corners = " ".join(f"{value:.2f}" for value in box)
            lines[names[label]].append(f"{image} {score:.6f} {corners}\n")
    return {name: "".join(rows) for name, rows in lines.items()}
