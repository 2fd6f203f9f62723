"""Nets as a solver uses them: built for their phase, emitted, and run on Caffe's blobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from netcompile.analyser import Analysed, analyse
from netcompile.caffemodel.recipe import Recipe, Take
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph, Node
from netcompile.ir.tolerate import load_for
from netcompile.layers.base import IntShape
from netcompile.passes.base import Program, run_all
from netcompile.prototxt.message import Message
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.emitted import by_name
from netcompile.runtime.execute import load_source
from netcompile.train.blobs import evaluate
from netcompile.train.labels import Check, LabelOutOfRange, checks_of
from netcompile.train.pipeline import PIPELINE
from netcompile.train.solver import NetRef
from netcompile.zoo.find import find_definition


@dataclass(frozen=True, slots=True)
class Loss:
    """A top that counts towards the loss, with its weight."""

    blob: str
    weight: float


@dataclass(frozen=True, slots=True)
class Net:
    """An emitted net that takes its weights from a dictionary of Caffe's blobs."""

    analysed: Analysed
    module: EmittedModule
    code: nn.Module
    recipes: tuple[tuple[str, Recipe], ...]
    losses: tuple[Loss, ...]
    outputs: tuple[str, ...]  # blobs that Caffe prints, in its order: by name
    checks: tuple[Check, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The blobs that must be fed, in the order of the module's arguments."""
        return tuple(value.blob for value in self.module.inputs)

    def __call__(
        self, blobs: Mapping[Take, Tensor], batch: Mapping[str, Tensor], device: torch.device
    ) -> dict[str, Tensor]:
        """One forward pass: every output and every loss top by blob name. Raises NetError for a label out of range."""
        tensors = {key: evaluate(recipe, blobs, device) for key, recipe in self.recipes}
        arguments = tuple(batch[name] for name in self.inputs)
        try:
            result = functional_call(self.code, tensors, arguments, tie_weights=False)
        except LabelOutOfRange as found:
            raise self.checks[found.check].error(found.value) from None
        return by_name(result, self.module.outputs)

    def loss(self, tops: Mapping[str, Tensor]) -> Tensor:
        """Σ loss_weight · Σ top, as Caffe's Net::ForwardBackward; a scalar."""
        terms = [_exact(tops[loss.blob]).sum() * loss.weight for loss in self.losses]
        return torch.stack(terms).sum() if terms else torch.zeros(())


def _exact(top: Tensor) -> Tensor:
    """A top of reduced precision as float32."""
    return top.float() if top.dtype in (torch.bfloat16, torch.float16) else top


def source_of(ref: NetRef, beside: str) -> Source:
    """The text of a net that a solver names: beside the solver, else from the current folder, as in Caffe.

    A net written into the solver is printed as a text of its own. Raises NetError where there is no such file.
    """
    if ref.message is not None:
        return Source(to_text(ref.message), f"{ref.span.source.name}:{ref.field}")
    candidates = [os.path.join(beside, ref.path), ref.path]
    tail = os.path.join(beside, os.path.basename(ref.path))  # solvers name paths from their repository's root
    for path in [*candidates, tail]:
        if os.path.isfile(path):
            return open_source(path)
    bundled = find_definition(ref.path)
    if bundled is not None:
        return open_source(bundled)
    tried = ", ".join(dict.fromkeys(os.path.normpath(path) for path in candidates))
    remedy = "give its path from the solver's folder"
    refuse("no-such-file", f"there is no net '{ref.path}'", ref.span, f"looked for {tried}", remedy)


def _options(net: Message, ref: NetRef, train: bool, shapes: Mapping[str, IntShape]) -> Options:
    """The solver's state goes before the net's own, as in Caffe. Raises NetError where the net says another phase."""
    level = ref.level
    if net.has("state"):
        state, phase = net.get("state"), "TRAIN" if train else "TEST"
        level = int(state.get("level")) if level is None else level
        if state.has("phase") and state.get("phase") != phase:
            what = f"the net asks for phase {state.get('phase')}, and the solver builds it for {phase}"
            why = "in Caffe the net has the last word, and would be built without its layers for this phase"
            refuse("solver-conflict", what, state.span_of("phase"), why, "remove phase")
    return Options(train=train, level=level or 0, stages=ref.stages, shapes=dict(shapes), with_loss=True)


def graph_of(source: Source, ref: NetRef, train: bool) -> Graph:
    """The net's graph before the shapes of its batches are known. Raises NetError."""
    net = load_for(source, lambda read: _options(read, ref, train, {})).net
    return build(net, _options(net, ref, train, {})).graph


def read_net(source: Source, ref: NetRef, train: bool, shapes: Mapping[str, IntShape]) -> Analysed:
    """The net for a phase, with its losses; `shapes` are those of the batches. Raises NetError."""
    net = load_for(source, lambda read: _options(read, ref, train, shapes)).net
    return analyse(source, _options(net, ref, train, shapes)).require()


def compiled(analysed: Analysed, prepare: Callable[[Analysed, tuple[str, ...]], Analysed] | None = None) -> Net:
    """The net ready to run. `prepare` may rework it before it is emitted. Raises NetError."""
    losses = []
    graph = analysed.graph
    blobs = dict(graph.blobs)
    for node in graph.nodes:
        for top, weight in zip(node.tops, loss_weights(node), strict=True):
            if weight:
                blobs.setdefault(top.blob, top)
                if blobs[top.blob] != top:
                    refuse(
                        "loss-overwritten",
                        f"'{top.blob}' counts as a loss, and a later layer works on it in place",
                        node.message.span_of("top"),
                        remedy="give the later layer a top of its own",
                    )
                losses.append(Loss(top.blob, weight))
    program = run_all(PIPELINE, Program(graph.replace(blobs=blobs))).program
    analysed = replace(analysed, graph=program.graph, shapes=program.shapes)
    wanted = tuple(dict.fromkeys([*graph.outputs, *(loss.blob for loss in losses)]))
    final = prepare(analysed, wanted) if prepare is not None else analysed
    module = compile_net(final, 0, wanted)
    code = load_source(module).train(graph.train)
    for parameter in code.parameters():
        parameter.requires_grad_(False)  # Caffe's blobs are what is learned
    recipes = tuple((weight.key, weight.recipe) for weight in module.weights)
    return Net(analysed, module, code, recipes, tuple(losses), tuple(sorted(graph.outputs)), checks_of(program.graph))


def loss_weights(node: Node) -> tuple[float, ...]:
    """The weight of each top in the loss: as given, else 1 for the first top of a loss layer and 0 elsewhere."""
    if node.loss_weight:
        return node.loss_weight
    first = 1.0 if node.layer.auto_top else 0.0
    return tuple(first if index == 0 else 0.0 for index in range(len(node.tops)))
