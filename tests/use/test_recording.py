"""Passes of a frozen net are made again call by call: what comes out is the same, and every change is seen."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from netcompile.prelude import recording
from netcompile.prelude.inference import INSIDE, Kept, freeze
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.recording import Recording, computed_once, replayed
from netcompile.prelude.workers import shared_out
from netcompile.runtime.tuning import Plan
from tests.use.nets import fresh, image

SIZE = (54, 76)
KINDS = ("windowed", "plain")
RECORDED = 3  # the first pass that is


@pytest.fixture(autouse=True)
def inferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 16 * 64 * 49)
    monkeypatch.setattr("netcompile.runtime.company.own_settings", lambda: None)  # however busy the machine is
    with torch.no_grad():
        yield


def known(net: Any) -> list[Any]:
    """What is known of the passes that were made."""
    return list(net.passes["recorded"].values())


def is_recorded(net: Any) -> bool:
    return [type(each).__name__ for each in known(net)] == ["Recording"]


def recorded(kind: str, x: Tensor) -> Any:
    """A net whose pass for an image is recorded."""
    net: Any = fresh(kind, 2)
    freeze(net)
    for at in range(RECORDED):
        assert not at or known(net) == [at]
        net(x)
    assert is_recorded(net)
    return net


def calls_of(net: Any, x: Tensor) -> list[str]:
    """The calls of torch that a pass makes, whoever asks for them."""

    class Listed(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found.append(str(func))
            return func(*args, **(kwargs or {}))

    found = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)  # nobody observes
        with Listed():
            net(x)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_comes_out(kind: str) -> None:
    net, other = recorded(kind, image(kind, SIZE)), fresh(kind, 2)
    freeze(other)
    for seed in range(3):
        x = image(kind, SIZE) * (seed - 1.5)
        found = net(x)
        other.passes = Kept()  # nothing is recorded
        torch.testing.assert_close(found, other(x), rtol=0, atol=1e-6)
    assert is_recorded(net)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_calls_are_made(kind: str) -> None:
    """The convolutions are the same, and ReLUs and sums are in them."""
    x = image(kind, SIZE)
    net, other = recorded(kind, x), fresh(kind, 2)
    freeze(other)
    for _ in range(2):
        other(x)
    other.passes = Kept()
    again, plain = calls_of(net, x), calls_of(other, x)
    if not onednn_serves(torch.float32):
        pytest.skip("this machine's torch has no oneDNN")
    assert 10 < len(again) <= len(plain)
    convolved = [[call for call in calls if "convolution" in call] for calls in (again, plain)]
    assert len(convolved[0]) == len(convolved[1]) > 2
    assert again.count("aten.clamp_min_.default") < plain.count("aten.clamp_min_.default")
    assert again.count("aten.linalg_vector_norm.default") in (1, 2)  # what is asked of numbers


def test_without_the_promise_nothing_is_recorded() -> None:
    net, x = fresh("plain", 2), image("plain", SIZE)
    for _ in range(4):
        net(x)
    assert not net.passes
    freeze(net)
    for name, p in [*net.named_parameters()]:
        owner, _, own = name.rpartition(".")
        setattr(net.get_submodule(owner), own, nn.Parameter(p.clone(), requires_grad=False))
    for _ in range(4):
        net(x)
    assert known(net) == [None]  # these weights were promised nothing


def test_each_case_is_recorded_by_itself_and_few_are_kept() -> None:
    net = recorded("plain", image("plain", SIZE))
    for height in range(40, 49):
        x = image("plain", (height, 40))
        for _ in range(RECORDED):
            net(x)
    assert [type(each).__name__ for each in known(net)] == ["Recording"] * 8
    laid = image("plain", (48, 40)).to(memory_format=torch.channels_last)
    net(laid)
    assert known(net)[-1] == 1
    torch.set_num_threads(torch.get_num_threads() + 1)
    try:
        net(laid)
        assert known(net)[-1] == 1
    finally:
        torch.set_num_threads(torch.get_num_threads() - 1)
    with torch.inference_mode():
        net(laid)
        assert known(net)[-1] == 1


def hooked(net: nn.Module) -> None:
    net.get_submodule("c2").register_forward_hook(lambda module, inputs, output: output * 0.5)


def hooked_before(net: nn.Module) -> None:
    net.get_submodule("c2").register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0.5,))


def another_forward(net: Any) -> None:
    own = net.c2.forward
    net.c2.forward = lambda x, *more: own(x, *more) * 0.5


def another_child(net: Any) -> None:
    net.c2 = nn.Sequential(net.c2, nn.Hardtanh(0, 0.1))


def another_class(net: Any) -> None:
    class Halved(type(net.c2)):  # type: ignore[misc]
        def forward(self, *inputs: Tensor) -> Any:
            return super().forward(*inputs) * 0.5

    net.c2.__class__ = Halved


def no_relu(net: Any) -> None:
    net.c2.relu = False


def parametrised(net: Any) -> None:
    torch.nn.utils.parametrize.register_parametrization(net.c2, "weight", Halving())


class Halving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


CHANGES = (hooked, hooked_before, another_forward, another_child, another_class, no_relu, parametrised)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_of_the_net_is_seen(change: Callable[[Any], None]) -> None:
    x = image("plain", SIZE)
    net, other = recorded("plain", x), fresh("plain", 2)
    before = net(x)
    for each in (net, other):
        change(each)
    for _ in range(4):
        found = net(x)
        torch.testing.assert_close(found, other(x), rtol=0, atol=1e-5)
        assert not torch.allclose(found, before, rtol=0, atol=1e-4)


def test_another_plan_is_seen() -> None:
    x = image("plain", SIZE)
    net = recorded("plain", x)
    ways = net.c2.ways(net.c1(x).shape[:1] + net.c1(x).shape[2:], x.dtype, (1, 1))
    before = calls_of(net, x)
    net.c2.plan = Plan({None: ways[-1]})
    assert calls_of(net, x) != before


def test_a_hook_on_all_modules_is_seen() -> None:
    x, seen = image("plain", SIZE), list[str]()
    net = recorded("plain", x)
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module).__name__))
    try:
        net(x)
    finally:
        handle.remove()
    assert seen.count("Conv2d") > 2


@pytest.mark.parametrize("kind", KINDS)
def test_circumstances_are_asked_of_each_time(kind: str) -> None:
    x = image(kind, SIZE)
    net = recorded(kind, x)
    wanted = net(x)
    with torch.enable_grad():
        net.train()
        assert net(x).requires_grad
        net.eval()
        assert net(x.clone().requires_grad_()).requires_grad
    torch.testing.assert_close(torch.func.vmap(net)(x[None])[0], wanted, rtol=0, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        net(x)
    with pytest.raises(RuntimeError):
        net(x.double())
    torch._C._set_mkldnn_enabled(False)  # its own way to do so warns
    try:
        assert not any(call.startswith("mkldnn") for call in calls_of(net, x))
    finally:
        torch._C._set_mkldnn_enabled(True)
    for _ in range(RECORDED):  # it was in training meanwhile
        torch.testing.assert_close(net(x), wanted, rtol=0, atol=1e-6)
    assert known(net)[0].net.is_unchanged()


def test_a_busy_machine_shares_out_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    x = image("plain", SIZE)
    net = recorded("plain", x)
    asked = list[float]()

    def part_count(work: float) -> int:
        asked.append(work)
        return 2

    monkeypatch.setitem(type(net).forward.__globals__, "part_count", part_count)
    wanted = fresh("plain", 2)(x)
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=1e-5)
    assert len(asked) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_not_finite_go_their_own_way(kind: str) -> None:
    x = image(kind, SIZE)
    net, plain = recorded(kind, x), fresh(kind, 0)
    for number in (float("nan"), float("inf")):
        x[0, 1, 20, 30] = number
        found, wanted = net(x), plain(x)
        assert torch.equal(found.isnan(), wanted.isnan())
        assert wanted.isnan().any()
    x = image(kind, SIZE) * 1e37  # with them, sums overflow
    assert torch.equal(net(x).isfinite(), plain(x).isfinite())
    assert is_recorded(net)


def test_an_image_of_one_colour_is_not_recorded() -> None:
    """It would not tell whether something that was made from it is taken for the net's own."""
    net: Any = fresh("plain", 2)
    freeze(net)
    x = image("plain", SIZE)
    for _ in range(5):
        net(torch.full_like(x, 7.0))
    assert known(net) == [2]
    net(x)
    assert is_recorded(net)


