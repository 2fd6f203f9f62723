"""Several processes under `torchrun` train as one: each computes its rows of every batch.

How the result stays that of one process. Layers that treat every row by itself work on a process's own rows. Before
any other layer (losses with their normalisation, BatchNorm's statistics, whatever mixes rows) the rows of all
processes are gathered, so that the layer sees the whole batch and computes exactly what one process computes: the loss
on every process is the loss of the whole batch. Its gradient with respect to the gathered blob is complete and the
same everywhere, so a process keeps its own rows of it; gradients of weights used on own rows are then summed over the
processes, those of weights used on whole batches are complete already. Dropout draws the mask of the whole batch and
uses its rows, so that all processes, seeded alike, draw as one.

Only torch.distributed is used: gloo on CPUs, NCCL on GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from netcompile.analyser import Analysed
from netcompile.caffemodel.recipe import Take
from netcompile.emit.module import EmittedModule
from netcompile.ir.graph import Node, Value
from netcompile.layers.activation import Dropout
from netcompile.layers.base import Arity, Emission, Emitted, Layer, Shape
from netcompile.runtime.processes import guarded

# --- collectives on rows


def share(rows: int, rank: int, world: int) -> tuple[int, int]:
    """First row and end of a process's share of a batch; as even as can be, the first ones larger.

    >>> [share(5, rank, 3) for rank in range(3)]
    [(0, 2), (2, 4), (4, 5)]
    """
    small, more = divmod(rows, world)
    start = rank * small + min(rank, more)
    return start, start + small + (rank < more)


def _gather(own: Tensor, rows: int) -> Tensor:
    """All rows of a batch from every process's share; a process without a share holds a row that does not count."""
    world = dist.get_world_size()
    shares = [share(rows, rank, world) for rank in range(world)]
    height = max(end - start for start, end in shares)
    reduced = own.dtype in (torch.bfloat16, torch.float16)  # which gloo does not carry
    padded = torch.zeros((height, *own.shape[1:]), dtype=torch.float32 if reduced else own.dtype, device=own.device)
    mine = shares[dist.get_rank()][1] - shares[dist.get_rank()][0]
    padded[:mine] = own[:mine]
    parts = [torch.empty_like(padded) for _ in range(world)]
    guarded(lambda: dist.all_gather(parts, padded))
    return torch.cat([p[: end - start] for p, (start, end) in zip(parts, shares, strict=True)]).to(own.dtype)


