"""What is legal but probably not meant: inputs that feed nothing, tops and layers that nothing comes of."""

from __future__ import annotations

from netcompile.ir.graph import Graph, Node
from netcompile.layers.params import locate
from netcompile.prototxt.diagnostic import Diagnostic


def lint(graph: Graph) -> list[Diagnostic]:
    """Findings in file order; none of them makes a net wrong."""
    return [*_unused_inputs(graph), *_unused_tops(graph), *_dead_layers(graph)]


def _unused_inputs(graph: Graph) -> list[Diagnostic]:
    """An input that no layer takes: often a blob whose name was changed in one place only."""
    if not graph.nodes:
        return []
    used = {bottom for node in graph.nodes for bottom in node.bottoms}
    return [
        Diagnostic(
            "unused-input",
            f"input '{entry.value.blob}' feeds no layer",
            locate(entry.message, "top"),
            why="the net computes the same without it",
            remedy="remove it, or check the bottoms that should name it",
            severity="warning",
        )
        for entry in graph.inputs
        if entry.value not in used and entry.layer.type == "Input"
    ]


def _unused_tops(graph: Graph) -> list[Diagnostic]:
    """One top of several that nobody takes, while others are taken: Caffe makes it an output of the net."""
    used = {bottom for node in graph.nodes for bottom in node.bottoms}
    found = []
    for node in graph.nodes:
        idle = [index for index, top in enumerate(node.tops) if top not in used]
        if len(node.tops) < 2 or len(idle) == len(node.tops):
            continue
        for index in idle:
            if node.tops[index].blob in graph.outputs:
                found.append(
                    Diagnostic(
                        "unused-blob",
                        f"no layer uses '{node.tops[index].blob}', so it is an output of the net",
                        locate(node.message, f"top[{index}]"),
                        remedy="a Silence layer says that this is meant",
                        severity="note",
                    )
                )
    return found


def _dead_layers(graph: Graph) -> list[Diagnostic]:
    """In a net built for training, layers that no loss depends on: they cost time and learn nothing."""
    if not graph.train or not any(node.layer.is_measure for node in graph.nodes):
        return []
    producers = graph.producers()
    alive: set[int] = set()
    work = [node for node in graph.nodes if node.layer.is_measure or not node.tops or any(node.loss_weight)]
    while work:
        node = work.pop()
        if id(node) in alive:
            continue
        alive.add(id(node))
        work += [producers[bottom] for bottom in node.bottoms if bottom in producers]
    return [_dead(node) for node in graph.nodes if id(node) not in alive]


def _dead(node: Node) -> Diagnostic:
    return Diagnostic(
        "dead-layer",
        f"no loss depends on layer '{node.name}'",
        locate(node.message, "name"),
        why="in phase TRAIN it is computed and learns nothing",
        remedy="include { phase: TEST } keeps it out of training",
        severity="note",
    )
