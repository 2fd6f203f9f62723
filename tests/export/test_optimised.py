"""ONNX files of -O 2: the optimised net in plain operators, with the literal net's numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.export.onnx_file import convert_onnx
from netcompile.export.portable import Portable, portable_net
from netcompile.export.program import Exported
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import with_weights
from netcompile.zoo.find import find_definition
from tests.conftest import ALL_CASES, REPOSITORY, ConformanceCase
from tests.export.nets import BILINEAR, framed

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TOLERANCE = 1e-5  # of an output's largest magnitude


def written(net: Analysed, weights: str | None, path: Path) -> tuple[Portable, Exported]:
    """The file of -O 2, and what it was made of."""
    portable = portable_net(net, 2, weights=weights)
    exported, _ = convert_onnx(net, portable, with_weights(net, portable.module, weights), str(path))
    return portable, exported


def computed(path: Path, feed: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {value.name for value in session.get_inputs()}
    return session.run(None, {name: array for name, array in feed.items() if name in given})


def operators(path: Path) -> Counter[str]:
    graph = onnx.load(str(path)).graph
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    return Counter(node.op_type for node in graph.node)


def literal(net: Analysed, weights: str | None) -> nn.Module:
    return with_weights(net, compile_net(net, 0), weights)


def assert_close(found: Any, wanted: Any, name: str) -> None:
    scale = np.abs(wanted).max(initial=0) or 1
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=name)


NAMES = """bn-scale-inplace conv-pad100 conv-dilation crop-two-offsets deconv-bilinear-filler deconv-group deconv-k64s32
fcn8s-narrow pool-max-ceil-11 y-share-deconv-conv z-conv-bn-eltwise-residual z-deconv-k1s2"""
CHOSEN = [case for case in ALL_CASES if case.name in NAMES.split()]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_conformance(case: ConformanceCase, tmp_path: Path) -> None:
    arrays = case.arrays("inputs")
    options = Options(level=case.level, stages=case.stages, fed=frozenset(arrays))
    net = analyse(open_source(case.net), options).require()
    weights = None if case.weights is None else str(case.weights)
    portable, _ = written(net, weights, tmp_path / "net.onnx")
    expected = case.arrays("expected")
    found = computed(tmp_path / "net.onnx", arrays)
    for name, value in zip(portable.module.outputs, found, strict=True):
        assert_close(value, expected[f"blob:{name}"], name)


@pytest.mark.parametrize("kernel", [BILINEAR, np.arange(16, dtype=np.float32).reshape(4, 4)], ids=["bilinear", "other"])
def test_windows_within_borders(tmp_path: Path, kernel: Any) -> None:
    """BatchNorm and Scale are folded, borders are constants, the deconvolution is what its weights allow."""
    net, weights = framed(tmp_path, kernel)
    portable, exported = written(net, weights, tmp_path / "net.onnx")
    assert portable.frames
    (note,) = exported.limits
    assert str(note).splitlines()[0].endswith("note[export]: framed is exported for images of 60×70 alone")
    interpolates = kernel is BILINEAR
    found = operators(tmp_path / "net.onnx")
    assert found["Conv"] == 2
    assert found["MaxPool"] == 1
    assert found["Resize"] == interpolates
    assert found["ConvTranspose"] == (not interpolates)
    assert not found.keys() & {"BatchNormalization", "MatMul", "IsNaN", "IsInf", "If", "Where", "ScatterND", "Einsum"}
    for count in (1, 3):
        image = torch.randn(count, 3, 60, 70, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            wanted = literal(net, weights)(image).numpy()
        assert_close(computed(tmp_path / "net.onnx", {"data": image.numpy()})[0], wanted, "score")


def test_the_windows_save_what_the_border_costs(tmp_path: Path) -> None:
    """The first convolution computes the pixels that see the image, and no others."""
    net, weights = framed(tmp_path)
    written(net, weights, tmp_path / "net.onnx")
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / "net.onnx"))).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    first = next(node for node in graph.node if node.op_type == "Conv")
    height, width = shapes[first.output[0]][2:]
    assert height <= 60 + 4  # with its border 138 and 148
    assert width <= 70 + 4


def test_weights_that_are_not_finite_have_no_constant_border(tmp_path: Path) -> None:
    net, weights = framed(tmp_path, first=np.inf)
    _, exported = written(net, weights, tmp_path / "net.onnx")
    assert exported.limits == ()
    assert [axis.most for axis in exported.signature.axes] == [None, None]


def test_sizes_are_free_where_no_border_depends_on_them(tmp_path: Path) -> None:
    net, weights = framed(tmp_path)
    portable = portable_net(net, 2, weights=weights, any_size=True)
    assert portable.frames == ()
    exported, _ = convert_onnx(net, portable, with_weights(net, portable.module, weights), str(tmp_path / "net.onnx"))
    assert exported.limits == ()
    image = torch.randn(2, 3, 33, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = literal(net, weights)(image).numpy()
    assert_close(computed(tmp_path / "net.onnx", {"data": image.numpy()})[0], wanted, "score")


def test_the_bundled_net_at_another_size(tmp_path: Path) -> None:
    weights = str(REPOSITORY / "weights" / "shapes-fcn8s.caffemodel")
    path = find_definition("shapes-fcn8s/deploy.prototxt")
    net = analyse(open_source(path), Options(shapes={"data": (1, 3, 260, 300)})).require()
    portable, _ = written(net, weights, tmp_path / "net.onnx")
    assert portable.frames
    image = 50 * torch.randn(1, 3, 260, 300, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted = literal(net, weights)(image).numpy()
    assert_close(computed(tmp_path / "net.onnx", {"data": image.numpy()})[0], wanted, "score")
