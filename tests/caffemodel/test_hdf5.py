"""Reading .caffemodel.h5, and refusing what would lead elsewhere or fill the memory."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.caffemodel.blob import FileData
from netcompile.caffemodel.hdf5 import Hdf5Data
from netcompile.caffemodel.reader import read_caffemodel, read_mean
from netcompile.diagnostics.diagnostic import NetError

WEIGHT = np.arange(24, dtype="<f4").reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.caffemodel.h5"


def refused(path) -> tuple[str, str]:
    with pytest.raises(NetError) as caught:
        read_caffemodel(path)
    (found,) = caught.value.diagnostics
    assert found.what.startswith(f"{path}: ")
    return found.code, found.what.removeprefix(f"{path}: ")


def test_layers_blobs_and_gaps(path):
    with h5py.File(path, "w") as file:
        file["data/conv/0"] = WEIGHT
        file["data/conv/1"] = np.array([1.5], "<f8")
        file["data/relu"] = file.create_group("other")
        file["data/shares/1"] = WEIGHT[0]
        file["diff/conv/0"] = WEIGHT
    model = read_caffemodel(path)
    assert (model.format, model.name) == ("HDF5", "")
    assert [(layer.name, layer.type) for layer in model.layers] == [
        ("conv", ""),
        ("relu", ""),
        ("shares", ""),
    ]
    conv, relu, shares = model.layers
    assert relu.blobs == ()
    assert shares.blobs[0] is None
    assert shares.blobs[1].shape == (3, 4)
    assert [(b.shape, b.dtype, b.legacy) for b in conv.blobs] == [
        ((2, 3, 4), "float32", False),
        ((1,), "float64", False),
    ]
    np.testing.assert_array_equal(conv.blobs[0].array(), WEIGHT)
    assert isinstance(conv.blobs[0].data, FileData)


def test_a_file_of_caffe_holds_what_its_binary_twin_holds(shared):
    binary, hdf5 = (read_caffemodel(shared / f"demo/shapes-fcn8s.caffemodel{end}") for end in ("", ".h5"))
    ours, theirs = ({layer.name: layer for layer in model.layers} for model in (hdf5, binary))
    assert ours.keys() == theirs.keys()
    for name, layer in theirs.items():
        pairs = list(zip(ours[name].blobs, layer.blobs, strict=True))
        assert all(a is not None and a.array().tobytes() == b.array().tobytes() for a, b in pairs)
        assert all(a.shape == b.shape for a, b in pairs)


def test_names_with_slashes_are_paths_of_groups(path):
    with h5py.File(path, "w") as file:
        file["data/inception/1x1/0"] = WEIGHT
        file["data/inception/1x1/reduce/0"] = WEIGHT
        file["data/é/0"] = WEIGHT
    names = [layer.name for layer in read_caffemodel(path).layers]
    assert names == ["inception/1x1", "inception/1x1/reduce", "é"]


STORED = {
    "chunked": {"chunks": (1, 2, 4)},
    "gzip": {"chunks": (1, 3, 4), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf"},
    "big-endian": {"dtype": ">f4"},
    "double": {"dtype": "<f8"},
    "half": {"dtype": "<f2"},
    "integers": {"dtype": "<i4"},
}


@pytest.mark.parametrize("case", STORED)
def test_every_way_of_storing(case, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data/c/0", data=WEIGHT, **STORED[case])
    blob = read_caffemodel(path).layers[0].blobs[0]
    kind = "float64" if case == "double" else "float32"
    assert blob.dtype == kind
    np.testing.assert_array_equal(blob.array(), WEIGHT.astype(kind))
    assert b"".join(map(bytes, blob.chunks(8))) == WEIGHT.astype(kind).tobytes()
    assert isinstance(blob.data, FileData if case == "double" else Hdf5Data)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
def test_scalars_and_empty_sets(shape, path):
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.ones(shape, "<f4")
    blob = read_caffemodel(path).layers[0].blobs[0]
    np.testing.assert_array_equal(blob.array(), np.ones(shape, "<f4"))
    assert b"".join(map(bytes, blob.chunks(4))) == np.ones(shape, "<f4").tobytes()


def test_compact_storage(path):
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        group = file.create_group("data/c")
        space = h5py.h5s.create_simple((2, 3))
        made = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, properties)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((2, 3), "<f4"))
    np.testing.assert_array_equal(read_caffemodel(path).layers[0].blobs[0].array(), np.ones((2, 3)))


def test_a_file_with_a_user_block(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data/c/0"] = WEIGHT
    np.testing.assert_array_equal(read_caffemodel(path).layers[0].blobs[0].array(), WEIGHT)


def make_soft(file):
    file["data/c/0"] = h5py.SoftLink("/elsewhere")


def make_soft_layer(file):
    file["elsewhere/0"] = WEIGHT
    file["data/c"] = h5py.SoftLink("/elsewhere")


def make_soft_root(file):
    file["elsewhere/c/0"] = WEIGHT
    file["data"] = h5py.SoftLink("/elsewhere")


def make_external(file):
    file["data/c/0"] = h5py.ExternalLink("/etc/passwd", "/data")


def make_external_storage(file):
    file.create_dataset("data/c/0", (4,), "<f4", external=[("/etc/passwd", 0, 16)])


def make_virtual(file):
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("data/c/0", layout)


def make_virtual_unlimited(file):
    layout = h5py.VirtualLayout((4,), "<f4", maxshape=(None,))
    source = h5py.VirtualSource("/etc/passwd", "x", (4,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("data/c/0", layout)


def make_unwritten(file):
    file.create_dataset("data/c/0", (1 << 40,), "<f4")


def make_sparse(file):
    file.create_dataset("data/c/0", (1 << 40,), "<f4", chunks=(1024,))[0] = 1


def make_bomb(file):
    file.create_dataset("data/c/0", (1 << 33,), "<f4", chunks=(1 << 20,), compression="gzip")[: 1 << 20] = 0


def make_strings(file):
    file["data/c/0"] = np.array([b"abc"])


def make_compound(file):
    file["data/c/0"] = np.zeros(2, [("a", "<f4")])


def make_long_double(file):
    file["data/c/0"] = np.zeros(2, "f16")


def make_null(file):
    file["data/c/0"] = h5py.Empty("<f4")


def make_named_otherwise(file):
    file["data/c/weight"] = WEIGHT


def make_large_index(file):
    file["data/c/1000"] = WEIGHT


def make_leading_zero(file):
    file["data/c/01"] = WEIGHT


def make_circle(file):
    group = file.create_group("data/c/d")
    group["again"] = file["data/c"]


def make_two_names(file):
    file["data/c/0"] = WEIGHT
    file["data/d"] = file["data/c"]


def make_deep(file):
    file["data/" + "/".join("x" * 40) + "/0"] = WEIGHT


def make_type(file):
    file["data/c/0"] = np.dtype("<f4")


def make_no_data(file):
    file["label"] = WEIGHT


def make_data_set(file):
    file["data"] = WEIGHT


def make_layer_set(file):
    file["data/c"] = WEIGHT


CIRCLE = "is a group that was met before: the links go in a circle, or one has two names"
HOSTILE = {
    make_soft: "/data/c/0: is a soft link, which is not followed",
    make_soft_layer: "/data/c: is a soft link, which is not followed",
    make_soft_root: "/data: is a soft link, which is not followed",
    make_external: "/data/c/0: is a link to another file, which is not followed",
    make_external_storage: "/data/c/0: keeps its numbers in another file",
    make_virtual: "/data/c/0: is a virtual data set: its numbers lie in other files",
    make_virtual_unlimited: "/data/c/0: is a virtual data set: its numbers lie in other files",
    make_unwritten: f"/data/c/0: claims {1 << 42} bytes (shape {1 << 40}), but 0 are stored",
    make_sparse: f"/data/c/0: claims {1 << 42} bytes (shape {1 << 40}), but 4096 are stored",
    make_strings: "/data/c/0: holds |S3, not floating-point numbers",
    make_compound: "/data/c/0: holds [('a', '<f4')], not floating-point numbers",
    make_long_double: "/data/c/0: holds float128, not floating-point numbers",
    make_null: "/data/c/0: has no numbers at all (a null data space)",
    make_named_otherwise: "/data/c/weight: is not named by the index of a parameter, 0 to 999",
    make_large_index: "/data/c/1000: is not named by the index of a parameter, 0 to 999",
    make_leading_zero: "/data/c/01: is not named by the index of a parameter, 0 to 999",
    make_circle: f"/data/c/d/again: {CIRCLE}",
    make_two_names: f"/data/d: {CIRCLE}",
    make_deep: f"/data/{'/'.join('x' * 33)}: lies deeper than 32 groups",
    make_type: "/data/c/0: is neither a group nor a data set",
    make_no_data: "/: has no group 'data': this is another kind of HDF5 file",
    make_data_set: "/data: is no group: this is another kind of HDF5 file (HDF5Data input, perhaps)",
    make_layer_set: "/data/c: is no group of parameters",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__.removeprefix("make_"))
def test_hostile_files(make, path):
    with h5py.File(path, "w") as file:
        make(file)
    assert refused(path) == ("caffemodel-hdf5", HOSTILE[make])


def test_a_compressed_bomb(path):
    with h5py.File(path, "w") as file:
        make_bomb(file)
    code, what = refused(path)
    assert code == "caffemodel-hdf5"
    assert what.startswith(f"/data/c/0: claims {1 << 35} bytes (shape {1 << 33}), but ")
    assert what.endswith(" are stored, packed")


def test_truncated_files(path):
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.ones(10_000, "<f4")
    whole = path.read_bytes()
    for keep in (100, 1000, len(whole) - 5000):
        path.write_bytes(whole[:keep])
        code, what = refused(path)
        assert code == "caffemodel-corrupt"
        assert what.startswith("the HDF5 file is damaged: ")


def test_damage_inside_a_chunk_is_found_when_it_is_read(path):
    with h5py.File(path, "w") as file:
        made = file.create_dataset("data/c/0", data=np.arange(1000, dtype="<f4"), chunks=(500,), fletcher32=True)
        place = made.id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 255
    path.write_bytes(data)
    blob = read_caffemodel(path).layers[0].blobs[0]
    with pytest.raises(NetError, match=r"w\.caffemodel\.h5: /data/c/0: cannot be read: "):
        blob.array()


def test_an_hdf5_file_is_no_mean(path):
    with h5py.File(path, "w") as file:
        file["data/c/0"] = WEIGHT
    with pytest.raises(NetError, match=r"this is an HDF5 file, not a \.binaryproto mean"):
        read_mean(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("h5") / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = WEIGHT
    return path, path.read_bytes()


@settings(max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(8, 3000), st.integers(0, 255)), min_size=1, max_size=3))
def test_flipped_bytes_give_numbers_or_a_neterror(edits, small):
    path, whole = small
    data = bytearray(whole)
    for position, value in edits:
        data[position % len(data)] = value
    path.write_bytes(data)
    try:
        model = read_caffemodel(path)
    except NetError:
        return
    for layer in model.layers:
        for blob in layer.blobs:
            assert blob is None or blob.nbytes <= 2000 * len(data)


@pytest.mark.parametrize(("number", "refused"), [(5, True), (28, True), (22, False), (0, False)])
def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path, monkeypatch, number, refused):
    """What HDF5 says of a read that the system refused; EINVAL comes of a place that a damaged file names."""
    path = tmp_path / "w.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.ones(2)

    def fail(*_, **__):
        what = f"file read failed: time = today\n, errno = {number}, error message = 'x', offset = 800"
        raise RuntimeError(f"Unable to get group info ({what})")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(OSError if refused else NetError) as caught:
        read_caffemodel(path)
    if refused:
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
    else:
        assert "the HDF5 file is damaged: Unable to get group info" in str(caught.value)
