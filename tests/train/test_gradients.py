"""Gradients of every conformance case of real Caffe: what is fed to the outputs comes out at inputs and blobs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.emit.weights import layer_specs
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.train.blobs import draw, learned_blobs
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
    net = compiled(analyse(open_source(case.net), options).require())
    infos, layers = learned_blobs(net.module), layer_specs(net.module)
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

    owners = {f"{layer.name}/{i}": owner for layer in layers for i, owner in enumerate(layer.owners())}
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


# Caffe's gradient is not the derivative of Caffe's loss here, and it is Caffe's that training follows.
OWN_WAY = {
    "contrastive": "the gradient adds 1e-4 to the distance that it divides by",
    "inplace-chain": "Power works in place, and Caffe's gradient reads what is overwritten",
    "mvn-eps": "the gradient takes no account of eps",
}


def along_a_direction(case: ConformanceCase) -> tuple[float, float, float] | None:
    """Change of the loss along one random direction of all inputs and learned blobs at once, in float64.

    By the gradient, by finite differences, and the sum of the terms' sizes; None where nothing has a gradient.
    """
    inputs = case.arrays("inputs")
    options = Options(case.phase == "TRAIN", case.level, case.stages, fed=frozenset(inputs), with_loss=True)
    net = compiled(analyse(open_source(case.net), options).require())
    net.code.double()
    infos = learned_blobs(net.module)
    blobs = draw(infos, torch.Generator())
    if case.weights is not None:
        copy_weights(str(case.weights), layer_specs(net.module), blobs)
    blobs = {take: tensor.double() for take, tensor in blobs.items()}
    batch = {name: torch.from_numpy(array.astype(np.float64)) for name, array in inputs.items()}
    random = torch.Generator().manual_seed(3)
    weights: dict[str, torch.Tensor] = {}

    def value() -> torch.Tensor:
        tops = net(blobs, {name: tensor.clone() for name, tensor in batch.items()}, torch.device("cpu"))
        total = net.loss(tops).double()
        weighed = {loss.blob for loss in net.losses}
        for name, top in tops.items():
            if name not in weighed and top.is_floating_point():
                weights.setdefault(name, torch.randn(top.shape, generator=random, dtype=torch.float64))
                total = total + (top * weights[name]).sum()
        return total

    moved = [blobs[info.take].requires_grad_() for info in infos if info.learned]
    moved += [batch[name].requires_grad_() for name in batch]
    total = value()
    if not total.requires_grad:
        return None
    gradients = torch.autograd.grad(total, moved, allow_unused=True)
    pairs = [(t, g) for t, g in zip(moved, gradients, strict=True) if g is not None and bool(g.any())]
    directions = [torch.randn(t.shape, generator=random, dtype=torch.float64) for t, _ in pairs]
    found = sum(float((g * d).sum()) for (_, g), d in zip(pairs, directions, strict=True))
    step, ends = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for (tensor, _), direction in zip(pairs, directions, strict=True):
                tensor += sign * step * direction
            ends.append(float(value()))
    size = sum(float((g * d).abs().sum()) for (_, g), d in zip(pairs, directions, strict=True))
    return found, (ends[0] - ends[1]) / (2 * step), size


@pytest.mark.parametrize(
    "case", [case for case in WITH_GRADIENTS if case.name not in OWN_WAY], ids=lambda case: case.name
)
def test_gradients_are_finite_differences(case: ConformanceCase) -> None:
    result = along_a_direction(case)
    if result is not None:
        found, wanted, size = result
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-6 * size + 1e-9)


@pytest.mark.parametrize("case", [case for case in WITH_GRADIENTS if case.name in OWN_WAY], ids=lambda case: case.name)
def test_caffe_goes_another_way_than_finite_differences(case: ConformanceCase) -> None:
    """Each exception is one: `test_gradients_are_caffes` holds for it, and the derivative is another number."""
    result = along_a_direction(case)
    assert result is not None
    found, wanted, _ = result
    assert found != pytest.approx(wanted, rel=1e-5)


def test_every_exception_is_a_case() -> None:
    assert OWN_WAY.keys() <= {case.name for case in WITH_GRADIENTS}
