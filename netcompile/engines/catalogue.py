"""The engines there are, besides torch, which computes the module itself."""

from __future__ import annotations

from netcompile.engines.engine import Engine
from netcompile.engines.onnxruntime import ONNXRUNTIME
from netcompile.engines.openvino import OPENVINO

ENGINES: tuple[Engine, ...] = (ONNXRUNTIME, OPENVINO)
TORCH, AUTO = "torch", "auto"
CHOICES = (TORCH, *(engine.name for engine in ENGINES), AUTO)  # of ``--engine``


def engine_called(name: str) -> Engine:
    """The engine of that name, which is none of `TORCH` and `AUTO`."""
    return next(engine for engine in ENGINES if engine.name == name)


def available() -> tuple[Engine, ...]:
    """Those that are installed."""
    return tuple(engine for engine in ENGINES if engine.installed)
