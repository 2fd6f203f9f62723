"""Indices beside numbers: what index_tops of layers become."""

import torch
from torch import Tensor


def as_numbers(index: Tensor, like: Tensor) -> Tensor:
    """Indices as numbers of the net's type, but never of one that would round them."""
    return index.to(torch.promote_types(like.dtype, torch.float32))
