"""Start-up of the commands against bare Python, and analysis and builds of nets from 100 layers on."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.parse import net_text

ROOT = Path(__file__).resolve().parent.parent


def _run(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of CPU time, and peak megabytes of a process; the peak is at least that of this small one."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def startup(rounds: int = 9) -> dict[str, float]:
    """Median seconds of each command on FCN-8s, in turn, and of ``python -c pass``."""
    tool = [sys.executable, "-m", "netcompile"]
    net = "prototxt/voc-fcn8s/val.prototxt"
    commands = {"python": [sys.executable, "-c", "pass"]}
    commands.update({name: [*tool, name, net] for name in ("offsets", "inspect", "check")})
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            taken, _, _ = _run(command)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(found) for name, found in times.items()}


def analysis(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """Seconds and peak memory of ``offsets`` on chains of convolutions and ReLUs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for layers in sizes:
            path = Path(folder) / f"chain{layers}.prototxt"
            path.write_text(net_text(layers))
            command = [sys.executable, "-m", "netcompile", "offsets", str(path)]
            runs = [_run(command) for _ in range(3 if layers <= 10_000 else 1)]
            rows.append({"layers": layers, "seconds": min(r[0] for r in runs), "megabytes": runs[0][2]})
    return rows


def build(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """CPU seconds and peak memory of ``build`` at -O1 and -O2 on the same chains: other work hardly counts."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for layers in sizes:
            path = Path(folder) / f"chain{layers}.prototxt"
            path.write_text(net_text(layers))
            for level in (1, 2):
                command = [sys.executable, "-m", "netcompile", "build", str(path), f"-O{level}", "-o", f"{folder}/out"]
                runs = [_run(command) for _ in range(3 if layers <= 10_000 else 1)]
                least = min(r[1] for r in runs)
                rows.append({"layers": layers, "level": level, "cpu_seconds": least, "megabytes": runs[0][2]})
    return rows
