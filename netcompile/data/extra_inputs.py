"""The images that a net takes besides the one it labels: HHA or depth beside colour, one folder for each input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from netcompile.array import Array
from netcompile.data.images import EXTENSIONS, read_depth, read_image
from netcompile.data.paths import first_there
from netcompile.data.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class ExtraInput:
    """An input, the folder of its images, and what they go through."""

    blob: str
    folder: str
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class ExtraInputs:
    """All inputs but the first."""

    all: tuple[ExtraInput, ...] = ()

    def images(self, path: str, rgb: Array) -> Iterator[tuple[str, Preprocessing, Array]]:
        """The images that go with the image `rgb` of this path, by blob. Raises OSError, ValueError."""
        for one in self.all:
            where = beside(one.folder, path)
            if where is None:
                raise ValueError(f"'{one.folder}' has no image of its name for input '{one.blob}'")
            pixels = (read_depth if one.preprocessing.order == "depth" else read_image)(where)
            if pixels.shape[:2] != rgb.shape[:2]:
                (a, b), (c, d) = rgb.shape[:2], pixels.shape[:2]
                raise ValueError(f"it is {a}×{b}, its companion for input '{one.blob}' {c}×{d}")
            yield one.blob, one.preprocessing, pixels

    def paths(self, path: str) -> tuple[str, ...]:
        """The files that go with an image; those that are not there are left out."""
        return tuple(found for one in self.all if (found := beside(one.folder, path)) is not None)

    def text(self) -> str:
        """One line for fingerprints: what is read from where, and what becomes of it."""
        return "; ".join(f"{one.blob}: {os.path.abspath(one.folder)}, {one.preprocessing.text()}" for one in self.all)


def beside(folder: str, path: str) -> str | None:
    """The image in `folder` that has the name of `path`, whatever its extension."""
    stem, extension = os.path.splitext(os.path.basename(path))
    return first_there(os.path.join(folder, stem + other) for other in (extension, ".png", ".jpg", *sorted(EXTENSIONS)))
