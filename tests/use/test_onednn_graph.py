"""Rows of recorded calls become graphs of oneDNN's, which give the same and hold nothing for longer than the net."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude import onednn_graph, recording
from netcompile.prelude.inference import freeze
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.recording import Recording
from tests.use.nets import fresh, image
from tests.use.test_fusing import Net, Run, deep, numbers, pooled, written_in_between

USES = 10  # of a recording, and then there are graphs


def is_graph(call: Any) -> bool:
    return isinstance(call[0], torch.jit.ScriptFunction)


def slower_without(run: Callable[..., Any], inputs: Any) -> float:
    """What is timed: graphs are faster, on every machine."""
    run(*inputs)
    return 1e-6 * (2 - any(map(is_graph, run.tape.calls))) if isinstance(run, Recording) else 0.0


@pytest.fixture(autouse=True)
def inferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not onednn_serves(torch.float32):
        pytest.skip("this machine's torch has no oneDNN")
    monkeypatch.setattr("netcompile.runtime.company.own_settings", lambda: None)  # however busy the machine is
    monkeypatch.setattr(recording, "seconds", slower_without)
    with torch.no_grad():
        yield


def used(net: Any, times: int) -> list[str]:
    """The calls of a net's recording after so many uses; what is a graph is called so."""
    for seed in range(3 + times):
        net(numbers(seed))
    (found,) = net.passes["recorded"].values()
    assert isinstance(found, Recording)
    return ["graph" if is_graph(call) else str(call[0]).removesuffix(".default") for call in found.tape.calls]


def flat(net: Any, x: Tensor) -> Tensor:
    return net.p(net.a(net.r(x)))  # type: ignore[no-any-return]


def summed(net: Any, x: Tensor) -> Tensor:
    y = net.r(x)
    return net.r(y + net.b(net.p(y))) * 1  # type: ignore[no-any-return]


def summed_later(net: Any, x: Tensor) -> Tensor:
    """What is added is read behind the sum."""
    y = net.r(x)
    z = torch.relu(y + net.b(net.p(y)))
    return net.c(torch.cat([z, net.a(y)], 1)[:, 3:11]) + y  # type: ignore[no-any-return]


def with_another_call(net: Any, x: Tensor) -> Tensor:
    return net.r(torch.tanh(net.p(net.r(x))))  # type: ignore[no-any-return]


def by_name(net: Any, x: Tensor) -> Any:
    y = net.r(x)
    return {"y": y, "z": net.p(y), "sum": (y + net.a(y)).mean((2, 3))}


def scaled(net: Any, x: Tensor) -> Tensor:
    y = torch.addcmul(net.blob, net.p(x), net.blob)
    return net.r(y.clamp_min_(0))  # type: ignore[no-any-return]


def halved(net: Any, x: Tensor) -> Tensor:
    return net.r(F.avg_pool2d(net.p(x), 2))  # type: ignore[no-any-return]


def piled(net: Any, x: Tensor) -> Tensor:
    y = net.r(x)
    return torch.stack([y, net.p(y)]).sum(0)


def changed_as_a_part(net: Any, x: Tensor) -> Tensor:
    y = net.a(net.r(x))
    part = y[:, 2:5]
    y.relu_()
    return net.b(y) + part.sum()  # type: ignore[no-any-return]


def written_outside(net: Any, x: Tensor) -> Tensor:
    y = net.p(net.r(x))
    z = y[:, :, 1:]
    y.exp_()
    return z + 1  # type: ignore[no-any-return]


# The pass, and its calls with graphs; questions are asked of numbers that graphs give.
ASKED = "question"
ROWS: dict[Run, list[str]] = {
    flat: ["graph", ASKED],
    deep: ["graph", ASKED, ASKED],
    pooled: ["graph", ASKED],
    summed: ["graph", ASKED, "aten.mul.Tensor"],
    summed_later: ["graph", ASKED, "aten.add.Tensor", "graph"],
    with_another_call: ["graph", ASKED, "aten.tanh", "graph", ASKED],
    by_name: ["graph", ASKED, "aten.add.Tensor", "aten.mean.dim"],
    scaled: ["graph", ASKED],
    halved: ["graph", ASKED],
    piled: ["graph", ASKED, "as_list", "aten.stack", "aten.sum.dim_IntList"],
    changed_as_a_part: ["graph", ASKED, "aten.relu_", "graph", "aten.sum", "aten.add.Tensor"],
    written_outside: ["graph", ASKED, "aten.exp_", "aten.add.Tensor"],
    written_in_between: ["graph", "aten.mul_.Tensor", "graph"],
}


