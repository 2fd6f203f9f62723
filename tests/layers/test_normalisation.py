"""BatchNorm, LRN and MVN against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.prototxt.message import Message
from tests.layers.harness import (
    Array,
    analyse_text,
    check_text,
    compile_text,
    inputs_text,
    module_of,
    oracle_run,
    refusals,
    run_text,
)
from tests.oracles.normalisation import ORACLES, mvn_gradient, running_sums

RNG = np.random.default_rng(5)
SHAPE = (3, 4, 5, 6)


def one(kind: str, params: str = "", shape: tuple[int, ...] = SHAPE) -> str:
    text = inputs_text(data=shape)
    return f'{text}layer {{ name: "x" type: "{kind}" bottom: "data" top: "out" {params} }}'


def statistics(channels: int, factor: float = 7.5) -> list[Array]:
    return [RNG.normal(size=channels) * 5, RNG.uniform(1, 9, channels), np.array([factor])]


# BatchNorm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 1), (5, 3), (2, 3, 4), (1, 2, 3, 2, 2), (1, 2, 1, 2, 1, 3), (1, 3)])
@pytest.mark.parametrize(
    "params",
    [
        "",
        "eps: 0.01",
        "use_global_stats: true",
        "use_global_stats: false",
        "moving_average_fraction: 0.5 eps: 1e-3",
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_batch_norm(shape: tuple[int, ...], params: str, train: bool) -> None:
    text = one("BatchNorm", f"batch_norm_param {{ {params} }}", shape)
    inputs, blobs = {"data": RNG.normal(size=shape) * 2 + 1}, {"x": statistics(shape[1])}
    net = analyse_text(text, train=train).require()
    wanted = oracle_run(net, inputs, blobs, ORACLES)
    for level in (0, 1):
        found = run_text(text, inputs, blobs, level, train=train)
        np.testing.assert_allclose(found["out"], wanted["out"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("train", [False, True])
def test_a_factor_of_0_means_no_statistics(train: bool) -> None:
    text = one("BatchNorm", "batch_norm_param { use_global_stats: true }")
    data = RNG.normal(size=SHAPE)
    found = run_text(text, {"data": data}, {"x": statistics(4, 0.0)}, train=train)
    np.testing.assert_allclose(found["out"], data / np.sqrt(1e-5), rtol=1e-12)


@pytest.mark.parametrize("shape", [SHAPE, (5, 3), (1, 3, 1, 1)])
@pytest.mark.parametrize("use", ["", "use_global_stats: false", "use_global_stats: true"])
def test_running_sums(shape: tuple[int, ...], use: str) -> None:
    text = one("BatchNorm", f"batch_norm_param {{ moving_average_fraction: 0.9 {use} }}", shape)
    net, module = compile_text(text, train=True)
    wanted = statistics(shape[1])
    made = module_of(net, module, {"x": wanted})
    for _ in range(3):
        data = RNG.normal(size=shape) * 4 - 1
        made(torch.from_numpy(data))
        if use != "use_global_stats: true":
            wanted = running_sums(net.graph.nodes[0].message, data, wanted)
    for name, value in zip(("mean", "variance", "factor"), wanted, strict=True):
        np.testing.assert_allclose(made.get_buffer(f"x.{name}").numpy(), value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("fraction", "make"),
    [
        ("", "nn.BatchNorm2d(4, momentum=0.001, affine=False)"),
        ("moving_average_fraction: 0.9", "nn.BatchNorm2d(4, affine=False)"),
        ("moving_average_fraction: 0.9997", "nn.BatchNorm2d(4, momentum=0.0003, affine=False)"),
        ("moving_average_fraction: 0.5 eps: 0.001", "nn.BatchNorm2d(4, eps=0.001, momentum=0.5, affine=False)"),
        ("moving_average_fraction: 0 eps: 1e-5", "nn.BatchNorm2d(4, momentum=1.0, affine=False)"),
        ("moving_average_fraction: 1", "nn.BatchNorm2d(4, momentum=None, affine=False)"),
        ("moving_average_fraction: inf", "nn.BatchNorm2d(4, affine=False)"),
    ],
)
def test_momentum(fraction: str, make: str) -> None:
    source = compile_text(one("BatchNorm", f"batch_norm_param {{ {fraction} }}"))[1].source
    assert f"        self.x = {make}\n" in source


@pytest.mark.parametrize("fraction", [0.9, 0.5])
def test_training_on_in_pytorch_averages_as_caffe_does(fraction: float) -> None:
    """From the steady state of Caffe's sums on; before it the first batches weigh more there."""
    text = one("BatchNorm", f"batch_norm_param {{ moving_average_fraction: {fraction} }}")
    net, module = compile_text(text)
    sums = statistics(4, 1 / (1 - fraction))
    made = module_of(net, module, {"x": sums}).train()
    for _ in range(3):
        data = RNG.normal(size=SHAPE) * 4 - 1
        made(torch.from_numpy(data))
        sums = running_sums(net.graph.nodes[0].message, data, sums)
    for name, total in zip(("running_mean", "running_var"), sums[:2], strict=True):
        np.testing.assert_allclose(made.get_buffer(f"x.{name}").numpy(), total / sums[2], rtol=1e-12, err_msg=name)


