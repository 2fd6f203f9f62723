"""Reading speed: our parser against protobuf's text_format, and how time and memory grow with the number of
layers.

``python bench/parse.py [--layers N ...]`` prints one row per size; ``--quick`` leaves the largest sizes out.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.parser import parse

BLOCK = """layer {{
  name: "conv{0}"
  type: "Convolution"
  bottom: "{1}"
  top: "conv{0}"
  param {{ lr_mult: 1 decay_mult: 1 }}
  param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{
    num_output: 64
    pad: 1
    kernel_size: 3
    weight_filler {{ type: "gaussian" std: 0.01 }}
    bias_filler {{ type: "constant" value: 0 }}
  }}
}}
layer {{
  name: "relu{0}"
  type: "ReLU"
  bottom: "conv{0}"
  top: "conv{0}"
}}
"""


def net_text(layers: int) -> str:
    """A chain of convolutions and ReLUs, ``layers`` in all."""
    head = 'name: "chain"\nlayer { name: "data" type: "Input" top: "data" }\n'
    names = ["data", *(f"conv{i}" for i in range(layers // 2))]
    return head + "".join(BLOCK.format(i, names[i]) for i in range(layers // 2))


def best(action: Callable[[], object], runs: int) -> float:
    """The shortest of some runs, in seconds of processor time: other work on the machine does not count."""
    times = []
    for _ in range(runs):
        gc.collect()
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    try:
        from google.protobuf import text_format

        from netcompile.prototxt.descriptors import message_class

        net_class = message_class("NetParameter")
    except ImportError:
        net_class = None
    print(f"{'layers':>8} {'MB':>6} {'parse s':>8} {'load s':>8} {'protobuf s':>10} {'ratio':>6} {'peak MB':>8}")
    for layers in options.layers[:2] if options.quick else options.layers:
        text = net_text(layers)
        runs = 3 if layers <= 10_000 else 1
        ours = best(lambda text=text: parse(Source(text)), runs)  # type: ignore[misc]
        whole = best(lambda text=text: load_net(Source(text)), runs)  # type: ignore[misc]
        theirs = float("nan")
        if net_class is not None and layers <= 10_000:
            theirs = best(lambda text=text: text_format.Parse(text, net_class()), runs)  # type: ignore[misc]
        tracemalloc.start()
        net = parse(Source(text))
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        del net
        size = len(text) / 1e6
        figures = f"{ours:>8.3f} {whole:>8.3f} {theirs:>10.3f} {theirs / ours:>6.1f} {peak:>8.1f}"
        print(f"{layers:>8} {size:>6.2f} {figures}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
