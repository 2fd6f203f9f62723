"""The one place where images of others are opened: of known formats, of a size that is looked at first.

Pillow has plug-ins for some fifty formats, one of which starts another program (EPS), and decoders in C; damaged files
make it raise whatever they like. libtiff would map a file, and a mapping of a file that somebody shortens ends the
process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BufferedReader, BytesIO, FileIO, UnsupportedOperation
from typing import BinaryIO

from PIL import Image

from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.limits import require_memory
from netcompile.files.reading import open_descriptor

_FORMATS = ("JPEG", "PNG", "MPO", "BMP", "DIB", "PPM", "TIFF", "WEBP", "GIF", "TGA", "JPEG2000", "AVIF")
_PER_PIXEL = 16  # bytes: four as decoded, laid over white, and as an array


class _Unmapped(BufferedReader):
    """An open file that says no number of the system's: who gets it can only read it."""

    def fileno(self) -> int:
        raise UnsupportedOperation("fileno")


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The image in a file, not yet decoded; the block decodes it.

    Raises OSError; ValueError for what Pillow cannot open or decode, there or in the block; NetError for more pixels
    than Pillow's MAX_IMAGE_PIXELS or than the memory may hold, and for a path that is no file.
    """
    name = os.fspath(path)
    with _told(name), _Unmapped(FileIO(open_descriptor(name))) as file, _opened(file, name) as image:
        yield image


@contextmanager
def open_encoded(data: bytes, name: str) -> Iterator[Image.Image]:
    """The image that `data` is the file of, as `open_image` gives it; `name` is what messages call it."""
    with _told(name), _opened(BytesIO(data), name) as image:
        yield image


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    with Image.open(file, formats=_formats()) as image:
        whole = file.seek(0, os.SEEK_END) if image.format == "TIFF" else 0  # libtiff gets it in one piece
        _require_room(name, *image.size, whole)
        yield image


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What goes wrong in the block as `open_image` tells it."""
    try:
        yield
    except NetError:
        raise
    except MemoryError:  # some decoders ask for what a file claims
        refuse("too-large", f"{name}: its decoder asks for more memory than there is")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the latter where warnings are errors
        _refuse(name, "it has more than twice as many")
    except Exception as error:  # of Pillow's decoders
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(reason_of(error)) from None


def _require_room(name: str, width: int, height: int, more: int) -> None:
    pixels = width * height
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        _refuse(name, f"it has {width}×{height}")
    require_memory(pixels * _PER_PIXEL + more, f"{name}, of {width}×{height} pixels,")


def _refuse(name: str, why: str) -> None:
    what = f"{name} has more than {Image.MAX_IMAGE_PIXELS} pixels"
    refuse("too-large", what, why=why, remedy="make it smaller; from Python, PIL.Image.MAX_IMAGE_PIXELS is the limit")


@cache
def _formats() -> tuple[str, ...]:
    """Those of the formats that this Pillow has."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def reason_of(error: Exception) -> str:
    """Why a file could not be read, in one line without its path."""
    if isinstance(error, NetError):
        return error.diagnostics[0].what
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    if lines and lines[0].startswith("cannot identify image file"):
        return "it is no image in a format known here"
    return lines[0][:300] if lines else type(error).__name__
