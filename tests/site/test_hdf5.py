"""HDF5 files of weights in the page: lists of what is in them, judged as on the command line."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from netcompile.site.playground import answer

NET = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
"""


def group(address: str, **members):
    return {"address": address, "members": members}


def numbers(address: str, shape, **other):
    plain = {"address": address, "type": "float", "size": 4, "shape": list(shape), "chunks": None, "filters": []}
    return {**plain, "virtual": False, **other}


def listing(data, size: int = 1000, **other):
    return {"size": size, "root": group("0", data=data, diff=None), **other}


def ask(method: str, **params):
    return json.loads(answer(method, json.dumps(params)))


def test_numbers_are_wanted_and_then_lie_one_behind_the_other(tmp_path):
    """Bias and weights are in the order of the list of names; a group that has neither is a layer without blobs."""
    fc = group("2", **{"1": numbers("3", (2,)), "0": numbers("4", (2, 2), type="int")})
    listed = listing(group("1", fc=fc, relu=group("5")))
    found = ask("weights_listed", name="w.h5", listing=listed)
    assert found == {"result": {"wanted": [["/data/fc/0", "float32"], ["/data/fc/1", "float32"]]}}
    (tmp_path / "w.h5").write_bytes(np.arange(6, dtype="<f4").tobytes())
    ask("open", text=NET, name="net.prototxt")
    told = ask("weights_open", folder=str(tmp_path), name="w.h5", listing=listed)["result"]
    assert (told["kind"], told["format"]) == ("weights", "HDF5")
    assert [(blob["layer"], blob["index"], blob["shape"], blob["runs"]) for blob in told["blobs"]] == [
        ("fc", 0, [2, 2], [0, 4, 4]),
        ("fc", 1, [2], [16, 2, 4]),
    ]
    fitted = ask("weights_fit", way={})["result"]
    assert [row["state"] for row in fitted["rows"]] == ["matched", "matched"]


def test_an_hdf5_file_is_told_from_others(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/c/0"] = np.ones(2)
    assert ask("weights_open", folder=str(tmp_path), name="w.h5") == {"result": {"kind": "hdf5"}}
    assert "there is no file of weights" in ask("weights_fit", way={})["error"]["text"]


ONE = numbers("3", (2,))
AGAIN = "  fix: fetch or write the file again\n"
REFUSED = {
    "damaged": (
        {"damaged": "no superblock"},
        f"[caffemodel-corrupt]: w.h5: the HDF5 file is damaged: no superblock\n{AGAIN}",
    ),
    "unpacked": (
        listing(group("1", fc=group("2", **{"0": ONE})), failed=["/data/fc/0", "Can't read (filter failed)"]),
        f"[caffemodel-corrupt]: w.h5: /data/fc/0: cannot be read: Can't read (filter failed)\n{AGAIN}",
    ),
    "external": (
        listing(group("1", fc=group("2", **{"0": ONE})), failed=["/data/fc/0", "Can't (no external raw data file)"]),
        "[caffemodel-hdf5]: w.h5: /data/fc/0: keeps its numbers in another file\n  fix: copy it with h5repack\n",
    ),
    "unreadable": (
        listing(group("1", fc={"failed": "bad header"})),
        f"[caffemodel-corrupt]: w.h5: /data/fc: cannot be read: bad header\n{AGAIN}",
    ),
    "two names": (
        listing(group("1", fc=group("2", **{"0": ONE, "1": ONE}))),
        f"[caffemodel-hdf5]: w.h5: /data/fc/1: is a data set that was met before: one has two names\n{AGAIN}",
    ),
    "too much": (
        listing(group("1", fc=group("2", **{"0": ONE, "1": numbers("4", (3,))})), size=19),
        "[caffemodel-hdf5]: w.h5: /data/fc/1: is one of data sets that store more bytes together than the file has\n"
        f"{AGAIN}",
    ),
    "more than there is": (
        listing(group("1", fc=group("2", **{"0": numbers("3", (250, 2))}))),
        f"[caffemodel-hdf5]: w.h5: /data/fc/0: claims 2000 bytes (shape 250×2), but the file has 1000\n{AGAIN}",
    ),
    "a large chunk": (
        listing(group("1", fc=group("2", **{"0": numbers("3", (2,), chunks=[1 << 23], filters=[1])}))),
        f"[caffemodel-hdf5]: w.h5: /data/fc/0: is stored in chunks of 8388608: too large\n{AGAIN}",
    ),
    "odd numbers": (
        listing(group("1", fc=group("2", **{"0": numbers("3", (2,), type="uint", size=3)}))),
        "[caffemodel-hdf5]: w.h5: /data/fc/0: holds uint24, not floating-point numbers\n",
    ),
    "gone": (
        {"gone": True},
        "[not-a-file]: w.h5: Input/output error\n"
        "  why: the browser gives a file's bytes only while it stays as it was when it was dropped\n"
        "  fix: drop it again\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_lists_that_are_refused(case):
    listed, said = REFUSED[case]
    assert ask("weights_listed", name="w.h5", listing=listed)["error"]["text"] == f"error{said}"
