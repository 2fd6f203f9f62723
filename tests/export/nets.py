"""Nets for the tests of the export: as modules with weights drawn at random, thin ones of wide definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.export.program import Exported
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import load_source, with_weights
from netcompile.surgery import write_weights

Built = tuple[Analysed, EmittedModule, nn.Module]


def built(text: str, name: str = "net.prototxt", outputs: list[str] | None = None) -> Built:
    """The net of a prototxt, in evaluation mode."""
    net = analyse(Source(text, name)).require()
    module = compile_net(net, outputs=outputs)
    made = load_source(module).eval()
    random = torch.Generator().manual_seed(0)
    for key, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 16
            tensor.normal_(0, fan_in**-0.5, generator=random)
            if key.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return net, module, made


def thin(path: Path, outputs: list[str] | None = None) -> Built:
    """The same layers with a sixteenth of the channels."""

    def narrower(field: re.Match[str]) -> str:
        return field[1] + str(max(2, int(field[2]) // 16) if int(field[2]) > 1 else 1)

    return built(re.sub(r"(\b(?:num_output|group)\s*:\s*)(\d+)", narrower, path.read_text()), path.name, outputs)


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


FRAMED = """\
name: "framed"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 60 dim: 70 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 40 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "sc" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "up" type: "Deconvolution" bottom: "c2" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 bias_term: false } }
layer { name: "score" type: "Crop" bottom: "up" bottom: "data" top: "score" crop_param { axis: 2 offset: 40 } }
"""
BILINEAR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 16


def framed(folder: Path, kernel: Any = BILINEAR, first: float = 1.0) -> tuple[Analysed, str]:
    """A net with a wide border whose deconvolution has this kernel for every channel; its file of weights."""
    random = np.random.RandomState(0)
    up = np.zeros((4, 4, 4, 4), np.float32)
    up[range(4), range(4)] = kernel
    blobs = {
        "c1": (first * random.standard_normal((8, 3, 3, 3)).astype(np.float32),),
        "bn": (random.standard_normal(8), random.uniform(0.5, 2, 8), np.array([2.0])),
        "sc": (random.standard_normal(8), random.standard_normal(8)),
        "c2": (random.standard_normal((4, 8, 3, 3)), random.standard_normal(4)),
        "up": (up,),
    }
    path = folder / "weights.caffemodel"
    write_weights(path, {name: tuple(np.float32(b) for b in found) for name, found in blobs.items()}, "framed")
    return analyse(Source(FRAMED, "framed.prototxt")).require(), str(path)