def test_long_passes_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    net: Any = fresh("plain", 2)
    freeze(net)
    seconds = iter(range(100))
    monkeypatch.setattr("time.thread_time", lambda: next(seconds))
    for _ in range(4):
        net(image("plain", SIZE))
    assert known(net) == [None]


def test_copies_record_nothing_until_they_are_frozen() -> None:
    x = image("plain", SIZE)
    net = recorded("plain", x)
    other = copy.deepcopy(net)
    assert not other.passes
    freeze(other)
    for _ in range(RECORDED):
        assert torch.equal(other(x), net(x))
    assert is_recorded(other)


def test_threads_replay_at_the_same_time() -> None:
    images = [image("plain", SIZE) * (k + 1) for k in range(4)]
    net = recorded("plain", images[0])
    wanted = [net(x) for x in images]
    wrong = list[int]()

    def many(k: int) -> None:
        with torch.no_grad():
            wrong.extend(k for _ in range(5) if not torch.allclose(net(images[k]), wanted[k], rtol=0, atol=1e-5))

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_of_a_recording_stays_with_tensors() -> None:
    x = image("plain", SIZE)
    net = recorded("plain", x)
    for each in (x, net(x), *net.parameters(), *net.buffers()):
        assert "recorded" not in vars(each)
    assert INSIDE.recorder is None


