"""Layers whose name or fields several forks share: which reading is taken, and that it is said once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import run
from netcompile.surgery import convolutionalise
from netcompile.surgery.net import parse_net
from tests.caffemodel import encode as e
from tests.layers.harness import analyse_text, compile_text, draw_blobs, inputs_text, module_of, run_text, specs_of

FOUND = Path(__file__).parents[1] / "found" / "nets"
BN = "batch_norm_param { scale_bias: true eps: 0.01 }"


def read(name: str):
    return analyse(open_source(FOUND / f"{name}.prototxt")).require()


def said(net) -> list[str]:
    return [note.what for note in net.notes if note.code == "fork-reading"]


def test_normalize_without_parameters() -> None:
    net = read("normalize-plain-l2")
    x = np.random.default_rng(0).normal(size=(2, 8, 1, 1)).astype(np.float32)
    found = run(net, None, {"x": x})["unit"]
    np.testing.assert_allclose(found, x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-5)
    assert said(net) == ["a Normalize without parameters is taken for the face forks': x / ‖x‖₂ along the channels"]


def test_eltwise_of_one_bottom() -> None:
    net = read("eltwise-one-bottom")
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=(1, 3, 16, 16)).astype(np.float32) for name in "ab"}
    found = run(net, None, inputs, blobs=["half"])["half"]
    np.testing.assert_array_equal(found, inputs["a"] * np.float32(0.5))
    assert said(net) == ["an Eltwise of one bottom is coeff · x"]


def test_batchnorm_with_scale_and_bias(tmp_path: Path) -> None:
    """NVCaffe's five blobs: mean, variance, a number that is not read, scale, bias."""
    net = read("nvcaffe-batchnorm")
    assert [spec.shape for spec in specs_of(net)["n"]] == [(4,), (4,), (1,), (4,), (4,)]
    rng = np.random.default_rng(0)
    mean, var, scale, bias = rng.normal(size=4), rng.uniform(1, 2, 4), rng.normal(size=4), rng.normal(size=4)
    stored = [e.blob((4,), v) for v in (mean, var)] + [e.blob((1,), [1])] + [e.blob((4,), v) for v in (scale, bias)]
    path = tmp_path / "w.caffemodel"
    path.write_bytes(e.net(e.v2("n", "BatchNorm", *stored)))
    x = rng.normal(size=(1, 4, 7, 7)).astype(np.float32)
    c = (slice(None), None, None)
    wanted = (x - mean[c]) / np.sqrt(var[c] + 1e-4) * scale[c] + bias[c]
    for level in (0, 1, 2):
        np.testing.assert_allclose(run(net, path, {"x": x}, level=level)["y"], wanted, rtol=1e-4, atol=1e-5)


def test_batchnorm_with_scale_and_bias_behind_a_convolution(tmp_path: Path) -> None:
    """A convolution takes in BVLC's BatchNorm; this one must not lose its scale there."""
    text = inputs_text(x=(1, 2, 5, 5)) + (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 3 kernel_size: 3 } }"
        f'layer {{ name: "n" type: "BatchNorm" bottom: "c" top: "y" {BN} }}'
    )
    x = np.random.default_rng(1).normal(size=(1, 2, 5, 5))
    net = analyse_text(text)
    drawn = draw_blobs(net)
    drawn["n"][1] = np.abs(drawn["n"][1])
    plain, fused = (run_text(text, {"x": x}, drawn, level, outputs=["y"])["y"] for level in (0, 2))
    np.testing.assert_allclose(fused, plain, atol=1e-12)
    assert np.abs(plain).max() > 0


