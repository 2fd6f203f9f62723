"""The largest along an axis."""

import torch
from torch import Tensor


def largest(x: Tensor, dim: int, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k largest along an axis and their indices; of equals the last is first."""
    x = x.flip(dim)
    if k == 1:
        value, index = x.max(dim, keepdim=True)
    else:
        value, index = x.sort(dim=dim, descending=True, stable=True)
        value, index = value.narrow(dim, 0, k), index.narrow(dim, 0, k)
    return value, x.shape[dim] - 1 - index


def with_indices(value: Tensor, index: Tensor) -> Tensor:
    """Indices and values in two channels, of a type that does not round the former."""
    wide = torch.promote_types(value.dtype, torch.float32)
    return torch.stack((index.to(wide), value.to(wide)), dim=1)
