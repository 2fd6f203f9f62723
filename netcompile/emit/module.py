"""The emitted module: one file, torch alone, an nn.Module with a plain ``__init__`` and ``forward``."""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.blobs import LearnedBlobs
from netcompile.emit.block_classes import BlockClass
from netcompile.emit.blocks import Blocks, in_blocks
from netcompile.emit.code import Code, Shaped, Weight, defined, write
from netcompile.emit.docstring import NOTHING, About, docstring
from netcompile.emit.inference import ATTRIBUTES, BORDER_FUNCTIONS, FUNCTIONS, VARIABLES, Windowed, bordered_values
from netcompile.emit.layout import lay_out
from netcompile.emit.methods import methods, spans_of
from netcompile.emit.names import class_name
from netcompile.emit.nesting import nested
from netcompile.emit.parts import Part
from netcompile.emit.prelude import IMPORTS, PRELUDE, Definition, free_names, import_lines, whole
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.prune import unknown_blob
from netcompile.layers.base import IntShape, Shape
from netcompile.version import __version__

SAVED = 0.75  # of the lines that a net's class has without blocks: from there on they are worth it
IMPORTED = "netcompile.runtime.functions"  # where modules import functions from that do not contain them
# What -O2 adds to a module beside the net: these files of the prelude, whole.
RUNTIME = (
    "inference", "workers", "calls", "fusing", "onednn_graph", "recording", "onednn", "linear", "convolution",
    "polynomials", "winograd", "large_kernel", "upsampling", "windows", "bands",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EmittedModule:
    """Emitted source and the plan of its weights."""

    source: str
    class_name: str
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]  # blob names
    weights: tuple[Weight, ...]
    blobs: tuple[LearnedBlobs, ...]
    nodes: tuple[Node, ...]  # the layers whose code it is, after all passes
    lines: Mapping[int, tuple[int, int]]  # index into `nodes` → first and last line in `source`
    variables: Mapping[str, str]  # blob name → the variable that holds its final value where it is computed whole
    style: str = "flat"  # or "blocks"
    parts: tuple[Part, ...] | None = None  # what repeats; None where it was not looked for


@dataclass(frozen=True, slots=True)
class Manner:
    """How a module is written.

    `style`: "flat", "blocks", or None for blocks where they make the net shorter by a quarter. `literal`: each layer
    has its own line. `imported`: functions are imported from netcompile. `about` is for the docstring.
    """

    style: str | None = "flat"
    literal: bool = False
    imported: bool = False
    about: About = NOTHING


FLAT = Manner()


def emit(
    graph: Graph,
    shapes: Mapping[Value, IntShape],
    *,
    symbolic: Mapping[Value, Shape | None] | None = None,
    outputs: Sequence[str] | None = None,
    original: Sequence[LearnedBlobs] | None = None,
    windowed: Windowed | None = None,
    inference: bool = False,
    manner: Manner = FLAT,
) -> EmittedModule:
    """Source of `graph`; `outputs` names blobs (by default the net's outputs).

    Layers that no output needs have their parameters, so that one set of weights fits, and no code in ``forward``;
    a net built for training runs them all. Raises NetError where a layer has no counterpart in PyTorch.

    With `inference`, gradients are recorded in training only, and blobs are dropped after their last use. `original`
    are the blobs of a caffemodel that the net takes, where passes have changed its layers; `windowed` is what runs in
    place of `graph` where no gradient is recorded: such a net is flat.
    """
    net, wanted = Shaped(graph, shapes, symbolic or {}), outputs_of(graph, outputs)
    codes = _codes(net, wanted, windowed, inference)
    functions, imports = _functions(codes, wanted, inference), _imported(codes)
    called = functions.keys() | imports.keys() | (whole(RUNTIME).keys() if inference else set())
    if hidden := _hidden(codes, called):  # name the variables anew
        codes = _codes(net, wanted, windowed, inference, frozenset(called | hidden))
    bound = {line.rpartition(" ")[2] for each in functions.values() for line in each.imports}
    name = class_name(graph.name, called | bound)
    head = docstring(codes[0], name, wanted, manner.about)
    writer = _Writer(net, name, head, wanted, functions, imports, windowed, inference, manner)
    blocks, parts = None, None
    if manner.style != "flat" and windowed is None and not manner.literal:
        taken = frozenset([name, *called, *bound, *IMPORTS])
        blocks = in_blocks(codes[0], list(wanted.values()), taken, ATTRIBUTES if inference else frozenset())
        parts = () if blocks is None else blocks.parts
    code, file, style = _chosen(writer, codes, blocks)
    top = writer.top(file)
    named = codes[0].variables.named
    variables = {blob: named[value] for blob, value in graph.blobs.items() if value in named}
    return EmittedModule(
        "\n".join([*top, *file.lines]) + "\n",
        name,
        tuple(entry.value for entry in graph.inputs),
        tuple(wanted),
        tuple(weight for layer in code.layers for weight in layer.weights),
        tuple(codes[0].blobs if original is None else original),
        codes[-1].net.graph.nodes,
        {index: (first + len(top), last + len(top)) for index, (first, last) in file.spans.items()},
        {blob: own for blob, name in variables.items() for own in (name, f"_{name}") if own in file.variables},
        style,
        parts,
    )


