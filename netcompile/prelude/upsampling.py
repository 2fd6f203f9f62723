"""Upsampling by layers that leave the zeros of a transposed convolution out."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude.inference import eager, is_finite


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d; a call may ask for another padding.

    If `diagonal`, zeros between the channels were left out: there is a group for each.
    """

    def __init__(self, *args: Any, diagonal: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.diagonal = diagonal

    def forward(self, x: Tensor, padding: Any = None) -> Tensor:
        padding = self.padding if padding is None else padding
        x = zeros_between(x) if self.diagonal else x
        window = self.stride, padding, 0, self.groups, self.dilation
        return F.conv_transpose2d(x, self.weight, self.bias, *window)


def bilinear(
    x: Tensor, factor: int, top: int, left: int, height: int, width: int
) -> Tensor:
    """A window of `x` enlarged by bilinear interpolation, with zeros around `x`.

    The transposed convolution whose kernel is this interpolation's gives the same.
    """
    y = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=factor, mode="bilinear")
    return y[:, :, top : top + height, left : left + width]


def zeros_between(x: Tensor) -> Tensor:
    """`x`, and NaN where another channel of the pixel is not finite.

    That is what kernels of zeros between the channels make of such a pixel.
    """
    if x.device.type == "cpu" and eager(x) and is_finite(x):
        return x
    lost = torch.isfinite(x).logical_not_()
    return x.masked_fill(lost.sum(1, keepdim=True) > lost, float("nan"))
