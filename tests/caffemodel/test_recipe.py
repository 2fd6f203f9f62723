"""Recipes: their shapes, and their arithmetic against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.caffemodel import arithmetic as a
from netcompile.caffemodel import recipe as r

BLOBS = {
    r.Take("w", 0): np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7,
    r.Take("v", 0): np.linspace(0.5, 3, 4, dtype=np.float32),
    r.Take("bn", 0): np.array([1, -2, 3], np.float32),
    r.Take("bn", 2): np.array([3], np.float32),
    r.Take("zero", 0): np.array([0], np.float32),
    r.Take("v", 0, 1): np.ones(4, np.float32),
}
W, V, MEAN, FACTOR, ZERO, LATER = BLOBS
w, v, mean, *_ = BLOBS.values()
third = np.float32(1) / np.float32(3)

CASES = [
    (W, w),
    (LATER, np.ones(4, np.float32)),
    (r.Constant(2.5, (2, 2)), np.full((2, 2), 2.5, np.float32)),
    (r.Constant(7, (), "int64"), np.array(7)),
    (r.Reshape(W, (6, 4)), w.reshape(6, 4)),
    (r.Transpose(W, (2, 0, 1)), w.transpose(2, 0, 1)),
    (r.Slice(W, 1, 1, 3), w[:, 1:3]),
    (r.Concat((W, W), 1), np.concatenate([w, w], 1)),
    (a.Combined(W, 1, (0.5, 0, -2)), (0.5 * w[:, 0] - 2 * w[:, 2]).astype(np.float32)),
    (a.Add(W, V), w + v),
    (a.Subtract(V, W), v - w),
    (a.Multiply(W, r.Reshape(MEAN, (3, 1))), w * mean.reshape(3, 1)),
    (a.ScaledByFactor(MEAN, FACTOR), mean * third),
    (a.ScaledByFactor(MEAN, ZERO), np.zeros(3, np.float32)),
    (a.Rsqrt(V, 1e-5), np.float32(1) / np.sqrt(v + np.float32(1e-5))),
    (a.Multiply(a.Add(V, r.Constant(1, ())), a.Rsqrt(V, 0)), (v + np.float32(1)) * (np.float32(1) / np.sqrt(v))),
]


@pytest.mark.parametrize(("recipe", "expected"), CASES, ids=[str(recipe) for recipe, _ in CASES])
def test_values_and_shapes(recipe, expected):
    got = r.evaluate(recipe, BLOBS.__getitem__)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    assert recipe.shape_of(lambda take: BLOBS[take].shape) == expected.shape
    assert hash(recipe) == hash(recipe)


MORE = [
    r.Concat((r.Transpose(W, (0, 2, 1)), r.Reshape(W, (2, 4, 3)), r.Transpose(r.Slice(W, 0, 1, 2), (0, 2, 1))), 0),
    a.Multiply(W, r.Reshape(r.Slice(V, 0, 0, 2), (2, 1, 1))),
    a.Multiply(W, r.Constant(3, (1, 3, 4))),
    a.Multiply(r.Constant(3, (5, 1, 1)), r.Reshape(V, (1, 1, 4))),
    a.Combined(r.Reshape(W, (2, 3, 2, 2)), 0, (1, 2)),
    r.Transpose(W, (1, 0, 2)),
    a.Subtract(W, a.Rsqrt(r.Reshape(V, (1, 1, 4)), 1)),
]


@pytest.mark.parametrize("recipe", [*(c[0] for c in CASES if c[1].ndim), *MORE], ids=str)
def test_rows_of_a_recipe_are_rows_of_its_result(recipe):
    whole = r.evaluate(recipe, BLOBS.__getitem__)
    for start in range(len(whole)):
        for stop in range(start + 1, len(whole) + 1):
            part = recipe.rows(start, stop, lambda take: BLOBS[take].shape)
            assert part.shape_of(lambda take: BLOBS[take].shape) == whole[start:stop].shape
            np.testing.assert_array_equal(r.evaluate(part, BLOBS.__getitem__), whole[start:stop])


def test_rows_ask_for_no_more_than_they_need():
    mean = r.Reshape(MEAN, (3, 1))
    part = a.Multiply(W, mean).rows(1, 2, lambda take: BLOBS[take].shape)
    assert part == a.Multiply(r.Slice(W, 0, 1, 2), mean)
    joined = r.Concat((a.Combined(W, 2, (1, 2, 3, 4)), r.Reshape(V, (1, 4))), 0)
    assert joined.rows(0, 2, lambda take: BLOBS[take].shape) == a.Combined(r.Slice(W, 0, 0, 2), 2, (1, 2, 3, 4))


def test_the_factor_is_inverted_before_it_multiplies():
    """x·(1/f) and x/f differ in the last bit for some x; Caffe computes the former."""
    values = np.linspace(1, 2, 1000, dtype=np.float32)
    factor = np.array([999.98], np.float32)
    blobs = {r.Take("b", 0): values, r.Take("b", 2): factor}
    got = r.evaluate(a.ScaledByFactor(r.Take("b", 0), r.Take("b", 2)), blobs.__getitem__)
    np.testing.assert_array_equal(got, values * (np.float32(1) / factor))
    assert (got != values / factor).any()


def test_a_reshaped_scalar_factor_keeps_the_shape_of_the_values():
    blobs = {r.Take("b", 0): np.ones((2, 2), np.float32), r.Take("b", 2): np.ones((1, 1), np.float32)}
    assert r.evaluate(a.ScaledByFactor(*blobs), blobs.__getitem__).shape == (2, 2)


def test_sources_are_listed_once_in_order():
    recipe = r.Concat((a.Add(V, W), a.Multiply(W, r.Slice(LATER, 0, 0, 1)), V), 0)
    assert recipe.sources() == (V, W, LATER)
    assert r.Constant(1, ()).sources() == ()


@pytest.mark.parametrize(
    ("recipe", "source"),
    [
        (W, W),
        (r.Reshape(r.Reshape(W, (24,)), (4, 6)), W),
        (r.Transpose(W, (0, 1, 2)), None),
        (r.Constant(0, ()), None),
    ],
)
def test_plain_sources(recipe, source):
    assert recipe.plain_source() == source


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (r.Reshape(W, (5, 5)), "does not reshape"),
        (r.Transpose(W, (0, 0, 1)), "do not permute"),
        (r.Slice(W, 1, 1, 4), "is out of axis 1"),
        (r.Concat((W, V), 0), "cannot be joined"),
        (a.Add(W, MEAN), "do not broadcast"),
        (a.ScaledByFactor(W, MEAN), "must be one number"),
    ],
)
def test_recipes_that_do_not_fit(recipe, why):
    with pytest.raises(ValueError, match=why):
        recipe.shape_of(lambda take: BLOBS[take].shape)


shapes = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


@given(shapes, shapes)
def test_broadcasting_is_numpys(left, right):
    blobs = {r.Take("a", 0): np.ones(left, np.float32), r.Take("b", 0): np.ones(right, np.float32)}
    recipe = a.Add(*blobs)
    try:
        expected = np.broadcast_shapes(left, right)
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            recipe.shape_of(lambda take: blobs[take].shape)
    else:
        assert recipe.shape_of(lambda take: blobs[take].shape) == expected
        assert r.evaluate(recipe, blobs.__getitem__).shape == expected
