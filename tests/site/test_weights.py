"""Weights as the page asks for them: what is said of them and what is made of them is `convert-weights`'s."""

from __future__ import annotations

import json
import os

import pytest

from netcompile.caffemodel import convert as conversion
from netcompile.cli.main import entry
from netcompile.site.playground import METHODS, answer, weights_taken
from tests.caffemodel import encode as e

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
"""
NAN, INF = float("nan"), float("inf")


def conv(kernel=tuple(range(54)), bias=(1, 2, 3)):
    return e.v2("conv", "Convolution", e.blob((3, 2, 3, 3), kernel), e.blob((3,), bias))


def norm(mean=(1, 2, 3), variance=(4, 5, 6), factor=999.98):
    return e.v2("bn", "BatchNorm", e.blob((3,), mean), e.blob((3,), variance), e.blob((1,), [factor]))


def vector(count):
    return e.legacy(1, 1, 1, count) + e.chunk(5, e.floats([1.5] * count))


DOUBLES = e.chunk(8, e.floats(range(54), "<d"))
BIAS = e.blob((3,), range(3))
FILES = {
    "fits": [conv(), norm()],
    "another layer": [conv(), norm(), e.v2("fc", "InnerProduct", e.blob((2, 2), range(4)))],
    "a layer is missing": [conv()],
    "other shapes": [e.v2("conv", "Convolution", e.blob((3, 2, 2, 3), range(36)), e.blob((4,), range(4))), norm()],
    "too few blobs": [e.v2("conv", "Convolution", e.blob((3, 2, 3, 3), range(54))), norm()],
    "not finite": [conv((NAN, INF) * 27), norm()],
    "zero": [conv((0,) * 54), norm(factor=0)],
    "a negative variance": [conv(), norm(variance=(1, -2, 3), factor=-1)],
    "double": [e.v2("conv", "Convolution", DOUBLES + e.shape((3, 2, 3, 3)), BIAS), norm()],
    "unpacked": [e.v2("conv", "Convolution", e.unpacked(5, range(54)) + e.shape((3, 2, 3, 3)), BIAS), norm()],
    "twice": [conv(), norm(), conv(bias=(7, 8, 9))],
    "V1": [
        e.v1("conv", 4, e.legacy(3, 2, 3, 3) + e.chunk(5, e.floats(range(54))), vector(3)),
        e.v1("bn", 39, vector(3), vector(3), vector(1)),
    ],
}


def ask(method, **params):
    assert method in METHODS
    return json.loads(answer(method, json.dumps(params)))


def result(method, **params):
    found = ask(method, **params)
    assert "error" not in found, found["error"]["text"]
    return found["result"]


def made(data: bytes) -> bytes:
    """The file that the page puts together: ranges of the file and bytes."""
    result("weights_begin")
    out = b""
    while "end" not in (part := result("weights_next")):
        if "range" in part:
            out += data[slice(*part["range"])]
        else:
            assert len(weights_taken()) == part["bytes"]
            out += weights_taken()
    return out


def counted(opened) -> list[None]:
    """No blob is counted by the page: Python looks at them."""
    return [None] * len(opened["blobs"])


@pytest.fixture(params=[True, False], ids=["numpy", "plain"])
def numpy(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(conversion, "find_spec", lambda name: None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    result("open", text=NET, name="net.prototxt")
    yield tmp_path
    result("weights_close")


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize("alone", [False, True], ids=["net", "alone"])
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.usefixtures("numpy")
def test_the_page_says_and_makes_what_the_command_does(kind, alone, allow_missing, folder, capsys):
    data = e.net(*FILES[kind])
    (folder / "w.caffemodel").write_bytes(data)
    options = [*(["--net", "net.prototxt"] if not alone else []), *(["--allow-missing"] if allow_missing else [])]
    code = entry(["convert-weights", "w.caffemodel", "-o", "out.safetensors", *options])
    out, said = capsys.readouterr()
    way = {"alone": alone, "allow_missing": allow_missing}
    opened = result("weights_open", folder=str(folder), name="w.caffemodel")
    found = result("weights_fit", way=way, numbers=counted(opened))
    assert found["text"] == said
    if code == 0:
        assert out == f"wrote out.safetensors ({found['what']})\n"
        assert made(data) == (folder / "out.safetensors").read_bytes()
        assert found["size"] == (folder / "out.safetensors").stat().st_size
    else:
        assert found["size"] is None
        result("weights_begin")
        assert "there is nothing to convert" in ask("weights_next")["error"]["text"]


def test_what_the_page_has_counted_is_taken_at_its_word(folder):
    (folder / "w.caffemodel").write_bytes(e.net(conv((NAN, INF) * 27), norm()))
    opened = result("weights_open", folder=str(folder), name="w.caffemodel")
    unread = result("weights_fit", way={})
    assert (unread["text"], [row["odd"] for row in unread["rows"]]) == ("", [[]] * 5)
    numbers = [[54, 20, 7, 0], None, None, None, None]
    found = result("weights_fit", way={}, numbers=numbers)
    assert "not finite: 20 NaN and 7 infinite of 54" in found["text"]
    assert [row["odd"] for row in found["rows"]] == [["weights-not-finite"], [], [], [], []]
    looked = result("weights_fit", way={}, numbers=counted(opened))
    assert "not finite: 27 NaN and 27 infinite of 54" in looked["text"]


def test_rows_and_runs(folder):
    (folder / "w.caffemodel").write_bytes(
        e.net(e.v2("conv", "Convolution", e.blob((3, 2, 2, 3), range(36))), e.v2("fc", "X", e.blob((2,), [1, 2])))
    )
    opened = result("weights_open", folder=str(folder), name="w.caffemodel")
    assert (opened["kind"], opened["format"], opened["net"]) == ("weights", "V2", "n")
    data = (folder / "w.caffemodel").read_bytes()
    for blob, values in zip(opened["blobs"], (range(36), [1, 2]), strict=True):
        offset, count, stride = blob["runs"]
        assert (count, stride) == (blob["count"], 4)
        assert data[offset : offset + 4 * count] == e.floats(values)
    rows = result("weights_fit", way={})["rows"]
    told = ("layer", "index", "role", "want", "have", "state", "blob")
    assert [tuple(row[each] for each in told) for row in rows] == [
        ("conv", 0, "kernel", "3×2×3×3", "3×2×2×3", "misshapen", 0),
        ("conv", 1, "bias", "3", None, "missing", None),
        ("bn", 0, "mean", "3", None, "missing", None),
        ("bn", 1, "variance", "3", None, "missing", None),
        ("bn", 2, "factor", "1", None, "missing", None),
        ("fc", 0, "", None, "2", "unused", 1),
    ]  # fmt: skip
    assert [row["line"] for row in rows] == [3, 3, 4, 4, 4, None]


def test_numbers_in_very_many_runs_are_left_to_python(folder, monkeypatch):
    monkeypatch.setattr("netcompile.site.weights._RUNS", 6)
    (folder / "w.caffemodel").write_bytes(e.net(conv(), norm()))
    runs = [blob["runs"] for blob in result("weights_open", folder=str(folder), name="w.caffemodel")["blobs"]]
    assert [run is None for run in runs] == [False, False, True, True, True]


@pytest.mark.parametrize("level", [0, 1])
def test_a_mean(level, folder, capsys):
    data = e.legacy(1, 3, 2, 2) + e.chunk(5, e.floats(range(12)))
    (folder / "m.binaryproto").write_bytes(data)
    assert entry(["convert-weights", "m.binaryproto", "-o", "out.safetensors"]) == 0
    opened = result("weights_open", folder=str(folder), name="m.binaryproto")
    assert (opened["kind"], opened["blobs"][0]["shape"]) == ("mean", [1, 3, 2, 2])
    found = result("weights_fit", way={"level": level}, numbers=[None])
    assert (found["what"], found["target"]) == ("a mean, 152 B", "m.safetensors")
    assert made(data) == (folder / "out.safetensors").read_bytes()


WHOLE = e.net(conv(), norm())
HOSTILE = {
    "empty": b"",
    "truncated": WHOLE[:-3],
    "truncated in a name": WHOLE[:8],
    "a web page": b"<!doctype html><html>",
    "zeros": bytes(5000),
    "noise": bytes(range(7, 256)) * 20,
    "a shape that is no blob's": e.net(e.v2("a", "X", e.chunk(5, e.floats([1])) + e.shape((1 << 40, 1 << 40)))),
    "a length beyond the file": e.varint(100 << 3 | 2) + e.varint(1 << 60) + b"xx",
    "groups without end": b"\x0b" * 1000,
    "PyTorch": b"PK\x03\x04" + bytes(22) + b"\x08\x00\x00\x00" + b"data.pkl",
    "hostile names": e.net(e.v2("<img src=x onerror=alert(1)>\u202e", "X", e.blob((2,), [1, 2]) + b"\xff")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_are_no_weights_get_the_commands_message(kind, folder, capsys):
    (folder / "w.caffemodel").write_bytes(HOSTILE[kind])
    assert entry(["convert-weights", "w.caffemodel", "--net", "net.prototxt"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error[")
    assert ask("weights_open", folder=str(folder), name="w.caffemodel") == {"error": {"text": said}}
    assert ask("weights_fit", way={})["error"]["text"].startswith("error[usage]: there is no file of weights")


def test_a_file_that_changes_while_it_is_read(folder):
    path = folder / "w.caffemodel"
    path.write_bytes(e.net(e.v2("conv", "Convolution", e.unpacked(5, range(54)) + e.shape((3, 2, 3, 3)), BIAS), norm()))
    result("weights_open", folder=str(folder), name="w.caffemodel")
    result("weights_fit", way={})
    result("weights_begin")
    os.truncate(path, 20)
    result("weights_next")  # the header
    found = {}
    while not found.get("error"):
        found = ask("weights_next")
        assert "end" not in found.get("result", {})
    assert found["error"]["text"] == (
        "error[not-a-file]: w.caffemodel: the file became shorter while it was read\n"
        "  why: the browser gives a file's bytes only while it stays as it was when it was dropped\n"
        "  fix: drop it again\n"
    )


def test_without_a_net_the_file_alone_is_told(folder):
    (folder / "w.caffemodel").write_bytes(WHOLE)
    result("open", text="layer {", name="net.prototxt")
    result("weights_open", folder=str(folder), name="w.caffemodel")
    assert ask("weights_fit", way={})["error"]["text"].startswith("net.prototxt:1:")
    assert result("weights_fit", way={"alone": True})["what"] == "5 blobs, 600 B"
