"""Every pass over every net: a valid graph, equal shapes and coordinates, idempotent, numbers within its claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from netcompile.analyser import Analysed, analyse
from netcompile.analysis.coordinates import coordinates
from netcompile.analysis.shapes import infer
from netcompile.compiler import emit_net, facts_of
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.ir.graph import Graph
from netcompile.ir.verify import verify
from netcompile.passes import PIPELINE
from netcompile.passes.base import NO_FACTS, Program, Rewritten, run_all
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import with_weights
from netcompile.runtime.random_weights import draw
from tests.conftest import CASES, REPOSITORY

PASSES = [step for _, step in PIPELINE]
WIDE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 44 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 64 kernel_size: 3 pad: 20 } }
layer { name: "ra" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 64 kernel_size: 3 pad: 1 } }
layer { name: "p" type: "Pooling" bottom: "b" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "f" type: "Convolution" bottom: "p" top: "f" convolution_param { num_output: 32 kernel_size: 7 } }
layer { name: "up" type: "Deconvolution" bottom: "f" top: "up"
        convolution_param { num_output: 5 kernel_size: 4 stride: 2 } }
layer { name: "c" type: "Crop" bottom: "up" bottom: "data" top: "c" }
"""
CUT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 44 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 4 kernel_size: 3 pad: 30 } }
layer { name: "c" type: "Crop" bottom: "a" bottom: "data" top: "c" }
layer { name: "dead" type: "Convolution" bottom: "a" top: "dead" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "d" type: "Silence" bottom: "dead" }
"""
# DenseNet's order: what stands before the convolutions is folded into none of them. SSD's order of axes.
BEFORE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
layer { name: "b" type: "BatchNorm" bottom: "data" top: "b" batch_norm_param { eps: 0.001 } }
layer { name: "s" type: "Scale" bottom: "b" top: "b" scale_param { bias_term: true } }
layer { name: "r" type: "ReLU" bottom: "b" top: "b" }
layer { name: "c" type: "Convolution" bottom: "b" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "d" type: "Concat" bottom: "c" bottom: "c" top: "d" }
layer { name: "b2" type: "BatchNorm" bottom: "d" top: "b2" }
layer { name: "s2" type: "Scale" bottom: "b2" top: "s2" }
layer { name: "t2" type: "Bias" bottom: "s2" top: "t2" }
layer { name: "b3" type: "BatchNorm" bottom: "d" top: "b3" }
layer { name: "t3" type: "Bias" bottom: "b3" top: "b3" }
layer { name: "s3" type: "Scale" bottom: "b3" top: "b3" }
layer { name: "e" type: "Eltwise" bottom: "t2" bottom: "b3" top: "e" }
layer { name: "p" type: "Permute" bottom: "e" top: "p" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "f" type: "Flatten" bottom: "p" top: "f" }
"""
# A stage of a ResNet, as its first authors wrote it: the next one reads every second row and column.
STAGE = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 21 dim: 18 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "c" type: "Convolution" bottom: "b" top: "c" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "s" type: "Eltwise" bottom: "a" bottom: "c" top: "s" }
layer { name: "r" type: "ReLU" bottom: "s" top: "s" }
layer { name: "x" type: "Convolution" bottom: "s" top: "x"
        convolution_param { num_output: 8 kernel_size: 1 stride: 2 } }
layer { name: "y" type: "Convolution" bottom: "s" top: "y"
        convolution_param { num_output: 8 kernel_size: 1 stride: 2 } }
layer { name: "o" type: "Eltwise" bottom: "x" bottom: "y" top: "o" }
"""
ONES = (("wide", WIDE), ("cut", CUT), ("before", BEFORE), ("stage", STAGE))


@pytest.fixture(autouse=True)
def large_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels are large enough, and no gradient is wanted."""
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 64 * 32 * 49)
    with torch.no_grad():
        yield


@dataclass(frozen=True, eq=False)
class Net:
    name: str
    analysed: Analysed
    weights: str | None
    inputs: Mapping[str, np.ndarray]

    def run(self, program: Program) -> dict[str, torch.Tensor]:
        """The outputs of a program, as its module gives them."""
        module = emit_net(self.analysed, Rewritten(program), 2)
        drawn = self.weights is None
        code = draw(self.analysed, module) if drawn else with_weights(self.analysed, module, self.weights)
        torch.manual_seed(1)
        found = code.eval()(*(torch.from_numpy(self.inputs[value.blob]) for value in module.inputs))
        return found if isinstance(found, dict) else {module.outputs[0]: found}


