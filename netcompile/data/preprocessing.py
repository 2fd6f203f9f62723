"""What becomes of an image before it enters a net: the order of its channels, the mean, the scale.

The data layer that the net was written with says it (`Layer.images`); here its mean file is read, and options replace
what it says. The FCN reference code's mean is a default for where nobody says one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netcompile.caffemodel.reader import read_mean
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import shape_text
from netcompile.files.look import is_file
from netcompile.ir.graph import Input
from netcompile.layers.images import NO_DATA_LAYER, Images

if TYPE_CHECKING:
    from netcompile.array import Array

# The mean of the FCN reference code's data layers, in BGR order.
FCN_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)

_LEAST, _MOST = 1e-30, 1e30  # of a factor, and of a mean: what float32 has no room for is refused

ORDERS = ("bgr", "rgb", "grey", "depth")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """(pixel − mean) · scale, channels in the given order.

    `mean` has one number a channel, or one for all; `image` is a whole mean image, C×H×W, used where an image has its
    size (elsewhere `mean`, its average, is). `origin` says where it was found. `resize` and `crop` are what the data
    layer does to an image before, as in `layers.images.Images`.
    """

    mean: tuple[float, ...] = FCN_MEAN_BGR
    scale: float = 1.0
    order: str = "bgr"  # "bgr", "rgb", "grey" for nets with one channel, "depth": the logarithm of one number a pixel
    image: Array | None = None
    origin: str = "the FCN reference code"
    unsaid: str = ""  # why nobody says the mean; `mean` is the FCN reference code's then
    resize: tuple[str, int, int] | None = None
    crop: tuple[int, int] | None = None

    def blob(self, pixels: Array) -> Array:
        """A C×H×W float32 blob of an H×W×3 image, for "depth" of an H×W map. ValueError for a depth of 0."""
        return self.normalised(self.planes(pixels))

    def planes(self, pixels: Array) -> Array:
        """The pixels as C×H×W float32 in the order of the channels. ValueError for a depth of 0."""
        import numpy as np

        if self.order == "depth":
            if pixels.min(initial=1) <= 0:
                raise ValueError("a depth of 0 has no logarithm")
            return np.log(pixels.astype(np.float32))[None]
        if self.order == "grey":
            # The weights of ITU-R 601 that every grey conversion uses, Caffe's (OpenCV) and Pillow's alike.
            return np.rint(pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[None]
        return (pixels[:, :, ::-1] if self.order == "bgr" else pixels).astype(np.float32).transpose(2, 0, 1)

    def normalised(self, planes: Array) -> Array:
        """(planes − mean) · scale."""
        import numpy as np

        if self.image is not None and self.image.shape == planes.shape:
            out = planes - self.image
        else:
            out = planes - np.asarray(self.mean, np.float32)[:, None, None]
        if self.scale != 1.0:
            out *= np.float32(self.scale)
        return np.ascontiguousarray(out, np.float32)

    def text(self) -> str:
        """One line for people and for fingerprints."""
        mean = ", ".join(f"{value:.9g}" for value in self.mean)
        scale = f", scale {self.scale:g}" if self.scale != 1 else ""
        whole = " (a mean image)" if self.image is not None else ""
        return f"{self.order.upper()}, mean {mean}{whole}{scale}"

    def told(self) -> str:
        """What a module's docstring says of it."""
        return "order and mean are not in the file" if self.unsaid else self.text()


def of_input(entry: Input, beside: str = "") -> tuple[Preprocessing, list[Diagnostic]]:
    """What an input's data layer does to an image, with the reason where nobody says its mean; and remarks.

    `beside` is the folder of the prototxt, where a mean file may lie. Raises NetError, OSError.
    """
    said = entry.layer.images(entry.message, entry.value.blob)
    notes = list(said.remarks)
    return _read(said, entry, beside, notes), notes


def preprocessing_of(
    found: Preprocessing | None, channels: int, mean: str | None = None, scale: float | None = None,
    order: str | None = None,
) -> tuple[Preprocessing, list[Diagnostic]]:  # fmt: skip
    """What an image of `channels` channels goes through, and remarks: `found` is what the net says.

    `mean` (numbers or a .binaryproto), `scale` and `order` replace what the net says. Raises NetError, OSError.
    """
    result = found if found is not None else Preprocessing(unsaid=NO_DATA_LAYER)
    if mean is not None:
        result = _with_mean(result, mean)
    elif result.unsaid and order == "rgb":
        result = replace(result, mean=FCN_MEAN_BGR[::-1])  # the same mean of the same colours
    if scale is not None:
        if not _LEAST <= abs(scale) <= _MOST:
            refuse("usage", f"--scale {scale:g} leaves nothing of an image", why="values are computed in float32")
        result = replace(result, scale=scale)
    if order is not None:
        result = replace(result, order=order)
    coloured = len(result.mean) > 1
    result = _for_channels(result, channels)
    notes: list[Diagnostic] = []
    if channels == 1 and coloured and not result.unsaid:
        average = f"their average, {result.mean[0]:.6g}, is subtracted"
        what = f"the mean has a number for each colour, the input one channel: {average}"
        why = "Caffe wants one number, or one for each channel"
        notes.append(Diagnostic("mean-average", what, why=why, remedy="--mean M", severity="note"))
    if result.unsaid:
        mean = f"{', '.join(f'{value:.6g}' for value in result.mean)} ({result.order.upper()})"
        what = f"nothing says which mean the net was trained with: {mean} is subtracted"
        why = f"{result.unsaid}; this is the mean of the FCN reference code"
        remedy = "--mean B,G,R or --mean FILE.binaryproto; --mean 0 for none"
        notes.append(Diagnostic("mean-assumed", what, why=why, remedy=remedy, severity="note"))
    return result, notes


