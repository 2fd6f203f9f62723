"""Fully connected layers become convolutions, so that a classifier gives a map of scores on larger images.

Algebra: an InnerProduct over a C×H×W blob is Σ_chw w[o,c,h,w]·x[c,h,w] + b[o], a convolution with an H×W kernel at its
only place; its blob O×(C·H·W) holds the same numbers in the same order as O×C×H×W. One over K values is a 1×1
convolution. (Long, Shelhamer, Darrell 2015, section 3.1.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.ir.build import Options
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import IntShape
from netcompile.layers.dense import InnerProduct
from netcompile.prototxt.message import Message
from netcompile.surgery.blobs import Weights, with_shared
from netcompile.surgery.net import TEST, Net, of_message


@dataclass(frozen=True, slots=True)
class Converted:
    """The new net and weights, and what was done: a line for each layer."""

    net: Net
    weights: Weights | None
    changes: tuple[str, ...]


def convolutionalise(
    net: Net, weights: Weights | None = None, *, pad: int | None = None, suffix: str = "", options: Options = TEST
) -> Converted:
    """Every InnerProduct of the net as a Convolution that gives the same numbers; Flatten layers before them go.

    `suffix` is put behind the names of the layers that change (the Caffe examples use "-conv"; the FCN nets keep the
    names). `pad` replaces the padding of the first convolution (100 in the FCN nets). Raises NetError where a layer
    stands in the way, and for weights that do not fit.
    """
    work = _Work(net, weights, suffix)
    for layer in net.message.all("layer"):
        work.add(layer)
    if work.problems:
        raise NetError(work.problems)
    if not work.changes:
        refuse("surgery", "the net has no InnerProduct layer: there is nothing to convert")
    layers = _padded(work.layers, pad) if pad is not None else work.layers
    changed = of_message(net.message.replace(layer=layers), net.name, options)
    return Converted(changed, work.weights, tuple(work.changes))


class _Work:
    """The layers, weights and changes of a net that is being converted, layer by layer; mistakes are collected."""

    def __init__(self, net: Net, weights: Weights | None, suffix: str) -> None:
        self.net, self.suffix = net, suffix
        self.weights: Weights | None = with_shared(net, weights) if weights is not None else None
        self.nodes = {id(node.message): node for node in net.graph.nodes}
        self.maps: dict[Value, IntShape] = {}  # values that are maps in the new net: N×C×H×W, where the old is flat
        self.renamed: dict[str, str] = {}  # top of a removed layer → its bottom
        self.layers: list[Message] = []
        self.changes: list[str] = []
        self.problems: list[Diagnostic] = []

    def add(self, layer: Message) -> None:
        node = self.nodes.get(id(layer))
        if node is None:  # an input, or a layer of another phase
            if layer.get("type") == "InnerProduct":
                self.refuse(layer, "takes no part in this phase, so its kernel is not known", "give --phase or --stage")
            self.layers.append(self.rewired(layer))
            return
        bottom = node.bottoms[0] if node.bottoms else None
        if node.type == "InnerProduct" and bottom is not None:
            if isinstance(node.layer, InnerProduct):
                self.convert(node)
            else:
                self.refuse(layer, "divides its weights by their length, as no Convolution does", "cut the net")
            return
        if node.type == "Flatten" and bottom is not None and self.flattens(node):
            self.maps[node.tops[0]] = self.shape(bottom)
            self.renamed[node.tops[0].blob] = self.renamed.get(bottom.blob, bottom.blob)
            self.changes.append(f"{node.name}: removed, the convolution needs the map")
            return
        flat = [value for value in node.bottoms if value in self.maps]
        if flat:
            if not node.layer.same_on_maps(*map(self.shape, node.bottoms)):
                self.refuse(layer, f"is a {node.type}, which on a map is not what it is on a vector", "cut the net")
            for top in node.tops:
                if self.net.shapes[top] == self.net.shapes[flat[0]]:
                    self.maps[top] = self.maps[flat[0]]
        self.layers.append(self.rewired(layer))

    def refuse(self, layer: Message, what: str, remedy: str) -> None:
        span = layer.span_of("type") if layer.has("type") else layer.span
        self.problems.append(Diagnostic("surgery", f"layer '{layer.get('name')}' {what}", span, remedy=remedy))

    def shape(self, value: Value) -> IntShape:
        return self.maps.get(value, self.net.shapes[value])

    def flattens(self, node: Node) -> bool:
        before, after = self.shape(node.bottoms[0]), self.net.shapes[node.tops[0]]
        return len(before) == 4 and len(after) == 2 and after[0] == before[0]

    def rewired(self, layer: Message) -> Message:
        bottoms, tops = layer.all("bottom"), layer.all("top")
        if not any(blob in self.renamed for blob in (*bottoms, *tops)):
            return layer
        return layer.replace(
            bottom=[self.renamed.get(blob, blob) for blob in bottoms],
            top=[self.renamed.get(blob, blob) for blob in tops],
        )

    def convert(self, node: Node) -> None:
        message, old = node.message, node.message.get("inner_product_param")
        before = self.shape(node.bottoms[0])
        axis = int(old.get("axis"))
        if axis not in (1, 1 - len(before)) or len(before) not in (2, 4):
            self.refuse(message, f"works on axis {axis} of {len(before)}: no convolution does that", "leave it out")
            return
        if len(before) == 2:
            self.refuse(message, "gets a vector that no layer made from a map", "give the net an N×C×H×W input")
            return
        channels, high, wide = before[1:]
        kernel = {"kernel_size": [high]} if high == wide else {"kernel_h": high, "kernel_w": wide}
        params: dict[str, Any] = {"num_output": old.get("num_output"), **kernel}
        if not old.get("bias_term"):
            params["bias_term"] = False
        for filler in ("weight_filler", "bias_filler"):
            if old.has(filler):
                params[filler] = old.get(filler)
        name = f"{node.name}{self.suffix}"
        changed = self.rewired(message).replace(
            name=name, type="Convolution", inner_product_param=None, convolution_param=params
        )
        self.layers.append(changed)
        self.maps[node.tops[0]] = (before[0], int(old.get("num_output")), 1, 1)
        self.changes.append(f"{name}: InnerProduct is a convolution of {high}×{wide}, {channels} channels now")
        if self.weights is not None:
            self.reshape(node, name, (int(old.get("num_output")), channels, high, wide), bool(old.get("transpose")))

    def reshape(self, node: Node, name: str, shape: IntShape, transposed: bool) -> None:
        assert self.weights is not None
        blobs = self.weights.pop(node.name, None)
        if blobs is None or (matrix := blobs[0]) is None:
            self.refuse(node.message, "has no weights in the file", "give the weights of this net")
            return
        if matrix.size != prod(shape):
            what = f"has {matrix.size} weights in the file, {shape_text(shape)} are needed"
            self.refuse(node.message, what, "check the input's size")
            return
        if transposed:
            matrix = matrix.reshape(-1, shape[0]).T
        rest = tuple(None if blob is None else blob.reshape(-1) for blob in blobs[1:])
        self.weights[name] = (np.ascontiguousarray(matrix).reshape(shape), *rest)


def _padded(layers: list[Message], pad: int) -> list[Message]:
    """The layers with another padding of the first convolution that was one before."""
    for index, layer in enumerate(layers):
        if layer.get("type") == "Convolution":
            params = layer.get("convolution_param").replace(pad=[pad], pad_h=None, pad_w=None)
            return [*layers[:index], layer.replace(convolution_param=params), *layers[index + 1 :]]
    return layers
