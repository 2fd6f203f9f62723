"""Colours of label maps: PASCAL VOC's, Cityscapes', or a file's."""

from __future__ import annotations

import re

import numpy as np

from netcompile.array import Array
from netcompile.data.class_names import bundled_rows
from netcompile.data.image_file import open_image
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_file
from netcompile.files.reading import open_file


def voc_palette() -> Array:
    """The PASCAL VOC colour map, 256×3: the bits of the label, spread over the high bits of R, G and B.

    >>> voc_palette()[[1, 15, 255]].tolist()
    [[128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    labels, channels = np.arange(256)[:, None], np.arange(3)
    palette = sum((labels >> (3 * place + channels) & 1) << (7 - place) for place in range(8))
    return np.asarray(palette, np.uint8)


def cityscapes_palette() -> Array:
    """The colours of Cityscapes' 19 training classes, 256×3; black beyond them."""
    palette = np.zeros((256, 3), np.uint8)
    for label, row in enumerate(bundled_rows("cityscapes")):
        palette[label] = [int(part) for part in row[1:4]]
    return palette


def palette(name: str) -> Array:
    """A palette by name ("voc", "cityscapes") or from a file, 256×3 bytes; labels that it lacks are black.

    Files: an image of mode P, a Photoshop table (.act, 768 bytes and up), or text with a colour a line: three numbers
    0 … 255 or #rrggbb, with anything that is no number beside them. Raises NetError, OSError.
    """
    if name.lower() in ("voc", "pascal"):
        return voc_palette()
    if name.lower() == "cityscapes":
        return cityscapes_palette()
    if not is_file(name):
        refuse("palette", f"there is no palette '{name}'", remedy="--palette voc, cityscapes, or a file")
    with open_file(name) as file:
        data = file.read(1 << 20)
    colours = _colours_of_image(name) or _colours_of_text(data)
    if colours is None and len(data) in (768, 770, 772):
        colours = [list(data[i : i + 3]) for i in range(0, 768, 3)]
    if not colours or len(colours) > 256:
        refuse(
            "palette",
            f"{name}: no palette can be read from it",
            why=f"it has {len(colours)} colours" if colours else "it is no image of mode P, no .act, no text",
            remedy="write one colour a line: 128 64 128",
        )
    found = np.zeros((256, 3), np.uint8)
    found[: len(colours)] = colours
    return found


def _colours_of_image(path: str) -> list[list[int]] | None:
    try:
        with open_image(path) as image:
            flat = image.getpalette() if image.mode == "P" else None
    except ValueError:
        return None
    return [flat[i : i + 3] for i in range(0, len(flat), 3)] if flat else None


def _colours_of_text(data: bytes) -> list[list[int]] | None:
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
    colours = []
    for line in lines:
        code = re.search(r"#([0-9a-fA-F]{6})\b", line)
        if code:
            colours.append(list(bytes.fromhex(code[1])))
            continue
        numbers = [int(text) for text in re.findall(r"(?<![\w.])\d{1,3}(?![\w.])", line)][-3:]
        if len(numbers) == 3 and max(numbers) < 256:
            colours.append(numbers)
        elif line.strip() and not line.lstrip().startswith(("#", "//")):
            return None
    return colours
