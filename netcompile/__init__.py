"""netcompile: compiles Caffe prototxt networks to standalone PyTorch modules, without Caffe."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from netcompile.version import __version__

if TYPE_CHECKING:
    from netcompile import spec, surgery
    from netcompile.api import load
    from netcompile.diagnostics.diagnostic import NetError

__all__ = ["NetError", "__version__", "load", "spec", "surgery"]

# Where the other names are: imported when they are asked for, since torch takes a second and most commands need none.
_PLACES = {"NetError": "netcompile.diagnostics.diagnostic", "load": "netcompile.api"}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in __all__:
        return import_module(f"netcompile.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
