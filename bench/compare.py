"""Arms of one comparison, each in its own process, run in turn: first literal, then O1, … and again."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TUNED = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592"


@dataclass
class Arm:
    """What one arm did. `difference`: the largest to the literal net's output, over its largest value."""

    name: str
    seconds: list[float] = field(default_factory=list)
    load: float = 0.0
    first: float = 0.0
    peak_megabytes: float = 0.0
    difference: float | None = None
    absent: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.median if self.seconds else None}


class _Process:
    def __init__(self, name: str, folder: Path, case: tuple[str, ...], tuned: bool) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": case[1]}
        environment.pop("GLIBC_TUNABLES", None)
        if tuned:
            environment["GLIBC_TUNABLES"] = TUNED
        command = [sys.executable, "-m", "bench.arm", name, str(folder), *case]
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

    def run(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` says that it ended
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(
    names: tuple[str, ...], folder: Path, size: str, batch: int, dtype: str, threads: int, tuned: bool,
    rounds: int, device: str = "cpu",
) -> dict[str, Arm]:  # fmt: skip
    """Every arm's times. Arms load one after the other, then run in turn, `rounds` times, with the same input."""
    height, width = (int(n) for n in size.split("x"))
    x = np.random.default_rng(3).standard_normal((batch, 3, height, width), np.float32) * np.float32(50)
    np.save(folder / "input.npy", x)
    arms: dict[str, Arm] = {}
    running: dict[str, _Process] = {}
    reference = None
    for name in names:
        arms[name] = arm = Arm(name)
        kind, _, own = name.partition("-")  # "literal-float32" has a type of its own
        process = _Process(kind, folder, (own or dtype, str(threads), device), tuned)
        told = process.answer()
        if "ready" not in told:
            arm.absent = told.get("absent") or told.get("failed", "")
            process.end()
            continue
        running[name] = process
        arm.load, arm.first, arm.peak_megabytes = told["load"], told["first"], told["peak"]
        found = np.load(folder / f"{kind}.npy").astype(np.float64)
        if reference is None:
            reference = found
        arm.difference = float(np.abs(found - reference).max() / np.abs(reference).max())
    for _ in range(rounds):
        for name, process in [*running.items()]:
            told = process.run()
            if "failed" in told:  # killed for its memory, say
                arms[name].absent = told["failed"]
                arms[name].seconds.clear()
                del running[name]
                continue
            arms[name].seconds.append(told["seconds"])
            arms[name].peak_megabytes = max(arms[name].peak_megabytes, told["peak"])
    for process in running.values():
        process.end()
    return arms
