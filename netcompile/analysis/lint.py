"""What is legal but probably not meant. Here: inputs that feed nothing, tops and layers that nothing comes of."""

from __future__ import annotations

from netcompile.algebra.nset import NSet
from netcompile.analysis.crops import CropReport, Crops
from netcompile.analysis.misalignment import misalignments
from netcompile.analysis.rounding import hazards
from netcompile.analysis.shapes import Shapes, Symbolic
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Graph, Node
from netcompile.layers.params import locate


def lint(
    crops: Crops,
    shapes: Shapes,
    sym: Symbolic,
    reports: tuple[CropReport, ...],
    valid: tuple[NSet, NSet] | None,
) -> list[Diagnostic]:
    """Everything about a net that was built; what is refused or misaligned is told elsewhere."""
    graph = crops.graph
    return [
        *_unused_inputs(graph),
        *_unused_tops(graph),
        *_dead_layers(graph),
        *misalignments(graph, shapes, sym, crops.coordinates, reports),
        *hazards(graph, shapes, sym, valid),
    ]


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
    """Layers that nothing comes of: in training no loss depends on them, else only a Silence takes what they make."""
    if graph.train:
        if not any(node.layer.is_measure for node in graph.nodes):
            return []
        alive = _alive(graph, [n for n in graph.nodes if n.layer.is_measure or not n.tops or any(n.loss_weight)])
        return [_dead(node) for node in graph.nodes if id(node) not in alive]
    finals = {graph.blobs[name] for name in graph.outputs}
    used = [n for n in graph.nodes if n.type != "Silence" and (not n.tops or finals.intersection(n.tops))]
    if not used:  # the net works by what its layers do on the side
        return []
    alive, producers = _alive(graph, used), graph.producers()
    found = []
    for node in graph.nodes:
        for index, bottom in enumerate(node.bottoms if node.type == "Silence" else ()):
            maker = producers.get(bottom)
            if maker is not None and id(maker) not in alive:
                found.append(_silenced(node, index, maker, _alive(graph, [maker]) - alive))
    return found


def _alive(graph: Graph, roots: list[Node]) -> set[int]:
    """The layers, by id, that these depend on, themselves included."""
    producers = graph.producers()
    found: set[int] = set()
    work = list(roots)
    while work:
        node = work.pop()
        if id(node) not in found:
            found.add(id(node))
            work += [producers[bottom] for bottom in node.bottoms if bottom in producers]
    return found


def _silenced(silence: Node, index: int, maker: Node, for_it: set[int]) -> Diagnostic:
    more = f", nor on {len(for_it) - 1} before it" if len(for_it) > 1 else ""
    return Diagnostic(
        "dead-layer",
        f"nothing but a Silence depends on layer '{maker.name}'{more}",
        locate(silence.message, f"bottom[{index}]"),
        why="it is computed and thrown away",
        remedy="remove it together with the Silence, or keep it to the phase that needs it",
        severity="note",
    )


def _dead(node: Node) -> Diagnostic:
    return Diagnostic(
        "dead-layer",
        f"no loss depends on layer '{node.name}'",
        locate(node.message, "name"),
        why="in phase TRAIN it is computed and learns nothing",
        remedy="include { phase: TEST } keeps it out of training",
        severity="note",
    )
