"""The docstring of an emitted module: what the net is, what goes in and comes out, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import prod

from netcompile.emit.code import Code, Shaped
from netcompile.emit.text import dims_text, doc_text, folded
from netcompile.ir.graph import Graph, Node, Value

TOLD = 20  # outputs


@dataclass(frozen=True, slots=True)
class About:
    """What a module's docstring says beside names and shapes.

    `origin`: the file that the net comes from; `sizes`: the heights and widths that are legal; `images`: for each input
    that takes images what becomes of them before; `module`: the name of the file without its ending, by which the
    weights are loaded, "" where nothing is said of that; `weights`: whether they are written beside it.
    """

    origin: str = ""
    sizes: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    weights: bool = False


NOTHING = About()


def docstring(code: Code, name: str, wanted: Mapping[str, Value], about: About) -> list[str]:
    """The lines of the docstring of a module whose class is called `name`, and an empty one."""
    net, graph = code.net, code.net.graph
    lines = [*folded(f'"""{doc_text(graph.name or name)}: PyTorch, compiled from a Caffe net by netcompile.'), ""]
    cost = _cost(code) if about.module else ""
    if about.origin:
        lines += folded(f"From {doc_text(about.origin)}, phase {'TRAIN' if graph.train else 'TEST'}.{cost}")
    for entry in graph.inputs:
        dims = net.symbolic.get(entry.value) or entry.shape
        blob = entry.value.blob
        images = f"; {doc_text(about.images[blob])}" if blob in about.images else ""
        lines += folded(f"Input {doc_text(blob)}: {dims_text(dims)}{images}")
    if about.sizes:
        lines += folded(f"Legal sizes: {about.sizes}")
    told = dict(islice(wanted.items(), TOLD))
    values = set(told.values())
    makers = {top: node for node in graph.nodes for top in node.tops if top in values}
    for blob, value in told.items():
        lines += folded(f"Output {doc_text(blob)}: {_shape_text(net, value, makers.get(value))}")
    if about.module:
        lines += _usage(code, name, wanted, about)
    return [*lines, '"""', ""]


def _shape_text(net: Shaped, value: Value, maker: Node | None) -> str:
    dims = net.dims(value)
    more = ", or larger: its size depends on the numbers" if maker and maker.layer.sized_by_values else ""
    return dims_text(dims) + more if dims is not None else "?"


def _cost(code: Code) -> str:
    """How many parameters there are, and how much is computed at the declared size."""
    net, graph = code.net, code.net.graph
    parameters = sum(prod(spec.shape) for blobs in code.blobs for spec in blobs.specs)
    known = [node for node in graph.nodes if all(value in net.shapes for value in (*node.bottoms, *node.tops))]
    macs = sum(node.layer.macs(net.bottoms(node), [net.shapes[top] for top in node.tops]) for node in known)
    size = _size(graph)
    text = f" {_amount(parameters)} parameters" if parameters else ""
    joint = "," if text else ""
    return (f"{text}{joint} {_amount(macs)}MACs{size}." if macs else f"{text}." if text else "").replace("  ", " ")


def _size(graph: Graph) -> str:
    shapes = [entry.shape for entry in graph.inputs if len(entry.shape) == 4]
    return f" at {shapes[0][2]} × {shapes[0][3]}" if shapes else ""


def _amount(count: int) -> str:
    """Three digits of a number: ``25.6 M``, ``3.86 G``."""
    for factor, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} "


def _usage(code: Code, name: str, wanted: Mapping[str, Value], about: About) -> list[str]:
    """How to load the weights and call the net, as a doctest."""
    net, graph = code.net, code.net.graph
    zeros = ", ".join(f"torch.zeros{entry.shape}" for entry in graph.inputs)
    lines = [">>> import torch"]
    made = [f">>> net = {name}(){'' if graph.train else '.eval()'}"]
    if code.blobs:
        load = f'>>> net.load_state_dict(safetensors.torch.load_file("{about.module}.safetensors"))'
        lines = [">>> import safetensors.torch, torch"] if about.weights else lines
        made += [load, "<All keys matched successfully>"] if about.weights else [f"{load}  # doctest: +SKIP"]
    results = list(wanted.values())
    makers = graph.producers()
    maker = makers.get(results[0]) if len(results) == 1 else None
    shape = net.shapes.get(results[0]) if len(results) == 1 else None
    if shape is not None and (maker is None or not maker.layer.sized_by_values):
        called = [f">>> net({zeros}).shape", f"torch.Size({list(shape)})"]
    else:
        called = [f">>> result = net({zeros})"]
    return ["", *(f"    {line}" for line in (*lines, *made, *called))]
