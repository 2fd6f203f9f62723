"""What programs do with a module: copies, processes, threads, traces, derivatives, inputs of every make."""

from __future__ import annotations

import copy
import io
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from tests.use.nets import LEVELS, TEXTS, fresh, image

Use = Callable[[nn.Module, torch.Tensor], torch.Tensor]
USES: dict[str, Use] = {}
SIZE = (54, 76)


def use(run: Use) -> Use:
    """The result is to be the one for the image, whatever is done besides."""
    USES[run.__name__] = run
    return run


@pytest.fixture(autouse=True)
def large_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 16 * 64 * 49)
    with torch.no_grad():
        yield


@cache
def expected(kind: str, size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    """What the literal net gives, by itself."""
    return fresh(kind, 0)(image(kind, size, batch))


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@use
def twice(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    first = net(x)
    again = net(x)
    assert torch.equal(first, again)
    return again


@use
def of_another_size_before(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x[:, :, 3:, :-5])
    return net(x)


@use
def not_contiguous(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x.transpose(2, 3).contiguous().transpose(2, 3))


@use
def strided(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    wide = x.new_zeros(1, 6, 2 * x.shape[2], 3 * x.shape[3])
    wide[:, ::2, ::2, ::3] = x
    return net(wide[:, ::2, ::2, ::3])


@use
def channels_last(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x.contiguous(memory_format=torch.channels_last))


@use
def weights_channels_last(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return net.to(memory_format=torch.channels_last)(x)


@use
def expanded(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    found = net(x.expand(3, -1, -1, -1))
    close(found[1:2], found[:1])
    return found[2:]


@use
def flipped(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x.flip(3).contiguous().flip(3))


@use
def one_of_a_batch(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(torch.cat([x * 2, x, -x]))[1:2]


@use
def no_images_before(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x[:0])
    return net(x)


@use
def in_doubles(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return net.double()(x.double()).float()


@use
def an_input_that_wants_a_gradient(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        found = net(x.clone().requires_grad_())
    assert found.requires_grad
    return found.detach()


@use
def in_training_and_back(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    frozen = [m for m in net.modules() if list(m.buffers(recurse=False))]
    net.train()
    for each in frozen:
        each.eval()
    with torch.enable_grad():
        net(x).square().mean().backward()
    net.zero_grad()
    return net.eval()(x)


@use
def in_inference_mode(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        net(x)
    net(x)
    with torch.inference_mode():
        return net(x).clone()


@use
def in_eight_threads(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    sizes = [(54, 76), (54, 76), (49, 53), (44, 60)] * 2
    found: list[torch.Tensor | None] = [None] * len(sizes)

    def run(index: int) -> None:
        with torch.no_grad():
            for _ in range(2):
                found[index] = net(image(kind_of(net), sizes[index]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, size in enumerate(sizes):
        result = found[index]
        assert result is not None
        close(result, expected(kind_of(net), size))
    assert found[0] is not None
    return found[0]


def kind_of(net: nn.Module) -> str:
    return "windowed" if hasattr(net, "f") else "plain"


@use
def copied_deeply(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    copied = copy.deepcopy(net)
    halve(net)
    net(x)
    return copied(x)


@use
def copied_flatly(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    copied = copy.copy(net)
    net(x)
    return copied(x)


@use
def pickled(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    text = pickle.dumps(net)
    assert len(text) < 2.2 * sum(t.nbytes for t in net.state_dict().values()) + 200_000
    again = pickle.loads(text)
    halve(net)
    return again(x)


@use
def saved_whole(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    stored = io.BytesIO()
    torch.save(net, stored)
    stored.seek(0)
    again = torch.load(stored, weights_only=False)
    again(x)
    return again(x)


@use
def state_dict_saved(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    stored = io.BytesIO()
    torch.save(net.state_dict(), stored)
    stored.seek(0)
    halve(net)
    net(x)
    net.load_state_dict(torch.load(stored))
    return net(x)


@use
def replicated(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """As DataParallel does on GPUs: modules whose parameters are plain tensors of their own."""
    net(x)
    replicas = [replica(net), replica(net)]
    for each in replicas[0].modules():
        for tensor in (*each._buffers.values(), *vars(each).values()):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                tensor.mul_(0.5)
    half = replicas[0](x)
    halved = copy.deepcopy(net)
    halve(halved)
    close(half, halved(x))
    return replicas[1](x)


def replica(net: nn.Module) -> nn.Module:
    made = net._replicate_for_data_parallel()
    for name, tensor in net._parameters.items():
        if tensor is None:
            made._parameters[name] = None
        else:
            setattr(made, name, tensor.detach().clone())
    made._buffers = {name: tensor.clone() for name, tensor in net._buffers.items()}
    for name, child in net.named_children():
        made._modules[name] = replica(child)
    return made


@use
def in_a_fork(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before = net(x)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
            child = os.fork()
        if not child:
            same = torch.equal(net(x), before) and torch.equal(copy.deepcopy(net)(x), before)
            os.write(writing, b"1" if same else b"0")
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"1"
        assert os.waitpid(child, 0)[1] == 0
        return net(x)
    finally:
        torch.set_num_threads(threads)


@use
def in_shared_memory(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return net.share_memory()(x)


@use
def hooked(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    seen = []
    net(x)
    handles = [m.register_forward_hook(lambda m, i, o: seen.append(o.shape)) for m in net.children()]
    handles += [m.register_forward_pre_hook(lambda m, i: seen.append(m)) for m in net.children()]
    handles += [m.register_full_backward_hook(lambda m, i, o: seen.append(m)) for m in net.children()]
    handles += [net.register_forward_hook(lambda m, i, o: seen.append(o.shape))]
    found = net(x)
    assert len(seen) == 1 + 2 * len({m for m in seen if isinstance(m, nn.Module)}) > 8
    for handle in handles:
        handle.remove()
    return found


@use
def hooks_that_change_the_result(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Before the first call and after it they have the same effect, and none when they are gone."""
    other = copy.deepcopy(net)
    net(x)
    changed = []
    for each in (net, other):
        handle = each.c1.register_forward_hook(lambda layer, given, made: made * 0.5)
        changed.append(each(x))
        handle.remove()
        each.c1.forward = lambda x, *more, layer=each.c1, **options: type(layer).forward(layer, x, *more, **options) * 2
        changed.append(each(x))
        del each.c1.forward
    for before, after in zip(changed[:2], changed[2:], strict=True):
        close(after, before)
    assert not torch.equal(changed[0], net(x))
    return other(x)


@use
def applied_to(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    net.apply(lambda m: [p.data.mul_(0.5) for p in m.parameters(recurse=False)])
    net(x)
    net.apply(lambda m: [p.data.mul_(2) for p in m.parameters(recurse=False)])
    return net(x)


@use
def with_other_numbers_of_threads(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3, 1):
            torch.set_num_threads(count)
            found = net(x)
    finally:
        torch.set_num_threads(threads)
    return found


@use
def frozen_and_thawed(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net.requires_grad_(False)(x)
    with torch.enable_grad():
        return net.requires_grad_(True)(x).detach()


@use
def quantised_dynamically(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear})(x)


@use
def traced(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return trace(net, x)(x)


@use
def traced_with_weights_changed_after(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net.requires_grad_(False)
    halve(net)
    net(x)
    program = trace(net, x)
    for p in program.parameters():
        p.data.mul_(2)
    for b in program.buffers():
        b.mul_(2) if b.is_floating_point() else None
    return program(x)


@use
def traced_and_saved(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        torch.jit.save(trace(net, x), stored)
        stored.seek(0)
        return torch.jit.load(stored)(x)


def trace(net: nn.Module, x: torch.Tensor) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes are constants
        return torch.jit.trace(net, x, check_trace=False)


@use
def compiled_by_torch(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    torch.compiler.reset()
    return torch.compile(net, backend="eager", fullgraph=True)(x)


@use
def exported(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return torch.export.export(net, (x,), strict=False).module()(x)


@use
def mapped(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    net(x)
    return torch.func.vmap(lambda image: net(image[None])[0])(torch.cat([x, x * 2]))[:1]


@use
def with_other_parameters(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Called with half of the weights, and then with its own."""
    net(x)
    half = {k: v.detach() * 0.5 if v.is_floating_point() else v for k, v in net.state_dict().items()}
    halved = copy.deepcopy(net)
    halve(halved)
    close(torch.func.functional_call(net, half, (x,)), halved(x))
    return net(x)


@use
def with_parameters_mapped(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """An ensemble of two sets of weights."""
    net(x)
    both = {key: torch.stack([value, value * 0.5]) for key, value in net.state_dict().items()}
    call = partial(torch.func.functional_call, net)
    return torch.func.vmap(lambda state: call(state, (x,)))(both)[0]


def halve(net: nn.Module) -> None:
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(0.5)


@pytest.mark.parametrize(("kind", "level"), [("windowed", 0), ("windowed", 1), ("windowed", 2), ("plain", 2)])
@pytest.mark.parametrize("name", USES)
def test_each_use(name: str, kind: str, level: int) -> None:
    if name == "compiled_by_torch" and level < 2:
        pytest.skip("takes long, and is torch's own business: these levels are plain operators")
    net = fresh(kind, level)
    close(USES[name](net, image(kind, SIZE)), expected(kind, SIZE))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("size", [(54, 76), (3, 60), (5, 4)])
def test_no_images(kind: str, level: int, size: tuple[int, int]) -> None:
    net = fresh(kind, level)
    wanted = net(image(kind, size))
    found = net(image(kind, size)[:0])
    assert found.shape == (0, *wanted.shape[1:])
    assert torch.equal(net(image(kind, size)), wanted)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", TEXTS)
def test_no_pixels(kind: str, level: int) -> None:
    net = fresh(kind, level)
    for x in (image(kind)[:, :, :0], image(kind)[..., :0]):
        with pytest.raises(RuntimeError, match=r"zero batch or zero channel|actual input size"):
            net(x)


@pytest.mark.parametrize("level", LEVELS)
def test_small_images(level: int) -> None:
    net = fresh("windowed", level)
    for size in ((1, 1), (3, 70), (90, 2), (16, 17), (23, 24)):
        close(net(image("windowed", size, 2)), expected("windowed", size, 2))


def derivatives(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a sum of squares, by every means that torch has; of the image and of a bias."""
    key, state = "s.bias" if kind_of(net) == "windowed" else "e.bias", dict(net.state_dict())
    bias = state[key]

    def loss(image: torch.Tensor) -> torch.Tensor:
        return net(image).square().sum()

    def by_bias(bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, state | {key: bias}, (x,)).square().sum()

    again = x.clone().requires_grad_()
    with torch.enable_grad():
        (first,) = torch.autograd.grad(loss(again), again, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), again)
    direction = torch.ones_like(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch deprecates and uses
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(net(forward_ad.make_dual(x, direction))).tangent
        found = {"backward": first.detach(), "twice": second, "dual": tangent}
        found["grad"] = torch.func.grad(loss)(x)
        found["jvp"] = torch.func.jvp(net, (x,), (direction,))[1]
        found["by bias"] = torch.func.grad(by_bias)(bias.detach())
    return {name: value.detach() for name, value in found.items()}


@pytest.mark.parametrize("kind", TEXTS)
def test_derivatives(kind: str) -> None:
    x = image(kind, (18, 21)).double()
    wanted = derivatives(fresh(kind, 0).double(), x)
    assert wanted["by bias"].abs().max() > 0
    for level in LEVELS[1:]:
        net = fresh(kind, level).double()
        net(x)
        found = derivatives(net, x)
        for name, value in wanted.items():
            close(found[name], value)


@pytest.mark.parametrize("level", LEVELS)
def test_gradients_add_up(level: int) -> None:
    net, x = fresh("plain", level).train(), image("plain", (44, 50))
    with torch.enable_grad():
        net(x).square().sum().backward()
        once = {key: p.grad.clone() for key, p in net.named_parameters() if p.grad is not None}
        net(x).square().sum().backward()
    assert len(once) == len(list(net.parameters()))
    for key, p in net.named_parameters():
        assert p.grad is not None
        close(p.grad, 2 * once[key], 1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_autocast(level: int) -> None:
    net, x = fresh("plain", level), image("plain", SIZE)
    net(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x)
    close(found.float(), expected("plain", SIZE), 0.1)
    close(net(x), expected("plain", SIZE))


@pytest.mark.parametrize("kind", TEXTS)
def test_fake_tensors_have_the_shape(kind: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    for level in LEVELS:
        net = fresh(kind, level)
        wanted = net(image(kind, SIZE)).shape
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert net(mode.from_tensor(image(kind, SIZE))).shape == wanted
        assert net.to("meta")(image(kind, SIZE).to("meta")).shape == wanted


@pytest.mark.parametrize("level", LEVELS)
def test_symbolic_traces(level: int) -> None:
    net = fresh("plain", level)
    net(image("plain", SIZE))
    close(torch.fx.symbolic_trace(net)(image("plain", SIZE)), expected("plain", SIZE))
