"""Where a pixel of a blob lies on the input: exact stride and offset maps, one per axis.

Two forms of the same map are offered. The *coordinate form* `AxisMap(stride, offset)` says
``input coordinate = stride * index + offset`` for pixel centres. The *size form* ``(S, P')`` of
MXNet's fcn-xs example and of equations (9)-(31) of "Understanding Fully Convolutional Networks"
says ``input size = S * output size + 2 P'``. They are tied by ``P' = offset + (1 - S) / 2``: pixel i
of n lies at ``i - (n - 1) / 2`` from the middle of its blob, and P' is the map between middles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

FilterPair = tuple[Fraction, Fraction]
"""Stride S and offset P' of the size form."""


class StrideMismatch(ValueError):
    """Two maps with unlike strides have no common crop offset."""

    def __init__(self, cropped: AxisMap, reference: AxisMap) -> None:
        super().__init__(f"strides differ: {cropped.stride} and {reference.stride}")
        self.cropped = cropped
        self.reference = reference


@dataclass(frozen=True, slots=True)
class AxisMap:
    """input coordinate = stride * index + offset; stride > 0, both exact (ints become Fractions).

    The maps form a group under `compose`, with `AxisMap.identity()` and `inverse`.
    """

    stride: Fraction
    offset: Fraction

    def __post_init__(self) -> None:
        if self.stride.__class__ is self.offset.__class__ is Fraction and self.stride.numerator > 0:
            return
        for name in ("stride", "offset"):
            value = getattr(self, name)
            if isinstance(value, float):
                raise TypeError(f"{name} must be exact, not the float {value!r}")
            if not isinstance(value, Fraction):
                object.__setattr__(self, name, Fraction(value))
        if self.stride <= 0:
            raise ValueError(f"stride must be positive, not {self.stride}")

    @classmethod
    def identity(cls) -> AxisMap:
        """The map of the input itself, and of every layer that moves no pixel."""
        return _IDENTITY

    @classmethod
    @lru_cache(1024)
    def window(cls, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> AxisMap:
        """Convolution or pooling, output to input: ``(s, d(k-1)/2 - p)``, the middle of window 0."""
        made = cls(Fraction(stride), Fraction(dilation * (kernel - 1), 2) - pad)
        return _IDENTITY if made == _IDENTITY else made

    @classmethod
    @lru_cache(1024)
    def deconvolution(cls, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> AxisMap:
        """Deconvolution: the inverse of the convolution with the same parameters."""
        return cls.window(kernel, stride, pad, dilation).inverse()

    @classmethod
    def crop(cls, offset: Fraction | int) -> AxisMap:
        """Crop: pixel 0 of the output is pixel `offset` of the input."""
        return cls(Fraction(1), Fraction(offset))

    @classmethod
    def from_filter_pair(cls, pair: tuple[Fraction | int, Fraction | int]) -> AxisMap:
        """From the size form: offset = P' - (1 - S) / 2."""
        stride, offset = Fraction(pair[0]), Fraction(pair[1])
        return cls(stride, offset - (1 - stride) / 2)

    def filter_pair(self) -> FilterPair:
        """The size form (S, P'): P' = offset + (1 - S) / 2."""
        return self.stride, self.offset + (1 - self.stride) / 2

    def compose(self, inner: AxisMap) -> AxisMap:
        """This map after `inner`: self(inner(index)), i.e. ``(S·s, S·p + P)``.

        With self the map of a blob to the net's input and inner the map of a layer's output to
        that blob, the result maps the layer's output to the net's input.
        """
        if inner is _IDENTITY:
            return self
        if self is _IDENTITY:
            return inner
        return AxisMap(self.stride * inner.stride, self.stride * inner.offset + self.offset)

    def inverse(self) -> AxisMap:
        """input to index: ``(1/S, -P/S)``."""
        return AxisMap(1 / self.stride, -self.offset / self.stride)

    def __call__(self, index: Fraction | int) -> Fraction:
        """The input coordinate of a pixel index."""
        return self.stride * index + self.offset

    def __str__(self) -> str:
        return f"stride {self.stride}, offset {self.offset}"


_IDENTITY = AxisMap(Fraction(1), Fraction(0))


def crop_offset(cropped: AxisMap, reference: AxisMap) -> Fraction:
    """Where `reference` starts in `cropped`: (B.offset - A.offset) / A.stride.

    Both maps lead to the same ancestor. Raises `StrideMismatch` when their strides differ. The result
    may be negative or no integer: then no Crop aligns the two, which is for the caller to report.
    """
    if cropped.stride != reference.stride:
        raise StrideMismatch(cropped, reference)
    return (reference.offset - cropped.offset) / cropped.stride


def filter_map(kernel: int = 1, stride: int = 1, pad: int = 0, dilation: int = 1) -> FilterPair:
    """(S, P') of a convolution or pooling: P' = (K - S)/2 - P, equation (11); K = d(k-1)+1."""
    return Fraction(stride), Fraction(dilation * (kernel - 1) + 1 - stride, 2) - pad


def inv_fp(fp_in: tuple[Fraction | float, Fraction | float]) -> FilterPair:
    """(S, P') of the deconvolution: (1/S, -P'/S), the post's theorem, equations (14)-(17)."""
    stride, offset = Fraction(fp_in[0]), Fraction(fp_in[1])
    return 1 / stride, -offset / stride


def compose_fp(
    fp_first: tuple[Fraction | float, Fraction | float],
    fp_second: tuple[Fraction | float, Fraction | float],
) -> FilterPair:
    """First layer, then second: (S1·S2, S1·P2' + P1'), equations (30) and (31)."""
    first, second = Fraction(fp_first[0]), Fraction(fp_second[0])
    return first * second, first * Fraction(fp_second[1]) + Fraction(fp_first[1])


def compose_fp_list(fp_list: Iterable[tuple[Fraction | float, Fraction | float]]) -> FilterPair:
    """The compound (S, P') of a chain, first layer first; the net's crop offset T is -P' when S = 1."""
    fp_out: FilterPair = (Fraction(1), Fraction(0))
    for pair in fp_list:
        fp_out = compose_fp(fp_out, pair)
    return fp_out
