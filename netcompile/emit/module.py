"""The emitted module: one file, torch alone, one nn.Module with a literal ``__init__`` and ``forward``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from netcompile.analysis.shapes import diagnose
from netcompile.caffemodel.recipe import Recipe
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.blobs import Blobs, Owners, blobs_of
from netcompile.emit.inference import (
    ATTRIBUTES,
    FRAME_FUNCTIONS,
    LARGE,
    VARIABLES,
    Windowed,
    dispatch,
    frame_method,
    framed_values,
    needs_size,
    string,
)
from netcompile.emit.layout import lay_out
from netcompile.emit.names import MODULE_ATTRIBUTES, Names, class_name
from netcompile.emit.text import AS_NUMBERS, dims_text, doc_text, folded
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.indices import index_inputs, indices, moves, read_as_indices
from netcompile.ir.prune import unknown_blob
from netcompile.layers.base import Emission, IntShape, Refused, Shape
from netcompile.passes.fused import VERSION
from netcompile.passes.window_layers import Surround


@dataclass(frozen=True, slots=True)
class Weight:
    """One entry of the module's state dict: its key, how it is made, and the line of the layer that owns it."""

    key: str
    recipe: Recipe
    layer: str


@dataclass(frozen=True, slots=True)
class Module:
    """Emitted source and the plan of its weights."""

    source: str
    class_name: str
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]  # blob names
    weights: tuple[Weight, ...]
    blobs: tuple[Blobs, ...]
    nodes: tuple[Node, ...]  # the layers whose code it is, after all passes
    lines: Mapping[int, tuple[int, int]]  # index into `nodes` → first and last line in `source`


def emit(
    graph: Graph,
    shapes: Mapping[Value, IntShape],
    *,
    symbolic: Mapping[Value, Shape | None] | None = None,
    outputs: Sequence[str] | None = None,
    origin: str = "",
    notes: Sequence[str] = (),
    original: Graph | None = None,
    windowed: Windowed | None = None,
    inference: bool = False,
) -> Module:
    """Source of `graph`; `outputs` names blobs (by default the net's outputs).

    Layers that no output needs have their parameters, so that one set of weights fits, and no code in ``forward``;
    a net built for training runs them all. Raises NetError where a layer has no counterpart in PyTorch.

    With `inference`, gradients are recorded in training only, and blobs are dropped after their last use. `original` is
    the graph whose layers the blobs of a caffemodel belong to, where passes have changed it; `windowed` what runs in
    place of `graph` where no gradient is recorded.
    """
    wanted = _outputs(graph, outputs)
    live = _needed(graph, wanted.values())
    reserved: frozenset[str] = VARIABLES if inference else frozenset()
    framed = framed_values(windowed, graph) if windowed is not None else {}
    while True:
        writer = _Writer(graph, shapes, symbolic or {}, inference)
        writer.write(wanted, reserved, live, framed)
        if windowed is not None:
            writer.windowed = _Writer(windowed.graph, windowed.shapes, windowed.symbolic, True, writer.named)
            inside = _outputs(windowed.graph, list(wanted))
            writer.windowed.write(inside, reserved, _needed(windowed.graph, inside.values()))
            writer.functions.update(writer.windowed.functions)
            writer.problems += writer.windowed.problems
        if writer.problems:
            raise NetError(writer.problems)
        # A variable must not hide a function that the layers call: name the variables anew if one does.
        called = frozenset(
            name for text in writer.functions for name in re.findall(r"^(?:def|class) (\w+)", text, re.M)
        )
        used = {*writer.local.values(), *(writer.windowed.local.values() if writer.windowed else ())}
        if reserved >= called or called.isdisjoint(used):
            if original is not None:
                writer.blobs = blobs_of(original)
            return writer.module(wanted, origin, notes, windowed, framed)
        reserved |= called


def _needed(graph: Graph, wanted: Iterable[Value]) -> set[int]:
    """Indices of the layers that the wanted values are made by, directly or not; all of them in training."""
    if graph.train:
        return set(range(len(graph.nodes)))
    values, found = set(wanted), set()
    for index in reversed(range(len(graph.nodes))):
        if not values.isdisjoint(graph.nodes[index].tops):
            found.add(index)
            values.update(graph.nodes[index].bottoms)
    return found


