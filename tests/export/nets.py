"""Nets for the tests of the export: as modules with weights drawn at random, thin ones of wide definitions."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.export.program import Exported
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import load_source, with_weights

Built = tuple[Analysed, EmittedModule, nn.Module]


def built(text: str, name: str = "net.prototxt") -> Built:
    """The net of a prototxt, in evaluation mode."""
    net = analyse(Source(text, name)).require()
    module = compile_net(net)
    made = load_source(module).eval()
    random = torch.Generator().manual_seed(0)
    for key, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 16
            tensor.normal_(0, fan_in**-0.5, generator=random)
            if key.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return net, module, made


def thin(path: Path) -> Built:
    """The same layers with a sixteenth of the channels."""

    def narrower(field: re.Match[str]) -> str:
        return field[1] + str(max(2, int(field[2]) // 16) if int(field[2]) > 1 else 1)

    return built(re.sub(r"(\b(?:num_output|group)\s*:\s*)(\d+)", narrower, path.read_text()), path.name)


def conformance(folder: Path) -> Built:
    """A conformance case with its own weights, if it has some."""
    net = analyse(open_source(folder / "net.prototxt")).require()
    module = compile_net(net)
    weights = folder / "weights.caffemodel"
    return net, module, with_weights(net, module, weights if weights.exists() else None).eval()


def single(layer: str, channels: int = 2, height: int = 9, width: int = 10) -> str:
    """A net of one input `data` and the layers given."""
    return (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { '
        f"dim: 1 dim: {channels} dim: {height} dim: {width} }} }} }}\n" + layer
    )


def disagreements(module: EmittedModule, made: nn.Module, exported: Exported) -> list[str]:
    """Sizes, of the five that are compared, at which program and module differ; they run the same kernels."""
    program = exported.program.module()
    found = []
    for size in exported.signature.five_sizes():
        random = torch.Generator().manual_seed(1)
        shapes = [exported.signature.shape(value, *size) for value in module.inputs]
        inputs = [torch.randn(shape, generator=random) for shape in shapes]
        with torch.no_grad():
            wanted, given = made(*inputs), program(*inputs)
        pairs = [(wanted[k], given[k]) for k in wanted] if isinstance(wanted, dict) else [(wanted, given)]
        if any(a.shape != b.shape or not torch.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in pairs):
            found.append(f"{shapes}")
    return found
