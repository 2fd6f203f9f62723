"""netcompile: compiles Caffe prototxt networks to standalone PyTorch modules, without Caffe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netcompile.version import __version__

if TYPE_CHECKING:
    from netcompile.api import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    # Imported when it is asked for: torch takes a second, and most commands need none.
    if name == "load":
        from netcompile.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
