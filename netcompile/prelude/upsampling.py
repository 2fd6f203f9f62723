"""Upsampling by layers that leave the zeros of a transposed convolution out."""

import torch
import torch.nn.functional as F
from torch import nn

from netcompile.prelude.inference import eager, is_finite


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d; a call may ask for another padding.

    If `diagonal`, zeros between the channels were left out: there is a group for each.
    """

    def __init__(self, *args, diagonal=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.diagonal = diagonal

    def forward(self, x, padding=None):
        padding = self.padding if padding is None else padding
        x = zeros_between(x) if self.diagonal else x
        window = self.stride, padding, 0, self.groups, self.dilation
        return F.conv_transpose2d(x, self.weight, self.bias, *window)


def bilinear(x, factor, top, left, height, width):
    """A window of `x` enlarged by bilinear interpolation, with zeros around `x`.

    The transposed convolution whose kernel is this interpolation's gives the same.
    """
    y = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=factor, mode="bilinear")
    return y[:, :, top : top + height, left : left + width]


def zeros_between(x):
    """`x`, and NaN where another channel of the pixel is not finite.

    That is what kernels of zeros between the channels make of such a pixel.
    """
    if x.device.type == "cpu" and eager(x) and is_finite(x):
        return x
    lost = torch.isfinite(x).logical_not_()
    return x.masked_fill(lost.sum(1, keepdim=True) > lost, float("nan"))
