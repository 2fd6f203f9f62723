"""Parameter, DummyData and HDF5Output."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import analyse_text, check_text, compile_text, inputs_text, module_of, refusals
from tests.oracles.constant import ORACLES
from tests.oracles.elementwise import ORACLES as ELEMENTWISE

ALL = ORACLES | ELEMENTWISE


def dummy(params: str, *tops: str) -> str:
    names = " ".join(f'top: "{top}"' for top in tops or ("out",))
    return f'layer {{ name: "x" type: "DummyData" {names} dummy_data_param {{ {params} }} }}'


@pytest.mark.parametrize(
    ("params", "tops"),
    [
        ("shape { dim: 2 dim: 3 }", ("p",)),
        ("shape { dim: 2 dim: 3 } data_filler { value: 0.1 }", ("p", "q")),
        ("shape { dim: 2 } shape { dim: 1 dim: 4 } data_filler { value: 7 }", ("p", "q")),
        ("shape { dim: 2 } data_filler { value: 1 } data_filler { value: -2.5 }", ("p", "q")),
        ('num: 2 channels: 3 height: 1 width: 5 data_filler { type: "constant" value: 4 }', ("p",)),
        ("num: 2 num: 1 channels: 3 height: 1 height: 2 width: 5", ("p", "q")),
        ("shape { }", ("p",)),
    ],
)
def test_constants(params: str, tops: tuple[str, ...]) -> None:
    net = analyse_text(dummy(params, *tops)).require()
    assert not net.graph.inputs
    check_text(dummy(params, *tops), {}, ALL)


def test_random_numbers_become_an_input() -> None:
    text = dummy('shape { dim: 2 dim: 3 } data_filler { type: "gaussian" }', "p", "q")
    net = analyse_text(text + 'layer { name: "y" type: "Eltwise" bottom: "p" bottom: "q" top: "out" }').require()
    assert [(i.value.blob, i.shape, i.layer.type) for i in net.graph.inputs] == [
        ("p", (2, 3), "DummyData"),
        ("q", (2, 3), "DummyData"),
    ]


def test_constants_follow_the_module() -> None:
    text = inputs_text(data=(2, 3)) + dummy("shape { dim: 2 dim: 3 } data_filler { value: 3 }", "k")
    text += 'layer { name: "y" type: "Eltwise" bottom: "data" bottom: "k" top: "out" }'
    net, module = compile_text(text)
    made = module_of(net, module, dtype="bfloat16")
    assert not made.state_dict()
    assert made(torch.zeros(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_layer_of_the_same_name_does_not_hide_the_constant() -> None:
    text = inputs_text(data=(2, 3)) + dummy("shape { dim: 2 dim: 3 } data_filler { value: 3 }", "k")
    text += 'layer { name: "x" type: "Bias" bottom: "k" top: "y" }'
    check_text(text, {"data": np.zeros((2, 3))}, ALL)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (dummy(""), ["0 shape for 1 top"]),
        (dummy("shape { dim: 1 } shape { dim: 1 }"), ["2 shape for 1 top"]),
        (dummy("shape { dim: 1 } num: 1 channels: 1 height: 1 width: 1"), [
            "shape and num, channels, height, width together"
        ]),
        (dummy("num: 1 channels: 1 height: 1"), ["0 width for 1 top"]),
        (dummy("shape { dim: -3 }"), ["shape -3 has a negative extent"]),
        (dummy("shape { dim: 1 } data_filler { } data_filler { }"), ["2 fillers for 1 tops"]),
        (dummy('shape { dim: 1 } data_filler { type: "ones" }'), ["unknown filler 'ones'"]),
        (dummy("shape { dim: 0 }"), ["layer 'x': output size is not positive: 0"]),
    ],
)  # fmt: skip
def test_dummy_data_refused(text: str, messages: list[str]) -> None:
    assert [d.what for d in refusals(text) if d.code != "empty-output" or "positive" in d.what] == messages


@pytest.mark.parametrize("shape", [(3, 4), (5,), ()])
def test_parameter(shape: tuple[int, ...]) -> None:
    dims = " ".join(f"dim: {d}" for d in shape)
    text = f'layer {{ name: "x" type: "Parameter" top: "w" parameter_param {{ shape {{ {dims} }} }} }}'
    check_text(text, {}, ALL)


def test_a_parameter_learns() -> None:
    text = inputs_text(data=(2, 3, 4)) + (
        'layer { name: "x" type: "Parameter" top: "w" parameter_param { shape { dim: 3 dim: 4 } } }'
        'layer { name: "y" type: "Bias" bottom: "data" bottom: "w" top: "out" }'
    )
    net, module = compile_text(text)
    made = module_of(net, module, {"x": [np.ones((3, 4))]})
    made(torch.zeros(2, 3, 4, dtype=torch.float64)).sum().backward()
    grad = made.get_parameter("x").grad
    assert grad is not None
    assert grad.tolist() == [[2.0] * 4] * 3


def test_parameter_refused() -> None:
    text = 'layer { name: "x" type: "Parameter" top: "w" parameter_param { shape { dim: -1 } } }'
    assert refusals(text)[0].what == "shape -1 has a negative extent"


def test_hdf5_output_takes_its_bottoms() -> None:
    text = inputs_text(a=(2, 3), b=(2,)) + 'layer { name: "y" type: "Eltwise" bottom: "a" bottom: "a" top: "out" }'
    end = 'layer { name: "x" type: "HDF5Output" bottom: "out" bottom: "b" hdf5_output_param { file_name: "f" }}'
    check_text(text + end, {"a": np.ones((2, 3)), "b": np.ones(2)}, ALL)
    assert [d.what for d in refusals(text + end.replace("file_name", "").replace(': "f"', ""))] == ["no file_name"]
    other = text.replace("dim: 2 }", "dim: 3 }") + end
    assert [d.what for d in refusals(other)] == ["layer 'x': 2 items of data, 3 of labels"]
