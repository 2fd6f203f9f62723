"""HDF5 files of weights dropped on the playground: judged and converted as by the command."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.zoo.find import bundled_folder
from tests.browser.test_site import command, loaded, page  # noqa: F401
from tests.browser.test_site_weights import OTHER, PANEL, WEIGHTS, drop, open_net, rows, saved, weighed  # noqa: F401
from tests.caffemodel.test_hdf5 import HOSTILE, STORED, WEIGHT, make_compound, make_sparse, make_strings, make_unwritten


def test_the_library_of_hdf5_is_fetched_when_it_is_needed(weighed, tmp_path):  # noqa: F811
    """The first test of this file: what was fetched once is there."""
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = WEIGHT
    drop(weighed, WEIGHTS / OTHER)
    assert not any("hdf5" in url for url in weighed.browser.requests)
    drop(weighed, path)
    assert f"{weighed.url}hdf5.js" in weighed.browser.requests


def write_hdf5(path: Path, source: Path, **stored: object) -> None:
    """The weights of a caffemodel as Caffe writes them to HDF5."""
    with h5py.File(path, "w") as file:
        for layer in read_caffemodel(source).layers:
            for index, blob in enumerate(layer.blobs):
                file.create_dataset(f"data/{layer.name}/{index}", data=blob.array(), **stored)


PACKED = {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}


@pytest.mark.parametrize("stored", [{}, PACKED, {"dtype": ">f4"}], ids=["plain", "packed", "big-endian"])
def test_hdf5_is_matched_and_converted_as_by_the_command(weighed, command, tmp_path, stored):  # noqa: F811
    path = tmp_path / "w.caffemodel.h5"
    write_hdf5(path, WEIGHTS / "shapes-fcn8s.caffemodel", **stored)
    definition = "shapes-fcn8s/deploy.prototxt"
    open_net(weighed, definition)
    drop(weighed, path)
    told = rows(weighed)
    assert {row[3] for row in told} == {"fits"}
    assert all(all(row[5:]) for row in told)
    assert "(HDF5)" in weighed.of("#weights .verdict")
    assert weighed.count(".detail canvas.kernels") == 1
    out = tmp_path / "out"
    command("convert-weights", path, "--net", Path(bundled_folder(), "prototxt", definition), "-o", out)
    assert saved(weighed, tmp_path, "w.safetensors") == out.read_bytes()


WAYS = {
    **STORED,
    "a scalar": {"data": np.float32(2.5)},
    "empty": {"data": np.zeros((3, 0), "<f4")},
    "bytes": {"data": np.arange(-12, 12, dtype="<i1")},
    "long": {"data": np.arange(9, dtype=">u8")},
    "half and packed": {
        "data": np.linspace(-7, 7, 30).astype("<f2").reshape(3, 10),
        "chunks": (2, 3),
        "compression": 1,
    },
    "rows of chunks": {"data": np.arange(3_000_000, dtype="<f4").reshape(1, 3, 1000, 1000), "chunks": (1, 2, 300, 300)},
    "rows": {"data": np.arange(3_000_000, dtype="<f4").reshape(3, 1000, 1000)},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_storing_in_hdf5(weighed, command, tmp_path, monkeypatch, way):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    with h5py.File("w.caffemodel.h5", "w") as file:
        file.create_dataset("data/c/0", **{"data": WEIGHT, **WAYS[way]})
        file["data/c/1"] = WEIGHT  # behind it
    weighed.browser.evaluate("document.querySelector('#weights-options [name=alone]').checked = true")
    drop(weighed, tmp_path / "w.caffemodel.h5")
    said = weighed.of("#panel-weights .refused pre")
    if way == "lzf":
        assert said.endswith("  fix: on the command line: netcompile convert-weights w.caffemodel.h5 --net NET\n")
        return
    assert said == ""
    command("convert-weights", "w.caffemodel.h5", "-o", "out")
    assert saved(weighed, tmp_path, "w.safetensors") == Path("out").read_bytes()


# HDF5 as the page has it tells neither how many bytes are stored nor what NumPy calls a type.
CLAIMS = f"claims {1 << 42} bytes (shape {1 << 40}), but the file has"
OTHERWISE = {
    make_unwritten: f"{CLAIMS} 3464\n  fix: fetch or write the file again",
    make_sparse: f"{CLAIMS} 9656\n  fix: fetch or write the file again",
    make_strings: "holds strings, not floating-point numbers",
    make_compound: "holds structures, not floating-point numbers",
}


def make_foreign_filter(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(32123, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.create_group("data/c").id, b"0", h5py.h5t.IEEE_F32LE, space, properties)


@pytest.mark.parametrize("make", [*HOSTILE, make_foreign_filter], ids=lambda make: make.__name__.removeprefix("make_"))
def test_hostile_hdf5(weighed, command, tmp_path, monkeypatch, make):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    with h5py.File("w.h5", "w") as file:
        make(file)
    drop(weighed, tmp_path / "w.h5")
    said = weighed.of("#panel-weights .refused pre")
    if make in OTHERWISE:
        assert said == f"error[caffemodel-hdf5]: w.h5: /data/c/0: {OTHERWISE[make]}\n"
    else:
        assert said == command("convert-weights", "w.h5")[1]
    assert weighed.browser.evaluate("document.querySelector('#weights-save').disabled")


def test_damaged_hdf5(weighed, command, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("data/c/0", data=np.ones(50_000, "<f4"), chunks=(500,), fletcher32=True)
        place = made.id.get_chunk_info(1).byte_offset
    whole = path.read_bytes()
    for data in (whole[:100], whole[:-1000], whole[:place] + b"\xff" + whole[place + 1 :]):
        path.write_bytes(data)
        drop(weighed, path)
        assert weighed.of("#panel-weights .refused pre") == command("convert-weights", "w.h5")[1]


def test_hdf5_numbers_that_were_never_written(weighed, tmp_path):  # noqa: F811
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data/c/0", (30_000,), "<f4")
        file["other"] = np.ones(60_000, "<f4")
    drop(weighed, path)
    said = "error[caffemodel-corrupt]: w.h5: /data/c/0: cannot be read: not all of its numbers are stored\n"
    assert weighed.of("#panel-weights .refused pre") == f"{said}  fix: fetch or write the file again\n"


def test_hdf5_that_is_changed_after_it_was_dropped(weighed, tmp_path):  # noqa: F811
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.ones(50_000, "<f4")
    weighed.browser.evaluate("document.querySelector('#weights-options [name=alone]').checked = true")
    drop(weighed, path)
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, (1, 1))
    weighed.browser.evaluate("document.querySelector('#weights-save').click()")
    weighed.until(f"!{PANEL}.querySelector('.refused').hidden")
    assert weighed.of("#panel-weights .refused pre") == (
        "w.h5: the file was changed or removed after it was dropped: drop it again"
    )
