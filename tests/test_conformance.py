"""Every conformance case of real Caffe, blob for blob, at every optimisation level."""

from __future__ import annotations

import numpy as np
import pytest

from netcompile.ir.build import Options
from netcompile.pipeline import analyse
from netcompile.prototxt.source import Source
from tests.conftest import CASES, ConformanceCase

TOLERANCE = 1e-5  # of max|reference|, per blob


def options(case: ConformanceCase, fed: dict[str, np.ndarray]) -> Options:
    return Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=frozenset(fed))


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_blob_equals_caffe(case: ConformanceCase, level: int) -> None:
    from netcompile.runtime.execute import run

    inputs, expected = case.arrays("inputs"), case.arrays("expected")
    net = analyse(Source.read(case.net), options(case, inputs)).require()
    found = run(net, case.weights, inputs, level=level, blobs=["all"])
    wanted = {key.removeprefix("blob:"): value for key, value in expected.items() if key.startswith("blob:")}
    assert list(found) == list(wanted)
    for name, reference in wanted.items():
        assert found[name].shape == reference.shape, name
        scale = np.abs(reference).max(initial=0)
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=TOLERANCE * scale, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_are_caffes(case: ConformanceCase) -> None:
    net = analyse(Source.read(case.net), options(case, case.arrays("inputs"))).require()
    assert set(net.graph.outputs) == set(case.outputs)
    assert {entry.value.blob: entry.shape for entry in net.graph.inputs} == case.inputs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_shapes_after_every_layer(case: ConformanceCase) -> None:
    net = analyse(Source.read(case.net), options(case, case.arrays("inputs"))).require()
    expected = case.arrays("expected")
    for node in net.graph.nodes:
        for top in node.tops:
            key = f"top:{node.name}:{top.blob}"
            if key in expected:
                assert net.shapes[top] == expected[key].shape, key
