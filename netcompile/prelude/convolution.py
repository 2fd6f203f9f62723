"""Convolutions for inference, with the ReLU behind them."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude.inference import (
    INSIDE,
    Kept,
    is_finite,
    is_frozen,
    place_of,
    probe,
)
from netcompile.prelude.linear import product_in_parts
from netcompile.prelude.onednn import (
    convolved,
    kernels_laid_out,
    multiply,
    onednn_computes,
)
from netcompile.prelude.workers import in_parts, part_count, split


class Conv2d(nn.Conv2d):
    """nn.Conv2d, and the ReLU behind it if `relu`; a call may ask for another padding.

    For inference on a CPU, oneDNN computes from weights that are laid out for it once,
    and again when they have changed: nn.Conv2d does that at every call. Kernels of one
    pixel that are not frozen, and weights of 64 MiB and more, have no second copy: they
    are multiplied as the matrix that they are. Everywhere else, and for what is not
    finite, this is nn.Conv2d.

    `plan` says by which of the `ways` outputs of a size are computed, images × height ×
    width, or all others (None). Where it does not, rules choose: the result is the same
    but for rounding.
    """

    padding: tuple[int, ...]
    large = 1 << 24  # numbers that are 64 MiB

    def __init__(self, *args: Any, relu: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relu, self.packed = relu, Kept()
        self.plan: dict[tuple[int, ...] | None, str] = {}

    def forward(self, x: Tensor, padding: int | None = None) -> Tensor:
        pad = self.padding if padding is None else (padding, padding)
        weight = self.weight
        y = self.fast(x, weight, pad) if self.serves(x, weight) else None
        return self.direct(x, weight, pad) if y is None else y

    def direct(self, x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
        """As nn.Conv2d computes."""
        window = self.stride, padding, self.dilation, self.groups
        y = F.conv2d(x, weight, self.bias, *window)
        return F.relu(y, inplace=True) if self.relu else y

    def rectified(self, y: Tensor, to: Tensor | None = None) -> Tensor:
        """`y` with the ReLU, if there is one, in its place or `to` another.

        Numbers below 0 in bfloat16 are whole numbers from -Inf's, -128, down, and those
        from -127 up to -1 are NaN: CPUs compare whole numbers four times as fast.
        """
        if self.relu and y.dtype != torch.bfloat16:
            return y.clamp_min_(0) if to is None else torch.clamp_min(y, 0, out=to)
        to = y if to is None else to.copy_(y)
        if self.relu:
            F.threshold(to.view(torch.int16), -128, 0, inplace=True)
        return to

    def serves(self, x: Tensor, weight: Tensor) -> bool:
        """Whether no derivative is wanted, and oneDNN computes with what there is.

        Not where it would lay out weights for nothing.
        """
        if INSIDE.once and weight.numel() < self.large:
            return False
        bias = self.bias
        tensors = (x, weight) if bias is None else (x, weight, bias)
        return onednn_computes(*tensors) and x.dim() == 4

    def fast(
        self, x: Tensor, weight: Tensor, padding: tuple[int, ...]
    ) -> Tensor | None:
        """The result, or None where it is for `direct` to tell."""
        window = self.kernel_size, self.stride, padding, self.dilation
        made = size_of_convolved(x.shape, *window)
        if made is None:
            return None
        size, ways = made[1:], self.ways(made, x.dtype, padding)
        way = self.plan.get(made) or self.plan.get(None)
        return self.by(way if way in ways else ways[0], x, weight, padding, size)

    def ways(
        self, made: tuple[int, ...], dtype: torch.dtype, padding: tuple[int, ...]
    ) -> tuple[str, ...]:
        """How outputs of this size can be computed, first the way that rules prefer."""
        if self.groups == 1 and self.weight.numel() >= self.large:
            return ("matrix",)
        if self.groups > 1 or self.kernel_size != (1, 1) or any(padding):
            return ("onednn",)
        once = is_frozen(self.weight) and part_count(math.inf) == 1
        return ("onednn", "matrix") if once else ("matrix", "onednn")

    def by(
        self,
        way: str,
        x: Tensor,
        weight: Tensor,
        padding: tuple[int, ...],
        size: tuple[int, ...],
    ) -> Tensor | None:
        """The result by one of the `ways`, or None where it is for `direct` to tell."""
        if way == "matrix":
            return self.matrix(x, weight, padding, size)
        return self.onednn(x, weight, padding, size)

    def once(self, way: object, weight: Tensor, pack: Callable[[Tensor], Any]) -> Any:
        """The weights laid out for a way to convolve, made anew when they have changed.

        None where they are not finite.
        """
        place, numbers = place_of(weight), probe(weight)
        known = self.packed.get(way)
        if known is not None and known[0] == place:
            before, packed = known[1:]
            if before is numbers or torch.equal(before, numbers):
                return packed
        packed = pack(weight.detach()) if is_finite(numbers) else None
        self.packed[way] = place, numbers, packed
        return packed

    def onednn(
        self,
        x: Tensor,
        weight: Tensor,
        padding: tuple[int, ...],
        size: tuple[int, ...],
    ) -> Tensor | None:
        layouts = self.once("onednn", weight, lambda weight: Kept())
        if layouts is None:
            return None
        count = part_count(len(x) * weight.numel() * size[0] * size[1])
        if x.dtype == torch.bfloat16 and self.in_channels >= 512:  # twice as fast
            count = max(count, x.numel() // (3 << 19))
        if count > 1:
            return self.onednn_in_parts(x, weight, padding, size, count, layouts)
        window = padding, self.stride, self.dilation, self.groups
        packed = layout(layouts, weight, window, x.shape)
        x = x.contiguous(memory_format=torch.channels_last)
        return self.rectified(convolved(x, packed, self.bias, window))

    def onednn_in_parts(
        self,
        x: Tensor,
        weight: Tensor,
        padding: tuple[int, ...],
        size: tuple[int, ...],
        count: int,
        layouts: Kept,
    ) -> Tensor:
        x, (h, w) = x.contiguous(memory_format=torch.channels_last), size
        x = x.permute(0, 2, 3, 1)
        y = x.new_empty(len(x), h, w, self.out_channels)
        stride, reach = self.stride[0], self.dilation[0] * (self.kernel_size[0] - 1) + 1
        window = (0, padding[1]), self.stride, self.dilation, self.groups
        rows = split(h, -(-count // len(x)))
        packed: dict[int, Tensor] = {}
        for length in {stop - start for start, stop in rows}:
            shape = 1, x.shape[3], stride * (length - 1) + reach, x.shape[2]
            packed[length] = layout(layouts, weight, window, shape)

        def part(image: int, start: int, stop: int) -> None:
            first, last = stride * start, stride * (stop - 1) + reach
            image_x, kernels = x[image : image + 1], packed[stop - start]
            some = padded_rows(image_x, first, last, x.shape[2], (padding[0], 0))
            made = convolved(some.permute(0, 3, 1, 2), kernels, self.bias, window)
            self.rectified(made, y[image : image + 1, start:stop].permute(0, 3, 1, 2))

        in_parts([partial(part, i, *some) for i in range(len(x)) for some in rows])
        return y.permute(0, 3, 1, 2)

    def matrix(
        self, x: Tensor, weight: Tensor, padding: tuple[int, ...], size: tuple[int, ...]
    ) -> Tensor | None:
        """One product: of the weights, and a matrix with a window in each row."""
        if self.kernel_size != (1, 1) or any(padding):
            return self.unfolded(x, weight, padding, size)
        (down, across), outputs = self.stride, len(weight)
        x = x if down == across == 1 else x[:, :, ::down, ::across]
        x, factor = x.permute(0, 2, 3, 1), weight.flatten(1)
        pixels = math.prod(x.shape[:3])
        count = part_count(pixels * weight.numel())
        if count == 1:
            y = multiply(x, factor, self.bias)
        else:
            rows = x.reshape(pixels, -1)
            y = product_in_parts(rows, factor, self.bias, count)
            y = y.view(len(x), *size, outputs)
        return self.rectified(y).permute(0, 3, 1, 2)

    def unfolded(
        self, x: Tensor, weight: Tensor, padding: tuple[int, ...], size: tuple[int, ...]
    ) -> Tensor | None:
        """The product of the weights and windows in columns, which F.unfold makes."""
        window = self.kernel_size, self.dilation, padding, self.stride
        columns, factor = F.unfold(x, *window), weight.flatten(1)
        y = x.new_empty(len(x), len(weight), columns.shape[2])

        def part(image: int, start: int, stop: int) -> None:
            some = factor[start:stop] @ columns[image]
            if self.bias is not None:
                some.add_(self.bias[start:stop, None])
            y[image, start:stop] = some

        count = part_count(columns.numel() * len(weight))
        rows = split(len(weight), -(-count // len(x)), 16)
        in_parts([partial(part, i, *some) for i in range(len(x)) for some in rows])
        if any(padding) and not is_finite(y):
            return None
        return self.rectified(y).view(len(x), -1, *size)


@lru_cache(maxsize=1024)
def size_of_convolved(
    shape: tuple[int, ...], *windows: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Images × height × width of a convolution's output; None where there is none.

    The windows: kernel, stride, padding, dilation.
    """
    along = zip(shape[2:], *windows)
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in along]
    return None if min(*shape, *size) < 1 else (shape[0], *size)


