"""Forward and backward time of every layer, each run alone on the blobs that it gets in the net, as ``caffe time``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from netcompile.analyser import Analysed
from netcompile.analysis.cost import costs
from netcompile.analysis.footprint import require_room
from netcompile.array import Array
from netcompile.caffemodel.plan import match
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.recipe import Take
from netcompile.compiler import compile_net
from netcompile.emit.blobs import blobs_of
from netcompile.emit.module import EmittedModule, emit
from netcompile.emit.weights import weight_plan
from netcompile.ir.graph import Graph, Input, Node, Value
from netcompile.ir.indices import index_inputs
from netcompile.layers.base import IntShape
from netcompile.layers.data import Input as InputLayer
from netcompile.passes import optimise
from netcompile.passes.base import Facts
from netcompile.prelude.inference import freeze
from netcompile.progress import Progress
from netcompile.runtime.execute import DTYPES
from netcompile.runtime.random_weights import drawn, ready, with_blobs

_BEST_OF = 10  # a peak is the best of some tries
SEED = 1  # of drawn weights and inputs
WARM, WARM_SECONDS = 12, 5.0  # at most, before what is timed, whose first pass does not count: calls are recorded


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Mean milliseconds of one layer, or of a group that a pass fused; `backward` is None where nothing flows back."""

    name: str
    type: str
    line: int
    forward: float
    backward: float | None
    macs: int
    fused: tuple[str, ...] = ()  # layers of the net that it does as well

    def share(self, peak: float) -> float | None:
        """Multiply-accumulates a second in the forward pass, as a share of `peak`; None for layers without any."""
        return self.macs / (self.forward * 1e-3) / peak if self.macs and self.forward > 0 and peak else None


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of a net. `whole_*`: the compiled module in one piece, without the overhead of timing layers."""

    net: str
    device: str
    dtype: str
    threads: int
    iterations: int
    level: int
    layers: tuple[LayerTime, ...]
    whole_forward: float
    whole_backward: float | None
    peaks: Mapping[str, float]  # multiply-accumulates a second, by kind of work

    @property
    def forward(self) -> float:
        return sum(layer.forward for layer in self.layers)

    @property
    def backward(self) -> float:
        return sum(layer.backward or 0.0 for layer in self.layers)

    @property
    def peak(self) -> float:
        return max(self.peaks.values())


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer as a module of its own."""

    node: Node
    net: nn.Module
    feeds: tuple[Value, ...]
    tops: tuple[Value, ...]
    keys: tuple[str, ...]  # names of the tops in the module's result


def time_net(
    analysed: Analysed, weights: str | None = None, *, iterations: int = 10, level: int = 1, device: str = "cpu",
    dtype: str = "float32",
) -> Timing:  # fmt: skip
    """Time a net on drawn inputs at the shapes that it was analysed with; weights are drawn where none are given.

    One run that does not count comes first. Raises NetError where the net cannot be compiled or weights do not fit.
    """
    target, kind = torch.device(device), DTYPES[dtype]
    graph = analysed.require().graph
    # A file's blobs, those of every layer alone, those of the whole net; values and their gradients.
    require_room(analysed.source.name, graph, analysed.shapes, weights=3, blobs=2 if device == "cpu" else 0)
    # Of a net that computes windows of its blobs (-O2) the layers are timed on whole blobs; the module in one piece
    # is what runs.
    program = optimise(analysed.require().graph, level, Facts(float32=dtype == "float32")).program
    graph, shapes = program.graph, program.shapes
    module = compile_net(analysed, level, weights=weights, dtype=dtype)
    blob = _blobs_of(analysed, module, weights)
    steps = [_step(graph, node, shapes, blob) for node in graph.nodes if node.tops]
    for step in steps:
        step.net.to(device=target, dtype=kind)
    feed = inputs_of(analysed, SEED)
    start = {value: torch.from_numpy(array).to(target, kind) for value, array in feed.items()}
    clock = _Clock(target)
    before = peaks(target, kind, clock)
    learned = _learned(steps)
    runs = []
    with Progress(iterations + 1, "runs") as progress:
        for _ in range(iterations + 1):
            runs.append(_one_run(steps, start, learned, clock))
            progress.step()
    found = {id(node): cost.macs for node, cost in zip(graph.nodes, costs(graph, shapes), strict=True)}
    members = fused_into(analysed.graph, graph)
    layers = tuple(
        LayerTime(
            step.node.name, step.node.type, step.node.line, *_milliseconds(times), found[id(step.node)],
            members.get((step.node.name, step.node.occurrence), ()),
        )
        for step, times in zip(steps, zip(*runs, strict=True), strict=True)
    )  # fmt: skip
    net = ready(analysed, module, weights, SEED if weights is None else None).to(target, kind)
    freeze(net)
    whole = _time_whole(net, [start[value] for value in module.inputs], iterations, clock)
    threads = torch.get_num_threads() if target.type == "cpu" else 0
    # Whatever else the machine did meanwhile, a peak is the best that was seen.
    best = {name: max(rate, before[name]) for name, rate in peaks(target, kind, clock).items()}
    return Timing(analysed.name, str(target), dtype, threads, iterations, level, layers, *whole, best)


