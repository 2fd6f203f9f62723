"""What data layers do to the images that they read: the mean, the scale, the order of the channels.

Each data layer's class says it in its method `images`, from its own message. Nothing in the file is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.layers.param_str import read_literal
from netcompile.prototxt.message import Message

# What holds for an input that is declared, and for whatever else says nothing about images.
NO_DATA_LAYER = "the input is declared without a data layer"

# The FCN reference code's data layers that have their mean in their code, in BGR order.
_MEANS: dict[str, tuple[float, float, float]] = {
    "PASCALContextSegDataLayer": (104.007, 116.669, 122.679),
    "SIFTFlowSegDataLayer": (114.578, 115.294, 108.353),
    "NYUDSegDataLayer": (116.190, 97.203, 92.318),
}
_NYUD_HHA = (132.431, 94.076, 118.477)  # in the order of the file, which is kept
_NYUD_LOG_DEPTH = 7.8952


@dataclass(frozen=True, slots=True)
class Images:
    """(pixel − mean) · scale of each pixel that a data layer reads, as its class and its fields say.

    `mean` has one number for each channel, or one for all. It is None where it stands in the file `mean_file`, or where
    the net does not give it: then `unsaid` says why. `origin` says where scale and mean were found. `resize` is how an
    image is resized before, ("exact" | "short" | "fit", height, width), `crop` what is cut out of it then.
    """

    mean: tuple[float, ...] | None = (0.0,)
    scale: float = 1.0
    order: str = "bgr"  # as OpenCV reads; "rgb"; "depth": the logarithm of one number a pixel
    origin: str = ""
    mean_file: str = ""
    unsaid: str = ""
    remarks: tuple[Diagnostic, ...] = ()
    resize: tuple[str, int, int] | None = None
    crop: tuple[int, int] | None = None


def nobody(why: str = NO_DATA_LAYER, remarks: tuple[Diagnostic, ...] = ()) -> Images:
    """What is known of an input's images where the net does not say their mean: `why` it does not."""
    return Images(None, unsaid=why, remarks=remarks)


def transformed(message: Message, unread: tuple[str, ...] = ()) -> Images:
    """What Caffe's DataTransformer does: (pixel − mean) · scale, as transform_param says; without one, nothing.

    `unread` names fields (``data_param.scale``) that the layer has and does not read: those that are set are told.
    Sources: BVLC Caffe 1.0, src/caffe/data_transformer.cpp; the forks' transformers keep the rule.
    """
    remarks = tuple(_unread(message, path) for path in unread if _is_set(message, path))
    kind = message.get("type")
    resize, crop = sizes_of(message)
    if not message.has("transform_param"):
        origin = f"the {kind} layer, which subtracts nothing"
        return Images(origin=origin, remarks=remarks, resize=resize, crop=crop)
    transform = message.get("transform_param")
    scale, origin = float(transform.get("scale")), "transform_param"
    found = Images(scale=scale, origin=origin, remarks=remarks, resize=resize, crop=crop)
    values = tuple(float(value) for value in transform.all("mean_value"))
    if values and transform.has("mean_file"):
        both = Diagnostic(
            "param-conflict",
            "mean_file and mean_value together: the numbers are taken",
            transform.span_of("mean_file"),
            why="Caffe takes one or the other, and refuses both",
            remedy="keep one",
            severity="warning",
        )
        return replace(found, mean=values, remarks=(*remarks, both))
    if values:
        return replace(found, mean=values)
    if transform.has("mean_file"):
        return replace(found, mean=None, mean_file=str(transform.get("mean_file")))
    return found


# SSD's Resize_mode; FIT_LARGE_SIZE_AND_PAD keeps the aspect within height × width, and fills the rest.
_MODES = {"WARP": "exact", "FIT_SMALL_SIZE": "short", "FIT_LARGE_SIZE_AND_PAD": "fit"}


