"""ONNX files of exported programs, checked with ONNX Runtime against the emitted module."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from netcompile.analyser import Analysed
from netcompile.analysis.outputs import output_kinds
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import shape_text
from netcompile.emit.module import EmittedModule
from netcompile.export.onnx_model import name_axes, name_blobs, tidy
from netcompile.export.portable import Portable
from netcompile.export.sizes import Signature, place, refused
from netcompile.files.look import about
from netcompile.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

    from netcompile.array import Array
    from netcompile.export.program import Exported

WRITING = ("onnx", "onnxscript")  # packages that write a file
PACKAGES = (*WRITING, "onnxruntime")
OPSET, OPSETS = 20, range(18, 24)  # the default; those that torch writes and ONNX Runtime reads
STEPS = 8  # of `write_onnx`
TOLERANCE = 1e-4  # of the largest magnitude of an output
FEW = 1e-3  # labels of which rounding may decide, as a share
LARGEST = 2**31 - 1  # bytes of a protocol buffer, hence of an ONNX file with its weights inside


def require_onnx(packages: Sequence[str] = PACKAGES) -> None:
    """Raises NetError that says what to install, if any of these packages is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        what = f"ONNX files need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        refuse("onnx-missing", what, remedy='pip install "netcompile[onnx]"')


def require_opset(opset: int) -> None:
    """Raises NetError for an operator set that no file can be written in."""
    first, last = OPSETS[0], OPSETS[-1]
    if opset < first:
        why, nearest = f"torch knows no operators older than those of set {first}", first
    elif opset > last:
        why, nearest = f"the newest that torch writes and ONNX Runtime runs is {last}", last
    else:
        return
    what = f"--opset {opset}: files are written in operator sets {first} to {last}"
    refuse("usage", what, why=why, remedy=f"--opset {nearest}")


def write_onnx(
    net: Analysed,
    portable: EmittedModule | Portable,
    made: nn.Module,
    path: str,
    emitted: nn.Module | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int = OPSET,
    step: Callable[[], None] = lambda: None,
) -> Exported:
    """Write `made`, an instance of the net's module with its weights, and check the file at five sizes.

    It is compared with `emitted` where that is another instance: at -O 2 the module that is built computes by
    algorithms of its own, which other engines would not take for a convolution. Inputs and outputs have the
    blobs' names; the dynamic extents are called N, H and W, and R for regions. `metadata` is kept in the file; `step`
    is called after each of `STEPS` steps. Raises NetError where the net cannot be exported, and where ONNX Runtime
    computes something else than the module.
    """
    require_onnx()
    require_opset(opset)
    size = bytes_of(made)
    if size > LARGEST:
        why = f"its weights take {size / 2**30:.1f} GiB, and such a file holds less than 2"
        raise refused(net, "is too large for an ONNX file", why=why)
    exported, renamed = convert_onnx(net, portable, made, path, metadata, opset, step)
    exported = replace(exported, limits=(*exported.limits, *renamed))
    module = portable.module if isinstance(portable, Portable) else portable
    apart = check_onnx(net, module, emitted or made, exported, path, step)
    if apart:
        what = f"{net.name}: {len(apart)} of the sizes to compare at are none for the module either"
        remark = Diagnostic("export", what, place(net), why=apart[0], severity="warning")
        return replace(exported, limits=(*exported.limits, remark))
    return exported


def convert_onnx(
    net: Analysed, portable: EmittedModule | Portable, made: nn.Module, path: str,
    metadata: Mapping[str, str] | None = None, opset: int = OPSET, step: Callable[[], None] = lambda: None,
) -> tuple[Exported, tuple[Diagnostic, ...]]:  # fmt: skip
    """Write `made`, an instance of the net's module with its weights, and compare nothing.

    Returns the program, and remarks on outputs that could not have their own names. Weights of more than 2 GiB come to
    lie in a second file beside it. Raises NetError where the net cannot be exported.
    """
    from netcompile.export.program import export_program

    step()
    exported = export_program(net, portable, made)
    step()
    module = portable.module if isinstance(portable, Portable) else portable
    renamed = _convert(net, module, exported, path, dict(metadata or {}), opset)
    step()
    return exported, renamed


def bytes_of(made: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in made.state_dict().values())


