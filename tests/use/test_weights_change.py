"""A module computes with the weights that it has now, in whatever way they came to be what they are."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from tests.use.nets import LEVELS, fresh, image

SIZE = (54, 76)  # large enough for Winograd's algorithm
Way = Callable[[nn.Module], object]
WAYS: dict[str, Way] = {}


def way(change: Way) -> Way:
    WAYS[change.__name__] = change
    return change


@pytest.fixture(autouse=True)
def large_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 16 * 64 * 49)
    with torch.no_grad():
        yield


def learning(kind: str, level: int) -> nn.Module:
    return fresh(kind, level).requires_grad_(True)


def convolutions(net: nn.Module) -> list[nn.Module]:
    return [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight.dim() == 4]


def scaled(net: nn.Module, factor: float = 0.5) -> dict[str, torch.Tensor]:
    """The module's state, every number of it scaled."""
    return {key: value * factor for key, value in net.state_dict().items()}


@way
def in_place(net: nn.Module) -> None:
    for p in net.parameters():
        p.mul_(0.5)


@way
def in_place_by_data(net: nn.Module) -> None:
    for p in net.parameters():
        p.data.mul_(0.5)


@way
def data_assigned(net: nn.Module) -> None:
    for p in net.parameters():
        p.data = p.data * 0.5


@way
def through_numpy(net: nn.Module) -> None:
    for p in net.parameters():
        p.detach().numpy()[...] *= 0.5


@way
def through_dlpack(net: nn.Module) -> None:
    for p in net.parameters():
        np.from_dlpack(p.detach())  # type: ignore[arg-type]
        torch.from_dlpack(p.detach()).data.mul_(0.5)


@way
def through_the_storage(net: nn.Module) -> None:
    for p in net.parameters():
        torch.frombuffer(memoryview(p.detach().numpy()), dtype=p.dtype).mul_(0.5)


@way
def set_to_another_tensor(net: nn.Module) -> None:
    for p in net.parameters():
        p.set_(p.detach() * 0.5)


@way
def new_parameters(net: nn.Module) -> None:
    for layer in net.modules():
        for name, p in list(layer.named_parameters(recurse=False)):
            setattr(layer, name, nn.Parameter(p.detach() * 0.5))


@way
def a_layer_of_another_module(net: nn.Module) -> None:
    other = copy.deepcopy(net)
    in_place(other)
    net.c1, net.c2 = other.c1, other.c2


@way
def one_number_by_data(net: nn.Module) -> None:
    net.c2.weight.data.view(-1)[1234] += 0.5


@way
def one_small_change_by_data(net: nn.Module) -> None:
    net.c1.weight.data[5, 1, 2, 0] *= 1.01


@way
def permuted(net: nn.Module) -> None:
    for layer in convolutions(net):
        layer.weight.data.copy_(layer.weight.data.flip(1).clone())


@way
def outputs_permuted(net: nn.Module) -> None:
    net.c1.weight.data.copy_(net.c1.weight.data.roll(1, 0))


@way
def read_in_another_order(net: nn.Module) -> None:
    """The same numbers at the same place: a view with other strides."""
    for layer in convolutions(net):
        outputs, inputs, height, width = layer.weight.shape
        layer.weight.data = layer.weight.data.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


@way
def negated(net: nn.Module) -> None:
    net.c2.weight.data.neg_()


@way
def biases_alone(net: nn.Module) -> None:
    net.c1.bias.data.add_(0.5)


@way
def state_dict_loaded(net: nn.Module) -> None:
    net.load_state_dict(scaled(net))


@way
def state_dict_assigned(net: nn.Module) -> None:
    net.load_state_dict(scaled(net), assign=True)


@way
def part_of_a_state_dict(net: nn.Module) -> None:
    net.load_state_dict({"c1.weight": net.c1.weight * 2}, strict=False)


@way
def swapped_on_loading(net: nn.Module) -> None:
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.load_state_dict(scaled(net))
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@way
def swapped(net: nn.Module) -> None:
    for p in net.parameters():
        torch.utils.swap_tensors(p, nn.Parameter(p.detach() * 0.5))


@way
def from_a_vector(net: nn.Module) -> None:
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(vector * 0.5, net.parameters())


@way
def averaged(net: nn.Module) -> None:
    """An exponential average, swapped in as training code does."""
    other = copy.deepcopy(net)
    in_place(other)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    average.update_parameters(net)
    average.update_parameters(other)
    for p, q in zip(net.parameters(), average.module.parameters(), strict=True):
        p.data.copy_(q.data)


