"""The comparisons: each net with its weights in a folder, each case's arms run in turn, and what they took."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.architectures import NETS
from bench.arguments import Options
from bench.cases import FCN, Case, arms, cases
from bench.compare import ROOT, Arm, compare
from bench.export import export
from bench.machine import measured
from bench.nets import analysed, write
from netcompile.analysis.cost import costs
from netcompile.analysis.shapes import infer
from netcompile.passes import optimise
from netcompile.passes.base import Facts

PROTOTXT = "voc-fcn8s/deploy.prototxt"
Peaks = dict[str, dict[str, float]]


def say(text: str) -> None:
    print(text, flush=True)


def comparisons(part: str, options: Options, peaks: Peaks | None = None) -> Iterator[dict[str, Any]]:
    """A row for each case of a part: the case, its arms, when it was measured and with which packages."""
    for name, group in groupby(cases(part, options), lambda case: case.net):
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            folder = Path(place)
            definition(name, folder)
            chosen = [(case, arms(part, case, options)) for case in group]
            if any("onnxruntime" in names or "openvino" in names for _, names in chosen):
                why = export(folder)
                if why:
                    say(f"{name}: no ONNX file, so ONNX Runtime and OpenVINO are left out: {why}")
            for case, names in chosen:
                found = compare(names, folder, case, options.rounds)
                printed(case, found)
                row = {**asdict(case), "arms": [arm.to_json() for arm in found.values()], "measured": measured()}
                if peaks and "O2" in found and found["O2"].seconds:
                    row["share_of_peak"] = share(case, found["O2"].median, peaks)
                yield row


def definition(name: str, folder: Path) -> None:
    """net.prototxt and net.caffemodel of a net by its name."""
    if name == FCN:
        write(analysed(PROTOTXT), (ROOT / "prototxt" / PROTOTXT).read_text(), folder)
        return
    text = str(NETS[name][0]().to_proto())
    (folder / "net.prototxt").write_text(text)
    write(analysed(str(folder / "net.prototxt")), text, folder)


def share(case: Case, seconds: float, peaks: Peaks) -> float:
    """Of the best convolution's rate, what the multiplications in FCN-8s's windows are computed at."""
    needed = 2e-9 * windowed_macs(case)
    found = needed / seconds / peaks[str(case.threads)][case.dtype]
    say(f"  -O2: {needed:.0f} GFLOP in its windows, {found:.0%} of the best convolution")
    return found


def windowed_macs(case: Case) -> int:
    """Multiply-accumulates that -O2 is left with on FCN-8s, Winograd's savings not counted."""
    height, width = map(int, case.size.split("x"))
    net = analysed(PROTOTXT, (case.batch, 3, height, width))
    upsampled = frozenset((n.name, n.occurrence) for n in net.graph.nodes if n.type == "Deconvolution")
    program = optimise(net.graph, 2, Facts(True, diagonal=upsampled, bilinear=upsampled)).program
    graph = program.windowed or program.graph
    return sum(cost.macs for cost in costs(graph, infer(graph)[0]))


def printed(case: Case, found: dict[str, Arm]) -> None:
    """Print what the arms took; × is an arm's time over that of -O2, as in the page's tables."""
    malloc = "tuned" if case.tuned else "default"
    title = f"{case.net} {case.size} batch {case.batch} {case.dtype}, {case.threads} threads, {malloc} malloc"
    say(f"\n{title}, {case.waiting} waiting" + (f", {case.busy} busy processes beside" if case.busy else ""))
    fast = found.get("O2")
    for arm in found.values():
        if not arm.seconds:
            say(f"  {arm.name:15} left out: {arm.absent}")
            continue
        spread = f"{min(arm.seconds):.4f} … {max(arm.seconds):.4f}"
        ratio = f"{arm.median / fast.median:5.2f} ×" if fast and fast.seconds else ""
        off = "" if arm.difference is None else f"{arm.difference:.1e}"
        say(f"  {arm.name:15} {arm.median:8.4f} s  ({spread})  {ratio}  peak {arm.peak_megabytes:5.0f} MB  {off}")
        if arm.plan:
            plan = arm.plan
            say(f"  {'':15} {plan['other']} of {plan['layers']} sizes of layers another way, {plan['seconds']:.1f} s")
