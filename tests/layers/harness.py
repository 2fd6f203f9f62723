"""Small nets written inline: compiled, run with blobs at hand, compared with the NumPy oracles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.caffemodel.recipe import Take, evaluate
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.ir.build import Options
from netcompile.layers.base import BlobSpec
from netcompile.runtime.execute import DTYPES, load_source

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
Blobs = Mapping[str, Sequence[Array]]  # a layer's blobs, in Caffe's order, by the layer's name


def inputs_text(**shapes: tuple[int, ...]) -> str:
    """Input layers, one for each blob."""
    return "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + "".join(f"dim: {d} " for d in shape)
        + "} } }\n"
        for name, shape in shapes.items()
    )


def analyse_text(text: str, *, train: bool = False, name: str = "net.prototxt", **options: Any) -> Analysed:
    """The net, refused or not; `options` are those of `Options`."""
    return analyse(Source(text, name), Options(train=train, with_loss=True, **options))


def compile_text(
    text: str, *, level: int = 1, train: bool = False, outputs: Sequence[str] | None = None, **options: Any
) -> tuple[Analysed, EmittedModule]:
    """The net and its emitted module. Raises NetError. ``outputs=["all"]``: every blob's final value."""
    net = analyse_text(text, train=train, **options).require()
    wanted = list(net.graph.blobs) if outputs is not None and list(outputs) == ["all"] else outputs
    return net, compile_net(net, level, wanted)


def refusals(text: str, **options: Any) -> list[Diagnostic]:
    """Everything that is wrong with the net; none if it compiles."""
    try:
        compile_text(text, **options)
    except NetError as error:
        return list(error.diagnostics)
    return []


def specs_of(net: Analysed) -> dict[str, tuple[BlobSpec, ...]]:
    """The blobs of every layer that has some."""
    found = {}
    for node in net.graph.nodes:
        specs = node.layer.blobs(*(net.shapes[b] for b in node.bottoms))
        if specs:
            found[node.name] = specs
    return found


def draw_blobs(net: Analysed, seed: int = 0) -> dict[str, list[Array]]:
    """Random blobs for every layer that has some."""
    rng = np.random.default_rng(seed)
    return {name: [rng.normal(size=s.shape) for s in specs] for name, specs in specs_of(net).items()}


def module_of(net: Analysed, module: EmittedModule, blobs: Blobs | None = None, dtype: str = "float64") -> nn.Module:
    """An instance of the emitted class that holds `blobs`."""

    def blob(take: Take) -> Array:
        assert blobs is not None
        return np.asarray(blobs[take.layer][take.index])

    made = load_source(module)
    state = {w.key: torch.from_numpy(np.array(evaluate(w.recipe, blob))) for w in module.weights}
    made.to(DTYPES[dtype]).load_state_dict(state, strict=True)
    return made.train(net.graph.train)


def run_text(
    text: str,
    inputs: Arrays,
    blobs: Blobs | None = None,
    level: int = 1,
    dtype: str = "float64",
    *,
    train: bool = False,
    outputs: Sequence[str] | None = ("all",),
    **options: Any,
) -> dict[str, Array]:
    """Blobs by name after one forward pass, by default all of them."""
    net, module = compile_text(text, level=level, train=train, outputs=outputs, **options)
    made = module_of(net, module, blobs, dtype)
    feed = [torch.from_numpy(np.array(inputs[v.blob])).to(DTYPES[dtype]) for v in module.inputs]
    with torch.no_grad():
        result = made(*feed)
    tensors = result if isinstance(result, dict) else {module.outputs[0]: result}
    return {name: t.double().numpy() if t.dtype == torch.bfloat16 else t.numpy() for name, t in tensors.items()}


def oracle_run(net: Analysed, inputs: Arrays, blobs: Blobs, oracles: Mapping[str, Any]) -> dict[str, Array]:
    """Blobs by name as the NumPy oracles (type → function of params, bottoms, blobs, train) compute them."""
    known = {entry.value: np.asarray(inputs[entry.value.blob], np.float64) for entry in net.graph.inputs}
    for node in net.graph.nodes:
        bottoms = [known[b].copy() for b in node.bottoms]
        own = [np.asarray(b, np.float64) for b in blobs.get(node.name, ())]
        tops = oracles[node.type](node.message, bottoms, own, net.graph.train)
        known.update(zip(node.tops, tops, strict=True))
    return {name: known[value] for name, value in net.graph.blobs.items()}


def check_text(
    text: str,
    inputs: Arrays,
    oracles: Mapping[str, Any],
    *,
    train: bool = False,
    tolerance: float = 1e-10,
    **options: Any,
) -> None:
    """The emitted module equals the oracles in every blob, in float64, at -O0 and -O1; shapes exactly."""
    net = analyse_text(text, train=train, **options).require()
    blobs = draw_blobs(net)
    wanted = oracle_run(net, inputs, blobs, oracles)
    for level in (0, 1):
        found = run_text(text, inputs, blobs, level, train=train, **options)
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            assert net.shapes[net.graph.blobs[name]] == value.shape, name
            assert found[name].shape == value.shape, name
            scale = max(1.0, float(np.abs(value[np.isfinite(value)]).max(initial=0)))
            np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * scale, err_msg=name)
