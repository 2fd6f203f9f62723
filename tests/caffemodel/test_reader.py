"""Reading binary caffemodels: every form of the wire format, every generation, and what is refused."""

from __future__ import annotations

import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.caffemodel.reader import read_caffemodel, read_mean
from netcompile.diagnostics.diagnostic import NetError
from tests.caffemodel import encode as e
from tests.conftest import CASES, SHAPES

VALUES = [1.0, -2.5, 0.125, 300.0, -0.0, math.inf]


def read(tmp_path: Path, data: bytes):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(data)
    return read_caffemodel(path)


def refused(tmp_path: Path, data: bytes, reader=read_caffemodel) -> list[tuple[str, str]]:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(data)
    with pytest.raises(NetError) as caught:
        reader(path)
    assert all(d.what.startswith(f"{path}: ") for d in caught.value.diagnostics)
    assert all(d.span is None for d in caught.value.diagnostics)
    return [(d.code, d.what.removeprefix(f"{path}: ")) for d in caught.value.diagnostics]


def only_blob(model):
    return model.layers[0].blobs[0]


def test_v2(tmp_path):
    data = e.net(e.v2("c", "Convolution", e.blob((2, 3), VALUES), e.blob((1,), [7])), e.v2("r", "ReLU"), name="N")
    model = read(tmp_path, data)
    assert (model.format, model.name) == ("V2", "N")
    assert [(layer.name, layer.type, len(layer.blobs)) for layer in model.layers] == [
        ("c", "Convolution", 2),
        ("r", "ReLU", 0),
    ]
    first = only_blob(model)
    assert (first.shape, first.dtype, first.legacy, first.count, first.nbytes) == (
        (2, 3),
        "float32",
        False,
        6,
        24,
    )
    np.testing.assert_array_equal(first.array(), np.array(VALUES, np.float32).reshape(2, 3))
    assert not first.array().flags.writeable


def test_v1_types_are_named_and_unknown_ones_numbered(tmp_path):
    model = read(tmp_path, e.net(e.v1("c", 4, e.blob((1,), [1])), e.v1("x", 40), e.v1("y", -1)))
    assert model.format == "V1"
    assert [layer.type for layer in model.layers] == ["CONVOLUTION", "40", "-1"]


def test_v0(tmp_path):
    plain = e.chunk(2, e.chunk(4, "not counted") + e.chunk(6, e.blob((1,), [9])))
    model = read(tmp_path, e.net(e.v0("c", "conv", e.blob((2,), [1, 2])), plain))
    assert model.format == "V0"
    assert [(layer.name, layer.type, len(layer.blobs)) for layer in model.layers] == [
        ("c", "conv", 1),
        ("", "", 0),
    ]


def test_v0_part_that_occurs_twice_is_joined(tmp_path):
    one, two = e.blob((1,), [1]), e.blob((1,), [2])
    data = e.chunk(2, e.chunk(1, e.chunk(1, "a") + e.chunk(50, one)) + e.chunk(1, e.chunk(1, "b") + e.chunk(50, two)))
    layer = read(tmp_path, data).layers[0]
    assert layer.name == "b"
    assert [b.array().tolist() for b in layer.blobs] == [[1], [2]]


def test_v0_drops_v2_layers_and_says_so(tmp_path):
    model = read(tmp_path, e.net(e.v0("a", "conv"), e.v2("b", "ReLU")))
    assert [layer.name for layer in model.layers] == ["a"]
    assert [(n.code, n.severity) for n in model.notes] == [("caffemodel-mixed", "note")]


def test_v1_and_v2_together_are_refused_as_by_caffe(tmp_path):
    assert refused(tmp_path, e.net(e.v1("a", 4), e.v2("b", "ReLU"))) == [
        ("caffemodel-mixed", "holds 1 V1 layers (`layers`) and 1 V2 layers (`layer`)")
    ]


