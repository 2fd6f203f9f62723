"""What becomes of an image before it enters a net: the order of its channels, the mean, the scale.

Read from the data layer that the net was written with; nothing in it is executed: a Python layer's `param_str` is read
as a literal.
"""

from __future__ import annotations

import os
from math import isfinite
from typing import TYPE_CHECKING, Any

from netcompile.prototxt.diagnostic import Diagnostic, NetError
from netcompile.record import record, replace

if TYPE_CHECKING:
    import numpy as np

    from netcompile.ir.graph import Input

    Array = np.ndarray[Any, np.dtype[Any]]

# The mean of the FCN reference code's data layers, in BGR order.
FCN_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)

# Means that the FCN reference code's data layers have in their code, by class and by top.
_FCN_LAYERS: dict[str, tuple[float, float, float]] = {
    "VOCSegDataLayer": FCN_MEAN_BGR,
    "SBDDSegDataLayer": FCN_MEAN_BGR,
    "PASCALContextSegDataLayer": (104.007, 116.669, 122.679),
    "SIFTFlowSegDataLayer": (114.578, 115.294, 108.353),
    "NYUDSegDataLayer": (116.190, 97.203, 92.318),
}
_NYUD_HHA = (132.431, 94.076, 118.477)  # in the order of the file, which is kept
_NYUD_LOG_DEPTH = 7.8952
ORDERS = ("bgr", "rgb", "grey", "depth")


