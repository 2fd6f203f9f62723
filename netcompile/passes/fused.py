"""A convolution with what was folded into it, and the class that runs it in emitted code.

The private operators of PyTorch that run oneDNN on weights packed once are used in `CONV2D` alone, and only where
they are there: otherwise it is F.conv2d.
"""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.base import Emission, Emitted, IntShape, call, literal
from netcompile.layers.convolution import Convolution, Extents

WINOGRAD_MEMORY = 128 << 20  # bytes that the transformed kernels of a net may take
WIDE = 128 * 256  # kernels from which on Winograd's algorithm is considered


@dataclass(frozen=True)
class FusedConvolution(Convolution):
    """A two-dimensional convolution, and the ReLU behind it if `relu`.

    `weight` and `shift` are recipes where layers were folded in.

    `own_pad` is the padding that the layer has in the file; `pad` is 0 where it computes a window.
    """

    relu: bool = False
    own_pad: Extents = (0,)
    weight: Recipe | None = None
    shift: Recipe | None = None
    winograd: bool = False

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

    def suits_winograd(self, bottom: IntShape) -> bool:
        """Whether Winograd's algorithm is worth its transforms: 3 × 3 kernels over many channels."""
        _, windows = self.windows(bottom)
        fits = all((k, s, d) == (3, 1, 1) for k, s, _, d in windows) and self.group == 1
        return fits and self.outputs * self.channels(bottom) >= WIDE

    def winograd_bytes(self, bottom: IntShape) -> int:
        """Memory of the transformed kernels, 36 numbers in place of 9."""
        return 4 * 36 * self.outputs * self.channels(bottom)

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
            "Winograd" if self.winograd else "Conv2d",
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
            (VERSION, CONV2D, WINOGRAD) if self.winograd else (VERSION, CONV2D),
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
        self.relu, self.packed, self.packed_from = relu, {}, None

    def forward(self, x, padding=None):
        padding = self.padding if padding is None else (padding, padding)
        recorded = x.requires_grad or self.weight.requires_grad
        if torch.is_grad_enabled() and recorded or not self.packs(x):
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
        for name in ("_convolution_pointwise", "_linear_pointwise"):
            if not hasattr(have, name) or not hasattr(
                have, "_reorder_convolution_weight"
            ):
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
'''

WINOGRAD = '''
class Winograd(Conv2d):
    """A 3 × 3 convolution by Winograd's F(4 × 4, 3 × 3): 36 products for 16 pixels.

    Along each axis, 6 pixels and 3 weights are taken as polynomials and multiplied by
    their values at five points and at infinity (Lavin and Gray, Fast Algorithms for
    Convolutional Neural Networks, 2016). The points are exact in binary and close to
    ±√½ and ±√2, which keep rounding errors small. For float32, where tiles are many.
    """

    points = 0, 0.75, -0.75, 1.5, -1.5

    def onednn(self, x, padding):
        (h, w), (top, left) = (
            (n + 2 * p - 2 for n, p in zip(x.shape[2:], padding)),
            padding,
        )
        high, wide = -(-h // 4), -(-w // 4)
        if x.dtype != torch.float32 or len(x) * high * wide < 16:
            return super().onednn(x, padding)
        forth, weight, back = self.once("winograd", self.transformed)
        right, bottom = (
            4 * wide + 2 - x.shape[3] - left,
            4 * high + 2 - x.shape[2] - top,
        )
        x = F.pad(x, (left, right, top, bottom)).permute(0, 2, 3, 1)
        tiles = x.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)
        tiles = (forth @ tiles.reshape(36, -1)).view(36, -1, weight.shape[1])
        y = back @ torch.bmm(tiles, weight).flatten(1)
        y = y.view(4, 4, len(x), high, wide, -1).permute(2, 3, 0, 4, 1, 5)
        y = y.reshape(len(x), 4 * high, 4 * wide, -1)
        y = y if self.bias is None else y.add_(self.bias)
        y = F.relu(y, inplace=True) if self.relu else y
        return y[:, :h, :w].permute(0, 3, 1, 2)

    def transformed(self, weight):
        """Tiles to values, the kernels' values, and values to pixels."""

        def powers(count):
            rows = [[x**power for power in range(count)] for x in self.points]
            rows += [[0.0] * (count - 1) + [1.0]]
            return torch.tensor(rows, dtype=torch.float64)

        forth, kernel, back = powers(6).inverse().T, powers(3), powers(4).T
        weight = torch.einsum("ia,jb,ocab->ijco", kernel, kernel, weight.double())
        made = torch.kron(forth, forth), weight.flatten(0, 1), torch.kron(back, back)
        return [matrix.float().contiguous() for matrix in made]
'''

VERSION = '''
def version(weight):
    """How often a tensor was written in place, as far as torch counts it."""
    return 0 if weight.is_inference() else weight._version
'''
