"""A net whose weights are promised to stay reads them once, and else computes as it did."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from netcompile.prelude import inference
from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.inference import freeze, is_frozen
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.winograd import Winograd
from netcompile.prelude.workers import shared_out
from netcompile.runtime.tuning import Plan
from tests.use.nets import fresh, image

SIZE = (54, 76)  # large enough for Winograd's algorithm
Change = Callable[[nn.Module], object]


@pytest.fixture(autouse=True)
def inferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 16 * 64 * 49)
    with torch.no_grad():
        yield


def frozen(kind: str) -> nn.Module:
    net = fresh(kind, 2)
    freeze(net)
    return net


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", ["windowed", "plain"])
def test_it_gives_what_it_gave(kind: str) -> None:
    net, other = frozen(kind), fresh(kind, 1)
    for size in (SIZE, (62, 70), SIZE, SIZE):
        for batch in (1, 2, 1):
            close(net(image(kind, size, batch)), other(image(kind, size, batch)))


@pytest.mark.parametrize("kind", ["windowed", "plain"])
def test_weights_are_read_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, read = frozen(kind), image(kind, SIZE), list[torch.Tensor]()
    real = inference.numbers_of

    def counted(x: torch.Tensor) -> torch.Tensor:
        read.append(x)
        return real(x)

    monkeypatch.setitem(type(net).forward.__globals__, "numbers_of", counted)
    net(x)
    first = len(read)
    net(x)
    net(image(kind, SIZE, 2))
    if onednn_serves(torch.float32):
        assert len(read) == first > 0


def in_place(net: nn.Module) -> None:
    for p in net.parameters():
        p.mul_(0.5)


def loaded(net: nn.Module) -> None:
    net.load_state_dict({key: value * 0.5 for key, value in net.state_dict().items()})


def assigned(net: nn.Module) -> None:
    net.load_state_dict({key: value * 0.5 for key, value in net.state_dict().items()}, assign=True)


def new_parameters(net: nn.Module) -> None:
    for module in net.modules():
        for name, p in list(module._parameters.items()):
            if p is not None:
                setattr(module, name, nn.Parameter(p * 0.5, requires_grad=False))


def other_storage(net: nn.Module) -> None:
    for p in net.parameters():
        p.data = p.data * 0.5


def learned(net: nn.Module) -> None:
    for p in net.parameters():
        p.grad = p * 0.5
    torch.optim.SGD(net.parameters(), 1.0).step()


CHANGES: tuple[Change, ...] = (in_place, loaded, assigned, new_parameters, other_storage, learned)


@pytest.mark.parametrize("passes", [2, 4])  # the third one is recorded
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kind", ["windowed", "plain"])
def test_what_torch_counts_is_seen(kind: str, change: Change, passes: int) -> None:
    net, other, x = frozen(kind), fresh(kind, 2), image(kind, SIZE)
    for _ in range(passes):
        net(x)
    change(net)
    in_place(other)  # which is not frozen
    for _ in range(4):
        close(net(x), other(x))


def test_copies_and_files_have_no_promise() -> None:
    net, x = frozen("windowed"), image("windowed", SIZE)
    wanted = net(x)
    other = copy.deepcopy(net)
    assert not any(is_frozen(p) for p in other.parameters())
    close(other(x), wanted)
    layer = layers()[0]
    freeze(layer)
    read = pickle.loads(pickle.dumps(layer))
    assert [is_frozen(p) for p in read.parameters()] == [False, False]
    again = fresh("windowed", 2)
    again.load_state_dict(net.state_dict())
    assert not any(is_frozen(p) for p in again.parameters())


@pytest.mark.parametrize("kind", ["windowed", "plain"])
def test_it_is_one_graph_for_the_compiler(kind: str) -> None:
    net, x = frozen(kind), image(kind, SIZE)
    wanted = [net(x) for _ in range(2)][-1]
    torch._dynamo.reset()
    close(torch.compile(net, fullgraph=True, backend="eager")(x), wanted)


def layers() -> list[nn.Module]:
    torch.manual_seed(1)
    return [
        Conv2d(16, 24, 3, padding=1, relu=True),
        Conv2d(16, 24, 1, relu=True),
        Conv2d(16, 8, 1, stride=2, bias=False),
        Conv2d(16, 8, 3, stride=2, dilation=2, groups=4),
        Winograd(16, 16, 3, padding=1, relu=True),
    ]


def plain(layer: Any, x: torch.Tensor) -> torch.Tensor:
    window = layer.stride, layer.padding, layer.dilation, layer.groups
    y = nn.functional.conv2d(x, layer.weight, layer.bias, *window)
    return y.relu() if layer.relu else y


@pytest.mark.parametrize("index", range(5))
def test_a_layer_in_every_circumstance(index: int) -> None:
    """What computed before is asked for each time whether it may compute now."""
    layer: Any = layers()[index]
    freeze(layer)
    x = torch.randn(2, 16, 12, 14)
    for laid in (x, x.to(memory_format=torch.channels_last), x[:, :, 1:], x.transpose(2, 3), x[:1], x.double()):
        for _ in range(2):
            if laid.dtype == layer.weight.dtype:
                close(layer(laid), plain(layer, laid))
            else:
                with pytest.raises(RuntimeError):
                    layer(laid)
    with torch.enable_grad():
        assert layer(x.requires_grad_()).requires_grad
        x.requires_grad_(False)
        assert layer(x).requires_grad  # its weights want a gradient
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    close(torch.func.vmap(layer)(x[:, None])[:, 0], plain(layer, x))
    with torch.inference_mode():
        close(layer(x), plain(layer, x))
    torch._C._set_mkldnn_enabled(False)  # its own way to do so warns
    try:
        close(layer(x), plain(layer, x))
    finally:
        torch._C._set_mkldnn_enabled(True)
    layer.plan = Plan({None: "onednn"})
    close(layer(x), plain(layer, x))
    layer.stride = (2, 2)
    close(layer(x), plain(layer, x))
    layer.relu = not layer.relu
    close(layer(x), plain(layer, x))
    layer.weight[0] = float("nan")
    assert layer(x)[:, 0].isnan().all()


def test_the_promise_holds_in_a_pass_of_each_thread_alone() -> None:
    """Where one thread is in a pass, another is asked whether operators run at once."""
    x = torch.randn(1, 3, 4, 4)
    with shared_out(x):
        assert inference.INSIDE.checked
        found = list[bool]()
        thread = threading.Thread(target=lambda: found.append(inference.INSIDE.checked))
        thread.start()
        thread.join()
        assert found == [False]
    assert not inference.INSIDE.checked
    with pytest.raises(ValueError, match="within"), shared_out(x):
        raise ValueError("within")
    assert not inference.INSIDE.checked