def image_metadata(images: Mapping[str, Mapping[str, Any] | None]) -> dict[str, str]:
    """What images go through, as a file's metadata: keys with the input's name in front where there are several.

    `images` are the preparations of a build's manifest.
    """
    found = {}
    for name, fields in images.items():
        if fields is None:
            continue
        start = f"{name}." if len(images) > 1 else ""
        found[f"{start}mean"] = ",".join(f"{value:.9g}" for value in fields["mean"])
        found[f"{start}scale"] = f"{fields['scale']:.9g}"
        found[f"{start}order"] = fields["order"]
        if "mean_image" in fields:
            found[f"{start}mean_image"] = fields["mean_image"]
    return found


def class_metadata(names: Sequence[str]) -> dict[str, str]:
    """The classes' names as a file's metadata: a JSON list, in the order of their numbers."""
    return {"classes": json.dumps(list(names), ensure_ascii=False)} if names else {}


def _convert(
    net: Analysed, module: EmittedModule, exported: Exported, path: str, metadata: dict[str, str], opset: int
) -> tuple[Diagnostic, ...]:
    """Write the file; returns which outputs could not have their own names in it."""
    try:
        program = onnx_program(exported.program, opset)
    except NotWritten as error:
        raise refused(net, "cannot be written as ONNX", why=str(error)) from None
    model = program.model
    others = name_blobs(model, [value.blob for value in module.inputs], module.outputs)
    name_axes(model, exported)
    model.graph.name = net.name
    model.producer_name, model.producer_version = "netcompile", __version__
    model.metadata_props.update({"net": net.name, "netcompile": __version__, **metadata})
    with about(path):
        program.save(path)
    why = "an input has its name, and there a name stands for one thing"
    called = [f"output '{blob}' is called '{name}' in the ONNX file" for blob, name in others.items()]
    return tuple(Diagnostic("export", what, place(net), why=why, severity="warning") for what in called)


class NotWritten(Exception):
    """An exported program that ONNX cannot express, and why."""


def onnx_program(program: ExportedProgram, opset: int = OPSET) -> ONNXProgram:
    """A program as ONNX, its constants computed. Raises NotWritten."""
    import torch

    from netcompile.export.operators import TRANSLATIONS
    from netcompile.export.program import quiet, summary

    try:
        with quiet():
            made = torch.onnx.export(
                program,
                (),
                custom_translation_table=TRANSLATIONS,
                opset_version=opset,
                dynamo=True,
                verbose=False,
                optimize=False,  # it takes a small number, such as the 1e-9 below a root, for 0
            )
            assert made is not None
            tidy(made.model)
    except torch.onnx.errors.OnnxExporterError as error:
        raise NotWritten(summary(error.__cause__ or error)) from None
    return made


