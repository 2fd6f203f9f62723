"""Which way of a convolution measuring takes: what each takes is said, and a clock that counts only that."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.inference import INSIDE, Kept, freeze
from netcompile.prelude.recording import Recording, replayed
from netcompile.prelude.winograd import Winograd
from netcompile.runtime import company, tuning
from netcompile.runtime.tuning import COMPARISONS, Choice, Plan, Tuning, apply, convolutions, tune

Takes = Callable[[str, str, int], float]  # layer, way, how often it ran so: milliseconds


class Net(nn.Module):
    """Three 3 × 3 convolutions, of which two are alike, and one of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = Winograd(3, 8, 3, padding=1, relu=True)
        self.second = Winograd(8, 8, 3, padding=1, relu=True)
        self.third = Winograd(8, 8, 3, padding=1, relu=True)
        self.last = Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.third(self.second(self.first(x))))


class Machine:
    """A clock that stands still but for what convolutions take."""

    def __init__(self, takes: Takes) -> None:
        self.takes, self.now = takes, 0.0
        self.ran: Counter[tuple[str, str]] = Counter()

    def __call__(self) -> float:
        return self.now

    def watch(self, net: nn.Module) -> nn.Module:
        for name, layer in net.named_modules():
            if isinstance(layer, Conv2d):
                layer.__class__ = type(type(layer).__name__, (type(layer),), {"by": self.timed(name, type(layer).by)})
        return net.eval()

    def timed(self, name: str, by: Any) -> Any:
        def run(layer: Any, way: str, *rest: Any) -> Any:
            self.now += 1e-3 * self.takes(name, way, self.ran[name, way])
            self.ran[name, way] += 1
            return by(layer, way, *rest)

        return run


X = torch.arange(3 * 12 * 12.0).view(1, 3, 12, 12) / 100
SIZE = (1, 12, 12)
RULE = "tiles of 4"


def tuned(takes: Takes, seconds: float = 2.0) -> tuple[nn.Module, Tuning, Machine]:
    machine = Machine(takes)
    net = machine.watch(Net())
    rules = {name: layer.ways(SIZE, torch.float32, (1, 1))[0] for name, layer in convolutions(net).items()}
    assert rules["first"] == rules["second"] == rules["third"] == "onednn"
    return net, tune(net, [X], seconds, machine), machine


def ways(found: Tuning) -> dict[str, str]:
    return {choice.layer: choice.way for choice in found.choices}


def plans(net: nn.Module) -> dict[str, dict[Any, str]]:
    return {name: dict(layer.plan) for name, layer in convolutions(net).items()}


def table(**milliseconds: dict[str, float]) -> Takes:
    """What ways take in layers, 1 where nothing is said."""
    return lambda layer, way, number: milliseconds.get(layer, {}).get(way, 1.0)


