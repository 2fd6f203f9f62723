"""What the graph of the page folds: the parts that repeat, as ranges of the layers in the file's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_

from netcompile.analyser import Analysed
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.blocks import in_blocks
from netcompile.emit.code import Shaped, write
from netcompile.emit.module import EmittedModule, outputs_of
from netcompile.emit.parts import Part
from netcompile.ir.graph import Input, Node

Key = tuple[str, int]  # a layer's name and occurrence


@dataclass(frozen=True, slots=True)
class Fold:
    """Layers from `first` to `last` that are drawn as one box: `count` in a row that are alike, or one."""

    name: str
    structure: str
    count: int
    first: int
    last: int
    folds: tuple[Fold, ...]


def folds(
    analysed: Analysed, module: EmittedModule | None, entries: Sequence[Node | tuple[Input, ...]]
) -> tuple[Fold, ...]:
    """What repeats in the net, in the order of `entries`; nothing where the net is refused.

    The blocks of the module if it was written in blocks or could have been, else those that it would have at -O1. Some
    nets have layers that repeat as they stand in the file, and are one at -O1.
    """
    if module is None:
        return ()
    places = {(entry.name, entry.occurrence): at for at, entry in enumerate(entries) if isinstance(entry, Node)}
    if module.parts is None:
        try:
            module = compile_net(analysed, style=None, comments=False)
        except NetError:
            return ()
    if module.parts:
        return _folds(module.parts, _places_of_nodes(module, places))
    graph = analysed.graph
    if all(map(is_, module.nodes, graph.nodes)) and len(module.nodes) == len(graph.nodes):
        return ()  # these are the layers that were looked at
    wanted = tuple(outputs_of(graph, None).values())
    blocks = in_blocks(write(Shaped(graph, analysed.shapes, {}), wanted), wanted, frozenset(), frozenset())
    nodes = [[places[key]] if (key := (node.name, node.occurrence)) in places else [] for node in graph.nodes]
    return () if blocks is None else _folds(blocks.parts, nodes)


def _places_of_nodes(module: EmittedModule, places: Mapping[Key, int]) -> list[list[int]]:
    """For each layer of the module the places of those that it was made of."""
    sources: dict[str, set[Key]] = {}
    for weight in module.weights:
        sources.setdefault(weight.layer, set()).update((t.layer, t.occurrence) for t in weight.recipe.sources())
    found = []
    for node in module.nodes:
        made_of = {(node.name, node.occurrence)} | (sources.get(node.name, set()) if not node.occurrence else set())
        found.append([places[key] for key in made_of if key in places])
    return found


def _folds(parts: Iterable[Part], nodes: Sequence[Sequence[int]]) -> tuple[Fold, ...]:
    """Parts as ranges; one that holds layers of another is left out, since what it stands for is not in one piece."""
    found: list[Fold] = []
    for part in parts:
        places = [place for index in part.layers for place in nodes[index]]
        if not places or (found and min(places) <= found[-1].last):
            continue
        name = part.name.replace("_to_", " … ") if part.count > 1 else part.name
        inner = _folds(part.parts, nodes)
        found.append(Fold(name, part.structure, part.count, min(places), max(places), inner))
    return tuple(found)
