"""``make bench``: every measurement, as a table, as JSON, and as plots in docs/performance; see bench.arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from bench import arguments, latency, machine
from bench.arguments import COMPARISONS, Options
from bench.compare import ROOT
from bench.gpu import gpu
from bench.measure import comparisons, say
from bench.results import save


def main() -> int:
    options = arguments.parse()
    if options.gpu:
        gpu(options.rounds)
        return 0
    here = machine.describe()
    say(f"{here['processor']}, {here['cores']} CPUs, {here['capability']}: {' '.join(here['instructions'])}")
    for part in options.parts:
        if part in COMPARISONS:
            compared(part, options, here)
        else:
            found = {"tools": tools, "build": build, "convert": convert}[part](options.quick)
            save(options.out, here, {**found, "measured": {part: machine.measured()}})
    return 0


def compared(part: str, options: Options, here: dict[str, Any]) -> None:
    """Each row is kept as soon as it is there."""
    peaks = None
    if part == "fcn":
        peaks = {str(threads): machine.peaks(threads) for threads in sorted({1, options.threads})}
        say("peaks " + json.dumps(peaks))
        save(options.out, here, {"peaks": peaks})
    for row in comparisons(part, options, peaks):
        save(options.out, here, {part: [row]})


def tools(quick: bool) -> dict[str, Any]:
    """Start-up of the commands, and how analysis and parsing grow with the net."""
    sizes = (100, 1_000, 10_000) if quick else (100, 1_000, 10_000, 100_000)
    startup = latency.startup(3 if quick else 9)
    for name, seconds in startup.items():
        say(f"start-up {name:10} {seconds * 1e3:7.0f} ms  {seconds / startup['python']:5.1f} ×")
    analysis = latency.analysis(sizes)
    for row in analysis:
        say(f"offsets {row['layers']:7.0f} layers {row['seconds']:8.2f} s {row['megabytes']:7.0f} MB")
    return {"startup": startup, "analysis": analysis, "parse": parse_rows(sizes)}


def build(quick: bool) -> dict[str, Any]:
    rows = latency.build((1_000,) if quick else (1_000, 10_000, 100_000))
    for row in rows:
        say(f"build {row['layers']:7.0f} layers -O{row['level']:.0f} {row['cpu_seconds']:8.2f} s of CPU time")
    return {"build": rows}


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


def convert(quick: bool) -> dict[str, Any]:
    """In a process of its own, whose memory is small: a child's peak is at least its parent's when it starts."""
    command = [sys.executable, "-m", "bench.convert", "--json", "--runs", "1" if quick else "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    say("convert " + json.dumps(figures))
    return {"convert": figures}


if __name__ == "__main__":
    sys.exit(main())
