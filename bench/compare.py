"""Arms of one comparison, each in its own process, run in turn: first literal, then O1, … and again.

An arm is paused while it is not its turn: threads that wait actively for work would else take the next arm's CPUs.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.busy import busy
from bench.cases import Case

ROOT = Path(__file__).resolve().parent.parent
TUNED = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592"


@dataclass
class Arm:
    """What one arm did. `seconds`: the median of each turn. `difference`: the largest to the first arm's output, over
    its largest value. `plan`: what `bench.arm.note` tells of one. `chosen`: the arm that `auto` took."""

    name: str
    seconds: list[float] = field(default_factory=list)
    load: float = 0.0
    first: float = 0.0
    peak_megabytes: float = 0.0
    difference: float | None = None
    absent: str = ""
    plan: dict[str, float] = field(default_factory=dict)
    chosen: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    def to_json(self) -> dict[str, Any]:
        found = {**asdict(self), "median": self.median if self.seconds else None}
        return {key: value for key, value in found.items() if key not in ("plan", "chosen") or value}


class Process:
    """An arm's process; it is paused but for its turns."""

    def __init__(self, name: str, folder: Path, dtype: str, case: Case, device: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
        for key, value in (
            ("GLIBC_TUNABLES", TUNED if case.tuned else ""),
            ("OMP_WAIT_POLICY", "" if case.waiting == "default" else case.waiting),
        ):
            environment.pop(key, None)
            if value:
                environment[key] = value
        command = [sys.executable, "-m", "bench.arm", name, str(folder), dtype, str(case.threads), device]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        return {"failed": f"the process ended with {self.process.wait()}"}

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def run(self) -> dict[str, Any]:
        """A turn."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        with suppress(BrokenPipeError):  # `answer` says that it ended
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        told = self.answer()
        self.pause()
        return told

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def compare(
    names: tuple[str, ...], folder: Path, case: Case, rounds: int, device: str = "cpu",
    start: Callable[[str, Path, str, Case, str], Process] = Process,
) -> dict[str, Arm]:  # fmt: skip
    """Every arm's times. Arms load one after the other, then run in turn, `rounds` times, with the same input."""
    height, width = (int(n) for n in case.size.split("x"))
    x = np.random.default_rng(3).standard_normal((case.batch, 3, height, width), np.float32) * np.float32(50)
    np.save(folder / "input.npy", x)
    arms = {name: Arm(name) for name in names}
    running: dict[str, Process] = {}
    reference = None
    try:
        for name, arm in arms.items():
            kind, _, own = name.partition("-")  # "literal-float32" has a type of its own
            running[name] = process = start(kind, folder, own or case.dtype, case, device)
            if not _loaded(arm, process):
                running.pop(name).end()
                continue
            process.pause()
            found = np.load(folder / f"{kind}.npy").astype(np.float64)
            reference = found if reference is None else reference
            arm.difference = float(np.abs(found - reference).max() / np.abs(reference).max())
        with busy(case.busy):
            for _ in range(rounds):
                _round(arms, running)
    finally:
        for process in running.values():
            process.end()
    return arms


def _loaded(arm: Arm, process: Process) -> bool:
    told = process.answer()
    while "plan" in told or "chosen" in told:
        arm.plan, arm.chosen = told.get("plan", arm.plan), told.get("chosen", arm.chosen)
        told = process.answer()
    if "ready" not in told:
        arm.absent = told.get("absent") or told.get("failed", "")
        return False
    arm.load, arm.first, arm.peak_megabytes = told["load"], told["first"], told["peak"]
    return True


def _round(arms: dict[str, Arm], running: dict[str, Process]) -> None:
    """A turn of each arm."""
    for name, process in [*running.items()]:
        told = process.run()
        if "failed" in told:  # killed for its memory, say
            arms[name].absent = told["failed"]
            arms[name].seconds.clear()
            running.pop(name).end()
            continue
        arms[name].seconds.append(statistics.median(told["seconds"]))
        arms[name].peak_megabytes = max(arms[name].peak_megabytes, told["peak"])
