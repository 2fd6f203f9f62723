"""DummyData: blobs drawn by fillers, constant ones once and for all, others anew for every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import prod

import torch

from netcompile.array import Array
from netcompile.data.sources.base import Batches, Wanted
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.limits import require_memory
from netcompile.ir.graph import Input
from netcompile.prototxt.message import Message
from netcompile.train.fillers import fill, problem


@dataclass(frozen=True, slots=True)
class Fillers:
    """One shape and one filler for each top."""

    tops: tuple[tuple[str, tuple[int, ...], Message | None], ...]
    seed: int

    def batch(self, index: int) -> dict[str, Array]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + index) & (2**63 - 1))
        return {top: fill(shape, filler, generator).numpy() for top, shape, filler in self.tops}


def dummy_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of a DummyData layer. Raises NetError."""
    message = entries[0].message
    section = message.get("dummy_data_param")
    tops = tuple(message.all("top"))
    shapes = [tuple(int(d) for d in shape.all("dim")) for shape in section.all("shape")]
    if not shapes:
        columns = [section.all(name) for name in ("num", "channels", "height", "width")]
        shapes = [tuple(int(v) for v in row) for row in zip(*columns, strict=False)]
    fillers = list(section.all("data_filler"))
    if len(shapes) not in (1, len(tops)) or len(fillers) not in (0, 1, len(tops)):
        what = f"{len(shapes)} shapes and {len(fillers)} fillers for {len(tops)} tops"
        refuse("param-count", what, message.span_of("type"), "Caffe wants one for all, or one for each")
    chosen: list[Message | None] = list(fillers) or [None]
    rows = tuple(zip(tops, cycle(shapes), cycle(chosen), strict=False))
    found = [problem(filler, shape, str(message.get("name"))) for _, shape, filler in rows]
    if any(found):
        raise NetError([p for p in found if p])
    size = sum(prod(shape) for _, shape, _ in rows)
    require_memory(8 * size, f"the tops of the DummyData layer '{message.get('name')}'")
    return Fillers(rows, wanted.seed)