@dataclass(frozen=True, slots=True)
class _File:
    """The lines of a file below its imports, each layer's among them, and the variables of the methods.

    `using`: how many lines there are up to the functions that these use. `own`: how many lines the net's class has,
    `code`: with the blocks' classes, if each layer had a line of its own.
    """

    lines: Sequence[str]
    using: int
    own: int
    code: int
    spans: Mapping[int, tuple[int, int]]
    variables: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Writer:
    """What the files of a net have in common, in whatever style."""

    net: Shaped
    name: str
    docstring: Sequence[str]
    wanted: Mapping[str, Value]
    functions: Mapping[str, Definition]
    imports: Mapping[str, str]
    windowed: Windowed | None
    inference: bool
    manner: Manner

    def file(self, codes: Sequence[Code], classes: Sequence[BlockClass] = ()) -> _File:
        """A file: the blocks, the net, and what these call."""
        if not self.manner.literal:
            codes = [replace(code, layers=tuple(nested(code.layers))) for code in codes]
        head = [f"class {self.name}(nn.Module):", "    def __init__(self) -> None:", "        super().__init__()"]
        head += [line for layer in codes[0].layers for statement in layer.init for line in lay_out(statement, 8)]
        head += ["        self.borders = Kept()"] if self.windowed is not None else []
        head += ["        self.passes = Kept()"] if self.inference else []
        made = methods(codes, self.wanted, self.windowed, self.inference, not self.manner.literal)
        net = [*head, *(line for method in made for line in ["", *method.lines])]
        body = [line for each in classes for line in [*each.lines, "", ""]]
        lines = [*body, *net]
        spans = spans_of(made, len(body) + len(head))
        at = 0
        for each in classes:
            spans |= {index: (first + at, last + at) for index, (first, last) in each.spans.items()}
            at += len(each.lines) + 2
        own = _code(net) + sum(layer.depth - 1 for layer in codes[0].layers)
        blocks = _code(body) + sum(each.joined for each in classes)
        arguments = {codes[0].variables.named[entry.value] for entry in self.net.graph.inputs}
        whole_file = [*lines, *_regions(self._behind())]
        return _File(whole_file, len(lines), own, own + blocks, spans, _stored(net) | arguments)

    def top(self, file: _File) -> list[str]:
        """What a file begins with: docstring and imports."""
        return [*self.docstring, *self._imports(file.lines[: file.using], self._behind()), "", ""]

    def _behind(self) -> dict[str, list[Definition]]:
        """The functions below the net, by the heading that they stand under."""
        functions = {name: each for name, each in self.functions.items() if not self._is_imported(each)}
        runtime = {} if not self.inference or self.manner.imported else whole(RUNTIME)
        own = [each for name, each in functions.items() if name not in runtime]
        headings = {CALLED: own, ADDED: list(runtime.values())}
        return {heading: found for heading, found in headings.items() if found}

    def _is_imported(self, function: Definition) -> bool:
        return self.manner.imported and function.module.startswith(f"{PRELUDE}.")

    def _imports(self, lines: Iterable[str], behind: Mapping[str, Sequence[Definition]]) -> list[str]:
        """Import statements for what the classes and functions use, in ruff's order."""
        used = free_names("\n".join(lines))
        found = {statement for name, statement in {**IMPORTS, **self.imports}.items() if name in used}
        contained = [each for functions in behind.values() for each in functions]
        found |= {statement for each in contained for statement in each.imports}
        needed = used.union(*(free_names(each.source) for each in contained)) if self.manner.imported else used
        for name, function in self.functions.items():
            if self._is_imported(function) and name in needed:
                found.add(f"from {IMPORTED} import {name}")
        return import_lines(found)


CALLED = f"region functions that the net calls (netcompile {__version__})"
ADDED = f"region what -O2 adds, the same in every module (netcompile {__version__})"


