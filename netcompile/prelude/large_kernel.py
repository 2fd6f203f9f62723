"""Convolutions with large kernels by Winograd's algorithm, down their rows."""

import torch
import torch.nn.functional as F
from torch import nn

from netcompile.prelude.convolution import Conv2d, multiply


class LargeKernel(Conv2d):
    """A convolution with a large kernel by Winograd's algorithm, two rows at a time.

    k + 1 rows of pixels and k rows of weights are polynomials. Their values at k points
    and at infinity are multiplied, and two new rows read off: k + 1 products in place
    of 2 k. `weight` holds the kernels' values at each point, outputs × (width · inputs)
    for each, as they were made with the file. That is for inference in float32 on a
    CPU: wherever else it is used, the kernels are made from them again, and stay.
    """

    def __init__(self, inputs, outputs, kernel_size, points, bias=True, **options):
        super().__init__(
            inputs, outputs, kernel_size, bias=bias, device="meta", **options
        )
        self.points = points
        k, width = self.kernel_size
        self.weight = nn.Parameter(torch.empty((k + 1) * outputs, width * inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0)

    def forward(self, x, padding=None):
        down, across = self.padding if padding is None else (padding, padding)
        k, width = self.kernel_size
        h, w = x.shape[2] + 2 * down - k + 1, x.shape[3] + 2 * across - width + 1
        if torch.compiler.is_compiling() and self.weight.dim() == 2:
            y = F.conv2d(x, self.kernels(self.weight), self.bias, 1, (down, across))
            return F.relu(y) if self.relu else y
        if self.weight.dim() == 2 and not (self.serves(x) and min(len(x), h, w) > 0):
            self.plain()
        if self.weight.dim() == 4:
            return super().forward(x, padding)
        high = (h + 1) // 2
        x = F.pad(x, (across, across, down, down + 2 * high - h)).permute(0, 2, 3, 1)
        x = torch.stack([x[:, i : i + 2 * high - 1 : 2] for i in range(k + 1)])
        found = []
        for some, weight in zip(at_points(x, self.points), self.weight.chunk(k + 1)):
            some = some.unfold(2, width, 1).transpose(3, 4).flatten(3).flatten(0, 2)
            found.append((multiply if self.packs(x) else F.linear)(some, weight))
        y = x.new_empty(x.shape[1], 2 * high, w, self.out_channels)
        for p, some in enumerate(two_pixels(found, self.points)):
            some = some if self.bias is None else some + self.bias
            some = F.relu(some) if self.relu else some
            y[:, p::2] = some.view(-1, high, w, self.out_channels)
        return y[:, :h].permute(0, 3, 1, 2)

    def serves(self, x):
        """Whether values at points are what to compute with."""
        learns = x.requires_grad or self.weight.requires_grad
        if (torch.is_grad_enabled() and learns) or torch.is_autocast_enabled("cpu"):
            return False
        return self.fast(x) and self.fast(self.weight)

    def fast(self, x):
        return x.device.type in ("cpu", "meta") and x.dtype == torch.float32

    def kernels(self, values):
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

    def plain(self):
        """From now on, kernels in place of their values."""
        with torch.inference_mode(False):
            self.weight.grad = None
            self.weight.data = self.kernels(self.weight.detach())

    def _apply(self, fn, recurse=True):
        """To another device or type: first, the kernels."""
        moved = fn(self.weight.detach()[:0])
        if self.weight.dim() == 2 and not self.fast(moved):
            self.plain()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        """Values, or kernels as any other convolution has them."""
        key, (k, width) = prefix + "weight", self.kernel_size
        given = state.get(key, self.weight)
        target = given if metadata.get("assign_to_params_buffers") else self.weight
        values = given.shape == ((k + 1) * self.out_channels, width * self.in_channels)
        if values and (self.weight.dim() == 4 or not self.fast(target)):
            given = state[key] = self.kernels(given)
        if given.shape == (self.out_channels, self.in_channels, k, width):
            self.weight.data = self.weight.new_empty(given.shape)
        super()._load_from_state_dict(state, prefix, metadata, *others)


def at_points(x, points):
    """Values at the points and at infinity from coefficients, along the first axis."""
    rows = [polynomial([other for other in points if other != at]) for at in points]
    rows = [[*row, 0.0] for row in rows] + [polynomial(points)]
    return (x.new_tensor(rows) @ x.flatten(1)).view_as(x)


def polynomial(roots):
    """The coefficients of the polynomial with these roots, the constant first."""
    made = [1.0]
    for root in roots:
        made = [a - root * b for a, b in zip([0.0, *made], [*made, 0.0])]
    return made


def two_pixels(values, points):
    """The pixels that products at the points and at infinity give."""
    first, second = values[0], values[-1]
    for at, some in zip(points[1:], values[1:-1]):
        first, second = first + some, torch.add(second, some, alpha=at)
    return first, second
