"""netcompile: compiles Caffe prototxt networks to standalone PyTorch modules, without Caffe."""

from __future__ import annotations

from netcompile.api import load
from netcompile.version import __version__

__all__ = ["__version__", "load"]
