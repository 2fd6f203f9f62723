"""Colours of label maps and names of classes: PASCAL VOC's, Cityscapes', those of the FCN data sets, or a file's."""

from __future__ import annotations

import os
import re

import numpy as np

from netcompile.array import Array
from netcompile.data.image_file import open_image
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.reading import open_file, parse_json, read_bytes

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "classes")


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
    for label, row in enumerate(_rows("cityscapes")):
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
    if not os.path.isfile(name):
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


def _rows(name: str) -> list[list[str]]:
    with open(os.path.join(FOLDER, f"{name}.tsv"), encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file if line.strip()]


def class_sets() -> tuple[str, ...]:
    """The names of the bundled lists of classes.

    >>> class_sets()
    ('cityscapes', 'nyud', 'pascal', 'pascal-context-59', 'sift-flow-geometric', 'sift-flow-semantic')
    """
    return tuple(sorted(name[:-4] for name in os.listdir(FOLDER) if name.endswith(".tsv")))


def class_names(name: str) -> tuple[str, ...]:
    """The classes of a bundled list, or of a text file with one a line ("7: car", "07 car" and "car" all name car).

    Lines after the first empty one are remarks. Raises NetError, OSError.
    """
    if name in class_sets():
        return tuple(row[0] for row in _rows(name))
    if not os.path.isfile(name):
        refuse(
            "class-names",
            f"there is no list of classes '{name}'",
            remedy=f"--classes {', '.join(class_sets())}, or a file with one class a line",
        )
    data = read_bytes(name, 1 << 20)
    if b"\0" in data:
        refuse("class-names", f"{name}: this is no text", remedy="write one class a line")
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").strip()
    lines = [line.strip() for line in text.partition("\n\n")[0].splitlines()]
    if len(lines) == 1 and lines[0].startswith("["):
        try:
            found = parse_json(lines[0])
        except ValueError:
            found = None
        if isinstance(found, list):
            return tuple(map(str, found))
    return tuple(re.sub(r"^\d+\s*[:.)\t ]\s*(?=\S)", "", line) for line in lines)
