"""Every filler of Caffe, by its distribution; the bilinear one against Caffe's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.source import Source
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.train.blobs import draw, learned_blobs
from netcompile.train.fillers import fill, problem
from netcompile.train.net import compiled
from tests.conftest import CONFORMANCE
from tests.layers.harness import analyse_text, inputs_text

SHAPE = (40, 20, 5, 5)


def filler(text: str) -> Message:
    message = parse(Source(text), "FillerParameter")
    assert problem(message, SHAPE, "x") is None
    return message


def drawn(text: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return fill(shape, filler(text), torch.Generator().manual_seed(1)).numpy()


def test_constant() -> None:
    assert set(drawn('type: "constant" value: 0.25').ravel()) == {np.float32(0.25)}
    assert fill((2,), None, torch.Generator()).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ('type: "uniform" min: -2 max: 3', -2.0, 3.0),
        ('type: "xavier"', -np.sqrt(3 / 500), np.sqrt(3 / 500)),
        ('type: "xavier" variance_norm: FAN_OUT', -np.sqrt(3 / 1000), np.sqrt(3 / 1000)),
        ('type: "xavier" variance_norm: AVERAGE', -np.sqrt(3 / 750), np.sqrt(3 / 750)),
    ],
)
def test_uniform_ones(text: str, low: float, high: float) -> None:
    values = drawn(text)
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ('type: "gaussian" mean: 3 std: 0.5', 3, 0.5),
        ('type: "msra"', 0, np.sqrt(2 / 500)),
        ('type: "msra" variance_norm: FAN_OUT', 0, np.sqrt(2 / 1000)),
    ],
)
def test_gaussian_ones(text: str, mean: float, std: float) -> None:
    values = drawn(text)
    assert values.mean() == pytest.approx(mean, abs=0.03 * std)
    assert values.std() == pytest.approx(std, rel=0.03)


def test_sparse_gaussian_keeps_a_share() -> None:
    values = drawn('type: "gaussian" std: 1 sparse: 10')
    assert (values != 0).mean() == pytest.approx(10 / 40, abs=0.02)


def test_positive_unitball_rows_sum_to_one() -> None:
    values = drawn('type: "positive_unitball"').reshape(40, -1)
    assert values.min() >= 0
    np.testing.assert_allclose(values.sum(1), 1, rtol=1e-5)


def test_bilinear_is_caffes() -> None:
    blob = read_caffemodel(CONFORMANCE / "deconv-bilinear-filler" / "weights.caffemodel").layers
    [weights] = [layer.blobs[0] for layer in blob if layer.blobs]
    assert weights is not None
    reference = weights.array().reshape(weights.shape)
    np.testing.assert_array_equal(drawn('type: "bilinear"', reference.shape), reference)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 64])
def test_bilinear_interpolates_a_ramp(width: int) -> None:
    """The kernel is the product of two triangles of height 1 − |x/f − c|, in float64."""
    factor = -(-width // 2)
    centre = (width - 1) / (2 * factor)
    ramp = 1 - np.abs(np.arange(width) / factor - centre)
    np.testing.assert_allclose(drawn('type: "bilinear"', (1, 1, width, width))[0, 0], np.outer(ramp, ramp), rtol=1e-6)


def test_a_seed_repeats() -> None:
    assert (drawn('type: "msra"') == drawn('type: "msra"')).all()


@pytest.mark.parametrize(
    ("text", "shape", "what"),
    [
        ('type: "xavir"', SHAPE, "unknown filler 'xavir' in layer 'c'"),
        ('type: "uniform" sparse: 3', SHAPE, "sparse is for gaussian fillers only, not for uniform in layer 'c'"),
        ('type: "gaussian" sparse: -2', SHAPE, "sparse must be -1 (dense) or a count, not -2 in layer 'c'"),
        ('type: "gaussian" sparse: 41', SHAPE, "sparse is 41, and a blob 40×20×5×5 has 40 outputs in layer 'c'"),
        ('type: "gaussian" std: -1', SHAPE, "std -1 is not positive in layer 'c'"),
        ('type: "uniform" min: 2 max: 1', SHAPE, "min 2 is above max 1 in layer 'c'"),
        ('type: "bilinear"', (4, 4, 3, 5), "a bilinear filler cannot fill a blob 4×4×3×5 in layer 'c'"),
        ('type: "bilinear"', (4,), "a bilinear filler cannot fill a blob 4 in layer 'c'"),
    ],
)
def test_mistakes(text: str, shape: tuple[int, ...], what: str) -> None:
    found = problem(parse(Source(text), "FillerParameter"), shape, "c")
    assert found is not None
    assert (found.code, found.what) == ("filler", what)


def test_a_bias_without_a_filler_begins_at_zero() -> None:
    """That of a Scale of two bottoms too, whose only blob it is."""
    scale = 'layer { name: "s" type: "Scale" bottom: "x" bottom: "y" top: "z" scale_param { bias_term: true } }'
    made = compiled(analyse_text(inputs_text(x=(2, 3), y=(3,)) + scale).require())
    (bias,) = draw(learned_blobs(made.module), torch.Generator()).values()
    assert bias.tolist() == [0, 0, 0]
