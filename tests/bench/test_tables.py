"""The files of results and the page's tables, from made-up times."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

import bench.machine
import bench.tables
from bench.results import merged, reports, save
from bench.tables import BEGIN, END, comparison, left_out, render, update

ROOT = Path(__file__).resolve().parents[2]
INTEL = {
    "processor": "Intel(R) Xeon(R) Processor", "cores": 2, "capability": "AVX512",
    "instructions": ["avx2", "avx512f", "amx_bf16"],
}  # fmt: skip
AMD = {"processor": "AMD EPYC", "cores": 2, "capability": "AVX2", "instructions": ["avx2", "fma"]}
MEASURED = {"date": "2026-11-30", "code": "abc1234", "python": "3.11.7", "torch": "2.13.0"}


def arm(name: str, median: float | None, **more: object) -> dict[str, Any]:
    absent = "" if median is not None else "No module named 'cv2'"
    return {"name": name, "median": median, "absent": absent, "peak_megabytes": 100.0, "difference": 1e-6, **more}


def row(net: str, *arms: dict[str, Any], **more: object) -> dict[str, Any]:
    case = {"size": "224x224", "batch": 1, "dtype": "float32", "threads": 2, "tuned": True, "waiting": "default"}
    return {"net": net, **case, "busy": 0, "arms": list(arms), "measured": MEASURED, **more}


def test_comparison_is_over_o2_and_leaves_out_what_did_not_run() -> None:
    rows = [
        row("HED", arm("opencv", None), arm("onnxruntime", 0.9), arm("O2", 1.2)),
        row("VGG-16", arm("O1", 0.03), arm("O2", 0.02), waiting="passive"),
    ]
    assert comparison(rows, "nets").splitlines() == [
        "| case | ONNX Runtime | -O1 | -O2 | -O2: peak memory | difference |",
        "| --- | --- | --- | --- | --- | --- |",
        "| HED 224 × 224, batch 1, 2 thr., tuned | 900 ms (0.75 ×) | – | **1.20 s** | 100 MB | 1.0e-06 |",
        "| VGG-16 224 × 224, batch 1, 2 thr., tuned, passive | – | 30 ms (1.50 ×) | **20 ms** | 100 MB | 1.0e-06 |",
    ]
    assert left_out(rows) == "OpenCV 4 (No module named 'cv2')"


def test_without_o2_there_are_no_ratios() -> None:
    assert "| 500 ms | – | – |" in comparison([row("HED", arm("O1", 0.5))], "nets")


def test_plan_says_what_it_changes() -> None:
    plan = {"seconds": 3.0, "layers": 26, "other": 4, "rule_milliseconds": 1.0, "plan_milliseconds": 0.9}
    found = comparison([row("HED", arm("O2", 1.0), arm("plan", 0.9, plan=plan))], "plan")
    assert found.splitlines()[0].endswith(
        "| -O2 | -O2, plan | -O2: peak memory | difference | layers the plan changes |"
    )
    assert "| 900 ms (0.90 ×) |" in found
    assert found.endswith("| 4 of 26 |")


def test_section_names_the_machine() -> None:
    report = {
        "machine": INTEL, "note": "Of older code.",
        "busy": [row("FCN-8s", arm("O2", 2.0), busy=2)],
        "build": [{"layers": 10_000, "level": n, "cpu_seconds": 2.0 * n, "megabytes": 99.6} for n in (1, 2)],
        "convert": dict.fromkeys(
            ("megabytes", "cp_seconds", "convert_seconds", "ratio", "peak_megabytes", "read_seconds"), 1.5
        ),
        "measured": {"build": MEASURED, "convert": {**MEASURED, "date": "2026-12-01"}},
    }  # fmt: skip
    found = render("intel", report)
    assert found.startswith(
        "### Intel(R) Xeon(R) Processor, 2 CPUs, AVX512, AMX\n\n- Of older code.\n"
        "- Instruction sets: avx2, avx512f, amx_bf16.\n"
        "- With other processes busy; Building: 2026-11-30, python 3.11.7, torch 2.13.0.\n"
        "- Conversion: 2026-12-01, python 3.11.7, torch 2.13.0.\n\n"
        "**With other processes busy, float32**\n"
    )
    assert "| FCN-8s 224 × 224, batch 1, 2 thr., tuned, 2 busy beside | **2.00 s** |" in found
    assert "| 10,000 | 2.00 s, 100 MB | 4.00 s, 100 MB |" in found
    assert "| 2 MB | 1.500 s | 1.500 s | 1.50 × | 2 MB | 1.500 s |" in found


def test_rows_of_the_same_case_are_replaced_others_stay() -> None:
    old = merged(
        {}, {"nets": [row("HED", arm("O2", 1.0)), row("VGG-16", arm("O2", 3.0))], "measured": {"tools": MEASURED}}
    )
    new = {"nets": [row("HED", arm("O2", 2.0)), row("HED", arm("O2", 4.0), busy=2)], "measured": {"build": MEASURED}}
    found = merged(old, new)
    assert [(r["net"], r["busy"], r["arms"][0]["median"]) for r in found["nets"]] == [
        ("HED", 0, 2.0), ("VGG-16", 0, 3.0), ("HED", 2, 4.0),
    ]  # fmt: skip
    assert set(found["measured"]) == {"tools", "build"}


def test_each_machine_has_a_file_and_a_section(tmp_path: Path) -> None:
    out, page = tmp_path / "performance", tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    save(out, INTEL, {"fcn": [row("FCN-8s", arm("literal", 3.0), arm("O2", 1.0))]})
    save(out, AMD, {"nets": [row("HED", arm("O2", 1.0))]})
    save(out, AMD, {"nets": [row("VGG-16", arm("O2", 2.0))]})
    names = ["amd-epyc-2-cpus-avx2", "intel-xeon-processor-2-cpus-amx"]
    assert sorted(path.stem for path in out.glob("*.json")) == names
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n### AMD EPYC, 2 CPUs, AVX2\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert text.count("### ") == 2
    assert "HED" in text
    assert "VGG-16" in text
    (link,) = [word for word in text.replace("(", " ").replace(")", " ").split() if word.endswith(".svg")]
    assert (tmp_path / link).read_text().startswith("<svg")
    before = text
    update(page, reports(out))
    assert page.read_text() == before


def test_nothing_is_written_where_that_was_asked_for() -> None:
    save(None, AMD, {"nets": []})


def test_page_is_what_its_files_say(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    kept = (ROOT / "docs" / "performance.md").read_text()
    page.write_text(kept)
    update(page, reports(ROOT / "docs" / "performance"))
    assert page.read_text() == kept


def test_files_are_json_that_says_which_machine() -> None:
    files = list((ROOT / "docs" / "performance").glob("*.json"))
    assert files
    for path in files:
        machine = json.loads(path.read_text())["machine"]
        assert set(machine) == {"processor", "cores", "capability", "instructions"}, path


@pytest.mark.parametrize("module", [bench.machine, bench.tables])
def test_doctests(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
