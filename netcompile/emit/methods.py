"""The methods of an emitted class."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from netcompile.emit.code import Code, LayerCode, shape_text
from netcompile.emit.inference import Windowed, border_method, bordered_values, bordering, dispatch, size
from netcompile.emit.layout import WIDTH, lay_out, signature
from netcompile.emit.sections import sections
from netcompile.emit.text import doc_text
from netcompile.emit.unread import SETS, renamed, unread
from netcompile.ir.graph import Value
from netcompile.layers.source import string

_ITSELF = re.compile(r"(\w+) = \1( *#.*)?")  # what a layer without effect says of its own variable


@dataclass(frozen=True, slots=True)
class Method:
    """Lines of a method, and which of them, from 1, are each layer's."""

    lines: Sequence[str]
    spans: Mapping[int, tuple[int, int]]


def methods(
    codes: Sequence[Code],
    wanted: Mapping[str, Value],
    windowed: Windowed | None,
    inference: bool,
    titled: bool = False,
) -> list[Method]:
    """The methods behind ``__init__``; the layers' lines are told of the one that runs without gradients.

    If `titled`, comments in the method that users read say where a stage of the net begins.
    """
    literal, inputs = codes[0], codes[0].net.graph.inputs
    arguments = [literal.variables.named[entry.value] for entry in inputs]
    if not inference:
        return [_method("forward", arguments, literal, wanted, titled=titled)]
    result = _result(wanted)
    if windowed is None:
        own = size(literal, *arguments[:1])
        return [
            Method(dispatch(arguments, result), {}),
            _method("compute", arguments, literal, wanted, own, titled=titled),
        ]
    alone = next(iter(wanted)) if len(wanted) == 1 else ""
    image, borders = arguments[0], bordered_values(windowed, literal.net.graph)
    whole = _method("literal", arguments, literal, wanted, borders=borders)
    return [
        Method(dispatch(arguments, result, image, windowed.surrounds[0].base, alone), {}),
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
    titled: bool = False,
) -> Method:
    """A method that computes the wanted blobs, with statements to `begin` with, and `more` arguments.

    With `borders` it returns all by their names, and a call with `only_border` ends as soon as these are there.
    """
    blobs, named = code.net.graph.blobs, code.variables
    results = {blob: named.result(blobs[blob]) for blob in wanted}
    alone = next(iter(results.values())) if len(results) == 1 and borders is None else None
    typed = ["self", *(f"{each}: Tensor" for each in arguments), *more]
    result = _result(wanted)
    if borders is not None:
        typed.append("only_border: bool = False")
        result = "dict[str, Tensor]"
    body = signature(name, typed, result, 4) + [f"        {line}" for line in begin]
    missing = set((borders or {}).values())
    open_ = None if alone in arguments else alone  # the result's variable, until its type is told
    spans = {}
    layers, titles = _titled(code) if titled else (code.layers, {})
    told = [[line for line in commented(layer) if not _ITSELF.fullmatch(line)] for layer in layers]
    ends = [*results.values(), *(named.named[value] for value in (borders or {}).values())]
    idle = unread([statement for statements in told for statement in statements], ends)
    for place, (layer, statements) in enumerate(zip(layers, told, strict=True)):
        lines: list[str] = []
        body += [f"        # {titles[place]}"] if place in titles else []
        for statement in (renamed(statement, idle) for statement in statements):
            if open_ is not None and open_ in (targets := _targets(statement)):  # modules give Any
                if targets == [open_]:
                    statement = statement.replace(" = ", ": Tensor = ", 1)
                elif " = self." in statement or statement.count(" = ") > 1:
                    lines.append(f"        {open_}: Tensor")
                open_ = None
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


def _titled(code: Code) -> tuple[list[LayerCode], dict[int, str]]:
    """The layers, and a title for those at which a stage of the net begins.

    A shape that does not fit behind the last statement of a stage is told in the title of the next.
    """
    layers, nodes = list(code.layers), code.net.graph.nodes
    running = [place for place, layer in enumerate(layers) if layer.forward]
    names = [nodes[layers[place].nodes[0]].name for place in running]
    titles: dict[int, str] = {}
    for index, title in sections(names).items():
        place, title = running[index], doc_text(title)
        before = layers[running[index - 1]] if index else None
        top = nodes[layers[place].nodes[-1]].tops
        if before is not None and before.comment and not before.aside and not _fits(before) and top:
            layers[running[index - 1]] = replace(before, comment="")
            title += f": {shape_text(code.net, top[0])}"
        titles[place] = title
    return layers, titles


def _fits(layer: LayerCode) -> bool:
    """Whether a layer's comment fits behind its last statement."""
    return len(layer.forward[-1]) + len(layer.comment) + 12 <= WIDTH


def _targets(statement: str) -> list[str]:
    """The variables that a statement sets."""
    found = SETS.match(statement)
    return re.findall(r"\w+", found[0]) if found else []


def commented(layer: LayerCode) -> list[str]:
    """A layer's statements in ``forward``; the one that makes its result has the comment."""
    lines = list(layer.forward)
    at = next((i for i in reversed(range(len(lines))) if not lines[i].startswith("del ")), -1)
    if at < 0:
        return lines
    fits = not layer.aside or len(lines[at]) + len(layer.comment) + 12 <= WIDTH
    if layer.comment and "#" not in lines[at] and fits:
        lines[at] += f"  # {layer.comment}"
    return lines


def _result(wanted: Collection[str]) -> str:
    """The type of what a net with these outputs returns."""
    return "Tensor" if len(wanted) == 1 else "dict[str, Tensor]"


def _return(values: Mapping[str, str], indent: int) -> list[str]:
    return lay_out(f"return {{{', '.join(f'{string(key)}: {source}' for key, source in values.items())}}}", indent)


def spans_of(methods: Sequence[Method], before: int) -> dict[int, tuple[int, int]]:
    """The layers' lines in a file that has so many lines before the methods."""
    spans: dict[int, tuple[int, int]] = {}
    for method in methods:
        before += 1  # an empty line
        spans |= {index: (first + before, last + before) for index, (first, last) in method.spans.items()}
        before += len(method.lines)
    return spans
