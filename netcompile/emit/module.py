"""The emitted module: one file, torch alone, one nn.Module with a literal ``__init__`` and ``forward``."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.blobs import LearnedBlobs, blobs_of
from netcompile.emit.blocks import BlockClass, in_blocks
from netcompile.emit.code import Code, LayerCode, Shaped, Weight, defined, write
from netcompile.emit.inference import (
    ATTRIBUTES,
    BORDER_FUNCTIONS,
    FUNCTIONS,
    VARIABLES,
    Windowed,
    border_method,
    bordered_values,
    bordering,
    dispatch,
    size,
)
from netcompile.emit.layout import WIDTH, lay_out, signature
from netcompile.emit.names import class_name
from netcompile.emit.nesting import nested
from netcompile.emit.prelude import IMPORTS, Definition, free_names
from netcompile.emit.text import dims_text, doc_text, folded
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.prune import unknown_blob
from netcompile.layers.base import IntShape, Shape
from netcompile.layers.source import string

SAVED = 0.75  # of the lines that a net has without blocks: from there on they are worth it


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


@dataclass(frozen=True, slots=True)
class Method:
    """Lines of a method, and which of them, from 1, are each layer's."""

    lines: Sequence[str]
    spans: Mapping[int, tuple[int, int]]


def emit(
    graph: Graph,
    shapes: Mapping[Value, IntShape],
    *,
    symbolic: Mapping[Value, Shape | None] | None = None,
    outputs: Sequence[str] | None = None,
    origin: str = "",
    original: Graph | None = None,
    windowed: Windowed | None = None,
    inference: bool = False,
    style: str | None = "flat",
    literal: bool = False,
) -> EmittedModule:
    """Source of `graph`; `outputs` names blobs (by default the net's outputs).

    Layers that no output needs have their parameters, so that one set of weights fits, and no code in ``forward``;
    a net built for training runs them all. Raises NetError where a layer has no counterpart in PyTorch.

    With `inference`, gradients are recorded in training only, and blobs are dropped after their last use. `original` is
    the graph whose layers the blobs of a caffemodel belong to, where passes have changed it; `windowed` what runs in
    place of `graph` where no gradient is recorded.
    """
    net, wanted = Shaped(graph, shapes, symbolic or {}), outputs_of(graph, outputs)
    codes = _codes(net, wanted, windowed, inference)
    functions, imports = _functions(codes, wanted, inference), _imported(codes)
    called = functions.keys() | imports.keys()
    if hidden := _hidden(codes, called):  # name the variables anew
        codes = _codes(net, wanted, windowed, inference, frozenset(called | hidden))
    bound = {line.rpartition(" ")[2] for each in functions.values() for line in each.imports}
    name = class_name(graph.name, called | bound)
    top = _docstring(net, name, wanted, origin)
    taken = frozenset([name, *called, *bound, *IMPORTS])

    def written(codes: Sequence[Code], classes: Sequence[BlockClass] = ()) -> _File:
        return _file(name, top, codes, classes, wanted, functions, imports, windowed, inference, literal)

    flat = written(codes)
    chosen, file = codes, flat
    if style != "flat" and windowed is None and not literal:
        blocks = in_blocks(codes[0], list(wanted.values()), taken, ATTRIBUTES if inference else frozenset())
        if blocks is not None:
            made = written([blocks.code], blocks.classes)
            if style == "blocks" or made.own <= flat.own * SAVED:
                chosen, file = [blocks.code], made
    named = codes[0].variables.named
    kept = {blob: named[value] for blob, value in codes[0].net.graph.blobs.items() if value in named}
    return EmittedModule(
        "\n".join(file.lines) + "\n",
        name,
        tuple(entry.value for entry in graph.inputs),
        tuple(wanted),
        tuple(weight for layer in chosen[0].layers for weight in layer.weights),
        tuple(codes[0].blobs if original is None else blobs_of(original)),
        codes[-1].net.graph.nodes,
        file.spans,
        {blob: variable for blob, variable in kept.items() if variable in file.variables},
        "blocks" if file is not flat else "flat",
    )


