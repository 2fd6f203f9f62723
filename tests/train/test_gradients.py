"""Gradients of every conformance case of real Caffe: what is fed to the outputs comes out at inputs and blobs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.ir.build import Options
from netcompile.pipeline import analyse
from netcompile.prototxt.source import Source
from netcompile.train.blobs import blobs_of, draw, layers_of
from netcompile.train.net import compiled
from netcompile.train.weights import copy_weights
from tests.conftest import CASES, ConformanceCase

TOLERANCE = 1e-5  # of max|reference|, per array
ROUNDING = 1e-7  # of the case's largest gradient: sums that cancel to nothing but rounding have no scale of their own

WITH_GRADIENTS = [case for case in CASES if (case.folder / "gradients.npz").exists()]


def test_the_cases_are_there() -> None:
    assert len(WITH_GRADIENTS) == 114


@pytest.mark.parametrize("case", WITH_GRADIENTS, ids=lambda case: case.name)
def test_gradients_are_caffes(case: ConformanceCase) -> None:
    reference, inputs = case.arrays("gradients"), case.arrays("inputs")
    options = Options(case.phase == "TRAIN", case.level, case.stages, fed=frozenset(inputs), with_loss=True)
    net = compiled(analyse(Source.read(case.net), options).require())
    infos, layers = blobs_of(net.module), layers_of(net.module)
    blobs = draw(infos, torch.Generator())
    if case.weights is not None:
        copy_weights(str(case.weights), layers, blobs)
    for info in infos:
        blobs[info.take].requires_grad_(info.learned)
    batch = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in inputs.items()}

    tops = {**net(blobs, batch, torch.device("cpu"))}
    total = net.loss(tops)
    for key, value in reference.items():
        kind, _, name = key.partition(":")
        if kind == "topdiff":
            top = batch.get(name, tops.get(name))
            assert top is not None
            total = total + (top * torch.from_numpy(value).reshape(top.shape)).sum()
    if total.requires_grad:
        total.backward()

    owners = {f"{layer.name}/{i}": owner for layer in layers for i, owner in enumerate(layer.owners)}
    gradients = {f"diff:{name}": tensor.grad for name, tensor in batch.items()}
    gradients |= {f"pdiff:{key}": blobs[owner].grad for key, owner in owners.items()}
    largest = max(np.abs(value).max(initial=0) for value in reference.values())
    for key, value in reference.items():
        if key.startswith("topdiff:"):
            continue
        found = gradients[key]
        array = np.zeros(value.shape) if found is None else found.numpy().reshape(value.shape)
        atol = max(TOLERANCE * np.abs(value).max(initial=0), ROUNDING * largest)
        np.testing.assert_allclose(array, value, rtol=0, atol=atol, err_msg=key)
