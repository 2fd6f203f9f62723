"""Recipes evaluated with torch, as training does in every pass, against the evaluation with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.caffemodel import arithmetic
from netcompile.caffemodel import recipe as recipes
from netcompile.caffemodel.arithmetic import Add, Combined, Diagonal, Multiply, Rsqrt, ScaledByFactor, Subtract
from netcompile.caffemodel.recipe import Concat, Constant, Recipe, Reshape, Slice, Take, Transpose
from netcompile.train.blobs import evaluate

A, B, N, ZERO = Take("a", 0), Take("b", 0), Take("n", 0), Take("z", 0)
RANDOM = np.random.default_rng(0)
BLOBS = {
    A: RANDOM.random((3, 3, 2), np.float32) + 1,
    B: RANDOM.random((3, 1, 2), np.float32) + 1,
    N: np.array([2.5], np.float32),
    ZERO: np.zeros(1, np.float32),
}
KINDS: list[Recipe] = [
    A, Constant(2.0, (2, 3)), Constant(3, (), "int64"), Reshape(A, (9, 2)), Transpose(A, (2, 0, 1)),
    Slice(A, 1, 1, 3), Concat((A, B), 1), Add(A, B), Subtract(A, B), Multiply(A, B),
    ScaledByFactor(A, N), ScaledByFactor(A, ZERO), Diagonal(A), Rsqrt(A, 1e-3), Combined(A, 1, (2, 0, -0.5)),
]  # fmt: skip


def test_every_kind_is_here() -> None:
    named = {**vars(recipes), **vars(arithmetic)}
    every = {kind for kind in named.values() if isinstance(kind, type) and issubclass(kind, Recipe)}
    assert {type(kind) for kind in KINDS} == {kind for kind in every - {Recipe} if not kind.__name__.startswith("_")}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_torch_gives_what_numpy_gives(kind: Recipe) -> None:
    tensors = {take: torch.from_numpy(array) for take, array in BLOBS.items()}
    found = evaluate(kind, tensors, torch.device("cpu"))
    wanted = recipes.evaluate(kind, BLOBS.__getitem__)
    assert found.numpy().dtype == wanted.dtype
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


def test_a_bare_take_is_the_blob_itself() -> None:
    tensor = torch.ones(3)
    assert evaluate(A, {A: tensor}, torch.device("cpu")) is tensor
