"""Convolutions for inference, with the ReLU behind them."""

import torch
import torch.nn.functional as F
from torch import nn

from netcompile.prelude.inference import version


class Conv2d(nn.Conv2d):
    """nn.Conv2d, and the ReLU behind it if `relu`; a call may ask for another padding.

    For inference on a CPU, oneDNN computes both at once, from weights that are laid out
    for it once: nn.Conv2d does that at every call. Weights of 64 MiB and more have no
    second copy: they are multiplied as the matrix that they are.
    """

    def __init__(self, *args, relu=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu, self.packed, self.packed_from = relu, {}, None

    def forward(self, x, padding=None):
        padding = self.padding if padding is None else (padding, padding)
        recorded = x.requires_grad or self.weight.requires_grad
        if (torch.is_grad_enabled() and recorded) or not self.packs(x):
            window = self.stride, padding, self.dilation, self.groups
            y = F.conv2d(x, self.weight, self.bias, *window)
            return F.relu(y, inplace=True) if self.relu else y
        if self.weight.numel() >= 1 << 24 and self.groups == 1:
            return self.matrix(x, padding)
        return self.onednn(x, padding)

    def packs(self, x):
        """Whether oneDNN's operators are there for `x`, and not under torch.compile."""
        have, state = torch.ops.mkldnn, torch.backends.mkldnn
        if torch.compiler.is_compiling() or x.device.type != "cpu":
            return False
        if (
            not state.is_available()
            or not state.enabled
            or x.dtype != self.weight.dtype
        ):
            return False
        names = ("_convolution_pointwise", "_reorder_convolution_weight")
        names += ("_linear_pointwise", "_reorder_linear_weight")
        if not all(hasattr(have, name) for name in names):
            return False
        if x.dtype == torch.bfloat16:
            return have._is_mkldnn_bf16_supported()
        return x.dtype == torch.float32

    def once(self, way, pack):
        """The weights laid out for a way to convolve; made anew when they change."""
        state = self.weight.data_ptr(), version(self.weight), self.weight.dtype
        if self.packed_from != state:
            self.packed, self.packed_from = {}, state
        if way not in self.packed:
            self.packed[way] = pack(self.weight.detach())
        return self.packed[way]

    def onednn(self, x, padding):
        window = padding, self.stride, self.dilation, self.groups
        pack = torch.ops.mkldnn._reorder_convolution_weight
        weight = self.once("onednn", lambda w: pack(w, *window, list(x.shape)))
        x = x.contiguous(memory_format=torch.channels_last)
        after = "relu" if self.relu else "none", [], ""
        run = torch.ops.mkldnn._convolution_pointwise
        return run(x, weight, self.bias, *window, *after)

    def matrix(self, x, padding):
        """One product: a row of its left factor holds the pixels of one window."""
        sizes = zip(x.shape[2:], self.kernel_size, self.stride, padding, self.dilation)
        h, w = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        if self.kernel_size == self.stride == (1, 1) and tuple(padding) == (0, 0):
            rows = x.flatten(2)
        else:
            window = self.kernel_size, self.dilation, padding, self.stride
            rows = F.unfold(x, *window)
        rows = rows.transpose(1, 2).reshape(len(x) * h * w, -1)
        after = "relu" if self.relu else "none", [], ""
        run = torch.ops.mkldnn._linear_pointwise
        y = run(rows, self.weight.flatten(1), self.bias, *after)
        return y.view(len(x), h, w, -1).permute(0, 3, 1, 2)

    def __getstate__(self):
        """Packed weights are not copied or saved: they are made from the others."""
        return self.__dict__ | {"packed": {}, "packed_from": None}


def multiply(x, weight):
    """The product with the transpose of a matrix, laid out for it or as it is."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
