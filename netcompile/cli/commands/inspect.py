"""Layers of a net: exact shapes, parameters, cost, receptive field, stride and offset.

Shapes are functions of the input's height H and width W, with --input numbers too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from netcompile.cli.exit_codes import DONE
from netcompile.cli.messages import show_notes
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import analyse_net
from netcompile.cli.options import add_max_memory
from netcompile.cli.output import write_json, write_text
from netcompile.diagnostics.diagnostic import NetError
from netcompile.report.as_graph import dot, graphml
from netcompile.report.as_json import layers_as_json
from netcompile.report.as_text import layers_as_text
from netcompile.report.layers import layers_report


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_max_memory(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the same as JSON")
    form.add_argument("--dot", action="store_true", help="the graph for Graphviz: layers, and blobs with their shapes")
    form.add_argument("--graphml", action="store_true", help="the graph as GraphML")


def run(arguments: argparse.Namespace) -> int:
    """Crop offsets that cannot be inferred change no shape, so they are warnings here."""
    analysed = analyse_net(arguments)
    unresolved = analysed.crops.problems()
    refused = [problem for problem in analysed.problems if problem not in unresolved]
    if refused:
        raise NetError(analysed.problems)
    if arguments.dot or arguments.graphml:
        write_text((dot if arguments.dot else graphml)(analysed))
    elif arguments.json:
        write_json(layers_as_json(layers_report(analysed)))
    else:
        write_text(layers_as_text(layers_report(analysed)))
    warnings = [replace(problem, severity="warning") for problem in unresolved]
    show_notes([*analysed.notes, *warnings], frozenset({"assumed-shape"}))
    return DONE
