"""Files from elsewhere that ask for too much, lie, or are no files: each is told, and nothing large is allocated."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from PIL import Image

from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.reader import read_caffemodel, read_weights
from netcompile.cli.manifest import read_manifest
from netcompile.data.class_names import class_names
from netcompile.data.datasets import open_data
from netcompile.data.image_file import open_image
from netcompile.data.images import read_image
from netcompile.data.mat import read_mat
from netcompile.data.palettes import palette
from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.limits import max_memory
from netcompile.files.npz import members_npz, read_npz
from netcompile.files.reading import open_descriptor, parse_json, read_json, read_lines
from netcompile.runtime.tensor_file import read_tensors
from tests.caffemodel import encode as e

HOSTILE = Path(__file__).parent / "hostile"
SMALL = 1 << 22  # --max-memory in these tests


def told(read: Callable[[], object]) -> str:
    """What a reader says of a file, with the bound of `SMALL`."""
    with pytest.raises((NetError, ValueError)) as caught, max_memory(SMALL):
        read()
    if isinstance(caught.value, NetError):
        (found,) = caught.value.diagnostics
        return f"{found.code}: {found.what}" + (f"; {found.why}" if found.why else "")
    return str(caught.value)


def weights(path: Path) -> list[np.ndarray]:
    return [blob.array() for layer in read_weights(path).layers for blob in layer.blobs if blob is not None]


# --- single members of their kinds, as they once broke something


CASES = [
    ("unknown-method.npz", "it is packed by method 99; NumPy packs by deflate alone"),
    ("encrypted.npz", "it is encrypted"),
    ("lzma.npz", "it is packed by method 14; NumPy packs by deflate alone"),
    ("type-is-a-tuple.npz", "('<f4',) is no type of real numbers"),
    ("keys-of-two-types.npz", "its header does not say type, order and shape"),
    ("shape-of-a-bool.npz", "its header gives no shape"),
    ("header-ends-early.npz", "its header is no Python dictionary"),
    ("many-structures.mat", "'GTcls' is 2000000000×1 structures, not one"),
    ("no-class.mat", "an array has no class or no extents"),
    ("many-pixels.png", "too-large: {path} has more than 89478485 pixels; it has "),
    (
        "empty-and-huge.caffemodel",
        "caffemodel-shape: {path}: layer 'b' blob 0: shape 0×2147483647×2147483647×0 is",
    ),
]
READERS: dict[str, Callable[[str], object]] = {
    ".npz": lambda path: read_npz(path, "float32"),
    ".mat": lambda path: read_mat(path, "GTcls", "Segmentation"),
    ".png": read_image,
    ".caffemodel": read_caffemodel,
}


@pytest.mark.parametrize(("name", "what"), CASES, ids=[name for name, _ in CASES])
def test_found_files(name: str, what: str) -> None:
    path = HOSTILE / name
    said = told(lambda: READERS[path.suffix](str(path)))
    if path.suffix == ".npz":
        assert said == f"inputs-file: array 'data' of {path} cannot be read; {what}"
    else:
        assert said.startswith(what.replace("{path}", str(path)))


def test_every_hostile_file_has_a_case() -> None:
    assert {path.name for path in HOSTILE.iterdir()} == {name for name, _ in CASES}


# --- archives of arrays


def header(descr: object = "<f4", shape: object = (1, 3), text: str | None = None) -> bytes:
    text = text if text is not None else repr({"descr": descr, "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


def archive(path: Path, *members: tuple[str, bytes], packed: bool = True) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, data in members:
            made.writestr(name, data)
    return str(path)


HEADERS = [
    (header(shape=(10**12,)), "its header claims 4000000000000 bytes, 12 are stored"),
    (header(shape=(10**12, 10**12)), "its header claims 4000000000000000000000000 bytes, 12 are stored"),
    (header(shape=(1 << 63,)), "its header gives no shape"),
    (header(shape=(-3,)), "its header gives no shape"),
    (header(shape=[3]), "its header gives no shape"),
    (header(shape=(3.0,)), "its header gives no shape"),
    (header(shape=(1,) * 65), "its header gives no shape"),
    (header("O"), "O is no type of real numbers"),
    (header("<c8"), "<c8 is no type of real numbers"),
    (header([("a", "<f4")]), "[('a', '<f4')] is no type of real numbers"),
    (header("3f4"), "3f4 is no type of real numbers"),
    (header(text="[" * 9000), "its header is no Python dictionary"),
    (header(text="-" * 9000 + "1"), "its header is no Python dictionary"),
    (header(text="__import__('os').system('true')"), "its header is no Python dictionary"),
    (header(text="'\\d'"), "its header has a backslash"),
    (header(text="1is 2"), "its header says more than type, order and shape of numbers"),
    (header(text="1" * 9000), "its header is no Python dictionary"),
    (b"\x93NUMPY\2\0\xff\xff\xff\x7f" + bytes(40), "its header has 2147483647 bytes"),
    (b"\x93NUMPY\1\0\xff\0{", "its header ends early"),
    (b"\x93NUMPY\7\0", "version 7 of the format is not known"),
    (b"\x80\4cos\nsystem", "it is no .npy array"),
    (b"", "it is no .npy array"),
]


@pytest.mark.parametrize(("data", "why"), HEADERS, ids=range(len(HEADERS)))
def test_headers_of_arrays(data: bytes, why: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", ("data.npy", data + bytes(12)))
    assert told(lambda: read_npz(path, "float32")) == f"inputs-file: array 'data' of {path} cannot be read; {why}"


REAL = ("?", "i1", "u1", "<i2", ">u4", "<f2", ">f4", "<f8", "<i8", "<f16")
KINDS = ("f2", "f4", "f8", "i8", "i4", "i2", "i1", "u1", "?")


def test_headers_that_numpy_writes(tmp_path: Path) -> None:
    """Every type of real numbers, both orders, all versions, and what Python 2 wrote."""
    arrays = {kind: np.arange(6).astype(kind).reshape(2, 3) for kind in REAL}
    arrays |= {"fortran": np.asfortranarray(arrays["<f8"]), "scalar": np.float32(3), "none": np.zeros((0, 3))}  # type: ignore[dict-item]
    np.savez_compressed(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    found = read_npz(str(tmp_path / "x.npz"), "float64")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], np.asarray(array, np.float64))
        assert found[name].flags.c_contiguous
    for version in ((1, 0), (2, 0), (3, 0)):
        out = io.BytesIO()
        np.lib.format.write_array(out, arrays["<f8"], version)
        path = archive(tmp_path / "y.npz", ("data.npy", out.getvalue()), packed=False)
        np.testing.assert_array_equal(read_npz(path, "float32")["data"], arrays["<f8"])
    old = header(text="{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 3L), }") + bytes(12)
    assert read_npz(archive(tmp_path / "z.npz", ("data.npy", old)), "float32")["data"].shape == (1, 3)


def test_members_that_nobody_asked_for_are_not_unpacked(tmp_path: Path) -> None:
    """Neither one that would fill the memory, nor one that is damaged or encrypted."""
    good, large = header(shape=(3,)) + bytes(12), header(shape=(1 << 21,)) + bytes(4 << 21)
    path = archive(tmp_path / "x.npz", ("data.npy", good), ("junk.npy", large), ("text", b"no array"))
    with max_memory(SMALL):
        assert read_npz(path, "float32", ["data"])["data"].tolist() == [0, 0, 0]
        assert {name: member.shape for name, member in members_npz(path).items()} == {
            "data": (3,), "junk": (1 << 21,), "text": (),
        }  # fmt: skip
    with patch.object(zipfile.ZipFile, "open", autospec=True, side_effect=zipfile.ZipFile.open) as opened:
        read_npz(path, "float32", ["data"])
    assert [call.args[1].filename for call in opened.call_args_list] == 2 * ["data.npy"]
    assert told(lambda: read_npz(path, "float32", ["junk"])) == (
        f"too-large: reading {path} takes 16.8 MB of memory; --max-memory says 4.2 MB"
    )


def test_one_array_in_two_members(tmp_path: Path) -> None:
    good = header(shape=(3,)) + bytes(12)
    path = archive(tmp_path / "x.npz", ("data", good), ("data.npy", good))
    assert told(lambda: read_npz(path, "float32")).endswith("; the archive has 2 arrays of this name")


def test_numbers_beyond_the_type_that_is_wanted(tmp_path: Path) -> None:
    """Whatever the bits of a long double are, nothing is warned of."""
    long = header("<f16", (1,)) + 16 * b"\xff"
    assert not np.isfinite(read_npz(archive(tmp_path / "x.npz", ("data.npy", long)), "float32")["data"])


def test_archives_that_lie(tmp_path: Path) -> None:
    good = header(shape=(3,)) + bytes(12)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "x.npz", ("data.npy", good), ("data.npy", good))
    assert told(lambda: read_npz(path, "float32")).endswith("; the archive has 2 arrays of this name")
    path = archive(tmp_path / "y.npz", ("data.npy", good), packed=False)
    data = bytearray(Path(path).read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = (1 << 30).to_bytes(4, "little")  # the size that the list of members says
    Path(path).write_bytes(data)
    assert "it claims 1073741824 bytes, and " in told(lambda: read_npz(path, "float32"))
    end = data.rfind(b"PK\5\6")
    data[end + 12 : end + 16] = b"\xfe\xff\xff\xff"
    Path(path).write_bytes(data + bytes(1 << 25))
    assert told(lambda: read_npz(path, "float32")).startswith(f"inputs-file: {path} is no .npz file of arrays; ")


def test_a_checksum_that_differs(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", ("data.npy", header(shape=(3,)) + b"123456789012"), packed=False)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data.replace(b"123456789012", b"123456789013"))
    assert "Bad CRC-32" in told(lambda: read_npz(path, "float32"))


# --- HDF5


def hdf5(path: Path, fill: Callable[[h5py.Group], object]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file.create_group("data/c"))
    return path


def aliases(group: h5py.Group) -> None:
    group["0"] = np.ones(1000, "f4")
    for index in range(1, 100):
        group[str(index)] = group["0"]


def unwritten(group: h5py.Group) -> None:
    group.create_dataset("0", (10**6, 10**6), "f4", chunks=(1, 1000), fillvalue=3)


def large_chunk(group: h5py.Group) -> None:
    group.create_dataset("0", (10,), "f4", chunks=(1 << 29,), maxshape=(None,), compression=9)[:0] = 1


def packed_zeros(group: h5py.Group) -> None:
    group.create_dataset("0", data=np.zeros(1 << 21, "f4"), chunks=(1 << 18,), compression=9)


HDF5 = [
    (aliases, "/data/c/1: is a data set that was met before: one has two names"),
    (unwritten, "/data/c/0: claims 4000000000000 bytes (shape 1000000×1000000), but 0 are stored"),
    (packed_zeros, "what is packed in {path} takes 8.4 MB of memory; --max-memory says 4.2 MB"),
]


@pytest.mark.parametrize(("fill", "what"), HDF5)
def test_hdf5_weights(fill: Callable[[h5py.Group], object], what: str, tmp_path: Path) -> None:
    path = hdf5(tmp_path / "x.h5", fill)
    assert what.replace("{path}", str(path)) in told(lambda: weights(path))


def test_chunks_larger_than_their_data_set(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "x.h5", large_chunk)
    assert "/data/c/0: " in told(lambda: weights(path))


# --- .safetensors, JSON, TOML, lists


def tensors(header: bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


ROW = b'"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}'
SAFETENSORS = [
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[2]", b"[0,8]") + b"}", bytes(4)), "end at byte 72, the file at byte 68"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[2]", b"[0,8]") + b"," + ROW % (b"c.1", b"F32", b"[2]", b"[0,8]") + b"}"),
     "tensor 'c.1' does not start where the one before it ends"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[2]", b"[4,12]") + b"}"), "tensor 'c.0' does not start where"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[2,-1]", b"[0,8]") + b"}"), "the shape of tensor 'c.0' is not that of"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[true,2]", b"[0,8]") + b"}"), "the shape of tensor 'c.0' is not that of"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"9", b"[0,8]") + b"}"), "tensor 'c.0' has no type, shape and offsets"),
    (tensors(b"{" + ROW % (b"c.0", b"F99", b"[2]", b"[0,8]") + b"}"), "tensor 'c.0' has no type, shape and offsets"),
    (tensors(b"{" + ROW % (b"c.0", b"F32", b"[4611686018427387904,4]", b"[0,8]") + b"}"), "the shape of tensor 'c.0'"),
    (tensors(b'{"c":' + b"[" * 100_000 + b"}"), "it is nested too deep"),
    (tensors(b'{"c":' + b"9" * 5000 + b"}"), "Exceeds the limit"),
    (tensors(b'{"a', length=1 << 62), "the header runs beyond the end of the file"),
    (tensors(b'{"a', bytes((1 << 24) + 8), (1 << 24) + 1), "the header has 16777217 bytes, and at most"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "what"), SAFETENSORS, ids=[what for _, what in SAFETENSORS])
def test_safetensors(data: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert what in told(lambda: read_tensors(path))
    if data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < 1 << 27:
        assert told(lambda: weights(path)).startswith(f"weights-file: {path}: not a whole .safetensors file: ")


def test_safetensors_agree_with_the_package(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {f"c.{i}": np.arange(6).astype(kind).reshape(2, 3) for i, kind in enumerate(KINDS)}
    save_file({**arrays, "d.0": np.zeros((0, 4), "f4"), "d.1": np.ones((), "f4")}, tmp_path / "x.safetensors")
    found = read_tensors(tmp_path / "x.safetensors")
    for key, array in arrays.items():
        assert found[key].numpy().dtype == array.dtype
        np.testing.assert_array_equal(found[key].numpy(), array)
    layers = {layer.name: layer.blobs for layer in read_weights(tmp_path / "x.safetensors").layers}
    for blob, array in zip(layers["c"], arrays.values(), strict=True):
        assert blob is not None
        np.testing.assert_array_equal(blob.array(), array)
    assert [blob.shape for blob in layers["d"] if blob] == [(0, 4), ()]


TEXTS = ("[" * 100_000, '{"a":' * 100_000, "9" * 5000, "", "{", '"\\ud800', "\xff")


@pytest.mark.parametrize("text", TEXTS, ids=range(7))
def test_json_of_any_kind_is_no_more_than_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 20_000, "a = 1" + "0" * 5000, "[[weights]]\nname = '\xff'", "a" + ".a" * 5000]
)
def test_manifests(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text, "latin1")
    assert told(lambda: read_manifest(str(path))).startswith(f"manifest: {path} ")


def test_texts_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a b\n" * 20_000)
    assert told(lambda: list(read_lines(path))).startswith(f"too-large: the list {path}, of 20000 lines, takes ")
    path.write_bytes(b"x" * 100_000)
    assert told(lambda: list(read_lines(path))) == f"too-large: {path}: line 1 has 100000 characters: this is no list"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a file of nothing: it takes no room
    assert told(lambda: list(read_lines(path))).startswith(f"too-large: {path} has 1099511627776 bytes")
    assert told(lambda: read_json(path)).startswith(f"too-large: {path} has 1099511627776 bytes")
    assert told(lambda: read_manifest(str(path))).startswith(f"too-large: {path} has 1099511627776 bytes")
    assert told(lambda: class_names(str(path))).startswith(f"too-large: {path} has 1099511627776 bytes")
    assert told(lambda: open_data(str(path))).startswith(f"too-large: {path} has 1099511627776 bytes")
    assert told(lambda: read_mat(str(path), "S")) == "it has 1099511627776 bytes, which no label map does"
    assert told(lambda: palette(str(path))).startswith(f"palette: {path}: no palette can be read")


# --- what is no file


@pytest.fixture(params=["/dev/zero", "fifo", "folder"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "/dev/zero":
        return "/dev/zero"
    path = tmp_path / request.param
    os.mkfifo(path) if request.param == "fifo" else path.mkdir()
    return str(path)


def test_devices_pipes_and_folders(special: str) -> None:
    kind = {"/dev/zero": "a device"}.get(special, "a pipe" if special.endswith("fifo") else "a folder")
    readers: list[Callable[[str], object]] = [
        open_descriptor, read_caffemodel, read_weights, read_image, read_json, read_manifest, read_tensors,
        lambda path: read_npz(path, "float32"), lambda path: read_mat(path, "S"), lambda path: list(read_lines(path)),
    ]  # fmt: skip
    for read in readers:
        assert told(lambda read=read: read(special)) == f"not-a-file: {special} is {kind}, not a file"  # type: ignore[misc]


# --- a file that somebody shortens


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    """A mapping would end the process."""
    path = tmp_path / "w.caffemodel"
    numbers = e.chunk(5, bytes(400_000)) + e.shape((100_000,))
    path.write_bytes(e.net(e.v2("c", "Convolution", numbers, e.blob((2,), [1, 2]))))
    model = read_caffemodel(path)
    large, small = model.layers[0].blobs
    assert large is not None
    assert small is not None
    os.truncate(path, 1000)
    for blob in (large, small):
        with pytest.raises(OSError, match=rf"^{re.escape(str(path))}: the file became shorter while it was read$"):
            blob.array()
        with pytest.raises(OSError, match="became shorter"):
            list(blob.chunks())
    file = DataFile(path)
    os.truncate(path, 10)
    assert file[:4] == path.read_bytes()[:4] if file.size < 10 else True
    with pytest.raises(OSError, match="became shorter"):
        file[500]


def test_a_decoder_gets_no_file_to_map(tmp_path: Path) -> None:
    """libtiff would map it, and end the process where it becomes shorter."""
    path = tmp_path / "x.tif"
    pixels = np.random.RandomState(0).randint(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path, compression="tiff_lzw")
    with open_image(path) as image:
        assert image.fp is not None
        with pytest.raises(OSError, match="fileno"):
            image.fp.fileno()
        assert np.array_equal(np.asarray(image), pixels)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert (
        told(lambda: read_image(path))
        == f"too-large: {path}, of 50×40 pixels, takes 1.1 TB of memory; --max-memory says 4.2 MB"
    )


def test_a_blob_is_bounded_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(e.net(e.v2("c", "C", e.chunk(5, bytes(8 << 20)) + e.shape((2 << 20,)))))
    (blob,) = read_caffemodel(path).layers[0].blobs
    assert blob is not None
    assert told(blob.array) == "too-large: a blob of shape 2097152 takes 8.4 MB of memory; --max-memory says 4.2 MB"
    with max_memory(SMALL):
        assert sum(len(chunk) for chunk in blob.chunks()) == 8 << 20


def test_a_message_longer_than_protobuf_has(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    with path.open("wb") as file:
        file.write(e.net(e.v2("c", "C", e.blob((1,), [1]))))
        file.truncate(1 << 40)
    assert told(lambda: read_caffemodel(path)) == (
        f"too-large: {path} has 1099511627776 bytes; a message of protobuf has at most 2147483647; "
        "Caffe reads no longer ones"
    )


@pytest.mark.parametrize("call", range(1, 8))
def test_a_disk_that_fails_is_no_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """`zipfile` takes every refusal of the system at the end of a file for an archive that is none."""
    path = str(tmp_path / "in.npz")
    np.savez(path, a=np.ones(2))
    calls = []

    class Failing(io.BufferedReader):
        def seek(self, *where: int) -> int:
            calls.append(where)
            if len(calls) == call:
                raise OSError(5, "Input/output error")
            return super().seek(*where)

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: Failing(io.FileIO(descriptor, mode)))
    if call == 6:  # whether there is a record for large archives: this one has none
        assert read_npz(path, "float32")["a"].tolist() == [1, 1]
        return
    with pytest.raises(OSError, match="Input/output error") as caught:
        read_npz(path, "float32")
    assert caught.value.filename == path
