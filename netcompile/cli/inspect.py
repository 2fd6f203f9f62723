"""Layers of a net: exact shapes as functions of H and W, numbers with --input, parameters, cost, receptive
field, stride and offset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netcompile.cli.codes import DONE
from netcompile.cli.messages import show_notes
from netcompile.cli.netinput import add_net, analyse_net
from netcompile.cli.output import write_json, write_text
from netcompile.prototxt.diagnostic import NetError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Offsets that nobody can tell change no shape, so they are warnings here."""
    from netcompile.report.layers import layers_report

    analysed = analyse_net(arguments)
    unresolved = analysed.crops.problems()
    refused = [problem for problem in analysed.problems if problem not in unresolved]
    if refused:
        raise NetError(analysed.problems)
    report = layers_report(analysed)
    if arguments.json:
        from netcompile.report.as_json import layers_as_json

        write_json(layers_as_json(report))
    else:
        from netcompile.report.as_text import layers_as_text

        write_text(layers_as_text(report))
    warnings = [replace(problem, severity="warning") for problem in unresolved]
    show_notes([*analysed.notes, *warnings], frozenset({"assumed-shape"}))
    return DONE