def fused_into(original: Graph, optimised: Graph) -> dict[tuple[str, int], tuple[str, ...]]:
    """For each layer that is left (name, occurrence) the names of those behind it that it swallowed."""
    left = {(node.name, node.occurrence) for node in optimised.nodes}
    owner: dict[Value, tuple[str, int]] = {}
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for node in original.nodes:
        key: tuple[str, int] | None = (node.name, node.occurrence)
        if key not in left:
            key = owner.get(node.bottoms[0]) if node.bottoms else None
            if key is not None:
                found[key] = (*found.get(key, ()), node.name)
        if key is not None:
            owner.update(dict.fromkeys(node.tops, key))
    return found


def inputs_of(analysed: Analysed, seed: int) -> dict[Value, Array]:
    """Drawn inputs, float32: normal numbers as of an image; zeros, a class that exists, for labels and indices."""
    indices = index_inputs(analysed.graph)
    random = np.random.RandomState(seed)
    found = {}
    for entry in analysed.graph.inputs:
        measures = [n for n in analysed.graph.consumers().get(entry.value, []) if n.layer.is_measure]
        drawn = np.asarray(30 * random.standard_normal(analysed.shapes[entry.value]), np.float32)
        found[entry.value] = np.zeros_like(drawn) if measures or entry.value in indices else drawn
    return found


def _step(graph: Graph, node: Node, shapes: Mapping[Value, IntShape], blob: Callable[[Take], Array]) -> _Step:
    """The node as a net of one layer."""
    feeds = tuple(dict.fromkeys(node.bottoms))
    inputs = tuple(Input(value, shapes[value], True, node.message, InputLayer()) for value in feeds)
    names = {f"top {index}": top for index, top in enumerate(node.tops)}
    alone = graph.replace(
        inputs=inputs, nodes=(node,), outputs=tuple(names), blobs=names, order=(node.name,) * (node.occurrence + 1)
    )
    module = emit(alone, shapes)
    net = with_blobs(module, blob).train(graph.train)
    return _Step(node, net, tuple(module.inputs), node.tops, tuple(module.outputs))


def _blobs_of(analysed: Analysed, module: EmittedModule, weights: str | None) -> Callable[[Take], Array]:
    """The blobs of the net as it was written: the file's, or drawn ones. NetError where the file does not fit."""
    made = drawn(blobs_of(analysed.graph, analysed.shapes), SEED)
    if weights is None:
        return made
    found = match(read_caffemodel(weights), weight_plan(analysed.graph, module)).require()
    known = {
        take: np.asarray(blob.array(), np.float32).reshape(found.shapes[take])
        for take, blob in found.blobs.items()
        if take in found.shapes
    }
    return lambda take: known[take] if take in known else made(take)


