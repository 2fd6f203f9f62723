"""netcompile: compiles Caffe prototxt networks to standalone PyTorch modules, without Caffe."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netcompile.api import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Imported when asked for: torch takes a second, `import netcompile` must take none.
    if name == "load":
        from netcompile.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