def test_a_trained_module_in_evaluation_uses_its_sums() -> None:
    blobs, data = {"x": statistics(4)}, RNG.normal(size=SHAPE)
    net, module = compile_text(one("BatchNorm"), train=True)
    made = module_of(net, module, blobs).eval()
    before = [b.clone() for b in made.buffers()]
    found = made(torch.from_numpy(data)).numpy()
    assert all(torch.equal(a, b) for a, b in zip(before, made.buffers(), strict=True))
    wanted = run_text(one("BatchNorm"), {"data": data}, blobs)["out"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("train", [False, True])
def test_gradient_of_batch_norm(train: bool) -> None:
    net, module = compile_text(one("BatchNorm"), train=train)
    made = module_of(net, module, {"x": statistics(4)})
    x = torch.randn(2, 4, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (x,))


def test_batch_norm_is_not_learned() -> None:
    spec = "param { lr_mult: 0 } param { lr_mult: 2 }"
    (found,) = refusals(one("BatchNorm", spec))
    assert (found.code, found.what) == ("batchnorm-lr", "lr_mult 2 for BatchNorm's statistics")
    assert found.span is not None
    assert found.span.source.text[found.span.start : found.span.end] == "2"
    assert len(refusals(one("BatchNorm", "param { decay_mult: 0 }"))) == 1
    assert not refusals(one("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 0 }"))
    assert not refusals(one("BatchNorm", "param { lr_mult: 1 } " * 3)), "three are set to 0 by the upgrade"


def test_batch_norm_wants_channels() -> None:
    (found,) = refusals(one("BatchNorm", shape=(5,)))
    assert found.what == "layer 'x': BatchNorm wants 2 axes or more, not 1"


def test_batch_norm_in_bfloat16_and_under_compile() -> None:
    net, module = compile_text(one("BatchNorm"), train=True)
    made = module_of(net, module, {"x": statistics(4)}, "bfloat16")
    assert made(torch.ones(SHAPE, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert torch.isfinite(made.get_buffer("x.mean")).all()


# LRN -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        "",
        "local_size: 3 alpha: 0.5 beta: 0.3 k: 2",
        "local_size: 1 alpha: 2",
        "local_size: 9",
        "alpha: 0",
        "norm_region: WITHIN_CHANNEL",
        "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.2 beta: 1.5 k: 7",
        "norm_region: WITHIN_CHANNEL local_size: 1",
        "norm_region: WITHIN_CHANNEL local_size: 11",
        "norm_region: WITHIN_CHANNEL engine: CAFFE",
    ],
)
def test_lrn(params: str) -> None:
    text = one("LRN", f"lrn_param {{ {params} }}")
    check_text(text, {"data": RNG.normal(size=SHAPE) * 3}, ORACLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (one("LRN", "lrn_param { local_size: 4 }"), "local_size 4 is even"),
        (one("LRN", "lrn_param { local_size: 0 }"), "local_size 0 is even"),
        (one("LRN", shape=(2, 3, 4)), "layer 'x': LRN wants 4 axes, not 3"),
        (
            one("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", (2, 3)),
            "layer 'x': LRN wants 4 axes, not 2",
        ),
    ],
)
def test_lrn_refused(text: str, message: str) -> None:
    assert [d.what for d in refusals(text)] == [message]


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_gradient_of_lrn(region: str) -> None:
    net, module = compile_text(one("LRN", f"lrn_param {{ norm_region: {region} local_size: 3 }}"))
    x = torch.randn(1, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module_of(net, module), (x,))


# MVN -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [SHAPE, (2, 3, 4), (4, 3), (5,), (1, 1, 1, 1)])
@pytest.mark.parametrize(
    "params",
    [
        "",
        "across_channels: true",
        "normalize_variance: false",
        "normalize_variance: false across_channels: true",
        "eps: 0.5",
        "eps: 0.5 across_channels: true",
    ],
)
def test_mvn(shape: tuple[int, ...], params: str) -> None:
    data = RNG.normal(size=shape) * 3 + 1
    check_text(one("MVN", f"mvn_param {{ {params} }}", shape), {"data": data}, ORACLES)


def test_mvn_wants_up_to_4_axes() -> None:
    (found,) = refusals(one("MVN", shape=(1, 2, 2, 2, 2)))
    assert found.what == "layer 'x': MVN wants up to 4 axes, not 5"


@pytest.mark.parametrize("params", ["eps: 0.5", "eps: 0.1 across_channels: true", "normalize_variance: false"])
def test_gradient_of_mvn_is_caffes(params: str) -> None:
    net, module = compile_text(one("MVN", f"mvn_param {{ {params} }}"))
    message: Message = net.graph.nodes[0].message
    data, gradient = RNG.normal(size=SHAPE), RNG.normal(size=SHAPE)
    x = torch.from_numpy(data).requires_grad_()
    module_of(net, module)(x).backward(torch.from_numpy(gradient))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), mvn_gradient(message, data, gradient), atol=1e-12)


def test_mvn_of_a_flat_plane() -> None:
    net, module = compile_text(one("MVN"))
    x = torch.full((1, 1, 2, 2), 3.0, dtype=torch.float64, requires_grad=True)
    y = module_of(net, module)(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros_like(y))
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
