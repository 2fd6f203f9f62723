"""Legends below pictures: the picture stays as it is, every entry has its colour and its name, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from netcompile.tasks.legend import GROUND, class_label, with_legend

COLOURS = [(255, 200, 200), (200, 255, 200), (200, 200, 255), (255, 255, 0)]  # lighter than letters


def picture(height, width):
    return np.random.default_rng(0).integers(0, 200, (height, width, 3), np.uint8)


def holds(pixels, colour):
    return bool((pixels == np.array(colour, np.uint8)).all(-1).any())


@pytest.mark.parametrize(
    ("size", "names"),
    [
        ((240, 320), ["aeroplane"]),
        ((240, 320), ["aeroplane", "bicycle", "bird", "boat"]),
        ((1, 1), ["aeroplane", "bicycle"]),
        ((5, 900), ["class 7", "class 8"]),
        ((900, 5), ["class 7", "a class with a name of forty characters."]),
        ((2000, 3000), ["x"]),
        ((60, 80), [f"class {label}" for label in range(256)]),
    ],
)
def test_the_picture_stays_and_every_entry_is_there(size, names):
    shown = picture(*size)
    entries = [(COLOURS[index % 4], name) for index, name in enumerate(names)]
    made = with_legend(shown, entries)
    assert made.dtype == np.uint8
    assert np.array_equal(made[: size[0], : size[1]], shown)
    below = made[size[0] :]
    assert all(holds(below, colour) for colour, _ in entries)
    assert (below.astype(int).sum(-1) < 300).any()  # letters
    assert (made[:, -1][size[0] :] == GROUND).all()  # nothing is cut off at the right
    assert (made[-1] == GROUND).all()


def test_entries_fill_rows_from_the_left():
    shown = picture(100, 300)
    one, many = (with_legend(shown, [(COLOURS[0], "bird")] * count) for count in (1, 40))
    assert one.shape[1] == many.shape[1] == 300
    assert many.shape[0] - 100 < 40 * (one.shape[0] - 100) / 3  # several stand in a row


def test_without_entries_it_is_the_picture_alone():
    shown = picture(4, 4)
    assert with_legend(shown, []) is shown


@pytest.mark.parametrize(
    ("label", "names", "said"),
    [
        (0, ["bird"], "bird"), (1, ["bird"], "class 1"), (-1, ["bird"], "class -1"), (0, ["Café"], "Cafe"),
        (0, ["鳥"], "\\u9ce5"), (0, ["a\x1b[31m\nb"], "a\\x1b[31m\\nb"), (0, [50 * "a"], 37 * "a" + "..."),
    ],
)  # fmt: skip
def test_names_are_in_letters_that_the_font_has(label, names, said):
    assert class_label(label, names) == said
