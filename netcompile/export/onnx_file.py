"""ONNX files of exported programs, checked with ONNX Runtime against the emitted module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    from netcompile.export.sizes import Signature
    from netcompile.pipeline import Analysed

    Array = np.ndarray[Any, Any]

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET, OPSETS = 20, range(18, 24)  # the default; those that torch writes and ONNX Runtime reads
STEPS = 8  # of `write_onnx`
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


def require_opset(opset: int) -> None:
    """Raises NetError for an operator set that no file can be written in."""
    if opset not in OPSETS:
        raise NetError(
            Diagnostic(
                "usage",
                f"--opset {opset}: files are written in operator sets {OPSETS[0]} to {OPSETS[-1]}",
                why=f"torch knows no operators older than those of set {OPSETS[0]}"
                if opset < OPSETS[0]
                else f"the newest that torch writes and ONNX Runtime runs is {OPSETS[-1]}",
                remedy=f"--opset {min(max(opset, OPSETS[0]), OPSETS[-1])}",
            )
        )


def write_onnx(
    net: Analysed,
    module: Module,
    made: nn.Module,
    path: str,
    emitted: nn.Module | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int = OPSET,
    step: Callable[[], None] = lambda: None,
) -> Exported:
    """Write `made`, an instance of `module` with its weights, and check the file at five sizes.

    It is compared with `emitted` where that is another instance: at -O 2 the module packs weights and keeps results
    between calls, which no trace can hold, so what is written is the same net at -O 1. Inputs and outputs have the
    blobs' names; the dynamic extents are called N, H and W, and R for regions. `metadata` is kept in the file; `step`
    is called after each of `STEPS` steps. Raises NetError where the net cannot be exported, and where ONNX Runtime
    computes something else than the module.
    """
    from netcompile.export.program import export_program

    require_onnx()
    require_opset(opset)
    size = sum(t.numel() * t.element_size() for t in made.state_dict().values())
    if size > LARGEST:
        raise refused(
            net,
            "is too large for an ONNX file",
            why=f"its weights take {size / 2**30:.1f} GiB, and such a file holds less than 2",
        )
    step()
    exported = export_program(net, module, made)
    step()
    _convert(net, module, exported, path, dict(metadata or {}), opset)
    step()
    for _ in check_onnx(net, module, emitted or made, exported, path):
        step()
    return exported


def _convert(
    net: Analysed, module: Module, exported: Exported, path: str, metadata: dict[str, str], opset: int
) -> None:
    import torch

    from netcompile import __version__
    from netcompile.export.operators import TRANSLATIONS
    from netcompile.export.program import quiet, summary

    try:
        with quiet():
            program = torch.onnx.export(
                exported.program,
                (),
                custom_translation_table=TRANSLATIONS,
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise refused(net, "cannot be written as ONNX", why=summary(cause)) from None
    assert program is not None
    model = program.model
    name_blobs(model, [value.blob for value in module.inputs], module.outputs)
    _name_axes(model, exported)
    model.graph.name = net.name
    model.producer_name, model.producer_version = "netcompile", __version__
    model.metadata_props.update({"net": net.name, "netcompile": __version__, **metadata})
    program.save(path)


def name_blobs(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give inputs and outputs the blobs' names, and whatever else had one of these another."""
    import onnx_ir

    graph = model.graph
    for index, value in enumerate(graph.outputs):
        # What goes in and comes out as it is, or comes out twice, would have two names.
        if value.is_graph_input() or value.is_initializer() or value in graph.outputs[:index]:
            node = onnx_ir.Node("", "Identity", [value])
            node.outputs[0].shape, node.outputs[0].dtype = value.shape, value.dtype
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
    named = dict(zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True))
    taken = {*named.values(), *(value.name for value in _values(graph))}
    wanted = set(named.values())
    for value in _values(graph):
        if value.name in wanted and value not in named:
            value.name = _fresh(str(value.name), taken)
    for value in named:
        value.name = _fresh("blob", taken)  # one by one, names of two blobs may be each other's
    for value, name in named.items():
        value.name = name


def _values(graph: Any) -> list[Any]:
    """Everything in a graph that has a name."""
    made = [value for node in graph for value in node.outputs]
    return [*graph.inputs, *list(graph.initializers.values()), *made]


def _fresh(name: str, taken: set[str]) -> str:
    """A name that is not taken, and is from now on."""
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def _name_axes(model: Any, exported: Exported) -> None:
    """Call the symbols of the program N, H and W in the shapes that the file states."""
    import onnx_ir

    names: dict[str, str] = {}
    for value, node in zip(exported.signature.shapes, model.graph.inputs, strict=True):
        for index, extent in enumerate(node.shape):
            symbols = re.findall(r"[A-Za-z_]\w*", "" if isinstance(extent, int) else str(extent.value))
            if len(symbols) == 1:
                spatial = index > 1 and value in exported.signature.spatial
                wanted = "HW"[index - 2] if spatial else "R" if value in exported.signature.regions else "N"
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


def check_onnx(
    net: Analysed, module: Module, made: nn.Module, exported: Exported, path: str
) -> Iterator[tuple[int, int, int]]:
    """Compare ONNX Runtime with the module at five sizes, each told when done. Raises NetError at a difference."""
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has its own kinds for a file that it cannot read
        raise refused(net, "is not what ONNX Runtime can run", why=str(error).split("\n")[0]) from None
    for size, inputs in examples(exported.signature):
        with torch.no_grad():
            result = made(*inputs)
        expected = result if isinstance(result, dict) else {module.outputs[0]: result}
        feed = {value.blob: tensor.numpy() for value, tensor in zip(module.inputs, inputs, strict=True)}
        shapes = " and ".join("x".join(map(str, x.shape)) for x in inputs)
        try:
            found = session.run(list(expected), feed)
        except Exception as error:
            raise refused(net, "is not what ONNX Runtime can run", why=f"input {shapes}: {error}") from None
        for (blob, tensor), array in zip(expected.items(), found, strict=True):
            wrong = _difference(tensor, np.asarray(array))
            if wrong:
                raise refused(net, "is not what ONNX Runtime computes", why=f"input {shapes}, blob '{blob}': {wrong}")
        yield size


def examples(takes: Signature) -> Iterator[tuple[tuple[int, int, int], list[torch.Tensor]]]:
    """Inputs at five sizes: random numbers; regions lie on the first image, within a plane of 64 × 64 pixels."""
    import torch

    random = torch.Generator().manual_seed(0)
    for size in takes.five_sizes():
        inputs = []
        for value in takes.shapes:
            x = torch.randn(takes.shape(value, *size), generator=random)
            if value in takes.rows:
                x = x.abs() * 16
                x[:, 0] = 0
            inputs.append(x)
        yield size, inputs


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
