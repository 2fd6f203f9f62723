"""BatchNorm with the Scale and the Bias behind it: one layer where nothing else reads what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net, optimise_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.weights import weight_plan
from netcompile.ir.build import Options
from netcompile.runtime.blobs import blobs_as_compiled, blobs_of_net
from netcompile.runtime.random_weights import draw
from netcompile.surgery.blobs import write_weights

BN = 'layer { name: "n" type: "BatchNorm" bottom: "data" top: "n" %s }'
SCALE = 'layer { name: "s" type: "Scale" bottom: "n" top: "s" %s }'
BIAS = 'layer { name: "b" type: "Bias" bottom: "%s" top: "b" %s }'
TERM = "scale_param { bias_term: true }"
KEYS = ["running_mean", "running_var", "weight", "bias", "num_batches_tracked"]


def net(*layers: str, shape: Sequence[int] = (2, 3, 5, 4), train: bool = False) -> Analysed:
    dims = " ".join(f"dim: {extent}" for extent in shape)
    head = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    return analyse(Source("\n".join([head, *layers])), Options(train=train)).require()


def left(
    analysed: Analysed, outputs: Sequence[str] | None = None, level: int = 1, weights: str | None = None
) -> list[str]:
    """The layers that are left, and where the pass did not apply."""
    found = optimise_net(analysed, level, outputs, weights)
    skipped = [str(site) for site in found.skipped if site.step == "merge-scale"]
    return [node.name for node in found.program.graph.nodes] + skipped


def outputs_at(analysed: Analysed, level: int, outputs: Sequence[str] | None = None) -> list[torch.Tensor]:
    """The outputs on an image, with drawn weights."""
    module = draw(analysed, compile_net(analysed, level, outputs))
    torch.manual_seed(0)
    with torch.no_grad():
        found = module(30 * torch.randn(*analysed.graph.inputs[0].shape))
    return list(found.values()) if isinstance(found, dict) else [found]


IN_PLACE = [BN.replace('"n" %', '"data" %') % "", SCALE.replace('"n" top: "s"', '"data" top: "data"') % TERM]
MERGED = {
    "scale and bias": ([BN % "", SCALE % TERM], {"weight": "s.0", "bias": "s.1"}),
    "scale alone": ([BN % "", SCALE % ""], {"weight": "s.0"}),
    "bias alone": ([BN % "", BIAS % ("n", "")], {"bias": "b.0"}),
    "scale, then bias": ([BN % "", SCALE % "", BIAS % ("s", "")], {"weight": "s.0", "bias": "b.0"}),
    "in place": (IN_PLACE, {"weight": "s.0", "bias": "s.1"}),
    "by running statistics": ([BN % "batch_norm_param { use_global_stats: true }", SCALE % ""], {"weight": "s.0"}),
    "axis from behind": ([BN % "", SCALE % "scale_param { axis: -3 }"], {"weight": "s.0"}),
    "behind a Dropout": (
        [BN % "", 'layer { name: "d" type: "Dropout" bottom: "n" top: "n" }', SCALE % ""], {"weight": "s.0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MERGED)
@pytest.mark.parametrize("level", [1, 2])
def test_one_layer(case: str, level: int) -> None:
    layers, sources = MERGED[case]
    analysed = net(*layers)
    assert left(analysed, level=level) == ["n"]
    module = compile_net(analysed, level)
    assert [weight.key for weight in module.weights] == [f"n.{key}" for key in KEYS]
    plain = {w.key[2:]: str(take) for w in module.weights if (take := w.recipe.plain_source()) is not None}
    assert plain == sources
    assert "self.n = nn.BatchNorm2d(3, momentum=0.001)\n" in module.source
    for found, wanted in zip(outputs_at(analysed, level), outputs_at(analysed, 0), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    ("shape", "make"),
    [
        ((5, 3), "nn.BatchNorm1d(3, momentum=0.001)"),
        ((2, 3, 4), "nn.BatchNorm1d(3, momentum=0.001)"),
        ((1, 3, 2, 2, 3), "nn.BatchNorm3d(3, momentum=0.001)"),
        ((1, 3, 2, 1, 2, 2), "nn.BatchNorm1d(3, momentum=0.001)"),
    ],
)
def test_ranks(shape: tuple[int, ...], make: str) -> None:
    analysed = net(BN % "", SCALE % TERM, shape=shape)
    assert make in compile_net(analysed, 1).source
    (found,), (wanted,) = outputs_at(analysed, 1), outputs_at(analysed, 0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))


RELU = 'layer { name: "r" type: "ReLU" bottom: "n" top: "r" }'
SECOND = 'layer { name: "t" type: "Scale" bottom: "s" top: "t" }'
OTHER = 'layer { name: "w" type: "Input" top: "w" input_param { shape { dim: 3 } } }'
APART = {
    "another reader": ([BN % "", SCALE % "", RELU], ["n", "s", "r", "merge-scale: 's' (line 3): 'n' has another use"]),
    "the batch's own statistics": ([BN % "batch_norm_param { use_global_stats: false }", SCALE % ""], ["n", "s"]),
    "other axes": ([BN % "", SCALE % "scale_param { num_axes: 2 }"], ["n", "s"]),
    "another axis": ([BN % "", SCALE % "scale_param { axis: 2 }"], ["n", "s"]),
    "two bottoms": ([OTHER, BN % "", SCALE.replace('"n" top', '"n" bottom: "w" top') % ""], ["n", "s"]),
    "a second scale": ([BN % "", SCALE % TERM, SECOND], ["n", "t"]),
    "a bias first": ([BN % "", BIAS % ("n", ""), SECOND.replace('"s"', '"b"')], ["n", "t"]),
    "shared blobs": (
        [BN % "", SCALE % 'param { name: "w" }'], ["n", "s", "merge-scale: 's' (line 3): its blobs are shared"],
    ),
    "shared statistics": (
        [BN % 'param { name: "w" lr_mult: 0 }', SCALE % ""],
        ["n", "s", "merge-scale: 's' (line 3): its blobs are shared"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", APART)
def test_two_layers(case: str) -> None:
    layers, wanted = APART[case]
    assert left(net(*layers)) == wanted


def test_training_is_as_in_caffe() -> None:
    assert left(net(BN % "", SCALE % "", train=True)) == [
        "n", "s", "merge-scale: 's' (line 3): the net is built for phase TRAIN",
    ]  # fmt: skip


def test_blobs_that_are_asked_for_are_there() -> None:
    analysed = net(BN % "", SCALE % TERM)
    assert left(analysed, ["s"]) == ["n"]
    assert left(analysed, ["n", "s"])[:2] == ["n", "s"]
    found, wanted = outputs_at(analysed, 1, ["n", "s"]), outputs_at(analysed, 0, ["n", "s"])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    with pytest.raises(NetError, match="no blob 'nn'"):
        compile_net(analysed, 1, ["nn"])


@pytest.mark.parametrize("layers", [[BN % "", SCALE % TERM], IN_PLACE])
def test_every_value_can_be_kept(layers: list[str]) -> None:
    analysed = net(*layers)
    feed = {"data": np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)}
    literal, plain = (blobs_of_net(analysed, None, feed, level, 1).arrays for level in (0, 1))
    assert literal.keys() == plain.keys()
    assert all(np.array_equal(literal[key], plain[key]) for key in literal)
    compiled = blobs_as_compiled(analysed, None, feed, 1, 1).arrays
    assert compiled.keys() == literal.keys()
    for key, array in compiled.items():
        np.testing.assert_allclose(array, literal[key], rtol=0, atol=1e-6 * np.abs(literal[key]).max())


def test_the_plan_knows_every_layer_of_the_file() -> None:
    analysed = net(BN % "", SCALE % TERM)
    plan = weight_plan(analysed.graph, compile_net(analysed, 1))
    assert [(layer.name, layer.blobs) for layer in plan.layers if layer.blobs] == [
        ("n", ((3,), (3,), (1,))), ("s", ((3,), (3,))),
    ]  # fmt: skip


def test_layers_of_one_name_keep_their_own_blobs() -> None:
    again = [line.replace('"data" top: "n"', '"s" top: "m"') for line in (BN % "",)]
    analysed = net(BN % "", SCALE % "", *again, SCALE.replace('"n" top: "s"', '"m" top: "t"') % "")
    module = compile_net(analysed, 1)
    taken = [str(take) for weight in module.weights for take in weight.recipe.sources()]
    assert taken == ["n.0", "n.2", "n.1", "n.2", "s.0", "n#2.0", "n#2.2", "n#2.1", "n#2.2", "s#2.0"]
    (found,), (wanted,) = outputs_at(analysed, 1), outputs_at(analysed, 0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))


def test_training_on_in_pytorch_changes_what_was_merged() -> None:
    analysed = net(BN % "", SCALE % TERM)
    module = draw(analysed, compile_net(analysed, 1)).train()
    module(torch.randn(2, 3, 5, 4)).square().sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is not None] == ["n.weight", "n.bias"]


@pytest.mark.parametrize(
    ("mean", "scale", "wanted"),
    [
        (1.0, 2.0, ["n"]),
        (1.0, np.inf, ["n", "s", "merge-scale: 's' (line 3): its numbers are not all finite, or too large"]),
        (1e20, 1e20, ["n", "s", "merge-scale: 's' (line 3): its numbers are not all finite, or too large"]),
    ],
)
def test_overflowing_numbers_stay_apart(mean: float, scale: float, wanted: list[str], tmp_path: Path) -> None:
    """At -O2, which reads the numbers."""
    full = partial(np.full, 3, dtype=np.float32)
    blobs = {"n": (full(mean), full(1.0), np.ones(1, np.float32)), "s": (full(scale), full(0.0))}
    write_weights(tmp_path / "w.caffemodel", blobs)
    assert left(net(BN % "", SCALE % TERM), level=2, weights=str(tmp_path / "w.caffemodel")) == wanted
