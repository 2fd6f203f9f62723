"""Boxes drawn over an image, with the names and scores of what they hold.

The colours are those of Okabe and Ito, "Color Universal Design" (2008), which people who see fewer colours can tell
apart too; class after class takes the next of the eight. The classes that follow have them again with broken lines, of
another pattern for every eight, and beyond 32 classes darker, then lighter. Names stand beside all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from netcompile.array import Array
from netcompile.data.boxes import Detections
from netcompile.tasks.legend import class_label

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # the first pixel along x and y, and the one behind the last

COLOURS: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0),
)  # fmt: skip
# Of each eight classes, in widths of the line: how long it is drawn and left out by turns; () is one line.
PATTERNS: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (6, 2, 2, 2))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_SMALLEST, _LARGEST = 7, 40  # pixels of the letters
_MOST_LABELS = 300  # each is compared with those before it


def style_of(label: int) -> tuple[Colour, tuple[int, ...]]:
    """The colour and the line of a class: 92 different ones (black cannot be darkened); class 96 begins anew.

    >>> style_of(0), style_of(9), style_of(32)
    (((230, 159, 0), ()), ((86, 180, 233), (6, 3)), ((138, 95, 0), ()))
    """
    turn, place = divmod(label, len(COLOURS))
    shade, pattern = divmod(turn, len(PATTERNS))
    dark = (1.0, 0.6, 0.5)[shade % 3]
    ground = 255 * (1 - dark) if shade % 3 == 2 else 0
    red, green, blue = (round(value * dark + ground) for value in COLOURS[place])
    return (red, green, blue), PATTERNS[pattern]


def text_colour(ground: Colour) -> Colour:
    """Black or white, whichever contrasts more with the ground by the relative luminance of WCAG 2.

    >>> text_colour((240, 228, 66)), text_colour((0, 0, 0))
    ((0, 0, 0), (255, 255, 255))
    """
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (value / 255 for value in ground)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) ** 2 > 0.05 * 1.05 else WHITE


def drawn(rgb: Array, found: Detections, names: Sequence[str] = (), scores: bool = True) -> Array:
    """The image (H×W×3 bytes) with a box and a label for everything that was found, the best on top.

    Lines and letters grow with the image; labels stay within it, and those that find no room are left out, as are all
    beyond the best 300. `names` are those of the classes; a class beyond them has its number. `scores`: whether labels
    have them. Accents are dropped, and other characters that Pillow's own font lacks or that do not show are escapes.
    """
    height, width = rgb.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(rgb))
    draw = ImageDraw.Draw(image)
    line = max(1, round(min(height, width) / 250))
    ordered = found.best_first()
    pixels = np.rint(np.clip(ordered.edges(), -1, max(height, width) + 1)).astype(int)
    boxes = [_within(box, height, width) for box in pixels.tolist()]
    for label, box in reversed(list(zip(ordered.classes.tolist(), boxes, strict=True))):
        colour, pattern = style_of(label)
        halo = text_colour(colour)
        for part in _outline(box, line, pattern):
            _fill(draw, _grown(part, max(1, line // 3)), halo)
        for part in _outline(box, line, pattern):
            _fill(draw, part, colour)
    _write_labels(draw, _texts(ordered, names, scores), ordered, boxes, (height, width))
    return np.asarray(image)


def _within(box: Sequence[int], height: int, width: int) -> Rectangle:
    """The part within the image, one pixel at least."""
    x, y = (min(max(value, 0), side - 1) for value, side in zip(box[:2], (width, height), strict=True))
    return x, y, min(max(box[2], x + 1), width), min(max(box[3], y + 1), height)


def _grown(part: Rectangle, by: int) -> Rectangle:
    return part[0] - by, part[1] - by, part[2] + by, part[3] + by


def _fill(draw: ImageDraw.ImageDraw, part: Rectangle, colour: Colour) -> None:
    draw.rectangle((part[0], part[1], part[2] - 1, part[3] - 1), fill=colour)


def _outline(box: Rectangle, line: int, pattern: Sequence[int]) -> Iterator[Rectangle]:
    """The pieces of a box's border, within it."""
    x0, y0, x1, y1 = box
    across, down = min(line, x1 - x0), min(line, y1 - y0)
    for start, stop in _pieces(x0, x1, line, pattern):
        yield start, y0, stop, y0 + down
        yield start, y1 - down, stop, y1
    for start, stop in _pieces(y0, y1, line, pattern):
        yield x0, start, x0 + across, stop
        yield x1 - across, start, x1, stop


def _pieces(start: int, stop: int, line: int, pattern: Sequence[int]) -> Iterator[tuple[int, int]]:
    """A side from `start` to `stop` in the pieces of its pattern."""
    if not pattern:
        yield start, stop
        return
    at, turn = start, 0
    while at < stop:
        end = at + line * pattern[turn % len(pattern)]
        if turn % 2 == 0:
            yield at, min(end, stop)
        at, turn = end, turn + 1


def _texts(found: Detections, names: Sequence[str], scores: bool) -> list[str]:
    pairs = zip(found.classes.tolist(), found.scores.tolist(), strict=True)
    return [
        f"{class_label(label, names)} {score:.2f}" if scores else class_label(label, names) for label, score in pairs
    ]


def _write_labels(
    draw: ImageDraw.ImageDraw, texts: Sequence[str], found: Detections, boxes: Sequence[Rectangle],
    size: tuple[int, int],
) -> None:  # fmt: skip
    height, width = size
    letters = int(min(max((height * width) ** 0.5 / 32, 10), _LARGEST, height / 1.5))
    if letters < _SMALLEST:
        return
    font, pad = ImageFont.load_default(letters), max(1, letters // 6)
    taken: list[Rectangle] = []
    placed: list[tuple[Rectangle, str, Colour]] = []
    for text, label, box in zip(texts[:_MOST_LABELS], found.classes.tolist(), boxes, strict=False):
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font, anchor="ls")
        across, down = int(right - min(left, 0)) + 2 * pad + 1, letters + 2 * pad
        spot = _spot(box, across, max(down, int(bottom - top) + 2 * pad), size, taken)
        if spot is not None:
            taken.append(spot)
            placed.append((spot, text, style_of(label)[0]))
    for spot, text, colour in reversed(placed):
        _fill(draw, spot, colour)
        draw.text((spot[0] + pad, spot[3] - pad - letters // 5), text, font=font, fill=text_colour(colour), anchor="ls")


def _spot(
    box: Rectangle, across: int, down: int, size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle | None:
    """Where a label of this size goes: above its box, within it or below it, where it is free; None without room."""
    height, width = size
    if across > width or down > height:
        return None
    left = min(box[0], width - across)
    tops = (box[1] - down, box[1], box[3], box[3] - down)
    spots = [(left, top, left + across, top + down) for top in tops if 0 <= top <= height - down]
    free = [spot for spot in spots if not any(_meet(spot, other) for other in taken)]
    if free or spots:
        return (free or spots)[0]
    return left, height - down, left + across, height


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
