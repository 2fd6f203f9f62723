"""Where each crop starts, where alignment needs it to start, and for which input sizes it is legal."""

from __future__ import annotations

import argparse
import re

from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.messages import show, show_notes
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import analyse_net
from netcompile.cli.options import add_max_memory
from netcompile.cli.output import write_json, write_text
from netcompile.diagnostics.diagnostic import NetError
from netcompile.report.as_text import offsets_as_text
from netcompile.report.offsets import offsets_report, refusals


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_max_memory(parser)
    parser.add_argument(
        "--pad",
        action="append",
        default=[],
        type=named_pad,
        metavar="LAYER=81",
        help="what if this layer padded so much (81x80 for height and width; repeatable)? The offsets that follow",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the report as JSON")
    form.add_argument("--explain", action="store_true", help="derivation and proof of each crop, to follow by hand")
    form.add_argument("--html", action="store_true", help="the report as one self-contained HTML page")


def named_pad(text: str) -> tuple[str, tuple[int, int]]:
    """``conv1_1=81`` or ``conv1_1=81x80`` as a layer's name and its pads; the name may hold anything."""
    name, _, pads = text.rpartition("=")
    match = re.fullmatch(r"([0-9]{1,7})(?:[x×]([0-9]{1,7}))?", pads, re.ASCII)
    if not name or not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form LAYER=81")
    return name, (int(match[1]), int(match[2] or match[1]))


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 where a crop does not start where it should."""
    analysed = analyse_net(arguments)
    if arguments.pad:
        from netcompile.cli.what_if import what_if

        analysed = what_if(arguments, analysed)
    refused = refusals(analysed)
    if refused:
        raise NetError(refused)
    report = offsets_report(analysed, prove=arguments.json or arguments.explain or arguments.html)
    if arguments.json:
        from netcompile.report.as_json import offsets_as_json

        write_json(offsets_as_json(report))
    elif arguments.html:
        from netcompile.report.as_html import MOST_LAYERS, html_report  # compiles the net
        from netcompile.report.layer_model import Report
        from netcompile.report.layers import layers_report

        write_text(html_report(analysed, Report(report, layers_report(analysed, MOST_LAYERS))))
    else:
        if arguments.explain:
            from netcompile.report.as_explanation import explanation_as_text

            write_text(explanation_as_text(report))
        else:
            write_text(offsets_as_text(report))
        show_notes(analysed.notes, frozenset())
        show(analysed.crops.findings())
    return FINDINGS if report.mismatched else DONE
