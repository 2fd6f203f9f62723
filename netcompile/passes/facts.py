"""What passes may rely on of the weights' values, read off a caffemodel."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from netcompile.analysis.shapes import Shapes
from netcompile.caffemodel.blob import CaffeModel
from netcompile.caffemodel.plan import Plan, match
from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Graph
from netcompile.layers.convolution import Deconvolution
from netcompile.passes.base import Facts
from netcompile.passes.upsampling import bilinear_factor

if TYPE_CHECKING:
    import numpy as np


def read_facts(model: CaffeModel, plan: Plan, graph: Graph, shapes: Shapes) -> Facts:
    """Which Deconvolutions of the net are diagonal, and which of those interpolate, by the blobs that they get.

    `plan` is that of the literal net. A blob that the file lacks counts as unknown; a misfit is reported elsewhere.
    """

    blobs = match(model, plan, allow_missing=True).blobs
    diagonal, bilinear = set(), set()
    for node in graph.nodes:
        layer = node.layer
        if not isinstance(layer, Deconvolution) or len(shapes[node.bottoms[0]]) != 4 or layer.axis != 1:
            continue
        channels = shapes[node.bottoms[0]][1]
        blob = blobs.get(Take(node.name, 0, node.occurrence))
        if blob is None or channels != layer.outputs or layer.group not in (1, channels):
            continue
        shape = layer.weight_shape(channels, layer.kernel * 2 if len(layer.kernel) == 1 else layer.kernel)
        if blob.count != prod(shape):
            continue
        kernels = _diagonal(blob.array().reshape(shape))
        if kernels is None:
            continue
        diagonal.add((node.name, node.occurrence))
        factor = bilinear_factor(layer)
        if factor and _interpolates(kernels, factor):
            bilinear.add((node.name, node.occurrence))
    return Facts(True, frozenset(diagonal), frozenset(bilinear))


def _diagonal(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The kernels [i, i] as (C, kh, kw) if all others are zero."""
    import numpy as np

    if weight.shape[1] == 1:
        return weight[:, 0]
    index = np.arange(len(weight))
    kernels = weight[index, index]
    return kernels if np.count_nonzero(weight) == np.count_nonzero(kernels) else None


def _interpolates(kernels: np.ndarray[Any, Any], factor: int) -> bool:
    import numpy as np

    line = 1 - np.abs(np.arange(2 * factor) - factor + 0.5) / factor  # exact: factor is a power of two
    return bool((kernels == np.outer(line, line)).all())