def test_the_fastest_way_is_taken() -> None:
    """For layers that are alike, too, of which one is timed."""
    wanted = Net().eval()(X).detach()
    second = {"onednn": 10.0, "tiles of 2": 4.0, "tiles of 4": 5.0}
    net, found, machine = tuned(table(second=second, third=second, last={"matrix": 2.0, "onednn": 3.0}))
    assert ways(found) == {"first": "onednn", "second": "tiles of 2", "third": "tiles of 2", "last": "matrix"}
    assert plans(net) == {"first": {}, "second": {SIZE: "tiles of 2"}, "third": {SIZE: "tiles of 2"}, "last": {}}
    (choice,) = (choice for choice in found.choices if choice.layer == "third")
    assert (choice.rule, choice.shape, choice.calls, choice.milliseconds) == ("onednn", SIZE, 1, pytest.approx(second))
    assert (found.by_rule, found.by_plan, found.faster) == (pytest.approx(23), pytest.approx(11), True)
    assert machine.ran["third", "tiles of 4"] == 0
    torch.testing.assert_close(net(X).detach(), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert not any("by" in vars(layer) for layer in convolutions(net).values())


@pytest.mark.parametrize(
    ("takes", "way"),
    [
        (lambda number: 9.6, "onednn"),  # by less than noise
        (lambda number: 9.4, "tiles of 2"),
        (lambda number: 5.0 if number % 2 else 11.0, "onednn"),  # in half of the rounds
        (lambda number: 60.0 if number == 2 else 8.0, "tiles of 2"),  # one round does not decide
        (lambda number: 8.0 if number == 2 else 11.0, "onednn"),
    ],
)
def test_noise_decides_nothing(takes: Callable[[int], float], way: str) -> None:
    def milliseconds(layer: str, by: str, number: int) -> float:
        if layer != "second":
            return 0.1
        return takes(number) if by == "tiles of 2" else 10.0

    _, found, _ = tuned(milliseconds)
    assert ways(found)["second"] == way


def test_a_way_that_is_hopeless_is_not_timed_again() -> None:
    """After one round where it takes three times as long, else after two; one runs before to lay weights out."""
    _, found, machine = tuned(table(second={"onednn": 10.0, "tiles of 2": 40.0, "tiles of 4": 20.0}))
    assert machine.ran["second", "tiles of 2"] == 2
    assert machine.ran["second", "tiles of 4"] == 3
    assert machine.ran["second", "onednn"] == 2 + 5  # to lay weights out, and for costs; in each pass
    assert ways(found)["second"] == "onednn"


def test_the_costliest_come_first_as_far_as_the_seconds_go() -> None:
    """Five rounds of three ways, and two runs of two that lay weights out: of `second` 1.3 s, of `first` 0.6 s."""
    takes = table(first=dict.fromkeys(tuning.WAYS, 34.0), second=dict.fromkeys(tuning.WAYS, 67.0),
                  third=dict.fromkeys(tuning.WAYS, 67.0), last=dict.fromkeys(tuning.WAYS, 0.5))  # fmt: skip
    every = {"first", "second", "third", "last"}
    for seconds, timed in ((0.0, set()), (0.02, {"last"}), (1.5, every - {"first"}), (3.0, every)):
        _, found, _ = tuned(takes, seconds)
        assert {choice.layer for choice in found.choices if len(choice.milliseconds) > 1} == timed, seconds
        assert found.seconds <= seconds + 5 * 0.2
        assert not found.faster


def test_a_plan_that_is_no_faster_is_dropped() -> None:
    """Alone a way is the fastest; in a net whose plan it is all takes longer."""

    def milliseconds(layer: str, way: str, number: int) -> float:
        planned = bool(dict(net_of[0].second.plan))  # type: ignore[arg-type]
        return 20.0 if planned else 5.0 if layer == "second" and way == "tiles of 2" else 10.0

    machine = Machine(milliseconds)
    net = machine.watch(Net())
    net_of = [net]
    found = tune(net, [X], 2.0, machine)
    assert ways(found)["second"] == "tiles of 2"
    assert (found.by_rule, found.by_plan, found.faster) == (pytest.approx(40), pytest.approx(80), False)
    assert not any(plans(net).values())


def test_only_weights_of_ways_that_are_used_stay() -> None:
    second = {"onednn": 10.0, "tiles of 2": 5.0, "tiles of 4": 9.0}
    net, _, _ = tuned(table(second=second, third=second))
    assert {name: set(layer.packed) for name, layer in convolutions(net).items()} == {
        "first": {"onednn"}, "second": {"tiles of 2"}, "third": {"tiles of 2"}, "last": set(),
    }  # fmt: skip


def test_a_way_that_leaves_numbers_to_others_is_none() -> None:
    """Winograd's algorithm does so where they are not finite; the result is that of the rules."""
    net = Machine(table(second={"onednn": 10.0})).watch(Net())
    broken = X.clone()
    broken[0, 0, 5, 5] = float("inf")
    found = tune(net, [broken], 2.0)
    assert {way for way in ways(found).values() if way.startswith("tiles")} == set()
    assert all(set(choice.milliseconds) <= {"onednn", "matrix"} for choice in found.choices)


class RecordedNet(Net):
    """The same, which writes its calls down once it is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = Kept()

    def forward(self, x: Tensor) -> Tensor:
        return replayed(self, super().forward, x)


@torch.no_grad()
def test_ways_of_a_net_with_recorded_calls_are_timed_as_of_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a recording timed in their place, nor what writes one."""
    monkeypatch.setattr(company, "own_settings", lambda: None)  # another process may be busy
    takes = table(first={"tiles of 2": 0.5})
    machine, (_, wanted, other) = Machine(takes), tuned(takes)
    net = machine.watch(RecordedNet())
    freeze(net)
    for _ in range(4):
        y = net(X)
    [recording] = net.passes["recorded"].values()
    assert isinstance(recording, Recording)
    before, asked = machine.ran.copy(), []

    def clock() -> float:
        asked.append(INSIDE.recorder)
        return machine()

    found = tune(net, [X], 2.0, clock)
    assert set(asked) == {None}
    assert found.choices[:3] == wanted.choices[:3]  # of a kernel of one pixel the rules' way is another
    ran = {case: count - before[case] for case, count in machine.ran.items()}
    assert ran["first", "tiles of 2"] == pytest.approx(other.ran["first", "tiles of 2"], abs=COMPARISONS + 1)
    torch.testing.assert_close(net(X), y)


def test_a_net_that_has_a_plan_is_measured_from_the_rules() -> None:
    machine = Machine(table(second={"tiles of 2": 5.0}))
    net = machine.watch(Net())
    net.second.plan = {None: "tiles of 2"}
    assert {choice.layer: choice.rule for choice in tune(net, [X], 2.0, machine).choices}["second"] == "onednn"
    assert not plans(net)["second"]


def test_errors_leave_the_net_as_it_was() -> None:
    net = Net().eval()
    with pytest.raises(RuntimeError):
        tune(net, [X[:, :1]], 2.0)
    assert not any("by" in vars(layer) for layer in convolutions(net).values())


def test_measuring_among_threads_that_share_layers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some layers run in several threads at a time; where others use the CPUs, that goes on as it was."""
    if company.own_settings() is None:
        pytest.skip("this system's threads have no settings of their own")

    class Bands(Net):
        def forward(self, x: Tensor) -> Tensor:
            made = list[Tensor]()
            with torch.no_grad(), company.shared_out(x):
                company.in_parts([lambda: made.append(super(Bands, self).forward(x))] * 6)
            return made[0]

    monkeypatch.setattr(company.COMPANY, "there", True)
    monkeypatch.setattr(company.Company, "ENDS", (1e9, 0))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        net = Bands().eval()
        found = tune(net, [X], 0.5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert {choice.layer: choice.calls for choice in found.choices} == dict.fromkeys(convolutions(net), 6)


def test_sizes_near_one_that_was_measured() -> None:
    plan = Plan({(1, 50, 50): "matrix", (4, 50, 50): "onednn"})
    cases = {
        (1, 50, 50): "matrix", (1, 60, 58): "matrix", (1, 45, 40): "matrix", (1, 43, 42): "matrix",
        (1, 41, 42): None, (1, 60, 60): None, (3, 50, 50): "onednn", (1, 100, 100): "onednn", (4, 80, 80): None,
    }  # fmt: skip
    assert {size: plan.get(size) for size in cases} == cases
    assert (plan.get(None), Plan().get((1, 2, 3)), Plan({None: "onednn"}).get((1, 2, 3))) == (None, None, None)
    assert pickle.loads(pickle.dumps(plan)) == copy.deepcopy(plan) == plan
    net = Net()
    apply(net, [Choice("second", SIZE, "onednn", "matrix", {}), Choice("last", SIZE, "matrix", "matrix", {})])
    assert plans(net) == {"first": {}, "second": {SIZE: "matrix"}, "third": {}, "last": {}}
