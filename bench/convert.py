"""How long a caffemodel of FCN-8s's size takes to convert, against `cp` of the same file, and its memory.

Writes random weights in the shapes of FCN-8s with 21 classes (about 538 MB), then runs `cp` and the
conversion in turn, warm and in processes of their own, and compares medians. Aims: 1.5 times `cp`, 32 MB.

    python bench/convert.py [--runs 7] [--folder DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path

_CONVERT = """
import sys
from netcompile.caffemodel.convert import convert
from netcompile.caffemodel.plan import convert_plain
from netcompile.caffemodel.reader import read_caffemodel
model = read_caffemodel(sys.argv[1])
convert(model, convert_plain(model), sys.argv[2])
assert "numpy" not in sys.modules
"""
_READ = """
import sys
from netcompile.caffemodel.reader import read_caffemodel
read_caffemodel(sys.argv[1])
"""
_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def fcn8s(classes: int = 21) -> list[tuple[str, str, list[tuple[int, ...]]]]:
    """Every layer of FCN-8s that has weights: (name, type, shapes of its blobs)."""
    layers: list[tuple[str, str, list[tuple[int, ...]]]] = []
    width = 3
    for block, widths in enumerate(_WIDTHS, 1):
        for number, out in enumerate(widths, 1):
            layers.append((f"conv{block}_{number}", "Convolution", [(out, width, 3, 3), (out,)]))
            width = out
    heads = [("fc6", 4096, 512, 7), ("fc7", 4096, 4096, 1), ("score_fr", classes, 4096, 1)]
    heads += [("score_pool4", classes, 512, 1), ("score_pool3", classes, 256, 1)]
    layers += [(name, "Convolution", [(out, into, k, k), (out,)]) for name, out, into, k in heads]
    ups = [("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)]
    layers += [(name, "Deconvolution", [(classes, classes, k, k)]) for name, k in ups]
    return layers


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _field(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def write_caffemodel(path: Path) -> None:
    """Writes the net as Caffe does: V2 layers, packed floats, which are a random megabyte over and over."""
    noise = os.urandom(1 << 20)
    with path.open("wb") as out:
        out.write(_field(1, 5) + b"fcn8s")
        for name, kind, shapes in fcn8s():
            head = b"".join(_field(n, len(text)) + text.encode() for n, text in ((1, name), (2, kind)))
            blobs = []
            for shape in shapes:
                dims = b"".join(map(_varint, shape))
                message = _field(1, len(dims)) + dims
                size = 4 * prod(shape)
                blobs.append((_field(7, len(message)) + message + _field(5, size), size))
            sizes = [len(start) + size for start, size in blobs]
            out.write(_field(100, len(head) + sum(len(_field(7, n)) + n for n in sizes)) + head)
            for (start, size), whole in zip(blobs, sizes, strict=True):
                out.write(_field(7, whole) + start)
                for offset in range(0, size, len(noise)):
                    out.write(noise[: size - offset])


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=Path(__file__).resolve().parent.parent)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return seconds, usage.ru_maxrss / 1024


def measure(folder: Path, runs: int) -> dict[str, float]:
    source, target = folder / "fcn8s.caffemodel", folder / "out"
    write_caffemodel(source)
    commands = {
        "cp": ["cp", str(source), str(target)],
        "convert": [sys.executable, "-c", _CONVERT, str(source), str(target)],
        "read": [sys.executable, "-c", _READ, str(source)],
        "python": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, float] = dict.fromkeys(commands, 0.0)
    for turn in range(runs + 1):
        for name, command in commands.items():
            target.unlink(missing_ok=True)
            os.sync()  # else one run pays for the pages that the run before it left to be written
            took, peak = _run(command)
            if turn:  # the first round warms the file
                seconds[name].append(took)
                memory[name] = max(memory[name], peak)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "megabytes": source.stat().st_size / 1e6,
        "cp_seconds": median["cp"],
        "convert_seconds": median["convert"],
        "read_seconds": median["read"],
        "python_seconds": median["python"],
        "ratio": median["convert"] / median["cp"],
        "peak_megabytes": memory["convert"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to write 1.2 GB (default: a temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="convert-", dir=options.folder))
    try:
        figures = measure(folder, options.runs)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(figures))
        return
    f = figures
    print(f"{f['megabytes']:.0f} MB: cp {f['cp_seconds']:.3f} s, convert {f['convert_seconds']:.3f} s")
    print(f"ratio {f['ratio']:.2f} (aim 1.5, must be at most 2)")
    print(f"reading the layers {f['read_seconds']:.3f} s, bare Python {f['python_seconds']:.3f} s")
    print(f"peak memory {f['peak_megabytes']:.0f} MB (aim 32, must be at most 100)")


if __name__ == "__main__":
    main()