def _own(whole: Tensor) -> Tensor:
    """A process's rows; where its share is empty the first row, so that every layer has something to work on."""
    start, end = share(len(whole), dist.get_rank(), dist.get_world_size())
    return whole[start:end] if end > start else whole[:1]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: int) -> Tensor:
        return _gather(own.contiguous(), rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        start, end = share(len(gradients[0]), dist.get_rank(), dist.get_world_size())
        mine = gradients[0][start:end]
        return (mine if end > start else torch.zeros_like(gradients[0][:1])), None


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:
        ctx.rows = len(whole)
        return _own(whole).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _gather(gradients[0].contiguous(), ctx.rows)


def gather_rows(own: Tensor, rows: int) -> Tensor:
    """The whole batch of `rows` rows from every process's own."""
    found: Tensor = _Gather.apply(own, rows)  # type: ignore[no-untyped-call]
    return found


def split_rows(whole: Tensor) -> Tensor:
    """A process's own rows of a batch that every process has whole."""
    found: Tensor = _Split.apply(whole) if whole.requires_grad else _own(whole)  # type: ignore[no-untyped-call]
    return found


def dropout_rows(own: Tensor, rows: int, ratio: float) -> Tensor:
    """Dropout of a process's own rows, with the mask that one process would draw for the whole batch."""
    ones = own.new_ones((rows, *own.shape[1:]))
    return own * _own(torch.nn.functional.dropout(ones, ratio, training=True))


# --- the net, spread over the processes


@dataclass(frozen=True, slots=True)
class _Step(Layer):
    """Rows gathered or split: a call of a function above."""

    function: str = ""
    arguments: tuple[Any, ...] = ()

    type: ClassVar[str] = "Rows"
    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    moves: ClassVar[slice | None] = slice(None)

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (bottoms[0],)

    def emit(self, e: Emission) -> Emitted:
        call = ", ".join([e.x[0], *map(repr, self.arguments)])
        return Emitted(
            (f"{e.y[0]} = {self.function}({call})",), imports=(f"netcompile.train.parallel.{self.function}",)
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """A net for several processes, and its layers (name, occurrence) that work on own rows."""

    analysed: Analysed
    users: frozenset[tuple[str, int]]


def by_row(node: Node, shapes: dict[Value, tuple[int, ...]], rows: int) -> bool:
    """Whether a layer works on any subset of the batch's rows, each as in the whole batch."""
    if any(shapes[value][:1] != (rows,) for value in (*node.bottoms, *node.tops)):
        return False
    return node.layer.rowwise(*(shapes[bottom] for bottom in node.bottoms))


def spread(analysed: Analysed, wanted: Sequence[str]) -> Spread:
    """The net with rows split and gathered where they must be; the blobs in `wanted` come out whole."""
    graph, shapes = analysed.graph, dict(analysed.shapes)
    rows = next((entry.shape[0] for entry in graph.inputs if entry.shape), 0)
    split = {id(node) for node in graph.nodes if by_row(node, shapes, rows)}
    # A blob shared between a layer on own rows and one on the whole batch: both work on the whole batch.
    mixed = True
    while mixed:
        whole = {s.name for n in graph.nodes if id(n) not in split for s in n.params if s.name}
        bad = {id(n) for n in graph.nodes if id(n) in split and any(s.name in whole for s in n.params if s.name)}
        split, mixed = split - bad, bool(bad)
    own: dict[Value, Value] = {}  # whole value → its own rows
    gathered: dict[Value, Value] = {}  # value of own rows → the whole
    partial: set[Value] = set()
    nodes: list[Node] = []

    def step(value: Value, function: str, *arguments: Any) -> Value:
        made = Value(f"{value.blob} ({function})", value.version)
        shapes[made] = shapes[value]
        nodes.append(Node("", _Step(function, arguments), (value,), (made,), graph.nodes[0].message))
        return made

    def rows_of(value: Value) -> Value:
        if value not in partial and value not in own:
            own[value] = step(value, "split_rows")
        return value if value in partial else own[value]

    def whole_of(value: Value) -> Value:
        if value in partial and value not in gathered:
            gathered[value] = step(value, "gather_rows", rows)
        return gathered[value] if value in partial else value

    for node in graph.nodes:
        if id(node) in split:
            bottoms = tuple(rows_of(bottom) for bottom in node.bottoms)
            partial.update(node.tops)
            if isinstance(node.layer, Dropout) and not node.layer.is_noop(train=True):
                node = replace(node, layer=_Step("dropout_rows", (rows, float(node.layer.ratio))))
        else:
            bottoms = tuple(whole_of(bottom) for bottom in node.bottoms)
        nodes.append(replace(node, bottoms=bottoms))
    blobs = dict(graph.blobs)
    for name in wanted:
        blobs[name] = whole_of(blobs[name])
    users = frozenset((node.name, node.occurrence) for node in graph.nodes if id(node) in split)
    return Spread(replace(analysed, graph=graph.replace(nodes=tuple(nodes), blobs=blobs), shapes=shapes), users)


def summed_blobs(module: EmittedModule, users: frozenset[tuple[str, int]]) -> frozenset[Take]:
    """The owners of the blobs that layers on own rows use: their gradients are to be summed."""
    used = [blobs for blobs in module.blobs if (blobs.node.name, blobs.node.occurrence) in users]
    return frozenset(owner for blobs in used for owner in blobs.owners)