def sizes_of(message: Message) -> tuple[tuple[str, int, int] | None, tuple[int, int] | None]:
    """What a data layer resizes its images to, and what it crops then; None for what it does not.

    Sources: BVLC's image_data_layer.cpp (new_height, new_width) and data_transformer.cpp (crop_size); SSD's
    im_transforms.cpp (resize_param; crop_h, crop_w).
    """
    resize = None
    for entry in message.entries:
        section = entry.value
        if isinstance(section, Message) and {"new_height", "new_width"} <= section.type.fields.keys():
            sides = int(section.get("new_height") or 0), int(section.get("new_width") or 0)
            resize = ("exact", *sides) if all(sides) else resize
    if not message.has("transform_param"):
        return resize, None
    transform = message.get("transform_param")
    if transform.has("resize_param"):
        own = transform.get("resize_param")
        sides, mode = (int(own.get("height") or 0), int(own.get("width") or 0)), str(own.get("resize_mode"))
        resize = (_MODES.get(mode, "exact"), *sides) if all(sides) else resize
    size = int(transform.get("crop_size") or 0)
    crop = (size or int(transform.get("crop_h") or 0), size or int(transform.get("crop_w") or 0))
    return resize, crop if all(crop) else None


def as_they_are(message: Message, source: str) -> Images:
    """For a layer that feeds numbers of `source` unchanged: no mean, and a remark that one may be missing."""
    kind = message.get("type")
    remark = Diagnostic(
        "mean-outside",
        f"the {kind} layer subtracts nothing, so nothing is subtracted here",
        message.span_of("type"),
        why=f"it feeds the numbers of {source} as they are; what was done to the images before, the net does not say",
        remedy="--mean B,G,R or --mean FILE.binaryproto, if a mean was subtracted",
        severity="note",
    )
    return Images(origin=f"the {kind} layer, which feeds {source} as they are", remarks=(remark,))


def _is_set(message: Message, path: str) -> bool:
    section, _, field = path.partition(".")
    if not message.has(section):
        return False
    inner = message.get(section)
    return field in inner.type.fields and bool(inner.has(field))


def _unread(message: Message, path: str) -> Diagnostic:
    section, _, field = path.partition(".")
    kind = message.get("type")
    elsewhere = "window_data_param" if section == "transform_param" else "transform_param"
    return Diagnostic(
        "transform-unread",
        f"{path} is not read by layers of type {kind}, and has no effect",
        message.get(section).span_of(field),
        why=f"the layer takes its {field} from {elsewhere}",
        remedy=f"move it to {elsewhere} if it is meant; --{'mean' if field == 'mean_file' else field} says it here",
        severity="warning",
    )


# --- Python layers, whose code is not there


def of_python(message: Message, top: str) -> Images:
    """What a Python data layer does: the mean of its `param_str`, or that in the FCN reference code's own layers.

    Source: data layers of the FCN reference code (voc_layers.py, nyud_layers.py, siftflow_layers.py,
    pascalcontext_layers.py): those of VOC and SBD take `mean` from param_str, the others have it in their code.
    """
    section = message.get("python_param")
    text, kind = str(section.get("param_str") or ""), str(section.get("layer"))
    params = read_literal(text) if text.strip() else {}
    literal = isinstance(params, dict)
    if not literal:
        params = {}
    if kind == "NYUDSegDataLayer":
        image = _nyud_image(message, top, params)
        if image == "hha":
            return Images(_NYUD_HHA, order="rgb", origin=kind)
        if image == "depth":
            return Images((_NYUD_LOG_DEPTH,), order="depth", origin=kind)
    if kind in _MEANS:
        return Images(_MEANS[kind], origin=kind)
    mean = params.get("mean", params.get("mean_bgr"))
    if isinstance(mean, int | float):
        mean = (mean,)
    if isinstance(mean, list | tuple) and mean and all(map(_is_number, mean)):
        return Images(tuple(float(v) for v in mean), origin=f"param_str of {kind}")
    if literal:
        return nobody(f"the param_str of {kind} names no mean, and its code is not there")
    remark = Diagnostic(
        "param-str",
        f"the param_str of {kind} is no literal, and code is not run: its mean is not known",
        section.span_of("param_str"),
        remedy="--mean B,G,R",
        severity="warning",
    )
    return nobody(f"the param_str of {kind} is no literal, and code is not run", (remark,))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _nyud_image(message: Message, top: str, params: dict[Any, Any]) -> str:
    """Which kind of image a top of the NYUDv2 layer is: its param_str lists them in the order of the tops."""
    tops, kinds = message.all("top"), params.get("tops")
    if isinstance(kinds, list | tuple) and top in tops[: len(kinds)]:
        return str(kinds[tops.index(top)])
    return top
