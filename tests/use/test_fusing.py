"""Sums and ReLUs are put into recorded convolutions where nothing can tell, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.inference import Kept, freeze
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.recording import Recording, replayed
from netcompile.prelude.workers import shared_out

Run = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def inferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not onednn_serves(torch.float32):
        pytest.skip("this machine's torch has no oneDNN")
    monkeypatch.setattr("netcompile.runtime.company.own_settings", lambda: None)  # however busy the machine is
    with torch.no_grad():
        yield


class Net(nn.Module):
    """Some convolutions, and a pass that is given."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.a, self.b, self.c = (Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.r, self.p = Conv2d(8, 8, 3, padding=1, relu=True), Conv2d(8, 8, 1, relu=True)
        self.blob = nn.Buffer(torch.randn(1, 8, 6, 5).contiguous(memory_format=torch.channels_last))
        self.run, self.passes = run, Kept()
        freeze(self)

    def forward(self, x: Tensor) -> Tensor:
        with shared_out(x):
            return replayed(self, self.compute, x)

    def compute(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def numbers(seed: int) -> Tensor:
    x = torch.randn(1, 8, 6, 5, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last)


def recording_of(run: Run) -> tuple[Any, list[str]]:
    """A net whose pass is recorded, and the calls."""
    net: Any = Net(run)
    for seed in range(3):
        net(numbers(seed))
    (found,) = net.passes["recorded"].values()
    assert isinstance(found, Recording)
    return net, [str(call[0]).removesuffix(".default") for call in found.tape.calls]


def in_sum(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    return net.b(y) + net.c(x).mul_(2)  # type: ignore[no-any-return]


def in_sum_turned(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    return y + net.b(net.c(y))  # type: ignore[no-any-return]


def with_relu(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    return torch.relu_(y + net.b(net.p(y))) + 1  # type: ignore[no-any-return]


def of_two_sums(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    z = y + net.b(net.r(y))
    return net.c(net.r(z)) + z  # type: ignore[no-any-return]


SUMS = {in_sum: 1, in_sum_turned: 1, with_relu: 1, of_two_sums: 2}


@pytest.mark.parametrize("run", SUMS, ids=lambda run: run.__name__)
def test_sums_go_into_the_memory_of_what_is_added(run: Run) -> None:
    net, calls = recording_of(run)
    assert calls.count("mkldnn._convolution_pointwise_.binary") == SUMS[run]
    assert "aten.add.Tensor" not in calls or run is with_relu
    for seed in range(5):
        x = numbers(seed)
        torch.testing.assert_close(net(x), run(net, x), rtol=0, atol=1e-6)


def read_later(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    z = y + net.b(y)
    return z * y


def a_part_read_later(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    part = y[:, :, 1:]
    z = y + net.b(y)
    return z[:, :, 1:] * part


def of_the_input(net: Any, x: Tensor) -> Tensor:
    return x + net.b(x)  # type: ignore[no-any-return]


def of_the_nets_own(net: Any, x: Tensor) -> Tensor:
    return net.blob + net.b(x)  # type: ignore[no-any-return]


def of_what_it_convolves(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    return y + net.b(y)  # type: ignore[no-any-return]


def read_twice(net: Any, x: Tensor) -> Tensor:
    y, z = net.a(x).mul_(2), net.b(x)
    return (y + z) * z


def returned_too(net: Any, x: Tensor) -> Any:
    y = net.a(x).mul_(2)
    return {"sum": y + net.b(y), "y": y}


def weighed(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mul_(2)
    return torch.add(y, net.b(y), alpha=2)


def of_another_shape(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).mean((2, 3), keepdim=True)
    return y + net.b(x)  # type: ignore[no-any-return]


def laid_otherwise(net: Any, x: Tensor) -> Tensor:
    y = net.a(x).contiguous().mul_(2)
    return y + net.b(x)  # type: ignore[no-any-return]


def changed_in_between(net: Any, x: Tensor) -> Tensor:
    x = x * 1
    y, z = net.a(x).mul_(2), net.b(x)
    x.zero_()
    return y + z  # type: ignore[no-any-return]


def with_itself(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    return y + y  # type: ignore[no-any-return]


AS_THEY_ARE = (
    read_later,
    a_part_read_later,
    of_the_input,
    of_the_nets_own,
    of_what_it_convolves,
    read_twice,
    returned_too,
    weighed,
    of_another_shape,
    laid_otherwise,
    changed_in_between,
    with_itself,
)


@pytest.mark.parametrize("run", AS_THEY_ARE, ids=lambda run: run.__name__)
def test_what_somebody_else_reads_is_not_written(run: Run) -> None:
    net, calls = recording_of(run)
    assert "mkldnn._convolution_pointwise_.binary" not in calls
    kept = net.blob.clone()
    for seed in range(4):
        x = numbers(seed)
        before = x.clone()
        found, wanted = net(x), run(net, x)
        for name in found if isinstance(found, dict) else [...]:
            assert torch.equal(found[name], wanted[name])
        assert torch.equal(x, before)
    assert torch.equal(net.blob, kept)


def deep(net: Any, x: Tensor) -> Tensor:
    for _ in range(60):
        x = net.r(net.p(x))
    return x


def pooled(net: Any, x: Tensor) -> Tensor:
    x = torch.cat([net.r(x), net.p(x)], 1)[:, ::2]
    return net.r(nn.functional.max_pool2d(x.contiguous(memory_format=torch.channels_last), 2))  # type: ignore[no-any-return]


def behind_anything(net: Any, x: Tensor) -> Tensor:
    return net.r(x.exp())  # type: ignore[no-any-return]


def written_in_between(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    y.mul_(1e30)
    return net.r(y)  # type: ignore[no-any-return]


def summed(net: Any, x: Tensor) -> Tensor:
    y = net.r(x)
    return torch.relu_(net.a(y) + net.b(x).mul_(2))


# The pass, how many ReLUs are left as calls, and how often is asked how large numbers are.
RELUS: dict[Run, tuple[int, int]] = {
    deep: (0, 2),
    pooled: (0, 1),
    behind_anything: (0, 1),
    written_in_between: (1, 0),
    summed: (0, 2),
}


@pytest.mark.parametrize("run", RELUS, ids=lambda run: run.__name__)
def test_relus_go_where_no_nan_can_arise(run: Run) -> None:
    net, calls = recording_of(run)
    left = calls.count("aten.clamp_min_") + calls.count("aten.relu_")
    asked = sum("is_below" in call for call in calls)
    assert (left, asked) == RELUS[run]
    for seed in range(4):
        x = numbers(seed)
        torch.testing.assert_close(net(x), run(net, x), rtol=0, atol=1e-6)
    for large in (1e8, 1e20, 1e35, 3e38, float("inf"), float("nan")):
        x = numbers(9)
        x[0, 3, 2, 2] = large
        torch.testing.assert_close(net(x), run(net, x), rtol=1e-5, atol=1e-5, equal_nan=True)
    x = numbers(9) * 1e37
    torch.testing.assert_close(net(x), run(net, x), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_weights_that_are_large_leave_their_relus_alone() -> None:
    net: Any = Net(lambda net, x: net.r(x))
    net.r.weight.mul_(1e32)
    for seed in range(3):
        net(numbers(seed))
    (found,) = net.passes["recorded"].values()
    assert "aten.clamp_min_.default" in [str(call[0]) for call in found.tape.calls]
