"""A net of a prototxt in an engine: what the passes of a level leave of it becomes the ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.analyser import Analysed
from netcompile.array import Array
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Span
from netcompile.emit.module import EmittedModule
from netcompile.engines.catalogue import AUTO, TORCH, engine_called
from netcompile.engines.choice import asked_for, elsewhere, fallback, fastest
from netcompile.engines.files import keep_file, place_of, read_notes
from netcompile.engines.kept import case
from netcompile.engines.model import Example, Model, place_for
from netcompile.engines.module import Shape
from netcompile.engines.plans import Planned, planned, require_level, require_torch, several
from netcompile.export.onnx_file import bytes_of, convert_onnx, jumping, random_example
from netcompile.export.portable import Portable, portable_net
from netcompile.export.sizes import Signature, exported_sizes, refused, signature
from netcompile.ir.indices import index_inputs
from netcompile.prelude.inference import freeze
from netcompile.runtime.execute import DTYPES, Noticed, blob_names, forward, with_weights
from netcompile.runtime.loaded import Loaded, identity_of, loaded_net
from netcompile.runtime.random_weights import ready as drawn_weights
from netcompile.runtime.timing import SEED, inputs_of

Make = Callable[[EmittedModule], nn.Module]  # an instance of a module, with its weights


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a net is to be computed: `level`, `outputs`, `weights`, `dtype` and `style` as `compile_net` takes them.

    `level` None is 1; of ``auto`` and with `tune` 2, since that asks for speed. `same`: whether the net has the same
    weights whenever it is made. `any_size`: no file for the declared size alone. `tune`: the seconds in which the
    ways of its convolutions may be measured, None for the rules' ways; `images` at a time, if that is known.
    `frozen`: nobody writes the weights but where torch counts it, so nothing reads them to see whether they changed.
    """

    engine: str = TORCH
    level: int | None = None
    outputs: Sequence[str] | None = None
    weights: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    style: str | None = "flat"
    same: bool = True
    any_size: bool = False
    tune: float | None = None
    images: int | None = None
    frozen: bool = True

    @property
    def optimise(self) -> int:
        return self.level if self.level is not None else 2 if self.engine == AUTO or self.tune is not None else 1


@dataclass(frozen=True, slots=True)
class Ready:
    """A net ready to compute; `module` has its inputs and outputs. `engine` computes it."""

    net: nn.Module
    module: EmittedModule
    engine: str
    notes: tuple[Diagnostic, ...] = ()


def ready(analysed: Analysed, make: Make, wanted: Wanted) -> Ready:
    """The net in the engine that is wanted. Raises NetError where that cannot be, OSError."""
    make = _frozen(make) if wanted.frozen else make
    if wanted.tune is not None:
        return _planned(analysed, make, wanted, wanted.tune)[0]
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
            module = _portable(analysed, wanted).module
        return Ready(chosen.net, module, chosen.engine, chosen.notes)
    engine_called(wanted.engine).require(wanted.device, wanted.dtype)
    limits: list[Diagnostic] = []
    chosen = asked_for(wanted.engine, lambda: model_of(analysed, make, wanted, limits), lambda: limits, wanted.dtype)
    return Ready(chosen.net, _portable(analysed, wanted).module, chosen.engine, chosen.notes)


def _frozen(make: Make) -> Make:
    """Makes nets whose weights stay as they are."""

    def made(module: EmittedModule) -> nn.Module:
        net = make(module)
        freeze(net)
        return net

    return made


def tune(analysed: Analysed, wanted: Wanted, seconds: float) -> Planned:
    """Measure the plan of a net anew, and keep it; weights are drawn where none are given. Raises NetError."""
    seed = SEED if wanted.weights is None else None
    make = _frozen(lambda module: drawn_weights(analysed, module, wanted.weights, seed))
    _, found = _planned(analysed, make, wanted, seconds, True)
    return found


def _planned(
    analysed: Analysed, make: Make, wanted: Wanted, seconds: float, anew: bool = False
) -> tuple[Ready, Planned]:
    """The net in torch, with the plan that was measured for it."""
    require_torch(wanted.engine)
    require_level(analysed.name, wanted.optimise)
    dtype, indices = DTYPES[wanted.dtype], index_inputs(analysed.graph)
    module = compile_net(analysed, 2, wanted.outputs, wanted.weights, dtype=wanted.dtype, style=wanted.style)
    net = make(module).to(dtype)
    inputs = {
        value.blob: x if value in indices else x.to(dtype)
        for value, x in zip(module.inputs, drawn(analysed, module), strict=True)
    }
    inputs = several(net, inputs, wanted.images)
    found = planned(net, analysed.name, inputs, seconds, device=wanted.device, anew=anew)
    return Ready(net, module, TORCH, found.notes), found


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
        # Other engines take weights of 32 bits, whatever they compute in.
        dtype = DTYPES[wanted.dtype if wanted.engine in (TORCH, AUTO) else "float32"]
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


