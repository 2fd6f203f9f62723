"""The oracles of the forks' layers against the forks' own numbers: what rests on memory alone would show here."""

from __future__ import annotations

import re

import numpy as np
import pytest

from netcompile.caffemodel.reader import read_caffemodel
from netcompile.layers.registry import layer_class
from tests.conftest import FORK_CASES, ConformanceCase
from tests.fuzz.oracles import ORACLES
from tests.layers.harness import oracle_run, specs_of
from tests.test_conformance import analysed, assert_close, blobs

DETECTION = ("netcompile.layers.detection", "netcompile.layers.regions")
MEMORY = ("fold-permute-identity-alias",)  # Caffe's memory, which no oracle models


def of_ours(case: ConformanceCase) -> bool:
    """Whether all of a case's layers have an oracle, and none is a detection layer."""
    types = re.findall(r'name: "[^"]*" type: "(\w+)"', case.net.read_text())
    classes = [layer_class(name) for name in types if name != "Input"]
    known = all(cls is not None and cls.__module__ not in DETECTION for cls in classes)
    return known and case.name not in MEMORY and set(types) - {"Input"} <= set(ORACLES)


CASES = [case for case in FORK_CASES if of_ours(case)]


def test_most_cases_are_covered() -> None:
    assert len(CASES) > 110


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_fork(case: ConformanceCase) -> None:
    net = analysed(case)
    kept = {layer.name: layer.blobs for layer in read_caffemodel(case.weights).layers} if case.weights else {}
    own = {
        name: [blob.array().reshape(spec.shape) for blob, spec in zip(kept[name], specs, strict=True) if blob]
        for name, specs in specs_of(net).items()
    }
    found = oracle_run(net, case.arrays("inputs"), own, ORACLES)
    for name, reference in blobs(case).items():
        if name in found:
            assert_close(np.asarray(found[name]), reference, name)
