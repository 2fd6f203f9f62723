"""Recordings of a net: which are made, when they are made anew, and what they give. CUDA itself where there is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import netcompile
from netcompile.runtime.cuda_graphs import Graphed, accelerate


class Again:
    """Stands in for CUDA: replaying computes once more, into the same memory."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        self.recorded += 1
        result = run()
        return result, lambda: (result.copy_(run()), None)[1]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).eval()


def test_one_recording_for_each_size(net: nn.Module) -> None:
    again = Again()
    graphed = Graphed(net, keep=2, record=again).eval()
    images = {n: torch.randn(1, 3, n, n) for n in (5, 6, 7)}
    with torch.no_grad():
        results = {n: graphed(x) for n, x in images.items()}
        assert again.recorded == 3
        graphed(images[7] * 2)
        graphed(images[6])
        assert again.recorded == 3
        graphed(images[5])  # used longest ago, and forgotten
        assert again.recorded == 4
        graphed(images[5].double().float())
        assert again.recorded == 4
        for n, x in images.items():
            torch.testing.assert_close(results[n], net(x))  # later calls have not changed them
    assert len(graphed.recordings) == 2


def test_new_weights_new_recordings(net: nn.Module) -> None:
    again = Again()
    graphed = Graphed(net, record=again).eval()
    x = torch.randn(1, 3, 5, 6)
    with torch.no_grad():
        graphed(x)
        net[0].bias += 1
        torch.testing.assert_close(graphed(x), net(x))
        assert again.recorded == 2
        net[0].weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        torch.testing.assert_close(graphed(x), net(x))
        assert again.recorded == 3
        net[0].weight.data[1, 2, 0, 1] += 1  # torch does not count this
        torch.testing.assert_close(graphed(x), net(x))
        assert again.recorded == 4
        graphed(x)
        assert again.recorded == 4


def test_gradients_and_training_take_the_net(net: nn.Module) -> None:
    again = Again()
    graphed = Graphed(net, record=again).eval()
    graphed(torch.randn(1, 3, 5, 5)).sum().backward()
    with torch.no_grad():
        graphed.train()(torch.randn(1, 3, 5, 5))
    assert again.recorded == 0
    assert net[0].weight.grad is not None


def test_several_outputs_are_copies(net: nn.Module) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"a": x + 1, "b": x * 2}

    class Once:
        def __call__(self, run: Callable[[], dict[str, Tensor]]) -> tuple[dict[str, Tensor], Callable[[], None]]:
            result = run()
            return result, lambda: [result[k].copy_(v) for k, v in run().items()][:0] and None

    graphed = Graphed(Two(), record=Once()).eval()
    first = graphed(torch.ones(2))
    graphed(torch.zeros(2))
    assert first["a"].tolist() == [2, 2]
    assert first["b"].tolist() == [2, 2]


def test_without_a_gpu_the_net_computes(net: nn.Module) -> None:
    graphed = Graphed(net).eval()
    x = torch.randn(1, 3, 5, 5)
    with torch.no_grad():
        assert torch.equal(graphed(x), net(x))
    assert not graphed.recordings
    with pytest.raises(ValueError, match="keep is 0, less than 1"):
        Graphed(net, keep=0)
    moved = accelerate(net, "cpu", torch.float64)
    assert moved is net
    assert net[0].weight.dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("level", [1, 2])
def test_cuda_graphs_give_the_nets_numbers(level: int) -> None:
    name, weights = "shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel"
    plain = netcompile.load(name, weights, level=0)
    fast = accelerate(netcompile.load(name, weights, level=level), "cuda", torch.float32)
    with torch.inference_mode():
        for size in ((96, 128), (75, 101), (96, 128)):
            x = torch.randn(2, 3, *size) * 40
            wanted = plain(x)
            assert (fast(x.cuda()).cpu() - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    assert len(fast.recordings) == 2
