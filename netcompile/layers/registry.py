"""All known layer types: the built-in families, loaded when first asked for, and installed plugins.

A plugin is an entry point of the group ``netcompile.layers`` that names a module; importing the module registers its
classes with `@layer`.
"""

from __future__ import annotations

from functools import cache

from netcompile.layers import base
from netcompile.layers.base import Arity, Layer

# One module per family. A new family is one line here; a new type in a family is one class there.
FAMILIES = (
    "data",
    "convolution",
    "pooling",
    "activation",
    "arithmetic",
    "elementwise",
    "normalisation",
    "shaping",
    "reshaping",
    "reducing",
    "spatial",
    "constant",
    "crop",
    "dense",
    "softmax",
    "loss",
    "recurrent",
)


@cache
def load() -> dict[str, type[Layer]]:
    """Every registered type by name; imports the families, and the plugins that are installed."""
    from importlib import import_module
    from importlib.util import find_spec

    for family in FAMILIES:
        if find_spec(f"netcompile.layers.{family}") is not None:
            import_module(f"netcompile.layers.{family}")
    return base._REGISTRY


@cache
def load_forks() -> dict[str, type[Layer]]:
    """Every type, those of Caffe's forks included; most nets need none of them, so they are loaded when one asks."""
    from importlib import import_module

    import_module("netcompile.layers.forks")
    return load()


@cache
def _plugins() -> None:
    from importlib.metadata import entry_points

    for point in entry_points(group="netcompile.layers"):
        point.load()


def layer_class(name: str) -> type[Layer] | None:
    """The class of a layer type, None if nobody has it: Caffe's own types first, then its forks', then plugins'."""
    found = load().get(name) or load_forks().get(name)
    if found is None:
        _plugins()
        found = load().get(name)
    return found


def near_types(name: str) -> list[str]:
    """Known types spelt much like `name`."""
    from difflib import get_close_matches

    known = {known_name.lower(): known_name for known_name in load_forks()}
    return [known[match] for match in get_close_matches(name.lower(), known, 3)]


def unknown_class(name: str) -> type[Layer]:
    """A class that stands for an unknown layer (``--allow-unknown``); its code raises where it is reached."""
    from netcompile.layers.unknown import Unknown

    return type(
        f"Unknown_{name}", (Unknown,), {"type": name, "__slots__": (), "arity": Arity((0, None), (0, None))}
    )
