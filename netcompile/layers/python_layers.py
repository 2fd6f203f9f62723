"""Python layers of py-faster-rcnn that feed a net or label its training examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.layers.base import Arity, Layer, Refused, Shape, layer
from netcompile.layers.data import Python
from netcompile.layers.param_str import read_mapping
from netcompile.layers.params import Params
from netcompile.layers.unsupported import PYTHON_TRAINING


@layer("Python:roi_data_layer.layer.RoIDataLayer")
class RoIData(Python):
    """Images and their boxes. Three tops: image, its (height, width, scale), and true boxes of 5 numbers.

    Six tops, for training on given regions: images, regions of 5 numbers, their classes, box targets, and two
    weights of each target.
    """

    __slots__ = ()

    type: ClassVar[str] = "Python"
    fork: ClassVar[str] = "py-faster-rcnn"

    @classmethod
    def read(cls, p: Params) -> Self:
        p.sub("python_param").ignore("module", "layer", "param_str", "share_in_parallel")
        if p.tops == 3:
            return cls((None, (1, 3), (1, 5)))
        given = read_mapping(str(p.message.get("python_param").get("param_str") or "")) or {}
        classes = given.get("num_classes")
        if p.tops == 6 and isinstance(classes, int) and 0 < classes < 1e5:
            return cls((None, (1, 5), (1,), *((1, 4 * classes),) * 3))
        return cls((None,) * p.tops)


@layer(*(f"Python:{name}" for name in PYTHON_TRAINING))
@dataclass(frozen=True, slots=True)
class PythonTraining(Layer):
    """A Python layer that is known by name and labels examples for training: inference does without it."""

    code: str = ""  # module and class

    type: ClassVar[str] = "Python"
    arity: ClassVar[Arity] = Arity(bottoms=(1, None), tops=(0, None))
    is_measure: ClassVar[bool] = True
    fork: ClassVar[str] = "py-faster-rcnn"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("python_param")
        p.ignore_all()
        return cls(f"{s.get('module')}.{s.get('layer')}")

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        raise Refused(
            f"{self.code} serves training and is not computed here",
            code="python-layer",
            at="type",
            why=PYTHON_TRAINING[self.code],
            remedy="take the net's prototxt for testing, or register a plugin for it",
        )
