"""What the machine can do at most: oneDNN's convolutions, and copying memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

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
        except AttributeError:
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


def describe() -> dict[str, str | int]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    found: dict[str, str | int] = {
        "processor": model,
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
    }
    for package in ("torch", "opencv-python-headless", "onnxruntime", "openvino"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
