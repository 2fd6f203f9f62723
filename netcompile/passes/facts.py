"""What passes may rely on of the weights' values, read off a caffemodel."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from netcompile.analysis.bilinear import bilinear as triangles
from netcompile.analysis.shapes import Shapes
from netcompile.caffemodel.blob import CaffeModel, StoredBlob
from netcompile.caffemodel.plan import Plan, match
from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Graph
from netcompile.layers.base import IntShape
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
        blob = blobs.get(Take(node.name, 0, node.occurrence))
        if not isinstance(node.layer, Deconvolution) or blob is None:
            continue
        kernels = _diagonal(node.layer, shapes[node.bottoms[0]], blob)
        if kernels is None:
            continue
        diagonal.add((node.name, node.occurrence))
        factor = bilinear_factor(node.layer)
        if factor and bool((kernels == triangles(2 * factor)).all()):  # exact: the factor is a power of two
            bilinear.add((node.name, node.occurrence))
    return Facts(True, frozenset(diagonal), frozenset(bilinear))


def _diagonal(layer: Deconvolution, bottom: IntShape, blob: StoredBlob) -> np.ndarray[Any, Any] | None:
    """The kernels [i, i] of a two-dimensional layer as (C, kh, kw) if all others are zero."""
    import numpy as np

    if len(bottom) != 4 or layer.axis != 1 or layer.outputs != bottom[1] or layer.group not in (1, bottom[1]):
        return None
    shape = layer.weight_shape(bottom[1], layer.kernel * 2 if len(layer.kernel) == 1 else layer.kernel)
    if blob.count != prod(shape):
        return None
    weight = blob.array().reshape(shape)
    if weight.shape[1] == 1:
        return weight[:, 0]
    index = np.arange(len(weight))
    kernels = weight[index, index]
    return kernels if np.count_nonzero(weight) == np.count_nonzero(kernels) else None
