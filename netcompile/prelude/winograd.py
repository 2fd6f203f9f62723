"""3 × 3 convolutions by Winograd's algorithm."""

import math
from functools import cache, lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from netcompile.prelude.convolution import Conv2d, padded_rows
from netcompile.prelude.inference import Kept, is_finite
from netcompile.prelude.onednn import convolved, kernels_laid_out
from netcompile.prelude.polynomials import polynomial
from netcompile.prelude.workers import in_parts, part_count, split


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

    def by(
        self,
        way: str,
        x: Tensor,
        weight: Tensor,
        padding: tuple[int, ...],
        size: tuple[int, ...],
    ) -> Tensor | None:
        if way not in ("tiles of 2", "tiles of 4"):
            return super().by(way, x, weight, padding, size)
        layouts = self.once(way, weight, lambda weight: Kept())
        if layouts is None:
            return None
        return self.tiled(x, weight, layouts, padding, size, int(way[-1]))

    def ways(
        self, made: tuple[int, ...], dtype: torch.dtype, padding: tuple[int, ...]
    ) -> tuple[str, ...]:
        """Those of any convolution, and by tiles; first what costs least."""
        others = super().ways(made, dtype, padding)
        tiles = (4, 2) if self.m == 4 and dtype == torch.float32 else (2,)
        pays = dtype != torch.bfloat16 or not has_amx()
        channels = self.in_channels, self.out_channels
        a_sum = cost_of_sum(dtype) if pays else None
        return ranked(others, tiles, made, channels, a_sum)

    def tiled(
        self,
        x: Tensor,
        weight: Tensor,
        layouts: Kept,
        padding: tuple[int, ...],
        size: tuple[int, ...],
        m: int,
    ) -> Tensor | None:
        """The convolution; None where a pixel is not finite, which spreads to others.

        If a tile's pixel is not, then a corner is not: the first pixel along an axis
        has all values in it but that at infinity, the last all but that at 0.
        """
        (h, w), side, outputs = size, m + 2, self.out_channels
        high, wide = -(-h // m), -(-w // m)
        to_values, to_pixels = transforms(m, x.dtype)
        x = x.permute(0, 2, 3, 1)
        y = x.new_empty(len(x), high * m, wide * m, outputs)
        row = len(x) * wide
        parts = part_count(side**2 * self.in_channels * outputs * row * high)
        numbers = side**2 * row * max(self.in_channels, outputs)
        fair = min(parts, row * high // 48)  # so many tiles fill a product
        bands = equal_bands(high, max(1, fair, numbers * high >> 21))
        blocks = split(outputs, 2 if len(bands) == 1 < parts else 1, 64)
        shape = len(x), bands[0][1], wide
        kernels = kernels_for_tiles(layouts, weight, shape, blocks, m)
        finite = list[bool]()

        def part(start: int, stop: int, first: int, last: int, block: Tensor) -> None:
            some = padded_rows(x, m * start, m * stop + 2, m * wide + 2, padding)
            tiles = some.unfold(1, side, m).unfold(2, side, m)
            tiles = tiles.permute(0, 1, 2, 4, 5, 3)
            values = to_values @ tiles.reshape(-1, side**2, self.in_channels)
            pixels = to_pixels @ product_of_tiles(values, block, shape)
            pixels = pixels.view(*shape, m, m, last - first)
            finite.append(is_finite(pixels[:, :, :, :: m - 1, :: m - 1]))
            to = y[:, m * start : m * stop, :, first:last]
            rows = to.view(len(x), shape[1], m, wide, m, last - first)
            rows = rows.transpose(2, 3)
            if self.bias is None:
                rows.copy_(pixels)
            else:
                torch.add(pixels, self.bias[first:last], out=rows)
            self.rectified(to)

        pairs = list(zip(blocks, kernels))
        in_parts(
            [partial(part, *band, *some, at) for band in bands for some, at in pairs]
        )
        return y[:, :h, :w].permute(0, 3, 1, 2) if all(finite) else None


def equal_bands(high: int, count: int) -> list[tuple[int, int]]:
    """Where about `count` bands of rows begin and end, all equally high."""
    size = -(-high // count)
    return [(min(at, high - size), min(at + size, high)) for at in range(0, high, size)]


def kernels_for_tiles(
    known: Kept,
    weight: Tensor,
    shape: tuple[int, ...],
    blocks: list[tuple[int, int]],
    m: int,
) -> list[Tensor]:
    """Kernels' values for images × rows × columns of tiles, for each block of outputs.

    Laid out for oneDNN, which computes the products as a convolution with a group for
    each point, where channels fill its registers; matrices elsewhere. `known` has those
    for the last few shapes, for large kernels the last one.
    """
    count, (outputs, inputs) = (m + 2) ** 2, weight.shape[:2]
    grouped = weight.dtype == torch.float32 and inputs % 16 == outputs % 16 == 0
    case = tuple(blocks), (shape, torch.get_num_threads()) if grouped else None
    found: list[Tensor] | None = known.get(case)
    if found is not None:
        return found
    if known:
        last = [x.to_dense().view(count, -1, inputs) for x in [*known.values()][-1]]
        values = torch.cat(last, 1) if len(last) > 1 else last[0]
        del last
    else:
        values = values_of_kernels(weight.detach(), m)
    known.make_room(1 + (1 << 21) // values.numel())
    found = known[case] = [values[:, first:last] for first, last in blocks]
    if grouped:
        window = [0, 0], [1, 1], [1, 1], count
        made = shape[0], count * inputs, *shape[1:]
        for i, some in enumerate(found):
            some = some.reshape(-1, inputs, 1, 1)
            found[i] = kernels_laid_out(some, window, made)
    return found


def product_of_tiles(values: Tensor, kernels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """At each point, the products of tiles' and kernels' values, summed over inputs."""
    if not kernels.is_mkldnn:
        y = torch.bmm(values.transpose(0, 1), kernels.transpose(1, 2))
        return y.transpose(0, 1)
    count, points, inputs = values.shape
    x = values.view(*shape, points * inputs).permute(0, 3, 1, 2)
    y = convolved(x, kernels, None, ([0, 0], [1, 1], [1, 1], points))
    return y.permute(0, 2, 3, 1).reshape(count, points, -1)


@lru_cache(maxsize=1024)
def ranked(
    others: tuple[str, ...],
    tiles: tuple[int, ...],
    made: tuple[int, ...],
    channels: tuple[int, int],
    a_sum: float | None,
) -> tuple[str, ...]:
    """Ways to convolve, first what costs least; tiles come last if a sum has no cost.

    The cost is in multiplications: a kernel's number that is read counts as 25 of them,
    the calls of torch as 20 million, as measured on some CPUs. No tile pays where the
    CPU multiplies matrices of bfloat16 by itself, as with AMX.
    """
    (images, h, w), (inputs, outputs) = made, channels
    costs = {others[0]: 0.9 * 9 * (images * h * w + 25) * inputs * outputs}
    for m in tiles:
        count = images * -(-h // m) * -(-w // m)
        products = (count + 25) * inputs * outputs
        sums = math.inf if a_sum is None else a_sum * count * (inputs + outputs)
        costs[f"tiles of {m}"] = 2e7 + (m + 2) ** 2 * (products + sums)
    return *sorted(costs, key=costs.__getitem__), *others[1:]


@cache
def cost_of_sum(dtype: torch.dtype) -> float:
    """How many multiplications take as long as a sum, as measured on four CPUs.

    Sums wait for the memory, products for the CPU. Some multiply twice as fast from the
    same memory, with AVX-VNNI and no AMX: those of AMD's fifth Zen.
    """
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return 120.0
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = known.get("avx_vnni") and not known.get("amx_tile")
    return 160.0 if fast and dtype == torch.float32 else 75.0


def values_of_kernels(weight: Tensor, m: int) -> Tensor:
    """Kernels' values at each pair of points: points × outputs × inputs."""
    at = torch.tensor(tile_points(m), dtype=torch.float64)
    scale = (at[:, None] - at).fill_diagonal_(1).prod(1)
    kernel = at[:, None] ** torch.arange(3) / scale[:, None]
    kernel = torch.cat([kernel, torch.tensor([[0.0, 0.0, 1.0]])])
    made = weight.new_empty((m + 2) ** 2, *weight.shape[:2])
    some = weight.new_empty(*weight.shape[:2], 3, dtype=torch.float64)
    for p, row in enumerate(kernel.tolist()):
        some.zero_()
        for i, factor in enumerate(row):
            some.add_(weight[:, :, i], alpha=factor)
        for q, column in enumerate(kernel):
            made[p * (m + 2) + q] = some @ column
    return made


@cache
def transforms(m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Matrices that give tiles' values at each pair of points from their pixels, and
    new pixels from products of values.
    """
    at = tile_points(m)
    rows = [[*polynomial([b for b in at if b != a]), 0.0] for a in at]
    values = torch.tensor([*rows, polynomial([*at])])
    pixels = torch.tensor([[a**i for a in at] + [float(i == m - 1)] for i in range(m)])
    return torch.kron(values, values).to(dtype), torch.kron(pixels, pixels).to(dtype)


def tile_points(m: int) -> tuple[float, ...]:
    """Where polynomials are evaluated, beside infinity."""
    return (0, 0.75, -0.75, 1.5, -1.5) if m == 4 else (0, 1, -1)


@cache
def has_amx() -> bool:
    """Whether the CPU multiplies tiles of matrices, as far as torch says so."""
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return asked is not None and bool(asked())