@pytest.mark.parametrize("run", ROWS, ids=lambda run: run.__name__)
def test_rows_of_calls_become_graphs(run: Run) -> None:
    net: Any = Net(run)
    assert "graph" not in used(net, USES - 1)
    calls = [ASKED if "must_be" in call else call.partition(" at ")[0] for call in used(net, 1)]
    assert [call.removeprefix("<function ") for call in calls] == ROWS[run]
    for seed in range(20, 24):
        x = numbers(seed)
        before = x.clone()
        assert recording.same(net(x), run(net, x))
        assert torch.equal(x, before)
    for large in (1e8, 1e20, 1e35, 3e38, float("inf"), float("nan")):
        x = numbers(9)
        x[0, 3, 2, 2] = large
        found, wanted = net(x), run(net, x)
        for name in found if isinstance(found, dict) else [...]:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-5, equal_nan=True)


# Of a pool: size of the blob, kernel, stride, padding, whether it rounds up; whether it is in a graph.
POOLS = [
    (6, 2, 2, 0, False, True),
    (7, 3, 2, 0, True, True),
    (7, 3, 2, 1, False, True),
    (8, 3, 2, 0, True, True),
    (8, 3, 2, 1, True, True),
    (7, 2, 2, 1, True, False),  # torch leaves out a window behind the blob
    (9, 2, 3, 0, True, False),
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pools_are_in_graphs_where_they_are_the_same(pool: tuple[int, int, int, int, bool, bool]) -> None:
    size, kernel, stride, padding, rounds_up, inside = pool

    def largest(net: Any, x: Tensor) -> Tensor:
        x = F.pad(x, (0, size - x.shape[3], 0, size - x.shape[2]))
        y = F.max_pool2d(net.p(x), kernel, stride, padding, 1, rounds_up)
        return net.r(y)  # type: ignore[no-any-return]

    def mean(net: Any, x: Tensor) -> Tensor:
        x = F.pad(x, (0, size - x.shape[3], 0, size - x.shape[2]))
        counted = net.r(F.avg_pool2d(net.p(x), kernel, stride, padding, rounds_up))
        return counted + net.r(F.avg_pool2d(net.p(x), kernel, stride, padding, rounds_up, False))  # type: ignore[no-any-return]

    for run, is_inside in ((largest, inside), (mean, not rounds_up)):
        net: Any = Net(run)
        assert any("pool" in call for call in used(net, USES)) is not is_inside
        for seed in range(4):
            torch.testing.assert_close(net(numbers(seed)), run(net, numbers(seed)), rtol=0, atol=1e-6)


def test_what_is_slower_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "seconds", lambda run, inputs: -slower_without(run, inputs))
    net: Any = Net(flat)
    assert "graph" not in used(net, USES + 2)
    assert net.a.packed["onednn"][2]


def absent(*arguments: object) -> Any:
    raise AttributeError("_create_graph_by_tracing")


def refused(*arguments: object) -> Any:
    raise RuntimeError("Not supported")


def another_signature() -> Any:
    raise AssertionError


def another_meaning(run: Any, inputs: Any, *more: Any) -> Any:
    graph = torch._C.Graph()
    graph.registerOutput(graph.insertConstant((torch.zeros(1), torch.zeros(1))))  # type: ignore[attr-defined]
    return graph, None


