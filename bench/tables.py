"""The results as Markdown: what `make bench` puts between the marks of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
ARMS = ("literal-float32", "literal", "compile", "opencv", "onnxruntime", "openvino", "O1", "O2")
NAMES = {
    "literal-float32": "literal, float32",
    "compile": "torch.compile",
    "opencv": "OpenCV 4",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "O1": "-O1",
    "O2": "-O2",
}


def update(page: Path, report: dict[str, Any]) -> None:
    """Put the tables into the page."""
    text = page.read_text()
    head, rest = text.split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n\n{render(report)}\n{END}{rest.split(END)[1]}")


def render(report: dict[str, Any]) -> str:
    parts = [_machines(report)]
    for dtype in ("float32", "bfloat16"):
        rows = [row for row in report.get("fcn8s", []) if row["dtype"] == dtype]
        if rows:
            parts += [f"### FCN-8s, {dtype}", _fcn(rows)]
    if "nets" in report:
        parts += ["### Other nets, float32, 2 threads, tuned malloc", _nets(report["nets"])]
    if "startup" in report:
        parts += ["### Commands on FCN-8s, whole processes", _startup(report["startup"])]
    if "analysis" in report:
        parts += ["### Large nets", _large(report)]
    if "convert" in report:
        found = report["convert"]
        parts += [
            "### Converting a caffemodel",
            "\n".join(f"- {key.replace('_', ' ')}: {_figure(value)}" for key, value in found.items()),
        ]
    return "\n\n".join(parts) + "\n"


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# What the parts of a report are, in words.
_PARTS = {"fcn": "FCN-8s", "nets": "Other nets", "tools": "Commands, large nets, conversion"}


def _machines(report: dict[str, Any]) -> str:
    """On which machine each part was measured, and what that of FCN-8s can do at most."""
    found: dict[str, list[str]] = {}
    for part, machine in report["machines"].items():
        text = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}."
        packages = [f"{name} {machine[name]}" for name in machine if name not in ("processor", "cores", "python")]
        found.setdefault(text + (f" {', '.join(packages)}." if packages else ""), []).append(_PARTS[part])
    text = "\n\n".join(f"{' and '.join(what)}: {where}" for where, what in found.items())
    text += "\n\nFCN-8s:" if "peaks" in report else ""
    for threads, found in report.get("peaks", {}).items():
        text += (
            f" With {threads} thread{'s' if threads != '1' else ''} oneDNN's best 3 × 3 convolution reaches"
            f" {found['float32']:.0f} GFLOP/s in float32 and {found['bfloat16']:.0f} in bfloat16,"
            f" and a copy moves {found['copy']:.0f} GB/s."
        )
    return text


def _fcn(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds of each arm, and below how many times as long as -O2 it takes."""
    names = [name for name in ARMS if any(arm["name"] == name for row in rows for arm in row["arms"])]
    lines = []
    for row in rows:
        arms = {arm["name"]: arm for arm in row["arms"]}
        best = arms.get("O2", {}).get("median")
        cells = []
        for name in names:
            median = arms.get(name, {}).get("median")
            if median is None:
                cells.append("–")
            elif name == "O2" or not best:
                cells.append(f"**{median:.3f} s**")
            else:
                cells.append(f"{median:.3f} s ({median / best:.2f} ×)")
        malloc = "tuned" if row["tuned"] else "default"
        case = f"{row['size'].replace('x', ' × ')}, batch {row['batch']}, {row['threads']} thr., {malloc}"
        peak = arms.get("O2", {}).get("peak_megabytes")
        off = arms.get("O2", {}).get("difference")
        share = row.get("share_of_peak")
        cells += [f"{peak:.0f} MB" if peak else "–", f"{off:.1e}" if off is not None else "–"]
        cells += [f"{share:.0%}" if share else "–"]
        lines.append([case, *cells])
    head = ["case", *(NAMES.get(name, name) for name in names), "-O2: peak memory", "difference", "of the peak"]
    return _table(head, lines)


def _nets(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        plain, fast = (next(arm for arm in row["arms"] if arm["name"] == name) for name in ("O1", "O2"))
        ratio = plain["median"] / fast["median"]
        size = row["size"].replace("x", " × ")
        lines.append([row["net"], size, f"{plain['median']:.3f} s", f"{fast['median']:.3f} s", f"{ratio:.2f} ×"])
    return _table(["net", "size", "-O1", "-O2", "ratio"], lines)


def _startup(found: dict[str, float]) -> str:
    bare = found["python"]
    return _table(
        ["command", "time", "over bare Python"],
        [[name, f"{seconds * 1e3:.0f} ms", f"{seconds / bare:.1f} ×"] for name, seconds in found.items()],
    )


def _large(report: dict[str, Any]) -> str:
    parses = {row["layers"]: row for row in report.get("parse", [])}
    lines = []
    for row in report["analysis"]:
        parse = parses.get(row["layers"], {})
        ratio = f"{parse['protobuf'] / parse['seconds']:.1f} ×" if "protobuf" in parse else "–"
        lines.append(
            [
                f"{row['layers']:,}",
                f"{row['seconds']:.2f} s",
                f"{row['megabytes']:.0f} MB",
                f"{parse['seconds']:.3f} s" if parse else "–",
                ratio,
            ]
        )
    return _table(["layers", "`offsets`", "its peak memory", "parsing", "text_format takes"], lines)
