"""Images in and label maps out, in the conventions of the FCN reference code: BGR, mean subtracted, VOC palette."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from netcompile.array import Array
from netcompile.data.image_file import open_image
from netcompile.data.palettes import voc_palette
from netcompile.data.preprocessing import FCN_MEAN_BGR, Preprocessing

_PIECE = 1 << 16  # pixels that are mixed at once
_KINDS = "jpg jpeg jpe jfif png bmp dib ppm pgm pbm pnm tif tiff webp gif tga jp2 avif"
EXTENSIONS = frozenset(f".{kind}" for kind in _KINDS.split())


def read_image(path: str | Path, over_white: bool = True) -> Array:
    """An image as H×W×3 bytes, RGB: turned upright by its EXIF tag, grey and palette images expanded, 16 bits a channel
    reduced to 8. Transparency is laid over white, or dropped. Raises as `open_image` does, and ValueError for pixels
    of 32 bits, whose range nothing tells.
    """
    with open_image(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F" or (upright.mode == "I" and image.format != "PNG"):
            raise ValueError("its pixels are numbers of 32 bits; save it with 8 or 16 bits a channel")
        if upright.mode.startswith("I"):  # some versions of Pillow open a PNG of 16 bits as one of 32
            grey = (np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if over_white and (upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info):
            rgba = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
        return np.asarray(upright.convert("RGB"))


def read_depth(path: str | Path) -> Array:
    """One number a pixel, H×W float32, as it is stored (NYUDv2's depth: 16 bits). Raises OSError, ValueError."""
    with open_image(path) as image:
        if len(image.getbands()) != 1 or image.mode == "P":
            raise ValueError(f"it is no map of one number a pixel: its mode is {image.mode}")
        return np.asarray(ImageOps.exif_transpose(image)).astype(np.float32)


def to_blob(rgb: Array, mean_bgr: Sequence[float] = FCN_MEAN_BGR) -> Array:
    """A 1×3×H×W float32 blob as the reference code feeds it: channels in BGR order, mean subtracted."""
    return Preprocessing(tuple(mean_bgr)).blob(rgb)[None]


def png(file: BinaryIO, pixels: Array, palette: Array | None = None, made_by: str = "") -> None:
    """Write a PNG: H×W labels with a palette (mode P), or H×W×3 bytes. `made_by` is kept in a text chunk."""
    image = Image.fromarray(pixels.astype(np.uint8))
    if palette is not None:
        image.putpalette(palette.tobytes())
    info = PngImagePlugin.PngInfo()
    if made_by:
        info.add_text("netcompile", made_by)
    image.save(file, "PNG", pnginfo=info)


def data_uri(pixels: Array, palette: Array | None = None) -> str:
    """H×W labels or H×W×3 bytes as a URI that holds the image: PNG, JPEG for photographs above some size."""
    image, buffer = Image.fromarray(pixels), BytesIO()
    if palette is not None:
        image.putpalette(palette.tobytes())
    kind = "jpeg" if palette is None and pixels.ndim == 3 and pixels.size > 30_000 else "png"
    image.save(buffer, kind.upper(), **({"quality": 85} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"


def overlay(rgb: Array, labels: Array, palette: Array | None = None, opacity: float = 0.6) -> Array:
    """The image with every labelled pixel (label > 0) tinted in its class's colour; H×W×3 bytes."""
    colours = voc_palette() if palette is None else palette
    made = np.empty(rgb.shape, np.uint8)
    flat, pixels, classes = made.reshape(-1, 3), rgb.reshape(-1, 3), labels.reshape(-1)
    for start in range(0, len(flat), _PIECE):  # 80 bytes a pixel meanwhile
        here = slice(start, start + _PIECE)
        mixed = (1 - opacity) * pixels[here] + opacity * colours[classes[here]]
        flat[here] = np.where(classes[here, None] > 0, mixed, pixels[here])
    return made


def tinted(rgb: Array, share: Array, colour: Array) -> Array:
    """The image with `share` (H×W, 0 … 1) of a colour mixed into each pixel; H×W×3 bytes."""
    mixed = (1 - share[:, :, None]) * rgb + share[:, :, None] * colour
    return np.asarray(mixed.round(), np.uint8)


def read_labels(path: str | Path, palette: Array | None = None) -> Array:
    """An H×W label map from a palette or grey PNG: the indices, not the colours; turned upright as its image is.

    Of a colour image the colours are looked up in `palette` (by default VOC's). Raises as `open_image` does, and
    ValueError for a colour that is not in the palette.
    """
    with open_image(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in ("RGB", "RGBA"):
            return np.asarray(upright.convert("L") if upright.mode in ("LA", "1") else upright)
        rgb = np.asarray(upright.convert("RGB")).astype(np.int64)
    keys = (rgb[..., 0] << 16) + (rgb[..., 1] << 8) + rgb[..., 2]
    table = (voc_palette() if palette is None else palette).astype(np.int64)
    known = (table[:, 0] << 16) + (table[:, 1] << 8) + table[:, 2]
    values, first = np.unique(known, return_index=True)
    place = np.searchsorted(values, keys).clip(0, len(values) - 1)
    strange = keys[values[place] != keys]
    if strange.size:
        raise ValueError(f"it has the colour #{int(strange[0]):06x}, which is not in the palette")
    return np.asarray(first[place], np.uint8)


def thumbnail(pixels: Array, longest: int = 320) -> Array:
    """H×W(×3) pixels with the longer side at most `longest`: every n-th pixel, so that labels stay labels."""
    step = max(1, -(-max(pixels.shape[:2]) // longest))
    return np.asarray(pixels[::step, ::step])
