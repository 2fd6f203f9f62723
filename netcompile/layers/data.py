"""Layers that produce blobs from outside: each becomes an input of the emitted module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.diagnostics.text import shape_text
from netcompile.layers.base import Arity, IntShape, Layer, Refused, Shape, layer
from netcompile.layers.images import Images, as_they_are, nobody, of_python, transformed
from netcompile.layers.params import Params
from netcompile.prototxt.message import Message

Declared = tuple[IntShape | None, ...]


@dataclass(frozen=True, slots=True)
class _Data(Layer):
    declared: Declared = ()

    arity: ClassVar[Arity] = Arity(bottoms=0, tops=(1, None))
    is_data: ClassVar[bool] = True
    family: ClassVar[str] = "input"

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        raise Refused(f"a {self.type} layer is fed from outside", code="unknown-input")


def _blob_shape(p: Params, dims: tuple[int, ...], at: str) -> IntShape:
    if any(d < 1 for d in dims):
        p.refuse(at, f"shape {shape_text(dims)} has an extent that is not positive", code="shape")
        return tuple(max(d, 1) for d in dims)
    return tuple(dims)


@layer("Input")
class Input(_Data):
    """The net's own declaration of an input: one shape for all tops, or one for each."""

    __slots__ = ()

    declares_shapes: ClassVar[bool] = True

    @classmethod
    def read(cls, p: Params) -> Self:
        shapes = p.sub("input_param").all("shape")
        if shapes and len(shapes) not in (1, p.tops):
            p.refuse(
                "input_param",
                f"{len(shapes)} shapes for {p.tops} tops",
                code="arity",
                why="Caffe wants one shape for all tops, or one for each",
            )
            return cls()
        read = tuple(_blob_shape(p, tuple(s.all("dim")), f"input_param.shape[{i}].dim") for i, s in enumerate(shapes))
        return cls(read * p.tops if len(read) == 1 else read)


@layer("MemoryData")
class MemoryData(_Data):
    """Batches from memory: the shape is declared, the second top holds the labels."""

    __slots__ = ()

    declares_shapes: ClassVar[bool] = True
    arity: ClassVar[Arity] = Arity(bottoms=0, tops=2)

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("memory_data_param")
        dims = tuple(int(s.get(f) or 0) for f in ("batch_size", "channels", "height", "width"))
        if min(dims) < 1:
            p.refuse(
                "memory_data_param",
                "batch_size, channels, height and width must be given and positive",
                code="param-missing",
            )
            return cls()
        return cls((dims, (dims[0],)))

    def images(self, message: Message, top: str) -> Images:
        """Images that are added are transformed; arrays are fed untouched (memory_data_layer.cpp)."""
        return transformed(message) if message.has("transform_param") else as_they_are(message, "arrays from memory")


def _image_shape(p: Params, source: str, batch: int) -> Declared:
    """A square crop gives the shape of an image top; without one the data base decides, which nobody here has."""
    transform = p.sub("transform_param")
    transform.ignore("scale", "mirror", "mean_file", "mean_value", "force_color", "force_gray")
    section = p.sub(source)
    size = int(transform.get("crop_size") or 0)
    height = width = size
    if not size and source == "image_data_param":
        height, width = int(section.get("new_height") or 0), int(section.get("new_width") or 0)
    grey = transform.get("force_gray") or (source == "image_data_param" and not section.get("is_color"))
    if height and width:
        return ((max(batch, 1), 1 if grey else 3, height, width), (max(batch, 1),))
    return (None, None)


@layer("Data", "ImageData", "WindowData")
@dataclass(frozen=True, slots=True)
class ImageBatches(_Data):
    """Images from a data base, a list of files, or windows of images; the second top holds the labels."""

    kind: str = "Data"

    SECTIONS: ClassVar[dict[str, str]] = {
        "Data": "data_param",
        "ImageData": "image_data_param",
        "WindowData": "window_data_param",
    }

    @classmethod
    def read(cls, p: Params) -> Self:
        section = p.sub(cls.SECTIONS[p.type])
        section.ignore_all()
        p.sub("transform_param").ignore_all()
        return cls(_image_shape(p, cls.SECTIONS[p.type], int(section.get("batch_size") or 1)), p.type)

    def images(self, message: Message, top: str) -> Images:
        """What transform_param says; WindowData takes the scale from window_data_param (window_data_layer.cpp)."""
        section = self.SECTIONS[self.kind]
        if self.kind != "WindowData":
            return transformed(message, (f"{section}.mean_file", f"{section}.scale"))
        found = transformed(message, (f"{section}.mean_file", "transform_param.scale"))
        scale = float(message.get(section).get("scale")) if message.has(section) else 1.0
        return replace(found, scale=scale)


@layer("HDF5Data")
class HDF5Data(_Data):
    """Blobs from HDF5 files; only the files know the shapes."""

    __slots__ = ()

    @classmethod
    def read(cls, p: Params) -> Self:
        p.sub("hdf5_data_param").ignore("source", "batch_size", "shuffle")
        if p.has("transform_param"):
            p.refuse(
                "transform_param",
                "HDF5Data does not transform its data",
                code="param",
                remedy="remove transform_param",
            )
        return cls((None,) * p.tops)

    def images(self, message: Message, top: str) -> Images:
        return as_they_are(message, "its files")


@layer("Python")
class Python(_Data):
    """User code. Without a bottom it can only be a source of data, and becomes an input."""

    __slots__ = ()

    arity: ClassVar[Arity] = Arity(bottoms=(0, None), tops=(0, None))

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("python_param")
        s.ignore("module", "layer", "param_str", "share_in_parallel")
        if p.bottoms:
            p.refuse(
                "type",
                f"Python layer '{p.message.get('name')}' computes {s.get('module')}.{s.get('layer')}, "
                "which only its own code knows",
                code="python-layer",
                why="a Python layer with bottoms is code that is not in the file",
                remedy="register a plugin for it (entry point group netcompile.layers), or cut the net before it",
            )
        return cls((None,) * p.tops)

    def images(self, message: Message, top: str) -> Images:
        return of_python(message, top)


class ForeignData(_Data):
    """A layer of unknown type without bottoms: whatever it does, it feeds the net."""

    __slots__ = ()

    type: ClassVar[str] = "data"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.ignore_all()
        return cls((None,) * p.tops)

    def images(self, message: Message, top: str) -> Images:
        """A transform_param is Caffe's to every layer that has one; without, only the layer's own code knows."""
        if message.has("transform_param"):
            return transformed(message)
        return nobody(f"what layers of type {message.get('type')} subtract is in their code, which is not known here")
