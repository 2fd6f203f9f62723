"""Calls of emitted code in forms that torch.export traces without a guard on the input's size.

Tracing keeps H and W as symbols. A call whose result depends on a comparison of sizes is then decided by the example
input and holds for its like alone. Emitted code has such calls; each has an equal without a comparison:

- Pooling that rounds up. Its extent is (n + 2·pad - kernel + t) // stride + 1 with a constant t, as the size algebra
  has it, so padding t rows at the end and rounding down gives the same windows.
- A slice ``x[:, :, a : a + n]``, which Python clamps to x. ``narrow`` does not clamp, it only checks.
- Checks, of ``narrow``, of windows that must fit and of sums whose terms must be alike. They hold for every legal size:
  that is what the proof says, and an illegal size is refused by the kernels.

Two more are lost on the way to ONNX: ``divisor_override``, which the converter drops without a word, and the remainder
by a symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class GuardFree(TorchFunctionMode):
    """While active, replaces such calls. Meant for evaluation: the replacements are slower.

    `everywhere`: the traced range holds legal sizes alone. If not, a slice that ends beyond its tensor is refused when
    the program runs, since no kernel would notice.
    """

    def __init__(self, everywhere: bool = True) -> None:
        super().__init__()
        self.everywhere = everywhere

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _PROVED:
            with _unguarded(args):
                return func(*args, **(kwargs or {}))
        if name == "__getitem__":
            return getitem(args[0], args[1], self.everywhere)
        return _REPLACED.get(name, func)(*args, **(kwargs or {}))


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return first, rest[0] if rest else first


def _overhang(kernel: Pair, stride: Pair, pad: Pair, extents: Sequence[Any]) -> tuple[int, int, int, int]:
    """F.pad's argument: how many rows and columns at the end make pooling that rounds down give what rounding up gives.

    PyTorch clips: no window may begin beyond the input and its leading pad.
    """
    most = [min(s - 1, k - p - 1) for k, s, p in zip(kernel, stride, pad, strict=True)]
    h, w = (
        # Rows beyond the last window would be copied for nothing.
        t - (n + 2 * p - k + t) % s if isinstance(n, int) and n + 2 * p + t >= k else t
        for n, k, s, p, t in zip(extents, kernel, stride, pad, most, strict=True)
    )
    return 0, max(w, 0), 0, max(h, 0)


_max_pool2d: Callable[..., Any] = F.max_pool2d  # what it returns depends on an argument


def max_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """F.max_pool2d without ceil_mode."""
    kernel, pad = _pair(kernel_size), _pair(padding)
    steps = _pair(stride or kernel_size)
    if not ceil_mode:
        return _max_pool2d(x, kernel, steps, pad, dilation, False, return_indices)
    assert _pair(dilation) == (1, 1), "Caffe pools without dilation"
    overhang = _overhang(kernel, steps, pad, x.shape[-2:])
    padded = F.pad(x, overhang, value=-torch.inf) if any(overhang) else x
    found = _max_pool2d(padded, kernel, steps, pad, 1, False, return_indices)
    if not return_indices:
        return found
    y, index = found
    # The maximum never lies in the padding, so its place only has to be renumbered.
    return y, index - index // padded.shape[3] * (padded.shape[3] - x.shape[3])


def avg_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """F.avg_pool2d without ceil_mode and divisor_override."""
    kernel, pad = _pair(kernel_size), _pair(padding)
    steps = _pair(stride or kernel_size)
    area = kernel[0] * kernel[1]
    if not ceil_mode:
        y = F.avg_pool2d(x, kernel, steps, pad, False, count_include_pad)
        return y if divisor_override in (None, area) else y * (area / divisor_override)
    assert count_include_pad, "Caffe counts the padding"
    overhang = _overhang(kernel, steps, pad, x.shape[-2:])
    if not any(overhang):
        return avg_pool2d(x, kernel, steps, pad, False, True, divisor_override)
    y = F.avg_pool2d(F.pad(x, overhang), kernel, steps, pad)
    if divisor_override is not None:
        return y if divisor_override == area else y * (area / divisor_override)
    rows, columns = (
        _inside(x.shape[axis], y.shape[axis], *window, x)
        for axis, window in zip((2, 3), zip(kernel, steps, pad, strict=True), strict=True)
    )
    return y * (area / (rows[:, None] * columns))


def _inside(n: int, out: int, kernel: int, stride: int, pad: int, like: Tensor) -> Tensor:
    """For each of `out` windows, how many of its rows lie in the input and its padding."""
    start = torch.arange(out, device=like.device) * stride - pad
    return ((start + kernel).clamp(max=n + pad) - start).to(like.dtype)


def _unguarded(value: Any) -> AbstractContextManager[None]:
    """No comparison of the sizes found in `value` becomes a guard in here: they are proved, or do not matter."""
    symbol = _symbol(value)
    return nullcontext() if symbol is None else symbol.node.shape_env.suppress_guards()


def _symbol(value: Any) -> Any:
    """Some extent of a tensor, among the arguments of a call, that is a symbol."""
    if isinstance(value, torch.SymInt):
        return value
    parts = value.shape if isinstance(value, Tensor) else value if isinstance(value, tuple | list) else ()
    return next((symbol for part in parts if (symbol := _symbol(part)) is not None), None)


def getitem(x: Any, index: Any, everywhere: bool) -> Any:
    """A slice of symbolic length without clamping; all else as it is."""
    if isinstance(x, Tensor) and isinstance(index, tuple) and all(isinstance(part, slice) for part in index):
        for axis, part in enumerate(index):
            if part.step is None and isinstance(part.stop, torch.SymInt):
                start = part.start or 0
                with _unguarded(part.stop if everywhere else None):
                    x = x.narrow(axis, start, part.stop - start)
            elif part == slice(None):
                continue
            elif part.step is None and all(isinstance(n, int) for n in (part.start or 0, part.stop, x.shape[axis])):
                start, stop, _ = part.indices(x.shape[axis])
                x = x.narrow(axis, start, max(stop - start, 0))
            else:
                x = x[(slice(None),) * axis + (part,)]
        return x
    return x[index]


# Calls whose conditions are proved for every exported size: windows fit, what is joined is alike. What they compare
# besides is strides, to choose a memory layout.
_PROVED = frozenset(
    [
        *(f"{name}{rank}" for name in ("conv", "conv_transpose") for rank in ("1d", "2d", "3d")),
        *("add", "add_", "cat", "div", "maximum", "minimum", "mul", "stack", "sub"),
        # What these compare decides between a view and a copy.
        *("contiguous", "flatten", "permute", "reshape", "transpose", "unflatten", "view"),
        *("matmul", "__matmul__", "interpolate"),
    ]
)


def remainder(x: Any, divisor: Any) -> Any:
    """``x % divisor`` by what ONNX has for a symbol."""
    return x - x // divisor * divisor if isinstance(divisor, torch.SymInt) else torch.remainder(x, divisor)


_REPLACED: dict[str, Callable[..., Any]] = {
    "boolean_dispatch": max_pool2d,
    "max_pool2d": max_pool2d,
    "max_pool2d_with_indices": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "remainder": remainder,
}
