"""Draws the layers of forks that read text: sequences, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tests.fuzz.draw import Gen, Layer, section


def transpose(g: Gen) -> Layer:
    x = g.any()
    order = g.rng().permutation(len(x.shape))
    return Layer("Transpose", [x], section("transpose_param", "".join(f"dim: {a} " for a in order)), exact=True)


def lstm(g: Gen) -> Layer:
    flat, outputs = g.chance(40), g.int(1, 3)
    x = g.bottom(lambda b: 2 <= len(b.shape) <= 4, lambda: g.array((g.int(1, 4), g.int(1, 3), g.int(1, 3))))
    streams, inputs = (1, prod(x.shape[1:])) if flat or len(x.shape) == 2 else (x.shape[1], prod(x.shape[2:]))
    fields = f"num_output: {outputs} "
    if flat:
        streams = g.choice([d for d in range(1, x.shape[0] + 1) if x.shape[0] % d == 0])
        fields += f"batch_size: {streams} "
    steps = x.shape[0] // streams if flat else x.shape[0]
    marks = [g.input(g.integers((steps + streams - 1 + g.int(0, 1),), 0, 2))] if g.chance(40) else []
    shapes = ((4 * outputs, inputs), (4 * outputs, outputs), (4 * outputs,))
    blobs = [g.array(shape) / 4 for shape in shapes]
    return Layer("Lstm", [x, *marks], section("lstm_param", fields), blobs=blobs, fixed=(1,) * len(marks))


def ctc(g: Gen) -> Layer:
    steps, streams, classes = g.int(1, 5), g.int(1, 2), g.int(2, 4)
    scores = g.rng().permutation(steps * streams * classes).reshape(steps, streams, classes) / 8
    bottoms = [g.input(scores)]
    if g.chance(30):
        params = section("ctc_loss_param", f"blank_label: {g.int(0, classes - 1)} ") if g.chance(50) else ""
        return Layer("CTCGreedyDecoder", bottoms, params, fixed=(0,))
    bottoms.append(g.input(g.integers((steps, streams), 0, 3)))
    if g.chance(50):
        bottoms.append(g.input(g.integers((steps, streams), -1, classes)))
    fields = g.opt("blank_index", g.int(-1, classes - 1), -1) + g.opt("ctc_merge_repeated", g.chance(50), True)
    tops = g.int(1, len(bottoms))
    return Layer(
        "CTCGreedyDecoder", bottoms, section("ctc_decoder_param", fields), tops, fixed=(0, 1, 2)[: len(bottoms)]
    )


DRAWS: dict[str, Callable[[Gen], Layer]] = {"Transpose": transpose, "Lstm": lstm, "CTCGreedyDecoder": ctc}
