"""One JSON file for each machine in docs/performance, the page's tables made from all of them, and the plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.machine import slug
from bench.plot import bars
from bench.tables import case_words, plot_name, update

CASE = ("net", "size", "batch", "dtype", "threads", "tuned", "waiting", "busy")  # what makes a row another one


def save(out: Path | None, machine: dict[str, Any], found: dict[str, Any]) -> None:
    """Add what was found to the machine's file; what was not measured now stays as it is."""
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{slug(machine)}.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(merged({**old, "machine": machine}, found), indent=1, ensure_ascii=False) + "\n")
    for row in found.get("fcn", []):
        plot = out / path.stem / plot_name(row)
        plot.parent.mkdir(exist_ok=True)
        plot.write_text(bars(f"FCN-8s, {case_words(row)}", "s", {arm["name"]: arm["median"] for arm in row["arms"]}))
    page = out.with_suffix(".md")
    if page.exists():
        update(page, reports(out))


def reports(out: Path) -> dict[str, dict[str, Any]]:
    """What was found on each machine, by the names of the files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}


def merged(old: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """`old` with what was found: a row in the place of the same case's, other rows behind, any other table whole."""
    result = dict(old)
    for key, value in found.items():
        if key == "measured":
            result[key] = {**old.get(key, {}), **value}
        elif key in ("fcn", "nets", "busy", "plan"):
            rows = {_case(row): row for row in [*old.get(key, []), *value]}
            result[key] = list(rows.values())
        else:
            result[key] = value
    return result


def _case(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row.get(key) for key in CASE)
