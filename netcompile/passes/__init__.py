"""Rewrites of the graph, in the order in which they run. `PIPELINE` is the whole list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netcompile.ir.graph import Graph
from netcompile.passes.bands import BANDS
from netcompile.passes.base import NO_FACTS, Facts, Pass, Program, Rewritten, run_all
from netcompile.passes.drop_copies import DROP_COPIES
from netcompile.passes.drop_dead import DROP_DEAD
from netcompile.passes.drop_noops import DROP_NOOPS
from netcompile.passes.early_strides import EARLY_STRIDES
from netcompile.passes.fuse_convolution import FUSE_CONVOLUTION
from netcompile.passes.fuse_relu import FUSE_RELU
from netcompile.passes.image_window import IMAGE_WINDOW, NEEDED_WINDOW
from netcompile.passes.inner_products import INNER_PRODUCTS
from netcompile.passes.large_kernels import LARGE_KERNELS
from netcompile.passes.merge_scale import MERGE_SCALE
from netcompile.passes.upsampling import UPSAMPLING
from netcompile.passes.winograd import WINOGRAD

PIPELINE: tuple[tuple[int, Pass[Any]], ...] = (  # (lowest -O level, pass)
    (1, DROP_NOOPS),
    (1, DROP_COPIES),
    (2, DROP_DEAD),
    (2, FUSE_CONVOLUTION),  # before the next one: a convolution takes in both
    (1, MERGE_SCALE),
    (2, FUSE_RELU),  # behind it: what no convolution took in
    (2, EARLY_STRIDES),  # before those that ask for strides
    (2, WINOGRAD),
    (2, LARGE_KERNELS),
    (2, INNER_PRODUCTS),
    (2, UPSAMPLING),
    (2, IMAGE_WINDOW),
    (2, NEEDED_WINDOW),
    (2, BANDS),
)

# Passes that choose how torch computes a layer; to other engines the layer itself says more.
OF_TORCH: tuple[Pass[Any], ...] = (WINOGRAD, LARGE_KERNELS, INNER_PRODUCTS, BANDS)


def optimise(
    graph: Graph, level: int, facts: Facts = NO_FACTS, outputs: Sequence[str] | None = None, portable: bool = False
) -> Rewritten:
    """The graph after every pass of the level. Level 0 is the literal net.

    `outputs` are the blobs that must survive, by default the net's own; from level 1 on others may vanish. `portable`:
    without the passes that choose how torch computes a layer.
    """
    if level >= 1 and outputs is not None:
        graph = graph.replace(outputs=tuple(outputs))
    steps = (step for least, step in PIPELINE if level >= least and not (portable and step in OF_TORCH))
    return run_all(steps, Program(graph, facts))
