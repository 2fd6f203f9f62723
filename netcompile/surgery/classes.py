"""More classes: the old ones stay the first, computed to the bit as before, and the new ones can be learned.

Where a net has a channel for each class is found by what its layers do, never by their names. From an output back, a
layer that treats every channel alike (Crop, Eltwise, ReLU, Scale), or has no weights and as many channels before as
after (Softmax), hands the classes on; so does a Deconvolution with as many inputs as outputs, which enlarges the map of
each class. The layer with weights where that ends makes classes of features: a score layer. FCN-8s has three of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np

from netcompile.analysis.bilinear import interpolating
from netcompile.array import Array
from netcompile.caffemodel.plan import unpadded
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import listed, shape_text
from netcompile.ir.build import Options
from netcompile.ir.graph import Node, Value
from netcompile.prototxt.message import Message
from netcompile.surgery.blobs import Weights
from netcompile.surgery.net import TEST, Net, of_message
from netcompile.surgery.transplant import learnable, transplant

Blobs: TypeAlias = tuple[Array | None, ...]


@dataclass(slots=True)
class Head:
    """The layers with blobs that have a channel for each class of some outputs, by name, in the net's order.

    `scores` make classes of features, `upsampling` enlarge the map of each class, `others` have numbers for each class.
    """

    classes: int = 0
    scores: dict[str, Node] = field(default_factory=dict)
    upsampling: dict[str, Node] = field(default_factory=dict)
    others: dict[str, Node] = field(default_factory=dict)

    @property
    def nodes(self) -> dict[str, Node]:
        return self.scores | self.upsampling | self.others


@dataclass(frozen=True, slots=True)
class Expanded:
    """A net with more classes, and its weights.

    `counts`: for each score layer how many classes it had and has. `bilinear`: upsampling layers whose new channels
    interpolate. `filled`: blobs that the old weights lack, drawn by their fillers.
    """

    net: Net
    weights: Weights
    counts: dict[str, tuple[int, int]]
    bilinear: tuple[str, ...]
    filled: tuple[str, ...]


def heads(net: Net) -> tuple[Head, ...]:
    """The net's heads: outputs whose classes come from the same score layers are one. A net may have none."""
    producers = net.graph.producers()
    found: list[Head] = []
    for name in net.graph.outputs:
        head = _head(net, producers, net.graph.blobs[name])
        known = next((h for h in found if not h.scores.keys().isdisjoint(head.scores)), None)
        if known is not None:
            known.scores |= head.scores
            known.upsampling |= head.upsampling
            known.others |= head.others
        elif head.scores:
            found.append(head)
    for head in found:
        for nodes in (head.scores, head.upsampling, head.others):
            ordered = {node.name: node for node in net.graph.nodes if nodes.get(node.name) is node}
            nodes.clear()
            nodes.update(ordered)
    return tuple(found)


def _head(net: Net, producers: Mapping[Value, Node], output: Value) -> Head:
    """What lies between an output and the layers that made its classes."""
    head, seen, work = Head(), {output}, [output]
    while work:
        value = work.pop(0)
        node = producers.get(value)
        if node is None or (len(net.shapes[value]) < 2 and not node.layer.is_measure):
            continue
        before = _carriers(net, node, value)
        if specs := net.blobs(node):
            head.classes = head.classes or net.shapes[value][1]
            if before and all(spec.shape[1:2] in ((), (1,)) for spec in specs) and node.layer.family != "upsampling":
                head.others[node.name] = node
            elif node.layer.family == "upsampling" and before:
                head.upsampling[node.name] = node
            else:
                head.scores[node.name] = node
                continue
        work += [bottom for bottom in before if bottom not in seen]
        seen.update(before)
    return head


