"""What must hold for every valid net; `Mismatch` says what does not."""

from __future__ import annotations

from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from netcompile.algebra.extent import Size
from netcompile.algebra.volume import Volume
from netcompile.analyser import Analysed, analyse
from netcompile.analysis.shapes import infer
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, build
from netcompile.prototxt.load import load_net
from netcompile.prototxt.printer import to_text
from netcompile.report.as_json import layers_as_json
from netcompile.report.layers import layers_report
from netcompile.runtime.execute import DTYPES, run
from tests.fuzz.agree import stops_torch
from tests.fuzz.caffemodel import Form, caffemodel
from tests.fuzz.draw import Array, Drawn
from tests.layers.harness import module_of

TOLERANCE = 1e-10
SIZES = (1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 33)  # heights and widths at which the size functions are tried
# They compare numbers of elements: 2x8 may be as good as 4x4, which no rule for each axis can say.
COUNTING = frozenset(
    (
        "Accuracy",
        "SoftmaxWithLoss",
        "InfogainLoss",
        "SigmoidCrossEntropyLoss",
        "EuclideanLoss",
        "Reshape",
        "MultiBoxLoss",
    )
)


class Mismatch(AssertionError):
    """A net for which netcompile and the oracles differ."""

    def __init__(self, net: Drawn, what: str) -> None:
        super().__init__(f"{what}\n{net!r}")
        self.net, self.what = net, what


def check(net: Drawn) -> None:
    """Everything, the costly checks for some nets only. Raises Mismatch."""
    try:
        analysed = analysed_of(net, net.text).require()
        _shapes(net, analysed)
        _values(net, analysed)
        _inspection(net, analysed)
        _sizes(net, analysed)
        if net.extra % 4 == 3:
            _other_dtype(net, analysed, "float32" if net.extra % 8 == 3 or stops_torch(analysed) else "bfloat16")
        if net.extra % 4 == 0:
            _round_trip(net, analysed)
        if net.extra % 8 == 1:
            _caffemodel(net, analysed, "V1" if net.extra % 16 == 1 else "V2")
    except NetError as error:
        raise Mismatch(net, f"refused, though legal: {error}") from error


def analysed_of(net: Drawn, text: str) -> Analysed:
    return analyse(Source(text, "net.prototxt"), Options(train=net.train, with_loss=True))


def _shapes(net: Drawn, analysed: Analysed) -> None:
    """Shapes of all tops and blobs, and what the net's outputs are."""
    if set(analysed.graph.outputs) != set(net.outputs):
        raise Mismatch(net, f"outputs {analysed.graph.outputs}, not {net.outputs}")
    if list(analysed.graph.blobs) and set(analysed.graph.blobs) != set(net.expected):
        raise Mismatch(net, f"blobs {list(analysed.graph.blobs)}, not {list(net.expected)}")
    for node in analysed.graph.nodes:
        if node.type == "SharedMemory":
            continue  # no layer of the file
        tops = [analysed.shapes[top] for top in node.tops]
        if tops != net.tops[node.name] and not any(top.blob in net.dynamic for top in node.tops):
            raise Mismatch(net, f"layer '{node.name}' ({node.type}) has tops {tops}, not {net.tops[node.name]}")
        specs = [spec.shape for spec in node.layer.blobs(*(analysed.shapes[b] for b in node.bottoms))]
        wanted = [b.shape for b in net.blobs.get(node.name, ())]
        if specs != wanted:
            raise Mismatch(net, f"layer '{node.name}' ({node.type}) has blobs {specs}, not {wanted}")


def _values(net: Drawn, analysed: Analysed) -> None:
    """All blobs at every level. Levels of equal code are run once."""
    import torch

    seen = set()
    every = list(analysed.graph.blobs)
    alone = {2, net.extra % 3}  # fewer outputs let layers be fused
    for level, outputs in (*((level, every) for level in (0, 1, 2)), *((level, None) for level in sorted(alone))):
        module = compile_net(analysed, level, outputs)
        key = (module.source, module.weights)
        if key in seen:
            continue
        seen.add(key)
        where = f"-O{level}{'' if outputs else ', outputs only'}"
        made = module_of(analysed, module, net.blobs)
        feed = [torch.from_numpy(np.array(net.inputs[v.blob], np.float64)) for v in module.inputs]
        try:
            with torch.no_grad():
                result = made(*feed)
        except Exception as error:
            raise Mismatch(net, f"{where}: {type(error).__name__}: {error}") from error
        tensors = result if isinstance(result, dict) else dict.fromkeys(module.outputs, result)
        if list(tensors) != list(module.outputs) or set(tensors) != set(outputs or net.outputs):
            raise Mismatch(net, f"{where}: gives {list(tensors)}")
        for name, tensor in tensors.items():
            if why := difference(tensor.numpy(), net.expected[name]):
                raise Mismatch(net, f"{where}: blob '{name}': {why}")


def _other_dtype(net: Drawn, analysed: Analysed, dtype: str) -> None:
    """The net runs in another type, and its blobs have the shapes that they should have."""
    import torch

    level = net.extra // 8 % 3
    module = compile_net(analysed, level, list(analysed.graph.blobs))
    made = module_of(analysed, module, net.blobs, dtype)
    feed = [torch.from_numpy(np.array(net.inputs[v.blob])).to(DTYPES[dtype]) for v in module.inputs]
    try:
        with torch.no_grad():
            result = made(*feed)
    except Exception as error:
        raise Mismatch(net, f"-O{level} in {dtype}: {type(error).__name__}: {error}") from error
    tensors = result if isinstance(result, dict) else dict.fromkeys(module.outputs, result)
    for name, tensor in tensors.items():
        wanted = net.expected[name].shape
        if name not in net.dynamic and tuple(tensor.shape) != wanted:
            raise Mismatch(net, f"-O{level} in {dtype}: blob '{name}' is {tuple(tensor.shape)}, not {wanted}")


