"""The results as Markdown: what `make bench` puts between the marks of docs/performance.md, one section a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
ARMS = ("literal-float32", "literal", "compile", "opencv", "onnxruntime", "openvino", "O1", "O2", "plan", "auto")
NAMES = {
    "literal-float32": "literal, float32",
    "compile": "torch.compile",
    "opencv": "OpenCV 4",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "O1": "-O1",
    "O2": "-O2",
    "plan": "-O2, plan",
    "auto": "auto",
}
# The parts of a report that compare arms, and the others that are measured, in words.
COMPARED = {
    "fcn": "FCN-8s",
    "nets": "Other nets",
    "busy": "With other processes busy",
    "plan": "Plan and no plan",
}
MEASURED = {"tools": "Commands and large nets", "build": "Building", "convert": "Conversion"}


def update(page: Path, found: Mapping[str, dict[str, Any]]) -> None:
    """Put the tables of each machine into the page."""
    text = page.read_text()
    head, rest = text.split(BEGIN)
    sections = "\n".join(render(name, report) for name, report in found.items())
    page.write_text(f"{head}{BEGIN}\n\n{sections}\n{END}{rest.split(END)[1]}")


def render(name: str, report: dict[str, Any]) -> str:
    """The section of a machine, whose files are called `name`."""
    machine = report["machine"]
    parts = [f"### {machine['processor']}, {machine['cores']} CPUs{_newest(machine)}", _machine(report)]
    for part, words in COMPARED.items():
        for dtype in ("float32", "bfloat16"):
            rows = [row for row in report.get(part, []) if row["dtype"] == dtype]
            if rows:
                parts += [f"**{words}, {dtype}**", comparison(rows, part)]
                parts += [_plots(name, rows)] if part == "fcn" else []
                left = left_out(rows)
                parts += [f"Left out: {left}."] if left else []
    if "startup" in report:
        parts += ["**Commands on FCN-8s, whole processes**", _startup(report["startup"])]
    if "analysis" in report:
        parts += ["**Large nets**", _large(report)]
    if "build" in report:
        parts += ["**Building large nets, seconds of CPU time**", _build(report["build"])]
    if "convert" in report:
        parts += ["**Converting a caffemodel**", _convert(report["convert"])]
    return "\n\n".join(parts) + "\n"


def _newest(machine: Mapping[str, Any]) -> str:
    """
    >>> _newest({"capability": "AVX512", "instructions": ["avx2", "avx512f", "amx_bf16"]})
    ', AVX512, AMX'
    """
    found = [machine["capability"]] if machine.get("capability") else []
    found += ["AMX"] if "amx_bf16" in machine["instructions"] else []
    return "".join(f", {word}" for word in found)


def _machine(report: dict[str, Any]) -> str:
    """What this machine has and can do at most, when what was measured, and with which packages."""
    machine = report["machine"]
    text = [report["note"]] if report.get("note") else []
    if machine["instructions"]:
        text.append(f"Instruction sets: {', '.join(machine['instructions'])}.")
    when: dict[str, list[str]] = {}
    for part, words in COMPARED.items():
        for row in report.get(part, []):
            names = when.setdefault(_words(row["measured"]), [])
            names += [words] if words not in names else []
    for part, words in MEASURED.items():
        if part in report.get("measured", {}):
            when.setdefault(_words(report["measured"][part]), []).append(words)
    text += [f"{'; '.join(names)}: {words}." for words, names in when.items()]
    for threads, found in report.get("peaks", {}).items():
        text.append(
            f"With {threads} thread{'s' if threads != '1' else ''} oneDNN's best 3 × 3 convolution reaches"
            f" {found['float32']:.0f} GFLOP/s in float32 and {found['bfloat16']:.0f} in bfloat16,"
            f" and a copy moves {found['copy']:.0f} GB/s."
        )
    return "\n".join(f"- {line}" for line in text)


def _words(measured: Mapping[str, str]) -> str:
    """
    >>> _words({"date": "2026-11-30", "python": "3.11.7", "code": "abc", "torch": "2.13.0"})
    '2026-11-30, python 3.11.7, torch 2.13.0'
    """
    packages = [f"{name} {version}" for name, version in measured.items() if name not in ("date", "code")]
    return ", ".join([measured["date"], *packages])


def left_out(rows: Sequence[dict[str, Any]]) -> str:
    """The arms that ran in no row that asked for them, and why."""
    ran = {arm["name"] for row in rows for arm in row["arms"] if arm["median"] is not None}
    why = {arm["name"]: arm["absent"] for row in rows for arm in row["arms"] if arm["name"] not in ran}
    return ", ".join(f"{NAMES.get(name, name)} ({reason})" for name, reason in why.items())


def case_words(row: Mapping[str, Any]) -> str:
    """
    >>> case_words({"size": "224x224", "batch": 1, "threads": 2, "tuned": True, "waiting": "passive", "busy": 2})
    '224 × 224, batch 1, 2 thr., tuned, passive, 2 busy beside'
    """
    words = [row["size"].replace("x", " × "), f"batch {row['batch']}", f"{row['threads']} thr."]
    words.append("tuned" if row["tuned"] else "default")
    words += [row["waiting"]] if row.get("waiting", "default") != "default" else []
    words += [f"{row['busy']} busy beside"] if row.get("busy") else []
    return ", ".join(words)


def plot_name(row: Mapping[str, Any]) -> str:
    malloc = "tuned" if row["tuned"] else "default"
    waiting = "" if row.get("waiting", "default") == "default" else f"-{row['waiting']}"
    return f"fcn8s-{row['size']}-b{row['batch']}-{row['dtype']}-t{row['threads']}-{malloc}{waiting}.svg"


def _plots(name: str, rows: Sequence[dict[str, Any]]) -> str:
    links = [f"[{case_words(row)}](performance/{name}/{plot_name(row)})" for row in rows]
    return f"As plots: {'; '.join(links)}."


def comparison(rows: Sequence[dict[str, Any]], part: str) -> str:
    """Medians of each arm, and how many times as long as -O2 it takes."""
    names = [name for name in ARMS if any(_median(row, name) is not None for row in rows)]
    share = any("share_of_peak" in row for row in rows)
    lines = []
    for row in rows:
        arms = {arm["name"]: arm for arm in row["arms"]}
        fast = arms.get("O2", {})
        case = case_words(row) if part == "fcn" else f"{row['net']} {case_words(row)}"
        line = [case, *(_figure(_median(row, name), name, fast.get("median")) for name in names)]
        if "auto" in names:
            line[-1] += _chosen(arms.get("auto", {}).get("chosen"))
        peak, off = fast.get("peak_megabytes"), fast.get("difference")
        line += [f"{peak:.0f} MB" if peak else "–", f"{off:.1e}" if off is not None else "–"]
        line += [f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else "–"] if share else []
        line += [_planned(arms.get("plan", {}).get("plan"))] if part == "plan" else []
        lines.append(line)
    head = ["case", *(NAMES.get(name, name) for name in names), "-O2: peak memory", "difference"]
    head += ["of the peak"] if share else []
    head += ["layers the plan changes"] if part == "plan" else []
    return _table(head, lines)


def _median(row: Mapping[str, Any], name: str) -> float | None:
    return next((arm["median"] for arm in row["arms"] if arm["name"] == name), None)


def _figure(median: float | None, name: str, fast: float | None) -> str:
    """
    >>> _figure(1.5, "O1", 1.2), _figure(0.0123, "O2", 0.0123), _figure(None, "O1", 1.0)
    ('1.50 s (1.25 ×)', '**12.3 ms**', '–')
    """
    if median is None:
        return "–"
    words = f"{median:.2f} s" if median >= 1 else f"{1e3 * median:.3g} ms"
    if not fast:
        return words
    return f"**{words}**" if name == "O2" else f"{words} ({median / fast:.2f} ×)"


def _chosen(arm: str | None) -> str:
    """
    >>> _chosen("openvino"), _chosen(None)
    (': OpenVINO', '')
    """
    return f": {NAMES[arm]}" if arm else ""


def _planned(plan: Mapping[str, float] | None) -> str:
    return f"{plan['other']} of {plan['layers']}" if plan else "–"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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


def _build(rows: Sequence[dict[str, float]]) -> str:
    found = {(row["layers"], row["level"]): row for row in rows}
    lines = []
    for layers in dict.fromkeys(row["layers"] for row in rows):
        levels = [found.get((layers, level)) for level in (1, 2)]
        line = [f"{row['cpu_seconds']:.2f} s, {row['megabytes']:.0f} MB" if row else "–" for row in levels]
        lines.append([f"{layers:,}", *line])
    return _table(["layers", "`build -O1`", "`build -O2`"], lines)


def _convert(found: Mapping[str, float]) -> str:
    return _table(
        ["file", "`cp`", "conversion", "over `cp`", "its peak memory", "reading the layers alone"],
        [
            [
                f"{found['megabytes']:.0f} MB",
                f"{found['cp_seconds']:.3f} s",
                f"{found['convert_seconds']:.3f} s",
                f"{found['ratio']:.2f} ×",
                f"{found['peak_megabytes']:.0f} MB",
                f"{found['read_seconds']:.3f} s",
            ]
        ],
    )
