"""The findings about a net: all of them, and how they are told as JSON and in a line."""

from __future__ import annotations

from typing import Any

from netcompile.analyser import Analysed
from netcompile.analysis.lint import lint
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.report.offsets import net_valid


def findings(analysed: Analysed) -> list[Diagnostic]:
    """What is wrong, misaligned or probably not meant."""
    crops, sym = analysed.crops, analysed.symbolic
    lints = lint(crops, analysed.shapes, sym, analysed.reports, net_valid(analysed))
    return [*analysed.notes, *analysed.problems, *crops.findings(), *lints]


def findings_as_json(name: str | None, findings: tuple[Diagnostic, ...]) -> dict[str, Any]:
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
