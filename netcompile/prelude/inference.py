"""What modules built for inference ask of tensors: whether they changed, and more."""

import math
import threading
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad


class Kept(dict[Any, Any]):
    """What was made from a module's tensors: copies and files of the module lack it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, ()

    def make_room(self, most: int) -> None:
        """Forgets what came first, so that with one more there are `most` at most."""
        for oldest in list(self)[: max(0, len(self) + 1 - most)]:
            self.pop(oldest, None)


def window(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A copy of some rows and columns."""
    return x[:, :, top : top + height, left : left + width].clone()


class Inside(threading.local):
    """Whether this thread is in a pass of a net for which `eager` was answered.

    And whether what it computes is kept, and what writes down the calls of torch that
    it makes, if anything does.
    """

    checked = False
    once = False
    recorder: Any = None


INSIDE = Inside()


def eager(*tensors: Tensor) -> bool:
    """Whether operators run at once, on these tensors' own numbers, in their own type.

    Not where they are observed, nor under autocast: there, operators must be plain
    ones, and nothing may be kept.
    """
    if torch.compiler.is_compiling():
        return False
    if INSIDE.checked:
        return all(is_plain(x) for x in tensors)
    if observed(*tensors):
        return False
    kinds = {"cpu" if x.is_cpu else x.device.type for x in tensors}
    return not any(torch.is_autocast_enabled(kind) for kind in kinds)


def observed(*tensors: Tensor) -> bool:
    """Whether something compiles, traces or transforms what tensors are used for."""
    if torch.compiler.is_compiling():
        return True
    if not all(is_plain(x) for x in tensors):
        return True
    return torch._C._is_tracing() or transformed()


def is_plain(x: Tensor) -> bool:
    """Whether a tensor is one of torch's own, and has numbers."""
    kind = type(x)
    return (kind is Tensor or kind is nn.Parameter) and not x.is_meta


def transformed() -> bool:
    """Whether a transform of torch.func, a forward derivative or a mode is at work."""
    functorch = getattr(torch._C, "_functorch", None)
    level = getattr(functorch, "maybe_current_level", None)
    modes = getattr(torch._C, "_len_torch_dispatch_stack", None)
    return (
        (level is not None and level() is not None)
        or getattr(forward_ad, "_current_level", -1) >= 0
        or (modes is not None and modes() > (INSIDE.recorder is not None))
    )


# Where tensors lie, and the products of their rows with random numbers.
State = tuple[list[Any], Tensor | None]


def state_of(*tensors: Tensor) -> State | None:
    """What tells tensors from what they were: where they lie, and their numbers.

    torch does not count what is written by `.data`, NumPy or another process. So every
    number is read: each row's product with one vector of random numbers must be the
    same, to the bit. None where tensors are observed.
    """
    if observed(*tensors):
        return None
    places = [place_of(t) for t in tensors]
    if any(t.is_cuda for t in tensors) and torch.cuda.is_current_stream_capturing():
        return places, None  # nothing may wait for the GPU
    with torch.no_grad():
        probes = [probe(t) for t in tensors]
        return places, torch.cat(probes) if probes else torch.zeros(1)


def place_of(x: Tensor) -> tuple[int, tuple[int, ...], int]:
    """Where a tensor lies, and how; how often it was written as far as torch counts."""
    return x.data_ptr(), x.stride(), 0 if x.is_inference() else x._version


def is_known(before: State | None, now: State | None) -> bool:
    """Whether tensors in the state `now` are those of one before, if there is any."""
    if before is None or now is None or before[0] != now[0]:
        return False
    return now[1] is None or (before[1] is not None and torch.equal(before[1], now[1]))


def is_usable(state: State | None) -> bool:
    """Whether tensors could be looked at and all numbers are finite.

    What zeros around a blob give is otherwise up to the algorithm.
    """
    return state is not None and (state[1] is None or is_finite(state[1]))


def is_finite(x: Tensor) -> bool:
    """Whether all of a tensor's numbers are finite, and their sum as well."""
    if INSIDE.recorder is not None:
        return bool(INSIDE.recorder.decide(sum_is_finite, x))
    return sum_is_finite(x)


def sum_is_finite(x: Tensor) -> bool:
    return math.isfinite(x.sum().item())


def freeze(net: nn.Module) -> None:
    """Promise that the net's weights are written in no way that torch does not count.

    Then they are not read at every call to see whether they have changed. What is
    written by `.data`, NumPy or another process is not seen any more, nor what is
    written to tensors that were made in inference mode; everything else is. Copies of
    the net, and files, do not have the promise.
    """
    for x in (*net.parameters(), *net.buffers()):
        x.frozen = Kept(place=None)  # type: ignore[attr-defined]
    for module in net.modules():
        if isinstance(vars(module).get("passes"), dict):
            vars(module)["passes"] = Kept(recorded=Kept())


def is_frozen(x: Tensor) -> bool:
    """Whether a tensor was promised not to be written but where torch counts it."""
    known = getattr(x, "frozen", None)
    return isinstance(known, dict) and bool(known)  # read from a file it is empty


def probe(x: Tensor) -> Tensor:
    """What changes with a tensor's numbers: `numbers_of` it, read again or known."""
    known: Kept | None = getattr(x, "frozen", None)
    if not known:
        return numbers_of(x)
    place = place_of(x)
    if known["place"] != place:
        known.update(place=place, numbers=numbers_of(x))
    numbers: Tensor = known["numbers"]
    return numbers


def numbers_of(x: Tensor) -> Tensor:
    """The products of a tensor's rows with a vector of random numbers; a vector itself.

    In type float32 at least.
    """
    if x.dim() == 4 and x.stride(1) == 1 != x.stride(3):  # channels last
        x = x.permute(0, 2, 3, 1)
    x = x.flatten(1) if x.dim() > 1 else x.flatten()
    if x.dtype is not torch.float32:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
    if x.dim() < 2:
        return x.clone()
    return x.mv(random_vector(x.shape[1], x.dtype, x.device))


@cache
def random_vector(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers that are the same whenever they are drawn."""
    source = torch.Generator().manual_seed(length)
    drawn = torch.randn(length, generator=source, dtype=torch.float64, device="cpu")
    return drawn.to(device=device, dtype=dtype)


def is_hooked(*modules: nn.Module) -> bool:
    """Whether hooks, or a function put for `forward`, may change what is made."""
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks:
            return True
        if "forward" in vars(module) or is_hooked(*module.children()):
            return True
    return False


def tensors_of(*modules: nn.Module) -> list[Tensor]:
    """All that modules compute with, what hooks and parametrisations hold as well."""
    found: list[Tensor] = []
    for module in modules:
        found += [x for x in module._parameters.values() if x is not None]
        found += [x for x in module._buffers.values() if x is not None]
        found += [x for x in vars(module).values() if isinstance(x, Tensor)]
        if module._modules:
            found += tensors_of(*module.children())
        if "parametrizations" in module._modules:
            changed = module.get_submodule("parametrizations").named_children()
            found += [getattr(module, name) for name, _ in changed]
    return found