class Small(nn.Module):
    """A net whose pass is a function of its own."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4), requires_grad=False)
        self.run, self.passes = run, Kept()
        freeze(self)

    def forward(self, *inputs: Tensor) -> Any:
        with shared_out(inputs[0]):
            return replayed(self, self.compute, *inputs)

    def compute(self, *inputs: Tensor) -> Any:
        return self.run(self, *inputs)


def numbers(seed: int, *size: int) -> Tensor:
    return torch.randn(*(size or (4, 4)), generator=torch.Generator().manual_seed(seed))


def counting(net: Any, x: Tensor) -> Tensor:
    return x + float(net.weight.add_(1)[0, 0])


def branching(net: Any, x: Tensor) -> Tensor:
    return x * 2 if x[0, 0] > 0 else x


def listing(net: Any, x: Tensor) -> Tensor:
    return x + x[0].tolist()[0]


def selecting(net: Any, x: Tensor) -> Tensor:
    return x[x > 0].sum() + x


def past_torch(net: Any, x: Tensor) -> Tensor:
    return x + torch.from_numpy(x.numpy() * 2)


def drawing(net: Any, x: Tensor) -> Tensor:
    return x + torch.rand(4, 4)


def its_own_weight(net: Any, x: Tensor) -> Tensor:
    return net.weight  # type: ignore[no-any-return]


def equal_or_not(net: Any, x: Tensor) -> Tensor:
    return x * 2 if torch.equal(x, net.weight) else x


def with_state(net: Any, x: Tensor) -> Tensor:
    net.count = getattr(net, "count", 0) + 1
    return x * net.count  # type: ignore[no-any-return]


NOT_RECORDED = (
    counting,
    branching,
    listing,
    selecting,
    past_torch,
    drawing,
    its_own_weight,
    equal_or_not,
    with_state,
)


@pytest.mark.parametrize("run", NOT_RECORDED, ids=lambda run: run.__name__)
def test_what_more_than_calls_decides_is_made_as_ever(run: Callable[..., Any]) -> None:
    net = Small(run)
    for seed in range(6):
        net(numbers(seed))
    assert not any(isinstance(each, Recording) and each.net.is_unchanged() for each in known(net))


def in_place(net: Any, x: Tensor) -> Tensor:
    y = torch.mm(x, net.weight)
    y[1:3].clamp_min_(0)
    y[:, [0, 2]] = y[:, [2, 0]]
    return y.add_(x)


def by_lists(net: Any, x: Tensor) -> Any:
    parts = torch.cat([x, net.weight, x.flip(0)]).split(3)
    return {"first": parts[0], "sorted": parts[1].sort(1)[0], "all": torch.stack(parts)}


def into_another(net: Any, x: Tensor) -> Tensor:
    made = torch.empty(4, 4)
    torch.add(x, net.weight, out=made)
    return made.t()


def of_its_data(net: Any, x: Tensor) -> Tensor:
    return x + (x * 2).data.clone()


def of_two(net: Any, x: Tensor, y: Tensor) -> Tensor:
    with computed_once():
        weight = net.weight.exp()
    return torch.where(x > y, x @ weight, y.clone())


@pytest.mark.parametrize("run", [in_place, by_lists, into_another, of_two, of_its_data], ids=lambda run: run.__name__)
def test_all_manners_of_calls(run: Callable[..., Any]) -> None:
    net, count = Small(run), run.__code__.co_argcount - 1
    for seed in range(6):
        x = [numbers(seed + 10 * k) for k in range(count)]
        found, wanted = net(*x), run(net, *x)
        assert recording.same(found, wanted)
    assert isinstance(known(net)[0], Recording)


def test_what_is_not_needed_any_more_is_forgotten() -> None:
    """As few large tensors at a time as in the pass itself."""

    def run(net: Any, x: Tensor) -> Tensor:
        for _ in range(6):
            x = x + 1
        return x

    net = Small(run)
    for seed in range(RECORDED):
        net(numbers(seed))
    found: Recording = known(net)[0]
    held = [0]
    alive = set[int]()
    for _, _, _, made, done in found.tape.calls:
        alive |= {made}
        held.append(len(alive))
        alive -= set(done)
    assert max(held) == 2
    assert len(alive) == 1


def test_an_input_given_twice_is_not_taken_for_two() -> None:
    net, x, y = Small(of_two), numbers(0), numbers(1)
    for _ in range(4):
        net(x, x)
    assert isinstance(known(net)[0], Recording)
    assert torch.equal(net(x, y), of_two(net, x, y))
    net = Small(in_place)
    for _ in range(4):
        net(net.weight.data)
    assert isinstance(known(net)[0], Recording)
    assert torch.equal(net(x), in_place(net, x))


def test_numbers_that_a_pass_refuses_are_not_shown_to_it_twice() -> None:
    """A pass is recorded for the same numbers in another order: it may not be made for that."""

    def run(net: Any, x: Tensor) -> Tensor:
        if x.flatten()[0] != 1:
            raise ValueError("the first is 1")
        return x

    net, x = Small(run), torch.arange(1.0, 17).view(4, 4)
    for _ in range(4):
        assert torch.equal(net(x), x)
    assert known(net) == [None]