@pytest.mark.parametrize("other", [absent, refused, another_signature, another_meaning], ids=lambda f: f.__name__)
def test_a_torch_that_makes_none_replays_as_before(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C, "_create_graph_by_tracing", other)
    net: Any = Net(flat)
    assert "graph" not in used(net, USES + 2)
    torch.testing.assert_close(net(numbers(1)), flat(net, numbers(1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("before", [False, True])
def test_the_setting_of_torch_stays(before: bool) -> None:
    torch.jit.enable_onednn_fusion(before)
    try:
        assert "graph" in used(Net(flat), USES)
        assert torch.jit.onednn_fusion_enabled() is before  # type: ignore[no-untyped-call]
    finally:
        torch.jit.enable_onednn_fusion(False)


def test_kernels_are_not_kept_twice() -> None:
    net: Any = Net(flat)
    used(net, USES - 1)
    layers = (net.a, net.r, net.p)
    assert all(len(layer.packed["onednn"][2]) == 1 for layer in layers)
    used(net, 1)
    assert not any(layer.packed["onednn"][2] for layer in layers)
    (found,) = net.passes["recorded"].values()
    assert not any(isinstance(x, Tensor) and x.is_mkldnn for x in found.tape.values)


def test_weights_go_with_the_net() -> None:
    """And others that lie where they lay are not taken for them."""
    net: Any = Net(flat)
    assert "graph" in used(net, USES)
    memory = net.a.weight.detach()
    (found,) = net.passes["recorded"].values()
    held = [weakref.ref(x) for x in (found, net.a, net.a.weight, net.r.weight)]
    del net, found
    gc.collect()
    assert [each() for each in held] == [None] * 4
    for factor in (3, 2):
        other: Any = Net(flat)
        other.a.weight = nn.Parameter(memory.mul_(factor), requires_grad=False)
        freeze(other)
        assert "graph" in used(other, USES)
        torch.testing.assert_close(other(numbers(5)), flat(other, numbers(5)), rtol=0, atol=1e-5)
        del other
        gc.collect()


def test_weights_that_are_written_are_seen() -> None:
    net: Any = Net(flat)
    assert "graph" in used(net, USES)
    before = net(numbers(0))
    net.a.weight.mul_(0.5)
    found = net(numbers(0))
    assert not torch.allclose(found, before)
    torch.testing.assert_close(found, flat(net, numbers(0)), rtol=0, atol=1e-6)


def test_in_inference_mode() -> None:
    net: Any = Net(summed)
    with torch.inference_mode():
        assert "graph" in used(net, USES)
        torch.testing.assert_close(net(numbers(5)), summed(net, numbers(5)), rtol=0, atol=1e-6)


def test_threads_at_the_same_time() -> None:
    net: Any = Net(summed)
    used(net, 0)
    wrong = list[int]()

    def many(k: int) -> None:
        with torch.no_grad():
            x = numbers(k)
            wanted = summed(net, x)
            wrong.extend(k for _ in range(10) if not torch.allclose(net(x), wanted, rtol=0, atol=1e-5))

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert "graph" in used(net, 0)


@pytest.mark.parametrize(("milliseconds", "expected"), [(14, True), (16, False)])
def test_graphs_are_for_passes_that_they_shorten(
    milliseconds: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three convolutions save some three tenths of a millisecond: a fiftieth of 15."""

    def takes(run: Callable[..., Any], inputs: Any) -> float:
        return 1e-3 * milliseconds * (1 - 0.02 * any(map(is_graph, run.tape.calls)))

    monkeypatch.setattr(recording, "seconds", takes)
    assert ("graph" in used(Net(flat), USES)) is expected


@pytest.mark.parametrize("kind", ["windowed", "plain"])
def test_emitted_modules_get_graphs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, other = image(kind, (54, 76)), fresh(kind, 2)
    net: Any = fresh(kind, 2)
    freeze(net)
    monkeypatch.setitem(type(net).forward.__globals__, "seconds", lambda run, inputs: 1e-6 * len(run.tape.calls))
    for _ in range(3 + USES):
        net(x)
    (found,) = net.passes["recorded"].values()
    assert any(map(is_graph, found.tape.calls))
    for scale in (0.5, -1.0, 1e30, float("nan")):
        wanted = other(x * scale)
        torch.testing.assert_close(net(x * scale), wanted, rtol=1e-5, atol=1e-5, equal_nan=True)


def drawn(source: random.Random) -> Run:
    """A pass of calls in any order on blobs that were made before, most often on the last one."""
    ways = source.choices(["convolve", "add", "relu", "relu_", "cat", "max", "mean"], [6, 3, 1, 1, 1, 1, 1], k=12)
    steps = [(way, source.choice("abcrp"), min(source.random() * 1.5, 0.99), source.random()) for way in ways]

    def run(net: Any, x: Tensor) -> Any:
        blobs = [net.r(x)]
        for way, layer, first, second in steps:
            y, z = (blobs[int(k * len(blobs))] for k in (first, second))
            if way == "convolve":
                blobs.append(getattr(net, layer)(y))
            elif way == "add":
                blobs.append(y + z)
            elif way == "relu":
                blobs.append(torch.relu(y))
            elif way == "relu_":
                torch.relu_(y)
            elif way == "cat":
                blobs.append(torch.cat([y, z], 1)[:, 3:11])
            else:
                pool: Any = F.max_pool2d if way == "max" else F.avg_pool2d
                blobs.append(pool(y, 3, 1, 1))
        return blobs[-1] + blobs[-2]

    return run


@pytest.mark.parametrize("seed", range(40))
def test_passes_of_any_calls_give_the_same_in_graphs(seed: int) -> None:
    """Graphs may write to what they read: what is read later must not be in them."""
    net: Any = Net(drawn(random.Random(seed)))
    used(net, 1)
    (found,) = net.passes["recorded"].values()
    tape = onednn_graph.with_graphs(found.tape, [numbers(1)], found.places)
    assert tape is not None
    graphs = Recording(found.net, tape, found.result, found.inputs)
    for x in (numbers(1), numbers(2)):
        assert recording.same(graphs(x), found(x))
