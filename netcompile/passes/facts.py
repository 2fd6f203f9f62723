"""What passes may rely on of the weights' values, read off a caffemodel."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from netcompile.analysis.bilinear import bilinear as triangles
from netcompile.analysis.shapes import Shapes
from netcompile.caffemodel.blob import ITEM_BYTES, CaffeModel, StoredBlob
from netcompile.caffemodel.plan import Plan, match
from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.elementwise import Bias, Scale
from netcompile.layers.normalisation import BatchNorm
from netcompile.passes.base import Facts
from netcompile.passes.large_kernels import is_large
from netcompile.passes.upsampling import bilinear_factor

if TYPE_CHECKING:
    import numpy as np

MODERATE = 1e15  # products of numbers below this leave room for an image's before float32 ends, at 3e38


def facts_matter(graph: Graph, shapes: Shapes) -> bool:
    """Whether there is a layer whose values passes ask for."""
    return any(isinstance(n.layer, Deconvolution) or _computed_with(n, shapes) for n in graph.nodes)


def _computed_with(node: Node, shapes: Shapes) -> bool:
    """Whether passes compute with a layer's numbers: fold them into others, or sum them up."""
    if isinstance(node.layer, Convolution):
        specs = node.layer.blobs(*(shapes[bottom] for bottom in node.bottoms))
        return is_large(specs[0].shape)
    return isinstance(node.layer, (BatchNorm, Scale, Bias))


def read_facts(model: CaffeModel, plan: Plan, graph: Graph, shapes: Shapes) -> Facts:
    """Which Deconvolutions of the net are diagonal, which of those interpolate, and what is not finite, by the blobs.

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
    found = {(n.name, n.occurrence) for n in graph.nodes if _computed_with(n, shapes) and not _is_finite(n, blobs)}
    return Facts(True, frozenset(diagonal), frozenset(bilinear), frozenset(found | _too_large(graph, blobs)))


def _too_large(graph: Graph, blobs: Mapping[Take, StoredBlob]) -> set[tuple[str, int]]:
    """The layers that scale and shift behind others that do, where the numbers multiplied leave a moderate range.

    Folded, such numbers would become Inf at another place than where the layers compute one after the other.
    """
    made: dict[Value, float] = {}  # the largest number, multiplied by those of the layers behind the first
    makers = {top: node for node in graph.nodes for top in node.tops}
    found = set()
    for node in graph.nodes:
        if not isinstance(node.layer, (BatchNorm, Scale, Bias)) or not node.bottoms:
            continue
        maker = makers.get(node.bottoms[0])
        if maker is None or not isinstance(maker.layer, (Convolution, BatchNorm, Scale, Bias)):
            continue
        before = made[node.bottoms[0]] if node.bottoms[0] in made else _largest(maker, blobs)
        made[node.tops[0]] = after = before * max(1.0, _largest(node, blobs))
        if not max(before, after) < MODERATE:
            found.add((node.name, node.occurrence))
    return found


def _largest(node: Node, blobs: Mapping[Take, StoredBlob]) -> float:
    """The largest of the numbers that a layer is computed with, without signs."""
    import numpy as np

    with np.errstate(all="ignore"):
        return max((float(np.abs(a).max()) for a in _computed(node, blobs) if a.size), default=0.0)


def _is_finite(node: Node, blobs: Mapping[Take, StoredBlob]) -> bool:
    """Whether the numbers that a layer is computed with are finite, and their sum is; true of one without blobs."""
    import numpy as np

    with np.errstate(all="ignore"):
        if isinstance(node.layer, Convolution):  # a large one: no more of it is held than a piece
            stored = (blobs.get(Take(node.name, index, node.occurrence)) for index in range(2))
            return all(bool(np.isfinite(_sum(blob))) for blob in stored if blob is not None)
        return all(bool(np.isfinite(array.sum())) for array in _computed(node, blobs))


def _sum(blob: StoredBlob) -> np.floating[Any]:
    """All numbers of a blob summed up in their own type, read piece by piece."""
    import numpy as np

    dtype = np.dtype(f"<f{ITEM_BYTES[blob.dtype]}")
    total: np.floating[Any] = dtype.type(0)
    for chunk in blob.chunks():
        total = dtype.type(total + np.frombuffer(chunk, dtype).sum())
    return total


def _computed(node: Node, blobs: Mapping[Take, StoredBlob]) -> list[np.ndarray[Any, Any]]:
    """The numbers that a layer is computed with: its blobs, of a BatchNorm what shifts and what scales."""
    import numpy as np

    stored = (blobs.get(Take(node.name, index, node.occurrence)) for index in range(3))
    arrays = [blob.array() for blob in stored if blob is not None]
    if isinstance(node.layer, BatchNorm) and len(arrays) == 3:
        mean, variance, factors = (array.reshape(-1) for array in arrays)
        if len(factors) != 1 or len(mean) != len(variance):  # no blobs of a BatchNorm: the conversion refuses them
            return arrays
        factor = factors[0]
        scale = 1 / factor if factor else factor
        arrays = [mean * scale, 1 / np.sqrt(variance * scale + np.float32(node.layer.eps))]
    return arrays


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
