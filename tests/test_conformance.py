"""Every conformance case of real Caffe and of its forks' layers, blob for blob, at every optimisation level.

Asked for every blob, passes have little to do: so each case is run once more for its outputs alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netcompile.analyser import Analysed, analyse
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.conftest import ALL_CASES, ConformanceCase

LEVELS = (0, 1, 2)
TOLERANCE = 1e-5  # of max|reference|, per blob


ANALYSED: dict[Path, Analysed] = {}


def analysed(case: ConformanceCase) -> Analysed:
    """The net of a case, analysed once for all tests."""
    if case.folder not in ANALYSED:
        fed = frozenset(case.arrays("inputs"))
        options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=fed)
        ANALYSED[case.folder] = analyse(open_source(case.net), options).require()
    return ANALYSED[case.folder]


def blobs(case: ConformanceCase) -> dict[str, np.ndarray]:
    """What Caffe's net.blobs held after the forward pass."""
    expected = case.arrays("expected")
    return {key.removeprefix("blob:"): value for key, value in expected.items() if key.startswith("blob:")}


def assert_close(found: np.ndarray, reference: np.ndarray, name: str) -> None:
    assert found.shape == reference.shape, name
    finite = np.isfinite(reference)
    scale = np.abs(reference[finite]).max(initial=0)
    np.testing.assert_allclose(found, reference, rtol=0, atol=TOLERANCE * scale, equal_nan=True, err_msg=name)


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_every_blob_equals_caffe(case: ConformanceCase) -> None:
    from netcompile.runtime.execute import run

    inputs, wanted = case.arrays("inputs"), blobs(case)
    for level in LEVELS:
        found = run(analysed(case), case.weights, inputs, level=level, blobs=["all"])
        assert list(found) == list(wanted), level
        for name, reference in wanted.items():
            assert_close(found[name], reference, f"{name} at -O{level}")


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_outputs_alone_equal_caffe(case: ConformanceCase) -> None:
    from netcompile.runtime.execute import run

    inputs, wanted = case.arrays("inputs"), blobs(case)
    for level in LEVELS:
        found = run(analysed(case), case.weights, inputs, level=level)
        assert set(found) == set(case.outputs), level
        for name, value in found.items():
            assert_close(value, wanted[name], f"{name} at -O{level}")


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_inputs_outputs_and_shapes_are_caffes(case: ConformanceCase) -> None:
    """After every layer; all but tops whose size depends on numbers, as that of detections does."""
    net, expected = analysed(case), case.arrays("expected")
    assert set(net.graph.outputs) == set(case.outputs)
    assert {entry.value.blob: entry.shape for entry in net.graph.inputs} == case.inputs
    for node in net.graph.nodes:
        for top in node.tops:
            key = f"top:{node.name}:{top.blob}"
            if key in expected and not node.layer.sized_by_values:
                assert net.shapes[top] == expected[key].shape, key
