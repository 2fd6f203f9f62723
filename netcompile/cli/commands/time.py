"""Forward and backward time of every layer, and of every group that the optimisation fused, as caffe time.

Each layer runs alone on the blobs that it gets in the net; inputs are drawn, and weights where none are given. The
share is that of the machine's peak, measured just before: multiply-accumulates a second in the forward pass. Of a net
in another engine than torch the time of the whole is told: nothing is known of its layers, and nothing flows back.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from netcompile.cli.arrays import labels_told
from netcompile.cli.exit_codes import DONE
from netcompile.cli.messages import show_notes
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import analyse_net
from netcompile.cli.options import (
    add_device,
    add_engine,
    add_max_memory,
    add_optimise,
    add_weights,
    device,
    level_of,
    positive,
    weights_of,
)
from netcompile.cli.output import write_json, write_text
from netcompile.diagnostics.text import count_text
from netcompile.report.table import table

if TYPE_CHECKING:
    from netcompile.engines.timing import EngineTiming
    from netcompile.runtime.timing import Timing


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_weights(parser, "; default: drawn numbers")
    parser.add_argument("--iterations", type=positive, default=10, metavar="N", help="runs that count, default 10")
    add_optimise(parser)
    add_engine(parser)
    add_device(parser)
    add_max_memory(parser)
    parser.add_argument("--json", action="store_true", help="the times as JSON")


def run(arguments: argparse.Namespace) -> int:
    analysed = analyse_net(arguments).require()
    weights = weights_of(arguments)
    show_notes(analysed.notes, frozenset({"assumed-shape"}))
    target = device(arguments.device)
    if arguments.engine != "torch":
        from netcompile.engines.compiled import Wanted
        from netcompile.engines.timing import time_in

        wanted = Wanted(arguments.engine, level_of(arguments), None, weights, arguments.dtype, target)
        with labels_told(analysed, {}):
            whole = time_in(analysed, wanted, arguments.iterations)
        show_notes(whole.notes, frozenset({"engine"}))
        if whole.engine != "torch":
            if arguments.json:
                write_json(whole_as_json(whole))
            else:
                write_text(whole_as_text(whole))
            return DONE
    from netcompile.runtime.timing import time_net

    with labels_told(analysed, {}):  # what is drawn may be no index
        found = time_net(
            analysed, weights, iterations=arguments.iterations, level=level_of(arguments), device=target,
            dtype=arguments.dtype,
        )  # fmt: skip
    if arguments.json:
        write_json(as_json(found))
    else:
        write_text(as_text(found))
    return DONE


def as_text(found: Timing) -> str:
    """A table of layers, then the sums in the words of caffe time."""
    total = found.forward or 1.0
    rows = [
        (" + ".join([t.name, *t.fused]), t.type, _ms(t.forward), _ms(t.backward), f"{100 * t.forward / total:.1f}",
         count_text(t.macs) if t.macs else "", _percent(t.share(found.peak)))
        for t in found.layers
    ]  # fmt: skip
    header = ("layer", "type", "forward ms", "backward ms", "% of forward", "MACs", "% of peak")
    macs = sum(t.macs for t in found.layers)
    where = f"{found.threads} threads" if found.threads else found.device
    lines = [
        table(header, rows, right=(2, 3, 4, 5, 6)),
        "",
        f"Average Forward pass: {found.forward:.4f} ms.",
        f"Average Backward pass: {found.backward:.4f} ms.",
        f"Average Forward-Backward: {found.forward + found.backward:.4f} ms.",
        f"Total Time: {(found.forward + found.backward) * found.iterations:.4f} ms.",
        "",
        f"in one piece: forward {_ms(found.whole_forward)} ms, backward {_ms(found.whole_backward) or '-'} ms",
        f"{count_text(macs)} MACs, {100 * macs / (found.whole_forward * 1e-3) / found.peak:.1f} % of the peak "
        f"({', '.join(f'{name} {count_text(int(rate))}MAC/s' for name, rate in found.peaks.items())})",
        f"{found.iterations} runs on {where}, {found.dtype}, -O{found.level}",
    ]
    return "\n".join(lines) + "\n"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def as_json(found: Timing) -> dict[str, Any]:
    """Times in milliseconds; null where there is no backward pass or there are no multiply-accumulates."""
    return {
        "version": 1,
        "net": found.net,
        "engine": "torch",
        "device": found.device,
        "dtype": found.dtype,
        "threads": found.threads or None,
        "iterations": found.iterations,
        "optimisation": found.level,
        "peak": dict(found.peaks),
        "forward": found.forward,
        "backward": found.backward,
        "whole": {"forward": found.whole_forward, "backward": found.whole_backward},
        "layers": [
            {
                "name": t.name, "type": t.type, "line": t.line, "forward": t.forward, "backward": t.backward,
                "fused": list(t.fused), "macs": t.macs, "share": t.share(found.peak),
            }
            for t in found.layers
        ],
    }  # fmt: skip


def whole_as_text(found: EngineTiming) -> str:
    """The time of a net in another engine, in the words of caffe time."""
    return (
        f"Average Forward pass: {found.forward:.4f} ms.\n"
        f"Total Time: {found.forward * found.iterations:.4f} ms.\n\n"
        f"{found.iterations} runs in {found.engine} on {found.threads} threads, float32\n"
    )


def whole_as_json(found: EngineTiming) -> dict[str, Any]:
    """As `as_json`; nothing is known of layers, of a backward pass and of peaks."""
    return {
        "version": 1,
        "net": found.net,
        "engine": found.engine,
        "device": "cpu",
        "dtype": "float32",
        "threads": found.threads,
        "iterations": found.iterations,
        "optimisation": None,
        "peak": {},
        "forward": found.forward,
        "backward": None,
        "whole": {"forward": found.forward, "backward": None},
        "layers": [],
    }
