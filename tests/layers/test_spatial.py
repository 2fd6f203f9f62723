"""Im2col and SPP against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.runtime.execute import load_source
from tests.layers.harness import analyse_text, check_text, compile_text, draw_blobs, inputs_text, module_of, refusals
from tests.oracles.spatial import ORACLES

RNG = np.random.default_rng(9)
SHAPE = (2, 3, 7, 8)


def im2col(params: str, shape: tuple[int, ...] = SHAPE) -> str:
    text = inputs_text(data=shape)
    params = f"convolution_param {{ {params} }}"
    return f'{text}layer {{ name: "x" type: "Im2col" bottom: "data" top: "out" {params} }}'


def spp(params: str, shape: tuple[int, ...] = SHAPE) -> str:
    text = inputs_text(data=shape)
    return f'{text}layer {{ name: "x" type: "SPP" bottom: "data" top: "out" spp_param {{ {params} }} }}'


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ("kernel_size: 3", SHAPE),
        ("kernel_size: 1", SHAPE),
        ("kernel_size: 3 stride: 2 pad: 1", SHAPE),
        ("kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 0 pad: 1", SHAPE),
        ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", SHAPE),
        ("kernel_size: 2 dilation: 3", SHAPE),
        ("kernel_size: 3 dilation: 1 dilation: 2 force_nd_im2col: true", SHAPE),
        ("kernel_size: 3 stride: 4", (1, 2, 2, 3)),
        ("kernel_size: 2", (2, 3, 5)),
        ("kernel_size: 2 stride: 2 pad: 1", (1, 2, 3, 2, 3)),
        ("kernel_size: 2 axis: 0", (3, 4, 4)),
        ("kernel_size: 2 axis: -2", (2, 2, 3, 5)),
    ],
)
def test_im2col(params: str, shape: tuple[int, ...]) -> None:
    check_text(im2col(params, shape), {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("", "no kernel size"),
        ("kernel_size: 0", "kernel 0 is less than 1"),
        ("kernel_h: 3", "kernel_h without kernel_w"),
        ("kernel_size: 3 kernel_h: 3 kernel_w: 3", "kernel_size and kernel_h/kernel_w together"),
        ("kernel_size: 3 stride: 0", "stride 0 is less than 1"),
        ("kernel_size: 3 dilation: 0", "dilation 0 is less than 1"),
        ("kernel_size: 3 axis: 3", "layer 'x': no spatial axis after axis 3 of 4"),
        ("kernel_size: 3 axis: 4", "layer 'x': axis 4 of 4"),
        ("kernel_h: 2 kernel_w: 2 axis: 2", "layer 'x': kernel_h for 1 spatial axes"),
        (
            "kernel_size: 1 kernel_size: 1 kernel_size: 1",
            "layer 'x': 3 values of kernel_size for 2 spatial axes",
        ),
        ("kernel_size: 9", "layer 'x': output size is not positive: 2×243×-1×0"),
    ],
)
def test_im2col_refused(params: str, message: str) -> None:
    assert message in [d.what for d in refusals(im2col(params))]


def test_im2col_moves_pixels_as_a_convolution_does() -> None:
    net = analyse_text(im2col("kernel_size: 3 stride: 2 pad: 1")).require()
    layer = net.graph.nodes[0].layer
    assert [str(d) for d in net.symbolic.shapes[net.graph.nodes[0].tops[0]] or ()][2] == "⌈H/2⌉"
    coords = layer.coords(SHAPE)
    assert coords is not None
    assert coords[0] is not None
    assert (coords[0][0].stride, coords[0][0].offset) == (2, 0)


def test_gradient_of_im2col() -> None:
    net, module = compile_text(im2col("kernel_size: 2 stride: 1 pad: 1 dilation: 2"))
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module_of(net, module), (x,))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("height", "shape"),
    [
        (1, SHAPE),
        (2, SHAPE),
        (3, SHAPE),
        (3, (1, 2, 4, 4)),
        (3, (2, 1, 12, 13)),
        (2, (1, 1, 2, 3)),
        (3, (1, 2, 9, 10)),
        (3, (1, 1, 7, 11)),
        (4, (1, 1, 16, 15)),
    ],
)
def test_spp(pool: str, height: int, shape: tuple[int, ...]) -> None:
    text = spp(f"pyramid_height: {height} pool: {pool}", shape)
    check_text(text, {"data": RNG.normal(size=shape) - 3}, ORACLES)


@pytest.mark.parametrize(("height", "shape"), [(1, (2, 3, 3, 5)), (3, (2, 3, 8, 4))])
def test_stochastic_spp_at_test(height: int, shape: tuple[int, ...]) -> None:
    data = np.maximum(RNG.normal(size=shape), 0)
    data[0, 0] = 0
    check_text(spp(f"pyramid_height: {height} pool: STOCHASTIC", shape), {"data": data}, ORACLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (spp(""), "pyramid_height missing"),
        (spp("pyramid_height: 0"), "pyramid_height must be positive, not 0"),
        (spp("pyramid_height: 2", (2, 3, 4)), "layer 'x': SPP wants 4 axes, not 3"),
        (
            spp("pyramid_height: 3", (1, 1, 5, 4)),
            "layer 'x': pad must be smaller than kernel: 4 bins over 5 pixels",
        ),
        (
            spp("pyramid_height: 2", (1, 1, 1, 4)),
            "layer 'x': pad must be smaller than kernel: 2 bins over 1 pixels",
        ),
        (
            spp("pyramid_height: 2 pool: STOCHASTIC", (1, 1, 3, 4)),
            "layer 'x': stochastic pooling cannot pad 3 pixels for 2 bins",
        ),
    ],
)
def test_spp_refused(text: str, message: str) -> None:
    assert [d.what for d in refusals(text)] == [message]


def test_a_pyramid_has_one_size_for_every_input() -> None:
    net, module = compile_text(spp("pyramid_height: 3", (2, 3, 12, 13)))
    assert net.symbolic.shapes[net.graph.nodes[0].tops[0]] == (2, 63)
    assert [n for n in range(1, 12) if n not in net.valid[0]] == [1, 2, 3, 5]
    made = load_source(module)
    for size in ((4, 4), (7, 9), (31, 16)):
        assert made(torch.zeros(1, 3, *size)).shape == (1, 63)


def test_the_gradient_of_equal_maxima_goes_to_the_first() -> None:
    for height in (1, 2):
        net, module = compile_text(spp(f"pyramid_height: {height}", (1, 1, 2, 2)))
        x = torch.zeros(1, 1, 2, 2, requires_grad=True)
        module_of(net, module, dtype="float32")(x).sum().backward()
        assert x.grad is not None
        assert x.grad.ravel().tolist() == ([1, 0, 0, 0] if height == 1 else [2, 1, 1, 1])


def test_a_convolution_without_spatial_axes_needs_no_kernel_size() -> None:
    """Caffe counts kernel sizes against the spatial axes, of which there are none: a matrix for each item."""
    text = inputs_text(data=(2, 6)) + (
        'layer { name: "x" type: "Convolution" bottom: "data" top: "out" convolution_param { num_output: 4 } }'
    )
    analysed, module = compile_text(text)
    blobs = draw_blobs(analysed)
    data = RNG.normal(size=(2, 6))
    weight, bias = blobs["x"]
    assert np.allclose(module_of(analysed, module, blobs)(torch.tensor(data)).detach(), data @ weight.T + bias)
    (refusal,) = refusals(text.replace("dim: 6", "dim: 6 dim: 5"))
    assert refusal.what == "layer 'x': no kernel size"


def test_the_reference_of_a_crop_may_have_more_axes() -> None:
    """CropLayer reads the reference's sizes by the numbers of the cropped blob's axes, and no others."""
    text = inputs_text(data=(2, 3, 5, 6), like=(2, 3, 4, 2, 9)) + (
        'layer { name: "x" type: "Crop" bottom: "data" bottom: "like" top: "out" crop_param { offset: 1 } }'
    )
    net = module_of(*compile_text(text))
    data = torch.tensor(RNG.normal(size=(2, 3, 5, 6)))
    assert torch.equal(net(data, torch.zeros(2, 3, 4, 2, 9)), data[:, :, 1:5, 1:3])
    (refusal,) = refusals(text.replace("dim: 2 dim: 9", ""))
    assert refusal.what == "layer 'x': the reference has 3 axes, the blob that is cropped 4"
