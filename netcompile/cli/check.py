"""Every finding about a net, each with its place in the file, its reason and its remedy.

Exit code 0: nothing but notes. 1: warnings or errors. 2: the file makes no net, Caffe would refuse it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from netcompile.cli.codes import DONE, FINDINGS, USAGE
from netcompile.cli.messages import show
from netcompile.cli.netinput import add_net, analyse_net
from netcompile.cli.offsets import other_problems
from netcompile.cli.output import write_json, write_text
from netcompile.prototxt.diagnostic import NetError, sorted_by_position

if TYPE_CHECKING:
    import argparse

    from netcompile.prototxt.diagnostic import Diagnostic


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """A misaligned crop is a finding, not a refusal, even where its window leaves the blob."""
    from netcompile.analysis.lint import lint

    name = None
    try:
        analysed = analyse_net(arguments)
        name = analysed.name
        found = [*analysed.notes, *analysed.problems, *analysed.crops.findings(), *lint(analysed.graph)]
        refused = bool(other_problems(analysed))
    except NetError as error:
        found, refused = list(error.diagnostics), True
    findings = sorted_by_position(dict.fromkeys(found))
    if arguments.json:
        write_json(as_json(name, findings))
    else:
        show(findings)
        if sys.stderr is not None:
            sys.stderr.flush()
        write_text(f"{summary(findings)}\n")
    if refused:
        return USAGE
    return FINDINGS if any(finding.severity != "note" for finding in findings) else DONE


def as_json(name: str | None, findings: tuple[Diagnostic, ...]) -> dict[str, Any]:
    """``{"version", "net": str | null, "findings": […]}``; null where the file makes no net at all."""
    return {"version": 1, "net": name, "findings": [finding.to_json() for finding in findings]}


def summary(findings: tuple[Diagnostic, ...]) -> str:
    """``1 error, 2 warnings``; ``no findings``."""
    parts = []
    for kind in ("error", "warning", "note"):
        count = sum(finding.severity == kind for finding in findings)
        if count:
            parts.append(f"{count} {kind}{'s' * (count > 1)}")
    return ", ".join(parts) or "no findings"