def check_onnx(
    net: Analysed,
    module: EmittedModule,
    made: nn.Module,
    exported: Exported,
    path: str,
    step: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Compare ONNX Runtime with the module at five sizes, `step` being called after each.

    Returns why not at all five: where a mask leads beyond its plane, say, the module computes nothing either. Raises
    NetError with the first difference, and where nothing could be compared.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has its own kinds for a file that it cannot read
        raise refused(net, "is not what ONNX Runtime can run", why=str(error).split("\n")[0]) from None
    takes = exported.signature
    refusals: list[str] = []
    five = takes.five_sizes()
    for number, size in enumerate((*five, takes.declared_size()), 1):
        if number > len(five) > len(refusals):
            break
        example = random_example(made, takes, size)
        if isinstance(example, str):
            refusals.append(example)
        else:
            _compare(net, module, session, *example)
        if number <= len(five):
            step()
    if len(refusals) > len(five):
        raise refused(net, "cannot be compared with ONNX Runtime: the module itself computes nothing", why=refusals[-1])
    return tuple(refusals)


def random_example(
    made: nn.Module, takes: Signature, size: tuple[int, int, int]
) -> tuple[list[torch.Tensor], torch.Tensor | dict[str, torch.Tensor]] | str:
    """Random inputs and what the module makes of them, or why it makes nothing.

    Regions lie on the first image. Where numbers must be small and positive, as places in a plane, these are tried.
    """
    import torch

    random = torch.Generator().manual_seed(sum(size))
    why = ""
    for draw in (torch.randn, torch.rand):
        inputs = []
        for value in takes.shapes:
            x = draw(takes.shape(value, *size), generator=random)
            inputs.append(torch.cat((torch.zeros(len(x), 1), 16 * x[:, 1:].abs()), 1) if value in takes.rows else x)
        try:
            with torch.no_grad():
                return inputs, made(*inputs)
        except (RuntimeError, IndexError) as error:
            why = f"input {_shapes(inputs)}: {str(error).splitlines()[0]}"
    return why


def _shapes(inputs: Sequence[torch.Tensor]) -> str:
    return " and ".join(shape_text(x.shape) for x in inputs)


def _compare(
    net: Analysed,
    module: EmittedModule,
    session: Any,
    inputs: list[torch.Tensor],
    result: torch.Tensor | dict[str, Any],
) -> None:
    """Raises NetError where ONNX Runtime computes something else from these inputs."""
    import numpy as np

    feed = {value.blob: tensor.numpy() for value, tensor in zip(module.inputs, inputs, strict=True)}
    shapes = _shapes(inputs)
    try:
        found = session.run(None, feed)
    except Exception as error:
        why = f"input {shapes}: {str(error).splitlines()[0]}"
        raise refused(net, "is not what ONNX Runtime can run", why=why) from None
    wrong = difference(jumping(net), module.outputs, result, [np.asarray(array) for array in found], TOLERANCE)
    if wrong:
        raise refused(net, "is not what ONNX Runtime computes", why=f"input {shapes}, {wrong}")


def difference(
    kinds: Mapping[str, str], outputs: Sequence[str], result: torch.Tensor | dict[str, Any], found: Sequence[Array],
    tolerance: float = TOLERANCE,
) -> str:  # fmt: skip
    """What is wrong with the outputs found against those of the module, of the first that is wrong; "" if none is.

    `kinds` are as `jumping` gives them, `tolerance` is a share of each output's largest magnitude.
    """
    expected = result if isinstance(result, dict) else {outputs[0]: result}
    for (blob, tensor), array in zip(expected.items(), found, strict=True):
        wrong = DIFFERENCES[kinds.get(blob, "")](tensor.numpy(), array, tolerance)
        if wrong:
            return f"blob '{blob}': {wrong}"
    return ""


def jumping(net: Analysed) -> dict[str, str]:
    """Outputs whose values jump where two scores are all but equal: "labels", or "rows", whose number jumps too."""
    found = {blob: kind for blob, kind in output_kinds(net.graph).items() if kind == "labels"}
    sized = {top for node in net.graph.nodes if node.layer.sized_by_values for top in node.tops}
    return found | {blob: "rows" for blob, value in net.graph.blobs.items() if value in sized}


def _other_labels(wanted: Array, found: Array, tolerance: float = TOLERANCE) -> str:
    """What is wrong with labels; a few may be others, where rounding decides between two scores."""
    if wanted.shape != found.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    share = float((wanted != found).mean())
    return "" if share <= FEW * tolerance / TOLERANCE else f"{share:.2g} of the labels differ"


def _other_rows(wanted: Array, found: Array, tolerance: float = TOLERANCE) -> str:
    """What is wrong with rows of numbers; a few may come or go, or change places, where rounding decides."""
    import numpy as np

    width = found.shape[-1]
    wanted, given = wanted.reshape(-1, width), found.reshape(-1, width)
    least = tolerance * np.maximum(np.abs(wanted).max(axis=0, initial=0), 1)
    lone = sum(not bool((np.abs(given - row) <= least).all(axis=1).any()) for row in wanted)
    lone += abs(len(given) - len(wanted))
    return (
        "" if lone <= 10 * FEW * tolerance / TOLERANCE * len(wanted) else f"{lone} of {len(wanted)} rows have no equal"
    )


def _difference(wanted: Array, found: Array, tolerance: float = TOLERANCE) -> str:
    """What is wrong with `found`; "" if nothing is. Values that are not finite have to be the same."""
    import numpy as np

    if wanted.shape != found.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], found[~finite], equal_nan=True):
        return "other values that are not finite"
    if not finite.any():
        return ""
    scale = float(np.abs(wanted[finite]).max()) or 1.0
    gap = float(np.abs(wanted[finite] - found[finite]).max()) / scale
    return "" if gap <= tolerance else f"a difference of {gap:.1g} of the largest value"


DIFFERENCES: dict[str, Callable[[Array, Array, float], str]] = {
    "": _difference,
    "labels": _other_labels,
    "rows": _other_rows,
}
