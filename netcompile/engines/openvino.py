"""OpenVINO, on the CPU: compiled for the shapes that come mostly, and once more, for any, when others come."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from netcompile.engines.engine import Engine, Session, Shapes

if TYPE_CHECKING:
    from netcompile.array import Array


HINTS = {"float32": "f32", "bfloat16": "bf16"}


def open_session(path: str, shapes: Shapes, threads: int, dtype: str = "float32") -> Session:
    """The file, ready to run at these shapes.

    In float32 unless bfloat16 is asked for: by itself it would take that where the CPU has it. A CPU that has not
    computes in float32 all the same.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    usual = list(shapes.values())
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    given = [tuple(value.partial_shape) for value in model.inputs]
    fixed = all(extent.is_static for shape in given for extent in shape)
    compiled: dict[bool, Any] = {}
    lock = Lock()  # a request computes one thing at a time

    def request(others: bool) -> Any:
        if others not in compiled:
            made = model if others or fixed else model.clone()
            if not (others or fixed):
                made.reshape({index: list(shape) for index, shape in enumerate(usual)})
            compiled[others] = core.compile_model(made, "CPU", settings).create_infer_request()
        return compiled[others]

    def run(arrays: Sequence[Array]) -> list[Array]:
        with lock:
            others = not fixed and [array.shape for array in arrays] != usual
            try:
                asked = request(others)
                asked.infer(list(arrays))
                return [asked.get_output_tensor(index).data.copy() for index in range(len(model.outputs))]
            except Exception as error:
                raise RuntimeError(f"OpenVINO: {_reason(error)}") from None

    request(False)
    return run


def _reason(error: Exception) -> str:
    """The line of an error that says most: the first are places in OpenVINO's own files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from ", "Check "))]
    return (said or lines or [type(error).__name__])[0]


OPENVINO = Engine("openvino", "OpenVINO", "openvino", "openvino", open_session, tuple(HINTS))
