"""LSTM, RNN and LSTMUnit in plain NumPy, one step and one stream after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message

Array = np.ndarray[Any, Any]
Oracle = Callable[[Message, list[Array], list[Array], bool], list[Array]]


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _step(c: Array, gates: Array, cont: float) -> tuple[Array, Array]:
    """Next cell and output of one stream."""
    i, f, o, g = gates.reshape(4, -1)
    c = cont * _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return c, _sigmoid(o) * np.tanh(c)


def lstm_unit(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    c, gates, cont = bottoms
    cells, outputs = np.zeros_like(c), np.zeros_like(c)
    for stream in range(c.shape[1]):
        cells[0, stream], outputs[0, stream] = _step(c[0, stream], gates[0, stream], cont[0, stream])
    return [cells, outputs]


def _parts(p: Message, bottoms: list[Array], states: int) -> tuple[Array, Array, Array | None, list[Array]]:
    """x as (steps, streams, features), cont, the static input or None, and the first states."""
    exposed = states if p.get("recurrent_param").get("expose_hidden") else 0
    static = bottoms[2].reshape(len(bottoms[2]), -1) if len(bottoms) > 2 + exposed else None
    x = bottoms[0]
    shape = (x.shape[1], p.get("recurrent_param").get("num_output"))
    first = [b[0] for b in bottoms[len(bottoms) - exposed :]] if exposed else [np.zeros(shape)] * states
    return x.reshape(*x.shape[:2], -1), bottoms[1], static, first


def lstm(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    x, cont, static, (first_h, first_c) = _parts(p, bottoms, 2)
    to_gates, bias, *rest, from_h = blobs
    out = np.zeros((*x.shape[:2], from_h.shape[1]))
    h, c = first_h.copy(), first_c.copy()
    for t in range(x.shape[0]):
        for n in range(x.shape[1]):
            gates = to_gates @ x[t, n] + bias + from_h @ (cont[t, n] * h[n])
            if static is not None:
                gates = gates + rest[0] @ static[n]
            c[n], h[n] = _step(c[n], gates, cont[t, n])
        out[t] = h
    exposed = p.get("recurrent_param").get("expose_hidden")
    return [out, h[None], c[None]] if exposed else [out]


def rnn(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    x, cont, static, (first,) = _parts(p, bottoms, 1)
    to_h, bias, *rest, from_h, to_out, out_bias = blobs
    out = np.zeros((*x.shape[:2], len(out_bias)))
    h = first.copy()
    for t in range(x.shape[0]):
        for n in range(x.shape[1]):
            total = to_h @ x[t, n] + bias + from_h @ (cont[t, n] * h[n])
            if static is not None:
                total = total + rest[0] @ static[n]
            h[n] = np.tanh(total)
            out[t, n] = np.tanh(to_out @ h[n] + out_bias)
    return [out, h[None]] if p.get("recurrent_param").get("expose_hidden") else [out]


ORACLES: dict[str, Oracle] = {"LSTMUnit": lstm_unit, "LSTM": lstm, "RNN": rnn}
