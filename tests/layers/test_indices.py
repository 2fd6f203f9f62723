"""Indices stay whole at every type: masks, ArgMax, rows of tables, labels, and what only moves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.ir.indices import index_inputs, indices
from netcompile.runtime.execute import run
from tests.caffemodel import encode as e
from tests.conftest import FORK_CASES, ConformanceCase
from tests.layers.harness import analyse_text, compile_text, inputs_text, module_of, run_text
from tests.test_conformance import analysed, blobs

TYPES = ("float32", "float64", "bfloat16")
MASKED = [c for c in FORK_CASES if c.name in ("segnet-encdec", "deconvnet", "unpooling-max-mask-hw")]


def of(kind: str, bottoms: str, tops: str, param: str = "") -> str:
    names = " ".join([f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "{tops.split()[0]}" type: "{kind}" {names} {param} }}\n'


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("case", MASKED, ids=lambda case: case.name)
def test_masks_of_real_nets(case: ConformanceCase, dtype: str) -> None:
    """Every level runs, and each mask points at a value of its plane."""
    net, inputs = analysed(case), case.arrays("inputs")
    wanted = blobs(case)
    for level in (0, 1, 2):
        found = run(net, case.weights, inputs, level=level, blobs=["all"], dtype=dtype)
        for name, value in found.items():
            assert np.issubdtype(value.dtype, np.floating)
            assert value.shape == wanted[name].shape
            if dtype == "float64":
                np.testing.assert_allclose(value, wanted[name], atol=1e-4 * np.abs(wanted[name]).max())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "window", ["kernel_size: 2 stride: 2", "kernel_size: 3 stride: 2 pad: 2", "global_pooling: true"]
)
def test_a_mask_names_the_maximum(window: str, dtype: str) -> None:
    text = inputs_text(a=(1, 2, 40, 41)) + of("Pooling", "a", "p m", f"pooling_param {{ {window} }}")
    x = np.random.default_rng(0).permutation(2 * 40 * 41).reshape(1, 2, 40, 41) * 0.5
    x = torch.from_numpy(x).to(getattr(torch, dtype)).double().numpy()
    found = run_text(text, {"a": x}, dtype=dtype)
    for plane, values, places in zip(x[0], found["p"][0], found["m"][0], strict=True):
        np.testing.assert_array_equal(plane.ravel()[places.astype(int)], values)
    assert found["m"].max() > 256


@pytest.mark.parametrize("dtype", TYPES)
def test_masks_through_layers_that_move_them(dtype: str) -> None:
    text = (
        inputs_text(a=(1, 2, 40, 40))
        + of("Pooling", "a", "p m", "pooling_param { kernel_size: 2 stride: 2 }")
        + of("Flatten", "m", "f")
        + of("Reshape", "f", "r", "reshape_param { shape { dim: 1 dim: 2 dim: 20 dim: 20 } }")
        + of("Slice", "r", "s t")
        + of("Concat", "s t", "c")
        + of("Upsample", "p c", "u", "upsample_param { scale: 2 }")
    )
    x = np.random.default_rng(1).normal(size=(1, 2, 40, 40))
    u = run_text(text, {"a": x}, dtype=dtype, outputs=["u"])["u"]
    rounded = torch.from_numpy(x).to(getattr(torch, dtype)).double().numpy()
    np.testing.assert_array_equal(u[u != 0], rounded[u != 0])
    assert np.count_nonzero(u) == 800


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("param", ["", "argmax_param { axis: 1 }", "argmax_param { out_max_val: true }"])
def test_argmax_of_many_classes(param: str, dtype: str) -> None:
    x = np.zeros((3, 1000))
    x[[0, 1, 2], [257, 300, 999]] = 3
    found = run_text(inputs_text(a=x.shape) + of("ArgMax", "a", "y", param), {"a": x}, dtype=dtype)["y"]
    classes = found[:, 0].ravel() if "out_max" in param else found.ravel()
    np.testing.assert_array_equal(classes, [257, 300, 999])
    if "out_max" in param:
        np.testing.assert_array_equal(found[:, 1].ravel(), [3, 3, 3])


@pytest.mark.parametrize("dtype", TYPES)
def test_other_layers_get_numbers_of_the_nets_type(dtype: str) -> None:
    """One conversion for two readers; products with weights would refuse mixed types."""
    text = (
        inputs_text(a=(2, 300))
        + of("ArgMax", "a", "i", "argmax_param { axis: 1 }")
        + of("Power", "i", "h", "power_param { scale: 0.5 }")
        + of("InnerProduct", "i", "w", "inner_product_param { num_output: 2 }")
    )
    compiled, module = compile_text(text, outputs=["h", "w"])
    assert module.source.count("i_numbers = i.to(a.dtype)") == 1
    x = np.zeros((2, 300))
    x[[0, 1], [256, 128]] = 1
    weights = {"w": [np.array([[1.0], [0.5]]), np.zeros(2)]}
    made = module_of(compiled, module, weights, dtype)
    found = made(torch.from_numpy(x).to(getattr(torch, dtype)))
    assert found["h"].dtype == found["w"].dtype == getattr(torch, dtype)
    np.testing.assert_array_equal(found["w"].detach().double(), [[256, 128], [128, 64]])


def test_outputs_are_floating_point_numbers() -> None:
    text = inputs_text(a=(1, 400)) + of("ArgMax", "a", "y")
    compiled, module = compile_text(text)
    for dtype, wanted in (("float32", torch.float32), ("float64", torch.float64), ("bfloat16", torch.float32)):
        x = torch.zeros(1, 400, dtype=getattr(torch, dtype))
        x[0, 399] = 1
        y = module_of(compiled, module, None, dtype)(x)
        assert (y.dtype, y.item()) == (wanted, 399)


def caffemodel(folder: Path, *layers: bytes) -> Path:
    path = folder / "w.caffemodel"
    path.write_bytes(e.net(*layers))
    return path


@pytest.mark.parametrize("dtype", TYPES)
def test_inputs_that_are_indices(dtype: str, tmp_path: Path) -> None:
    """A table of 1000 rows, a list of rows, a mask: fed as they are, whatever the net's type."""
    text = (
        inputs_text(word=(3, 2), rows=(2,), x=(1, 1, 20, 20), m=(1, 1, 20, 20))
        + of("Embed", "word", "e", "embed_param { num_output: 1 input_dim: 1000 bias_term: false }")
        + of("BatchReindex", "word rows", "picked")
        + of("Upsample", "x m", "u", "upsample_param { scale: 2 }")
    )
    net = analyse_text(text).require()
    assert {value.blob for value in index_inputs(net.graph)} == {"word", "rows", "m"}
    weights = caffemodel(tmp_path, e.v2("e", "Embed", e.blob((1000, 1), [v // 8 for v in range(1000)])))
    inputs = {
        "word": np.array([[257, 999], [513, 1], [770, 3]]),
        "rows": np.array([2.0, 0.0]),
        "x": np.ones((1, 1, 20, 20), np.float32),
        "m": np.arange(1199, 1599).reshape(1, 1, 20, 20).astype(np.float32),
    }
    found = run(net, weights, inputs, blobs=["all"], dtype=dtype)
    np.testing.assert_array_equal(found["e"][..., 0], inputs["word"] // 8)
    np.testing.assert_array_equal(found["picked"], inputs["word"][[2, 0]])
    np.testing.assert_array_equal(np.flatnonzero(found["u"]), np.arange(1199, 1599))
    assert all(np.issubdtype(value.dtype, np.floating) for value in found.values())


@pytest.mark.parametrize("dtype", TYPES)
def test_labels_of_many_classes(dtype: str) -> None:
    text = (
        inputs_text(a=(4, 1000), label=(4,))
        + of("Accuracy", "a label", "hit")
        + of("SoftmaxWithLoss", "a label", "loss")
    )
    label = np.array([257, 515, 999, 0])
    x = np.zeros((4, 1000), np.float32)
    x[np.arange(4), label] = 50
    found = run(analyse_text(text).require(), None, {"a": x, "label": label.astype(np.float32)}, dtype=dtype)
    assert found["hit"] == 1
    assert found["loss"] < 1e-6


def test_what_carries_indices() -> None:
    text = (
        inputs_text(a=(1, 1, 4, 4), b=(1, 1, 2, 2))
        + of("Pooling", "a", "p m", "pooling_param { kernel_size: 2 stride: 2 }")
        + of("Permute", "m", "q")
        + of("Concat", "m b", "mixed")
        + of("Eltwise", "m q", "sum")
    )
    assert {value.blob for value in indices(analyse_text(text).graph)} == {"m", "q"}


def test_the_real_masks_are_caffes() -> None:
    """Where the bottom of a pooling is real Caffe's the mask is, index for index."""
    (case,) = [c for c in FORK_CASES if c.name == "segnet-encdec"]
    found = run(analysed(case), case.weights, case.arrays("inputs"), blobs=["all"], dtype="float64")
    masks = [node.tops[1].blob for node in analysed(case).graph.nodes if node.type == "Pooling" and len(node.tops) > 1]
    assert masks
    for blob in masks:
        np.testing.assert_array_equal(found[blob], blobs(case)[blob])
