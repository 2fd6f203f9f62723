"""Let a BatchNorm do what the Scale or Bias behind it does, as PyTorch's batch normalisation has it.

Algebra. BatchNorm at test is ``(x - mean) · r`` with ``r = 1/sqrt(variance + eps)``; PyTorch's is
``(x - mean) · r · weight + bias``. A Scale on the channels alone is its weight and, where it has one, its bias; a Bias
behind either is its bias. Each tensor is one layer's blob as it is, so that training can go on.
The value in between must have no other use, and nobody may share the blobs. A net built for training stays as it is.
Within 1e-6 in float32 of the largest number that is added up, the shift ``mean · r · weight`` among them: PyTorch
multiplies r and weight first. Where a weight is infinite the result can be NaN in place of infinite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.caffemodel.recipe import Take
from netcompile.ir.graph import Node, Value
from netcompile.layers.elementwise import Bias, Scale
from netcompile.layers.normalisation import BatchNorm
from netcompile.passes.base import INFINITE, TRAINED, Pass, Program, Site, as_kind
from netcompile.passes.nodes.normalisation import AffineBatchNorm

Merge = Site[tuple[Node, ...]]  # a BatchNorm and the layers behind it that it can do as well


def match(program: Program) -> Iterator[Merge]:
    """For each layer that scales or shifts what a BatchNorm made the chain from there up to it."""
    chains: dict[Value, tuple[Node, ...]] = {}
    for node in program.graph.nodes:
        if isinstance(node.layer, BatchNorm):
            if node.layer.use_global_stats is not False:
                chains[node.tops[0]] = (node,)
        elif len(node.bottoms) == 1 and node.bottoms[0] in chains and _joins(program, chains[node.bottoms[0]], node):
            chains[node.tops[0]] = chain = (*chains[node.bottoms[0]], node)
            yield Site(node, chain)


def _joins(program: Program, chain: Sequence[Node], node: Node) -> bool:
    """Whether a layer works on channels alone, and sets what no layer of the chain has set."""
    if not isinstance(node.layer, Scale | Bias) or not program.legal:
        return False
    taken = [name for each in chain for name in _set_by(each)]
    free = not taken if isinstance(node.layer, Scale) else "bias" not in taken
    return free and node.layer.span(program.shapes[node.bottoms[0]]) == (1, 2)


def _set_by(node: Node) -> tuple[str, ...]:
    """What a layer sets of the weight and the bias, in the order of its blobs."""
    match node.layer:
        case Scale() as layer:
            return ("weight", "bias") if layer.bias else ("weight",)
        case Bias():
            return ("bias",)
        case AffineBatchNorm() as layer:
            return tuple(name for name in ("weight", "bias") if getattr(layer, name) is not None)
    return ()


def check(program: Program, site: Merge) -> str:
    if program.graph.train:
        return TRAINED
    for node in site.found:
        if any(spec.name for spec in node.params):
            return "its blobs are shared"
        if (node.name, node.occurrence) in program.facts.infinite:
            return INFINITE
    between = [node.tops[0] for node in site.found[:-1]]
    return next((f"'{value.blob}' has another use" for value in between if program.uses[value] > 1), "")


def rewrite(program: Program, sites: Sequence[Merge]) -> Program:
    longest = {id(site.found[0]): site.found for site in sites}  # those of one BatchNorm come shortest first
    gone = {id(node) for chain in longest.values() for node in chain[1:]}
    kept = [node for node in program.graph.nodes if id(node) not in gone]
    return program.with_nodes(_merged(*longest[id(node)]) if id(node) in longest else node for node in kept)


def _merged(node: Node, *behind: Node) -> Node:
    """The BatchNorm with the weight and the bias of the layers behind it."""
    blobs = {
        name: Take(other.name, index, other.occurrence) for other in behind for index, name in enumerate(_set_by(other))
    }
    return replace(node, layer=as_kind(AffineBatchNorm, node.layer, **blobs), tops=behind[-1].tops, params=())


MERGE_SCALE = Pass("merge-scale", 1e-6, match, rewrite, check)