def stepped(net: nn.Module, kind: type[torch.optim.Optimizer], **options: object) -> None:
    optimiser = kind(net.parameters(), **options)
    generator = torch.Generator().manual_seed(3)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    optimiser.step()


@way
def sgd(net: nn.Module) -> None:
    stepped(net, torch.optim.SGD, lr=0.01)


@way
def sgd_fused(net: nn.Module) -> None:
    stepped(net, torch.optim.SGD, lr=0.01, fused=True)


@way
def adam(net: nn.Module) -> None:
    stepped(net, torch.optim.Adam, lr=0.01)


@way
def adam_foreach(net: nn.Module) -> None:
    stepped(net, torch.optim.Adam, lr=0.01, foreach=True)


@way
def adam_fused(net: nn.Module) -> None:
    stepped(net, torch.optim.Adam, lr=0.01, fused=True)


@way
def weight_norm(net: nn.Module) -> None:
    for layer in convolutions(net):
        parametrizations.weight_norm(layer)
        layer.parametrizations.weight.original0.data.mul_(0.5)


@way
def spectral_norm(net: nn.Module) -> None:
    torch.manual_seed(3)
    for layer in convolutions(net):
        parametrizations.spectral_norm(layer).eval()


@way
def old_weight_norm(net: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layer in (*convolutions(net), net.up1):
            nn.utils.weight_norm(layer)
            layer.weight_g.data.mul_(0.5)


@way
def old_spectral_norm(net: nn.Module) -> None:
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layer in convolutions(net):
            nn.utils.spectral_norm(layer)


@way
def pruned(net: nn.Module) -> None:
    for layer in (*convolutions(net), net.up1):
        prune.l1_unstructured(layer, "weight", 0.5)


@way
def pruned_for_good(net: nn.Module) -> None:
    pruned(net)
    for layer in (*convolutions(net), net.up1):
        prune.remove(layer, "weight")


class Factor(nn.Module):
    """A parametrisation whose factor is a number that torch does not know of."""

    factor = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@way
def parametrised_by_a_number(net: nn.Module) -> None:
    for layer in (*convolutions(net), net.up1):
        parametrize.register_parametrization(layer, "weight", Factor())
    net(image("windowed", SIZE))
    for each in net.modules():
        if isinstance(each, Factor):
            each.factor = 0.5


@way
def by_another_process(net: nn.Module) -> None:
    net.share_memory()
    views = [p.detach().numpy() for p in net.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if not child:
        for view in views:
            view *= 0.5
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@way
def to_another_type_and_back(net: nn.Module) -> None:
    net.half().float()
    net.bfloat16().float()
    net.double()
    in_place_by_data(net)
    net.float()


@way
def to_meta_and_back(net: nn.Module) -> None:
    given = scaled(net)
    net.to("meta").to_empty(device="cpu")
    net.load_state_dict(given)


@way
def in_inference_mode(net: nn.Module) -> None:
    with torch.inference_mode():
        net(image("windowed", SIZE))
        in_place(net)


@way
def after_training(net: nn.Module) -> None:
    with torch.enable_grad():
        optimiser = torch.optim.SGD(net.train().parameters(), lr=1e-3)
        net(image("windowed", (40, 33))).square().mean().backward()
        optimiser.step()
    net.eval()


@way
def not_finite_and_back(net: nn.Module) -> None:
    before = net.c2.weight.detach().clone()
    net.c2.weight.data[3, 2, 1, 1] = float("nan")
    assert net(image("windowed", SIZE)).isnan().any()
    net.c2.weight.data.copy_(before * 0.5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", WAYS)
def test_each_way(name: str, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = learning("windowed", level), image("windowed", SIZE)
    before = net(x)
    WAYS[name](net)
    found = net(x)
    assert not torch.equal(found, before)
    copied = copy.deepcopy(net) if parametrised(net) else learning("windowed", level)
    if not parametrised(net):
        copied.load_state_dict(net.state_dict())
    with monkeypatch.context() as plain:
        plain.setattr(torch.backends.mkldnn, "is_available", lambda: False)  # the module's own operators, not oneDNN's
        wanted = copied(x)
    close(found, wanted, 1e-4 if "norm" in name else 1e-5)


def parametrised(net: nn.Module) -> bool:
    """Whether the module has other parameters than a new one."""
    return any(parametrize.is_parametrized(m) or m._forward_pre_hooks for m in net.modules())


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()
