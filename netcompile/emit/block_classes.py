"""The classes of parts that repeat: their names, their attributes, their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from netcompile.emit.block_names import block_names, row_name
from netcompile.emit.block_signatures import BlockSignature, signature_of_block
from netcompile.emit.block_statements import dropping, returning, written
from netcompile.emit.code import LARGE, Code, LayerCode
from netcompile.emit.layout import lay_out, signature
from netcompile.emit.names import MODULE_ATTRIBUTES, Names, identifier
from netcompile.emit.nesting import nested
from netcompile.emit.steps import (
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
from netcompile.emit.template import Kind, filled, x
from netcompile.emit.text import doc_text
from netcompile.ir.graph import Value
from netcompile.layers.shapes import count


@dataclass(frozen=True, slots=True)
class BlockClass:
    """The lines of one block's class, and which of them, from 1, are each layer's."""

    name: str
    lines: tuple[str, ...]
    spans: Mapping[int, tuple[int, int]]
    joined: int = 0  # how many layers share a line with another


class ClassWriter:
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

    def block_class(self, number: int) -> BlockClass:
        """The class of a block, once those that it calls have theirs."""
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
        source = self.made(step, numbers)
        if isinstance(step.kind, Chained):
            source = f"nn.Sequential({source})"
        forward = f"{', '.join(writes)} = self.{attribute}({', '.join(reads)})"
        return LayerCode(step.layers, (f"self.{attribute} = {source}",), (forward,))

    def made(self, step: Step, numbers: Sequence[str]) -> str:
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


_FAMILIES = {"convolution": "conv", "normalisation": "norm", "upsampling": "up", "pooling": "pool"}


def block_of(step: Step) -> int:
    """The block that a step runs."""
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
