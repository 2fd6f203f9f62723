"""How a block is made: the names, types and defaults of the numbers that it is given."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.emit.names import Names
from netcompile.emit.repeats import COUNTS
from netcompile.emit.steps import Called, Chained, Outlined, Parameter

# Numbers of what a layer reads.
_TAKEN = ("in_channels", "num_features", "in_features", "num_parameters", "channels", "size")


@dataclass(frozen=True, slots=True)
class BlockSignature:
    """How a block is made: for each of its numbers a name, a type, and a default where there is one."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    defaults: tuple[str | None, ...]
    keywords: tuple[bool, ...]  # whether it is given by name

    def heads(self) -> list[str]:
        """The arguments of ``__init__``, those with a default last."""
        made = [
            f"{name}: {kind}" + (f" = {default}" if default is not None else "")
            for name, kind, default in zip(self.names, self.types, self.defaults, strict=True)
        ]
        return [made[index] for index in self.order()]

    def order(self) -> list[int]:
        """The numbers in the order of the arguments."""
        return sorted(range(len(self.names)), key=lambda i: (self.defaults[i] is not None, self.keywords[i], i))

    def call(self, name: str, numbers: Sequence[str]) -> str:
        """The source of a block with these numbers."""
        parts = []
        for index in self.order():
            if self.defaults[index] is not None and numbers[index] == self.defaults[index]:
                continue
            parts.append(f"{self.names[index]}={numbers[index]}" if self.keywords[index] else numbers[index])
        return f"{name}({', '.join(parts)})"


def signature_of_block(outlined: Outlined, number: int, inner: Sequence[str]) -> BlockSignature:
    """Names and types of a block's numbers, by what they are in it; `inner` are the names of its layers."""
    block, values = outlined.blocks[number], _values(outlined, number)
    places: list[list[tuple[int, str]]] = [[] for _ in block.holes]
    for index, step in enumerate(block.body.steps):
        for value, hole in zip(step.numbers, step.holes, strict=True):
            if isinstance(value, Parameter):
                places[value.index].append((index, hole.role))
    counts = [i for i, each in enumerate(places) if any(role in COUNTS for _, role in each)]
    first = [
        i
        for i in counts
        for at, role in places[i]
        if role in _TAKEN and block.body.steps[at].reads[:1] == block.body.inputs[:1]
    ]
    names = Names(frozenset())
    given: dict[int, str] = {}
    if first:
        given[first[0]] = names.fresh("channels")
    rest = [i for i in counts if i not in given]
    for i in counts:
        if i in given:
            continue
        makers = [at for at, role in places[i] if role in ("out_channels", "out_features")]
        word = "width" if len(rest) == 1 else inner[makers[0]] if makers else "channels"
        given[i] = names.fresh(word)
    words = Counter(hole.role for i, hole in enumerate(block.holes) if i not in given)
    for i, hole in enumerate(block.holes):
        if i in given:
            continue
        role = hole.role or "number"
        at = places[i][0][0] if places[i] else 0
        given[i] = names.fresh(role if words[hole.role] == 1 else f"{inner[at]}_{role}")
    defaults = [
        hole.default if hole.keyword and hole.default is not None and hole.default in values[i] else None
        for i, hole in enumerate(block.holes)
    ]
    return BlockSignature(
        tuple(given[i] for i in range(len(block.holes))),
        tuple(_type(each) for each in values),
        tuple(defaults),
        tuple(i not in counts or defaults[i] is not None for i in range(len(block.holes))),
    )


def _values(outlined: Outlined, number: int) -> list[set[str]]:
    """What a block's numbers are in all its calls, as far as these are no numbers of other blocks."""
    block = outlined.blocks[number]
    found: list[set[str]] = [set() for _ in block.holes]
    bodies = [outlined.main, *(b.body for b in outlined.blocks)]
    for place, body in enumerate(bodies):
        for step in body.steps:
            if isinstance(step.kind, (Called, Chained)) and step.kind.block == number:
                for index, value in enumerate(step.numbers[: len(found)]):
                    if isinstance(value, str):
                        found[index].add(value)
                    else:
                        found[index] |= _values(outlined, place - 1)[value.index]
    return found


def _type(values: set[str]) -> str:
    """The type of a number that has these values, as an annotation."""
    kinds = {_kind(ast.literal_eval(value)) for value in values} - {""}
    return " | ".join(sorted(kinds)) or "int"


def _kind(value: object) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return type(value).__name__
        case tuple():
            kinds = [_kind(part) for part in value]
            return f"tuple[{', '.join(kinds)}]"
        case list():
            kinds = sorted({_kind(part) for part in value})
            return f"list[{' | '.join(kinds)}]" if kinds else ""
    raise TypeError(value)