def _portable(analysed: Analysed, wanted: Wanted) -> Portable:
    """The module that can be traced: that of -O 2 packs its weights and keeps results between calls."""
    any_size = wanted.any_size or not wanted.same
    return portable_net(analysed, wanted.optimise, wanted.outputs, wanted.weights, any_size)


@contextmanager
def model_of(analysed: Analysed, make: Make, wanted: Wanted, limits: list[Diagnostic] | None = None) -> Iterator[Model]:
    """The net's ONNX file as long as the block lasts; `limits` takes why it takes less than the module."""
    portable = _portable(analysed, wanted)
    module = portable.module
    made = make(module).eval()
    others = replace(wanted, any_size=True)
    with _file_of(analysed, portable, made) as (path, takes, told):
        one_size = bool(portable.frames) and all(axis.most == axis.least for axis in takes.axes)
        if limits is not None and not one_size:  # else the file of the others says what it takes
            limits += told
        yield Model(
            path, made, {value.blob: analysed.shapes[value] for value in module.inputs}, module.outputs,
            jumping(analysed), takes.many if one_size else _complete(analysed, takes),
            lambda shapes: _legal(takes, shapes), lambda: _examples(made, takes),
            lambda what, why: refused(analysed, what, why),
            (lambda: model_of(analysed, make, others)) if one_size else None,
        )  # fmt: skip


@contextmanager
def _file_of(
    analysed: Analysed, portable: Portable, made: nn.Module
) -> Iterator[tuple[str, Signature, Sequence[Diagnostic]]]:
    """The ONNX file of a module, what it takes, and why that is less than the module does.

    It is the one that was kept, or a new one.
    """
    content = [identity_of(portable.module, made), *(str(analysed.shapes[v]) for v in portable.module.inputs)]
    content += [str(portable.frames), analysed.source.text]  # its places are in what is said
    kept = place_of(analysed.name, content)
    notes = read_notes(kept)
    if notes is not None:
        try:
            takes = signature(analysed, portable.module, bool(notes["batch"]), bool(notes["fixed"]))
            limits = [_told(analysed, found) for found in notes["limits"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            notes = None
        else:
            yield kept, takes, limits
    if notes is None:
        with place_for(bytes_of(made), analysed.source.name) as path:
            exported, _ = convert_onnx(analysed, portable, made, path)
            fixed = exported.signature == signature(analysed, portable.module, exported.signature.many, True)
            facts = {
                "net": analysed.name,
                "batch": exported.signature.many,
                "fixed": fixed,
                "limits": [_plain(found) for found in exported.limits],
            }
            keep_file(path, kept, facts)
            yield path, exported.signature, exported.limits


def _plain(found: Diagnostic) -> dict[str, object]:
    """A finding about the net's own text, as JSON."""
    place = None if found.span is None else [found.span.start, found.span.end]
    return {
        "what": found.what, "place": place, "why": found.why, "remedy": found.remedy, "severity": found.severity
    }  # fmt: skip


def _told(analysed: Analysed, fields: dict[str, Any]) -> Diagnostic:
    place = fields["place"]
    span = None if place is None else Span(analysed.source, int(place[0]), int(place[1]))
    what, why, remedy = (str(fields[name]) for name in ("what", "why", "remedy"))
    return Diagnostic("export", what, span, why=why, remedy=remedy, severity=fields["severity"])


def _complete(analysed: Analysed, takes: Signature) -> bool:
    """Whether a file of this signature takes any number of images, and every legal size."""
    return takes.many and (not takes.axes or tuple(axis.legal for axis in takes.axes) == exported_sizes(analysed))


def _examples(made: nn.Module, takes: Signature) -> Iterator[Example | str]:
    """At the declared size, and at a small odd one where the file takes others."""
    others = takes.five_sizes()[1:2] if any(axis.most != axis.least for axis in takes.axes) or not takes.axes else ()
    for size in dict.fromkeys((takes.declared_size(), *others)):
        yield random_example(made, takes, size)


def _legal(takes: Signature, shapes: Sequence[Shape]) -> bool:
    """Whether the planes among inputs of these shapes have legal heights and widths."""
    return all(
        extent in axis.legal
        for value, shape in zip(takes.shapes, shapes, strict=True)
        if value in takes.spatial
        for axis, extent in zip(takes.axes, shape[2:], strict=True)
    )
