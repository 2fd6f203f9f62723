"""Plain NumPy forward passes of the text-reading forks' layers."""

from __future__ import annotations

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.forks import Array, Oracle


def transpose(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """tianzhi0549/CTPN, caffe/src/caffe/layers/transpose_layer.cpp."""
    order = p.get("transpose_param").all("dim")
    y = np.zeros([bottoms[0].shape[axis] for axis in order])
    for index in np.ndindex(*bottoms[0].shape):
        y[tuple(index[axis] for axis in order)] = bottoms[0][index]
    return [y]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def lstm(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """junhyukoh/caffe-lstm@4df18ac4 and tianzhi0549/CTPN: lstm_layer.cpp, element by element."""
    s, x = p.get("lstm_param"), bottoms[0]
    flat = s.has("batch_size") or x.ndim == 2
    streams = s.get("batch_size") if flat else x.shape[1]
    rows = x.reshape(-1, streams, blobs[0].shape[1])
    size = s.get("num_output")
    y = np.zeros((len(rows), streams, size))
    for n in range(streams):
        h, c = np.zeros(size), np.zeros(size)
        for t in range(len(rows)):
            # The pointer to the marks moves by one mark a step, whatever the number of streams.
            on = bottoms[1].ravel()[t + n] != 0 if len(bottoms) > 1 else t > 0
            gates = blobs[0] @ rows[t, n] + blobs[2] + (blobs[1] @ h if on else 0)
            i, f, o, g = np.split(gates, 4)
            c = (sigmoid(f) * c if on else 0) + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            y[t, n] = h
    return [y.reshape(-1, size) if flat else y]


def ctc_greedy(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    """BVLC/caffe@dcf029ca, src/caffe/layers/ctc_decoder_layer.cpp; with one bottom dlunion/CC4.0's."""
    x, s = bottoms[0], p.get("ctc_decoder_param")
    blank, merge = s.get("blank_index"), s.get("ctc_merge_repeated")
    if p.has("ctc_loss_param"):
        blank, merge = p.get("ctc_loss_param").get("blank_label"), True
    blank = x.shape[2] - 1 if blank < 0 else blank
    steps, streams = x.shape[:2]
    classes, scores, accuracy = -np.ones((streams, steps, 1, 1)), np.zeros((streams, 1, 1, 1)), 0.0
    for n in range(streams):
        found: list[int] = []
        last = -1
        for t in range(steps):
            best = int(x[t, n].argmax())
            scores[n] -= x[t, n, best]
            if best != blank and not (merge and best == last):
                found.append(best)
            last = best
            if len(bottoms) > 1 and t + 1 < steps and bottoms[1].reshape(steps, streams)[t + 1, n] == 0:
                break
        classes[n, : len(found), 0, 0] = found
        if len(bottoms) == 3:
            labels = bottoms[2].reshape(steps, streams)[:, n]
            wanted = [int(v + 0.5) for v in labels[: next((i for i, v in enumerate(labels) if v < 0), steps)]]
            longer = max(len(wanted), len(found))
            accuracy += distance(wanted, found) / longer if longer else 0
    tops = [classes, scores, np.full((1, 1, 1, 1), 1 - accuracy / streams)]
    return [tops[0], tops[2]] if len(bottoms) == 3 and len(p.all("top")) == 2 else tops[: len(p.all("top"))]


def distance(a: list[int], b: list[int]) -> int:
    """Levenshtein's, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    keep = distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(keep, distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


ORACLES: dict[str, Oracle] = {"Transpose": transpose, "Lstm": lstm, "CTCGreedyDecoder": ctc_greedy}
