"""Convolutions with large kernels by Winograd's algorithm, down their rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude.convolution import Conv2d
from netcompile.prelude.inference import eager, is_finite, observed
from netcompile.prelude.onednn import multiply, onednn_serves
from netcompile.prelude.polynomials import polynomial
from netcompile.prelude.workers import in_parts


class LargeKernel(Conv2d):
    """A convolution with a large kernel by Winograd's algorithm, two rows at a time.

    k + 1 rows of pixels and k rows of weights are polynomials. Their values at k points
    and at infinity are multiplied, and two new rows read off: k + 1 products in place
    of 2 k. `weight` holds the kernels' values at each point, outputs × (width · inputs)
    for each, as they were made with the file. That is for inference in float32 on a
    CPU: wherever else it is used, the kernels are made from them again, and stay.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int | tuple[int, int],
        points: tuple[float, ...],
        bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            inputs, outputs, kernel_size, bias=bias, device="meta", **options
        )
        self.points = points
        k, width = self.kernel_size
        self.weight = nn.Parameter(torch.empty((k + 1) * outputs, width * inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0)

    def forward(self, x: Tensor, padding: int | None = None) -> Tensor:
        weight = self.weight
        if weight.dim() == 2 and observed(x, weight):
            pad = self.padding if padding is None else (padding, padding)
            return self.direct(x, self.kernels(weight), pad)
        if weight.dim() == 2 and not self.computes(x):
            self.plain()
        return super().forward(x, padding)

    def serves(self, x: Tensor, weight: Tensor) -> bool:
        """With values, always: elsewhere `forward` has made kernels of them."""
        return weight.dim() == 2 or super().serves(x, weight)

    def direct(self, x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
        """As nn.Conv2d computes, from kernels or their values."""
        weight = self.kernels(weight) if weight.dim() == 2 else weight
        return super().direct(x, weight, padding)

    def fast(
        self, x: Tensor, weight: Tensor, padding: tuple[int, ...]
    ) -> Tensor | None:
        k, width = self.kernel_size
        h, w = (n + 2 * p - k + 1 for n, k, p in zip(x.shape[2:], (k, width), padding))
        if weight.dim() == 4:
            return super().fast(x, weight, padding)
        if min(*x.shape, h, w) < 1:  # an error, or no pixels: the kernels do not matter
            weight = weight.new_zeros(1).expand(
                self.out_channels, self.in_channels, k, width
            )
            return super().direct(x, weight, padding)
        high, (down, across) = (h + 1) // 2, padding
        x = F.pad(x, (across, across, down, down + 2 * high - h)).permute(0, 2, 3, 1)
        x = torch.stack([x[:, i : i + 2 * high - 1 : 2] for i in range(k + 1)])
        product = multiply if onednn_serves(x.dtype) else F.linear
        found = [x] * (k + 1)

        def part(p: int, some: Tensor, values: Tensor) -> None:
            some = some.unfold(2, width, 1).transpose(3, 4).flatten(3).flatten(0, 2)
            found[p] = product(some, values)

        pairs = zip(at_points(x, self.points), weight.chunk(k + 1))
        in_parts([partial(part, p, *pair) for p, pair in enumerate(pairs)])
        y = x.new_empty(x.shape[1], 2 * high, w, self.out_channels)
        for p, some in enumerate(two_pixels(found, self.points)):
            if not is_finite(some):
                return None  # one pixel that is not has spread to others
            some = some if self.bias is None else some + self.bias
            y[:, p::2] = self.rectified(some).view(-1, high, w, self.out_channels)
        return y[:, :h].permute(0, 3, 1, 2)

    def computes(self, x: Tensor) -> bool:
        """Whether values at points are what to compute with."""
        learns = x.requires_grad or self.weight.requires_grad
        if self.bias is not None:
            learns = learns or self.bias.requires_grad
        if torch.is_grad_enabled() and learns:
            return False
        return eager(x) and self.fits(x) and self.fits(self.weight)

    def fits(self, x: Tensor) -> bool:
        return x.device.type in ("cpu", "meta") and x.dtype == torch.float32

    def kernels(self, values: Tensor) -> Tensor:
        """The kernels that have these values."""
        k, width = self.kernel_size
        at = torch.tensor(self.points, dtype=torch.float64)
        scale = (at[:, None] - at).fill_diagonal_(1).prod(1)
        powers = at[:, None] ** torch.arange(k) / scale[:, None]
        last = torch.eye(k, dtype=torch.float64)[-1:]
        back = torch.linalg.pinv(torch.cat([powers, last])).to(values)
        values = values.view(k + 1, self.out_channels, width, self.in_channels)
        with torch.autocast("cuda" if values.is_cuda else "cpu", enabled=False):
            return torch.einsum("ap,pobc->ocab", back, values).contiguous()

    def plain(self) -> None:
        """From now on, kernels in place of their values."""
        with torch.inference_mode(False):
            self.weight.grad = None
            self.weight.data = self.kernels(self.weight.detach())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """To another device or type: first, the kernels."""
        moved = fn(self.weight.detach()[:0])
        if self.weight.dim() == 2 and not self.fits(moved):
            self.plain()
        module: Any = super()
        return module._apply(fn, recurse)

    def _load_from_state_dict(
        self, state: dict[str, Any], prefix: str, metadata: Any, *others: Any
    ) -> None:
        """Values, or kernels as any other convolution has them."""
        key, (k, width) = prefix + "weight", self.kernel_size
        given = state.get(key, self.weight)
        target = given if metadata.get("assign_to_params_buffers") else self.weight
        values = given.shape == ((k + 1) * self.out_channels, width * self.in_channels)
        if values and (self.weight.dim() == 4 or not self.fits(target)):
            given = state[key] = self.kernels(given)
        if given.shape == (self.out_channels, self.in_channels, k, width):
            self.weight.data = self.weight.new_empty(given.shape)
        super()._load_from_state_dict(state, prefix, metadata, *others)


def at_points(x: Tensor, points: tuple[float, ...]) -> Tensor:
    """Values at the points and at infinity from coefficients, along the first axis."""
    rows = [polynomial([other for other in points if other != at]) for at in points]
    rows = [[*row, 0.0] for row in rows] + [polynomial([*points])]
    return (x.new_tensor(rows) @ x.flatten(1)).view_as(x)


def two_pixels(
    values: list[Tensor], points: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """The pixels that products at the points and at infinity give."""
    first, second = values[0], values[-1]
    for at, some in zip(points[1:], values[1:-1]):
        first, second = first + some, torch.add(second, some, alpha=at)
    return first, second
