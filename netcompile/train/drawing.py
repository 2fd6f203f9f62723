"""Pictures of circles, squares, triangles, crosses and rings, the same to the bit on every machine.

All of it is arithmetic of whole numbers: lengths are in eighths of a pixel, angles are pairs of whole numbers, and
random numbers are the raw words of NumPy's PCG64, which NumPy promises to keep. What the small classifier and detector
learn from is drawn here, and what they are tested on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from netcompile.array import Array

KINDS = ("circle", "square", "triangle", "cross", "ring")
UNIT = 8  # of a pixel
_FINE = 4  # samples of a pixel each way
_ALL = _FINE * _FINE
_CONTRAST = 80  # least distance of a colour from both of its ground's
_SHARED = 3  # a figure overlaps another's box by a part of this of the smaller one at most


class Dice:
    """Random whole numbers that only the seed decides."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def between(self, least: int, most: int) -> int:
        """A number from `least` to `most`, both of them possible."""
        word = int(self._bits.random_raw())
        return least + (word >> 16) % (most - least + 1)

    def colour(self) -> tuple[int, int, int]:
        return self.between(0, 255), self.between(0, 255), self.between(0, 255)

    def noise(self, height: int, width: int, most: int) -> Array:
        """Whole numbers of −`most` to `most`, height × width."""
        words = self._bits.random_raw(height * width) >> 16
        found: Array = (words % (2 * most + 1)).astype(np.int64).reshape(height, width) - most
        return found


@dataclass(frozen=True, slots=True)
class Figure:
    """A shape in a place. Lengths are in eighths of a pixel; (`p`, `q`) is the direction of its first axis."""

    kind: str  # of KINDS, or "bar"
    x: int
    y: int
    along: int  # half its extent
    across: int
    p: int
    q: int
    inner: int = 0  # width of a cross's arm, of a ring's hole, in 32nds of the whole

    def contains(self, dx: Array, dy: Array) -> Array:
        """Which points are inside; `dx` and `dy` are from the centre."""
        length = isqrt(self.p * self.p + self.q * self.q)
        u, v = dx * self.p + dy * self.q, dy * self.p - dx * self.q
        a, b = self.along * length, self.across * length
        inside: Array
        match self.kind:
            case "circle":
                inside = (u * self.across) ** 2 + (v * self.along) ** 2 <= (a * self.across) ** 2
            case "ring":
                far = (u * self.across) ** 2 + (v * self.along) ** 2
                inside = (far <= (a * self.across) ** 2) & (1024 * far > (a * self.across * self.inner) ** 2)
            case "square":
                inside = (16 * abs(u) <= 13 * a) & (16 * abs(v) <= 13 * b)
            case "triangle":  # equilateral before it is stretched: √3 is 1774 / 1024
                inside = (2 * u >= -a) & (1024 * u * b + 1774 * abs(v) * a <= 1024 * a * b)
            case "cross":
                one = (abs(u) <= a) & (32 * abs(v) <= b * self.inner)
                inside = one | (abs(v) <= b) & (32 * abs(u) <= a * self.inner)
            case _:
                inside = (abs(u) <= a) & (abs(v) <= b)
        return inside

    def coverage(self) -> tuple[int, int, Array]:
        """The first row and column of a window, and for each of its pixels how many of 16 samples are inside."""
        reach = isqrt(self.along * self.along + self.across * self.across) // UNIT + 2
        top, left = self.y // UNIT - reach, self.x // UNIT - reach
        size = 2 * reach + 1
        points = (2 * np.arange(size * _FINE, dtype=np.int64) + 1) * UNIT // (2 * _FINE)
        inside = self.contains((points + (left * UNIT - self.x))[None, :], (points + (top * UNIT - self.y))[:, None])
        return top, left, inside.reshape(size, _FINE, size, _FINE).sum((1, 3))


@dataclass(frozen=True, slots=True)
class Found:
    """A shape of a scene: its class's place in KINDS, and the box of what shows of it.

    Corners are pixels counted from 1, and both belong to the box, as in PASCAL VOC.
    """

    kind: int
    xmin: int
    ymin: int
    xmax: int
    ymax: int
    truncated: bool  # it reaches the edge of the picture
    difficult: bool  # less than half of it shows


