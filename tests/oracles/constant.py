"""Parameter, DummyData with constant fillers, HDF5Output in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from netcompile.prototxt.message import Message
from tests.oracles.activation import Oracle, decimal

Array = np.ndarray[Any, Any]


def _parameter(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return [blobs[0]]


def _dummy_data(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    s, found = p.get("dummy_data_param"), []

    def own(name: str, top: int) -> Any:
        values = s.all(name)
        return values[top if len(values) > 1 else 0]

    for top in range(len(p.all("top"))):
        if s.all("shape"):
            shape = own("shape", top).all("dim")
        else:
            shape = [own(name, top) for name in ("num", "channels", "height", "width")]
        filler = s.all("data_filler")
        found.append(np.full(shape, decimal(own("data_filler", top), "value") if filler else 0.0))
    return found


def _hdf5_output(p: Message, bottoms: list[Array], blobs: list[Array], train: bool) -> list[Array]:
    return []


ORACLES: dict[str, Oracle] = {"Parameter": _parameter, "DummyData": _dummy_data, "HDF5Output": _hdf5_output}
