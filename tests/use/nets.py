"""Small nets in which every way to compute occurs, their weights as arrays, and their modules at every level."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.analysis.bilinear import bilinear
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.runtime.execute import load_source, with_weights
from netcompile.surgery import write_weights

LEVELS = (0, 1, 2)
Arrays = dict[str, tuple[np.ndarray, ...]]


def conv(name: str, bottom: str, outputs: int, more: str, relu: bool = True) -> str:
    text = f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
    text += f"convolution_param {{ num_output: {outputs} {more} }} }}\n"
    return text + (f'layer {{ name: "{name}r" type: "ReLU" bottom: "{name}" top: "{name}" }}\n' if relu else "")


def one(kind: str, name: str, bottom: str, more: str = "", top: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {more} }}\n'


POOL = "pooling_param { kernel_size: 2 stride: 2 }"
UP = "convolution_param { num_output: 5 kernel_size: 4 stride: 2 bias_term: false %s}"
SCALE = "scale_param { bias_term: true }"

# Borders and windows, bands, Winograd over padding, BatchNorm and Scale folded, a large kernel, upsampling of three
# kinds: bilinear, diagonal, and with every channel in every other.
WINDOWED = (
    conv("c1", "data", 64, "kernel_size: 3 pad: 16")
    + conv("c2", "c1", 64, "kernel_size: 3 pad: 1 bias_term: false", relu=False)
    + one("BatchNorm", "bn", "c2", top="c2")
    + one("Scale", "sc", "c2", SCALE, top="c2")
    + one("ReLU", "c2r", "c2", top="c2")
    + one("Pooling", "p1", "c2", POOL)
    + conv("c3", "p1", 64, "kernel_size: 3 pad: 1")
    + one("LRN", "lrn", "c3", "lrn_param { local_size: 3 }")
    + one("Pooling", "p2", "lrn", POOL)
    + conv("f", "p2", 16, "kernel_size: 7")
    + conv("s", "f", 5, "kernel_size: 1", relu=False)
    + one("Deconvolution", "up1", "s", UP % "")
    + one("Deconvolution", "up2", "up1", UP % "")
    + one("Deconvolution", "up3", "up2", UP % "pad: 1 ")
    + 'layer { name: "crop" type: "Crop" bottom: "up3" bottom: "data" top: "crop" crop_param { axis: 2 } }\n'
)
# Groups, dilations, strides, joins, matrix products, a softmax; nothing is a border.
PLAIN = (
    conv("c1", "data", 64, "kernel_size: 3 pad: 1")
    + conv("c2", "c1", 64, "kernel_size: 3 pad: 1")
    + conv("g", "c2", 16, "kernel_size: 3 pad: 2 dilation: 2 group: 2")
    + conv("t", "c2", 16, "kernel_size: 1", relu=False)
    + 'layer { name: "j" type: "Eltwise" bottom: "g" bottom: "t" top: "j" eltwise_param { coeff: 1 coeff: -2 } }\n'
    + conv("m", "j", 40, "kernel_size: 3 pad: 1 stride: 2")
    + one("Pooling", "a", "m", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }")
    + one("Deconvolution", "up", "a", "convolution_param { num_output: 40 group: 40 kernel_size: 4 stride: 2 pad: 1 }")
    + conv("e", "up", 4, "kernel_size: 1", relu=False)
    + one("Pooling", "all", "c2", "pooling_param { pool: AVE global_pooling: true }")
    + one("InnerProduct", "ip", "all", "inner_product_param { num_output: 4 }")
    + 'layer { name: "by" type: "Scale" bottom: "e" bottom: "ip" top: "by" scale_param { axis: 0 } }\n'
    + one("Softmax", "prob", "by")
)
TEXTS = {"windowed": (WINDOWED, (1, 3, 44, 50)), "plain": (PLAIN, (1, 3, 48, 68))}


@cache
def analysed(kind: str) -> Analysed:
    text, shape = TEXTS[kind]
    dims = " ".join(f"dim: {d}" for d in shape)
    head = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'
    return analyse(Source(head + text)).require()


@cache
def drawn(kind: str) -> Mapping[str, tuple[np.ndarray, ...]]:
    """The layers' blobs in a caffemodel; not to be changed."""
    random = np.random.default_rng(7)
    found: Arrays = {}
    net = analysed(kind)
    for node in net.graph.nodes:
        specs = node.layer.blobs(*(net.shapes[bottom] for bottom in node.bottoms))
        if not specs:
            continue
        blobs = []
        for spec in specs:
            fan = max(1, int(np.prod(spec.shape[1:])))
            blobs.append((random.normal(0, (2 / fan) ** 0.5 if fan > 1 else 0.5, spec.shape)).astype(np.float32))
        if node.type == "BatchNorm":
            blobs = [blobs[0], np.abs(blobs[1]) + 0.5, np.ones_like(blobs[2])]
        found[node.name] = tuple(blobs)
    if kind == "windowed":
        eye = np.eye(5, dtype=np.float32)[:, :, None, None]
        found["up2"] = (eye * found["up2"][0],)
        found["up3"] = (eye * bilinear(4).astype(np.float32),)
    return found


def compiled(kind: str, level: int, blobs: Mapping[str, tuple[np.ndarray, ...]]) -> tuple[EmittedModule, nn.Module]:
    """The emitted module of a level, and an instance with these weights, in evaluation mode."""
    net = analysed(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.caffemodel"
        write_weights(path, blobs, types={node.name: node.type for node in net.graph.nodes})
        module = compile_net(net, level, None, str(path))
        return module, with_weights(net, module, str(path))


def image(kind: str, size: tuple[int, int] | None = None, batch: int = 1) -> torch.Tensor:
    height, width = size or TEXTS[kind][1][2:]
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height * width)) * 3


@dataclass(frozen=True, slots=True)
class Kinds:
    """What classes and functions a module at -O2 must have, so that the tests test them."""

    windowed: tuple[str, ...] = ("LargeKernel", "Winograd", "in_bands", "surround", "bilinear", "diagonal=True")
    plain: tuple[str, ...] = ("Winograd", "Conv2d", "Linear")


@cache
def made(kind: str, level: int) -> tuple[object, nn.Module]:
    """The module as it is emitted, and the net with its weights, one for all tests."""
    return compiled(kind, level, drawn(kind))


def fresh(kind: str, level: int) -> nn.Module:
    """A net of its own with the weights of `made`."""
    module, net = made(kind, level)
    new = load_source(module).eval()  # type: ignore[arg-type]
    new.load_state_dict(net.state_dict())
    return new
