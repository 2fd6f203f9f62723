"""Layers that a file writes alike, but for their names: they are one layer, which is read once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass

from netcompile.layers.base import Layer
from netcompile.layers.params import filler_mistake
from netcompile.prototxt.message import Message

_NAMES = frozenset(["name", "bottom", "top"])
_ANY_SHAPE = frozenset(["constant", "uniform", "gaussian", "xavier", "msra"])  # fillers that ask nothing of a blob
_OWN = "netcompile.layers."  # a plugin may look at whatever it likes


def text_of(message: Message) -> Hashable:
    """What a layer's class reads of it: its text without names, and which blobs are the same; None if it was made."""
    bottoms = message.all("bottom")
    blobs = (*bottoms, *message.all("top"))
    text = message.source.text
    parts = [text[e.name_start : e.value_end] for e in message.entries if e.field.name not in _NAMES]
    if message.start < 0 or "" in parts:
        return None
    return len(bottoms), tuple(map(blobs.index, blobs)), tuple(parts)


def stands_for_others(layer: Layer) -> bool:
    """Whether a layer can be that of others which are written alike: nothing in it is told by its place in the file."""
    if not type(layer).__module__.startswith(_OWN) or not is_dataclass(layer):
        return False
    values = [getattr(layer, each.name) for each in fields(layer)]
    values += [part for value in values if isinstance(value, tuple) for part in value]
    return all(_fills_anything(value) for value in values if isinstance(value, Message))


def _fills_anything(filler: Message) -> bool:
    return filler.type.name == "FillerParameter" and filler.get("type") in _ANY_SHAPE and not filler_mistake(filler, ())
