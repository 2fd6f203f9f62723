"""Resizing, cropping, ten crops, and the way back from the net's input to the image."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.data.preparation import NONE, Preparation, Resize, View, crop_option, resize_option

SIDES = st.integers(1, 60)


@pytest.mark.parametrize(
    ("option", "image", "expected"),
    [
        ("30x40", (100, 7), (30, 40)),
        ("short=256", (512, 1024), (256, 512)),
        ("short=600,max=1000", (375, 500), (600, 800)),  # py-faster-rcnn's own example of VOC: scale 1.6
        ("short=600,max=1000", (300, 1000), (300, 1000)),
        ("short=600,max=1000", (1000, 300), (1000, 300)),
        ("fit=100x100", (50, 200), (25, 100)),
        ("none", (3, 5), (3, 5)),
        ("short=1", (1, 4000), (1, 4000)),
        ("fit=8x8", (1, 4000), (1, 8)),
    ],
)
def test_sizes(option, image, expected):
    made = resize_option(option)
    assert made.size(*image) == expected
    assert made.text() == option


@pytest.mark.parametrize("text", ["", "0x3", "3x", "3", "short=", "short=0", "short=2,max=", "fit=3", "40000x1", "٣x٣"])
def test_options_that_are_none(text):
    with pytest.raises(argparse.ArgumentTypeError):
        resize_option(text)


def test_crops():
    assert (crop_option("227"), crop_option("224x300")) == ((227, 227), (224, 300))
    for text in ("", "0", "x3", "3x0", "-3"):
        with pytest.raises(argparse.ArgumentTypeError):
            crop_option(text)


def test_ten_crops_are_corners_and_middle_and_their_mirrors():
    views = Preparation(Resize("exact", 10, 12), (6, 8), oversample=True).views(5, 7)
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    assert [(view.top, view.left, view.mirrored) for view in views] == [
        (*place, mirrored) for mirrored in (False, True) for place in places
    ]


def test_filling_is_around_and_zero():
    (view,) = Preparation(Resize("fit", 6, 10)).views(3, 2)
    assert (view.resized, view.size, view.top, view.left) == ((6, 4), (6, 10), 0, -3)
    cut = view.cut(np.ones((1, 6, 4), np.float32))
    assert cut[0].tolist() == [[0, 0, 0, 1, 1, 1, 1, 0, 0, 0]] * 6


def test_an_image_smaller_than_the_crop_is_enlarged_to_cover_it():
    (view,) = Preparation(NONE, (8, 8)).views(4, 6)
    assert (view.resized, view.size, view.top, view.left) == ((8, 12), (8, 8), 0, 2)


preparations = st.builds(
    Preparation,
    st.one_of(
        st.builds(Resize, st.just("exact"), SIDES, SIDES),
        st.builds(Resize, st.just("short"), SIDES, SIDES, st.integers(0, 90)),
        st.just(NONE),
    ),
    st.one_of(st.none(), st.tuples(SIDES, SIDES)),
    st.just(False),
) | st.builds(lambda h, w: Preparation(Resize("fit", h, w)), SIDES, SIDES)


@given(preparations, SIDES, SIDES, st.booleans())
def test_a_view_lies_where_it_says(preparation, height, width, mirrored):
    """A plane of coordinates, cut, and brought back by `to_image`, gives the coordinates again."""
    (view,) = preparation.views(height, width)
    view = View(view.original, view.resized, view.size, view.top, view.left, mirrored)
    rows, columns = (np.arange(n) + 0.5 for n in view.resized)
    grid = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None])).astype(np.float64)
    cut = view.cut(grid)
    assert cut.shape[1:] == view.size
    seen = (cut != 0).all(0)
    y, x = np.nonzero(seen)
    back = view.to_image(np.stack([x + 0.5, y + 0.5], axis=1))
    expected = cut[:, seen].T / np.array([view.scale[1], view.scale[0]])
    assert back == pytest.approx(expected, abs=1e-9)


@given(preparations, SIDES, SIDES, st.booleans())
def test_pixels_of_a_map_are_the_nearest(preparation, height, width, mirrored):
    """A map as large as the input: every pixel of the image takes the one that covers its centre."""
    (view,) = preparation.views(height, width)
    view = View(view.original, view.resized, view.size, view.top, view.left, mirrored)
    rows, columns = view.pixels(*view.size)
    for found, axis in ((rows, 0), (columns, 1)):
        assert len(found) == view.original[axis]
        for index in range(len(found)):
            place = (index + 0.5) * view.scale[axis] - (view.top, view.left)[axis]
            inside = 0 <= place < view.size[axis]
            cell = int(place) if not (axis and mirrored) else view.size[1] - 1 - int(place)
            assert found[index] == (cell if inside else -1)
