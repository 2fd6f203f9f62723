"""All known layer types: the modules of this package, loaded when a net first asks for one of their types, and plugins.

Which module has which type is read off the modules' ``@layer("Type", …)`` lines, so a new type is a class and nothing
else. A plugin is an entry point of the group ``netcompile.layers`` that names a module; importing the module registers
its classes with `@layer`.
"""

from __future__ import annotations

import os
import re
from functools import cache

from netcompile.layers import base
from netcompile.layers.base import Arity, Layer

_DECORATOR = re.compile(rb"^@layer\(([^)]*)\)", re.MULTILINE)
_NAME = re.compile(rb"\"(\w+)\"")


@cache
def _modules() -> tuple[str, ...]:
    """Names of the modules that may define layers, BVLC Caffe's before its forks'."""
    here = os.path.dirname(__file__)
    names = sorted(name[:-3] for name in os.listdir(here) if name.endswith(".py") and name[0] != "_")
    return tuple(sorted(names, key=lambda name: name.startswith("fork")))


@cache
def _index() -> dict[str, str]:
    """Layer type → module, without importing any."""
    here = os.path.dirname(__file__)
    found: dict[str, str] = {}
    for module in _modules():
        with open(os.path.join(here, f"{module}.py"), "rb") as file:
            for decorator in _DECORATOR.findall(file.read()):
                for name in _NAME.findall(decorator):
                    found.setdefault(name.decode(), module)
    return found


@cache
def _load(module: str) -> None:
    from importlib import import_module

    import_module(f"netcompile.layers.{module}")


@cache
def load() -> dict[str, type[Layer]]:
    """Every type of this package by name, those of Caffe's forks included."""
    for module in _modules():
        _load(module)
    return base._REGISTRY


@cache
def _plugins() -> None:
    from importlib.metadata import entry_points

    for point in entry_points(group="netcompile.layers"):
        point.load()


def layer_class(name: str) -> type[Layer] | None:
    """The class of a layer type, None if nobody has it: Caffe's own types first, then its forks', then plugins'."""
    found = base._REGISTRY.get(name)
    if found is None and name in _index():
        _load(_index()[name])
        found = base._REGISTRY.get(name)
    if found is None:
        found = load().get(name)
    if found is None:
        _plugins()
        found = base._REGISTRY.get(name)
    return found


def near_types(name: str) -> list[str]:
    """Known types spelt much like `name`."""
    from difflib import get_close_matches

    known = {known_name.lower(): known_name for known_name in load()}
    return [known[match] for match in get_close_matches(name.lower(), known, 3)]


def unknown_class(name: str) -> type[Layer]:
    """A class that stands for an unknown layer (``--allow-unknown``); its code raises where it is reached."""
    from netcompile.layers.unknown import Unknown

    return type(f"Unknown_{name}", (Unknown,), {"type": name, "__slots__": (), "arity": Arity((0, None), (0, None))})
