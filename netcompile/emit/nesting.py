"""Calls that belong together in one line: a convolution, its normalisation, its activation."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from netcompile.emit.code import LayerCode
from netcompile.emit.layout import WIDTH
from netcompile.emit.template import x
from netcompile.emit.unread import SETS

DEEPEST = 3  # layers in one line
INDENT = 8


def nested(layers: Sequence[LayerCode]) -> list[LayerCode]:
    """The layers with each that goes on with the result of the one before in that one's line, where it stays one."""
    found: list[LayerCode] = []
    for layer in layers:
        joined = _joined(found[-1], layer) if found and layer.open else None
        if joined is None:
            found.append(layer)
        else:
            found[-1] = joined
    return found


def _joined(before: LayerCode, layer: LayerCode) -> LayerCode | None:
    """Two layers as one statement; None where they are better left as they are."""
    if before.depth >= DEEPEST or not before.forward:
        return None
    target, equals, value = before.forward[-1].partition(" = ")
    if not equals or target != layer.reads or "#" in value or SETS.match(value):  # a = b = c has two targets
        return None
    at = layer.open.index(x(0))
    around = layer.open[at - 1], layer.open[at + len(x(0)) : at + len(x(0)) + 1]
    if (around[0] not in "( " or around[1] not in ("", ")", ",")) and not _is_primary(value):
        return None
    if around[0] == " " and not layer.open[:at].endswith((" = ", ", ")) and not _is_primary(value):
        return None
    line = layer.open.replace(x(0), value)
    kept = layer if layer.comment and (before.aside or not before.comment) else before
    if INDENT + len(line) > WIDTH:
        return None
    rest = [left for each in layer.forward[1:] if (left := _without(each, target))]
    return replace(
        before,
        nodes=(*before.nodes, *layer.nodes),
        init=(*before.init, *layer.init),
        forward=(*before.forward[:-1], line, *rest),
        functions=(*before.functions, *layer.functions),
        imports=(*before.imports, *layer.imports),
        weights=(*before.weights, *layer.weights),
        comment=kept.comment,
        aside=kept.aside,
        depth=before.depth + 1,
        pattern=None,
    )


def _without(statement: str, name: str) -> str:
    """A statement that does not forget a variable which is not there any more."""
    if not statement.startswith("del "):
        return statement
    names = [each for each in statement.removeprefix("del ").split(", ") if each != name]
    return f"del {', '.join(names)}" if names else ""


def _is_primary(source: str) -> bool:
    """Whether an expression can stand beside a dot or an operator as it is."""
    return isinstance(ast.parse(source, mode="eval").body, (ast.Call, ast.Attribute, ast.Subscript, ast.Name))
