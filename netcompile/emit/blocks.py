"""Repeated parts of a net as classes: what `outline` finds, named and written out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netcompile.emit.block_classes import BlockClass, ClassWriter, block_of
from netcompile.emit.block_names import belong_together, row_name, stage
from netcompile.emit.code import Code, LayerCode, Weight, shape_text
from netcompile.emit.layout import lay_out
from netcompile.emit.names import MODULE_ATTRIBUTES, Names
from netcompile.emit.nesting import INDENT
from netcompile.emit.outline import outline
from netcompile.emit.parts import Part, parts_of
from netcompile.emit.steps import (
    WIDE,
    Body,
    Called,
    Chained,
    Layers,
    Step,
    calls_of,
    shared_out,
)
from netcompile.emit.structures import structure
from netcompile.emit.template import Kinds, filled, x
from netcompile.ir.graph import Value

NAMED, KNOWN = 1.5, 1.4  # how much such blocks are worth more


@dataclass(frozen=True, slots=True)
class Blocks:
    """A net in blocks: its code with calls in place of layers, the classes that it uses, and its parts as a tree."""

    code: Code
    classes: tuple[BlockClass, ...]
    parts: tuple[Part, ...]


def in_blocks(code: Code, wanted: Sequence[Value], reserved: frozenset[str], own: frozenset[str]) -> Blocks | None:
    """The net with a class for each part that repeats; None where no class would shorten it.

    `reserved` are names that no class may have, `own` those that no attribute may have.
    """
    kinds = Kinds()
    values = {value: index for index, value in enumerate(code.net.graph.values())}  # whole numbers compare faster
    steps = tuple(_step(code, layer, kinds, values) for layer in code.layers)
    inputs = tuple(values[entry.value] for entry in code.net.graph.inputs)
    nodes = code.net.graph.nodes

    def worth(uses: Sequence[Layers], alone: bool) -> float:
        """Blocks that have a word, and those whose layers' names belong together, are what people draw.

        A block of several inputs or outputs is one only if its names say so.
        """
        lasting = [at for at, index in enumerate(uses[0]) if code.layers[index].init]
        together = lasting and belong_together([[nodes[use[at]].name for at in lasting] for use in uses])
        if not alone and not together:
            return 0.0
        known = structure([nodes[index] for index in uses[0]], code.net.shapes)
        return (NAMED if together else 1.0) * (KNOWN if known else 1.0)

    outlined = outline(Body(steps, inputs, tuple(dict.fromkeys(values[value] for value in wanted))), worth)
    if not outlined.blocks:
        return None
    return _Writer(code, outlined, kinds.kinds, reserved, own).written()


def _step(code: Code, layer: LayerCode, kinds: Kinds, values: Mapping[Value, int]) -> Step:
    """A layer for `outline`."""
    node = code.net.graph.nodes[layer.nodes[0]]
    bottoms, tops = tuple([values[value] for value in node.bottoms]), tuple([values[value] for value in node.tops])
    lines = sum([_height(line) for line in layer.init]), sum([_height(line) for line in layer.forward])
    if layer.pattern is None:
        runs = bool(layer.forward)
        reads, writes = (bottoms, tops) if runs else ((), ())
        return Step(("own", layer.nodes[0]), (), reads, writes, layer.nodes, lines=lines, free=False)
    found = kinds.counted(layer.pattern.emitted, len(bottoms), len(tops))
    width = len(layer.forward[-1])
    if layer.open:
        width = len(layer.open) - len(layer.open.partition(" = ")[0]) - len(x(0)) - 3
    return Step(
        found.kind, found.numbers, bottoms, tops, layer.nodes, found.holes, found.stored, lines, width,
        bool(layer.open),
    )  # fmt: skip


def _height(line: str) -> int:
    """How many lines a statement has."""
    return 1 if len(line) <= WIDE else len(lay_out(line, INDENT))


class _Writer(ClassWriter):
    """Writes the classes, and the net that uses them."""

    def written(self) -> Blocks:
        classes = [self.block_class(number) for number in range(len(self.outlined.blocks))]
        return Blocks(self._main(), tuple(classes), parts_of(self.outlined, self._part_name, self.words))

    def _part_name(self, step: Step, layers: Layers) -> str:
        """What a step that runs blocks is called beside all others."""
        called = [self.use_names[block_of(step), part] for part in calls_of(step, layers)]
        return called[0] if len(called) == 1 else row_name(called, self._others(layers))

    def _main(self) -> Code:
        """The net's own code: calls of blocks, and the layers that are in none."""
        names = Names(MODULE_ATTRIBUTES | self.own, public=True)
        for step in self.outlined.main.steps:
            for index in () if isinstance(step.kind, (Called, Chained)) else step.layers:
                node = self.code.net.graph.nodes[index]
                if (key := (node.name, node.occurrence)) in self.code.attributes:
                    names.fresh(self.code.attributes[key], node.layer.attributes)
        layers = []
        for group in self._rows():
            if isinstance(group[0].kind, (Called, Chained)):
                layers.append(self._row(group, names))
            else:
                layers.append(self.by_layer[group[0].layers[0]])
        return replace(self.code, layers=tuple(layers))

    def _rows(self) -> list[list[Step]]:
        """The main steps; those that run blocks of one stage in a row together, if some of these are alike."""
        steps = self.outlined.main.steps
        readers = Counter(value for step in steps for value in step.reads)
        readers.update(self.outlined.main.outputs)
        rows: list[list[Step]] = []
        for step in steps:
            before = rows[-1][-1] if rows else None
            linked = before is not None and step.reads == before.writes and len(step.writes) == len(before.reads) == 1
            if linked and before is not None and readers[before.writes[0]] == 1 and self._alike(before, step):
                rows[-1].append(step)
            else:
                rows.append([step])
        found: list[list[Step]] = []
        for row in rows:
            found += [row] if any(isinstance(step.kind, Chained) for step in row) else [[step] for step in row]
        return found

    def _alike(self, before: Step, step: Step) -> bool:
        """Whether both run blocks of one stage."""
        return bool(self._stage(step)) and self._stage(step) == self._stage(before)

    def _stage(self, step: Step) -> str:
        """The stage that a step's blocks are of; "" for a layer."""
        if not isinstance(step.kind, (Called, Chained)):
            return ""
        names = {stage(self.use_names[step.kind.block, part]) for part in calls_of(step, step.layers)}
        return names.pop() if len(names) == 1 else ""

    def _row(self, steps: Sequence[Step], names: Names) -> LayerCode:
        """One member that runs the blocks of some steps one after the other."""
        layers = tuple(layer for step in steps for layer in step.layers)
        parts = [(s, part) for s in steps for part in calls_of(s, s.layers)]
        called = [self.use_names[block_of(s), part] for s, part in parts]
        alone = len(steps) == 1 and isinstance(steps[0].kind, Called)
        attribute = names.fresh(called[0] if alone else row_name(called, self._others(layers)))
        numbers = [[str(number) for number in step.numbers] for step in steps]
        source = ", ".join(self.made(step, given) for step, given in zip(steps, numbers, strict=True))
        source = source if alone else f"nn.Sequential({source})"
        weights: list[Weight] = []
        for index, (step, part) in enumerate(parts):
            weights += self._weights(block_of(step), part, attribute if alone else f"{attribute}.{index}")
        named = self.code.variables.named
        reads, writes = ([named[self.values[v]] for v in each] for each in (steps[0].reads, steps[-1].writes))
        text = f"{', '.join(writes)} = self.{attribute}({', '.join(reads)})"
        codes = [self.by_layer[index] for index in layers]
        return LayerCode(
            layers,
            (f"self.{attribute} = {source}",),
            (text,),
            tuple(dict.fromkeys(name for each in codes for name in each.functions)),
            tuple(dict.fromkeys(name for each in codes for name in each.imports)),
            tuple(weights),
            comment=self._shape_news(steps),
        )

    def _others(self, layers: Layers) -> list[str]:
        """The names of all layers but these, and of all uses of blocks that are not within them."""
        inside, nodes = set(layers), self.code.net.graph.nodes
        found = [name for (_, use), name in self.use_names.items() if not inside.issuperset(use)]
        return found + [nodes[index].name for index in self.by_layer if index not in inside]

    def _shape_news(self, steps: Sequence[Step]) -> str:
        """The result's shape, where a layer of the blocks changes height and width."""
        comments = [self.by_layer[index].comment for step in steps for index in step.layers]
        last = self.by_layer[steps[-1].layers[-1]]
        found = [comment for comment in comments if comment]
        if not found or len(steps[-1].writes) != 1:
            return ""
        node = self.code.net.graph.nodes[last.nodes[-1]]
        return shape_text(self.code.net, node.tops[0])

    def _weights(self, block: int, layers: Layers, prefix: str) -> list[Weight]:
        """The state dict's entries of one use of a block."""
        body = self.outlined.blocks[block].body
        found: list[Weight] = []
        for step, own, attribute in zip(body.steps, shared_out(body, layers), self.inner[block], strict=True):
            name = f"{prefix}.{attribute}"
            if isinstance(step.kind, Called):
                found += self._weights(step.kind.block, own, name)
            elif isinstance(step.kind, Chained):
                for index, part in enumerate(calls_of(step, own)):
                    found += self._weights(step.kind.block, part, f"{name}.{index}")
            else:
                pattern = self.by_layer[own[0]].pattern
                assert pattern is not None
                layer = self.code.net.graph.nodes[own[0]].name
                tensors = pattern.emitted.tensors
                found += [Weight(filled(key, (), (), name), recipe, layer) for key, recipe in tensors]
        return found
