"""Data bases for the tests, written by LMDB's own library; their records by protobuf."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

_KINDS = descriptor_pb2.FieldDescriptorProto
# The fields of BVLC's and SSD's caffe.proto: name, number, type, and "*" for a repeated one or the message's name.
_TABLE = {
    "Datum": (
        ("channels", 1, _KINDS.TYPE_INT32, ""), ("height", 2, _KINDS.TYPE_INT32, ""),
        ("width", 3, _KINDS.TYPE_INT32, ""), ("data", 4, _KINDS.TYPE_BYTES, ""), ("label", 5, _KINDS.TYPE_INT32, ""),
        ("float_data", 6, _KINDS.TYPE_FLOAT, "*"), ("encoded", 7, _KINDS.TYPE_BOOL, ""),
    ),
    "NormalizedBBox": (
        ("xmin", 1, _KINDS.TYPE_FLOAT, ""), ("ymin", 2, _KINDS.TYPE_FLOAT, ""), ("xmax", 3, _KINDS.TYPE_FLOAT, ""),
        ("ymax", 4, _KINDS.TYPE_FLOAT, ""), ("label", 5, _KINDS.TYPE_INT32, ""), ("difficult", 6, _KINDS.TYPE_BOOL, ""),
        ("score", 7, _KINDS.TYPE_FLOAT, ""), ("size", 8, _KINDS.TYPE_FLOAT, ""),
    ),
    "Annotation": (("instance_id", 1, _KINDS.TYPE_INT32, ""), ("bbox", 2, _KINDS.TYPE_MESSAGE, "NormalizedBBox")),
    "AnnotationGroup": (
        ("group_label", 1, _KINDS.TYPE_INT32, ""), ("annotation", 2, _KINDS.TYPE_MESSAGE, "*Annotation"),
    ),
    "AnnotatedDatum": (
        ("datum", 1, _KINDS.TYPE_MESSAGE, "Datum"), ("type", 2, _KINDS.TYPE_INT32, ""),
        ("annotation_group", 3, _KINDS.TYPE_MESSAGE, "*AnnotationGroup"),
    ),
}  # fmt: skip


def message(name: str) -> Any:
    """The class of a message, made by protobuf."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"data.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="data.proto", package="data", syntax="proto2")
    for kind, rows in _TABLE.items():
        made = file.message_type.add(name=kind)
        for field, number, form, more in rows:
            repeated = _KINDS.LABEL_REPEATED if more.startswith("*") else _KINDS.LABEL_OPTIONAL
            added = made.field.add(name=field, number=number, type=form, label=repeated)
            if more.strip("*"):
                added.type_name = f".data.{more.strip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def write(folder: Path, records: Mapping[bytes, bytes] | Sequence[bytes]) -> Path:
    """An LMDB of these records; values alone get the keys that convert_imageset writes."""
    if not isinstance(records, Mapping):
        records = {b"%08d_x" % k: value for k, value in enumerate(records)}
    with lmdb.open(str(folder), map_size=1 << 30, lock=False, sync=False) as env, env.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    return folder


def raw(pixels: np.ndarray, label: int = 0, **more: object) -> bytes:
    """A Datum of bytes C×H×W, or of numbers."""
    c, h, w = pixels.shape
    data = {"data": pixels.tobytes()} if pixels.dtype == np.uint8 else {"float_data": pixels.ravel().tolist()}
    return message("Datum")(
        **{"channels": c, "height": h, "width": w, "label": label} | data | more
    ).SerializeToString()


def encoded(rgb: np.ndarray, label: int = 0, form: str = "PNG", **options: object) -> bytes:
    """A Datum that holds an image's file; `rgb` is H×W×3, H×W×4 or H×W."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, form, **options)
    return message("Datum")(data=out.getvalue(), encoded=True, label=label).SerializeToString()


def annotated(datum: bytes, groups: Mapping[int, Sequence[Mapping[str, Any]]], kind: int | None = 0) -> bytes:
    """An AnnotatedDatum: boxes by label, each with the fields of a NormalizedBBox, and perhaps an instance_id."""
    made = message("AnnotatedDatum")(**({} if kind is None else {"type": kind}))
    made.datum.ParseFromString(datum)
    for label, boxes in groups.items():
        group = made.annotation_group.add(group_label=label)
        for box in boxes:
            sides = {name: value for name, value in box.items() if name != "instance_id"}
            group.annotation.add(instance_id=box.get("instance_id", 0)).bbox.MergeFrom(
                message("NormalizedBBox")(**sides)
            )
    return made.SerializeToString()
