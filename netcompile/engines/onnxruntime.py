"""ONNX Runtime, on the CPU. One session serves every size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netcompile.engines.engine import Engine, Session, Shapes

if TYPE_CHECKING:
    from netcompile.array import Array


def open_session(path: str, shapes: Shapes, threads: int, dtype: str = "float32") -> Session:
    """The file, ready to run."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what it cannot do is raised as well
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(arrays: Sequence[Array]) -> list[Array]:
        try:
            found = session.run(None, dict(zip(names, arrays, strict=True)))
        except Exception as error:  # it has its own kinds
            raise RuntimeError(f"ONNX Runtime: {str(error).splitlines()[0]}") from None
        return [np.asarray(array) for array in found]

    return run


ONNXRUNTIME = Engine("onnxruntime", "ONNX Runtime", "onnxruntime", "onnx", open_session)