def layout(
    known: Kept,
    weight: Tensor,
    window: tuple[Any, ...],
    shape: tuple[int, ...],
) -> Tensor:
    """Kernels as oneDNN wants them for inputs of a shape, with so many threads.

    Laid out for others they do as well, but take up to fifty times as long. `known` has
    those for the last few shapes.
    """
    case = shape, window, torch.get_num_threads()
    found: Tensor | None = known.get(case)
    if found is None:
        known.make_room(4 + (1 << 19) // max(weight.numel(), 1))
        found = kernels_laid_out(weight.detach(), window, shape)
        known[case] = found
    if INSIDE.recorder is not None:
        INSIDE.recorder.note(found, weight, partial(known.pop, case, None))
    return found


def padded_rows(
    x: Tensor, start: int, stop: int, width: int, padding: tuple[int, ...]
) -> Tensor:
    """Rows `start` … `stop` of N × H × W × channels with zeros around it."""
    (down, across), (height, right) = padding, x.shape[1:3]
    top, end = start - down, stop - down
    above, below = max(-top, 0), max(end - height, 0)  # or all rows are zeros
    above, below = min(above, stop - start), min(below, stop - start)
    zeros = across, width - right - across, above, below
    x = x[:, max(top, 0) : max(end, 0)]
    return F.pad(x, (0, 0, *zeros)) if any(zeros) else x
