"""Caffe's Datum: one image with its label, as the data bases that Caffe trains on hold them.

The pixels are bytes C×H×W, numbers of float_data, or the file of an image (`encoded`). Fields: `caffe.proto`; what is
decoded how: `DecodeDatumToCVMatNative` and `DecodeDatumToCVMat` in Caffe's `util/io.cpp`, by OpenCV's imdecode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps

from netcompile.array import Array
from netcompile.caffemodel.wire import BYTES, FIXED32, VARINT, WireError, fields, signed
from netcompile.data.image_file import open_encoded, reason_of
from netcompile.data.lmdb import Records, key_text, open_lmdb
from netcompile.data.preprocessing import Preprocessing
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOATS, _ENCODED = range(1, 8)
_FILES = ((b"\xff\xd8\xff", "a JPEG"), (b"\x89PNG", "a PNG"), (b"BM", "a BMP"), (b"RIFF", "a WebP"))
_PIECES = 1 << 16  # of float_data; Caffe writes one
_GREY = Preprocessing(order="grey")


@dataclass(frozen=True, slots=True)
class Datum:
    """What one record says. `data` are the bytes of the pixels or of an image's file; `floats` is empty, or the pixels.

    A record without a label has label 0, as in Caffe.
    """

    channels: int = 0
    height: int = 0
    width: int = 0
    data: bytes = b""
    floats: tuple[bytes, ...] = ()  # little-endian float32, in pieces
    encoded: bool = False
    label: int = 0


def read_datum(value: bytes) -> Datum:
    """The Datum of a record. Raises ValueError where the bytes are none."""
    found, floats = Datum(), list[bytes]()
    numbers = {_CHANNELS: "channels", _HEIGHT: "height", _WIDTH: "width", _LABEL: "label"}
    changes: dict[str, int | bytes | bool] = {}
    try:
        for number, kind, a, b in fields(value, 0, len(value)):
            if kind == VARINT and number in numbers:
                changes[numbers[number]] = signed(a, 32)
            elif kind == VARINT and number == _ENCODED:
                changes["encoded"] = bool(a)
            elif kind == BYTES and number == _DATA:
                changes["data"] = value[a:b]
            elif number == _FLOATS and kind == BYTES and (b - a) % 4 == 0:
                floats.append(value[a:b])
            elif number == _FLOATS and kind == FIXED32:
                floats.append(_unpacked(value, a, b))
            elif 0 < number <= _ENCODED:
                raise ValueError(f"it is no Datum: its field {number} is of another kind (byte {a})")
            if len(floats) > _PIECES:
                raise ValueError("it is no Datum: its numbers are in very many pieces")
    except WireError as error:
        raise ValueError(f"it is no Datum: {error} (byte {error.offset})") from None
    return replace(found, **changes, floats=tuple(floats))  # type: ignore[arg-type]


def _unpacked(value: bytes, a: int, b: int) -> bytes:
    """Numbers of 4 bytes with a byte of tag between every two, put together."""
    count = (b - a + 1) // 5
    spread = np.frombuffer(value[a:b] + b"\0", np.uint8).reshape(count, 5)
    return spread[:, :4].tobytes()


def planes(datum: Datum, colour: bool | None = None, name: str = "an encoded image") -> Array:
    """The pixels, C×H×W: bytes as they are stored, BGR of an encoded image; float32 of float_data.

    An encoded image has the channels of its file: 1, 3, or 4 with transparency (BGRA). `colour` makes that 3 or 1
    (`force_color`, `force_gray`) and turns it upright by its EXIF tag, both as OpenCV does. Raises ValueError where the
    record is not what it says, or its image cannot be decoded; NetError for one that is too large.
    """
    if datum.encoded:
        return _decoded(datum.data, colour, name)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1:
        raise ValueError(f"its size is {' × '.join(map(str, shape))}{_hint(datum.data)}")
    count = datum.channels * datum.height * datum.width
    if datum.data:
        if len(datum.data) != count:
            what = f"its size is {shape_text(shape)}, {count} bytes, and it has {len(datum.data)}"
            raise ValueError(what + _hint(datum.data))
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    have = sum(map(len, datum.floats)) // 4
    if have != count:
        raise ValueError(f"its size is {shape_text(shape)}, {count} numbers, and it has {have}")
    return np.frombuffer(b"".join(datum.floats), "<f4").astype(np.float32, copy=False).reshape(shape)


def _hint(data: bytes) -> str:
    """What the bytes are, where they are the file of an image and the record does not say so."""
    kind = next((kind for start, kind in _FILES if data.startswith(start)), "")
    return f"; its data is {kind}, and its field 'encoded' is not set" if kind else ""


def _decoded(data: bytes, colour: bool | None, name: str) -> Array:
    with open_encoded(data, name) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits a channel, which Caffe takes no image with")
        if colour is not None:
            rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            return rgb[:, :, ::-1].transpose(2, 0, 1) if colour else _GREY.planes(rgb).astype(np.uint8)
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"))[None]
        if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or (image.mode == "P" and "transparency" in image.info):
            return np.asarray(image.convert("RGBA"))[:, :, [2, 1, 0, 3]].transpose(2, 0, 1)
        return _bgr(image)


def _bgr(image: Image.Image) -> Array:
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return pixels[:, :, ::-1].transpose(2, 0, 1)


def datum_of(records: Records, k: int) -> tuple[str, Datum]:
    """The key, as text, and the Datum of record k. Raises NetError that names the record, OSError."""
    key, value = records[k]
    try:
        return key_text(key), read_datum(value)
    except ValueError as error:
        refuse_record(records, k, key_text(key), error)


def pixels_of(records: Records, k: int, colour: bool | None = None) -> tuple[str, Array, Datum]:
    """The key, as text, the pixels, C×H×W, and the Datum of record k. Raises NetError naming the record, OSError."""
    key, datum = datum_of(records, k)
    try:
        return key, planes(datum, colour, f"{records.name}: record {k} (key {key})"), datum
    except (ValueError, MemoryError) as error:
        refuse_record(records, k, key, error)


def refuse_record(records: Records, k: int, key: str, error: Exception) -> NoReturn:
    """Raises the NetError for a record that is not what it should be."""
    refuse("data-file", f"{records.name}: record {k} (key {key}): {reason_of(error)}")


@dataclass(frozen=True, slots=True)
class LabelledDatums:
    """The images of a data base with their labels, for scoring: `data[k]`, `len(data)`, or one after the other."""

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, k: int) -> tuple[str, Array, int]:
        """Key, image and label of record k: H×W×3 bytes, RGB, for an image of 1, 3 or 4 channels, else C×H×W as stored.

        Raises NetError that names a record that is damaged, OSError, IndexError.
        """
        key, pixels, datum = pixels_of(self.records, k)
        return key, as_rgb(pixels), datum.label

    def __iter__(self) -> Iterator[tuple[str, Array, int]]:
        return (self[k] for k in range(len(self)))


def open_labelled(path: str) -> LabelledDatums:
    """The LMDB of Datums at `path`, a folder with data.mdb or that file, with labels. Raises NetError, OSError."""
    found = LabelledDatums(open_lmdb(path))
    if not len(found):
        refuse("data-file", f"{found.records.name}: the data base is empty")
    return found


def as_rgb(pixels: Array) -> Array:
    """An image C×H×W of bytes with 1, 3 (BGR) or 4 channels (BGRA) as H×W×3, RGB; anything else as it is."""
    if pixels.dtype != np.uint8 or len(pixels) not in (1, 3, 4):
        return pixels
    bgr = np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels[:3]
    return np.ascontiguousarray(bgr[::-1].transpose(1, 2, 0))
