"""SSD's AnnotatedDatum: an image with its labelled boxes, as the data bases of SSD and its successors hold them.

Fields: AnnotatedDatum, AnnotationGroup, Annotation and NormalizedBBox in the caffe.proto of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from netcompile.array import Array
from netcompile.caffemodel.wire import BYTES, FIXED32, VARINT, WireError, fields, signed
from netcompile.data.datum import Datum, as_rgb, planes, read_datum, refuse_record
from netcompile.data.lmdb import Records, key_text, open_lmdb
from netcompile.diagnostics.diagnostic import refuse

_DATUM, _TYPE, _GROUP = 1, 2, 3
_LABEL, _ANNOTATION = 1, 2  # of a group
_INSTANCE, _BOX = 1, 2  # of an annotation
_SIDES, _DIFFICULT = {1: "xmin", 2: "ymin", 3: "xmax", 4: "ymax"}, 6  # of a box
_BOXES = 100_000  # of one image; two bytes of a record can claim to be one


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """An object in an image: its class, and where it is as shares of the image's width and height."""

    label: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False
    instance: int = 0


@dataclass(frozen=True, slots=True)
class AnnotatedDatum:
    """What one record says. `annotated` is False for one without boxes of its own, whose label is its Datum's."""

    datum: Datum
    boxes: tuple[LabelledBox, ...] = ()
    annotated: bool = False


def read_annotated(value: bytes) -> AnnotatedDatum:
    """The AnnotatedDatum of a record. Raises ValueError where the bytes are none."""
    datum, boxes, annotated = list[bytes](), list[LabelledBox](), False
    try:
        for number, kind, a, b in fields(value, 0, len(value)):
            if number == _DATUM and kind == BYTES:
                datum.append(value[a:b])
            elif number == _TYPE and kind == VARINT:
                if a:
                    raise ValueError(f"its annotations are of type {a}; 0, boxes, is the one that SSD has")
                annotated = True
            elif number == _GROUP and kind == BYTES:
                boxes += _group(value, a, b)
                if len(boxes) > _BOXES:
                    raise ValueError(f"it has more than {_BOXES} boxes")
            elif 0 < number <= _GROUP:
                raise ValueError(f"it is no AnnotatedDatum: its field {number} is of another kind (byte {a})")
    except WireError as error:
        raise ValueError(f"it is no AnnotatedDatum: {error} (byte {error.offset})") from None
    return AnnotatedDatum(read_datum(b"".join(datum)), tuple(boxes), annotated)


def _group(value: bytes, start: int, end: int) -> Iterator[LabelledBox]:
    """The boxes of a group, which are of one class."""
    label, places = 0, list[tuple[int, int]]()
    for number, kind, a, b in fields(value, start, end):
        if number == _LABEL and kind == VARINT:
            label = signed(a, 32)
        elif number == _ANNOTATION and kind == BYTES:
            places.append((a, b))
            if len(places) > _BOXES:
                raise ValueError(f"it has more than {_BOXES} boxes")
    for a, b in places:
        yield _box(value, a, b, label)


def _box(value: bytes, start: int, end: int, label: int) -> LabelledBox:
    instance, difficult, sides = 0, False, dict.fromkeys(_SIDES.values(), 0.0)
    for number, kind, a, b in fields(value, start, end):
        if number == _INSTANCE and kind == VARINT:
            instance = signed(a, 32)
        elif number == _BOX and kind == BYTES:
            for part, form, c, d in fields(value, a, b):
                if part in _SIDES and form == FIXED32:
                    (sides[_SIDES[part]],) = struct.unpack_from("<f", value, d - 4)
                elif part == _DIFFICULT and form == VARINT:
                    difficult = bool(c)
    odd = next((name for name, side in sides.items() if not isfinite(side)), None)
    if odd:
        raise ValueError(f"{odd} of a box is {sides[odd]}")
    return LabelledBox(label, **sides, difficult=difficult, instance=instance)


def annotated_of(records: Records, k: int) -> tuple[str, AnnotatedDatum]:
    """The key, as text, and the AnnotatedDatum of record k. Raises NetError that names the record, OSError."""
    key, value = records[k]
    try:
        return key_text(key), read_annotated(value)
    except ValueError as error:
        refuse_record(records, k, key_text(key), error)


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """The images of a data base with their boxes, for scoring: `data[k]`, `len(data)`, or one after the other."""

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, k: int) -> tuple[str, Array, tuple[LabelledBox, ...]]:
        """Key, image and boxes of record k. The image is H×W×3 bytes, RGB, or C×H×W as stored where it is no image.

        Raises NetError that names a record that is damaged, OSError, IndexError.
        """
        key, found = annotated_of(self.records, k)
        try:
            pixels = planes(found.datum, name=f"{self.records.name}: record {k} (key {key})")
        except (ValueError, MemoryError) as error:
            refuse_record(self.records, k, key, error)
        return key, as_rgb(pixels), found.boxes

    def __iter__(self) -> Iterator[tuple[str, Array, tuple[LabelledBox, ...]]]:
        return (self[k] for k in range(len(self)))


def open_annotated(path: str) -> AnnotatedImages:
    """The LMDB of AnnotatedDatums at `path`, a folder with data.mdb or that file. Raises NetError, OSError."""
    found = AnnotatedImages(open_lmdb(path))
    if not len(found):
        refuse("data-file", f"{found.records.name}: the data base is empty")
    return found
