"""Layouts of data sets, and MATLAB files written byte by byte."""

from __future__ import annotations

import re
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.sparse
from scipy.io import savemat

from netcompile.data.datasets import open_data
from netcompile.data.mat import read_mat
from netcompile.diagnostics.diagnostic import NetError

TYPES = {"u1": (2, 9), "i2": (3, 10), "f4": (7, 7), "f8": (9, 6), "i4": (5, 12)}


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    if kind != 15 and 0 < len(data) <= 4:
        return struct.pack(order + "I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(data)) + data + (b"" if kind == 15 else bytes(-len(data) % 8))


def matfile(name: str, array: np.ndarray, compressed: bool = True, order: str = "<", extra: bytes = b"") -> bytes:
    """A MAT-file of version 5 with one real array."""
    kind, number = TYPES[array.dtype.str[1:]]
    matrix = element(6, struct.pack(order + "II", number, 0), order)
    matrix += element(5, struct.pack(f"{order}{array.ndim}i", *array.shape), order)
    matrix += element(1, name.encode(), order)
    matrix += element(kind, array.astype(array.dtype.newbyteorder(order)).tobytes(order="F"), order)
    whole = element(14, matrix, order)
    body = element(15, zlib.compress(whole), order) if compressed else whole
    head = b"MATLAB 5.0 MAT-file".ljust(124, b" ") + struct.pack(order + "H", 0x0100)
    return head + (b"IM" if order == "<" else b"MI") + extra + body


@pytest.mark.parametrize("kind", sorted(TYPES))
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_matlab_arrays(tmp_path, kind, compressed, order):
    array = (np.arange(15).reshape(5, 3) - (kind[0] != "u")).astype(kind)
    path = tmp_path / "x.mat"
    other = element(15, zlib.compress(matfile("T", array, compressed=False)[128:]))
    path.write_bytes(matfile("S", array, compressed, order, other if order == "<" else b""))
    assert np.array_equal(read_mat(str(path), "S"), array)


def test_small_matlab_arrays(tmp_path):
    array = np.array([[1, 2], [3, 4]], np.uint8)  # its four bytes lie in the element's tag
    (tmp_path / "x.mat").write_bytes(matfile("segmentation", array, compressed=False))
    assert read_mat(str(tmp_path / "x.mat"), "segmentation").tolist() == array.tolist()


def test_matlab_7_3(tmp_path):
    array = np.arange(6).reshape(2, 3)
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file["S"] = array.T
    assert np.array_equal(read_mat(str(tmp_path / "x.mat"), "S"), array)
    with pytest.raises(ValueError, match=r"^it has no array 'T'; it has S$"):
        read_mat(str(tmp_path / "x.mat"), "T")


def test_damaged_matlab_files(tmp_path):
    path = tmp_path / "x.mat"
    whole = matfile("S", np.arange(400.0).reshape(20, 20), compressed=False)
    for cut, what in ((60, "it is no MATLAB file"), (200, "truncated"), (len(whole) - 8, "truncated")):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=what):
            read_mat(str(path), "S")
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"^it has no array 'T'; it has S$"):
        read_mat(str(path), "T")
    squeezed = bytearray(matfile("S", np.arange(400.0)))
    squeezed[150:160] = b"\xff" * 10
    path.write_bytes(squeezed)
    with pytest.raises(ValueError, match="its compressed data is damaged"):
        read_mat(str(path), "S")


def test_a_mat_that_would_fill_the_memory(tmp_path, monkeypatch):
    """Zeros pack a thousand to one; matrices within matrices end the stack of whoever follows them."""
    monkeypatch.setattr("netcompile.data.mat._LARGEST", 1 << 20)
    (tmp_path / "x.mat").write_bytes(matfile("S", np.zeros((2048, 1024), np.uint8)))
    with pytest.raises(ValueError, match=r"^it holds more than 1 MiB unpacked, which no label map does$"):
        read_mat(str(tmp_path / "x.mat"), "S")
    head = struct.pack("<IIIIIIiiII", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0)
    parts, size = [b""], 0
    for _ in range(20_000):
        parts.append(struct.pack("<II", 14, len(head) + size) + head)
        size += 8 + len(head)
    (tmp_path / "x.mat").write_bytes(b"".join([matfile("S", np.zeros((2, 2)), False)[:128], *reversed(parts)]))
    with pytest.raises(ValueError, match=r"^it has no array 'T'; it has none$"):
        read_mat(str(tmp_path / "x.mat"), "T")


