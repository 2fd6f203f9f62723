"""A build in an engine: by its own ONNX file, or by one that is traced from its module at the declared shapes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.engines.catalogue import AUTO, TORCH, engine_called
from netcompile.engines.choice import asked_for, elsewhere, fallback, fastest
from netcompile.engines.kept import case
from netcompile.engines.model import Example, Model, place_for
from netcompile.engines.plans import planned, require_level, require_torch, several
from netcompile.export.onnx_file import NotWritten, bytes_of, onnx_program
from netcompile.export.onnx_model import name_blobs
from netcompile.files.limits import require_memory
from netcompile.files.look import about
from netcompile.prelude.inference import freeze
from netcompile.runtime.execute import DTYPES
from netcompile.runtime.loaded import Loaded, onnx_of_build

REMEDY = "netcompile build NET --weights F --onnx -o DIR writes an ONNX file beside the module"


def build_in(
    folder: str, loaded: Loaded, engine: str, device: str = "cpu", dtype: str = "float32", tune: float | None = None,
    images: int | None = None, frozen: bool = True,
) -> tuple[Loaded, str, tuple[Diagnostic, ...]]:  # fmt: skip
    """The build of a folder in an engine; the engine that computes it, and notes. Raises NetError, OSError.

    `tune`, `images` and `frozen` as `engines.compiled.Wanted` has them.
    """
    if frozen:
        freeze(loaded.net)
    if tune is not None:
        require_torch(engine)
        net, inputs = plannable(loaded, dtype)
        found = planned(net, loaded.name, several(net, inputs, images), tune, device=device)
        return loaded, TORCH, found.notes
    if engine == TORCH:
        return loaded, TORCH, ()
    limits: list[Diagnostic] = []
    if engine == AUTO:
        reason = _reason_for_torch(loaded, device, dtype)
        if reason is not None:
            return loaded, TORCH, (reason,)
        here = case(loaded.name, loaded.identity, dict(loaded.inputs), torch.get_num_threads())
        chosen = fastest(here, lambda: loaded.net, lambda: model_of_build(folder, loaded), lambda: _drawn(loaded))
    else:
        engine_called(engine).require(device, dtype)
        chosen = asked_for(engine, lambda: model_of_build(folder, loaded, limits), lambda: limits, dtype)
    if chosen.engine == TORCH:
        return loaded, TORCH, chosen.notes
    identity = f"{loaded.identity} {chosen.engine}"
    return replace(loaded, net=chosen.net, identity=identity), chosen.engine, chosen.notes


def plannable(loaded: Loaded, dtype: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """The build's module in a type of numbers, and drawn inputs. Raises NetError where it leaves nothing to choose."""
    require_level(loaded.name, loaded.level)
    example = next(_examples(loaded))
    if isinstance(example, str):
        raise NetError(Diagnostic("tune", f"{loaded.name} does not compute with drawn inputs", why=example))
    drawn = [x.to(DTYPES[dtype]) for x in example[0]]
    return loaded.net.to(DTYPES[dtype]), dict(zip((name for name, _ in loaded.inputs), drawn, strict=True))


def _reason_for_torch(loaded: Loaded, device: str, dtype: str) -> Diagnostic | None:
    reason = elsewhere(device, dtype, loaded.net.training)
    if reason is not None:
        return reason
    rows = next((output.name for output in loaded.known if output.rows is not None), None)
    return None if rows is None else fallback(f"how many rows output '{rows}' has depends on numbers")