def test_batchnorm_with_scale_and_bias_in_training() -> None:
    """The first two passes' statistics replace the running ones, later ones are averaged in."""
    text = inputs_text(x=(2, 3, 4, 4)) + (
        'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { scale_bias: true '
        "moving_average_fraction: 0.75 } }"
    )
    compiled, module = compile_text(text, train=True)
    made = module_of(compiled, module, draw_blobs(compiled))
    means = []
    for seed in range(3):
        x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3, 4, 4)))
        y = made(x)
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        means.append(mean)
        c = (slice(None), None, None)
        wanted = (x - mean[c]) / (var[c] + 1e-5).sqrt() * made.n.weight[c] + made.n.bias[c]
        torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(made.n.running_mean, 0.75 * means[1] + 0.25 * means[2], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("transpose", ["false", "true"])
@pytest.mark.parametrize("bias", ["false", "true"])
def test_weights_of_unit_length(transpose: str, bias: str) -> None:
    text = inputs_text(x=(3, 2, 2)) + (
        'layer { name: "f" type: "InnerProduct" bottom: "x" top: "y" inner_product_param '
        f"{{ num_output: 5 normalize: true transpose: {transpose} bias_term: {bias} }} }}"
    )
    net = analyse_text(text).require()
    drawn = draw_blobs(net)
    x = np.random.default_rng(0).normal(size=(3, 2, 2))
    weight = drawn["f"][0].copy()
    flat = weight.reshape(-1)
    for output in range(5):  # as the fork's loop: as many numbers as there are inputs, one after another
        own = flat[output * 4 : output * 4 + 4]
        own /= np.sqrt((own**2).sum() + 1e-6)
    wanted = x.reshape(3, 4) @ (weight if transpose == "true" else weight.T)
    wanted += drawn["f"][1] if bias == "true" else 0
    for level in (0, 1, 2):
        found = run_text(text, {"x": x}, drawn, level)["y"]
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_weights_of_unit_length_are_no_convolution() -> None:
    text = inputs_text(x=(1, 2, 3, 3)) + (
        'layer { name: "f" type: "InnerProduct" bottom: "x" top: "y" inner_product_param '
        "{ num_output: 5 normalize: true } }"
    )
    with pytest.raises(NetError) as caught:
        convolutionalise(parse_net(text))
    (found,) = caught.value.diagnostics
    assert found.what == "layer 'f' divides its weights by their length, as no Convolution does"


def test_a_reading_is_said_once() -> None:
    crelu = "".join(f'layer {{ name: "c{i}" type: "CReLU" bottom: "x" top: "y{i}" }}\n' for i in range(3))
    assert said(analyse_text(inputs_text(x=(1, 2, 3, 3)) + crelu)) == [
        "CReLU makes the positive parts of a batch first, then the negative ones"
    ]


@pytest.mark.parametrize(
    ("kind", "shapes", "param", "what"),
    [
        (
            "Warp",
            ((1, 3, 4, 4), (1, 2, 4, 4)),
            "",
            "Warp is taken for PWC-Net's, whose flow is counted from each pixel",
        ),
        (
            "Unpooling",
            ((1, 2, 3, 3),) * 2,
            "unpooling_param { kernel_size: 2 stride: 2 }",
            "Unpooling without unpool_size makes (n − 1) · stride + kernel rows and columns",
        ),
        (
            "MultiStageMeanfield",
            ((1, 2, 3, 3), (1, 2, 3, 3), (1, 3, 3, 3)),
            "multi_stage_meanfield_param { num_iterations: 2 theta_alpha: 9 theta_beta: 3 theta_gamma: 3 }",
            "the lattice is that of CRF-RNN's build for SSE, as every x86-64 processor runs it",
        ),
    ],
)
def test_readings(kind: str, shapes: tuple[tuple[int, ...], ...], param: str, what: str) -> None:
    names = "abc"[: len(shapes)]
    bottoms = " ".join(f'bottom: "{n}"' for n in names)
    inputs = inputs_text(**dict(zip(names, shapes, strict=True)))
    assert said(analyse_text(inputs + f'layer {{ name: "x" type: "{kind}" {bottoms} top: "y" {param} }}')) == [what]


def test_flownets_mean_of_another_size(tmp_path: Path) -> None:
    """The file's mean of each pixel is that of the crops in training; with mean_per_pixel: false nobody reads it."""
    text = inputs_text(x=(1, 3, 4, 5)) + (
        'layer { name: "a" type: "DataAugmentation" bottom: "x" top: "y" augmentation_param '
        "{ recompute_mean: 9 mean_per_pixel: false } }"
    )
    path = tmp_path / "w.caffemodel"
    stored = (e.blob((1, 1, 1, 1), [9]), e.blob((1, 3, 2, 2), range(12)), e.blob((1, 3, 1, 1), [1, 2, 3]))
    path.write_bytes(e.net(e.v2("a", "DataAugmentation", *stored)))
    found = run(analyse_text(text).require(), path, {"x": np.zeros((1, 3, 4, 5), np.float32)})["y"]
    np.testing.assert_array_equal(found[0, :, 0, 0], [-1, -2, -3])