@cache
def nets() -> tuple[Net, ...]:
    """The cases of Caffe's layers, the trained net that comes with the project, and nets for single passes."""
    found = []
    for case in CASES:
        train = case.phase == "TRAIN"
        options = Options(train=train, level=case.level, stages=case.stages, fed=frozenset(case.inputs))
        analysed = analyse(open_source(case.net), options).require()
        found.append(Net(case.name, analysed, case.weights and str(case.weights), case.arrays("inputs")))
    trained = analyse(open_source(str(REPOSITORY / "prototxt/shapes-fcn8s/deploy.prototxt")))
    weights = str(REPOSITORY / "weights/shapes-fcn8s.caffemodel")
    made: list[tuple[str, Analysed, str | None]] = [("trained", trained, weights)]
    made += [(n, analyse(Source(t)), None) for n, t in ONES]
    for name, analysed, file in made:
        shape = analysed.graph.inputs[0].shape
        image = np.random.default_rng(3).normal(0, 40, shape).astype(np.float32)
        found.append(Net(name, analysed.require(), file, {"data": image}))
    return tuple(found)


@cache
def before(net: Net, index: int) -> Program:
    """A net after the passes before one."""
    if index:
        return PASSES[index - 1].run(before(net, index - 1)).program
    facts = NO_FACTS if net.weights is None else facts_of(net.analysed, net.weights)
    return Program(net.analysed.graph, facts)


@pytest.mark.parametrize("index", range(len(PASSES)), ids=[step.name for step in PASSES])
def test_each_pass_over_each_net(index: int) -> None:
    step, applied = PASSES[index], 0
    for net in nets():
        old = before(net, index)
        new = step.run(old).program
        assert step.run(new).program == new, net.name
        if new is old:
            continue
        for was, now in ((old.graph, new.graph), (old.windowed or old.graph, new.windowed or new.graph)):
            check_graph(net.name, was, now)
        if not net.analysed.graph.train:
            applied += 1
            check_numbers(net, old, new, step.tolerance)
    assert applied, "no net shows what the pass does"


def check_graph(name: str, before: Graph, after: Graph) -> None:
    """A rewritten graph is valid, and its blobs are where they were."""
    verify(after)
    (old, refused), (new, others) = infer(before), infer(after)
    assert (refused, others) == ([], [])
    assert after.outputs == before.outputs
    assert set(before.outputs) <= set(after.blobs) <= set(before.blobs), name
    for blob, value in after.blobs.items():
        assert new[value] == old[before.blobs[blob]], (name, blob)
    frames, moved = coordinates(before, old).frames, coordinates(after, new).frames
    for blob, there in after.blobs.items():
        value = before.blobs[blob]
        if value in frames and frames[value][0] in moved and there in moved:
            assert moved[there][1] == frames[value][1], (name, blob)


def check_numbers(net: Net, before: Program, after: Program, tolerance: float) -> None:
    """A rewritten net's outputs are what they were, as far as the pass promises."""
    wanted, found = net.run(before), net.run(after)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        largest = float(value.nan_to_num().abs().max())
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=tolerance * largest, equal_nan=True, msg=lambda why: f"{net.name}: {why}"
        )


def test_noops_are_dropped_and_said_why_not() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "d" type: "Dropout" bottom: "x" top: "y" }
    layer { name: "r" type: "ReLU" bottom: "y" top: "z" }
    """
    step = PASSES[0]
    found = step.run(Program(analyse(Source(text)).graph))
    assert [node.name for node in found.program.graph.nodes] == ["r"]
    trained = step.run(Program(analyse(Source(text), Options(train=True)).graph))
    assert [node.name for node in trained.program.graph.nodes] == ["d", "r"]
    assert [str(site) for site in trained.skipped] == ["drop-noops: 'd' (line 3): the net is built for phase TRAIN"]


def test_training_is_rewritten_once() -> None:
    from netcompile.train.pipeline import PIPELINE as TRAINING

    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }
    layer { name: "p" type: "Power" bottom: "x" top: "x" power_param { power: 2 } }
    layer { name: "e" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "e"
            propagate_down: false propagate_down: false }
    """
    program = Program(analyse(Source(text), Options(train=True, with_loss=True)).require().graph)
    found = run_all(TRAINING, program).program
    assert [node.type for node in found.graph.nodes] == [
        "InPlace", "CheckedLabels", "StopGradient", "StopGradient", "SoftmaxWithLoss",
    ]  # fmt: skip
    verify(found.graph)
    assert run_all(TRAINING, found).program == found
    for step in TRAINING:
        assert step.run(found).program is found


def test_only_passes_know_their_layers() -> None:
    """Each layer that passes make is emitted through `Layer.emit` alone."""
    folder = Path(__file__).parents[2] / "netcompile"
    for path in (folder / "emit").glob("*.py"):
        assert "netcompile.passes" not in path.read_text(), path.name
    for path in (folder / "passes").rglob("*.py"):
        assert "netcompile.emit" not in path.read_text(), path.name