def as_json(made: Preprocessing, mean_file: str | None) -> dict[str, Any]:
    """The preprocessing as a build's manifest keeps it; `mean_file` is the build's file with the mean image.

    A mean that nobody says is null, with the reason as "unsaid".
    """
    fields = {"order": made.order, "mean": list(made.mean), "scale": made.scale, "origin": made.origin}
    sizes = {"resize": made.resize, "crop": made.crop}
    fields |= {key: list(value) for key, value in sizes.items() if value is not None}
    if made.unsaid:
        return {**fields, "mean": None, "unsaid": made.unsaid}
    return fields if made.image is None else {**fields, "mean_image": mean_file}


def from_json(fields: dict[str, Any], image: Array | None) -> Preprocessing:
    """The preprocessing of a manifest. Raises KeyError, TypeError, ValueError for what `as_json` does not write."""
    order = str(fields["order"])
    if order not in ORDERS:
        raise ValueError(f"{order!r} is no order of channels")
    made = Preprocessing(scale=float(fields["scale"]), order=order, origin=str(fields["origin"]))
    if fields.get("resize") is not None:
        how, *sides = fields["resize"]
        made = replace(made, resize=(str(how), *_sides(sides)))
    if fields.get("crop") is not None:
        made = replace(made, crop=_sides(fields["crop"]))
    if fields["mean"] is None:
        return replace(made, unsaid=str(fields["unsaid"]))
    return replace(made, mean=tuple(float(value) for value in fields["mean"]), image=image)


def _sides(values: Any) -> tuple[int, int]:
    height, width = map(int, values)
    if min(height, width) < 1:
        raise ValueError(f"{values!r} is no height and width")
    return height, width


def _read(said: Images, entry: Input, beside: str, notes: list[Diagnostic]) -> Preprocessing:
    """The preprocessing that a data layer says, its mean file read; with `unsaid` where that cannot be."""
    made = Preprocessing(
        scale=said.scale, order=said.order, origin=said.origin, unsaid=said.unsaid, resize=said.resize, crop=said.crop
    )
    if said.mean is not None:
        return replace(made, mean=said.mean)
    name = said.mean_file
    if not name:
        return made
    for path in (os.path.join(beside, name), name, os.path.join(beside, os.path.basename(name))):
        if os.path.isfile(path):
            return with_mean_file(made, path)
    what, why = f"the data layer's mean file '{name}' is not here", "the path is of the machine that trained the net"
    remedy = "--mean FILE.binaryproto, or --mean B,G,R"
    notes.append(Diagnostic("mean-file", what, _place(entry), why=why, remedy=remedy, severity="warning"))
    return replace(made, unsaid=f"the data layer names the mean file '{name}', which is not here")


def _place(entry: Input) -> Span:
    """Where an input's message names its mean file."""
    for section in ("transform_param", "image_data_param"):
        if entry.message.has(section) and entry.message.get(section).has("mean_file"):
            found: Span = entry.message.get(section).span_of("mean_file")
            return found
    return entry.message.span


def _with_mean(made: Preprocessing, mean: str) -> Preprocessing:
    """The mean from numbers ("104,117,123", in the net's order of channels) or a .binaryproto."""
    try:
        numbers = tuple(float(part) for part in mean.replace(",", " ").split())
    except ValueError:
        numbers = ()
    if numbers and all(abs(number) <= _MOST for number in numbers):
        return replace(made, mean=numbers, image=None, origin="--mean", unsaid="")
    if not is_file(mean):
        refuse(
            "mean-file",
            f"'{mean}' is neither numbers nor a file",
            remedy="--mean 104.007,116.669,122.679 or --mean FILE.binaryproto",
        )
    return with_mean_file(made, mean)


def with_mean_file(made: Preprocessing, path: str) -> Preprocessing:
    """The mean of a .binaryproto: the whole image, and its average. Raises NetError, OSError."""
    import numpy as np

    image = read_mean(path).array().astype(np.float32)
    while image.ndim > 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 1:
        image = image[:, None, None]
    if image.ndim != 3:
        shape = shape_text(image.shape)
        refuse("mean-file", f"{path}: its shape {shape} is not that of an image's mean")
    average = tuple(float(value) for value in image.mean((1, 2), dtype=np.float64))
    whole = image if image[0].size > 1 else None
    return replace(made, mean=average, image=whole, origin=os.path.basename(path), unsaid="")


def _for_channels(made: Preprocessing, channels: int) -> Preprocessing:
    if channels not in (1, 3):
        refuse(
            "image-input",
            f"the net's input has {channels} channels; an image has 3, or 1",
            remedy="netcompile run feeds any array",
        )
    if made.order == "depth" and channels != 1:
        refuse("image-input", f"the net's input has {channels} channels, a depth map has 1")
    if channels == 1:
        mean = made.mean if len(made.mean) == 1 else (sum(made.mean) / len(made.mean),)
        made = replace(made, order=made.order if made.order == "depth" else "grey", mean=mean)
    elif len(made.mean) not in (1, 3):
        refuse("mean-file", f"the mean has {len(made.mean)} numbers, the image 3 channels")
    if made.image is not None and made.image.shape[0] != channels:
        found = made.image.shape[0]
        refuse("mean-file", f"the mean image has {found} channels, the net's input {channels}")
    return made
