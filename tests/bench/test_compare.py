"""The arms' turns, with processes that tell made-up times."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bench.arm import TURN, turn
from bench.busy import busy
from bench.cases import Case
from bench.compare import compare

CASE = Case("HED", "2x2")


class Told:
    """An arm whose answers are given; `log` has what was asked of all."""

    def __init__(self, name: str, answers: list[dict[str, Any]], log: list[str]) -> None:
        self.name, self.answers, self.log = name, answers, log

    def answer(self) -> dict[str, Any]:
        return self.answers.pop(0)

    def run(self) -> dict[str, Any]:
        self.log.append(f"run {self.name}")
        return self.answers.pop(0)

    def pause(self) -> None:
        self.log.append(f"pause {self.name}")

    def end(self) -> None:
        self.log.append(f"end {self.name}")


def test_arms_run_in_turn_and_those_that_fail_are_left_out(tmp_path: Path) -> None:
    ready = {"ready": True, "load": 1.0, "first": 2.0, "peak": 10.0}
    answers: dict[str, list[dict[str, Any]]] = {
        "literal": [ready, {"seconds": [3.0], "peak": 20.0}, {"seconds": [5.0], "peak": 15.0}],
        "opencv": [{"absent": "No module named 'cv2'"}],
        "O1": [ready, {"seconds": [1.0], "peak": 1.0}, {"failed": "the process ended with -9"}],
        "plan": [{"plan": {"other": 2}}, {"chosen": "O1"}, ready, *[{"seconds": [0.3, 0.1, 0.2], "peak": 1.0}] * 2],
    }
    log: list[str] = []
    for name, value in (("literal", 4.0), ("O1", 4.0), ("plan", 5.0)):
        np.save(tmp_path / f"{name}.npy", np.array([value, -4.0]))

    def start(name: str, folder: Path, dtype: str, case: Case, device: str) -> Any:
        assert (folder, dtype, case, device) == (tmp_path, "float32", CASE, "cpu")
        return Told(name, answers[name], log)

    arms = compare(tuple(answers), tmp_path, CASE, 2, start=start)
    assert {name: arm.seconds for name, arm in arms.items()} == {
        "literal": [3.0, 5.0], "opencv": [], "O1": [], "plan": [0.2, 0.2],
    }  # fmt: skip
    assert (arms["literal"].median, arms["literal"].peak_megabytes) == (4.0, 20.0)
    assert (arms["opencv"].absent, arms["O1"].absent) == ("No module named 'cv2'", "the process ended with -9")
    assert (arms["plan"].plan, arms["plan"].difference) == ({"other": 2}, 0.25)
    assert arms["plan"].to_json()["chosen"] == "O1"
    assert arms["O1"].to_json()["median"] is None
    assert "chosen" not in arms["O1"].to_json()
    assert log == [
        "pause literal", "end opencv", "pause O1", "pause plan",
        "run literal", "run O1", "run plan", "run literal", "run O1", "end O1", "run plan",
        "end literal", "end plan",
    ]  # fmt: skip


def test_a_turn_is_one_slow_run_or_several_fast_ones() -> None:
    def seconds(each: float) -> list[float]:
        now = iter(n * each for n in range(1000))
        return turn(lambda: None, lambda: next(now))

    assert seconds(1.0) == [1.0]
    assert len(seconds(TURN / 4)) == 4


def test_busy_processes_are_there_within_and_gone_behind() -> None:
    me = os.getpid()
    with busy(2):
        found = children(me)
        assert len(found) == 2
        limit = time.monotonic() + 60
        while not all(cpu_ticks(pid) > 2 for pid in found) and time.monotonic() < limit:
            time.sleep(0.05)
        assert all(cpu_ticks(pid) > 2 for pid in found)
    assert children(me) == []


def children(parent: int) -> list[int]:
    """Processes that count, and were started by `parent`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (path / "status").read_text()
            if f"PPid:\t{parent}\n" in status and b"range(1_000_000)" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
