"""Every way to compute a convolution at -O2, forced in turn, in one part and in many; and who shares parts out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.winograd import Winograd
from netcompile.runtime import company
from tests.passes.test_level_two import close


@pytest.fixture(params=[1, 3], ids=["alone", "shared"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """In one part, or in parts that three threads take, however small the layer is."""
    if request.param > 1:
        if company.own_settings() is None:
            pytest.skip("this system's threads have no settings of their own")
        monkeypatch.setattr(company.COMPANY, "there", True)
        monkeypatch.setattr(company.Company, "ENDS", (1e9, 0))
        monkeypatch.setattr(company, "part_count", lambda work: 1 if company.LOCAL.threads == 1 else 7)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with torch.no_grad():
        yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("images", [1, 3, 8])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "large", "ways"),
    [
        ((17, 23), 3, 1, 1, 1, False, {"onednn", "tiles of 2", "tiles of 4"}),
        ((17, 23), 3, 1, 40, 1, False, {"onednn", "tiles of 2", "tiles of 4"}),  # bands of nothing but zeros
        ((12, 12), 1, 1, 0, 1, False, {"onednn", "matrix"}),
        ((12, 13), 1, 2, 0, 1, False, {"onednn", "matrix"}),
        ((31, 20), 5, 2, 3, 2, False, {"onednn"}),
        ((31, 20), 5, 2, 3, 2, True, {"matrix"}),  # weights of which there is no second copy
        ((11, 9), 3, 1, 0, 1, True, {"matrix", "tiles of 2", "tiles of 4"}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_in_every_way(
    size: tuple[int, int], kernel: int, stride: int, padding: int, dilation: int, large: bool, ways: set[str],
    images: int, threads: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not onednn_serves(dtype):
        pytest.skip(f"oneDNN has no {dtype} on this CPU")
    monkeypatch.setattr(Conv2d, "large", 1 if large else Conv2d.large)
    kind = Winograd if (kernel, stride, dilation) == (3, 1, 1) else Conv2d
    torch.manual_seed(1)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    layer = kind(66, 70, kernel, relu=True, **options).requires_grad_(False).to(dtype)
    x = torch.randn(images, 66, *size).to(dtype)
    bias = None if layer.bias is None else layer.bias.double()
    wanted = nn.functional.conv2d(x.double(), layer.weight.double(), bias, **options).relu()
    offered = layer.ways((images, *wanted.shape[2:]), dtype, layer.padding)
    assert set(offered) == ways - ({"tiles of 4"} if dtype == torch.bfloat16 else set())
    taken, by = list[str](), layer.by
    monkeypatch.setattr(layer, "by", lambda way, *rest: (taken.append(way), by(way, *rest))[1], raising=False)
    for way in offered:
        layer.plan[None] = way
        with company.shared_out(x):
            found = layer(x)
        close(found.double(), wanted, 1e-5 if dtype == torch.float32 else 2e-2)
    assert tuple(taken) == offered


def test_what_a_part_raises_is_raised(threads: int) -> None:
    def fails() -> None:
        raise ValueError("in a part")

    def succeeds() -> None:
        done.append(1)

    done: list[int] = []
    with company.shared_out(torch.zeros(1)), pytest.raises(ValueError, match="in a part"):
        company.in_parts([succeeds, succeeds, fails, succeeds])
    with company.shared_out(torch.zeros(1)):
        company.in_parts([succeeds] * 20)
    assert len(done) >= 22


class Machine:
    """A clock, how long threads waited for a CPU until then, and when that was asked."""

    def __init__(self) -> None:
        self.now, self.waited = 0.0, 0.0
        self.looks: list[float] = []

    def look(self) -> float:
        self.looks.append(self.now)
        return self.waited

    def passes(self, found: company.Company, count: int, share: float, seconds: float, between: float = 0.0) -> None:
        """In passes of some seconds threads wait for a share of the time; all the time between them."""
        for _ in range(count):
            with found.watched():
                self.now += seconds
                self.waited += share * seconds
            self.now += between
            self.waited += between


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(company.time, "monotonic", lambda: machine.now)
    monkeypatch.setattr(company, "seconds_waited", machine.look)
    return machine


def test_company_begins_and_ends(machine: Machine) -> None:
    """By how long threads waited for a CPU, in passes that take a tenth of a second each."""
    found, seen = company.Company(), []
    for share in (0.0, 0.3, 0.9, 0.3, 0.3, 0.3, 0.0, 0.0, 0.0, 0.3):
        machine.passes(found, 1, share, 0.1)
        seen.append(found.there)
    assert seen == [False, False, True, True, True, True, True, True, False, False]


def test_what_threads_wait_for_between_passes_is_no_company(machine: Machine) -> None:
    found = company.Company()
    machine.passes(found, 100, 0.0, 1 / 64, between=1.0)
    assert not found.there
    machine.passes(found, 7, 1.0, 1 / 64, between=1.0)
    assert found.there
    machine.passes(found, 100, 0.0, 1 / 64, between=1.0)
    assert not found.there
    machine.looks.clear()
    machine.now += 1
    machine.passes(found, 71, 0.0, 1 / 64)
    assert len(machine.looks) == 2 + 10  # the first pass begins and ends with one, then every seven do


def test_of_short_passes_some_are_looked_at(machine: Machine) -> None:
    """A look takes as long as a tenth of such a pass; where others run, that is seen all the same."""
    found = company.Company()
    machine.passes(found, 1000, 0.0, 1 / 512, between=3 / 512)
    assert len(machine.looks) == 2 * 143  # every seventh pass begins 0.05 s after the last look
    assert not found.there
    machine.passes(found, 500, 1.0, 1 / 512, between=3 / 512)
    assert found.there
    machine.passes(found, 2000, 0.0, 1 / 512, between=3 / 512)
    assert not found.there


def test_threads_settings_are_as_they_were(threads: int) -> None:
    def fails() -> None:
        with company.shared_out(torch.zeros(1)):
            assert torch.get_num_threads() == 1
            raise ValueError("within")

    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with pytest.raises(ValueError, match="within"):
        fails()
    assert torch.get_num_threads() == threads
    assert cpus is None or os.sched_getaffinity(0) == cpus
