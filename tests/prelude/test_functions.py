"""Functions of emitted modules that no conformance case reaches, against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from netcompile.prelude.activation import caffe_max
from netcompile.prelude.losses import softmax_cross_entropy
from netcompile.prelude.normalisation import AveragedBatchNorm, lrn, normalise_exactly
from netcompile.prelude.pooling import global_max_pool, grid_pyramid, stochastic_pool, weighted_mean
from netcompile.prelude.recurrent import goes_on
from netcompile.prelude.sequences import edit_distance
from netcompile.prelude.unknown import UnknownLayer


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_of_equal_elements_one_gets_the_gradient() -> None:
    a, b, c = (
        torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0, 3.0], [1.0, 5.0, 0.0], [1.0, 5.0, 4.0])
    )
    y = caffe_max(a, b, c)
    assert y.tolist() == [1, 5, 4]
    y.sum().backward()
    assert [x.grad.tolist() for x in (a, b, c) if x.grad is not None] == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_stochastic_pooling_weighs_each_element_by_itself() -> None:
    x = torch.rand(2, 3, 4, 6)
    x[0, 0, :2, :2] = 0
    wanted = torch.zeros(2, 3, 2, 3)
    for n, c, i, j in np.ndindex(2, 3, 2, 3):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        wanted[n, c, i, j] = (window * window).sum() / window.sum() if window.sum() > 0 else 0
    torch.testing.assert_close(stochastic_pool(x, (2, 2), (2, 2), (0, 0)), wanted)
    torch.testing.assert_close(weighted_mean(x, (2, 2)), wanted)


def test_the_maximum_of_a_plane_has_its_place() -> None:
    x = torch.rand(2, 3, 4, 5)
    value, place = global_max_pool(x)
    assert value.shape == place.shape == (2, 3, 1, 1)
    for n, c in np.ndindex(2, 3):
        row, column = divmod(int(place[n, c]), 5)
        assert x[n, c, row, column] == value[n, c, 0, 0] == x[n, c].max()


def test_a_grid_pyramid_is_a_column() -> None:
    x = torch.rand(2, 3, 7, 9)
    y = grid_pyramid(x, (1, 2), torch.nn.functional.max_pool2d)
    assert y.shape == (2, 3 * (1 + 3 * 3), 1, 1)
    assert y[0, 0] == x[0, 0].max()


def test_exact_normalisation_leaves_mean_0_and_variance_1() -> None:
    y = normalise_exactly(3 + 2 * torch.randn(4, 3, 5, 6, dtype=torch.float64))
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("size", "beta", "k"), [(5, 0.75, 1.0), (3, 0.5, 2.0), (1, 0.75, 1.0), (13, 0.75, 0.5), (5, 1.0, 0)]
)
def test_channels_are_normalised_as_torch_does(
    size: int, beta: float, k: float, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    """In every type, and for what is not finite; the result lies as the blob does."""
    x = torch.randn(2, 7, 5, 4, dtype=torch.float64).mul(3).to(dtype)
    x[0, 3, 1, 1], x[1, 0, 2, 2] = torch.inf, torch.nan
    found = lrn(x.to(memory_format=layout), size, alpha=0.3, beta=beta, k=k)
    wanted = F.local_response_norm(x.double(), size, alpha=0.3, beta=beta, k=k).to(dtype)
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found, wanted, equal_nan=True)


def test_the_first_two_batches_replace_the_running_statistics() -> None:
    layer = AveragedBatchNorm(1, eps=0.0, fraction=0.75)
    means = []
    for mean in (1.0, 5.0, 9.0):
        layer(torch.tensor([[mean - 1], [mean + 1]]))
        means.append(float(layer.running_mean))
    assert means == [1, 5, 6]  # 0.75 · 5 + 0.25 · 9
    assert float(layer.running_var) == 1


def test_a_target_that_is_the_softmax_costs_nothing() -> None:
    x = torch.randn(3, 4)
    assert abs(float(softmax_cross_entropy(x, x.softmax(1)))) < 1e-6
    target = torch.eye(4)[:3]
    wanted = -(target * x.log_softmax(1)).sum() / 3
    torch.testing.assert_close(softmax_cross_entropy(x, target), wanted)


def test_streams_go_on_behind_their_first_step() -> None:
    x = torch.zeros(3, 2, 4)
    assert goes_on(x).tolist() == [[0, 0], [1, 1], [1, 1]]
    assert goes_on(x, torch.tensor([0.0, 1.0, 0.0, 2.0])).tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(("a", "b", "wanted"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0)])
def test_edit_distance(a: str, b: str, wanted: int) -> None:
    assert edit_distance([*a], [*b]) == wanted


def test_an_unknown_layer_says_so() -> None:
    with pytest.raises(NotImplementedError, match="what is Foo"):
        UnknownLayer("what is Foo?")(torch.zeros(1))