@dataclass(frozen=True, slots=True)
class _File:
    """The lines of a file, how many of them are the net's own, each layer's, and the variables of the net's values."""

    lines: Sequence[str]
    own: int
    spans: Mapping[int, tuple[int, int]]
    variables: frozenset[str]


def _file(
    name: str,
    docstring: Sequence[str],
    codes: Sequence[Code],
    classes: Sequence[BlockClass],
    wanted: Mapping[str, Value],
    functions: Mapping[str, Definition],
    imports: Mapping[str, str],
    windowed: Windowed | None,
    inference: bool,
    literal: bool,
) -> _File:
    """A module's file: docstring, imports, the blocks, the net, and what these call."""
    graph = codes[0].net.graph
    codes = codes if literal else [replace(code, layers=tuple(nested(code.layers))) for code in codes]
    init = [line for layer in codes[0].layers for statement in layer.init for line in lay_out(statement, 8)]
    init += ["        self.borders = Kept()"] if windowed is not None else []
    head = [f"class {name}(nn.Module):", f'    """{doc_text(graph.name or name)}"""', ""]
    head += ["    def __init__(self) -> None:", "        super().__init__()", *init]
    methods = _methods(codes, wanted, windowed, inference)
    net = [*head, *(line for method in methods for line in ["", *method.lines])]
    body = [line for each in classes for line in [*each.lines, "", ""]]
    top = [*docstring, *_imports([*body, *net], functions, imports), "", ""]
    spans: dict[int, tuple[int, int]] = {}
    at = len(top)
    for each in classes:
        spans |= {index: (first + at, last + at) for index, (first, last) in each.spans.items()}
        at += len(each.lines) + 2
    spans = {**_spans(methods, len(top) + len(body) + len(head)), **spans}
    lines = [*top, *body, *net]
    own = sum(not line.lstrip().startswith("#") for line in [*body, *net])
    lines += [line for each in functions.values() for line in ["", "", *each.source.split("\n")]]
    stored = {
        part.id
        for part in ast.walk(ast.parse("\n".join(net)))
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    arguments = {codes[0].variables.named[entry.value] for entry in graph.inputs}
    return _File(lines, own, spans, frozenset(stored | arguments))


def _spans(methods: Sequence[Method], before: int) -> dict[int, tuple[int, int]]:
    """The layers' lines in a file that has so many lines before the methods."""
    spans: dict[int, tuple[int, int]] = {}
    for method in methods:
        before += 1  # an empty line
        spans |= {index: (first + before, last + before) for index, (first, last) in method.spans.items()}
        before += len(method.lines)
    return spans


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


def _methods(
    codes: Sequence[Code], wanted: Mapping[str, Value], windowed: Windowed | None, inference: bool
) -> list[Method]:
    """The methods behind ``__init__``; the layers' lines are told of the one that runs without gradients."""
    literal, inputs = codes[0], codes[0].net.graph.inputs
    arguments = [literal.variables.named[entry.value] for entry in inputs]
    if not inference:
        return [_method("forward", arguments, literal, wanted)]
    result = _result(wanted)
    if windowed is None:
        own = size(literal, *arguments[:1])
        return [Method(dispatch(arguments, result), {}), _method("compute", arguments, literal, wanted, own)]
    image, borders = arguments[0], bordered_values(windowed, literal.net.graph)
    whole = _method("literal", arguments, literal, wanted, borders=borders)
    return [
        Method(dispatch(arguments, result, image, windowed.surrounds[0].base), {}),
        _method("windowed", arguments, codes[1], wanted, size(codes[1], image), more=["border: dict[str, Tensor]"]),
        Method(border_method(windowed, bordering(literal, windowed), image, inputs[0].shape[1]), {}),
        Method(whole.lines, {}),
    ]


def _method(
    name: str,
    arguments: Sequence[str],
    code: Code,
    wanted: Mapping[str, Value],
    begin: Sequence[str] = (),
    borders: Mapping[str, Value] | None = None,
    more: Sequence[str] = (),
) -> Method:
    """A method that computes the wanted blobs, with statements to `begin` with, and `more` arguments.

    With `borders` a call with `only_border` ends as soon as these are there.
    """
    blobs, named = code.net.graph.blobs, code.variables
    results = {blob: named.result(blobs[blob]) for blob in wanted}
    alone = next(iter(results.values())) if len(results) == 1 else None
    typed = ["self", *(f"{each}: Tensor" for each in arguments), *more]
    result = _result(wanted)
    if borders is not None:
        typed.append("only_border: bool = False")
        result = result if "dict" in result else f"{result} | dict[str, Tensor]"
    body = signature(name, typed, result, 4) + [f"        {line}" for line in begin]
    missing = set((borders or {}).values())
    open_ = None if alone in arguments else alone  # the result's variable, until its type is told
    spans = {}
    for layer in code.layers:
        lines: list[str] = []
        for statement in commented(layer):
            if open_ is not None and statement.startswith(f"{open_} = "):  # modules give Any
                statement, open_ = statement.replace(" = ", ": Tensor = ", 1), None
            lines += lay_out(statement, 8)
        if lines:
            spans.update(dict.fromkeys(layer.nodes, (len(body) + 1, len(body) + len(lines))))
        body += lines
        made = {top for index in layer.nodes for top in code.net.graph.nodes[index].tops}
        if missing and not missing.isdisjoint(made):
            missing -= made
            if not missing:
                found = {key: named.named[value] for key, value in (borders or {}).items()}
                body += ["        if only_border:", *_return(found, 12)]
    return Method([*body, *([f"        return {alone}"] if alone else _return(results, 8))], spans)


def commented(layer: LayerCode) -> list[str]:
    """A layer's statements in ``forward``; the one that makes its result has the comment."""
    lines = list(layer.forward)
    at = next((i for i in reversed(range(len(lines))) if not lines[i].startswith("del ")), -1)
    if at < 0 or not layer.comment or "#" in lines[at]:
        return lines
    if not layer.aside or len(lines[at]) + len(layer.comment) + 12 <= WIDTH:
        lines[at] += f"  # {layer.comment}"
    return lines


def _result(wanted: Collection[str]) -> str:
    """The type of what a net with these outputs returns."""
    return "Tensor" if len(wanted) == 1 else "dict[str, Tensor]"


def _return(values: Mapping[str, str], indent: int) -> list[str]:
    return lay_out(f"return {{{', '.join(f'{string(key)}: {source}' for key, source in values.items())}}}", indent)


def _docstring(net: Shaped, name: str, wanted: Mapping[str, Value], origin: str) -> list[str]:
    graph = net.graph
    lines = [*folded(f'"""{doc_text(graph.name or name)}: PyTorch, compiled from a Caffe net by netcompile.'), ""]
    if origin:
        lines += folded(f"From {doc_text(origin)}, phase {'TRAIN' if graph.train else 'TEST'}.")
    for entry in graph.inputs:
        dims = net.symbolic.get(entry.value) or entry.shape
        lines += folded(f"Input {doc_text(entry.value.blob)}: {dims_text(dims)}")
    told = dict(islice(wanted.items(), 20))
    values = set(told.values())
    makers = {top: node for node in graph.nodes for top in node.tops if top in values}
    for blob, value in told.items():
        lines += folded(f"Output {doc_text(blob)}: {_shape_text(net, value, makers.get(value))}")
    return [*lines, '"""', ""]


def _shape_text(net: Shaped, value: Value, maker: Node | None) -> str:
    dims = net.dims(value)
    more = ", or larger: its size depends on the numbers" if maker and maker.layer.sized_by_values else ""
    return dims_text(dims) + more if dims is not None else "?"


def _imports(body: Iterable[str], functions: Mapping[str, Definition], more: Mapping[str, str]) -> list[str]:
    """Import statements for what the class and its functions use, in ruff's order."""
    used = free_names("\n".join(body))
    found = {statement for name, statement in {**IMPORTS, **more}.items() if name in used}
    found |= {statement for each in functions.values() for statement in each.imports}
    names: dict[str, list[str]] = {}  # module → what is imported from it
    for statement in found:
        if statement.startswith("from "):
            names.setdefault(statement.split(" ")[1], []).append(statement.split(" import ")[1])
    plain = sorted(statement for statement in found if not statement.startswith("from "))
    return [*plain, *(f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names))]
