"""Findings whose remedy can be done for the user: the edits, by the finding."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from netcompile.analyser import Analysed
from netcompile.analysis.crops import CropReport, finding
from netcompile.analysis.edits import Edit, Unwritable, offset_edits
from netcompile.analysis.fix import wanted
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Source

_MEANT = re.compile(r"did you mean '([\w.:-]+)'\?")


@dataclass(frozen=True, slots=True)
class Fix:
    """What a button says, and what it does to the text."""

    title: str
    edits: tuple[Edit, ...]


def fixes(analysed: Analysed | None, findings: Iterable[Diagnostic]) -> dict[Diagnostic, Fix]:
    """The fix of each finding that has one: crops that `check --fix` mends, and names with one likely meaning."""
    reports = () if analysed is None else analysed.crops.reports
    crops = {finding(report): report for report in reports if wanted(report) is not None}
    found = {}
    for each in findings:
        report = crops.get(each)
        if report is None and each.code == "crop-bounds":
            report = next((one for one in crops.values() if _inside(each, one)), None)
        fix = _name(each) if report is None or analysed is None else _offset(report, analysed.source)
        if fix is not None:
            found[each] = fix
    return found


def _inside(problem: Diagnostic, report: CropReport) -> bool:
    layer = report.node.message.span
    return problem.span is not None and layer.start <= problem.span.start < layer.end


def _offset(report: CropReport, source: Source) -> Fix | None:
    offsets = wanted(report)
    assert offsets is not None, "the caller has asked"
    try:
        edits = offset_edits(report.node, source, offsets)
    except Unwritable:
        return None
    numbers = ", ".join(map(str, dict.fromkeys(offsets)))
    return Fix(f"write offset: {numbers}", edits)


def _name(problem: Diagnostic) -> Fix | None:
    """The one name that was meant, in place of the one that stands there; quotes stay."""
    meant = _MEANT.fullmatch(problem.remedy)
    if meant is None or problem.span is None:
        return None
    text = problem.span.text
    quotes = len(text) > 1 and text[0] in "\"'" and text[0] == text[-1]
    name = text[1:-1] if quotes else text
    if not name or f"'{name}'" not in problem.what:
        return None
    start, end = problem.span.start + quotes, problem.span.end - quotes
    return Fix(f"change to {meant[1]}", (Edit(start, end, meant[1]),))
