"""Data layers of Caffe's forks whose tops' shapes the file tells; any other layer without bottoms is fed as well."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.layers.base import layer
from netcompile.layers.data import Declared, _Data
from netcompile.layers.images import Images, nobody, transformed
from netcompile.layers.params import Params
from netcompile.prototxt.message import Message


def _crop(p: Params, section: str) -> tuple[int, int]:
    """Height and width of what the layer cuts or scales images to; 0 where the file does not say."""
    transform = p.message.get("transform_param")
    own = p.message.get(section)
    fields = own.type.fields
    size = int(transform.get("crop_size") or (own.get("crop_size") if "crop_size" in fields else 0) or 0)
    if size:
        return size, size
    resize = transform.get("resize_param")
    if transform.has("resize_param") and resize.get("height") and resize.get("width"):
        return int(resize.get("height")), int(resize.get("width"))
    if "new_height" in fields:
        return int(own.get("new_height") or 0), int(own.get("new_width") or 0)
    return 0, 0


def _batch(own: Message) -> int:
    return max(int(own.get("batch_size") or 1), 1)


class _Images(_Data):
    """Images of a size that the file tells, and what comes with them; None for a top whose shape nobody knows."""

    __slots__ = ()

    SECTION: ClassVar[str] = ""  # the message that gives the batch, and perhaps the size
    UNREAD: ClassVar[tuple[str, ...]] = ()  # fields that would change images if the layer read them

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        own, (height, width) = p.message.get(cls.section(p)), _crop(p, cls.section(p))
        known = cls.tops_of(p, own, _batch(own), height, width) if height and width else ()
        return cls((*known, *(None,) * p.tops)[: p.tops])

    @classmethod
    def section(cls, p: Params) -> str:
        return cls.SECTION

    @classmethod
    def tops_of(cls, p: Params, own: Message, batch: int, height: int, width: int) -> Declared:
        """The shapes of as many tops as are known, for images of this size; `own` is the layer's section."""
        raise NotImplementedError

    def images(self, message: Message, top: str) -> Images:
        return transformed(message, self.UNREAD)


@layer("ImageSegData", "WindowSegData")
class ImageSegData(_Images):
    """Images and their label maps (DeepLab, PSPNet, DeconvNet); a third top holds the image's own size."""

    __slots__ = ()

    fork: ClassVar[str] = "DeepLab"
    SECTION: ClassVar[str] = "image_data_param"
    UNREAD: ClassVar[tuple[str, ...]] = ("image_data_param.mean_file", "image_data_param.scale")

    @classmethod
    def tops_of(cls, p: Params, own: Message, batch: int, height: int, width: int) -> Declared:
        labels = (batch, 1, height, width)
        if own.has("label_type") and own.get("label_type") == "IMAGE":
            labels = (batch, int(own.get("max_labels") or 1), 1, 1)
        return ((batch, 3, height, width), labels, (batch, 1, 1, 2))

    def images(self, message: Message, top: str) -> Images:
        """As transform_param says, but for a mean file, which the fork's image_seg_data_layer.cpp refuses."""
        found = transformed(message, self.UNREAD)
        if not found.mean_file:
            return found
        kind = message.get("type")
        refused = Diagnostic(
            "mean-file",
            f"layers of type {kind} take no mean file",
            message.get("transform_param").span_of("mean_file"),
            why="its fork refuses to load the net",
            remedy="mean_value in its place, or --mean FILE.binaryproto",
            severity="warning",
        )
        why = f"the net names a mean file, which layers of type {kind} do not take"
        return replace(found, mean=None, mean_file="", unsaid=why, remarks=(*found.remarks, refused))


@layer("DenseImageData")
class DenseImageData(_Images):
    """Images and their label maps (SegNet, ENet)."""

    __slots__ = ()

    fork: ClassVar[str] = "SegNet"
    SECTION: ClassVar[str] = "dense_image_data_param"
    UNREAD: ClassVar[tuple[str, ...]] = ("dense_image_data_param.mean_file",)

    @classmethod
    def tops_of(cls, p: Params, own: Message, batch: int, height: int, width: int) -> Declared:
        return ((batch, 3 if own.get("is_color") else 1, height, width), (batch, 1, height, width))


@layer("AnnotatedData")
class AnnotatedData(_Images):
    """Images and their boxes (SSD); how many boxes a batch has, nobody knows beforehand: one is assumed."""

    __slots__ = ()

    fork: ClassVar[str] = "SSD"
    SECTION: ClassVar[str] = "data_param"
    UNREAD: ClassVar[tuple[str, ...]] = ("data_param.mean_file", "data_param.scale")

    @classmethod
    def tops_of(cls, p: Params, own: Message, batch: int, height: int, width: int) -> Declared:
        return ((batch, 3, height, width), (1, 1, 1, 8))


@layer("VideoData")
class VideoData(_Images):
    """Three forks' layers under one name, told apart by their fields.

    SSD: single frames, of resize_param's size. TSN (num_segments, modality, name_pattern): frames behind one
    another along the channels. C3D: clips of new_length frames, N×3×T×H×W.
    """

    __slots__ = ()

    fork: ClassVar[str] = "SSD, TSN, C3D"

    @classmethod
    def section(cls, p: Params) -> str:
        return "video_data_param" if p.has("video_data_param") else "image_data_param"

    @classmethod
    def tops_of(cls, p: Params, own: Message, batch: int, height: int, width: int) -> Declared:
        video = p.has("video_data_param")
        if video and any(own.has(f) for f in ("video_type", "video_file", "device_id")):
            batch = _batch(p.message.get("data_param"))
            return ((batch, 3, height, width), (batch,))
        frames = max(int(own.get("new_length") or 1), 1)
        if video and any(own.has(f) for f in ("num_segments", "modality", "name_pattern")):
            planes = 2 if own.get("modality") == "FLOW" else 3
            return ((batch, frames * int(own.get("num_segments")) * planes, height, width), (batch,))
        return ((batch, 3, frames, height, width), (batch,))

    def images(self, message: Message, top: str) -> Images:
        """As transform_param says; C3D's first release has mean_file and scale in image_data_param."""
        if message.has("video_data_param") or message.has("transform_param"):
            return transformed(message)
        own = message.get("image_data_param")
        found = Images(scale=float(own.get("scale")), origin="image_data_param")
        return replace(found, mean=None, mean_file=str(own.get("mean_file"))) if own.has("mean_file") else found


@layer("RandVec")
class RandVec(_Data):
    """Random vectors, as an input: batch_size × dim (a GAN branch)."""

    __slots__ = ()

    fork: ClassVar[str] = "GAN"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        own = p.message.get("randvec_param")
        batch, dim = int(own.get("batch_size") or 0), int(own.get("dim") or 0)
        return cls(((batch, dim) if batch and dim else None, *(None,) * p.tops)[: p.tops])

    def images(self, message: Message, top: str) -> Images:
        return nobody("a RandVec layer feeds random numbers, no images")
