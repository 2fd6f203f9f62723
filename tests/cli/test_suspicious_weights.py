"""Weights that make results worthless are told by every command that reads them; sound ones are not."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.caffemodel import encode as e

NET = """\
name: "odd"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 2, 4, 4] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
layer { name: "relu" type: "PReLU" bottom: "scale" top: "relu" }
"""
NAN, INF = float("nan"), float("inf")
SHAPES = {
    "conv": ("Convolution", ((2, 2, 1, 1), (2,))),
    "bn": ("BatchNorm", ((2,), (2,), (1,))),
    "scale": ("Scale", ((2,), (2,))),
    "relu": ("PReLU", ((2,),)),
}
SOUND = {
    "conv": ([1, 2, 3, 4], [0, 0]),
    "bn": ([0, 0], [1, 2], [1]),
    "scale": ([1, 1], [0, 0]),
    "relu": ([0, 0],),  # a slope of 0 is a ReLU
}


def caffemodel(path, layers) -> str:
    path.write_bytes(
        b"".join(
            e.v2(name, SHAPES[name][0], *(e.blob(s, v) for s, v in zip(SHAPES[name][1], values, strict=True)))
            for name, values in layers
        )
    )
    return str(path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    np.savez("in.npz", data=np.ones((1, 2, 4, 4), np.float32))

    def write(**changed):
        return caffemodel(tmp_path / "w.caffemodel", {**SOUND, **changed}.items())

    return write


# blobs that are changed, and what is said: code, text, line of the layer
ODD = [
    ({"conv": ([1, NAN, 3, -INF], [0, 0])}, "weights-not-finite",
     "layer 'conv' blob 0 (kernel) of w.caffemodel has numbers that are not finite: 1 NaN and 1 infinite of 4", 3),
    ({"conv": ([1, 2, 3, 4], [INF, 0])}, "weights-not-finite",
     "layer 'conv' blob 1 (bias) of w.caffemodel has numbers that are not finite: 1 infinite of 2", 3),
    ({"conv": ([0, -0.0, 0, 0], [1, 1])}, "weights-all-zero",
     "layer 'conv' blob 0 (kernel) of w.caffemodel is zero throughout", 3),
    ({"scale": ([0, 0], [1, 1])}, "weights-all-zero",
     "layer 'scale' blob 0 (kernel) of w.caffemodel is zero throughout", 5),
    ({"bn": ([0, 0], [1, -0.25], [1])}, "weights-variance",
     "layer 'bn' blob 1 (variance) of w.caffemodel has negative numbers, the least -0.25", 4),
    ({"bn": ([0, 0], [1, NAN], [1])}, "weights-not-finite",
     "layer 'bn' blob 1 (variance) of w.caffemodel has numbers that are not finite: 1 NaN of 2", 4),
    ({"bn": ([0, 0], [1, 1], [0])}, "weights-factor", "layer 'bn' blob 2 (factor) of w.caffemodel is 0", 4),
    ({"bn": ([0, 0], [1, 1], [-2])}, "weights-factor", "layer 'bn' blob 2 (factor) of w.caffemodel is -2", 4),
    ({"bn": ([0, 0], [1, 1], [NAN])}, "weights-not-finite",
     "layer 'bn' blob 2 (factor) of w.caffemodel has numbers that are not finite: 1 NaN of 1", 4),
    ({"relu": ([NAN, 0],)}, "weights-not-finite",
     "layer 'relu' blob 0 (slope) of w.caffemodel has numbers that are not finite: 1 NaN of 2", 6),
]  # fmt: skip
COMMANDS = {
    "build": ("build", "net.prototxt", "--weights", "w.caffemodel", "-o", "out"),
    "build -O2": ("build", "net.prototxt", "--weights", "w.caffemodel", "-o", "out", "-O2"),
    "run": ("run", "net.prototxt", "--weights", "w.caffemodel", "--inputs", "in.npz", "--out", "out.npz"),
    "run -O0": ("run", "net.prototxt", "--weights", "w.caffemodel", "--inputs", "in.npz", "--out", "out.npz", "-O0"),
    "convert": ("convert-weights", "w.caffemodel", "--net", "net.prototxt"),
    "alone": ("convert-weights", "w.caffemodel"),
}


def warnings(err: str) -> list[str]:
    return re.findall(r"^(.*warning\[weights-[a-z-]+\]: .*)$", err, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("changed", "code", "text", "line"), ODD)
def test_every_command_tells_it_once(netcompile, files, command, changed, code, text, line):
    files(**changed)
    done = netcompile(*COMMANDS[command])
    assert done.code == 0, done.err
    where = "" if command == "alone" else f"net.prototxt:{line}:15: "
    assert warnings(done.err) == [f"{where}warning[{code}]: {text}"]
    assert "  why: " in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_sound_weights_are_not_told(netcompile, files, command):
    files()
    done = netcompile(*COMMANDS[command])
    assert (done.code, warnings(done.err)) == (0, [])


def test_infinite_weights_give_infinite_results(netcompile, files):
    """A warning, no refusal: the numbers are converted as they are."""
    files(conv=([INF, 2, 3, 4], [0, 0]))
    assert netcompile(*COMMANDS["run"]).code == 0
    with np.load("out.npz") as found:
        assert np.isinf(found["relu"][0, 0]).all()


@pytest.mark.parametrize(("command", "place"), [
    ("run", "net.prototxt:3:15: "), ("convert", "net.prototxt:3:15: "), ("alone", ""),
])  # fmt: skip
@pytest.mark.parametrize("again", [[1, 2, 3, 4], [1, 2, 3, 5]])
def test_a_name_twice_is_told_where_the_numbers_differ(netcompile, files, tmp_path, command, place, again):
    caffemodel(tmp_path / "w.caffemodel", [*SOUND.items(), ("conv", (again, [0, 0]))])
    done = netcompile(*COMMANDS[command])
    text = "warning[weights-duplicate]: w.caffemodel has layer 'conv' 2 times, with different numbers"
    assert warnings(done.err) == ([f"{place}{text}"] if again[-1] == 5 else [])
    assert "so the last one counts" in done.err or again[-1] == 4


@pytest.mark.parametrize("command", ["build", "run", "convert"])
def test_layers_that_the_net_lacks_are_told_by_all(netcompile, files, tmp_path, command):
    SHAPES["more"] = ("InnerProduct", ((1, 1),))
    caffemodel(tmp_path / "w.caffemodel", [*SOUND.items(), ("more", ([0],))])
    done = netcompile(*COMMANDS[command])
    assert warnings(done.err) == [
        "warning[weights-unused]: w.caffemodel has weights for layer 'more', which the net lacks"
    ]


def test_predict_tells_it(netcompile, files, tmp_path):
    from PIL import Image

    net = NET.replace("dim: [1, 2, 4, 4]", "dim: [1, 3, 4, 4]").replace(
        "num_output: 2", "num_output: 2 bias_term: false"
    )
    (tmp_path / "net.prototxt").write_text(net[: net.index('layer { name: "bn"')])
    (tmp_path / "w.caffemodel").write_bytes(e.v2("conv", "Convolution", e.blob((2, 3, 1, 1), [0] * 6)))
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "i.png")
    done = netcompile("predict", "net.prototxt", "--weights", "w.caffemodel", "i.png", "-o", "out")
    assert done.code == 0, done.err
    assert warnings(done.err) == [
        "net.prototxt:3:15: warning[weights-all-zero]: layer 'conv' blob 0 (kernel) of w.caffemodel is zero throughout"
    ]


def test_many_are_counted(netcompile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = [e.v2(f"ip{i}", "InnerProduct", e.blob((2, 2), [0] * 4)) for i in range(20)]
    (tmp_path / "w.caffemodel").write_bytes(b"".join(layers))
    told = warnings(netcompile("convert-weights", "w.caffemodel").err)
    assert len(told) == 7
    assert told[-1].endswith(
        "14 more blobs like these, from: layer 'ip6' blob 0 (kernel) of w.caffemodel is zero throughout"
    )


def test_kernels_of_unknown_types_are_known_by_their_axes(netcompile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blobs = e.blob((2, 2), [0] * 4), e.blob((1, 1, 1, 4), [0] * 4), e.blob((4,), [0] * 4)
    (tmp_path / "w.caffemodel").write_bytes(e.v2("x", "Nobody'sLayer", *blobs))
    assert warnings(netcompile("convert-weights", "w.caffemodel").err) == [
        "warning[weights-all-zero]: layer 'x' blob 0 of w.caffemodel is zero throughout"
    ]


def test_json_is_unaffected(netcompile, files):
    files(conv=([0, 0, 0, 0], [1, 1]))
    np.savez("ref.npz", conv=np.ones((1, 2, 4, 4), np.float32))
    command = ("--weights", "w.caffemodel", "--inputs", "in.npz", "--reference", "ref.npz", "--json")
    done = netcompile("verify", "net.prototxt", *command)
    assert (done.code, json.loads(done.out)["same"]) == (0, True)
    assert len(warnings(done.err)) == 1


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_every_type_of_number_is_looked_at(kind):
    from netcompile.caffemodel.numbers import Numbers

    largest = np.finfo(kind).max
    for values, counts in (
        ([0, 0], (2, 0, 0, True)), ([0, -0.0], (2, 0, 0, True)), ([largest, -largest], (2, 0, 0, False)),
        ([NAN, -NAN, 1], (3, 2, 0, False)), ([INF, -INF, NAN, 0], (4, 1, 2, False)),
        ([np.finfo(kind).smallest_subnormal, 0], (2, 0, 0, False)), ([], (0, 0, 0, True)),
    ):  # fmt: skip
        numbers = Numbers()
        numbers.look(memoryview(np.array(values, kind).tobytes()), kind)
        assert (numbers.count, numbers.nan, numbers.infinite, numbers.nothing) == counts
    random = np.random.RandomState(0).bytes(1 << 16)
    with np.errstate(invalid="ignore"):
        values = np.frombuffer(random, kind)
        numbers = Numbers()
        numbers.look(memoryview(bytearray(random)), kind)
    assert (numbers.nan, numbers.infinite) == (np.isnan(values).sum(), np.isinf(values).sum())