MAT_TYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", MAT_TYPES)
def test_what_scipy_writes_is_read(tmp_path, kind, compressed):
    """SciPy is the judge: whole arrays, and those in structures, behind others of every class."""
    rng = np.random.default_rng(3)
    path = tmp_path / "x.mat"
    for shape in ((5, 7), (1, 1), (2, 3, 4), (0, 3)):
        array = (100 * rng.random(shape)).astype(kind)
        before = {"before": "text", "cell": np.array([[1, "a"]], dtype=object), "sparse": scipy.sparse.eye(3)}
        inside = {"Boundaries": before["cell"], "Segmentation": array, "more": {"x": 1}}
        savemat(path, {**before, "S": array, "GTcls": inside, "z": 1j}, do_compression=compressed)
        np.testing.assert_array_equal(read_mat(str(path), "S"), array)
        np.testing.assert_array_equal(read_mat(str(path), "GTcls", "Segmentation"), array)
    for name, fields, what in (
        ("cell", (), "'cell' holds no real numbers: it is of class cell"),
        ("z", (), "'z' holds no real numbers: it is of class complex double"),
        ("S", ("x",), "'S' is no structure with the field 'x': it is of class "),
        ("GTcls", ("x",), "'GTcls' has no field 'x'; it has Boundaries, Segmentation, more"),
        ("GTcls", ("more",), "'more' holds no real numbers: it is of class struct"),
        ("GTcls", ("more", "y"), "'more' has no field 'y'; it has x"),
        ("T", (), "it has no array 'T'; it has before, cell, sparse, S, GTcls, z"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(what)}"):
            read_mat(str(path), name, *fields)


def test_matlab_7_3_claims_must_be_borne_out(tmp_path):
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file.create_dataset("S", (1 << 15, 1 << 15), "f8", chunks=(1024, 1024), compression=9)
        file["L"] = h5py.ExternalLink("elsewhere.h5", "/S")
    for name, what in (("S", "claims 8589934592 bytes"), ("L", "is a link to another file")):
        with pytest.raises(ValueError, match=what):
            read_mat(str(tmp_path / "x.mat"), name)


# --- layouts


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_voc(tmp_path):
    put(tmp_path, "V/JPEGImages/a.jpg", "V/JPEGImages/b.png", "V/SegmentationClass/a.png")
    lists = tmp_path / "V/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\na\n")
    (tmp_path / "seg11valid.txt").write_text("a\n")
    found = open_data(str(tmp_path / "V"))
    assert [s.name for s in found.samples] == ["b", "a"]
    assert found.samples[0].image == str(tmp_path / "V/JPEGImages/b.png")
    assert found.samples[1].labels == (str(tmp_path / "V/SegmentationClass/a.png"),)
    assert [s.name for s in open_data(str(tmp_path / "V"), "train").samples] == ["a"]
    assert [s.name for s in open_data(str(tmp_path / "V"), "seg11valid").samples] == ["a"]
    assert [s.name for s in open_data(str(tmp_path / "V"), str(lists / "train.txt")).samples] == ["a"]
    with pytest.raises(NetError) as caught:
        open_data(str(tmp_path))
    assert caught.value.diagnostics[0].remedy == f"give {tmp_path}/V"


def test_nyud(tmp_path):
    put(tmp_path, "data/images/img_5001.png", "segmentation/img_5001.mat")
    (tmp_path / "test.txt").write_text("5001\n")
    found = open_data(str(tmp_path))
    assert (found.kind, found.classes) == ("nyud", ("nyud",))
    assert found.samples[0].labels == (str(tmp_path / "segmentation/img_5001.mat"),)
    assert found.folders == {}
    put(tmp_path, "data/hha/img_5001.png")
    assert open_data(str(tmp_path)).folders == {"hha": str(tmp_path / "data/hha")}


def test_sbd(tmp_path):
    put(tmp_path, "img/a.jpg", "cls/a.mat", "img/b.jpg", "cls/b.png")
    (tmp_path / "val.txt").write_text("a\nb\n")
    found = open_data(str(tmp_path))
    assert (found.kind, found.classes) == ("", ("voc",))
    assert [sample.labels for sample in found.samples] == [(str(tmp_path / f"cls/{n}"),) for n in ("a.mat", "b.png")]


def test_lists(tmp_path):
    put(tmp_path, "im/a b.jpg", "im/c.jpg")
    path = tmp_path / "list.txt"
    path.write_text("# image\tlabels\nim/a b.jpg\tlab/a b.png\tgeo/a.png\nim/c.jpg\tlab/c.png\tgeo/c.png\n")
    found = open_data(str(path))
    assert found.heads == ("label1", "label2")
    assert found.samples[0].image == str(tmp_path / "im/a b.jpg")
    assert found.samples[1].labels == (str(tmp_path / "lab/c.png"), str(tmp_path / "geo/c.png"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("im/a.jpg\n", "entry 1 is not of the form IMAGE LABELS"),
        ("im/a.jpg l.png\nim/a.jpg\n", "entry 2 is not of the form IMAGE LABELS"),
        ("", "lists no images"),
        ("x.jpg l.png\n", "none of the 1 images of"),
    ],
)
def test_lists_that_are_none(tmp_path, text, what):
    put(tmp_path, "im/a.jpg")
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(NetError) as caught:
        open_data(str(tmp_path / "list.txt"))
    assert what in caught.value.diagnostics[0].what