def check_outputs(graph: Graph, names: Sequence[str] | None) -> None:
    """Raises NetError where a name is no blob of the net."""
    _outputs(graph, names)


def _outputs(graph: Graph, names: Sequence[str] | None) -> dict[str, Value]:
    if names is None:
        names = graph.outputs
    unknown = [name for name in names if name not in graph.blobs]
    if unknown:
        raise NetError([unknown_blob(name, graph.blobs) for name in unknown])
    return {name: graph.blobs[name] for name in names}


class _Writer:
    def __init__(
        self,
        graph: Graph,
        shapes: Mapping[Value, IntShape],
        symbolic: Mapping[Value, Shape | None],
        inference: bool = False,
        named: dict[tuple[str, int], str] | None = None,
    ) -> None:
        self.graph, self.shapes, self.symbolic = graph, shapes, symbolic
        self.inference = inference
        self.windowed: _Writer | None = None
        self.attributes = Names(MODULE_ATTRIBUTES | (ATTRIBUTES if inference else frozenset()))
        self.given = named is not None
        self.named: dict[tuple[str, int], str] = named or {}  # layer → attribute
        self.indices = indices(graph)
        self.numbers: dict[Value, str] = {}  # indices → the variable that has them in the net's own type
        self.last: dict[Value, int] = {}
        self.local: dict[Value, str] = {}
        self.init: list[str] = []
        self.forward: list[tuple[int, list[str]]] = []
        self.functions: dict[str, None] = {}
        self.weights: list[Weight] = []
        self.blobs: list[Blobs] = []
        self.owners = Owners()
        self.problems: list[Diagnostic] = []

    def write(
        self,
        wanted: Mapping[str, Value],
        reserved: frozenset[str],
        live: set[int],
        framed: Mapping[str, Value] | None = None,
    ) -> None:
        """Code of every layer; `framed` are values that must not be overwritten either."""
        kept = [*wanted.values(), *(framed or {}).values()]
        self.variables(kept, reserved)
        if not self.indices.isdisjoint(wanted.values()):
            self.functions[AS_NUMBERS] = None
        for index, node in enumerate(self.graph.nodes):
            self.node(index, node, index in live)
            if self.inference and index in live:
                self.drop(index, kept)

    # names -----------------------------------------------------------------------------------------------------

    def variables(self, kept: Iterable[Value], reserved: frozenset[str]) -> None:
        """A variable for every value; an in-place layer writes its bottom's variable again, as in Caffe."""
        last = self.last
        for index, node in enumerate(self.graph.nodes):
            for bottom in node.bottoms:
                last[bottom] = index
        for value in kept:
            last[value] = len(self.graph.nodes)
        names = self.names = Names(reserved)
        latest: dict[str, Value] = {}
        for entry in self.graph.inputs:
            self.local[entry.value] = names.fresh(entry.value.blob)
            latest[entry.value.blob] = entry.value
        for index, node in enumerate(self.graph.nodes):
            for top in node.tops:
                before = latest.get(top.blob)
                if before is not None and last.get(before, -1) <= index:
                    self.local[top] = self.local[before]
                else:
                    self.local[top] = names.fresh(top.blob)
                latest[top.blob] = top

    # layers ----------------------------------------------------------------------------------------------------

    def node(self, index: int, node: Node, live: bool) -> None:
        bottoms = tuple(self.shapes[b] for b in node.bottoms)
        specs = node.layer.blobs(*bottoms)
        sources = self.owners.sources(node, specs)
        converted: list[str] = []
        emission = Emission(
            self.arguments(node, converted) if live else tuple(self.local[b] for b in node.bottoms),
            tuple(self.local[t] for t in node.tops),
            self.attribute(node) if specs or node.layer.keeps_state else node.name,
            node.name,
            bottoms,
            tuple(self.shapes[t] for t in node.tops if t in self.shapes),
            self.graph.train,
            sources,
            self.named,
        )
        try:
            emitted = node.layer.emit(emission)
        except Refused as refused:
            self.problems.append(diagnose(node, refused))
            return
        if specs:
            self.blobs.append(Blobs(node, specs, sources))
        self.init += emitted.init
        self.init += self.owners.ties(node, specs, emitted)
        self.owners.own(node, specs, emitted)
        if live or emitted.init:
            self.functions.update(dict.fromkeys(emitted.functions))
        self.weights += [Weight(key, recipe, node.name) for key, recipe in emitted.tensors]
        if emitted.forward and live:
            same = node.bottoms and node.tops and self.shapes.get(node.tops[0]) == bottoms[0]
            lines = emitted.forward if same and not specs else self.comment(node, emitted.forward)
            self.forward.append((index, [*converted, *lines]))

    def arguments(self, node: Node, lines: list[str]) -> tuple[str, ...]:
        """The variables of the bottoms. Indices that the layer reads as numbers are converted once, in `lines`."""
        found = [self.local[b] for b in node.bottoms]
        if self.indices.isdisjoint(node.bottoms) or not node.tops:
            return tuple(found)
        kept = set(read_as_indices(node))
        if self.indices.issuperset(node.tops):
            kept.update(place for place, b in enumerate(node.bottoms) if b in moves(node))
        for place, bottom in enumerate(node.bottoms):
            if bottom not in self.indices or place in kept:
                continue
            if bottom not in self.numbers:
                self.numbers[bottom] = self.names.fresh(f"{bottom.blob}_numbers")
                lines.append(f"{self.numbers[bottom]} = {found[place]}.to({self.like}.dtype)")
            found[place] = self.numbers[bottom]
        return tuple(found)

    @property
    def like(self) -> str:
        """Source of a tensor of the net's own type: an input that is no index, else a parameter."""
        asked = index_inputs(self.graph)
        inputs = [self.local[entry.value] for entry in self.graph.inputs if entry.value not in asked]
        return inputs[0] if inputs else "next(self.parameters(), torch.empty(()))"

    def result(self, value: Value) -> str:
        """Source of an output: indices as floating-point numbers, which is how Caffe has them."""
        local = self.local[value]
        return f"as_numbers({local}, {self.like})" if value in self.indices else local

    def attribute(self, node: Node) -> str:
        """The attribute that holds the layer's parameters: of windows, the one that the literal net has."""
        key = (node.name, node.occurrence)
        if not self.given:
            self.named[key] = self.attributes.fresh(node.name or node.type)
        return self.named[key]

    def drop(self, index: int, kept: Sequence[Value]) -> None:
        """Forget large blobs that nobody reads again: else they would live until the end."""
        node = self.graph.nodes[index]
        inputs = {entry.value for entry in self.graph.inputs}
        names = {self.local[top] for top in node.tops}
        done = [
            self.local[b]
            for b in dict.fromkeys(node.bottoms)
            if self.last.get(b) == index and b not in inputs and self.local[b] not in names
            if b not in kept and 4 * _count(self.shapes.get(b, ())) >= LARGE
        ]
        if done and self.forward:
            self.forward[-1][1].append(f"del {', '.join(done)}")

    def comment(self, node: Node, lines: tuple[str, ...]) -> list[str]:
        """The layer's lines, the last with the top's shape, without the batch, as a comment."""
        if len(node.tops) != 1:
            return list(lines)
        dims = self.symbolic.get(node.tops[0]) or self.shapes.get(node.tops[0])
        if not dims or "#" in lines[-1]:
            return list(lines)
        return [*lines[:-1], f"{lines[-1]}  # {dims_text(dims[1:] if len(dims) > 3 else dims)}"]

    # the file --------------------------------------------------------------------------------------------------

    def module(
        self,
        wanted: Mapping[str, Value],
        origin: str,
        notes: Sequence[str],
        windowed: Windowed | None,
        framed: Mapping[str, Value],
    ) -> Module:
        name = class_name(self.graph.name)
        arguments = [self.local[entry.value] for entry in self.graph.inputs]
        init = [line for statement in self.init for line in lay_out(statement, 8)]
        spans: dict[int, tuple[int, int]] = {}
        if self.windowed is not None and windowed is not None:
            init += ["        self.frames, self.frames_from = {}, None"]
            self.functions.update({VERSION: None, FRAME_FUNCTIONS: None})
            methods = [
                dispatch(arguments, arguments[0], windowed.surrounds[0].base),
                self.windowed.method("windowed", arguments, wanted, spans),
                frame_method(windowed, arguments[0], self.graph.inputs[0].shape[1]),
                self.method("literal", [*arguments, "only_frame=False"], wanted, {}, framed),
            ]
        elif self.inference:
            methods = [dispatch(arguments), self.method("compute", arguments, wanted, spans)]
        else:
            methods = [self.method("forward", arguments, wanted, spans)]
        body = [f"class {name}(nn.Module):", f'    """{doc_text(self.graph.name or name)}"""', ""]
        body += ["    def __init__(self):", "        super().__init__()", *init]
        head = self.head(name, origin, notes, wanted, [*body, *(line for method in methods for line in method)])
        before = 0
        for index, method in enumerate(methods):
            body += [""]
            if index == (1 if self.inference else 0):
                before = len(head) + len(body)
            body += method
        source = "\n".join([*head, *body]) + "\n"
        return Module(
            source,
            name,
            tuple(entry.value for entry in self.graph.inputs),
            tuple(wanted),
            tuple(self.weights),
            tuple(self.blobs),
            (self.windowed or self).graph.nodes,
            {index: (first + before, last + before) for index, (first, last) in spans.items()},
        )

    def method(
        self,
        name: str,
        arguments: Sequence[str],
        wanted: Mapping[str, Value],
        spans: dict[int, tuple[int, int]],
        framed: Mapping[str, Value] | None = None,
    ) -> list[str]:
        """Lines of a method that computes the wanted blobs; puts the lines of each layer, from 1, into `spans`.

        With `framed`, a call for the frame alone ends as soon as these values are there.
        """
        body = lay_out(f"def {name}({', '.join(['self', *arguments])}):", 4)
        if self.inference and needs_size(self.graph.nodes):
            body.append(f"        H, W = {arguments[0]}.shape[2:]")
        if self.inference and any(isinstance(node.layer, Surround) for node in self.graph.nodes):
            body.append(f"        frame = self.frame({arguments[0]})")
        missing = set((framed or {}).values())
        for index, statements in self.forward:
            lines = [line for statement in statements for line in lay_out(statement, 8)]
            spans[index] = (len(body) + 1, len(body) + len(lines))
            body += lines
            if missing and not missing.isdisjoint(self.graph.nodes[index].tops):
                missing -= set(self.graph.nodes[index].tops)
                if not missing:
                    pairs = ", ".join(f"{string(k)}: {self.local[v]}" for k, v in (framed or {}).items())
                    body += ["        if only_frame:", *lay_out(f"return {{{pairs}}}", 12)]
        graph = self.graph
        if len(wanted) == 1:
            body += [f"        return {self.result(graph.blobs[next(iter(wanted))])}"]
        else:
            pairs = ", ".join(f"{string(blob)}: {self.result(graph.blobs[blob])}" for blob in wanted)
            body += lay_out(f"return {{{pairs}}}", 8)
        return body

    def head(
        self, name: str, origin: str, notes: Sequence[str], wanted: Mapping[str, Value], body: Sequence[str]
    ) -> list[str]:
        title = f'"""{doc_text(self.graph.name or name)}: PyTorch, compiled from a Caffe net by netcompile.'
        lines = [*folded(title), ""]
        if origin:
            lines += folded(f"From {doc_text(origin)}, phase {'TRAIN' if self.graph.train else 'TEST'}.")
        for entry in self.graph.inputs:
            dims = self.symbolic.get(entry.value) or entry.shape
            lines += folded(f"Input {doc_text(entry.value.blob)}: {dims_text(dims)}")
        for blob, value in list(wanted.items())[:20]:
            lines += folded(f"Output {doc_text(blob)}: {self.shape_text(value)}")
        for note in notes:
            lines += folded(doc_text(note))
        lines += ['"""', ""]
        functions = [line for text in self.functions for line in ["", "", *text.strip("\n").split("\n")]]
        text = "\n".join([*functions, *body])
        if "torch." in text.replace("torch.nn", ""):
            lines.append("import torch")
        if "F." in text:
            lines.append("import torch.nn.functional as F")
        lines += ["from torch import nn", *functions, "", ""]
        return lines

    def shape_text(self, value: Value) -> str:
        dims = self.symbolic.get(value) or self.shapes.get(value)
        maker = next((node for node in self.graph.nodes if value in node.tops), None)
        more = ", or larger: its size depends on the numbers" if maker and maker.layer.sized_by_values else ""
        return dims_text(dims) + more if dims is not None else "?"


def _count(shape: IntShape) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total
