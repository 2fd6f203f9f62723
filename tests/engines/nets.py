"""Which engines the tests have, an engine of the tests' own, and small nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from netcompile.engines.catalogue import ENGINES
from netcompile.engines.engine import Engine, Session, Shapes

ENGINE = [
    pytest.param(engine.name, marks=pytest.mark.skipif(bool(engine.missing), reason=f"{engine.missing} not installed"))
    for engine in ENGINES
]
RELU = """\
name: "small"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
"""
ROWS = """\
name: "rows"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 4 dim: 2 } } }
layer { name: "pick" type: "Input" top: "pick" input_param { shape { dim: 4 } } }
layer { name: "filter" type: "Filter" bottom: "data" bottom: "pick" top: "some" }
"""


def numpy_engine(shift: float = 0.0, name: str = "numpy") -> Engine:
    """An engine that computes `RELU`, `shift` beside what is right."""

    def open_session(path: str, shapes: Shapes, threads: int, dtype: str = "float32") -> Session:
        def run(arrays: Sequence[Any]) -> list[Any]:
            return [np.maximum(arrays[0], 0) + np.float32(shift)]

        return run

    return Engine(name, "NumPy", "numpy", "numpy", open_session)
