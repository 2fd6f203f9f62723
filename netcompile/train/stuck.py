"""Why layers do not learn: found at the first step, from its gradients and the net's structure.

A gradient of exactly zero is not wrong by itself: behind a score layer that starts at zero, as the FCN nets have one,
every layer has it in the first step, and none in the second, since the score layer itself learns. What counts is
whether a way to a loss is open, or opens with the first update:

    a layer shuts the way for good where its kernels are all zero and stay so (lr_mult 0, or no gradient of their own),
    and where propagate_down is false.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import listed
from netcompile.emit.blobs import LearnedBlobs
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.convolution import Deconvolution
from netcompile.train.blobs import LearnedBlob
from netcompile.train.net import Net
from netcompile.train.stop_gradient import StopGradient

NAMED = 6  # layers that a message names


@dataclass(frozen=True, slots=True)
class _Layer:
    """A node with blobs: those that are to learn, and its kernels."""

    node: Node
    learning: tuple[Take, ...]
    kernels: tuple[Take, ...]


Key = tuple[str, int]  # a layer: its name, and which of that name it is


def stuck(
    net: Net, infos: Sequence[LearnedBlob], blobs: Mapping[Take, Tensor], gradients: Mapping[Take, Tensor], where: Span
) -> list[Diagnostic]:
    """A warning for every cause for which layers get no gradient, now and later; `gradients` are the first step's.

    `where` is the place of the net in the solver, for what no layer is to blame for.
    """
    learned = {info.take for info in infos if info.lr_mult}
    if infos and not learned:
        why = "the learning rate of every blob is 0: param { lr_mult: 0 } everywhere, or layers whose blobs never learn"
        return [_warning("nothing in the net learns", where, why, "lr_mult 1 for the layers that are to learn")]
    moved = {take for take in learned if take in gradients and bool(gradients[take].count_nonzero())}
    graph = net.analysed.graph
    nodes = {_key(node): node for node in graph.nodes}
    layers = [_layer(nodes[_key(part.node)], part, learned) for part in net.module.blobs]
    idle = [part.node for part in layers if part.learning and moved.isdisjoint(part.learning)]
    if not idle:
        return []
    empty = {take for part in layers for take in part.kernels if not bool(blobs[take].count_nonzero())}
    zero = {_key(part.node): part for part in layers if part.kernels and empty.issuperset(part.kernels)}
    shut = {key: part for key, part in zero.items() if moved.isdisjoint(part.kernels)}
    ends = [graph.blobs[loss.blob] for loss in net.losses]
    connected = _reached(graph, ends, lambda node: False)
    later = _reached(graph, ends, lambda node: _key(node) in shut or isinstance(node.layer, StopGradient))
    now = _reached(graph, ends, lambda node: _key(node) in zero or isinstance(node.layer, StopGradient))
    causes: defaultdict[str | Value, list[str]] = defaultdict(list)
    walls: dict[str | Value, Node] = {}  # by their first top
    for node in idle:
        if connected.isdisjoint(node.tops):
            causes["unconnected"].append(node.name)
        elif later.isdisjoint(node.tops):
            wall = _wall(graph, node.tops, shut, connected)
            walls[wall.tops[0]] = wall
            causes[wall.tops[0]].append(node.name)
        elif not now.isdisjoint(node.tops):  # else the way opens with the first update
            causes["dead"].append(node.name)
    told = []
    for cause, names in causes.items():
        if cause in walls:
            told.append(_behind(walls[cause], names, shut.get(_key(walls[cause]))))
        else:
            told.append(_unconnected(names, where) if cause == "unconnected" else _dead(names, where))
    return told


def _key(node: Node) -> Key:
    return node.name, node.occurrence


def _layer(node: Node, part: LearnedBlobs, learned: set[Take]) -> _Layer:
    """A layer's blobs, by the storage that they have."""
    kernels = tuple(owner for owner, spec in zip(part.owners, part.specs, strict=True) if spec.meaning == "kernel")
    return _Layer(node, tuple(owner for owner in part.owners if owner in learned), kernels)


def _reached(graph: Graph, ends: Iterable[Value], shut: Callable[[Node], bool]) -> set[Value]:
    """All values from which a way leads to one of `ends` through no layer that is shut."""
    found = set(ends)
    for node in reversed(graph.nodes):
        if not found.isdisjoint(node.tops) and not shut(node):
            found.update(node.bottoms)
    return found


def _wall(graph: Graph, tops: Iterable[Value], shut: Mapping[Key, _Layer], connected: set[Value]) -> Node:
    """The first layer behind these values that lets no gradient back, on a way to a loss."""
    seen = {top for top in tops if top in connected}
    for node in graph.nodes:
        if seen.isdisjoint(node.bottoms) or connected.isdisjoint(node.tops):
            continue
        if _key(node) in shut or isinstance(node.layer, StopGradient):
            return node
        seen.update(node.tops)
    raise ValueError("no layer shuts the way")


# --- what is said


def _what(names: Sequence[str], one: str, many: str) -> str:
    named = listed((f"'{name}'" for name in names), NAMED)
    return f"{len(names)} layers {many}: {named}" if len(names) > 1 else f"layer {named} {one}"


def _never(names: Sequence[str]) -> str:
    return _what(names, "gets no gradient and never learns", "get no gradient and never learn")


def _behind(wall: Node, names: Sequence[str], shut: _Layer | None) -> Diagnostic:
    """Layers behind one that lets no gradient back: `shut` for its zeros, None for propagate_down."""
    message = wall.message
    name = message.get("name")
    if shut is None:
        why = f"propagate_down: false of layer '{name}' lets no gradient back"
        remedy = "remove propagate_down; or give them lr_mult 0, if they are not to learn"
        return _warning(_never(names), message.span_of("propagate_down"), why, remedy)
    stay = "get no gradient themselves" if shut.learning else "are not learned (lr_mult: 0)"
    why = f"the kernels of '{name}' ({wall.type}), between them and the loss, are zero and {stay}"
    remedy = "a weight_filler for it, or --weights with its numbers"
    if isinstance(wall.layer, Deconvolution):
        remedy = f"--interp gives it bilinear kernels; or {remedy}"
    span = message.span_of("name") if message.has("name") else message.span
    return _warning(_never(names), span, why, remedy)


def _unconnected(names: Sequence[str], where: Span) -> Diagnostic:
    why = "no way leads from there to a top that counts towards the loss (a loss layer's, or one with a loss_weight)"
    remedy = "a loss_weight for the loss that is meant, or include { phase: TEST } for what is not to be trained"
    return _warning(_never(names), where, why, remedy)


def _dead(names: Sequence[str], where: Span) -> Diagnostic:
    what = _what(names, "gets no gradient in the first step", "get no gradient in the first step")
    why = "no kernel of zeros is the reason: a ReLU that only gets negative numbers, data that is zero, labels that "
    why += "are all ignored, or a layer in between that passes no gradient"
    return _warning(what, where, why, "look at the data and the labels, and at the fillers")


def _warning(what: str, span: Span, why: str, remedy: str) -> Diagnostic:
    return Diagnostic("no-gradient", what, span, why, remedy, "warning")
