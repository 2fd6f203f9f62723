"""Random weights, the same for a layer however the net is compiled, for nets without weights at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod
from zlib import crc32

import numpy as np
import torch
from torch import nn

from netcompile.analyser import Analysed
from netcompile.array import Array
from netcompile.caffemodel.recipe import Take, evaluate
from netcompile.emit.blobs import LearnedBlobs
from netcompile.emit.module import EmittedModule
from netcompile.files.limits import require_memory
from netcompile.layers.base import BlobSpec
from netcompile.runtime.execute import Noticed, load_source, with_weights


def draw(analysed: Analysed, module: EmittedModule, seed: int = 1) -> nn.Module:
    """The module with a number for every weight; values keep about their size from layer to layer."""
    return with_blobs(module, drawn(module.blobs, seed)).train(analysed.graph.train)


def drawn(layers: Iterable[LearnedBlobs], seed: int) -> Callable[[Take], Array]:
    """The blobs of these layers, drawn when they are asked for; the last one is kept."""
    specs = {
        Take(layer.node.name, index, layer.node.occurrence): spec
        for layer in layers
        for index, spec in enumerate(layer.specs)
    }

    @lru_cache(maxsize=1)
    def blob(take: Take) -> Array:
        return numbers(take, specs[take], seed)

    return blob


def ready(
    analysed: Analysed, module: EmittedModule, weights: str | None, seed: int | None, noticed: Noticed | None = None
) -> nn.Module:
    """The module with weights from a file, or random ones where there is a `seed`. Raises NetError.

    `noticed` takes what was noticed about the weights of the file.
    """
    return with_weights(analysed, module, weights, noticed=noticed) if seed is None else draw(analysed, module, seed)


def with_blobs(module: EmittedModule, blob: Callable[[Take], Array]) -> nn.Module:
    """The module with its tensors computed from blobs. Raises NetError where these take too much memory."""
    size = 4 * sum(prod(spec.shape) for layer in module.blobs for spec in layer.specs)
    require_memory(2 * size, f"{module.class_name}: to hold the weights of the net")
    net = load_source(module)
    state = net.state_dict()
    for weight in module.weights:
        values, old = np.array(evaluate(weight.recipe, blob)), state[weight.key]
        state[weight.key] = torch.from_numpy(values).to(old.dtype).reshape(old.shape)
    net.load_state_dict(state)
    return net


def numbers(take: Take, spec: BlobSpec, seed: int) -> Array:
    """One blob, float32: normal, as He et al. (2015) scale it; statistics as they come, no variance below 0.5."""
    name = f"{take.layer}\0{take.index}\0{take.occurrence}".encode("utf-8", "backslashreplace")
    random = np.random.RandomState((crc32(name) + seed) % 2**32)
    drawn = random.standard_normal(spec.shape).astype(np.float32)
    if not spec.learned:
        return drawn if spec.meaning == "mean" else np.abs(drawn) + np.float32(0.5)
    if len(spec.shape) < 2:
        return drawn * np.float32(0.1)
    return drawn * np.float32((2.0 / max(1, prod(spec.shape[1:]))) ** 0.5)
