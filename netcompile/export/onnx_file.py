"""ONNX files of exported programs, checked with ONNX Runtime against the emitted module."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from netcompile.export.sizes import refused
from netcompile.prototxt.diagnostic import Diagnostic, NetError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from netcompile.emit.module import Module
    from netcompile.export.program import Exported
    from netcompile.pipeline import Analysed

    Array = np.ndarray[Any, Any]

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # of the largest magnitude of an output
LARGEST = 2**31 - 1  # bytes of a protocol buffer, hence of an ONNX file with its weights inside


def require_onnx() -> None:
    """Raises NetError that says what to install, if anything is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise NetError(
            Diagnostic(
                "onnx-missing",
                f"ONNX files need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
                remedy='pip install "netcompile[onnx]"',
            )
        )


def write_onnx(net: Analysed, module: Module, made: nn.Module, path: str, emitted: nn.Module | None = None) -> Exported:
    """Write `made`, an instance of `module` with its weights, and check the file at five sizes.

    It is compared with `emitted` where that is another instance: at -O 2 the module packs weights and keeps results
    between calls, which no trace can hold, so what is written is the same net at -O 1.
    Inputs and outputs have the blobs' names; the dynamic extents are called N, H and W. Raises NetError where the net
    cannot be exported, and where ONNX Runtime computes something else than the module.
    """
    from netcompile.export.program import export_program

    require_onnx()
    size = sum(t.numel() * t.element_size() for t in made.state_dict().values())
    if size > LARGEST:
        raise refused(
            net,
            "is too large for an ONNX file",
            why=f"its weights take {size / 2**30:.1f} GiB, and such a file holds less than 2",
        )
    exported = export_program(net, module, made)
    _convert(net, module, exported, path)
    check_onnx(net, module, emitted or made, exported, path)
    return exported


def _convert(net: Analysed, module: Module, exported: Exported, path: str) -> None:
    import torch

    from netcompile.export.program import quiet, summary

    try:
        with quiet():
            program = torch.onnx.export(
                exported.program,
                (),
                input_names=[value.blob for value in module.inputs],
                output_names=list(module.outputs),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise refused(net, "cannot be written as ONNX", why=summary(cause)) from None
    assert program is not None
    _name_axes(program.model, exported)
    program.save(path)


def _name_axes(model: Any, exported: Exported) -> None:
    """Call the symbols of the program N, H and W in the shapes that the file states."""
    import onnx_ir

    names: dict[str, str] = {}
    for value, node in zip(exported.signature.shapes, model.graph.inputs, strict=True):
        for index, extent in enumerate(node.shape):
            symbols = re.findall(r"[A-Za-z_]\w*", "" if isinstance(extent, int) else str(extent.value))
            if len(symbols) == 1:
                wanted = "N" if index == 0 or value not in exported.signature.spatial else "HW"[index - 2]
                # Of a multiple only the factor is a symbol.
                names.setdefault(symbols[0], wanted if symbols[0] == str(extent.value) else f"{wanted}_")
    if not names:
        return
    pattern = re.compile(r"\b(" + "|".join(names) + r")\b")
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in values:
        for index, extent in enumerate(value.shape or ()):
            if not isinstance(extent, int) and extent.value is not None:
                text = pattern.sub(lambda found: names[found[1]], str(extent.value))
                value.shape[index] = onnx_ir.SymbolicDim(text)


def check_onnx(net: Analysed, module: Module, made: nn.Module, exported: Exported, path: str) -> None:
    """Compare ONNX Runtime with the module at five sizes. Raises NetError with the first difference."""
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    takes = exported.signature
    for size in takes.five_sizes():
        inputs = [torch.randn(takes.shape(value, *size), generator=random) for value in takes.shapes]
        with torch.no_grad():
            result = made(*inputs)
        expected = result if isinstance(result, dict) else {module.outputs[0]: result}
        feed = {value.blob: tensor.numpy() for value, tensor in zip(module.inputs, inputs, strict=True)}
        found = session.run(list(expected), feed)
        for (blob, tensor), array in zip(expected.items(), found, strict=True):
            wrong = _difference(tensor, np.asarray(array))
            if wrong:
                shapes = " and ".join("x".join(map(str, x.shape)) for x in inputs)
                raise refused(net, "is not what ONNX Runtime computes", why=f"input {shapes}, blob '{blob}': {wrong}")


def _difference(expected: torch.Tensor, found: Array) -> str:
    """What is wrong with `found`; "" if nothing is. Values that are not finite have to be the same."""
    import numpy as np

    wanted = expected.numpy()
    if wanted.shape != found.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], found[~finite], equal_nan=True):
        return "other values that are not finite"
    if not finite.any():
        return ""
    scale = float(np.abs(wanted[finite]).max()) or 1.0
    gap = float(np.abs(wanted[finite] - found[finite]).max()) / scale
    return "" if gap <= TOLERANCE else f"a difference of {gap:.1g} of the largest value"
