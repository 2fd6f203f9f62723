"""The layers whose padding a user names."""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.analyser import Analysed
from netcompile.analysis.repad import padded_layers
from netcompile.analysis.windows import windows
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.ir.graph import Node


def layers_of(analysed: Analysed, names: Sequence[str], transposed: bool = False) -> tuple[Node, ...]:
    """The layers whose pad may change, deconvolutions too with `transposed`; without names, the usual ones.

    Raises NetError where there is none of a name, or it has no pad.
    """
    if not names:
        found = padded_layers(analysed.graph, analysed.shapes)
        if not found:
            refuse("usage", "the net has no convolution or pooling behind its inputs to pad")
        return found
    chosen = []
    for name in names:
        nodes = [node for node in analysed.graph.nodes if node.name == name]
        if not nodes:
            raise NetError(_no_layer(analysed, name))
        pairs = [windows(node, analysed.shapes) for node in nodes]
        if any(pair is None or (pair[0].transposed and not transposed) for pair in pairs):
            refuse("usage", f"layer '{name}' has no windows whose pad could change")
        chosen += nodes
    return tuple(chosen)


def _no_layer(analysed: Analysed, name: str) -> Diagnostic:
    near = nearest(name, (node.name for node in analysed.graph.nodes))
    remedy = did_you_mean(near, "netcompile inspect NET lists them")
    return Diagnostic("usage", f"there is no layer '{name}'", remedy=remedy)
