"""Layers that copy, cut, join and regroup blobs, in plain NumPy."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle

Array = np.ndarray[Any, Any]


def _split(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return [bottoms[0]] * len(p.all("top"))


def _silence(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return []


def _concat(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s = p.get("concat_param")
    return [np.concatenate(bottoms, s.get("concat_dim") if s.has("concat_dim") else s.get("axis"))]


def _slice(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("slice_param"), bottoms[0]
    axis = s.get("slice_dim") if s.has("slice_dim") else s.get("axis") % x.ndim
    tops = len(p.all("top"))
    cuts = [0, *s.all("slice_point"), x.shape[axis]]
    if not s.all("slice_point"):
        cuts = [x.shape[axis] // tops * i for i in range(tops + 1)]
    return [x.take(range(a, b), axis) for a, b in pairwise(cuts)]


def _tile(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("tile_param"), bottoms[0]
    axis = s.get("axis") % x.ndim
    outer = x.reshape(prod(x.shape[:axis]), -1)
    rows = [row for item in outer for row in [item] * s.get("tiles")]
    return [np.stack(rows).reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])]


def _flatten(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("flatten_param"), bottoms[0]
    start, end = s.get("axis") % x.ndim, s.get("end_axis") % x.ndim + 1
    return [x.reshape(*x.shape[:start], prod(x.shape[start:end]), *x.shape[end:])]


def _reshape(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, x = p.get("reshape_param"), bottoms[0]
    start = s.get("axis") if s.get("axis") >= 0 else x.ndim + s.get("axis") + 1
    end = x.ndim if s.get("num_axes") == -1 else start + s.get("num_axes")
    dims = [x.shape[start + i] if d == 0 else d for i, d in enumerate(s.get("shape").all("dim"))]
    return [x.reshape((*x.shape[:start], *dims, *x.shape[end:]))]


ORACLES: dict[str, Oracle] = {
    "Split": _split,
    "Silence": _silence,
    "Concat": _concat,
    "Slice": _slice,
    "Tile": _tile,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
