"""A convolution with what was folded into it, and the class that runs it in emitted code.

The private operators of PyTorch that run oneDNN on weights packed once are used in `CONV2D` alone, and only where
they are there: otherwise it is F.conv2d.
"""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.base import BlobSpec, Emission, Emitted, Shape, call, literal
from netcompile.layers.convolution import Convolution, Extents


@dataclass(frozen=True)
class FusedConvolution(Convolution):
    """A two-dimensional convolution, a ReLU behind it if `relu`; `weight` and `shift` are recipes if layers were folded in.

    `own_pad` is the padding that the layer has in the file; `pad` is 0 where it computes a window.
    """

    relu: bool = False
    own_pad: Extents = (0,)
    weight: Recipe | None = None
    shift: Recipe | None = None

    @staticmethod
    def of(layer: Convolution) -> FusedConvolution:
        if isinstance(layer, FusedConvolution):
            return layer
        return FusedConvolution(
            layer.outputs,
            layer.kernel,
            layer.stride,
            layer.pad,
            layer.dilation,
            layer.group,
            layer.bias,
            layer.axis,
            layer.weight_filler,
            layer.bias_filler,
            own_pad=layer.pad,
        )

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return super().blobs(*bottoms)

    def recipes(self, e: Emission) -> tuple[Recipe, Recipe | None]:
        """How weight and bias are made."""
        weight = e.take(0) if self.weight is None else self.weight
        if not self.bias:
            return weight, None
        return weight, e.take(1) if self.shift is None else self.shift

    def emit(self, e: Emission) -> Emitted:
        _, windows = self.windows(e.bottoms[0])
        kernel, stride, _, dilation = (tuple(column) for column in zip(*windows, strict=True))
        own = self.own_pad * 2 if len(self.own_pad) == 1 else self.own_pad
        make = call(
            "Conv2d",
            self.channels(e.bottoms[0]),
            self.outputs,
            kernel_size=literal(kernel),
            stride=literal(stride) if set(stride) != {1} else None,
            padding=literal(own) if set(own) != {0} else None,
            dilation=literal(dilation) if set(dilation) != {1} else None,
            groups=self.group if self.group > 1 else None,
            bias=None if self.bias else "False",
            relu="True" if self.relu else None,
        )
        weight, bias = self.recipes(e)
        tensors = [(f"{e.name}.weight", weight)] + ([(f"{e.name}.bias", bias)] if bias is not None else [])
        window = ", padding=0" if set(self.pad) == {0} and set(own) != {0} else ""
        return Emitted(
            (f"{e.y[0]} = self.{e.name}({e.x[0]}{window})",),
            (f"self.{e.name} = {make}",),
            (VERSION, CONV2D),
            tuple(tensors),
        )


CONV2D = '''
class Conv2d(nn.Conv2d):
    """nn.Conv2d, and the ReLU behind it if `relu`; a call may ask for another padding.

    For inference on a CPU, oneDNN computes both at once, from weights that are laid out
    for it once: nn.Conv2d does that at every call. Weights of 64 MiB and more have no
    second copy: they are multiplied as the matrix that they are.
    """

    def __init__(self, *args, relu=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu, self.packed, self.packed_from = relu, None, None

    def forward(self, x, padding=None):
        padding = self.padding if padding is None else (padding, padding)
        recorded = x.requires_grad or self.weight.requires_grad
        if torch.is_grad_enabled() and recorded or torch.compiler.is_compiling():
            return self.plain(x, padding)
        if self.weight.numel() >= 1 << 24 and self.groups == 1:
            return self.matrix(x, padding)
        return self.onednn(x, padding) if self.packs(x) else self.plain(x, padding)

    def plain(self, x, padding):
        window = self.stride, padding, self.dilation, self.groups
        y = F.conv2d(x, self.weight, self.bias, *window)
        return F.relu(y, inplace=True) if self.relu else y

    def onednn(self, x, padding):
        weight, window = self.weight, (padding, self.stride, self.dilation, self.groups)
        state = weight.data_ptr(), version(weight), weight.dtype
        if self.packed_from != state:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = pack(weight.detach(), *window, list(x.shape))
            self.packed_from = state
        x = x.contiguous(memory_format=torch.channels_last)
        after = "relu" if self.relu else "none", [], ""
        run = torch.ops.mkldnn._convolution_pointwise
        return run(x, self.packed, self.bias, *window, *after)

    def packs(self, x):
        """Whether oneDNN's operators are there, and take `x`."""
        have, state = torch.ops.mkldnn, torch.backends.mkldnn
        if x.device.type != "cpu" or not state.is_available() or not state.enabled:
            return False
        for name in ("_convolution_pointwise", "_reorder_convolution_weight"):
            if not hasattr(have, name):
                return False
        if x.dtype == torch.bfloat16:
            return self.weight.dtype == x.dtype and have._is_mkldnn_bf16_supported()
        return self.weight.dtype == x.dtype == torch.float32

    def matrix(self, x, padding):
        """One product: a column of its right factor holds the pixels of one window."""
        sizes = zip(x.shape[2:], self.kernel_size, self.stride, padding, self.dilation)
        h, w = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        if self.kernel_size == self.stride == (1, 1) and tuple(padding) == (0, 0):
            columns = x.flatten(2)
        else:
            window = self.kernel_size, self.dilation, padding, self.stride
            columns = F.unfold(x, *window)
        columns = columns.transpose(0, 1).flatten(1)
        y = self.weight.flatten(1) @ columns
        if self.bias is not None:
            y += self.bias[:, None]
        y = F.relu(y, inplace=True) if self.relu else y
        return y.view(len(y), len(x), h, w).transpose(0, 1)

    def __getstate__(self):
        """Packed weights are not copied or saved: they are made from the others."""
        return self.__dict__ | {"packed": None, "packed_from": None}
'''

VERSION = '''
def version(weight):
    """How often a tensor was written in place, as far as torch counts it."""
    return 0 if weight.is_inference() else weight._version
'''
