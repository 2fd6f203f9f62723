"""A convolution with what was folded into it, and the class that runs it in emitted code.

The private operators of PyTorch that run oneDNN on weights packed once are used in `CONV2D` alone, and only where
they are there: otherwise it is F.conv2d.
"""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.base import Emission, Emitted, call, literal
from netcompile.layers.convolution import Convolution, Extents
from netcompile.passes.large_kernels import LARGE_KERNEL, values


@dataclass(frozen=True, slots=True)
class FusedConvolution(Convolution):
    """A two-dimensional convolution, and the ReLU behind it if `relu`.

    `weight` and `shift` are recipes where layers were folded in.

    `own_pad` is the padding that the layer has in the file; `pad` is 0 where it computes a window.
    """

    relu: bool = False
    own_pad: Extents = (0,)
    weight: Recipe | None = None
    shift: Recipe | None = None
    winograd: int = 0  # pixels of a tile along an axis, 0: none
    large: bool = False  # whether its weights are values of large kernels

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
        name, more = "Conv2d", tuple[str, ...]()
        if self.winograd:
            name, more = "Winograd", (PRODUCT, WINOGRAD)
        if self.large:
            name, more = "LargeKernel", (PRODUCT, LARGE_KERNEL)
        make = call(
            name,
            self.channels(e.bottoms[0]),
            self.outputs,
            kernel_size=literal(kernel),
            stride=literal(stride) if set(stride) != {1} else None,
            padding=literal(own) if set(own) != {0} else None,
            dilation=literal(dilation) if set(dilation) != {1} else None,
            groups=self.group if self.group > 1 else None,
            bias=None if self.bias else "False",
            relu="True" if self.relu else None,
            m=2 if self.winograd == 2 else None,
        )
        weight, bias = self.recipes(e)
        if self.large:
            weight = values(weight, self.outputs, self.channels(e.bottoms[0]), kernel)
        tensors = [(f"{e.name}.weight", weight)] + ([(f"{e.name}.bias", bias)] if bias is not None else [])
        window = ", padding=0" if set(self.pad) == {0} and set(own) != {0} else ""
        return Emitted(
            (f"{e.y[0]} = self.{e.name}({e.x[0]}{window})",),
            (f"self.{e.name} = {make}",),
            (VERSION, CONV2D, *more),
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
'''

WINOGRAD = '''
class Winograd(Conv2d):
    """A 3 × 3 convolution by Winograd's algorithm: fewer products, and more sums.

    Along each axis, m + 2 pixels and 3 weights are polynomials. Their values at some
    points and at infinity are multiplied, and m new pixels read off (Lavin and Gray,
    Fast Algorithms for Convolutional Neural Networks, 2016). With m = 4, 36 products
    give 16 pixels, in place of 144; with m = 2, 16 give 4, in place of 36, from kernels
    of half the size, and for the digits of bfloat16. Some rows of tiles are done at a
    time: what is between stays in the cache.
    """

    points = {4: (0, 0.75, -0.75, 1.5, -1.5), 2: (0, 1, -1)}

    def __init__(self, *args, m=4, **kwargs):
        super().__init__(*args, **kwargs)
        self.m = m

    def onednn(self, x, padding):
        m = self.m if x.dtype == torch.float32 else 2
        h, w = (n + 2 * p - 2 for n, p in zip(x.shape[2:], padding))
        cin, cout = self.in_channels, self.out_channels
        # The products that are saved, against sums and calls: measured on some CPUs.
        channels = cin * cout / (cin + cout)
        few = 32 if x.dtype == torch.float32 else 64
        if len(x) * h * w * channels**2 < 4e6 or channels < few:
            return super().onednn(x, padding)
        weight = self.once(m, lambda weight: self.transformed(weight, m))
        if x.stride(1) != 1:
            x = x.contiguous(memory_format=torch.channels_last)
        x = x.permute(0, 2, 3, 1)
        y = x.new_empty(len(x), h, w, cout)
        high, wide = -(-h // m), -(-w // m)
        rows = max(1, (1 << 20) // (x.element_size() * max(cin, cout) * wide * len(x)))
        for start in range(0, high, rows):
            stop = min(start + rows, high)
            top, end = m * start - padding[0], m * stop + 2 - padding[0]
            some = x[:, max(top, 0) : max(end, 0)]
            left, right = padding[1], m * wide + 2 - x.shape[2] - padding[1]
            zeros = 0, 0, left, right, max(-top, 0), max(end - x.shape[1], 0)
            some = F.pad(some, zeros) if any(zeros) else some
            self.tiles(some, weight, y[:, m * start : m * stop], m)
        return y.permute(0, 3, 1, 2)

    def tiles(self, x, weight, y, m):
        """The pixels of some rows of tiles go to `y`; both are N × H × W × channels."""
        down, across = x.shape[1] - m - 1, x.shape[2] - m - 1
        count = range(m + 2)
        found = []
        rows = [*values([x[:, k : k + down : m] for k in count])]
        for kernels in weight:
            row = rows.pop(0)
            row = values([row[:, :, k : k + across : m] for k in count])
            found.append(pixels([multiply(*pair) for pair in zip(row, kernels)]))
        for q, column in enumerate(zip(*found)):
            for p, some in enumerate(pixels(column)):
                to = y[:, p::m, q::m]
                some = some[:, : to.shape[1], : to.shape[2]]
                some = some if self.bias is None else some.add_(self.bias)
                torch.clamp_min(some, 0, out=to) if self.relu else to.copy_(some)

    def transformed(self, weight, m):
        """The kernels' values at each point, laid out for products."""
        at = torch.tensor(self.points[m], dtype=torch.float64)
        scale = (at[:, None] - at).fill_diagonal_(1).prod(1)
        kernel = at[:, None] ** torch.arange(3) / scale[:, None]
        kernel = torch.cat([kernel, torch.tensor([[0.0, 0.0, 1.0]])])
        made = []
        some = weight.new_empty(*weight.shape[:2], 3, dtype=torch.float64)
        for row in kernel.tolist():
            some.zero_()
            for i, factor in enumerate(row):
                some.add_(weight[:, :, i], alpha=factor)
            made.append([self.laid_out(some @ column) for column in kernel])
        return made

    def laid_out(self, matrix):
        """A matrix as `multiply` wants it."""
        return torch.ops.mkldnn._reorder_linear_weight(matrix.to(self.weight.dtype))


def values(c):
    """Polynomials, from their coefficients: at 0, ±a, ±b (or 0, ±1) and at infinity.

    Each is divided by its points but one first; the kernels are scaled to fit.
    """
    if len(c) == 4:
        return c[2] - c[0], c[1] + c[2], c[2] - c[1], c[3] - c[1]
    a, b = 0.75, 1.5
    even, odd = torch.sub(c[4], c[2], alpha=b * b), torch.sub(c[3], c[1], alpha=b * b)
    more, less = torch.sub(c[4], c[2], alpha=a * a), torch.sub(c[3], c[1], alpha=a * a)
    zero = torch.sub(c[4], c[2], alpha=a * a + b * b).add_(c[0], alpha=a * a * b * b)
    end = torch.sub(c[5], c[3], alpha=a * a + b * b).add_(c[1], alpha=a * a * b * b)
    plus, high = torch.add(even, odd, alpha=a), torch.add(more, less, alpha=b)
    return zero, plus, even.sub_(odd, alpha=a), high, more.sub_(less, alpha=b), end


def pixels(v):
    """Pixels from values at the points of `values`, which are overwritten."""
    if len(v) == 4:
        return v[0].add_(v[1]).add_(v[2]), v[1].sub_(v[2]).add_(v[3])
    a, b = 0.75, 1.5
    even, more = v[1] + v[2], v[3] + v[4]
    odd, less = v[1].sub_(v[2]), v[3].sub_(v[4])
    first, second = v[0].add_(even).add_(more), (odd * a).add_(less, alpha=b)
    third = even.mul_(a * a).add_(more, alpha=b * b)
    return first, second, third, v[5].add_(odd, alpha=a**3).add_(less, alpha=b**3)
'''

PRODUCT = '''
def multiply(x, weight):
    """The product with the transpose of a matrix, laid out for it or as it is."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
'''

VERSION = '''
def version(weight):
    """How often a tensor was written in place, as far as torch counts it."""
    return 0 if weight.is_inference() else weight._version
'''
