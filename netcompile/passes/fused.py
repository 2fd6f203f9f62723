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
            (CONV2D,),
            tuple(tensors),
        )


CONV2D = '''
class Conv2d(nn.Conv2d):
    """nn.Conv2d, and the ReLU behind it if `relu`; a call may ask for another padding.

    For inference on a CPU, oneDNN computes both at once from weights that are laid out for it once, which nn.Conv2d
    does at every call. Weights of 64 MiB and more have no second copy: they are multiplied as the matrix they are.
    """

    def __init__(self, *args, relu=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu, self.packed, self.packed_from = relu, None, None

    def forward(self, x, padding=None):
        padding = self.padding if padding is None else (padding, padding)
        weight, bias = self.weight, self.bias
        inference = not torch.is_grad_enabled() or not (x.requires_grad or weight.requires_grad)
        if inference and weight.numel() >= 1 << 24 and self.groups == 1 and not torch.compiler.is_compiling():
            return self.matrix(x, padding)
        if inference and self.packs(x):
            x = x.contiguous(memory_format=torch.channels_last)
            window = padding, self.stride, self.dilation, self.groups
            after = "relu" if self.relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(x, self.pack(x, padding), bias, *window, after, [], "")
        y = F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return F.relu(y, inplace=True) if self.relu else y

    def packs(self, x):
        """Whether oneDNN's operators are there for `x`, and not under torch.compile, which has its own."""
        known = x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return (
            known
            and x.device.type == "cpu"
            and self.weight.dtype == x.dtype
            and torch.backends.mkldnn.is_available()
            and torch.backends.mkldnn.enabled
            and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
            and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
            and not torch.compiler.is_compiling()
        )

    def pack(self, x, padding):
        """The weights as oneDNN wants them; anew when they change."""
        weight = self.weight
        state = weight.data_ptr(), 0 if weight.is_inference() else weight._version, weight.dtype
        if self.packed_from != state:
            window = padding, self.stride, self.dilation, self.groups
            shape = list(x.shape)
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight.detach(), *window, shape)
            self.packed_from = state
        return self.packed

    def matrix(self, x, padding):
        """The convolution as one product: each column of the right factor holds the pixels of one window."""
        fit = zip(x.shape[2:], self.kernel_size, self.stride, padding, self.dilation)
        h, w = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in fit)
        if self.kernel_size == self.stride == (1, 1) and padding == (0, 0):
            columns = x.flatten(2)
        else:
            columns = F.unfold(x, self.kernel_size, self.dilation, padding, self.stride)
        columns = columns.transpose(0, 1).flatten(1)
        weight = self.weight.flatten(1)
        y = weight @ columns if self.bias is None else torch.addmm(self.bias[:, None], weight, columns)
        y = F.relu(y, inplace=True) if self.relu else y
        return y.view(len(y), len(x), h, w).transpose(0, 1)

    def __getstate__(self):
        """The packed weights are not copied or saved: they are made from the others."""
        return self.__dict__ | {"packed": None, "packed_from": None}
'''