def _chosen(writer: _Writer, codes: Sequence[Code], blocks: Blocks | None) -> tuple[Code, _File, str]:
    """The net's code, its file and the style of these: blocks where they are asked for or worth it."""
    if blocks is None:
        return codes[0], writer.file(codes), "flat"
    made = writer.file([blocks.code], blocks.classes)
    least = sum(len(layer.init) for layer in codes[0].layers)  # lines that the flat class has in any case
    if writer.manner.style == "blocks" or _shorter(made, least, least):
        return blocks.code, made, "blocks"
    flat = writer.file(codes)
    return (blocks.code, made, "blocks") if _shorter(made, flat.own, flat.code) else (codes[0], flat, "flat")


def _shorter(blocks: _File, own: int, code: int) -> bool:
    """Whether blocks are worth it: they take a quarter of the net's own class away, and the whole gets shorter."""
    return blocks.own <= own * SAVED and blocks.code < code


def _code(lines: Iterable[str]) -> int:
    """How many lines are no comment."""
    return sum(not line.lstrip().startswith("#") for line in lines)


def _regions(behind: Mapping[str, Sequence[Definition]]) -> list[str]:
    """Lines of the functions below a net, under headings that editors fold."""
    lines = []
    for heading, functions in behind.items():
        lines += ["", "", f"# {heading}"]
        lines += [line for each in functions for line in ["", "", *each.source.split("\n")]]
        lines += ["", "", "# endregion"]
    return lines


_TARGETS = re.compile(r" {8}([\w, ]+?)(?:: Tensor)? = ")


def _stored(lines: Sequence[str]) -> frozenset[str]:
    """The variables of a class's methods."""
    found = (match[1] for line in lines if (match := _TARGETS.match(line)))
    return frozenset(name for targets in found for name in targets.split(", "))


def outputs_of(graph: Graph, names: Sequence[str] | None) -> dict[str, Value]:
    """The values of these blobs, by default the net's outputs. Raises NetError where a name is no blob of the net."""
    names = graph.outputs if names is None else names
    unknown = [unknown_blob(name, graph.blobs) for name in names if name not in graph.blobs]
    if unknown:
        raise NetError(unknown)
    return {name: graph.blobs[name] for name in names}


def _codes(
    net: Shaped,
    wanted: Mapping[str, Value],
    windowed: Windowed | None,
    inference: bool,
    reserved: frozenset[str] = frozenset(),
) -> list[Code]:
    """Code of the net's layers, and of those of the windows if there are any.

    Raises NetError with every layer that has none.
    """
    reserved |= VARIABLES if inference else frozenset()
    own = ATTRIBUTES if inference else frozenset[str]()
    borders = () if windowed is None else bordered_values(windowed, net.graph).values()
    codes = [write(net, wanted.values(), borders=borders, reserved=reserved, own=own, drop=inference)]
    if windowed is not None:
        inside = outputs_of(windowed.graph, list(wanted)).values()
        codes += [write(windowed, inside, reserved=reserved, attributes=codes[0].attributes, drop=True)]
    problems = [problem for code in codes for problem in code.problems]
    if problems:
        raise NetError(problems)
    return codes


def _hidden(codes: Sequence[Code], called: Collection[str]) -> set[str]:
    """Variables that hide a function which the layers call, one of `called` or of Python's."""
    given = {name for code in codes for name in code.variables.every()}
    layers = [layer for code in codes for layer in code.layers]
    lines = "\n".join([*(line for layer in layers for line in layer.forward), *(c.variables.like for c in codes)])
    return {
        name
        for name in given
        if name in called or (hasattr(builtins, name) and re.search(rf"(?<![\w.]){name}\(", lines))
    }


def _functions(codes: Sequence[Code], wanted: Mapping[str, Value], inference: bool) -> dict[str, Definition]:
    """What the module contains of the prelude, by name."""
    layers = [layer for code in codes for layer in code.layers]
    before = [] if codes[0].variables.indices.isdisjoint(wanted.values()) else ["indices.as_numbers"]
    after = [*(FUNCTIONS if inference else ()), *(BORDER_FUNCTIONS if len(codes) > 1 else ())]
    return defined(codes[0].net.graph, layers, before, after)


def _imported(codes: Sequence[Code]) -> dict[str, str]:
    """Names that the layers import, and the statements."""
    paths = [path.rpartition(".") for code in codes for layer in code.layers for path in layer.imports]
    return {name: f"from {place} import {name}" for place, _, name in paths}
