"""A legend below a picture: which colour is which class, in the letters that Pillow's own font has."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from netcompile.array import Array
from netcompile.diagnostics.visible import visible

Entry = tuple[tuple[int, int, int], str]  # a colour, and what it is

GROUND, INK, EDGE = (255, 255, 255), (0, 0, 0), (128, 128, 128)
_LONGEST = 40  # characters of a name
_SMALLEST, _LARGEST = 11, 22  # pixels of the letters


def class_label(label: int, names: Sequence[str]) -> str:
    """The class's name in the letters that the font has, ASCII's: without accents, other characters as escapes.

    >>> class_label(1, ["background", "café"]), class_label(7, [])
    ('cafe', 'class 7')
    """
    if not 0 <= label < len(names):
        return f"class {label}"
    plain = "".join(char for char in normalize("NFKD", visible(names[label])) if not combining(char))
    name = plain.encode("ascii", "backslashreplace").decode("ascii")
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def with_legend(picture: Array, entries: Sequence[Entry]) -> Array:
    """A picture (H×W×3 bytes) as it is, and the entries in rows below it; as wide as it, or as the widest entry.

    Without entries it is the picture alone.
    """
    if not entries:
        return picture
    height, width = picture.shape[:2]
    letters = int(min(max((height * width) ** 0.5 / 36, _SMALLEST), _LARGEST))
    font, gap = ImageFont.load_default(letters), letters // 2
    widths = [letters + gap + int(np.ceil(font.getlength(name))) + 2 * gap for _, name in entries]
    across = max(width, max(widths) + gap)
    places = _places(widths, across - gap)
    row = letters + gap
    whole = Image.new("RGB", (across, height + 2 * gap + (1 + places[-1][1]) * row), GROUND)
    whole.paste(Image.fromarray(np.ascontiguousarray(picture)))
    draw = ImageDraw.Draw(whole)
    for (colour, name), (x, line) in zip(entries, places, strict=True):
        left, top = gap + x, height + gap + line * row
        draw.rectangle((left, top, left + letters, top + letters), fill=colour, outline=EDGE)
        draw.text((left + letters + gap, top + letters - letters // 6), name, font=font, fill=INK, anchor="ls")
    return np.asarray(whole)


def _places(widths: Sequence[int], across: int) -> list[tuple[int, int]]:
    """Where each entry stands: how far from the left, and in which row."""
    found, x, line = [], 0, 0
    for width in widths:
        if x and x + width > across:
            x, line = 0, line + 1
        found.append((x, line))
        x += width
    return found