def _carriers(net: Net, node: Node, value: Value) -> list[Value]:
    """The bottoms that have the channels of the value that the node makes."""
    if node.layer.is_measure:  # what is compared with the labels
        told = node.layer.labels(*(net.shapes[bottom] for bottom in node.bottoms))
        return [b for index, b in enumerate(node.bottoms) if told is None or index != told.bottom][:1]
    if node.layer.content(*("" for _ in node.bottoms)) == "labels":  # the largest of them
        return [node.bottoms[0]]
    bottoms = node.bottoms if node.layer.moves is None else node.bottoms[node.layer.moves]
    return [b for b in bottoms if net.shapes[b][1:2] == net.shapes[value][1:2]]


def with_classes(net: Net, classes: int, layer: str = "", options: Options = TEST) -> tuple[Net, Head]:
    """The net with so many classes in one of its heads, the one that `layer` belongs to where there are several.

    Raises NetError where there is no such head, it has as many classes already, or a layer cannot be changed.
    """
    found = [head for head in heads(net) if not layer or layer in head.nodes]
    if len(found) != 1:
        what = "the net has several heads" if found else f"the net has no score layer{f' {layer!r}' * bool(layer)}"
        why = f"their score layers are {'; '.join(listed(head.scores) for head in found)}" if found else ""
        refuse("surgery", what, why=why, remedy="--layer NAME says which" if found else "")
    (head,) = found
    if classes <= head.classes:
        what = f"the net has {head.classes} classes already ({listed(head.scores)}): {classes} are no more"
        refuse("surgery", what)
    names = head.nodes
    problems: list[Diagnostic] = []
    layers = [
        _changed(message, head.classes, classes, problems) if message.get("name") in names else message
        for message in net.message.all("layer")
    ]
    if problems:
        raise NetError(problems)
    return of_message(net.message.replace(layer=layers), net.name, options), head


def _changed(message: Message, old: int, new: int, problems: list[Diagnostic]) -> Message:
    """The layer with so many outputs; one that says no number of outputs takes it from its bottom."""
    for name in message.type.fields:
        section: Any = message.get(name) if name.endswith("_param") and message.has(name) else None
        if not isinstance(section, Message) or "num_output" not in section.type.fields or not section.has("num_output"):
            continue
        fields: dict[str, Any] = {"num_output": new}
        group = int(section.get("group")) if "group" in section.type.fields else 1
        if group == old:
            fields["group"] = new
        elif group != 1:
            what = f"layer '{message.get('name')}' has {group} groups of {old} classes: no group for a new one"
            problems.append(Diagnostic("surgery", what, section.span_of("group")))
        return message.replace(**{name: section.replace(**fields)})
    return message


def expand_classes(net: Net, old: Weights, *, renamed: Mapping[str, str] | None = None, seed: int = 1) -> Expanded:
    """Weights for a net with more classes than the old weights have: in every score layer the old classes come first.

    Upsampling layers interpolate the new classes bilinearly, and enlarge the old ones as before. All other layers are
    copied by name. `renamed`: new names of layers to the old ones. What the old weights lack is drawn by its fillers.
    Raises NetError where a blob fits in no way.
    """
    names = dict(renamed or {})
    found, by_name = heads(net), {layer.node.name: layer.node for layer in learnable(net)}
    scores = {name: node for head in found for name, node in head.scores.items()}
    upsampling = {name: node for head in found for name, node in head.upsampling.items()}
    given = {name: by_name[name] for name in names if name in by_name}  # whoever names a layer knows what it is
    nodes = {name: node for head in found for name, node in head.nodes.items()} | given
    sources = {name: old[names.get(name, name)] for name in nodes if names.get(name, name) in old}
    grown = {name: blobs for name, blobs in sources.items() if name in given or _differ(net, nodes[name], blobs)}
    rest = {name: blobs for name, blobs in old.items() if name not in grown and name not in names.values()}
    made = transplant(net, rest, seed=seed)
    weights = dict(made.weights)
    bilinear = [name for name in upsampling if name in grown or name not in rest]
    for name in bilinear:
        weights[name] = _interpolating(weights[name])
    counts: dict[str, tuple[int, int]] = {}
    problems: list[Diagnostic] = []
    for name, blobs in grown.items():
        try:
            weights[name] = _expanded(name, weights[name], blobs, name in upsampling)
        except NetError as error:
            problems += error.diagnostics
            continue
        if name in scores or name in given:
            counts[name] = (_channels(blobs, weights[name]), _channels(weights[name], blobs))
    if problems:
        raise NetError(problems)
    drawn = [key for key in made.filled if key.rpartition(".")[0] not in grown.keys() | set(bilinear)]
    return Expanded(net, weights, counts, tuple(bilinear), tuple(drawn))