@contextmanager
def model_of_build(folder: str, loaded: Loaded, limits: list[Diagnostic] | None = None) -> Iterator[Model]:
    """The build's ONNX file as long as the block lasts; `limits` takes why it takes less than the module."""
    if loaded.net.training:
        raise _refused(folder, "was built for training, and other engines do not learn")
    told = [] if limits is None else limits
    own = None if loaded.onnx is None else onnx_of_build(folder, loaded.onnx)
    if loaded.onnx is not None and own is None:
        what = f"{folder}: '{loaded.onnx}' is not the file that was built: the module is exported in its place"
        told.append(Diagnostic("build-folder", what, remedy="build it again", severity="warning"))
    if own is not None:
        yield _model(folder, loaded, own, _takes_all(own, loaded))
        return
    with place_for(bytes_of(loaded.net), folder) as path:
        batched = _export(folder, loaded, path)
        size = "the declared height and width" if batched else "its declared shapes"
        what = f"{folder}: its module is exported for {size} alone"
        told.append(Diagnostic("export", what, remedy=REMEDY, severity="warning"))
        yield _model(folder, loaded, path, batched and loaded.fixed is not None)


def _model(folder: str, loaded: Loaded, path: str, complete: bool) -> Model:
    kinds = {output.name: output.holds for output in loaded.known if output.holds == "labels"}
    kinds |= {output.name: "rows" for output in loaded.known if output.rows is not None}
    return Model(
        path, loaded.net, dict(loaded.inputs), loaded.outputs, kinds, complete,
        lambda shapes: list(shapes) == [shape for _, shape in loaded.inputs],
        lambda: _examples(loaded), lambda what, why: _refused(folder, what, why),
    )  # fmt: skip


def _takes_all(path: str, loaded: Loaded) -> bool:
    """Whether an ONNX file takes any number of images, and any height and width where the net does."""
    import onnx

    require_memory(os.path.getsize(path), f"{path}: to read it")
    for value in onnx.load(path, load_external_data=False).graph.input:
        extents = [bool(extent.dim_param) for extent in value.type.tensor_type.shape.dim]
        if len(extents) == 4 and not (extents[0] and (loaded.fixed is not None or all(extents[2:]))):
            return False
    return True


def _refused(folder: str, what: str, why: str = "") -> NetError:
    return NetError(Diagnostic("export", f"{folder} {what}", why=why))


def _drawn(loaded: Loaded) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=random) for _, shape in loaded.inputs]


def _examples(loaded: Loaded) -> Iterator[Example | str]:
    drawn = _drawn(loaded)
    why = ""
    for inputs in (drawn, [torch.zeros_like(x) for x in drawn]):  # which may be indices
        try:
            with torch.no_grad():
                yield inputs, loaded.net(*inputs)
        except (RuntimeError, IndexError, ValueError) as error:
            why = str(error).splitlines()[0]
        else:
            return
    yield why


def _export(folder: str, loaded: Loaded, path: str) -> bool:
    """Write the module's ONNX file, for any number of images where it can be; whether it can. Raises NetError.

    Nothing but the code is known of a build: no layers, and no legal sizes.
    """
    from netcompile.export.program import quiet, summary, traceable

    shapes = [shape for _, shape in loaded.inputs]
    images = shapes[0][0] if shapes and len(shapes[0]) == 4 else 0
    error: Exception | None = None
    for batched in (True, False) if images else (False,):
        count = [2 if batched and shape[0] == images else shape[0] for shape in shapes]
        inputs = tuple(torch.zeros(n, *shape[1:]) for n, shape in zip(count, shapes, strict=True))
        many = torch.export.Dim("N", min=1)
        dims = tuple({0: many} if batched and shape[0] == images else {} for shape in shapes)
        try:
            with quiet(), traceable(loaded.net, False):
                program = torch.export.export(loaded.net, inputs, dynamic_shapes=dims)
            written = onnx_program(program)
        except Exception as caught:  # torch.export raises what the traced code does, besides its own errors
            error = caught
            continue
        name_blobs(written.model, [name for name, _ in loaded.inputs], list(loaded.outputs))
        with about(path):
            written.save(os.fspath(path))
        return batched
    assert error is not None
    why = str(error) if isinstance(error, NotWritten) else summary(error)
    raise NetError(Diagnostic("export", f"{folder}: its module cannot be exported", why=why, remedy=REMEDY))
