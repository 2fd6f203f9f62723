"""``make bench``: every measurement, as a table, as JSON, and as plots in docs/performance.

python -m bench [--quick] [--only fcn,nets,tools] [--arms literal,O2] [--rounds 5] [--gpu] [--no-write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import latency, machine
from bench.architectures import NETS
from bench.arm import ARMS
from bench.compare import ROOT, Arm, compare
from bench.nets import analysed, write
from bench.plot import bars
from bench.tables import update
from netcompile.analyser import Analysed
from netcompile.analysis.cost import costs
from netcompile.analysis.shapes import infer
from netcompile.passes import optimise
from netcompile.passes.base import Facts

OUT = ROOT / "docs" / "performance"
FCN = "voc-fcn8s/deploy.prototxt"


def main() -> int:
    options = arguments()
    parts = options.only.split(",")
    report: dict[str, Any] = {"machines": dict.fromkeys(parts, machine.describe())}
    if options.gpu:
        return gpu(options)
    if "tools" in parts:  # first: the peak memory of a child is at least that of this process when it starts
        report["startup"] = latency.startup(3 if options.quick else 9)
        bare = report["startup"]["python"]
        for name, seconds in report["startup"].items():
            say(f"start-up {name:10} {seconds * 1e3:7.0f} ms  {seconds / bare:5.1f}×")
        sizes = (100, 1_000, 10_000) if options.quick else (100, 1_000, 10_000, 100_000)
        report["analysis"] = latency.analysis(sizes)
        for row in report["analysis"]:
            say(f"offsets {row['layers']:7.0f} layers {row['seconds']:8.2f} s {row['megabytes']:7.0f} MB")
        report["parse"] = parse_rows(sizes)
        if not options.quick:
            report["convert"] = convert()
        save(options, report)
    if "fcn" in parts:
        report["peaks"] = {str(threads): machine.peaks(threads) for threads in (1, 2)}
        say("peaks " + json.dumps(report["peaks"]))
        report["fcn8s"] = []
        for row in fcn(options, report["peaks"]):
            report["fcn8s"].append(row)
            save(options, report)
    if "nets" in parts:
        report["nets"] = list(nets(options))
        save(options, report)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one size, float32, two threads")
    parser.add_argument("--only", default="fcn,nets,tools", help="fcn, nets, tools")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", action="store_true", help="the row for a GPU alone")
    parser.add_argument("--no-write", action="store_true", help="print only")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, flush=True)


def cases(options: argparse.Namespace) -> Iterable[tuple[str, int, str, int, bool]]:
    """(size, batch, dtype, threads, tuned malloc)"""
    if options.quick:
        yield "224x224", 1, "float32", 2, False
        return
    for dtype in ("float32", "bfloat16"):
        for size in ("500x500", "375x500", "224x224"):
            yield size, 1, dtype, 2, False
        for size in ("500x500", "224x224"):
            yield size, 1, dtype, 2, True
        yield "500x500", 1, dtype, 1, False
        yield "500x500", 4, dtype, 2, True


def fcn(options: argparse.Namespace, peaks: dict[str, dict[str, float]]) -> Iterable[dict[str, Any]]:
    source = (ROOT / "prototxt" / FCN).read_text()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(analysed(FCN), source, folder)
        export(folder, options.arms)
        for size, batch, dtype, threads, tuned in cases(options):
            names = tuple(name for name in ARMS if name in options.arms.split(","))
            if dtype != "float32":  # what one would run without bfloat16 comes first
                names = ("literal-float32", *names)
            if batch > 1:  # all arms at once would need more memory than many machines have
                names = tuple(name for name in names if name not in ("compile", "onnxruntime", "O1"))
            arms = compare(names, folder, size, batch, dtype, threads, tuned, options.rounds)
            title = f"FCN-8s {size} batch {batch} {dtype}, {threads} threads, {'tuned' if tuned else 'default'} malloc"
            table(title, arms)
            row = {
                "size": size, "batch": batch, "dtype": dtype, "threads": threads, "tuned": tuned,
                "arms": [arm.to_json() for arm in arms.values()],
            }  # fmt: skip
            if "O2" in arms and arms["O2"].seconds:
                height, width = map(int, size.split("x"))
                needed = 2e-9 * windowed_macs(analysed(FCN, (batch, 3, height, width)))
                row["share_of_peak"] = needed / arms["O2"].median / peaks[str(threads)][dtype]
                say(f"  -O2: {needed:.0f} GFLOP in its windows, {row['share_of_peak']:.0%} of the best convolution")
            yield row


def windowed_macs(net: Analysed) -> int:
    """Multiply-accumulates that -O2 is left with, Winograd's savings not counted."""
    facts = Facts(True, *[frozenset((n.name, n.occurrence) for n in net.graph.nodes if n.type == "Deconvolution")] * 2)
    found = optimise(net.graph, 2, facts)
    graph = found.windowed or found.graph
    return sum(cost.macs for cost in costs(graph, infer(graph)[0]))


