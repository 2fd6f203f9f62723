"""Whether a deconvolution can be an exact bilinear upsampling.

By a factor f, bilinear interpolation is the deconvolution of stride f whose kernel is the triangle
``w(x) = max(0, 1 - |x - centre|/f)``. It is exact where the weights that meet in each output pixel, every f-th of
the kernel, sum to 1: constant planes stay constant. The least kernel that has room for the triangle's taps on both
sides alike has ``2f - f mod 2`` of them: even for even f, where the triangle's tip lies between two taps.

Caffe's filler "bilinear" (include/caffe/filler.hpp) knows the kernel's size K only, and draws the triangle of factor
⌈K/2⌉. Two versions of it put the tip in different places, which agree where K = 2f - f mod 2:

    (K - 1)/2                      since BVLC's pull request 5713 of 2017, and in FCN's surgery.py: `bilinear`
    (2⌈K/2⌉ - 1 - ⌈K/2⌉ mod 2)/2   up to the release 1.0 of April 2017, and in most forks: `Kernel.filler`

Training and surgery draw the first. The second leaves ripples in other kernels, of which a
net that may run there is warned.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netcompile.array import Array

MOST_TAPS = 4096


def bilinear(height: int, width: int | None = None, dtype: str = "float64") -> Array:
    """The h×w window (by default h×h) of triangles around the middle, float32; in `dtype` float32 as Caffe computes it.

    This is the filler of today's Caffe (its tip at (K - 1)/2) and the kernel of FCN's ``surgery.interp``.

    >>> bilinear(4)[1].tolist()
    [0.1875, 0.5625, 0.5625, 0.1875]
    >>> bilinear(3)[1].tolist()
    [0.5, 1.0, 0.5]
    """
    import numpy as np

    def ramp(size: int) -> Array:
        factor = (size + 1) // 2
        centre = (size - 1) / (2.0 * factor)
        return np.asarray(1 - np.abs(np.arange(size, dtype=dtype) / factor - centre))

    return np.outer(ramp(height), ramp(height if width is None else width)).astype(np.float32)


def interpolating(shape: tuple[int, ...], dtype: str = "float64") -> Array:
    """A C×C×h×w or C×1×h×w blob that enlarges each channel by itself: that window on the diagonal, elsewhere zeros."""
    import numpy as np

    blob = np.zeros(shape, np.float32)
    blob[np.arange(shape[0]), np.arange(shape[0]) if shape[1] > 1 else 0] = bilinear(shape[2], shape[3], dtype)
    return blob


def exact_kernel(factor: int) -> int:
    """The bilinear kernel's size for a factor: 2f - f mod 2."""
    return 2 * factor - factor % 2


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a kernel of this size is to bilinear upsampling by its stride, along one axis."""

    size: int
    factor: int

    @property
    def wanted(self) -> int:
        return exact_kernel(self.factor)

    @property
    def exact(self) -> bool:
        """Whether every version of Caffe's filler makes it exactly bilinear."""
        return self.size == self.wanted

    @property
    def centred(self) -> bool:
        """Whether a triangle around the middle tap is exact, though Caffe 1.0's filler is not: 2f - 1 taps, f even."""
        return not self.exact and self.size == 2 * self.factor - 1

    def filler(self) -> tuple[Fraction, ...]:
        """The taps that the filler "bilinear" of Caffe 1.0 writes: its tip lies at (2⌈K/2⌉ - 1 - ⌈K/2⌉ mod 2)/2.

        Today's Caffe has it at (K - 1)/2, as `bilinear` draws it.
        """
        return tuple(1 - abs(i - self.tip) / self.reach for i in range(self.size))

    @property
    def reach(self) -> int:
        """The factor that the filler takes the kernel to be for: ⌈K/2⌉."""
        return -(-self.size // 2)

    @property
    def tip(self) -> Fraction:
        """Where the triangle of Caffe 1.0's filler has its tip, in taps from the first."""
        return Fraction(2 * self.reach - 1 - self.reach % 2, 2)

    def gain(self) -> tuple[Fraction, Fraction] | None:
        """The least and the greatest sum of the filler's weights that meet in one pixel: (1, 1) is exact.

        None for a kernel of more than 4096 taps, which nobody has.
        """
        if self.size > MOST_TAPS:
            return None
        taps = self.filler()
        sums = [sum(taps[phase :: self.factor], Fraction(0)) for phase in range(self.factor)]
        return min(sums), max(sums)

    def shift(self) -> Fraction:
        """By how much of an output pixel the filler's tip lies off the kernel's middle, where coordinates have it."""
        return self.tip - Fraction(self.size - 1, 2)

    def __str__(self) -> str:
        rule = f"2·{self.factor} − {self.factor} mod 2"
        if self.exact:
            return f"kernel {self.size} = {rule}: exactly bilinear for stride {self.factor}"
        text = f"kernel {self.size}, not {rule} = {self.wanted}"
        if self.centred:
            return f"{text}: bilinear with the triangle around its middle tap, not with Caffe 1.0's filler"
        if self.size <= self.factor:
            return f"{text}: not bilinear, every pixel becomes a block of its own"
        gain = self.gain()
        if gain is None:
            return f"{text}: not bilinear for stride {self.factor}"
        low, high = gain
        if low == high == 1 and self.shift() == 0:
            return f"{text}: Caffe's filler interpolates over {self.reach} pixels, not {self.factor}"
        if low == high == 1 and self.reach == self.factor:
            return f"{text}: bilinear, but Caffe 1.0's filler has its tip {abs(self.shift())} pixel off the middle"
        sums = f"{low}" if low == high else f"{low} to {high}"
        return f"{text}: not bilinear for stride {self.factor} (the weights of Caffe 1.0's filler sum to {sums}, not 1)"
