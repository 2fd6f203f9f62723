"""3 × 3 convolutions by Winograd's algorithm."""

import math
from functools import cache, lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from netcompile.prelude.convolution import Conv2d, padded_rows
from netcompile.prelude.inference import is_finite
from netcompile.prelude.polynomials import polynomial
from netcompile.prelude.workers import in_parts, part_count, split


class Winograd(Conv2d):
    """A 3 × 3 convolution by Winograd's algorithm: fewer products, and more sums.

    Along each axis, m + 2 pixels and 3 weights are polynomials. Their values at some
    points and at infinity are multiplied, and m new pixels read off (Lavin and Gray,
    Fast Algorithms for Convolutional Neural Networks, 2016). With m = 4, 36 products
    give 16 pixels, in place of 144; with m = 2, 16 give 4, in place of 36, from kernels
    of half the size, and for the digits of bfloat16. Some rows of tiles are done at a
    time, in five calls: what is between stays in the cache.
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
        m = int(way[-1])
        kernels = self.once(way, weight, lambda weight: values_of_kernels(weight, m))
        return None if kernels is None else self.tiled(x, kernels, padding, size, m)

    def ways(
        self, made: tuple[int, ...], dtype: torch.dtype, padding: tuple[int, ...]
    ) -> tuple[str, ...]:
        """Those of any convolution, and by tiles; first what costs least."""
        others = super().ways(made, dtype, padding)
        tiles = (4, 2) if self.m == 4 and dtype == torch.float32 else (2,)
        pays = dtype != torch.bfloat16 or not has_amx()
        return ranked(others, tiles, made, self.in_channels, self.out_channels, pays)

    def tiled(
        self,
        x: Tensor,
        kernels: Tensor,
        padding: tuple[int, ...],
        size: tuple[int, ...],
        m: int,
    ) -> Tensor | None:
        """The convolution; None where a pixel is not finite, which spreads to others.

        If a tile's pixel is not, then a corner is not: the first pixel along an axis
        has all values in it but that at infinity, the last all but that at 0.
        """
        (h, w), count, outputs = size, (m + 2) ** 2, self.out_channels
        high, wide = -(-h // m), -(-w // m)
        to_values, to_pixels = transforms(m, x.dtype)
        x = x.permute(0, 2, 3, 1)
        y = x.new_empty(len(x), high * m, wide * m, outputs)
        finite = list[bool]()

        def part(start: int, stop: int, first: int, last: int) -> None:
            some = padded_rows(x, m * start, m * stop + 2, m * wide + 2, padding)
            tiles = (
                some.unfold(1, m + 2, m).unfold(2, m + 2, m).permute(4, 5, 0, 1, 2, 3)
            )
            values = to_values @ tiles.reshape(count, -1)
            products = (
                values.view(count, -1, self.in_channels) @ kernels[..., first:last]
            )
            pixels = (to_pixels @ products.view(count, -1)).view(
                m, m, len(x), stop - start, wide, last - first
            )
            finite.append(is_finite(pixels[:: m - 1, :: m - 1]))
            to = y[:, m * start : m * stop, :, first:last]
            tiles = to.view(len(x), stop - start, m, wide, m, last - first)
            tiles = tiles.permute(2, 4, 0, 1, 3, 5)
            if self.bias is None:
                tiles.copy_(pixels)
            else:
                torch.add(pixels, self.bias[first:last], out=tiles)
            self.rectified(to)

        row = count * len(x) * wide * max(self.in_channels, outputs) * x.element_size()
        parts = part_count(kernels.numel() * len(x) * wide * high)
        fair = min(parts, len(x) * wide * high // 48)  # so many tiles fill a product
        bands = split(high, max(1, row * high >> 22, fair))
        blocks = split(outputs, 2 if len(bands) == 1 < parts else 1, 64)
        in_parts([partial(part, *band, *block) for band in bands for block in blocks])
        return y[:, :h, :w].permute(0, 3, 1, 2) if all(finite) else None


@lru_cache(maxsize=1024)
def ranked(
    others: tuple[str, ...],
    tiles: tuple[int, ...],
    made: tuple[int, ...],
    inputs: int,
    outputs: int,
    pays: bool,
) -> tuple[str, ...]:
    """Ways to convolve, first what costs least; tiles that do not pay come last.

    The cost is in multiplications: a sum counts as 75 of them, a kernel's number that
    is read as 25, the calls of torch as 20 million, as measured on some CPUs. No tile
    pays where the CPU multiplies matrices of bfloat16 by itself, as with AMX.
    """
    images, h, w = made
    costs = {others[0]: 0.9 * 9 * (images * h * w + 25) * inputs * outputs}
    for m in tiles:
        count = images * -(-h // m) * -(-w // m)
        products = (count + 25) * inputs * outputs
        cost = 2e7 + (m + 2) ** 2 * (products + 75 * count * (inputs + outputs))
        costs[f"tiles of {m}"] = cost if pays else math.inf
    return *sorted(costs, key=costs.__getitem__), *others[1:]


def values_of_kernels(weight: Tensor, m: int) -> Tensor:
    """Kernels' values at each pair of points: points × inputs × outputs."""
    at = torch.tensor(tile_points(m), dtype=torch.float64)
    scale = (at[:, None] - at).fill_diagonal_(1).prod(1)
    kernel = at[:, None] ** torch.arange(3) / scale[:, None]
    kernel = torch.cat([kernel, torch.tensor([[0.0, 0.0, 1.0]])])
    made = weight.new_empty((m + 2) ** 2, weight.shape[1], weight.shape[0])
    some = weight.new_empty(*weight.shape[:2], 3, dtype=torch.float64)
    for p, row in enumerate(kernel.tolist()):
        some.zero_()
        for i, factor in enumerate(row):
            some.add_(weight[:, :, i], alpha=factor)
        for q, column in enumerate(kernel):
            made[p * (m + 2) + q] = (some @ column).t()
    return made


@cache
def transforms(m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Matrices that give a tile's values at each pair of points from its m + 2 rows of
    pixels, and m rows of new pixels from products of values.
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