def _learned(steps: list[_Step]) -> set[Value]:
    """Values that a gradient flows to: those that come after a layer with parameters, as Caffe decides it."""
    found: set[Value] = set()
    for step in steps:
        if any(value in found for value in step.feeds) or any(True for _ in step.net.parameters()):
            found.update(step.tops)
    return found


class _Clock:
    """Seconds, after everything that was asked of the device is done."""

    def __init__(self, device: torch.device) -> None:
        self.wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def __call__(self) -> float:
        self.wait()
        return perf_counter()


def _one_run(
    steps: list[_Step], start: Mapping[Value, Tensor], learned: set[Value], clock: _Clock
) -> list[tuple[float, float | None]]:
    values = dict(start)
    kept: list[tuple[list[Tensor], list[Tensor]]] = []
    forward: list[float] = []
    for step in steps:
        bottoms = [values[value].detach() for value in step.feeds]
        for value, bottom in zip(step.feeds, bottoms, strict=True):
            bottom.requires_grad_(value in learned and bottom.is_floating_point())
        began = clock()
        result = step.net(*bottoms)
        forward.append(clock() - began)
        tops = [result[key] for key in step.keys] if isinstance(result, dict) else [result]
        values.update(zip(step.tops, tops, strict=True))
        kept.append((bottoms, tops))
    backward = [
        _backward(tops, [*bottoms, *step.net.parameters()], clock)
        for step, (bottoms, tops) in zip(reversed(steps), reversed(kept), strict=True)
    ]
    return list(zip(forward, reversed(backward), strict=True))


def _backward(tops: Iterable[Tensor], sources: Iterable[Tensor], clock: _Clock) -> float | None:
    """Seconds of the backward pass from `tops` to `sources`; None where no gradient flows."""
    ends, learned = ([t for t in tensors if t.requires_grad] for tensors in (tops, sources))
    if not ends or not learned:
        return None
    gradients = [torch.ones_like(top) for top in ends]
    began = clock()
    torch.autograd.grad(ends, learned, gradients, allow_unused=True)
    return clock() - began


def _time_whole(net: nn.Module, inputs: list[Tensor], iterations: int, clock: _Clock) -> tuple[float, float | None]:
    runs = []
    began = clock()
    for passes in range(WARM):
        if passes < 2 or clock() - began < WARM_SECONDS:
            with torch.inference_mode():
                net(*inputs)
    for _ in range(iterations + 1):
        began = clock()
        with torch.inference_mode():
            net(*inputs)
        forward = clock() - began
        result = net(*inputs)
        tops = result.values() if isinstance(result, dict) else [result]
        runs.append((forward, _backward(tops, net.parameters(), clock)))
    return _milliseconds(runs)


def _milliseconds(runs: Sequence[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Mean forward and backward time; the first run does not count. None where nothing flows back."""
    backward = [seconds for _, seconds in runs[1:] if seconds is not None]
    return 1e3 * fmean(seconds for seconds, _ in runs[1:]), 1e3 * fmean(backward) if backward else None


def peaks(device: torch.device, dtype: torch.dtype, clock: _Clock) -> dict[str, float]:
    """The best rates that this machine reaches, in multiply-accumulates a second: a large matrix product, and a
    3×3 convolution. A fraction of a second."""
    size = 4096 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    channels, side = (256, 128) if device.type == "cuda" else (64, 112)
    image = torch.randn(1, channels, side, side, device=device, dtype=dtype)
    kernel = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
    work: dict[str, tuple[Callable[[], Tensor], int]] = {
        "matmul": (lambda: a @ b, size**3),
        "convolution": (lambda: nn.functional.conv2d(image, kernel, padding=1), channels**2 * 9 * side**2),
    }
    found = {}
    with torch.inference_mode():
        for name, (function, macs) in work.items():
            best = float("inf")
            for _ in range(_BEST_OF):
                began = clock()
                function()
                best = min(best, clock() - began)
            found[name] = macs / best
    return found
