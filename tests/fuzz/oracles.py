"""All oracles in one table, by layer type; for what has none, the layer itself, alone in a net at -O0."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from netcompile.prototxt.message import Message
from netcompile.prototxt.printer import to_text

FAMILIES = (
    "activation",
    "base",
    "constant",
    "dense",
    "elementwise",
    "forks_multibox",
    "forks_regions",
    "forks_ocr",
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


def oracle(type_name: str) -> Any:
    """What computes a layer type: its oracle in NumPy, or else its own code, against which other levels are held."""
    return ORACLES.get(type_name, by_itself)


def by_itself(message: Message, bottoms: list[Any], blobs: list[Any], train: bool) -> list[Any]:
    """The tops of a layer as its own code makes them, without optimisation and in float64."""
    from tests.layers.harness import run_text

    if not message.has("top"):
        return []
    inputs = dict(zip(message.all("bottom"), bottoms, strict=True))
    text = "".join(
        f'layer {{ name: "in {name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + "".join(f"dim: {d} " for d in value.shape)
        + "} } }\n"
        for name, value in inputs.items()
    )
    text += f"layer {{ {to_text(message)} }}\n"
    found = run_text(text, inputs, {str(message.get("name")): blobs}, level=0, train=train)
    return [found[top] for top in message.all("top")]
