"""Fixtures of the caffemodel tests: protobuf's own reader as the reference, and a file to write over."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def net_message():
    """The NetParameter class with the fields that matter here, made by protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    table = {
        "BlobShape": [("dim", 1, kinds.TYPE_INT64, "*", "")],
        "BlobProto": [
            *((name, i, kinds.TYPE_INT32, "", "") for i, name in enumerate(("num", "channels", "height", "width"), 1)),
            ("data", 5, kinds.TYPE_FLOAT, "*", ""),
            ("diff", 6, kinds.TYPE_FLOAT, "*", ""),
            ("shape", 7, kinds.TYPE_MESSAGE, "", "BlobShape"),
            ("double_data", 8, kinds.TYPE_DOUBLE, "*", ""),
            ("double_diff", 9, kinds.TYPE_DOUBLE, "*", ""),
        ],
        "LayerParameter": [
            ("name", 1, kinds.TYPE_STRING, "", ""),
            ("type", 2, kinds.TYPE_STRING, "", ""),
            ("blobs", 7, kinds.TYPE_MESSAGE, "*", "BlobProto"),
        ],
        "V0": [("blobs", 50, kinds.TYPE_MESSAGE, "*", "BlobProto")],
        "V1": [
            ("layer", 1, kinds.TYPE_MESSAGE, "", "V0"),
            ("blobs", 6, kinds.TYPE_MESSAGE, "*", "BlobProto"),
        ],
        "NetParameter": [
            ("name", 1, kinds.TYPE_STRING, "", ""),
            ("layers", 2, kinds.TYPE_MESSAGE, "*", "V1"),
            ("layer", 100, kinds.TYPE_MESSAGE, "*", "LayerParameter"),
        ],
    }
    file = descriptor_pb2.FileDescriptorProto(name="reference.proto", package="reference", syntax="proto2")
    for message_name, rows in table.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind, repeated, of in rows:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            field = message.field.add(name=name, number=number, type=kind, label=label)
            if of:
                field.type_name = f".reference.{of}"
            elif repeated:
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("reference.NetParameter"))


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    """A path that examples may write over, one after the other."""
    return tmp_path_factory.mktemp("scratch") / "w.caffemodel"
