"""Few nets that have every kind of layer between them, where each net costs much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netcompile.prototxt.load import load_net
from netcompile.prototxt.message import Message
from netcompile.prototxt.recognise import open_source

Kind = tuple[object, ...]


def kinds(path: Path | str) -> set[Kind]:
    """The layers of a net, each as its type and the fields that it has."""
    found = set[Kind]()
    for layer in load_net(open_source(path)).net.all("layer"):
        groups = [entry.value for entry in layer.entries if isinstance(entry.value, Message)]
        fields = {entry.field.name for group in groups for entry in group.entries}
        found.add((layer.get("type"), *sorted(fields)))
    return found


def covering(nets: Mapping[str, Path]) -> list[str]:
    """The names of some nets in which every kind of layer of all of them is."""
    each = {name: kinds(path) for name, path in nets.items()}
    left, chosen = set[Kind]().union(*each.values()), []
    while left:
        best = max(each, key=lambda name: len(each[name] & left))
        left -= each[best]
        chosen.append(best)
    return chosen