@record
class Preparation:
    """(pixel − mean) · scale, channels in the given order.

    `mean` has one number a channel, or one for all; `image` is a whole mean image, C×H×W, used where an image has its
    size (elsewhere `mean`, its average, is). `origin` says where it was found.
    """

    mean: tuple[float, ...] = FCN_MEAN_BGR
    scale: float = 1.0
    order: str = "bgr"  # "bgr", "rgb", "grey" for nets with one channel, "depth": the logarithm of one number a pixel
    image: Array | None = None
    origin: str = "the FCN reference code"

    def blob(self, pixels: Array) -> Array:
        """A C×H×W float32 blob of an H×W×3 image, for "depth" of an H×W map. ValueError for a depth of 0."""
        import numpy as np

        if self.order == "depth":
            if pixels.min(initial=1) <= 0:
                raise ValueError("a depth of 0 has no logarithm")
            planes = np.log(pixels.astype(np.float32))[None]
        elif self.order == "grey":
            # The weights of ITU-R 601 that every grey conversion uses, Caffe's (OpenCV) and Pillow's alike.
            planes = np.rint(pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[None]
        else:
            planes = (pixels[:, :, ::-1] if self.order == "bgr" else pixels).astype(np.float32).transpose(2, 0, 1)
        if self.image is not None and self.image.shape == planes.shape:
            out = planes - self.image
        else:
            out = planes - np.asarray(self.mean, np.float32)[:, None, None]
        if self.scale != 1.0:
            out *= np.float32(self.scale)
        return np.ascontiguousarray(out, np.float32)

    def words(self) -> str:
        """One line for people and for fingerprints."""
        mean = ", ".join(f"{value:.9g}" for value in self.mean)
        scale = f", scale {self.scale:g}" if self.scale != 1 else ""
        whole = " (a mean image)" if self.image is not None else ""
        return f"{self.order.upper()}, mean {mean}{whole}{scale}"


def of_input(entry: Input, beside: str = "") -> tuple[Preparation | None, list[Diagnostic]]:
    """What an input's data layer does to an image, None where it does not say; and remarks.

    `beside` is the folder of the prototxt, where a mean file may lie. Raises NetError, OSError.
    """
    notes: list[Diagnostic] = []
    return _of_input(entry, beside, notes), notes


def preparation(
    found: Preparation | None, channels: int, mean: str | None = None, scale: float | None = None,
    order: str | None = None,
) -> tuple[Preparation, list[Diagnostic]]:  # fmt: skip
    """What an image of `channels` channels goes through, and remarks: `found` is what the net says.

    `mean` (numbers or a .binaryproto), `scale` and `order` replace what the net says. Raises NetError, OSError.
    """
    notes: list[Diagnostic] = []
    if found is None and mean is None:
        notes.append(
            Diagnostic(
                "mean-assumed",
                f"nothing says which mean the net was trained with: {_numbers(FCN_MEAN_BGR)} (BGR) is subtracted",
                severity="note",
                why="the input is declared without a data layer; this is the mean of the FCN reference code",
                remedy="--mean B,G,R or --mean FILE.binaryproto; --mean 0 for none",
            )
        )
    result = found or Preparation()
    if mean is not None:
        result = _with_mean(result, mean)
    if scale is not None:
        result = replace(result, scale=scale)
    if order is not None:
        result = replace(result, order=order)
    return _for_channels(result, channels), notes


def as_json(made: Preparation, mean_file: str | None) -> dict[str, Any]:
    """The preparation as a build's manifest keeps it; `mean_file` is the build's file with the mean image."""
    fields = {"order": made.order, "mean": list(made.mean), "scale": made.scale, "origin": made.origin}
    return fields if made.image is None else {**fields, "mean_image": mean_file}


def from_json(fields: dict[str, Any], image: Array | None) -> Preparation:
    """The preparation of a manifest. Raises KeyError, TypeError, ValueError for what `as_json` does not write."""
    order = str(fields["order"])
    if order not in ORDERS:
        raise ValueError(f"{order!r} is no order of channels")
    mean = tuple(float(value) for value in fields["mean"])
    return Preparation(mean, float(fields["scale"]), order, image, str(fields["origin"]))


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _of_input(entry: Input, beside: str, notes: list[Diagnostic]) -> Preparation | None:
    message = entry.message
    if message.has("python_param"):
        return _of_python(entry, notes)
    if not message.has("transform_param"):
        return Preparation((0.0,), origin="the data layer, which subtracts nothing") if _is_data(entry) else None
    transform = message.get("transform_param")
    made = Preparation((0.0,), float(transform.get("scale")), origin="transform_param")
    values = transform.all("mean_value")
    if values:
        return replace(made, mean=tuple(float(value) for value in values))
    if not transform.has("mean_file"):
        return made
    name = str(transform.get("mean_file"))
    for path in (os.path.join(beside, name), name, os.path.join(beside, os.path.basename(name))):
        if os.path.isfile(path):
            return _with_mean(made, path)
    notes.append(
        Diagnostic(
            "mean-file",
            f"the data layer's mean file '{name}' is not here",
            transform.span_of("mean_file"),
            why="the path is of the machine that trained the net",
            remedy="--mean FILE.binaryproto, or --mean B,G,R",
            severity="warning",
        )
    )
    return None


def _is_data(entry: Input) -> bool:
    return entry.layer.type in ("Data", "ImageData", "WindowData", "MemoryData", "HDF5Data")


def _of_python(entry: Input, notes: list[Diagnostic]) -> Preparation | None:
    section = entry.message.get("python_param")
    text, kind = str(section.get("param_str") or ""), str(section.get("layer"))
    params = read_literal(text) if text.strip() else {}
    if not isinstance(params, dict):
        notes.append(
            Diagnostic(
                "param-str",
                f"the param_str of {kind} is no literal, and code is not run: its mean is not known",
                section.span_of("param_str"),
                remedy="--mean B,G,R",
                severity="warning",
            )
        )
        params = {}
    mean = params.get("mean", params.get("mean_bgr"))
    if isinstance(mean, int | float) and not isinstance(mean, bool):
        mean = (mean,)
    if isinstance(mean, list | tuple) and mean and all(isinstance(v, int | float) for v in mean):
        return Preparation(tuple(float(v) for v in mean), origin=f"param_str of {kind}")
    if kind == "NYUDSegDataLayer" and _nyud_image(entry, params) == "hha":
        return Preparation(_NYUD_HHA, order="rgb", origin=kind)
    if kind == "NYUDSegDataLayer" and _nyud_image(entry, params) == "depth":
        return Preparation((_NYUD_LOG_DEPTH,), order="depth", origin=kind)
    if kind in _FCN_LAYERS:
        return Preparation(_FCN_LAYERS[kind], origin=kind)
    return None


def _nyud_image(entry: Input, params: dict[Any, Any]) -> str:
    """Which kind of image a top of the NYUDv2 layer is: its param_str lists them in the order of the tops."""
    tops, kinds = entry.message.all("top"), params.get("tops")
    if isinstance(kinds, list | tuple) and entry.value.blob in tops[: len(kinds)]:
        return str(kinds[tops.index(entry.value.blob)])
    return str(entry.value.blob)


def read_literal(text: str) -> Any:
    """A Python or JSON literal; None for anything else. Nothing is evaluated.

    >>> read_literal("{'mean': (104, 117, 123), 'split': 'val'}")["mean"]
    (104, 117, 123)
    >>> read_literal("__import__('os').getcwd()") is None
    True
    """
    import ast
    import json

    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _with_mean(made: Preparation, mean: str) -> Preparation:
    """The mean from numbers ("104,117,123", in the net's order of channels) or a .binaryproto."""
    try:
        numbers = tuple(float(part) for part in mean.replace(",", " ").split())
    except ValueError:
        numbers = ()
    if numbers and all(map(isfinite, numbers)):
        return replace(made, mean=numbers, image=None, origin="--mean")
    if not os.path.isfile(mean):
        raise NetError(
            Diagnostic(
                "mean-file",
                f"'{mean}' is neither numbers nor a file",
                remedy="--mean 104.007,116.669,122.679 or --mean FILE.binaryproto",
            )
        )
    import numpy as np

    from netcompile.caffemodel.reader import read_mean

    image = read_mean(mean).array().astype(np.float32)
    while image.ndim > 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 1:
        image = image[:, None, None]
    if image.ndim != 3:
        shape = "x".join(map(str, image.shape))
        raise NetError(Diagnostic("mean-file", f"{mean}: its shape {shape} is not that of an image's mean"))
    average = tuple(float(value) for value in image.mean((1, 2), dtype=np.float64))
    return replace(made, mean=average, image=image if image[0].size > 1 else None, origin=os.path.basename(mean))


def _for_channels(made: Preparation, channels: int) -> Preparation:
    if channels not in (1, 3):
        raise NetError(
            Diagnostic(
                "image-input",
                f"the net's input has {channels} channels; an image has 3, or 1",
                remedy="netcompile run feeds any array",
            )
        )
    if made.order == "depth" and channels != 1:
        raise NetError(Diagnostic("image-input", f"the net's input has {channels} channels, a depth map has 1"))
    if channels == 1:
        mean = made.mean if len(made.mean) == 1 else (sum(made.mean) / len(made.mean),)
        made = replace(made, order=made.order if made.order == "depth" else "grey", mean=mean)
    elif len(made.mean) not in (1, 3):
        raise NetError(Diagnostic("mean-file", f"the mean has {len(made.mean)} numbers, the image 3 channels"))
    if made.image is not None and made.image.shape[0] != channels:
        found = made.image.shape[0]
        raise NetError(Diagnostic("mean-file", f"the mean image has {found} channels, the net's input {channels}"))
    return made
