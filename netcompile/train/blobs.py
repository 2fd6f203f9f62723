"""The learnable blobs of a net as tensors in Caffe's shapes: the one storage that solver, nets and files share.

The emitted module keeps its weights under its own names and shapes, each made from Caffe's blobs by a recipe. Training
keeps Caffe's blobs instead and evaluates the recipes in every forward pass, differentiably: gradients, decay, histories
and files then speak of Caffe's blobs, whatever a recipe does (gates of an LSTM in another order, BatchNorm's sums).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from netcompile.analysis.bilinear import interpolating
from netcompile.caffemodel.recipe import Arrays, Recipe, Take
from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.module import EmittedModule
from netcompile.layers.base import BlobSpec, Layer
from netcompile.layers.convolution import Deconvolution
from netcompile.train import fillers


@dataclass(frozen=True, slots=True)
class LearnedBlob:
    """One learnable blob: whose it is, how it is drawn, and how it is learned."""

    take: Take
    layer: Layer
    spec: BlobSpec
    lr_mult: float
    decay_mult: float

    @property
    def learned(self) -> bool:
        """Caffe computes no gradient where lr_mult is 0.

        Its recurrent layers do all the same: it moves nothing, but counts where gradients are clipped.
        """
        return self.lr_mult != 0 or self.layer.counts_every_gradient


def learned_blobs(module: EmittedModule) -> tuple[LearnedBlob, ...]:
    """The blobs that own their storage, in net order (Caffe's learnable_params)."""
    owned: dict[Take, LearnedBlob] = {}
    given: dict[Take, set[str]] = {}
    for blobs in module.blobs:
        node = blobs.node
        specs = node.message.all("param")
        for index, (spec, own, owner) in enumerate(zip(blobs.specs, blobs.own, blobs.owners, strict=True)):
            param = specs[index] if index < len(specs) else None
            values = {"lr_mult": 1.0, "decay_mult": 1.0}
            if owner == own:
                given[own] = set()
            else:  # a layer that shares a blob may set what the owner leaves open
                values = {"lr_mult": owned[owner].lr_mult, "decay_mult": owned[owner].decay_mult}
            for name in values:
                if param is not None and param.has(name) and name not in given[owner]:
                    values[name] = float(param.get(name))
                    given[owner].add(name)
            if not spec.learned:
                values["lr_mult"] = 0.0
            kept = owned.get(owner)
            owned[owner] = LearnedBlob(owner, kept.layer if kept else node.layer, kept.spec if kept else spec, **values)
    return tuple(owned.values())


def draw(blobs: tuple[LearnedBlob, ...], generator: Generator) -> dict[Take, Tensor]:
    """Every blob as its filler draws it, in net order, on the CPU. Raises NetError for fillers that cannot be."""
    problems = [fillers.problem(blob.spec.filler, blob.spec.shape, blob.take.layer) for blob in blobs]
    if any(problems):
        raise NetError([problem for problem in problems if problem])
    return {blob.take: fillers.fill(blob.spec.shape, blob.spec.filler, generator) for blob in blobs}


def interpolate(blobs: tuple[LearnedBlob, ...], tensors: Mapping[Take, Tensor]) -> tuple[str, ...]:
    """Give every Deconvolution without a filler the kernels of bilinear interpolation, each channel to itself.

    The FCN reference code does this from Python before it trains: its nets keep these kernels fixed and name no
    filler, so that Caffe would leave them zero. Returns the names of the layers.
    """
    done = []
    for blob in blobs:
        shape = blob.spec.shape
        if not isinstance(blob.layer, Deconvolution) or blob.take.index or blob.spec.filler is not None:
            continue
        if len(shape) != 4 or shape[2] != shape[3] or shape[1] not in (1, shape[0]):
            continue
        with torch.no_grad():
            tensors[blob.take].copy_(torch.from_numpy(interpolating(shape, "float32")))
        done.append(blob.take.layer)
    return tuple(done)


def evaluate(recipe: Recipe, blobs: Mapping[Take, Tensor], device: torch.device) -> Tensor:
    """A tensor of the module from Caffe's blobs, differentiable. A bare `Take` gives the blob itself, not a copy."""
    arrays = Arrays(torch, partial(torch.full, device=device), Tensor.to)
    found: Tensor = recipe.evaluate(blobs.__getitem__, arrays)
    return found
