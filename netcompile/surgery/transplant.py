"""Weights of one net into another: by name, with fully connected blobs read as convolutions and the reverse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from zlib import crc32

import numpy as np
import torch

from netcompile.analysis.bilinear import interpolating
from netcompile.array import Array
from netcompile.caffemodel.plan import unpadded
from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.emit.blobs import LearnedBlobs, blobs_of
from netcompile.ir.graph import Node
from netcompile.layers.base import BlobSpec
from netcompile.surgery.blobs import Weights, with_shared
from netcompile.surgery.net import Net
from netcompile.train.fillers import fill, problem


@dataclass(frozen=True, slots=True)
class Transplanted:
    """Weights for a net, and where each came from.

    `copied` and `coerced` (other shape, same count) name blobs of the net as "layer.index"; `filled` layers of the net
    whose blobs were drawn by their fillers; `dropped` what the net has no place for.
    """

    weights: Weights
    copied: tuple[str, ...]
    coerced: tuple[str, ...]
    filled: tuple[str, ...]
    dropped: tuple[str, ...]


def transplant(net: Net, old: Weights, *, suffix: str = "", seed: int = 1) -> Transplanted:
    """Weights for `net`: blobs of layers of the same name (`suffix` behind the old ones), the rest by its fillers.

    A blob of another shape with as many numbers is taken over as they lie, as the FCN code does: O×(C·h·w) and O×C×h×w
    are the same weights. Raises NetError where the counts differ.
    """
    layers = learnable(net)
    renamed = _sources((layer.node.name for layer in layers), old, suffix)
    weights: Weights = {}
    copied: list[str] = []
    coerced: list[str] = []
    filled: list[str] = []
    problems: list[Diagnostic] = []
    for layer in layers:
        node = layer.node
        source = old.get(renamed.get(node.name, ""))
        blobs: list[Array | None] = []
        for index, spec in enumerate(layer.specs):
            key = f"{node.name}.{index}"
            blob = source[index] if source is not None and index < len(source) else None
            if blob is None and layer.sources[index] != Take(node.name, index):
                blobs.append(None)  # the owner's
                continue
            if blob is None:
                blobs.append(_filled(node, index, spec, seed))
                filled.append(key)
                continue
            if blob.size != prod(spec.shape):
                problems.append(_misfit(node, index, spec, blob))
                continue
            same = unpadded(blob.shape) == unpadded(spec.shape)
            (copied if same else coerced).append(key)
            blobs.append(blob.reshape(spec.shape))
        weights[node.name] = tuple(blobs)
    if problems:
        raise NetError(problems)
    weights = with_shared(net, weights)
    counts = {renamed[name]: len(blobs) for name, blobs in weights.items() if name in renamed}
    dropped = [name for name in old if name not in counts]
    for name, found in old.items():
        dropped += [f"{name}.{index}" for index in range(counts.get(name, len(found)), len(found))]
    return Transplanted(weights, tuple(copied), tuple(coerced), tuple(filled), tuple(dropped))


def _sources(names: Iterable[str], old: Weights, suffix: str) -> dict[str, str]:
    """The old layer for each new one: the one without the suffix, else one of its very name that has no other heir."""
    new = set(names)
    found = {name + suffix: name for name in old if name + suffix in new}
    heirs = set(found.values())
    found.update({name: name for name in old if name in new and name not in heirs and name not in found})
    return found


def learnable(net: Net) -> list[LearnedBlobs]:
    """Layers with blobs, the first of each name: the one that Caffe's files give weights to."""
    found: dict[str, LearnedBlobs] = {}
    for blobs in blobs_of(net.graph, net.shapes):
        found.setdefault(blobs.node.name, blobs)
    return list(found.values())


def _filled(node: Node, index: int, spec: BlobSpec, seed: int) -> Array:
    """The blob as Caffe draws it before training."""
    wrong = problem(spec.filler, spec.shape, node.name)
    if wrong is not None:
        raise NetError(wrong)
    generator = torch.Generator().manual_seed(seed + crc32(f"{node.name}\0{index}".encode("utf-8", "backslashreplace")))
    return np.asarray(fill(spec.shape, spec.filler, generator).numpy())


def _misfit(node: Node, index: int, spec: BlobSpec, blob: Array) -> Diagnostic:
    return Diagnostic(
        "weights-shape",
        f"layer '{node.name}' blob {index} is {shape_text(spec.shape)} in the net, "
        f"{shape_text(blob.shape)} in the weights",
        node.message.span_of("name") if node.message.has("name") else node.message.span,
        why=f"the net needs {prod(spec.shape)} numbers, the weights have {blob.size}",
        remedy="rename the layer if it is to be trained anew; expand-score adds classes to a score layer",
    )


def upsampling(net: Net) -> tuple[str, ...]:
    """The layers that the FCN code interpolates with: those with "up" in their names, that have a kernel."""
    return tuple(
        layer.node.name
        for layer in learnable(net)
        if layer.node.type == "Deconvolution" and "up" in layer.node.name and len(layer.specs[0].shape) == 4
    )


def interp(weights: Weights, layers: Iterable[str]) -> Weights:
    """The weights with bilinear kernels in `layers`: on the diagonal of a C×C×h×w blob, elsewhere zeros.

    Raises NetError for a layer that is not there, or neither has as many inputs as outputs nor is grouped.
    """
    out = dict(weights)
    problems = []
    kernels = {name: first for name, (first, *_) in weights.items() if first is not None and first.ndim == 4}
    for layer in layers:
        if layer not in kernels:
            what, why = f"there is no layer '{layer}' with a kernel", f"there are {', '.join(kernels)}"
            problems.append(Diagnostic("surgery", what, why=why))
        elif kernels[layer].shape[1] not in (1, kernels[layer].shape[0]):
            what = f"layer '{layer}' cannot interpolate: its blob is {shape_text(kernels[layer].shape)}"
            why = "every channel is upsampled by itself, so inputs and outputs must be equally many"
            problems.append(Diagnostic("surgery", what, why=why))
        else:
            out[layer] = (interpolating(kernels[layer].shape), *weights[layer][1:])
    if problems:
        raise NetError(problems)
    return out


def expand_score(weights: Weights, layer: str, old: Weights, old_layer: str | None = None) -> Weights:
    """The weights with an old score layer's classes as the first classes of `layer`, which has at least as many.

    Raises NetError where a layer is missing, or a blob fits in no other way.
    """
    old_layer = old_layer or layer
    source, target = old.get(old_layer), weights.get(layer)
    if target is None:
        refuse("surgery", f"the net has no layer '{layer}' with weights")
    if source is None:
        refuse("surgery", f"the old weights have no layer '{old_layer}'")
    blobs = []
    for index, (new, known) in enumerate(zip(target, source, strict=False)):
        if new is None or known is None:
            what = f"the old weights leave out blob {index} of '{old_layer}'"
            refuse("surgery", what, why="HDF5 keeps a shared blob with its owner alone")
        known = known.reshape(known.shape[-1:]) if new.ndim == 1 else known
        if known.ndim != new.ndim or known.shape[1:] != new.shape[1:] or known.shape[0] > new.shape[0]:
            have, want = shape_text(known.shape), shape_text(new.shape)
            refuse("surgery", f"blob {index} of '{old_layer}' is {have}: no first part of {want}")
        expanded = np.array(new)
        expanded[: known.shape[0]] = known
        blobs.append(expanded)
    return {**weights, layer: (*blobs, *target[len(blobs) :])}