class Canvas:
    """A picture under way, height × width × 3, and which figure each of its pixels shows."""

    def __init__(self, dice: Dice, height: int, width: int) -> None:
        self.dice, self.height, self.width = dice, height, width
        self.grounds = (dice.colour(), dice.colour())
        self.image = self._ground()
        self.shows = np.full((height, width), -1, np.int64)
        self.figures: list[tuple[int, int]] = []  # class, and pixels of all of it

    def _ground(self) -> Array:
        """Two colours mixed by waves, and grain."""
        dice, height, width = self.dice, self.height, self.width
        waves = []
        for size in (height, width):
            period, phase = dice.between(24, 160), dice.between(0, 159)
            waves.append(abs(2 * ((np.arange(size) + phase) % period) - period) * 256 // period - 128)
        share = 128 + dice.between(25, 90) * waves[0][:, None] * waves[1][None, :] // (128 * 128)
        first, second = (np.array(colour, np.int64) for colour in self.grounds)
        image = (first * share[:, :, None] + second * (256 - share[:, :, None])) // 256
        grain = dice.noise((height + 2) // 3, (width + 2) // 3, dice.between(3, 9))
        grain = grain.repeat(3, 0).repeat(3, 1)[:height, :width]
        mixed: Array = image + grain[:, :, None]
        return mixed

    def colour(self) -> tuple[int, int, int]:
        """A colour that stands out from both of the ground."""
        for _ in range(50):
            colour = self.dice.colour()
            if all(_distance(colour, ground) > _CONTRAST * _CONTRAST for ground in self.grounds):
                break
        return colour

    def draw(self, figure: Figure, colour: tuple[int, int, int]) -> None:
        """Draw over what is there."""
        top, left, whole = figure.coverage()
        rows = slice(max(top, 0), min(top + len(whole), self.height))
        columns = slice(max(left, 0), min(left + len(whole), self.width))
        part = whole[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        under = self.image[rows, columns]
        over = np.array(colour, np.int64)
        self.image[rows, columns] = (under * (_ALL - part[:, :, None]) + over * part[:, :, None] + _ALL // 2) // _ALL
        if figure.kind in KINDS:
            self.shows[rows, columns][2 * part >= _ALL] = len(self.figures)
            self.figures.append((KINDS.index(figure.kind), int((2 * whole >= _ALL).sum())))

    def clutter(self, most: int) -> None:
        """Some thin bars, which belong to no class."""
        for _ in range(self.dice.between(0, most)):
            dice = self.dice
            x, y = dice.between(0, self.width * UNIT), dice.between(0, self.height * UNIT)
            bar = Figure("bar", x, y, dice.between(10, 30) * UNIT, dice.between(4, 12), *direction(dice))
            self.draw(bar, self.colour())

    def bytes(self) -> Array:
        """The picture, RGB."""
        found: Array = self.image.clip(0, 255).astype(np.uint8)
        return found

    def found(self) -> list[Found]:
        """What shows, in the order in which it was drawn."""
        out = []
        for number, (kind, whole) in enumerate(self.figures):
            rows, columns = (self.shows == number).nonzero()
            if len(rows) == 0:
                continue
            box = (int(columns.min()) + 1, int(rows.min()) + 1, int(columns.max()) + 1, int(rows.max()) + 1)
            out.append(Found(kind, *box, truncated=self._at_the_edge(number), difficult=2 * len(rows) < whole))
        return out

    def _at_the_edge(self, number: int) -> bool:
        """Whether a figure reaches the edge of the picture."""
        edge = self.shows[0], self.shows[-1], self.shows[:, 0], self.shows[:, -1]
        return any(bool((line == number).any()) for line in edge)


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def direction(dice: Dice) -> tuple[int, int]:
    """A pair of whole numbers whose length is near 128."""
    while True:
        p, q = dice.between(-128, 128), dice.between(-128, 128)
        if 120 * 120 <= p * p + q * q <= 128 * 128:
            return p, q


def figure(dice: Dice, kind: int, x: int, y: int, radius: int) -> Figure:
    """A figure of about this radius, turned and stretched by chance."""
    along, across = (radius * dice.between(27, 37) // 32 for _ in range(2))
    inner = dice.between(7, 11) if KINDS[kind] == "cross" else dice.between(17, 23)
    return Figure(KINDS[kind], x, y, along, across, *direction(dice), inner)


def draw_one(dice: Dice, size: int, kind: int) -> Array:
    """A square picture with one shape, size × size × 3 bytes, RGB; `kind` is the shape's place in KINDS."""
    canvas = Canvas(dice, size, size)
    canvas.clutter(3)
    radius = dice.between(size // 8 * UNIT, size // 3 * UNIT)
    x, y = (dice.between(size * UNIT * 5 // 16, size * UNIT * 11 // 16) for _ in range(2))
    canvas.draw(figure(dice, kind, x, y, radius), canvas.colour())
    canvas.clutter(1)
    return canvas.bytes()


def draw_several(dice: Dice, height: int, width: int) -> tuple[Array, list[Found]]:
    """A scene of one to five shapes, height × width × 3 bytes, RGB, and what shows of them."""
    canvas = Canvas(dice, height, width)
    canvas.clutter(3)
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(dice.between(1, 5)):
        kind, radius = dice.between(0, len(KINDS) - 1), dice.between(9 * UNIT, 27 * UNIT)
        for _ in range(20):
            x, y = dice.between(0, width * UNIT), dice.between(0, height * UNIT)
            box = (x - radius, y - radius, x + radius, y + radius)
            inside = _shared(box, (0, 0, width * UNIT, height * UNIT))
            free = all(_SHARED * _shared(box, other) <= min(_area(box), _area(other)) for other in taken)
            if free and 16 * inside >= 6 * _area(box):
                taken.append(box)
                canvas.draw(figure(dice, kind, x, y, radius), canvas.colour())
                break
    canvas.clutter(1)
    return canvas.bytes(), canvas.found()


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> int:
    """The area that two boxes have in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)