def difference(found: Array, wanted: Array, tolerance: float = TOLERANCE) -> str:
    """Why two blobs differ, "" if they do not: shape, NaN and infinities exactly, values as parts of the largest."""
    if found.shape != wanted.shape:
        return f"shape {found.shape}, not {wanted.shape}"
    ordinary = np.isfinite(wanted) & (np.abs(wanted) < 1e30)
    if not np.array_equal(found[~ordinary], wanted[~ordinary], equal_nan=True):
        return f"{found[~ordinary][:5]}, not {wanted[~ordinary][:5]}"
    if not ordinary.any():
        return ""
    gap = np.abs(found[ordinary] - wanted[ordinary])
    if not np.isfinite(gap).all():
        return f"{found[ordinary][~np.isfinite(gap)][:5]}, not {wanted[ordinary][~np.isfinite(gap)][:5]}"
    if gap.max() > tolerance * max(float(np.abs(wanted[ordinary]).max()), 1e-2):
        worst = gap.argmax()
        return f"{found[ordinary][worst]!r}, not {wanted[ordinary][worst]!r}"
    return ""


def _inspection(net: Drawn, analysed: Analysed) -> None:
    """The report's shapes and parameters are those of the run."""
    report = layers_as_json(layers_report(analysed))
    for name, blob in report["blobs"].items():
        if name not in net.dynamic and tuple(blob["shape"]) != net.expected[name].shape:
            raise Mismatch(net, f"inspect: blob '{name}' is {blob['shape']}, not {net.expected[name].shape}")
    if set(report["blobs"]) != set(net.expected):
        raise Mismatch(net, f"inspect: blobs {list(report['blobs'])}, not {list(net.expected)}")
    for layer in report["layers"]:
        wanted = [list(b.shape) for b in net.blobs.get(layer["name"], ())]
        if layer["blobs"] != wanted:
            raise Mismatch(net, f"inspect: layer '{layer['name']}' has blobs {layer['blobs']}, not {wanted}")
    total = sum(prod(b.shape) for blobs in net.blobs.values() for b in blobs)
    if not 0 <= report["totals"]["parameters"] <= total:
        raise Mismatch(net, f"inspect: {report['totals']['parameters']} parameters, {total} with shared ones")


def _sizes(net: Drawn, analysed: Analysed) -> None:
    """The size functions against shape inference at other sizes of the input."""
    symbolic = analysed.symbolic
    if not symbolic.spatial:
        return
    valid = analysed.valid
    whole = all(shape is not None for shape in symbolic.shapes.values())
    heights = [SIZES[(net.extra * 3 + i * 5) % len(SIZES)] for i in range(3)]
    for height, width in ((heights[0], heights[1]), (heights[2], heights[0])):
        shapes = {
            entry.value.blob: (*entry.shape[:2], height, width)
            for entry in analysed.graph.inputs
            if entry.value in symbolic.spatial
        }
        options = Options(train=net.train, with_loss=True, shapes=shapes)
        graph = build(load_net(Source(net.text, "net.prototxt")).net, options).graph
        known, problems = infer(graph)
        tied = all(known.get(value) == analysed.shapes[value] for value, _ in symbolic.pins)
        legal, claimed = not problems and tied, height in valid[0] and width in valid[1]
        volumes = any(isinstance(d, Volume) for shape in symbolic.shapes.values() for d in shape or ())
        products = volumes or symbolic.gaps or not COUNTING.isdisjoint(net.types)
        if (legal and not claimed and not products) or (claimed and not legal and whole):
            raise Mismatch(
                net, f"input {height}x{width} is {'legal' if legal else 'illegal'}, valid_sizes differs: {problems}"
            )
        if not legal:
            continue
        for value, shape in symbolic.shapes.items():
            if shape is None:
                continue
            found = tuple(_at(d, height, width) for d in shape)
            if any(own not in (None, wanted) for own, wanted in zip(found, known[value], strict=True)):
                raise Mismatch(net, f"input {height}x{width}: {value} is {known[value]}, its sizes say {found}")


def _at(extent: int | Size | Volume, height: int, width: int) -> int | None:
    """What an extent says of a plane of this size; None where it does not tell."""
    if isinstance(extent, int):
        return extent
    if isinstance(extent, Volume):
        return extent.at({"H": height, "W": width})
    return extent.at(height if extent.name == "H" else width)


def _round_trip(net: Drawn, analysed: Analysed) -> None:
    """The net printed and read again compiles to the same module."""
    text = to_text(load_net(Source(net.text, "net.prototxt")).net)
    again = analysed_of(net, text).require()
    if compile_net(again, 1).source != compile_net(analysed, 1).source:
        raise Mismatch(net, f"printed and read again, the net compiles to another module:\n{text}")


def _caffemodel(net: Drawn, analysed: Analysed, form: Form) -> None:
    """The drawn weights through a caffemodel file and the real reader."""
    level = 1 + (net.extra // 16) % 2
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.caffemodel"
        path.write_bytes(caffemodel(analysed, net.blobs, form, legacy=net.extra % 32 < 16))
        inputs: dict[str, Any] = {name: np.asarray(a, np.float64) for name, a in net.inputs.items()}
        found = run(analysed, path, inputs, level=level, blobs=["all"] if level == 1 else None, dtype="float64")
    # The file's numbers are exact in float32; recipes that compute round to it again.
    computed = level == 2 or "BatchNorm" in net.types
    for name, value in found.items():
        if why := difference(value, net.expected[name], 1e-4 if computed else TOLERANCE):
            raise Mismatch(net, f"weights from a {form} caffemodel, -O{level}: blob '{name}': {why}")
