"""A net with other names: every net, layer, blob and parameter of a text, and the weights that belong to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.surgery.blobs import write_weights

PLACES = ("net", "layer", "blob", "param")
AUTOMATIC = "(automatic)"
_PART = re.compile(
    r'(?P<section>\w+)\s*:?\s*\{|(?P<end>\})|(?P<comment>#[^\n]*)|(?P<field>\w+)\s*:\s*(?P<value>"(?:[^"\\]|\\.)*")'
)
_BLOBS = ("bottom", "top", "input")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a name stands in a text, quotes included, and what it names: one of PLACES; escapes stay in it."""

    start: int
    end: int
    place: str
    name: str


def spots(text: str) -> list[Spot]:
    """Every name of a net."""
    found, inside = [], list[str]()
    for match in _PART.finditer(text):
        field = match["field"]
        if match["section"]:
            inside.append(match["section"])
        elif match["end"]:
            inside.pop()
        elif field is not None and (place := _place(field, inside)):
            found.append(Spot(*match.span("value"), place, match["value"][1:-1]))
    return found


def _place(field: str, inside: list[str]) -> str:
    if field in _BLOBS and (not inside or inside[-1] in ("layer", "layers")):
        return "blob"
    if field == "param" and inside[-1:] == ["layers"]:
        return "param"
    if field != "name":
        return ""
    return "net" if not inside else {"layer": "layer", "layers": "layer", "param": "param"}.get(inside[-1], "")


def quoted(name: str, all_escaped: bool = False) -> str:
    """A literal of protobuf's text format."""
    if all_escaped:
        return '"' + "".join(f"\\{byte:03o}" for byte in name.encode()) + '"'
    plain = "".join(f"\\{ord(c):03o}" if c in '"\\' or c < " " or c == "\x7f" else c for c in name)
    return f'"{plain}"'


Renaming = Mapping[tuple[str, str], str]  # place and old name → new name


def rename(text: str, renaming: Renaming, all_escaped: bool = False) -> str:
    """The text with other names."""
    parts, done = [], 0
    for spot in spots(text):
        new = renaming.get((spot.place, spot.name))
        if new is None:
            continue
        parts += [text[done : spot.start], quoted(new, all_escaped)]
        done = spot.end
    return "".join([*parts, text[done:]])


def rename_weights(source: Path, target: Path, renaming: Renaming) -> None:
    """The caffemodel with the layers' new names."""
    weights: dict[str, tuple[object, ...]] = {}
    types = {}
    for layer in read_caffemodel(source).layers:
        name = renaming.get(("layer", layer.name), layer.name)
        if name in weights:
            raise ValueError(f"two layers of {source} are called {layer.name!r}")
        weights[name] = tuple(blob and blob.array() for blob in layer.blobs)
        types[name] = layer.type
    write_weights(target, weights, types=types)  # type: ignore[arg-type]


def drawn(text: str, payloads: tuple[str, ...], random: Random, places: tuple[str, ...] = PLACES) -> Renaming:
    """Other names for everything in `places`: as many as there are, so that no two become one."""
    olds = list(dict.fromkeys((spot.place, spot.name) for spot in spots(text) if spot.name and spot.name != AUTOMATIC))
    found: dict[tuple[str, str], str] = {}
    for place in places:
        mine = [old for old in olds if old[0] == place]
        kept = {name for where, name in olds if where == place} | {AUTOMATIC}
        choices = [name for name in payloads if name not in kept and (name or place != "param")]
        found.update(zip(mine, random.sample(choices, len(mine)), strict=True))
    return found
