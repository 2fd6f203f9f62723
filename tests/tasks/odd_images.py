"""Some forty images such as people have, whole and broken, each with whether it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = np.random.RandomState(14)


def noise(height: int, width: int, channels: int = 3) -> Image.Image:
    pixels = RANDOM.randint(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[:, :, 0])


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(noise(9, 14), "JPEG", exif=exif)


def readable() -> Iterator[tuple[str, bytes]]:
    for height, width in ((1, 1), (1, 2), (2, 1), (3, 3), (7, 4000), (4000, 7), (12, 16), (13, 17), (300, 300)):
        yield f"size-{height}x{width}.png", encoded(noise(height, width), "PNG")
    for orientation in range(1, 9):
        yield f"turned-{orientation}.jpg", turned(orientation)
    yield "grey.png", encoded(noise(9, 8, 1), "PNG")
    yield "grey.jpg", encoded(noise(9, 8, 1), "JPEG")
    yield "alpha.png", encoded(noise(9, 8, 4), "PNG")
    yield "grey-alpha.png", encoded(noise(9, 8, 4).convert("LA"), "PNG")
    yield "palette.png", encoded(noise(9, 8).convert("P"), "PNG")
    yield "palette-clear.png", encoded(noise(9, 8).convert("P"), "PNG", transparency=3)
    yield "one-bit.png", encoded(noise(9, 8, 1).convert("1"), "PNG")
    sixteen = Image.fromarray(RANDOM.randint(0, 1 << 16, (9, 8)).astype(np.uint16))
    yield "sixteen.png", encoded(sixteen, "PNG")
    yield "sixteen.tif", encoded(sixteen, "TIFF")
    yield "cmyk.jpg", encoded(noise(9, 8).convert("CMYK"), "JPEG")
    yield "cmyk.tif", encoded(noise(9, 8).convert("CMYK"), "TIFF")
    yield "ycc.tif", encoded(noise(9, 8), "TIFF", compression="tiff_lzw")
    yield "progressive.jpg", encoded(noise(30, 40), "JPEG", progressive=True, quality=5)
    yield "animated.gif", encoded(noise(9, 8), "GIF", save_all=True, append_images=[noise(9, 8)])
    yield "animated.png", encoded(noise(9, 8), "PNG", save_all=True, append_images=[noise(9, 8)])
    yield "plain.bmp", encoded(noise(9, 8), "BMP")
    yield "plain.ppm", encoded(noise(9, 8), "PPM")
    yield "plain.webp", encoded(noise(9, 8), "WEBP")
    yield "wrong-name.jpg", encoded(noise(9, 8), "PNG")


def broken() -> Iterator[tuple[str, bytes]]:
    whole, photo = encoded(noise(30, 40), "PNG"), encoded(noise(60, 80), "JPEG")
    yield "cut.png", whole[: len(whole) // 2]
    yield "cut.jpg", photo[:80]
    yield "empty.png", b""
    yield "text.jpg", b"<html>404 Not Found</html>"
    yield "flipped.png", whole[:40] + bytes(255 - byte for byte in whole[40:60]) + whole[60:]
    floats = Image.fromarray(RANDOM.rand(5, 6).astype(np.float32))
    yield "floats.tif", encoded(floats, "TIFF")


def write(folder: Path) -> tuple[set[str], set[str]]:
    """Write them all: the names of those that can be read, and of those that cannot."""
    folder.mkdir()
    names = []
    for images in (readable(), broken()):
        names.append(set())
        for name, data in images:
            (folder / name).write_bytes(data)
            names[-1].add(name)
    return names[0], names[1]
