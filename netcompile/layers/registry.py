"""All known layer types: the modules of this package, loaded when a net first asks for one of their types, and plugins.

Which module has which type is read off the modules' ``@layer("Type", …)`` lines, so a new type is a class and nothing
else. A plugin is an entry point of the group ``netcompile.layers`` that names a module; importing the module registers
its classes with `@layer`.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module

from netcompile.diagnostics.nearest import nearest
from netcompile.layers import base
from netcompile.layers.base import Arity, Layer
from netcompile.layers.unknown import Unknown
from netcompile.prototxt.message import Message


@cache
def _modules() -> tuple[str, ...]:
    """Names of the modules that may define layers, BVLC Caffe's before its forks'."""
    here = os.path.dirname(__file__)
    names = sorted(name[:-3] for name in os.listdir(here) if name.endswith(".py") and name[0] != "_")
    return tuple(sorted(names, key=lambda name: name.startswith("fork")))


@cache
def _module_of(type_name: str) -> str | None:
    """The module that defines a layer type, without importing any; modules behind it are not even read."""
    for module in _modules():
        if type_name in _types(module):
            return module
    return None


@cache
def _types(module: str) -> frozenset[str]:
    """The layer types that a module says it defines, one ``@layer`` at the beginning of a line for each class."""
    with open(os.path.join(os.path.dirname(__file__), f"{module}.py"), "rb") as file:
        chunks = file.read().split(b"\n@layer(")[1:]
    return frozenset(name.decode() for chunk in chunks for name in chunk[: chunk.index(b")")].split(b'"')[1::2])


@cache
def _load(module: str) -> None:

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
    module = _module_of(name) if found is None else None
    if module is not None:
        _load(module)
        found = base._REGISTRY.get(name)
    if found is None:
        found = load().get(name)
    if found is None:
        _plugins()
        found = base._REGISTRY.get(name)
    return found


def class_of(message: Message) -> type[Layer] | None:
    """The class of the layer that a `LayerParameter` describes: the one of its type.

    For a Python layer it is the one registered as ``@layer("Python:module.Class")`` for the module and class that it
    names, here or in a plugin; without one, that of all Python layers. One without bottoms becomes an input whatever
    its code does, so plugins, which take long to look for, are not asked for it.
    """
    name = str(message.get("type") or "")
    if name == "Python":
        code = message.get("python_param")
        own = f"Python:{code.get('module')}.{code.get('layer')}"
        if own in base._REGISTRY or _module_of(own) is not None or message.has("bottom"):
            found = layer_class(own)
            if found is not None:
                return found
    return layer_class(name) if ":" not in name else None  # no type of a file is called so


def near_types(name: str) -> list[str]:
    """Known types of which `name` is most likely a misspelling."""
    return nearest(name, (known for known in load() if ":" not in known), 3, 0.85)


def unknown_class(name: str) -> type[Layer]:
    """A class that stands for an unknown layer (``--allow-unknown``); its code raises where it is reached."""

    return type(f"Unknown_{name}", (Unknown,), {"type": name, "__slots__": (), "arity": Arity((0, None), (0, None))})
