"""Every pass over every net: a valid graph, equal shapes and coordinates, idempotent, numbers within its claim."""

from __future__ import annotations

import numpy as np
import pytest

from netcompile.analysis.coordinates import coordinates
from netcompile.analysis.shapes import shapes_of
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.ir.graph import Graph
from netcompile.ir.verify import verify
from netcompile.passes import PIPELINE
from netcompile.passes.base import Pass
from netcompile.pipeline import analyse
from netcompile.prototxt.recognise import open_source
from tests.conftest import CASES, ConformanceCase

PASSES = [step for _, step in PIPELINE]


def graph_of(case: ConformanceCase) -> Graph:
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=frozenset(case.inputs))
    return analyse(open_source(case.net), options).require().graph


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_each_pass_over_each_net(step: Pass) -> None:
    for case in CASES:
        before = graph_of(case)
        after = step.run(before)
        verify(after)
        assert step.run(after) == after, case.name
        old, new = shapes_of(before), shapes_of(after)
        assert after.outputs == before.outputs
        assert set(before.outputs) <= set(after.blobs) <= set(before.blobs), case.name
        for blob, value in after.blobs.items():
            assert new[value] == old[before.blobs[blob]], (case.name, blob)
        frames, moved = coordinates(before, old).frames, coordinates(after, new).frames
        for blob, there in after.blobs.items():
            value = before.blobs[blob]
            if value in frames and frames[value][0] in moved and there in moved:
                assert moved[there][1] == frames[value][1], (case.name, blob)


def test_noops_are_dropped_and_said_why_not() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "d" type: "Dropout" bottom: "x" top: "y" }
    layer { name: "r" type: "ReLU" bottom: "y" top: "z" }
    """
    step = PASSES[0]
    graph = analyse(Source(text)).graph
    assert [node.name for node in step.run(graph).nodes] == ["r"]
    trained = analyse(Source(text), Options(train=True)).graph
    assert [node.name for node in step.run(trained).nodes] == ["d", "r"]
    assert [(s.node.name, s.why) for s in step.explain(trained)] == [("d", "the net is built for phase TRAIN")]


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("dropout-basic", "fcn8s-narrow", "inplace-chain")])
def test_bitwise_passes_change_no_bit(case: ConformanceCase) -> None:
    from netcompile.runtime.execute import run

    net = analyse(open_source(case.net))
    inputs = case.arrays("inputs")
    literal = run(net, case.weights, inputs, level=0, blobs=["all"])
    for name, value in run(net, case.weights, inputs, level=1, blobs=["all"]).items():
        np.testing.assert_array_equal(value, literal[name], err_msg=name)
