"""A net of a prototxt in an engine: its module at -O 1 becomes the ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from netcompile.analyser import Analysed
from netcompile.array import Array
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.emit.module import EmittedModule
from netcompile.engines.catalogue import AUTO, TORCH, engine_called
from netcompile.engines.choice import asked_for, elsewhere, fallback, fastest
from netcompile.engines.kept import case
from netcompile.engines.model import Example, Model, place_for
from netcompile.engines.module import Shape
from netcompile.export.onnx_file import bytes_of, convert_onnx, jumping, random_example
from netcompile.export.sizes import Signature, exported_sizes, refused
from netcompile.runtime.execute import DTYPES, Noticed, blob_names, forward, with_weights
from netcompile.runtime.loaded import Loaded, identity_of, loaded_net
from netcompile.runtime.timing import SEED, inputs_of

Make = Callable[[EmittedModule], nn.Module]  # an instance of a module, with its weights


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a net is to be computed: `level`, `outputs`, `weights`, `dtype` and `style` as `compile_net` takes them.

    `level` None is 1; of ``auto`` 2, since that asks for speed.
    """

    engine: str = TORCH
    level: int | None = None
    outputs: Sequence[str] | None = None
    weights: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    style: str | None = "flat"

    @property
    def optimise(self) -> int:
        return self.level if self.level is not None else 2 if self.engine == AUTO else 1


@dataclass(frozen=True, slots=True)
class Ready:
    """A net ready to compute; `module` has its inputs and outputs. `engine` computes it."""

    net: nn.Module
    module: EmittedModule
    engine: str
    notes: tuple[Diagnostic, ...] = ()


def ready(analysed: Analysed, make: Make, wanted: Wanted) -> Ready:
    """The net in the engine that is wanted. Raises NetError where that cannot be, OSError."""
    if wanted.engine in (TORCH, AUTO):
        reason = _reason_for_torch(analysed, wanted) if wanted.engine == AUTO else None
        if analysed.graph.train and wanted.level is None:
            wanted = replace(wanted, level=1)
        module = compile_net(
            analysed, wanted.optimise, wanted.outputs, wanted.weights, dtype=wanted.dtype, style=wanted.style
        )
        if wanted.engine == TORCH or reason is not None:
            return Ready(make(module), module, TORCH, () if reason is None else (reason,))
        shapes = {value.blob: analysed.shapes[value] for value in module.inputs}
        here = case(analysed.name, module.source, shapes, torch.get_num_threads())
        inputs = lambda: drawn(analysed, module)  # noqa: E731
        chosen = fastest(here, lambda: make(module), lambda: model_of(analysed, make, wanted), inputs)
        if chosen.engine != TORCH:
            module = _plain(analysed, wanted)
        return Ready(chosen.net, module, chosen.engine, chosen.notes)
    engine_called(wanted.engine).require(wanted.device, wanted.dtype)
    limits: list[Diagnostic] = []
    chosen = asked_for(wanted.engine, lambda: model_of(analysed, make, wanted, limits), lambda: limits)
    return Ready(chosen.net, _plain(analysed, wanted), chosen.engine, chosen.notes)


def load_in(
    analysed: Analysed, weights: str | None, wanted: Wanted, noticed: Noticed | None = None
) -> tuple[Loaded, tuple[Diagnostic, ...]]:
    """As `runtime.loaded.load_compiled`, in the engine that is wanted, and its notes."""
    identities: dict[str, str] = {}

    def make(module: EmittedModule) -> nn.Module:
        net = with_weights(analysed, module, weights, noticed=None if identities else noticed)
        identities[module.source] = identity_of(module, net)
        return net

    found = ready(analysed, make, wanted)
    identity = identities[found.module.source]
    if found.engine != TORCH:
        identity = f"{identity} {found.engine}"
    return loaded_net(analysed, found.module, found.net, identity), found.notes


def run(
    analysed: Analysed, weights: str | None, inputs: Mapping[str, Array], wanted: Wanted,
    noticed: Noticed | None = None,
) -> tuple[dict[str, Array], tuple[Diagnostic, ...]]:  # fmt: skip
    """As `runtime.execute.run`, in the engine that is wanted, and its notes; `outputs` may be ["all"]."""
    names = blob_names(analysed, wanted.outputs, wanted.device, wanted.dtype)
    once = [noticed]

    def make(module: EmittedModule) -> nn.Module:
        dtype = DTYPES[wanted.dtype]
        return with_weights(analysed, module, weights, dtype=dtype, noticed=once.pop() if once else None)

    found = ready(analysed, make, replace(wanted, outputs=names))
    return forward(analysed, found.module, found.net, inputs, wanted.dtype, wanted.device), found.notes


def _reason_for_torch(analysed: Analysed, wanted: Wanted) -> Diagnostic | None:
    """Why no engine but torch is asked, if that is so: where it computes, in what, and what depends on numbers."""
    reason = elsewhere(wanted.device, wanted.dtype, analysed.graph.train)
    if reason is not None:
        return reason
    node = next((node for node in analysed.graph.nodes if node.layer.sized_by_values), None)
    if node is None:
        return None
    why = f"how many rows layer '{node.name}' gives depends on numbers"
    return replace(fallback(why), span=node.message.span)


def drawn(analysed: Analysed, module: EmittedModule) -> list[Tensor]:
    """Inputs at the declared shapes."""
    feed = inputs_of(analysed, SEED)
    return [torch.from_numpy(feed[value]) for value in module.inputs]


def _plain(analysed: Analysed, wanted: Wanted) -> EmittedModule:
    """The module that can be traced: at -O 2 it packs its weights and keeps results between calls."""
    return compile_net(analysed, min(wanted.optimise, 1), wanted.outputs, wanted.weights)


@contextmanager
def model_of(analysed: Analysed, make: Make, wanted: Wanted, limits: list[Diagnostic] | None = None) -> Iterator[Model]:
    """The net's ONNX file as long as the block lasts; `limits` takes why it takes less than the module."""
    module = _plain(analysed, wanted)
    made = make(module).eval()
    with place_for(bytes_of(made), analysed.source.name) as path:
        exported, _ = convert_onnx(analysed, module, made, path)
        takes = exported.signature
        if limits is not None:
            limits += exported.limits
        yield Model(
            path, made, {value.blob: analysed.shapes[value] for value in module.inputs}, module.outputs,
            jumping(analysed), _complete(analysed, takes), lambda shapes: _legal(takes, shapes),
            lambda: _examples(made, takes), lambda what, why: refused(analysed, what, why),
        )  # fmt: skip


def _complete(analysed: Analysed, takes: Signature) -> bool:
    """Whether a file of this signature takes any number of images, and every legal size."""
    return takes.many and (not takes.axes or tuple(axis.legal for axis in takes.axes) == exported_sizes(analysed))


def _examples(made: nn.Module, takes: Signature) -> Iterator[Example | str]:
    """At the declared size, and at a small odd one."""
    for size in dict.fromkeys((takes.declared_size(), takes.five_sizes()[1])):
        yield random_example(made, takes, size)


def _legal(takes: Signature, shapes: Sequence[Shape]) -> bool:
    """Whether the planes among inputs of these shapes have legal heights and widths."""
    return all(
        extent in axis.legal
        for value, shape in zip(takes.shapes, shapes, strict=True)
        if value in takes.spatial
        for axis, extent in zip(takes.axes, shape[2:], strict=True)
    )
