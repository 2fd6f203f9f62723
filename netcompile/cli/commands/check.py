"""Every finding about a net, each with its place in the file, its reason and its remedy.

Exit code 0: nothing but notes. 1: warnings or errors. 2: the file makes no net, Caffe would refuse it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from netcompile.analyser import Analysed, analyse
from netcompile.analysis.against import differences
from netcompile.analysis.edits import unified_diff
from netcompile.analysis.fix import fix, same_but_crops
from netcompile.cli.exit_codes import DONE, FINDINGS, USAGE
from netcompile.cli.messages import say, show, tell
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import analyse_net, options, read_source
from netcompile.cli.options import add_max_memory
from netcompile.cli.output import write_json, write_text
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse, sorted_by_position
from netcompile.files.look import is_there
from netcompile.files.reading import open_file
from netcompile.files.whole import whole_file
from netcompile.report.findings import findings, findings_as_json, summary
from netcompile.report.offsets import refusals


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_max_memory(parser)
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument(
        "--against", metavar="TRAIN", help="the prototxt that the net was trained with: tells what differs"
    )
    parser.add_argument(
        "--fix", action="store_true", help="write the crop offsets that alignment needs into the file, and nothing else"
    )
    parser.add_argument("--diff", action="store_true", help="show what --fix would change, and change nothing")


def run(arguments: argparse.Namespace) -> int:
    """A misaligned crop is a finding, not a refusal, even where its window leaves the blob."""
    name = None
    source = read_source(arguments.net)
    try:
        analysed = analyse_net(arguments, source)
        if arguments.diff:
            return diff(analysed)
        if arguments.fix:
            analysed = fix_file(arguments, analysed)
        name = analysed.name
        found = findings(analysed)
        refused = bool(refusals(analysed))
    except NetError as error:
        if arguments.fix or arguments.diff:
            raise
        found, refused = list(error.diagnostics), True
    else:
        if arguments.against is not None:
            found += against(arguments, analysed)
    ordered = sorted_by_position(dict.fromkeys(found))
    if arguments.json:
        write_json(findings_as_json(name, ordered))
    else:
        show(ordered)
        write_text(f"{summary(ordered)}\n")
    if refused:
        return USAGE
    return FINDINGS if any(finding.severity != "note" for finding in ordered) else DONE


def against(arguments: argparse.Namespace, analysed: Analysed) -> list[Diagnostic]:
    """Where the net differs from the one that was trained. Raises NetError where that makes no net."""
    chosen = replace(options(arguments), train=True, with_loss=True, shapes={})
    trained = analyse(read_source(arguments.against), chosen)
    return differences(analysed.graph, trained.graph)


# fixing --------------------------------------------------------------------------------------------------------


def diff(analysed: Analysed) -> int:
    """Print the change as a unified diff; exit code 1 where there is one."""
    fixed = fix(analysed.source, analysed.crops.reports)
    write_text(unified_diff(analysed.source, fixed.edits))
    _say_left(fixed.left)
    return FINDINGS if fixed.done or fixed.left else DONE


def fix_file(arguments: argparse.Namespace, analysed: Analysed) -> Analysed:
    """Write the fixed text in place of the file; the net as it is then. Raises NetError for what is no file."""
    if arguments.net == "-" or not is_there(arguments.net):
        what = "standard input" if arguments.net == "-" else "a bundled definition"
        refuse("usage", f"--fix needs a file, not {what}", remedy="--diff shows the change")
    fixed = fix(analysed.source, analysed.crops.reports)
    _say_left(fixed.left)
    if not fixed.done:
        return analysed
    after = analyse_net(arguments, fixed.source)
    assert same_but_crops(analysed.graph, after.graph), "a fix changes offsets and nothing else"
    with open_file(arguments.net) as source:
        marked = source.read(3) == b"\xef\xbb\xbf"
    with whole_file(arguments.net) as file:
        file.write((b"\xef\xbb\xbf" if marked else b"") + fixed.source.text.encode("utf-8", "surrogateescape"))
    for report in fixed.done:
        inferred = ", ".join(dict.fromkeys(str(value) for value in report.inferred or ()))
        tell(f"{analysed.source.name}:{report.node.line}: crop '{report.node.name}' now starts at {inferred}")
    return after


def _say_left(left: tuple[tuple[Any, str], ...]) -> None:
    for report, why in left:
        say(f"crop '{report.node.name}' in line {report.node.line} is left as it is: {why}")