def export(folder: Path, arms: str) -> None:
    """net.onnx for the arms that read it; without the packages they are absent."""
    if "onnxruntime" not in arms and "openvino" not in arms:
        return
    try:
        from netcompile.compiler import compile_net
        from netcompile.export.onnx_file import write_onnx
        from netcompile.runtime.execute import with_weights

        net = analysed(str(folder / "net.prototxt"))
        module = compile_net(net, 1)
        write_onnx(net, module, with_weights(net, module, folder / "net.caffemodel"), str(folder / "net.onnx"))
    except Exception as error:
        (folder / "net.onnx").unlink(missing_ok=True)
        say(f"no ONNX file, so ONNX Runtime and OpenVINO are absent: {str(error).splitlines()[0][:200]}")


def nets(options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    """-O1 against -O2 on nets of other shapes."""
    for name, make in NETS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            text = str(make().to_proto())
            (folder / "net.prototxt").write_text(text)
            net = analysed(str(folder / "net.prototxt"))
            shape = net.graph.inputs[0].shape
            write(net, text, folder)
            size = f"{shape[2]}x{shape[3]}"
            arms = compare(("O1", "O2"), folder, size, shape[0], "float32", 2, True, options.rounds)
        table(f"{name} {size}", arms)
        yield {"net": name, "size": size, "arms": [arm.to_json() for arm in arms.values()]}


def table(title: str, arms: dict[str, Arm]) -> None:
    say(f"\n{title}")
    first = next((arm for arm in arms.values() if arm.seconds), None)
    for arm in arms.values():
        if not arm.seconds:
            say(f"  {arm.name:12} absent: {arm.absent}")
            continue
        spread = f"{min(arm.seconds):.3f} … {max(arm.seconds):.3f}"
        ratio = first.median / arm.median if first else 1.0
        off = "" if arm.difference is None else f"{arm.difference:.1e}"
        say(f"  {arm.name:12} {arm.median:8.3f} s  ({spread})  {ratio:5.2f}×  peak {arm.peak_megabytes:6.0f} MB  {off}")


def parse_rows(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    from bench.parse import best, net_text
    from netcompile.diagnostics.source import Source
    from netcompile.prototxt.parser import parse

    rows = []
    for layers in sizes:
        text = net_text(layers)
        ours = best(lambda text=text: parse(Source(text)), 3 if layers <= 10_000 else 1)  # type: ignore[misc]
        row = {"layers": layers, "seconds": ours}
        if layers <= 10_000:
            from google.protobuf import text_format

            from netcompile.prototxt.descriptors import message_class

            kind = message_class("NetParameter")
            row["protobuf"] = best(lambda text=text, kind=kind: text_format.Parse(text, kind()), 3)  # type: ignore[misc]
        rows.append(row)
        say("parse " + json.dumps(row))
    return rows


def convert() -> dict[str, float]:
    """In a process of its own, whose memory is small: a child's peak is at least its parent's when it starts."""
    command = [sys.executable, "-m", "bench.convert", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    say("convert " + json.dumps(figures))
    return figures


def gpu(options: argparse.Namespace) -> int:
    """The row for a GPU: literal and -O2 in bfloat16, batch 1, 8 and 32; says so where there is none."""
    import torch

    if not torch.cuda.is_available():
        say("no GPU here: this row is not measured")
        return 0
    peak = gpu_peak()
    say(f"{torch.cuda.get_device_name()}: {peak / 1e3:.0f} TFLOP/s in the best product of bfloat16 matrices")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(analysed(FCN), (ROOT / "prototxt" / FCN).read_text(), folder)
        for batch in (1, 8, 32):
            names = ("literal", "O1", "O2")
            arms = compare(names, folder, "500x500", batch, "bfloat16", 2, False, options.rounds, "cuda")
            table(f"FCN-8s 500x500 batch {batch} bfloat16", arms)
            if arms["O2"].seconds:
                needed = 2e-9 * windowed_macs(analysed(FCN, (batch, 3, 500, 500)))
                say(
                    f"  -O2: {needed:.0f} GFLOP in its windows, {needed / arms['O2'].median / peak:.0%} of the roofline"
                )
    return 0


def gpu_peak() -> float:
    """GFLOP/s of the best of some products of bfloat16 matrices."""
    import torch

    found = 0.0
    for n in (4096, 8192):
        a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for _ in range(5):
            a @ a
        begin.record()
        for _ in range(20):
            a @ a
        end.record()
        torch.cuda.synchronize()
        found = max(found, 20 * 2e-9 * n**3 / (begin.elapsed_time(end) * 1e-3))
    return found


def save(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """docs/performance: results.json, and one plot for each comparison. What a run did not measure stays as it is."""
    if options.no_write:
        return
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "results.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    merged = {**old, **report, "machines": old.get("machines", {}) | report["machines"]}
    path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    update(OUT.with_suffix(".md"), merged)
    for row in report.get("fcn8s", []):
        values = {arm["name"]: arm["median"] for arm in row["arms"]}
        malloc = "tuned" if row["tuned"] else "default"
        name = f"fcn8s-{row['size']}-b{row['batch']}-{row['dtype']}-t{row['threads']}-{malloc}"
        title = (
            f"FCN-8s, {row['size']}, batch {row['batch']}, {row['dtype']}, {row['threads']} threads, {malloc} malloc"
        )
        (OUT / f"{name}.svg").write_text(bars(title, "s", values))


if __name__ == "__main__":
    sys.exit(main())
