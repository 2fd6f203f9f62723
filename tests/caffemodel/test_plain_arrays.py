"""Recipes without NumPy give the bytes that they give with it."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.caffemodel import arithmetic as a
from netcompile.caffemodel import recipe as r
from netcompile.caffemodel.plain_arrays import PLAIN, PlainArray, cast_chunks
from tests.caffemodel.test_recipe import BLOBS, CASES, FACTOR, MEAN, MORE, ZERO, V, W

CODES = {"float32": "f", "float64": "d"}
OTHERS = [
    a.Diagonal(r.Slice(W, 1, 0, 2)),
    a.Diagonal(r.Reshape(r.Slice(W, 2, 0, 3), (3, 3, 2))),
    a.Diagonal(r.Reshape(r.Slice(V, 0, 0, 4), (2, 2))),
    r.Transpose(a.Combined(W, 2, (1, 0.1, 0, -7)), (1, 0)),
    r.Slice(a.Multiply(W, W), 1, 1, 2),
    a.Rsqrt(a.ScaledByFactor(MEAN, FACTOR), 1e-3),  # with a negative number: NaN
    a.Multiply(W, a.Rsqrt(ZERO, 0.0)),  # infinity, and NaN where W is 0
    a.Multiply(a.Multiply(V, r.Constant(3e38, ())), r.Constant(10, (4,))),  # beyond float32
    a.Add(r.Constant(0.1, (3,), "float64"), MEAN),
]


def plain(values):
    return PlainArray(array(CODES[values.dtype.name], values.tobytes()), values.shape, values.dtype.name)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("recipe", [*(c[0] for c in CASES), *MORE, *OTHERS], ids=str)
def test_the_result_is_numpys_to_the_bit(recipe, kind):
    blobs = {take: values.astype(kind) for take, values in BLOBS.items()}
    expected = r.evaluate(recipe, blobs.__getitem__)
    got = recipe.evaluate(lambda take: plain(blobs[take]), PLAIN)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype.name)
    assert got.values.tobytes() == np.ascontiguousarray(expected).tobytes()


@given(st.lists(st.floats(width=32), min_size=1), st.floats(width=32), st.floats(width=32))
def test_statistics_of_a_batch_norm_are_numpys(values, factor, eps):
    """Numbers of all sizes, subnormal ones and zeros too; of NaN only that it is one."""
    blobs = {
        r.Take("bn", 0): np.array(values, np.float32),
        r.Take("bn", 2): np.array([factor], np.float32),
    }
    mean = a.ScaledByFactor(*blobs)
    for recipe in (
        mean,
        a.Rsqrt(mean, eps),
        a.Subtract(mean, a.Multiply(mean, mean)),
        a.Combined(mean, 0, (0.3,) * len(values)),
    ):
        expected = r.evaluate(recipe, blobs.__getitem__)
        got = np.frombuffer(recipe.evaluate(lambda take: plain(blobs[take]), PLAIN).values, np.float32)
        np.testing.assert_array_equal(got.reshape(expected.shape), expected)
        assert (np.signbit(got) == np.signbit(expected.reshape(-1)))[~np.isnan(got)].all()


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
@pytest.mark.parametrize("wanted", ["float32", "float64"])
def test_casts_are_numpys(stored, wanted):
    with np.errstate(over="ignore"):
        values = np.array([0, -0.0, 1 / 3, 65504, 1e300, -1e-300, 1e-45, np.inf, -np.inf, np.nan]).astype(stored)
        expected = values.astype(wanted)
    got = b"".join(map(bytes, cast_chunks(iter([memoryview(values.tobytes())]), stored, wanted)))
    assert got == expected.tobytes()
