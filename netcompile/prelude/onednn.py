"""oneDNN's operators for inference, which torch has and does not document."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netcompile.prelude.inference import eager


def onednn_serves(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and enabled, and its operators are as they are known."""
    state: Any = torch.backends.mkldnn
    if not (state.is_available() and bool(state.enabled)):
        return False
    return onednn_as_known(dtype)


def onednn_computes(*tensors: Tensor) -> bool:
    """Whether no derivative is wanted, and oneDNN computes with these: of one type."""
    if not eager(*tensors):
        return False
    recorded, dtype = torch.is_grad_enabled(), tensors[0].dtype
    for t in tensors:
        if t.dtype != dtype or not t.is_cpu or (recorded and t.requires_grad):
            return False
    return onednn_serves(dtype)


@cache
def onednn_as_known(dtype: torch.dtype) -> bool:
    """Tries every operator once, on numbers that any order of sums leaves exact.

    One that is absent, refuses, or has another signature: then none is used.
    """
    window = [1, 1], [1, 1], [1, 1], 1
    x = torch.arange(32, device="cpu").remainder(5).to(dtype).view(1, 2, 4, 4)
    weight = torch.arange(36, device="cpu").remainder(7).to(dtype).view(2, 2, 3, 3)
    rows, matrix = x.view(4, 8), weight.flatten()[:24].view(3, 8)
    try:
        if dtype not in (torch.float32, torch.bfloat16) or (
            dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        ):
            return False
        with torch.no_grad():
            packed = kernels_laid_out(weight, window, x.shape)
            bias = weight[:, 0, 0, 0].contiguous()
            y = convolved(x.to(memory_format=torch.channels_last), packed, bias, window)
            product, back = multiply(rows, matrix), packed.to_dense()
            wanted = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
            exact = (rows.double() @ matrix.double().t()).to(dtype)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    same = torch.equal(product, exact) and torch.equal(back, weight)
    return same and torch.equal(y.contiguous(), wanted.to(dtype))


def convolved(
    x: Tensor, packed: Tensor, bias: Tensor | None, window: tuple[Any, ...]
) -> Tensor:
    """A convolution; its window is padding, stride, dilation and groups.

    Its own ReLU is not used: it makes 0 of NaN.
    """
    run = torch.ops.mkldnn._convolution_pointwise.default
    y: Tensor = run(x, packed, bias, *window, "none", [], "")
    return y


def kernels_laid_out(
    weight: Tensor, window: tuple[Any, ...], shape: tuple[int, ...]
) -> Tensor:
    """Kernels as `convolved` wants them, for inputs of about this shape."""
    pack = torch.ops.mkldnn._reorder_convolution_weight
    packed: Tensor = pack(weight, *window, list(shape))
    return packed


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The product with the transpose of a matrix."""
    run = torch.ops.mkldnn._linear_pointwise.default
    y: Tensor = run(x, weight, bias, "none", [], "")
    return y
