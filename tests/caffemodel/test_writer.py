"""Caffemodels that are written are, to the byte, what protobuf writes, and the project's reader understands them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.caffemodel import writer
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.writer import Blob, Layer, write_caffemodel
from netcompile.prototxt.descriptors import message_class

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple) | st.just((130, 2))  # 130: two bytes
LAYERS = st.lists(st.tuples(NAMES, NAMES, st.lists(SHAPES, max_size=3)), max_size=4)
Drawn = list[tuple[str, str, list[tuple[int, ...]]]]


def arrays(drawn: Drawn) -> list[tuple[str, str, list[np.ndarray]]]:
    """The layers with numbers, no two alike."""
    found, count = [], 0
    for name, kind, shapes in drawn:
        blobs = []
        for shape in shapes:
            size = int(np.prod(shape, dtype=np.int64))
            blobs.append((np.arange(count, count + size, dtype="<f4") / 7 - 3).reshape(shape))
            count += size
        found.append((name, kind, blobs))
    return found


def written(path: Path, net: str, layers: list[tuple[str, str, list[np.ndarray]]]) -> bytes:
    stored = [Layer(name, kind, [Blob(b.shape, b.tobytes()) for b in blobs]) for name, kind, blobs in layers]
    write_caffemodel(path, net, stored)
    return path.read_bytes()


def by_protobuf(message: Any, net: str, layers: list[tuple[str, str, list[np.ndarray]]]) -> bytes:
    """The same net, written by protobuf."""
    out = message(name=net)
    for name, kind, blobs in layers:
        layer = out.layer.add(name=name, type=kind)
        for array in blobs:
            blob = layer.blobs.add()
            blob.shape.SetInParent()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    return bytes(out.SerializeToString(deterministic=True))


@given(net=NAMES, drawn=LAYERS)
def test_the_bytes_are_protobufs(net: str, drawn: Drawn, net_message: Any, scratch: Path) -> None:
    layers = arrays(drawn)
    assert written(scratch, net, layers) == by_protobuf(net_message, net, layers)


@given(drawn=LAYERS)
def test_the_schema_reads_it(drawn: Drawn, scratch: Path) -> None:
    """With the project's own schema, whose fields have the numbers of caffe.proto."""
    layers = arrays(drawn)
    message = message_class("NetParameter").FromString(written(scratch, "net", layers))
    assert [(layer.name, layer.type) for layer in message.layer] == [(name, kind) for name, kind, _ in layers]
    for layer, (_, _, blobs) in zip(message.layer, layers, strict=True):
        assert [tuple(blob.shape.dim) for blob in layer.blobs] == [array.shape for array in blobs]
        assert [list(blob.data) for blob in layer.blobs] == [array.ravel().tolist() for array in blobs]


def test_the_reader_reads_it(tmp_path: Path) -> None:
    layers = arrays([("conv", "Convolution", [(2, 3, 1, 1), (2,)]), ("relu", "ReLU", []), ("fc/é", "Scale", [()])])
    path = tmp_path / "net.caffemodel"
    written(path, "net", layers)
    model = read_caffemodel(path)
    for layer, (name, kind, blobs) in zip(model.layers, layers, strict=True):
        assert (layer.name, layer.type) == (name, kind)
        assert [blob.shape for blob in layer.blobs] == [array.shape for array in blobs]
        for blob, array in zip(layer.blobs, blobs, strict=True):
            np.testing.assert_array_equal(blob.array(), array)


def test_numbers_that_do_not_fit_their_shape_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_text("before")
    with pytest.raises(ValueError, match=r"^blob 1 of layer 'conv' has 4 bytes, and its shape wants 8$"):
        write_caffemodel(path, "net", [Layer("conv", "X", [Blob((1,), bytes(4)), Blob((2, 1), bytes(4))])])
    assert path.read_text() == "before"


def test_a_file_that_protobuf_could_not_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LARGEST", 40)
    layer = Layer("conv", "X", [Blob((2, 2), bytes(16))])
    write_caffemodel(tmp_path / "small.caffemodel", "", [layer])
    size = (tmp_path / "small.caffemodel").stat().st_size
    with pytest.raises(ValueError, match=rf"^a caffemodel of {size + 4} bytes: protobuf reads 40 at most$"):
        write_caffemodel(tmp_path / "large.caffemodel", "four", [layer])
    assert not (tmp_path / "large.caffemodel").exists()
