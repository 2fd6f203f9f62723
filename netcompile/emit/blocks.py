"""Repeated parts of a net as classes: what `outline` finds, named and written out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from netcompile.emit.block_names import belong_together, block_names, row_name, stage
from netcompile.emit.block_signatures import BlockSignature, signature_of_block
from netcompile.emit.block_statements import dropping, returning, written
from netcompile.emit.code import LARGE, Code, LayerCode, Weight, shape_text
from netcompile.emit.layout import lay_out, signature
from netcompile.emit.names import MODULE_ATTRIBUTES, Names, identifier
from netcompile.emit.nesting import INDENT, nested
from netcompile.emit.outline import outline
from netcompile.emit.parts import Part, parts_of
from netcompile.emit.steps import (
    WIDE,
    Body,
    Called,
    Chained,
    Layers,
    Outlined,
    Parameter,
    Ref,
    Step,
    calls_of,
    shared_out,
)
from netcompile.emit.structures import structure
from netcompile.emit.template import Kind, Kinds, filled, x
from netcompile.emit.text import doc_text
from netcompile.ir.graph import Value
from netcompile.layers.shapes import count

NAMED, KNOWN = 1.5, 1.4  # how much such blocks are worth more


@dataclass(frozen=True, slots=True)
class BlockClass:
    """The lines of one block's class, and which of them, from 1, are each layer's."""

    name: str
    lines: tuple[str, ...]
    spans: Mapping[int, tuple[int, int]]
    joined: int = 0  # how many layers share a line with another


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


class _Writer:
    """The state of writing one net: blocks are named and written from the innermost on."""

    def __init__(
        self, code: Code, outlined: Outlined, kinds: Sequence[Kind], reserved: frozenset[str], own: frozenset[str]
    ) -> None:
        self.code, self.outlined, self.kinds, self.own = code, outlined, kinds, own
        self.taken = set(reserved)
        self.values = list(code.net.graph.values())
        self.by_layer = {index: layer for layer in code.layers for index in layer.nodes}
        self.class_names: list[str] = []
        self.words: list[str] = []  # of each block: what its structure is called
        self.inner: list[tuple[str, ...]] = []  # of each block: the attributes of its steps
        self.use_names: dict[tuple[int, Layers], str] = {}  # of each use of a block: its name
        self.signatures: list[BlockSignature] = []

    @cached_property
    def uses(self) -> list[list[Layers]]:
        """For each block the layers of every use of it, in the order of the net."""
        found: list[dict[Layers, None]] = [{} for _ in self.outlined.blocks]

        def visit(body: Body, layers: Layers) -> None:
            for step, own in zip(body.steps, shared_out(body, layers), strict=True):
                if isinstance(step.kind, (Called, Chained)):
                    for part in calls_of(step, own):
                        if part not in found[step.kind.block]:
                            found[step.kind.block][part] = None
                            visit(self.outlined.blocks[step.kind.block].body, part)

        visit(self.outlined.main, tuple(layer for step in self.outlined.main.steps for layer in step.layers))
        return [list(each) for each in found]

    def written(self) -> Blocks:
        classes = [self._class(number) for number in range(len(self.outlined.blocks))]
        return Blocks(self._main(), tuple(classes), parts_of(self.outlined, self._part_name, self.words))

    # blocks

    def _class(self, number: int) -> BlockClass:
        block, uses = self.outlined.blocks[number], self.uses[number]
        steps = block.body.steps
        rows = [
            [self._name(s, part) for s, part in zip(steps, shared_out(block.body, use), strict=True)] for use in uses
        ]
        named = block_names(rows, [self._lasts(step) for step in steps])
        self.use_names.update({(number, use): name for use, name in zip(uses, named.uses, strict=True)})
        nodes = [self.code.net.graph.nodes[index] for index in uses[0]]
        self.words.append(structure(nodes, self.code.net.shapes))
        self.class_names.append(self._class_name(self.words[-1]))
        words = [_worded(name, self._family(step)) for name, step in zip(named.layers, steps, strict=True)]
        self.signatures.append(signature_of_block(self.outlined, number, words))
        names = Names(MODULE_ATTRIBUTES | self.own | self._kept(number), public=True)
        ends = self._ends(block.body)
        attributes = tuple(names.fresh(word, end) for word, end in zip(words, ends, strict=True))
        self.inner.append(attributes)
        return self._class_lines(number, named.uses, attributes)

    def _kept(self, number: int) -> frozenset[str]:
        """The block's numbers that ``forward`` needs, which are attributes for that."""
        names = self.signatures[number].names
        late = (n for s in self.outlined.blocks[number].body.steps for n in s.numbers[len(s.numbers) - s.stored :])
        return frozenset(names[number.index] for number in late if isinstance(number, Parameter))

    def _name(self, step: Step, layers: Layers) -> str:
        """What a step is called in one use."""
        if isinstance(step.kind, Called):
            return self.use_names[step.kind.block, layers]
        if isinstance(step.kind, Chained):
            return row_name([self.use_names[step.kind.block, part] for part in calls_of(step, layers)], ())
        return self.code.net.graph.nodes[layers[0]].name

    def _part_name(self, step: Step, layers: Layers) -> str:
        """What a step that runs blocks is called beside all others."""
        called = [self.use_names[_block(step), part] for part in calls_of(step, layers)]
        return called[0] if len(called) == 1 else row_name(called, self._others(layers))

    def _lasts(self, step: Step) -> bool:
        return not isinstance(step.kind, int) or bool(self.kinds[step.kind].init)

    def _family(self, step: Step) -> str:
        """A short word for what a step is."""
        if isinstance(step.kind, (Called, Chained)):
            return "conv" if "Conv" in self.class_names[step.kind.block] else "block"
        assert isinstance(step.kind, int)
        layer = self.code.net.graph.nodes[step.layers[0]].layer
        return _FAMILIES.get(layer.family, layer.type.lower())

    def _ends(self, body: Body) -> list[tuple[str, ...]]:
        nodes = self.code.net.graph.nodes
        return [nodes[s.layers[0]].layer.attributes if isinstance(s.kind, int) else () for s in body.steps]

    def _class_name(self, word: str) -> str:
        """A class's name: the word for its structure, or Block1, Block2 …"""
        count, name = (0, word) if word else (1, "Block1")
        while name in self.taken:
            count = max(count + 1, 2)
            name = f"{word or 'Block'}{count}"
        self.taken.add(name)
        return name

    def _class_lines(self, number: int, uses: Sequence[str], attributes: Sequence[str]) -> BlockClass:
        block, how = self.outlined.blocks[number], self.signatures[number]
        variables = self._variables(number, attributes)
        layers, kept = [], dict[str, None]()
        for step, attribute in zip(block.body.steps, attributes, strict=True):
            layers.append(self._inside(step, attribute, how, variables, kept))
        results = [variables[value] for value in block.body.outputs]
        arguments = [variables[value] for value in block.body.inputs]
        lines = [f"class {self.class_names[number]}(nn.Module):", f'    """{_told(uses)}"""', ""]
        lines += signature("__init__", ["self", *how.heads()], "None", 4)
        lines += ["        super().__init__()"]
        lines += [line for name in kept for line in lay_out(f"self.{name} = {name}", 8)]
        lines += [line for layer in layers for statement in layer.init for line in lay_out(statement, 8)]
        typed = ["self", *(f"{name}: Tensor" for name in arguments)]
        result = "Tensor" if len(results) == 1 else f"tuple[{', '.join(['Tensor'] * len(results))}]"
        lines += ["", *signature("forward", typed, result, 4)]
        spans: dict[int, tuple[int, int]] = {}
        statements = nested(layers)
        if self.own:  # for inference: what nobody reads again is forgotten
            statements = dropping(statements, self._large(number, variables) - {*results, *arguments})
        if len(results) == 1:
            statements = returning(statements, results[0])
        for layer in statements:
            made = [line for statement in layer.forward for line in lay_out(statement, 8)]
            spans.update(dict.fromkeys(layer.nodes, (len(lines) + 1, len(lines) + len(made))))
            lines += made
        if not statements or not statements[-1].forward[-1].startswith("return "):
            lines += lay_out(f"return {', '.join(results)}", 8)
        every = {
            index: spans[first]
            for use in self.uses[number]
            for index, first in self._matched(number, use)
            if first in spans
        }
        joined = sum(layer.depth - 1 for layer in statements)
        return BlockClass(self.class_names[number], tuple(lines), every, joined)

    def _large(self, number: int, variables: Mapping[Ref, str]) -> set[str]:
        """The variables that hold large blobs in a block's first use."""
        shapes, steps = self.code.net.shapes, self.outlined.blocks[number].body.steps
        made = [value for step in steps for value in step.writes]
        return {variables[v] for v in made if 4 * count(shapes.get(self.values[v], ())) >= LARGE}

    def _matched(self, number: int, use: Layers) -> list[tuple[int, int]]:
        """The layers of a use that are the block's own, with those of the first use that they are like."""
        body = self.outlined.blocks[number].body
        pairs = zip(body.steps, shared_out(body, use), strict=True)
        return [(own[0], step.layers[0]) for step, own in pairs if isinstance(step.kind, int)]

    def _variables(self, number: int, attributes: Sequence[str]) -> dict[Ref, str]:
        """A variable for every value of a block: of what it is given, ``x``; of a layer's result, the layer's name."""
        body = self.outlined.blocks[number].body
        names = Names(frozenset(self.taken))
        found: dict[Ref, str] = {}
        for index, value in enumerate(body.inputs):
            found[value] = names.fresh(_blob(self.code, self.values[value]) if index else "x")
        last = {value: index for index, step in enumerate(body.steps) for value in step.reads}
        for index, (step, attribute) in enumerate(zip(body.steps, attributes, strict=True)):
            again = step.follows and last[step.reads[0]] == index and step.reads[0] not in body.inputs
            if again and step.reads[0] not in body.outputs:
                found[step.writes[0]] = found[step.reads[0]]
                continue
            for value in step.writes:
                found[value] = names.fresh(attribute)
        return found

    def _inside(
        self, step: Step, attribute: str, how: BlockSignature, variables: Mapping[Ref, str], kept: dict[str, None]
    ) -> LayerCode:
        """A step's code in a block."""
        reads, writes = ([variables[v] for v in each] for each in (step.reads, step.writes))
        numbers = [how.names[n.index] if isinstance(n, Parameter) else n for n in step.numbers]
        if not isinstance(step.kind, int):
            return self._call(step, attribute, numbers, reads, writes)
        kind = self.kinds[step.kind]
        begin = len(numbers) - step.stored
        late = []
        for given, number in zip(step.numbers[begin:], numbers[begin:], strict=True):
            if isinstance(given, Parameter):
                kept[number] = None
            late.append(f"self.{number}" if isinstance(given, Parameter) else number)
        init = tuple(filled(text, reads, writes, attribute) for text in written(kind.init, numbers[:begin]))
        raw = written(kind.forward, late)
        forward = tuple(filled(text, reads, writes, attribute) for text in raw)
        opened = filled(raw[0], (x(0),), writes, attribute) if step.follows else ""
        read = reads[0] if reads else ""
        return LayerCode(step.layers[:1], init, forward, kind.functions, kind.imports, open=opened, reads=read)

    def _call(
        self, step: Step, attribute: str, numbers: Sequence[str], reads: Sequence[str], writes: Sequence[str]
    ) -> LayerCode:
        """The code of a step that runs a block, or several in a row."""
        source = self._made(step, numbers)
        if isinstance(step.kind, Chained):
            source = f"nn.Sequential({source})"
        forward = f"{', '.join(writes)} = self.{attribute}({', '.join(reads)})"
        return LayerCode(step.layers, (f"self.{attribute} = {source}",), (forward,))

    def _made(self, step: Step, numbers: Sequence[str]) -> str:
        """The source of a block, or of several in a row as arguments."""
        assert isinstance(step.kind, (Called, Chained))
        how, name = self.signatures[step.kind.block], self.class_names[step.kind.block]
        if isinstance(step.kind, Called):
            return how.call(name, numbers)
        count = step.kind.count
        first, grown = list(numbers[: len(how.names)]), numbers[len(how.names) :]
        growing = [index for index, growth in enumerate(grown) if growth != "0"]
        if not growing:
            one = how.call(name, first)
            return f"{one}, {one}" if count == 2 and len(one) < 30 else f"*({one} for _ in range({count}))"
        if len(growing) == 1:
            index = growing[0]
            begin, growth = int(first[index]), int(grown[index])
            variable = how.names[index]
            first[index] = variable
            return f"*({how.call(name, first)} for {variable} in range({begin}, {begin + count * growth}, {growth}))"
        for index in growing:
            first[index] = f"{first[index]} + {grown[index]} * i"
        return f"*({how.call(name, first)} for i in range({count}))"

    # the net itself

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
        called = [self.use_names[_block(s), part] for s, part in parts]
        alone = len(steps) == 1 and isinstance(steps[0].kind, Called)
        attribute = names.fresh(called[0] if alone else row_name(called, self._others(layers)))
        numbers = [[str(number) for number in step.numbers] for step in steps]
        source = ", ".join(self._made(step, given) for step, given in zip(steps, numbers, strict=True))
        source = source if alone else f"nn.Sequential({source})"
        weights: list[Weight] = []
        for index, (step, part) in enumerate(parts):
            weights += self._weights(_block(step), part, attribute if alone else f"{attribute}.{index}")
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


_FAMILIES = {"convolution": "conv", "normalisation": "norm", "upsampling": "up", "pooling": "pool"}


def _block(step: Step) -> int:
    assert isinstance(step.kind, (Called, Chained))
    return step.kind.block


def _worded(name: str, family: str) -> str:
    """A name for an attribute: that of the layer, with a word for what it is before a digit, or the word alone."""
    if not name:
        return family
    text = identifier(name if not name[0].isdigit() else f"{family}{name}")
    return text


def _blob(code: Code, value: Value) -> str:
    """The name of an input of the net; any other value is x."""
    return next((entry.value.blob for entry in code.net.graph.inputs if entry.value == value), "x")


def _told(uses: Sequence[str]) -> str:
    """Which layers of the Caffe net a block stands for."""
    names = [doc_text(name) for name in uses]
    if len(names) <= 4:
        return f"{', '.join(names)}."
    return f"{', '.join(names[:3])} and {len(names) - 3} more."
