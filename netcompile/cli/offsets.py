"""Where each crop starts, where alignment needs it to start, and for which input sizes it is legal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from netcompile.cli.codes import DONE, FINDINGS
from netcompile.cli.messages import show, show_notes
from netcompile.cli.netinput import add_net, analyse_net
from netcompile.cli.output import write_json, write_text
from netcompile.prototxt.diagnostic import NetError

if TYPE_CHECKING:
    import argparse

    from netcompile.pipeline import Analysed
    from netcompile.prototxt.diagnostic import Diagnostic


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the report as JSON")
    form.add_argument("--explain", action="store_true", help="derivation and proof of each crop, to follow by hand")
    form.add_argument("--html", action="store_true", help="the report as one self-contained HTML page")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 where a crop does not start where it should."""
    from netcompile.report.offsets import offsets_report

    analysed = analyse_net(arguments)
    refused = other_problems(analysed)
    if refused:
        raise NetError(refused)
    report = offsets_report(analysed, prove=arguments.json or arguments.explain)
    if arguments.json:
        from netcompile.report.as_json import offsets_as_json

        write_json(offsets_as_json(report))
    elif arguments.html:
        from netcompile.report.as_html import page
        from netcompile.report.layer_model import Report
        from netcompile.report.layers import layers_report

        write_text(page(Report(report, layers_report(analysed))))
    else:
        if arguments.explain:
            from netcompile.report.as_explanation import explanation_as_text as text
        else:
            from netcompile.report.as_text import offsets_as_text as text
        write_text(text(report))
        sys.stdout.flush()
        show_notes(analysed.notes, frozenset())
        show(crop.finding for crop in report.crops if crop.finding is not None)
    return FINDINGS if report.mismatched else DONE


def other_problems(analysed: Analysed) -> list[Diagnostic]:
    """Why the net is refused, without what the offsets of a misaligned crop cause: that is a finding."""
    wrong = [report.node.message.span for report in analysed.reports if report.status not in ("ok", "undefined")]
    return [
        problem
        for problem in analysed.problems
        if not problem.code.startswith("crop-")
        or problem.span is None
        or not any(span.start <= problem.span.start < span.end for span in wrong)
    ]
