"""Statements of a block's ``forward``: with their numbers, with what is forgotten, with what is returned."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from netcompile.emit.code import LayerCode
from netcompile.emit.template import Line


def written(lines: Sequence[Line], numbers: Sequence[str]) -> list[str]:
    """Statements with their numbers."""
    found, done = [], 0
    for line in lines:
        count = len(line.holes)
        found.append(line.written(numbers[done : done + count]))
        done += count
    return found


def dropping(layers: Sequence[LayerCode], names: Collection[str]) -> list[LayerCode]:
    """The layers, each of these variables forgotten behind the last that reads it; not behind the last of all."""
    found = list(layers)
    gone = set[str]()
    for index in reversed(range(len(found))):
        read = {name for line in found[index].forward for name in re.findall(r"(?<![\w.])\w+", line)}
        ended = [name for name in names if name in read - gone]
        gone.update(ended)
        if ended and index + 1 < len(found) and not any(_sets(found[index], name) for name in ended):
            line = f"del {', '.join(sorted(ended))}"
            found[index] = replace(found[index], forward=(*found[index].forward, line))
    return found


def _sets(layer: LayerCode, name: str) -> bool:
    return any(name in line.partition(" = ")[0].split(", ") for line in layer.forward)


def returning(layers: Sequence[LayerCode], result: str) -> list[LayerCode]:
    """Statements of which the last returns the result, if it makes it and PyTorch's types say that it is a tensor."""
    found = list(layers)
    if not found:
        return found
    last = found[-1].forward[-1]
    if last.startswith((f"{result} = F.", f"{result} = torch.")):
        found[-1] = replace(found[-1], forward=(*found[-1].forward[:-1], f"return {last.removeprefix(f'{result} = ')}"))
        return found
    for index, layer in enumerate(found):
        for line, text in enumerate(layer.forward):
            if text.startswith(f"{result} = "):
                typed = text.replace(" = ", ": Tensor = ", 1)
                forward = (*layer.forward[:line], typed, *layer.forward[line + 1 :])
                found[index] = replace(layer, forward=forward)
                return found
    return found
