"""3 × 3 convolutions by Winograd's algorithm."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.inference import is_finite
from netcompile.prelude.onednn import matrix_laid_out, multiply


class Winograd(Conv2d):
    """A 3 × 3 convolution by Winograd's algorithm: fewer products, and more sums.

    Along each axis, m + 2 pixels and 3 weights are polynomials. Their values at some
    points and at infinity are multiplied, and m new pixels read off (Lavin and Gray,
    Fast Algorithms for Convolutional Neural Networks, 2016). With m = 4, 36 products
    give 16 pixels, in place of 144; with m = 2, 16 give 4, in place of 36, from kernels
    of half the size, and for the digits of bfloat16. Some rows of tiles are done at a
    time: what is between stays in the cache.
    """

    def __init__(self, *args: Any, m: int = 4, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.m = m

    def onednn(
        self, x: Tensor, weight: Tensor, padding: tuple[int, ...], size: list[int]
    ) -> Tensor | None:
        m = self.m if x.dtype == torch.float32 else 2
        h, w = size
        cin, cout = self.in_channels, self.out_channels
        # The products that are saved, against sums and calls: measured on some CPUs.
        channels = cin * cout / (cin + cout)
        few = 32 if x.dtype == torch.float32 else 64
        if len(x) * h * w * channels**2 < 4e6 or channels < few:
            return super().onednn(x, weight, padding, size)
        kernels = self.once(m, weight, lambda weight: self.transformed(weight, m))
        if kernels is None:
            return None
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
            if not self.tiles(some, kernels, y[:, m * start : m * stop], m):
                return None
        return y.permute(0, 3, 1, 2)

    def tiles(self, x: Tensor, kernels: list[list[Tensor]], y: Tensor, m: int) -> bool:
        """The pixels of some rows of tiles go to `y`; both are N × H × W × channels.

        Returns whether they are finite. If a tile's pixel is not, then a corner is not:
        the first pixel along an axis has all values in it but that at infinity, the
        last all but that at 0.
        """
        down, across = x.shape[1] - m - 1, x.shape[2] - m - 1
        count, ends = range(m + 2), (0, m - 1)
        found, finite = [], True
        rows = [*values([x[:, k : k + down : m] for k in count])]
        for kernel in kernels:
            row = rows.pop(0)
            columns = values([row[:, :, k : k + across : m] for k in count])
            del row
            found.append(pixels([multiply(*pair) for pair in zip(columns, kernel)]))
        for q, column in enumerate(zip(*found)):
            for p, some in enumerate(pixels([*column])):
                finite = finite and (p not in ends or q not in ends or is_finite(some))
                to = y[:, p::m, q::m]
                some = some[:, : to.shape[1], : to.shape[2]]
                some = some if self.bias is None else some.add_(self.bias)
                torch.clamp_min(some, 0, out=to) if self.relu else to.copy_(some)
        return finite

    def transformed(self, weight: Tensor, m: int) -> list[list[Tensor]]:
        """The kernels' values at each point, laid out for products."""
        points = (0, 0.75, -0.75, 1.5, -1.5) if m == 4 else (0, 1, -1)
        at = torch.tensor(points, dtype=torch.float64)
        scale = (at[:, None] - at).fill_diagonal_(1).prod(1)
        kernel = at[:, None] ** torch.arange(3) / scale[:, None]
        kernel = torch.cat([kernel, torch.tensor([[0.0, 0.0, 1.0]])])
        made = []
        some = weight.new_empty(*weight.shape[:2], 3, dtype=torch.float64)
        for row in kernel.tolist():
            some.zero_()
            for i, factor in enumerate(row):
                some.add_(weight[:, :, i], alpha=factor)
            row = [(some @ column).to(weight.dtype) for column in kernel]
            made.append([matrix_laid_out(matrix) for matrix in row])
        return made


def values(c: list[Tensor]) -> tuple[Tensor, ...]:
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


def pixels(v: list[Tensor]) -> tuple[Tensor, ...]:
    """Pixels from values at the points of `values`, which are overwritten."""
    if len(v) == 4:
        return v[0].add_(v[1]).add_(v[2]), v[1].sub_(v[2]).add_(v[3])
    a, b = 0.75, 1.5
    even, more = v[1] + v[2], v[3] + v[4]
    odd, less = v[1].sub_(v[2]), v[3].sub_(v[4])
    first, second = v[0].add_(even).add_(more), (odd * a).add_(less, alpha=b)
    third = even.mul_(a * a).add_(more, alpha=b * b)
    return first, second, third, v[5].add_(odd, alpha=a**3).add_(less, alpha=b**3)
