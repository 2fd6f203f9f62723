"""Drawn scenes to train the bundled shapes net on: circles, squares, triangles, crosses and rings on textured grounds.

Scene number k is a pure function of k and the seed, so a training can be repeated, and none of the scenes is one of
the 32 images that the net is scored on.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from netcompile.array import Array
from netcompile.data.preprocessing import FCN_MEAN_BGR

CLASSES = ("background", "circle", "square", "triangle", "cross", "ring")
IGNORED = 255
_AREA = 96 * 128  # pixels of a scene of the usual size
_CONTRAST = 90.0  # least distance of a shape's colour from its ground's
_FINE = 3  # drawn so many times finer, then averaged


@dataclass(frozen=True, slots=True)
class Scenes:
    """Batches of one drawn scene: ``data`` 1×3×H×W, BGR minus FCN's mean, and ``label`` 1×1×H×W."""

    seed: int
    height: int = 96
    width: int = 128
    shapes: tuple[int, int] = (1, 4)  # least and most on an area of 96×128

    def batch(self, index: int) -> dict[str, Array]:
        random = np.random.default_rng((self.seed, index))
        image, label = draw_scene(random, self.height, self.width, self.shapes)
        bgr = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
        data = bgr - np.asarray(FCN_MEAN_BGR, np.float32)[:, None, None]
        return {"data": data[None], "label": label[None, None].astype(np.float32)}


def draw_scene(
    random: np.random.Generator, height: int, width: int, shapes: tuple[int, int] = (1, 4)
) -> tuple[Array, Array]:
    """An H×W×3 byte image, RGB, and its H×W byte labels, 255 along the outlines of the shapes."""
    grounds = random.uniform(0, 255, (2, 3))
    image = _ground(random, height, width, grounds)
    image = image + random.normal(0, random.uniform(5, 13), image.shape)  # the shapes themselves are even
    label = np.zeros((height, width), np.uint8)
    scenes = max(1, round(height * width / _AREA))
    for _ in range(int(random.integers(shapes[0], shapes[1] + 1, scenes).sum())):
        kind = int(random.integers(1, len(CLASSES)))
        mask = _mask(random, kind, height, width)
        colour = _colour(random, grounds)
        image = image * (1 - mask[:, :, None]) + mask[:, :, None] * colour
        inside = mask > 0.5
        label[inside] = kind
        label[_outline(inside)] = IGNORED
    drawn = image.clip(0, 255).astype(np.uint8)
    if random.integers(2):  # as a photograph is kept, or exactly
        return drawn, label
    buffer = BytesIO()
    Image.fromarray(drawn).save(buffer, "JPEG", quality=95)
    return np.asarray(Image.open(buffer)), label


def _colour(random: np.random.Generator, grounds: Array) -> Array:
    """A colour that stands out from what lies between the two of the ground."""
    mixed = [grounds[0] * share + grounds[1] * (1 - share) for share in (0.2, 0.5, 0.8)]
    for _ in range(50):
        colour = random.uniform(0, 255, 3)
        if min(float(np.linalg.norm(colour - ground)) for ground in mixed) > _CONTRAST:
            break
    return colour


def _ground(random: np.random.Generator, height: int, width: int, grounds: Array) -> Array:
    """Two colours mixed by waves."""
    first, second = grounds
    y, x = np.mgrid[0:height, 0:width]
    period = random.uniform(25, 160, 2)
    phase = random.uniform(0, 2 * pi, 2)
    wave = np.sin(x * 2 * pi / period[0] + phase[0]) * np.sin(y * 2 * pi / period[1] + phase[1])
    share = (0.5 + 0.5 * random.uniform(0.2, 0.7) * wave)[:, :, None]
    return np.asarray(first * share + second * (1 - share))


def _mask(random: np.random.Generator, kind: int, height: int, width: int) -> Array:
    """The part of each pixel that a shape covers, 0 … 1."""
    canvas = Image.new("L", (width * _FINE, height * _FINE))
    pen = ImageDraw.Draw(canvas)
    radius = random.uniform(10, 30) * _FINE
    centre = (random.uniform(0.05, 0.95) * width * _FINE, random.uniform(0.05, 0.95) * height * _FINE)
    angle, stretch = random.uniform(0, 2 * pi), random.uniform(0.85, 1.2)

    def place(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [
            (
                centre[0] + radius * (cos(angle) * x * stretch - sin(angle) * y),
                centre[1] + radius * (sin(angle) * x * stretch + cos(angle) * y),
            )
            for x, y in points
        ]

    def disc(size: float) -> tuple[float, float, float, float]:
        wide, high = size * radius * stretch, size * radius
        return centre[0] - wide, centre[1] - high, centre[0] + wide, centre[1] + high

    match CLASSES[kind]:
        case "circle":
            pen.ellipse(disc(1), fill=255)
        case "ring":
            pen.ellipse(disc(1), fill=255)
            pen.ellipse(disc(random.uniform(0.55, 0.72)), fill=0)
        case "square":
            pen.polygon(place([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]), fill=255)
        case "triangle":
            pen.polygon(place([(cos(a), sin(a)) for a in (0, 2 * pi / 3, 4 * pi / 3)]), fill=255)
        case _:
            arm = random.uniform(0.25, 0.36)
            pen.polygon(place([(-1, -arm), (1, -arm), (1, arm), (-1, arm)]), fill=255)
            pen.polygon(place([(-arm, -1), (arm, -1), (arm, 1), (-arm, 1)]), fill=255)
    fine = np.asarray(canvas, np.float64).reshape(height, _FINE, width, _FINE)
    covered: Array = fine.mean((1, 3)) / 255
    return covered


def _outline(inside: Array) -> Array:
    """Pixels beside the edge of a shape, on its outer side."""
    wide = np.pad(inside, 1)
    near = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    edge: Array = near & ~inside
    return edge
