"""All oracles in one table, by layer type."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FAMILIES = (
    "activation",
    "base",
    "constant",
    "dense",
    "elementwise",
    "forks_multibox",
    "forks_regions",
    "forks_structured",
    "loss",
    "normalisation",
    "recurrent",
    "reducing",
    "shaping",
    "softmax",
    "spatial",
)

ORACLES: dict[str, Any] = {}
for family in FAMILIES:
    ORACLES.update(import_module(f"tests.oracles.{family}").ORACLES)