def _differ(net: Net, node: Node, blobs: Blobs) -> bool:
    """Whether a layer has blobs of other counts than these."""
    return any(b is not None and b.size != prod(spec.shape) for spec, b in zip(net.blobs(node), blobs, strict=False))


def _channels(blobs: Blobs, other: Blobs) -> int:
    """How many classes blobs have: the extent along the first axis where they differ from the others."""
    ours, theirs = (_whole(blob) for blob in (blobs[0], other[0]))
    grown = next((axis for axis, (a, b) in enumerate(zip(ours.shape, theirs.shape, strict=False)) if a != b), 0)
    return int(ours.shape[grown])


def _whole(blob: Array | None) -> Array:
    assert blob is not None
    return blob.reshape(unpadded(blob.shape)) if blob.ndim < 3 or blob.shape[:2] == (1, 1) else blob


def _interpolating(blobs: Blobs) -> Blobs:
    """The blobs with a bilinear kernel first, where it is one of a plane and can be."""
    kernel = blobs[0]
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] not in (1, kernel.shape[0]):
        return blobs
    return (interpolating(kernel.shape), *blobs[1:])


def _expanded(name: str, new: Blobs, old: Blobs, upsampling: bool) -> Blobs:
    """The new blobs with the old ones as their first parts. Raises NetError where they are none."""
    found: list[Array | None] = []
    for index, (blob, known) in enumerate(zip(new, old, strict=False)):
        if blob is None or known is None:
            what = f"the old weights leave out blob {index} of '{name}'"
            refuse("surgery", what, why="HDF5 keeps a shared blob with its owner alone")
        if known.ndim > blob.ndim and known.shape[: known.ndim - blob.ndim] == (1,) * (known.ndim - blob.ndim):
            known = known.reshape(known.shape[known.ndim - blob.ndim :])
        if upsampling and index == 0 and known.ndim == 4:
            known = _regrouped(known, blob.shape[1] == 1)
            if not known.any():  # nobody has set it
                found.append(blob)
                continue
        if known.ndim != blob.ndim or any(a > b for a, b in zip(known.shape, blob.shape, strict=True)):
            refuse("surgery", f"blob {index} of '{name}' is {shape_text(known.shape)}: no first part of "
                   f"{shape_text(blob.shape)}")  # fmt: skip
        made = np.array(blob)
        if known.ndim > 1:
            made[: known.shape[0], known.shape[1] :] = 0  # old classes see nothing of what is new
        made[tuple(slice(extent) for extent in known.shape)] = known
        found.append(made)
    return (*found, *new[len(found) :])


def _regrouped(kernel: Array, grouped: bool) -> Array:
    """A kernel that enlarges each channel by itself in the other form: C×1×h×w with groups, C×C×h×w without."""
    classes, inside = kernel.shape[:2]
    if grouped == (inside == 1) or classes == 1:
        return kernel
    diagonal = np.arange(classes)
    if not grouped:
        full = np.zeros((classes, classes, *kernel.shape[2:]), kernel.dtype)
        full[diagonal, diagonal] = kernel[:, 0]
        return full
    if np.count_nonzero(kernel) != np.count_nonzero(kernel[diagonal, diagonal]):
        refuse("surgery", "an upsampling layer mixes classes, which one with a group for each cannot do")
    return kernel[diagonal, diagonal][:, None]