FORMS = {
    "packed": e.chunk(5, e.floats(VALUES)) + e.shape((6,)),
    "shape first": e.shape((6,)) + e.chunk(5, e.floats(VALUES)),
    "unpacked": e.unpacked(5, VALUES) + e.shape((6,), packed=False),
    "one at a time, apart": b"".join(e.unpacked(5, [v]) + e.number(99, 1) for v in VALUES) + e.shape((6,)),
    "packed in pieces": e.chunk(5, e.floats(VALUES[:2])) + e.shape((6,)) + e.chunk(5, e.floats(VALUES[2:])),
    "packed and unpacked": e.chunk(5, e.floats(VALUES[:2])) + e.unpacked(5, VALUES[2:]) + e.shape((6,)),
    "empty pieces": e.chunk(5, b"") + e.chunk(5, e.floats(VALUES)) + e.chunk(5, b"") + e.shape((6,)),
    "tags longer than needed": b"\xad\x80\x00" + e.floats(VALUES[:1]) + e.unpacked(5, VALUES[1:]) + e.shape((6,)),
    "shape in two parts": e.shape((2,)) + e.chunk(5, e.floats(VALUES)) + e.shape((3,)),
    "unknown fields": e.chunk(200, b"x") + e.number(201, 5) + e.unpacked(202, [1]) + e.blob((6,), VALUES),
    "a group": e.varint(50 << 3 | 3) + e.number(5, 1) + e.varint(50 << 3 | 4) + e.blob((6,), VALUES),
    "gradients": e.blob((6,), VALUES) + e.chunk(6, e.floats(range(6))),
    "a field of another wire type": e.number(5, 3) + e.blob((6,), VALUES),
    "double": e.chunk(8, e.floats(VALUES, "<d")) + e.shape((6,)),
    "double before float": e.chunk(5, e.floats([9])) + e.chunk(8, e.floats(VALUES, "<d")) + e.shape((6,)),
    "double, unpacked": e.unpacked(8, VALUES, "<d") + e.shape((6,)),
    "raw float16": e.number(10, 2) + e.chunk(12, np.array(VALUES, "<f2").tobytes()) + e.shape((6,)),
    "raw float": e.number(10, 1) + e.chunk(12, e.floats(VALUES)) + e.shape((6,)),
    "raw double": e.number(10, 0) + e.chunk(12, e.floats(VALUES, "<d")) + e.shape((6,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers(form, tmp_path):
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", FORMS[form]))))
    kind = "float64" if "double" in form else "float16" if "16" in form else "float32"
    expected = np.array(VALUES, kind)
    assert blob.dtype == kind
    assert blob.array().tobytes() == expected.tobytes()
    assert b"".join(map(bytes, blob.chunks(8))) == expected.tobytes()
    assert blob.array().size == 6


@pytest.mark.parametrize(
    ("fields", "dims", "is_legacy"),
    [
        (e.legacy(1, 1, 2, 3), (1, 1, 2, 3), True),
        (e.legacy(1, 1, 2, 3) + e.shape((6,)), (1, 1, 2, 3), True),
        (e.shape((2, 3)), (2, 3), False),
        (e.shape((6, 1, 1, 1, 1)), (6, 1, 1, 1, 1), False),
        (e.number(4, 1) + e.legacy(1, 2, 3, 1), (1, 2, 3, 1), True),
    ],
)
def test_legacy_dimensions_win_if_any_is_set(fields, dims, is_legacy, tmp_path):
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", e.chunk(5, e.floats(VALUES)) + fields))))
    assert (blob.shape, blob.legacy) == (dims, is_legacy)
    assert blob.array().shape == dims


@pytest.mark.parametrize("shape", [b"", e.shape(())])
def test_a_blob_without_axes_is_one_number(shape, tmp_path):
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", e.chunk(5, e.floats([4])) + shape))))
    assert (blob.shape, blob.array().shape, blob.array()[()]) == ((), (), 4)


def test_an_empty_blob(tmp_path):
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", e.shape((0, 3))))))
    assert blob.array().shape == (0, 3)
    assert list(blob.chunks()) == []


def test_long_unpacked_data(tmp_path):
    values = np.arange(300_000, dtype="<f4")
    cells = np.empty((values.size, 5), "u1")
    cells[:, 0] = 5 << 3 | 5
    cells[:, 1:] = values.view("u1").reshape(-1, 4)
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", cells.tobytes() + e.shape((values.size,))))))
    assert b"".join(map(bytes, blob.chunks(4096))) == values.tobytes()


def test_names_may_repeat_be_empty_or_not_utf8(tmp_path):
    model = read(tmp_path, e.net(e.v2("a", "C"), e.v2("a", "C"), e.v2(b"\xff", "C"), e.chunk(100, b"")))
    assert [layer.name for layer in model.layers] == ["a", "a", "\\xff", ""]


def test_a_hundred_thousand_layers(tmp_path):
    assert len(read(tmp_path, e.net(e.v2("a", "ReLU") * 100_000)).layers) == 100_000


LAYER = e.v2("conv1", "Convolution", e.blob((2, 3), VALUES), e.blob((2,), [1, 2]))
BAD_BLOBS = {
    "too few": (e.blob((2, 4), VALUES), "shape 2×4 needs 8 numbers, the file has 6"),
    "too many": (e.blob((5,), VALUES), "shape 5 needs 5 numbers, the file has 6"),
    "no shape": (e.chunk(5, e.floats(VALUES)), "shape scalar needs 1 number, the file has 6"),
    "no data": (e.shape((3,)), "shape 3 needs 3 numbers, the file has 0"),
    "negative": (e.blob((-2, -3), VALUES), "shape -2×-3 has a negative extent"),
    "huge": (
        e.blob((2**62,) * 4, VALUES),
        f"shape {'×'.join([str(2**62)] * 4)} is beyond the 2147483647 numbers that Caffe counts to",
    ),
    "legacy": (
        e.number(1, 6) + e.chunk(5, e.floats(VALUES)),
        "shape 6×0×0×0 needs 0 numbers, the file has 6",
    ),
    "double wins": (
        e.blob((6,), VALUES) + e.chunk(8, e.floats([1], "<d")),
        "shape 6 needs 6 numbers, the file has 1",
    ),
    "gradients": (e.blob((6,), VALUES) + e.chunk(6, e.floats([1])), "holds 6 numbers but 1 gradients"),
    "raw integers": (e.number(10, 3) + e.chunk(12, bytes(24)) + e.shape((6,)), "its numbers are integers"),
    "raw and uneven": (
        e.number(10, 2) + e.chunk(12, bytes(13)) + e.shape((6,)),
        "13 bytes of raw data are no whole count of float16 numbers",
    ),
}


@pytest.mark.parametrize("case", BAD_BLOBS)
def test_blobs_that_do_not_fit_their_shape(case, tmp_path):
    blob, text = BAD_BLOBS[case]
    assert refused(tmp_path, e.net(e.v2("c", "C", blob))) == [("caffemodel-shape", f"layer 'c' blob 0: {text}")]


def test_all_misshapen_blobs_are_told_at_once(tmp_path):
    bad = e.blob((2,), [1])
    assert [what for _, what in refused(tmp_path, e.net(e.v2("a", "C", bad, bad), e.v2("b", "C", bad)))] == [
        f"layer {where}: shape 2 needs 2 numbers, the file has 1"
        for where in ("'a' blob 0", "'a' blob 1", "'b' blob 0")
    ]


def test_very_many_misshapen_blobs_are_not_all_told(tmp_path):
    assert len(refused(tmp_path, e.net(e.v2("a", "C", e.blob((2,), [1])) * 500))) == 100


def test_truncation_names_layer_blob_and_bytes(tmp_path):
    whole = e.net(e.v2("first", "C", e.blob((1,), [1])), LAYER)
    end = len(whole)
    cut = whole[: end - 22]  # inside the data of blob 0 or 1 of conv1
    assert refused(tmp_path, cut) == [
        (
            "caffemodel-truncated",
            f"layer 'conv1' blob 0: data runs to byte {end - 17} but the file has {end - 22}: truncated?",
        )
    ]


@pytest.mark.parametrize("generation", ["v1", "v0"])
def test_truncation_of_old_formats(generation, tmp_path):
    blob = e.blob((6,), VALUES)
    whole = e.net(e.v1("c", 4, blob) if generation == "v1" else e.v0("c", "conv", blob))
    (found,) = refused(tmp_path, whole[:-10])
    assert found == (
        "caffemodel-truncated",
        f"layer 'c' blob 0: data runs to byte {len(whole)} but the file has {len(whole) - 10}: truncated?",
    )


def test_damage_inside_a_layer(tmp_path):
    inner = e.chunk(1, "c") + e.varint(7 << 3 | 2) + e.varint(1000) + b"xx"
    start = 3 + len(e.chunk(100, inner)) - 2
    assert refused(tmp_path, e.net(e.chunk(100, inner), e.v2("d", "C"))) == [
        (
            "caffemodel-corrupt",
            f"layer 'c' blob 0: byte {start}: data runs to byte {start + 1000} but ends at byte {start + 2}",
        )
    ]


OTHER_DAMAGE = {
    "uneven floats": (
        e.v2("c", "C", e.chunk(5, bytes(7))),
        "layer 'c' blob 0: byte 16: 7 bytes of data are no whole count of 4-byte numbers",
    ),
    "field 0": (e.chunk(100, e.chunk(1, "c") + b"\x00"), "layer 'c': byte 9: field number 0"),
    "wire type 7": (e.chunk(100, e.chunk(1, "c") + b"\x0f"), "layer 'c': byte 9: wire type 7 does not exist"),
    "before its name": (
        e.chunk(100, b"\x0f" + e.chunk(1, "c")),
        "layer 0 of the file: byte 6: wire type 7 does not exist",
    ),
    "group end": (
        e.chunk(100, e.chunk(1, "c") + b"\x0c"),
        "layer 'c': byte 9: a group ends that did not begin",
    ),
    "group start": (
        e.chunk(100, e.chunk(1, "c") + b"\x0b") + e.v2("d", "C"),
        "layer 'c': byte 10: a group does not end",
    ),
    "deep groups": (
        e.chunk(100, e.chunk(1, "c") + b"\x0b" * 5000),
        "layer 'c': byte 110: groups nest deeper than 100",
    ),
    "long number": (
        e.chunk(100, e.chunk(1, "c") + b"\x08" + b"\xff" * 11),
        "layer 'c': byte 10: a number is longer than 10 bytes",
    ),
    "long tag": (
        e.chunk(100, e.chunk(1, "c") + b"\xff" * 6 + b"\x01"),
        "layer 'c': byte 9: a field's tag is longer than 32 bits",
    ),
    "many axes": (
        e.v2("c", "C", e.blob((1,) * 33, [1])),
        "layer 'c' blob 0: byte 22: the shape has more than 32 axes",
    ),
    "many pieces": (
        e.v2("c", "C", (e.chunk(5, bytes(4)) + e.number(1, 1)) * 65537),
        "layer 'c' blob 0: byte 524308: the numbers lie in more than 65536 pieces",
    ),
    "many blobs": (e.v2("c", "C", *([b""] * 4097)), "layer 'c': byte 8207: a layer of more than 4096 blobs"),
}


@pytest.mark.parametrize("case", OTHER_DAMAGE)
def test_damage_has_its_place(case, tmp_path):
    data, what = OTHER_DAMAGE[case]
    (code, said), *_ = refused(tmp_path, e.net(data))
    assert said == what
    assert code in ("caffemodel-corrupt", "caffemodel-truncated")


def local(name):
    """The beginning of a zip archive whose first member has this name."""
    return b"PK\x03\x04" + bytes(22) + len(name).to_bytes(2, "little") + b"\0\0" + name.encode() + b"...."


NOT_WEIGHTS = {
    "empty": (b"", "caffemodel-empty", "the file is empty"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "caffemodel-not",
        "this is a Git LFS pointer, not the weights: the repository was cloned without them",
    ),
    "html": (
        b"\n<!DOCTYPE html><html>",
        "caffemodel-not",
        "this is a web page, not the weights: the download gave an error page or a viewer",
    ),
    "zip": (
        b"PK\x03\x04....",
        "caffemodel-not",
        "this is a zip archive (a PyTorch checkpoint and an .npz are zip archives too)",
    ),
    "torch": (
        local("archive/data.pkl"),
        "caffemodel-not",
        "this is a PyTorch checkpoint (.pth, .pt), not Caffe's weights",
    ),
    "torch.jit": (
        local("net/data/0"),
        "caffemodel-not",
        "this is a PyTorch checkpoint (.pth, .pt), not Caffe's weights",
    ),
    "npz": (local("data.npy"), "caffemodel-not", "this is an .npz of arrays"),
    "keras": (local("metadata.json"), "caffemodel-not", "this is a model of Keras (.keras)"),
    "zipped": (
        local("net.caffemodel"),
        "caffemodel-not",
        "this is a zip archive (a PyTorch checkpoint and an .npz are zip archives too)",
    ),
    "onnx": (
        e.number(1, 8) + e.chunk(2, "pytorch") + e.chunk(3, "2.0") + e.chunk(7, b"\n\0") + e.chunk(8, b"\x10\x0e"),
        "caffemodel-not",
        "this is an ONNX model, not Caffe's weights",
    ),
    "graph": (
        2 * e.chunk(1, e.chunk(1, "input") + e.chunk(2, "Placeholder")),
        "caffemodel-not",
        "this is a TensorFlow graph (.pb), not Caffe's weights",
    ),
    "saved model": (
        e.number(1, 1) + e.chunk(2, e.chunk(1, e.chunk(5, "2.1"))),
        "caffemodel-not",
        "this is a SavedModel of TensorFlow (.pb), not Caffe's weights",
    ),
    "tflite": (
        b"\x1c\0\0\0TFL3\0\0",
        "caffemodel-not",
        "this is a TensorFlow Lite model (.tflite), not Caffe's weights",
    ),
    "mxnet": (b"\x12\x01" + bytes(20), "caffemodel-not", "this is a file of MXNet's parameters (.params)"),
    "gif": (b"GIF89a..", "caffemodel-not", "this is a GIF image"),
    "bmp": (b"BM\x0e" + bytes(11), "caffemodel-not", "this is a BMP image"),
    "tiff": (b"II*\0....", "caffemodel-not", "this is a TIFF image"),
    "webp": (b"RIFF....WEBPVP8", "caffemodel-not", "this is a WebP image"),
    "gzip": (b"\x1f\x8b\x08....", "caffemodel-not", "this is compressed with gzip"),
    "tar": (b"a" * 257 + b"ustar\x00", "caffemodel-not", "this is a tar archive"),
    "pickle": (
        b"\x80\x02}q\x00.",
        "caffemodel-not",
        "this is a Python pickle, as old PyTorch checkpoints are; it is never loaded, as it can run code",
    ),
    "safetensors": (
        b"\x02" + bytes(7) + b'{"a":1}',
        "caffemodel-not",
        "this is a .safetensors file: it needs no conversion",
    ),
    "npy": (b"\x93NUMPY\x01\x00", "caffemodel-not", "this is a NumPy array (.npy)"),
    "prototxt": (
        b'name: "x"\nlayer { name: "a" }\n',
        "caffemodel-not",
        "this is a prototxt (text), not weights",
    ),
    "solver": (
        b'net: "train.prototxt"\nbase_lr: 1\n',
        "caffemodel-not",
        "this is a solver's prototxt (text), not weights",
    ),
    "text": (b"Not Found\n", "caffemodel-not", "this is text, not weights"),
    "json": (b'{"error": 404}', "caffemodel-not", "this is JSON text, not weights"),
    "zeros": (bytes(100), "caffemodel-corrupt", "the file holds only zero bytes"),
    "mean": (
        e.legacy(1, 3, 1, 2) + e.chunk(5, e.floats(VALUES)),
        "caffemodel-not",
        "this is a single blob (a .binaryproto mean), not weights",
    ),
    "solver state": (
        e.number(1, 100) + e.chunk(2, "snap_iter_100.caffemodel") + e.chunk(3, e.blob((1,), [1])),
        "caffemodel-not",
        "this is a solver's state (.solverstate), not weights",
    ),
    "no layers": (e.chunk(1, "n\x00"), "caffemodel-not", "this is not a caffemodel: it has no layers"),
    "noise": (
        b"\xff\xfe\xfd\xfc\xfb\xfa",
        "caffemodel-not",
        "this is not a caffemodel: byte 0: a number is cut off",
    ),
}


@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_other_files_are_recognised(case, tmp_path):
    data, code, what = NOT_WEIGHTS[case]
    assert refused(tmp_path, data) == [(code, what)]


def test_every_refusal_has_a_remedy(tmp_path):
    for data, _, _ in NOT_WEIGHTS.values():
        (tmp_path / "w").write_bytes(data)
        with pytest.raises(NetError) as caught:
            read_caffemodel(tmp_path / "w")
        assert all(d.remedy for d in caught.value.diagnostics)


def test_a_folder_is_refused_and_an_absent_file_is_an_oserror(tmp_path):
    with pytest.raises(NetError, match="is a folder, not a file"):
        read_caffemodel(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_caffemodel(tmp_path / "absent")


def test_a_mean(tmp_path):
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(e.legacy(1, 3, 1, 2) + e.chunk(5, e.floats(VALUES)))
    mean = read_mean(path)
    assert (mean.shape, mean.legacy) == ((1, 3, 1, 2), True)
    np.testing.assert_array_equal(mean.array().ravel(), np.array(VALUES, np.float32))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (e.net(LAYER), "this is a caffemodel, not a .binaryproto mean"),
        (e.number(1, 3), "not a mean: it holds no numbers"),
        (e.blob((3,), [1]), "mean: shape 3 needs 3 numbers, the file has 1"),
        (e.blob((1,), [1])[:-1], "mean: data runs to byte 11 but the file has 10: truncated?"),
        (b"\x93NUMPY\x01\x00", "this is a NumPy array (.npy)"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_mean(data, what, tmp_path):
    assert [said for _, said in refused(tmp_path, data, read_mean)] == [what]


@pytest.mark.parametrize("case", [c for c in CASES if c.weights], ids=lambda c: c.name)
def test_conformance_weights_agree_with_protobuf(case, net_message):
    check_against_protobuf(case.weights, net_message)


def test_the_shapes_net_agrees_with_protobuf(net_message):
    (path,) = [*SHAPES.parent.parent.parent.glob("weights/shapes-fcn8s.caffemodel")] or [None]
    if path is None:
        pytest.skip("the demo net's weights are absent")
    check_against_protobuf(path, net_message)


def check_against_protobuf(path: Path, net_message) -> None:
    model = read_caffemodel(path)
    reference = net_message()
    reference.ParseFromString(path.read_bytes())
    compare(model, reference)


def compare(model, reference) -> None:
    assert model.name == reference.name
    assert len(model.layers) == len(reference.layer)
    for ours, theirs in zip(model.layers, reference.layer, strict=True):
        assert (ours.name, ours.type, len(ours.blobs)) == (theirs.name, theirs.type, len(theirs.blobs))
        for mine, blob in zip(ours.blobs, theirs.blobs, strict=True):
            values = blob.double_data or blob.data
            assert mine.shape == tuple(blob.shape.dim)
            assert mine.array().tobytes() == np.array(values, mine.dtype).tobytes()


# --- protobuf as the judge of anything


@st.composite
def messages(draw) -> bytes:
    """Nets in every spelling, with shapes that fit; fields in any order, unknown ones between."""
    number32 = st.floats(width=32, allow_nan=False)
    filler = st.sampled_from([b"", e.number(3000, 7), e.chunk(3001, b"abc"), e.unpacked(3002, [1.0, 2.0])])
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        parts = [e.chunk(1, draw(st.text(max_size=5))), e.chunk(2, draw(st.sampled_from(["A", "Bb"])))]
        for _ in range(draw(st.integers(0, 3))):
            values = draw(st.lists(number32, max_size=8))
            dims = draw(st.sampled_from([(len(values),), (1, len(values)), (len(values), 1, 1)]))
            field, form = draw(st.sampled_from([(5, "<f"), (8, "<d")]))
            cut = draw(st.integers(0, len(values)))
            spell = [
                (lambda v, f=field, o=form: e.chunk(f, e.floats(v, o))),
                (lambda v, f=field, o=form: e.unpacked(f, v, o)),
            ]
            pieces = [draw(st.sampled_from(spell))(v) for v in (values[:cut], values[cut:])]
            dims_field = e.shape(dims, draw(st.booleans()))
            position = draw(st.integers(0, 2))
            body = [*pieces[:position], dims_field, draw(filler), *pieces[position:]]
            parts.append(e.chunk(7, b"".join(body)))
        layers.append(e.chunk(100, b"".join(parts) + draw(filler)))
    return b"".join([*layers, e.chunk(1, draw(st.text(max_size=4)))])


@settings(max_examples=150)
@given(data=messages())
def test_well_formed_files_agree_with_protobuf(data, net_message, scratch):
    scratch.write_bytes(data)
    reference = net_message()
    reference.ParseFromString(data)
    compare(read_caffemodel(scratch), reference)


BASE = e.net(
    e.v2("conv1", "Convolution", e.blob((2, 3), VALUES), e.legacy(1, 1, 1, 2) + e.unpacked(5, [1, 2])),
    e.v2("bn", "BatchNorm", e.chunk(8, e.floats([1, 2], "<d")) + e.shape((2,))),
)


def survives(scratch: Path, data: bytes, net_message) -> None:
    """Damaged bytes are read, and then protobuf reads them too, or refused; nothing else happens."""
    scratch.write_bytes(data)
    try:
        model = read_caffemodel(scratch)
    except NetError as error:
        long = [d for d in error.diagnostics if len(d.what) > 2000]
        assert not long
        return
    reference = net_message()
    reference.ParseFromString(data)  # what we read, protobuf reads too
    theirs = reference.layer if model.format == "V2" else reference.layers
    assert len(model.layers) == len(theirs)
    for layer in model.layers:
        for blob in layer.blobs:
            assert blob.array().nbytes <= 8 * len(data)


@pytest.mark.parametrize("length", range(len(BASE)))
def test_every_truncation(length, net_message, scratch):
    survives(scratch, BASE[:length], net_message)


@settings(max_examples=400)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 20),
)
def test_flipped_bytes(edits, cut, net_message, scratch):
    data = bytearray(BASE)
    for position, value in edits:
        data[position] = value
    survives(scratch, bytes(data[: len(data) - cut]), net_message)


@settings(max_examples=200)
@given(data=st.binary(max_size=60))
def test_noise(data, net_message, scratch):
    survives(scratch, data, net_message)


def test_reading_imports_no_numpy():
    import subprocess

    code = "import sys, netcompile.caffemodel.convert, netcompile.caffemodel.reader\nprint('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_floats_are_little_endian(tmp_path):
    blob = only_blob(read(tmp_path, e.net(e.v2("c", "C", e.blob((1,), [1.5])))))
    assert blob.array().tobytes() == struct.pack("<f", 1.5)


def test_a_system_that_cannot_read_at_a_place(tmp_path, monkeypatch):
    """As in a browser: the descriptor is moved, and a long piece is read in several."""
    monkeypatch.delattr("os.preadv", raising=False)
    monkeypatch.setattr("netcompile.caffemodel.file._STEP", 10)
    path = tmp_path / "w.caffemodel"
    path.write_bytes(e.net(e.v2("a", "Convolution", e.blob((100,), range(100)))))
    model = read_caffemodel(path)
    assert model.layers[0].blobs[0].array().tolist() == list(range(100))
