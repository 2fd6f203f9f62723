"""Layers that no prototxt has: passes put them into a graph."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

L = TypeVar("L")


def as_kind(kind: type[L], layer: Any, **changes: object) -> L:
    """A layer as one of a class that is derived from its own, with some fields changed."""
    return kind(**{field.name: getattr(layer, field.name) for field in fields(layer)} | changes)
