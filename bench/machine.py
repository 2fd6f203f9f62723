"""Which machine this is, and what it can do at most: oneDNN's convolutions, and copying memory."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from netcompile.engines.kept import processor

INSTRUCTIONS = (
    "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip
_BEST = (("amx_bf16", "amx"), ("avx512_bf16", "avx512-bf16"), ("avx512f", "avx512"), ("avx2", "avx2"), ("sve", "sve"))
_CAPABILITY = "import torch; print(torch.backends.cpu.get_cpu_capability())"

_PEAKS = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[1])); torch.set_grad_enabled(False)
def best(run, tries=7):
    run(); times = []
    for _ in range(tries):
        begin = time.perf_counter(); run(); times.append(time.perf_counter() - begin)
    return min(times)
found = {}
for dtype in (torch.float32, torch.bfloat16):
    rates = []
    for channels, size in ((64, 256), (128, 128), (256, 64), (512, 40)):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(dtype)
        x = torch.randn(1, channels, size, size).to(dtype).contiguous(memory_format=torch.channels_last)
        run = lambda: torch.conv2d(x, layer.weight, layer.bias, padding=1)
        try:
            window = [1, 1], [1, 1], [1, 1], 1
            weight = torch.ops.mkldnn._reorder_convolution_weight(layer.weight, *window, list(x.shape))
            run = lambda: torch.ops.mkldnn._convolution_pointwise(
                x, weight, layer.bias, *window, "none", [], "")
        except (AttributeError, RuntimeError):  # absent, or not for this type on this CPU
            pass
        rates.append(2 * channels * channels * 9 * size * size / best(run) / 1e9)
    found[str(dtype).split(".")[1]] = max(rates)
a = torch.zeros(64 << 20); b = torch.empty_like(a)
found["copy"] = 2 * a.nbytes / best(lambda: b.copy_(a)) / 1e9
print(json.dumps(found))
"""


def peaks(threads: int) -> dict[str, float]:
    """GFLOP/s of the best convolution in float32 and bfloat16, GB/s read and written of a copy."""
    command = [sys.executable, "-c", _PEAKS, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def describe() -> dict[str, Any]:
    """The CPU, its number, what torch uses of its instructions, and those that convolutions may gain from."""
    done = subprocess.run([sys.executable, "-c", _CAPABILITY], capture_output=True, text=True, check=True)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "capability": done.stdout.strip(),
        "instructions": instructions(flags),
    }


def instructions(cpuinfo: str) -> list[str]:
    """Those of INSTRUCTIONS that the first CPU of /proc/cpuinfo has.

    >>> instructions("flags\\t\\t: fpu avx avx2 fma amx_tile amx_bf16")
    ['avx2', 'fma', 'amx_bf16']
    """
    for line in cpuinfo.splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return [one for one in INSTRUCTIONS if one in words.split()]
    return []


def slug(machine: dict[str, Any]) -> str:
    """The name of a machine's files.

    >>> slug({"processor": "Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz", "cores": 2, "instructions": ["avx2", "avx512f"]})
    'intel-xeon-gold-6330-2-cpus-avx512'
    """
    name = re.sub(r"\([A-Za-z]+\)|\bCPU\b|@.*", " ", machine["processor"])
    found = machine["instructions"]
    best = next((word for flag, word in _BEST if flag in found), str(machine.get("capability", "")))
    words = f"{name} {machine['cores']} cpus {best}".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def measured() -> dict[str, str]:
    """When, of which code, and with which packages."""
    found = {"date": date.today().isoformat(), "python": platform.python_version()}
    with suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        found["code"] = done.stdout.strip()
    for package in ("netcompile", "torch", "opencv-python-headless", "onnxruntime", "openvino"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
