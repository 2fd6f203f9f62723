"""Weights drawn at random, the same for a layer however the net is compiled, for nets without weights at hand."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import nn

from netcompile.caffemodel.recipe import Take, evaluate
from netcompile.emit.module import Module
from netcompile.emit.weights import weight_plan
from netcompile.pipeline import Analysed
from netcompile.runtime.execute import load_source

Array = np.ndarray[Any, np.dtype[Any]]


def draw(analysed: Analysed, module: Module, seed: int = 1) -> nn.Module:
    """The module with a number for every weight; values keep about their size from layer to layer."""
    shapes: dict[Take, tuple[str, tuple[int, ...]]] = {}
    for entry in module.blobs:
        for index, spec in enumerate(entry.specs):
            shapes[Take(entry.node.name, index, entry.node.occurrence)] = (entry.node.type, spec.shape)

    @lru_cache(maxsize=1)
    def blob(take: Take) -> Array:
        kind, shape = shapes[take]
        return numbers(take, kind, shape, seed)

    net = load_source(module)
    plan = weight_plan(analysed.graph, module)
    state = net.state_dict()
    for tensor in plan.tensors:
        values = np.array(evaluate(tensor.recipe, blob))
        state[tensor.key] = torch.from_numpy(values).to(state[tensor.key].dtype).reshape(tensor.shape)
    net.load_state_dict(state)
    return net.train(analysed.graph.train)


def numbers(take: Take, kind: str, shape: tuple[int, ...], seed: int) -> Array:
    """One blob, float32: normal, as He et al. (2015) scale it; BatchNorm's variance and factor are positive."""

    name = f"{take.layer}\0{take.index}\0{take.occurrence}".encode("utf-8", "backslashreplace")
    random = np.random.RandomState((crc32(name) + seed) % 2**32)
    drawn = random.standard_normal(shape).astype(np.float32)
    if kind == "BatchNorm":
        return np.abs(drawn) + np.float32(0.5) if take.index else drawn
    if len(shape) < 2:
        return drawn * np.float32(0.1)
    return drawn * np.float32((2.0 / max(1, int(np.prod(shape[1:])))) ** 0.5)
