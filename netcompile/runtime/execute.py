"""Run emitted code in memory: source and tensors in, blobs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from netcompile.analyser import Analysed
from netcompile.analysis.footprint import require_room
from netcompile.array import Array
from netcompile.caffemodel.blob import CaffeModel
from netcompile.caffemodel.convert import ConversionReport, stream_tensors
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.caffemodel.tensorfile import TYPES
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.emit.module import EmittedModule
from netcompile.emit.weights import needs_weights, weight_plan
from netcompile.files.limits import require_memory
from netcompile.ir.indices import index_inputs
from netcompile.runtime.emitted import arrays_of, by_name, instance

Noticed = Callable[[ConversionReport], None]  # takes what was noticed about the weights of a file

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def load_source(module: EmittedModule) -> nn.Module:
    """An instance of the emitted class, its parameters not yet set."""
    return instance(module.source, module.class_name)


class uninitialised(TorchFunctionMode):
    """Leaves parameters as they are allocated: no random numbers, and no memory before values come."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))


def with_weights(
    analysed: Analysed,
    module: EmittedModule,
    weights: str | Path | None,
    allow_missing: bool = False,
    dtype: torch.dtype | None = None,
    noticed: Noticed | None = None,
) -> nn.Module:
    """The emitted net with the caffemodel's weights, in evaluation mode unless it was built for phase TRAIN.

    With a `dtype`, that which the module was compiled for, the floating-point ones are converted one by one: the memory
    never holds both. `noticed` takes what was noticed about the weights of a file. Raises NetError where weights are
    needed and not given, or do not fit.
    """
    plan = weight_plan(analysed.graph, module)
    if weights is None and needs_weights(plan):
        what = f"{analysed.source.name} has layers with weights, and no caffemodel is given"
        refuse("weights-needed", what, remedy="--weights FILE.caffemodel")
    if not plan.tensors:
        net = load_source(module)
    else:
        size = sum(prod(tensor.shape) * TYPES[tensor.dtype][1] for tensor in plan.tensors)
        require_memory(size, f"{analysed.source.name}: to hold the weights of the net")
        with uninitialised():
            net = load_source(module)
        # Without a file every tensor is a constant of the plan.
        model = CaffeModel("", "V2", "", ()) if weights is None else read_caffemodel(weights)
        state = {}
        kind = None if dtype is None else str(dtype).removeprefix("torch.")
        tell = None if weights is None else noticed
        for tensor, chunks in stream_tensors(model, plan, allow_missing=allow_missing, dtype=kind, done=tell):
            value = torch.empty(tensor.shape, dtype=getattr(torch, tensor.dtype))
            flat, done = value.view(-1).view(torch.uint8).numpy(), 0
            for chunk in chunks:
                flat[done : done + len(chunk)] = chunk
                done += len(chunk)
            state[tensor.key] = value
        net.load_state_dict(state, strict=True, assign=not ties(net))
    return (net if dtype is None else net.to(dtype)).train(analysed.graph.train)


def ties(net: nn.Module) -> bool:
    """Whether some parameters are one tensor, which assigning would tear apart."""
    every = list(net.named_parameters(remove_duplicate=False))
    return len(every) > len({id(parameter) for _, parameter in every})


def run(
    analysed: Analysed,
    weights: str | Path | None,
    inputs: Mapping[str, Array],
    *,
    level: int = 1,
    blobs: Sequence[str] | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    noticed: Noticed | None = None,
) -> dict[str, Array]:
    """Compile, run once, and return blobs by name as float arrays (bfloat16 comes back as float32).

    `blobs`: names, ["all"] for every blob's final value, None for the net's outputs. `noticed`: as in `with_weights`.
    """
    names = blob_names(analysed, blobs, device, dtype)
    module = compile_net(analysed, level, names, None if weights is None else str(weights), dtype=dtype)
    net = with_weights(analysed, module, weights, dtype=DTYPES[dtype], noticed=noticed)
    return forward(analysed, module, net, inputs, dtype, device)


def blob_names(analysed: Analysed, blobs: Sequence[str] | None, device: str, dtype: str) -> Sequence[str] | None:
    """The blobs that `run` is asked for. Raises NetError where the net takes too much memory."""
    graph = analysed.require().graph
    names = list(graph.blobs) if blobs is not None and list(blobs) == ["all"] else blobs
    if device == "cpu":
        require_room(analysed.source.name, graph, analysed.shapes, kept=names, itemsize=DTYPES[dtype].itemsize)
    return names


def forward(
    analysed: Analysed, module: EmittedModule, net: nn.Module, inputs: Mapping[str, Array], dtype: str, device: str
) -> dict[str, Array]:  # fmt: skip
    """One pass of `net`, an instance of `module`, in that type. Raises NetError where an input is missing."""
    net = net.to(device)
    missing = [value.blob for value in module.inputs if value.blob not in inputs]
    if missing:
        why = "it holds: " + (", ".join(inputs) or "nothing")
        raise NetError(
            [Diagnostic("missing-input", f"the inputs file has no array '{blob}'", why=why) for blob in missing]
        )
    kept = index_inputs(analysed.graph)  # a mask, labels: not to be rounded
    feed = [
        torch.from_numpy(inputs[v.blob].copy()).to(device=device, dtype=None if v in kept else DTYPES[dtype])
        for v in module.inputs
    ]
    with torch.no_grad():
        result = net(*feed)
    return arrays_of(by_name(result, module.outputs))
