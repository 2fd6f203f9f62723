"""Boxes over an image: where the lines are, that labels stay within, that colours can be told apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from netcompile.data.boxes import Detections
from netcompile.tasks.detection.drawing import COLOURS, PATTERNS, drawn, style_of, text_colour


def found(*rows, whole_pixels=False):
    classes, scores, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        np.array(classes, np.int64), np.array(scores, np.float64), np.array(boxes, np.float64).reshape(-1, 4),
        whole_pixels,
    )  # fmt: skip


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def changed(before, after):
    return (before != after).any(axis=2)


def test_the_line_lies_within_the_box():
    """An image too low for letters, so that nothing but the line and its halo is drawn."""
    image = grey(9, 60)
    made = drawn(image, found((1, 0.9, [20, 2, 30, 7])))
    blue = (made == style_of(1)[0]).all(axis=2)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 20, 29)
    assert blue.sum() == 2 * 10 + 2 * 3  # the border of 10 × 5 pixels
    halo = (made == 0).all(axis=2)
    assert halo.sum() == (12 * 7 - 10 * 5) + (8 * 3 - 6 * 1)
    assert (made[4, 23] == 128).all()
    assert (image == 128).all()


def test_whole_pixels_reach_one_further():
    edges = drawn(grey(9, 60), found((1, 0.9, [20, 2, 30, 7])))
    whole = drawn(grey(9, 60), found((1, 0.9, [20, 2, 29, 6]), whole_pixels=True))
    assert (edges == whole).all()


def test_nothing_found_changes_nothing():
    assert (drawn(grey(40, 50), found()) == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (7, 4000), (4000, 7), (16, 16), (40, 300), (375, 500)])
@pytest.mark.parametrize(
    "box", [[-1e9, -1e9, 1e9, 1e9], [3, 3, 3, 3], [1e6, 1e6, 2e6, 2e6], [5, 5, 2, 2], [0, 0, 1, 1]]
)
def test_any_box_on_any_size(size, box):
    made = drawn(grey(*size), found((2, 0.5, box)), ("a", "b", "a name that is longer than most images are wide" * 3))
    assert made.shape == (*size, 3)
    assert made.dtype == np.uint8
    assert changed(grey(*size), made).any()


def label_area(size, box, name="person"):
    """The smallest rectangle with all pixels of the label's ground: x0, y0, x1, y1."""
    line = drawn(grey(*size), found((2, 0.5, box)), ("", "", "")).astype(int)
    made = drawn(grey(*size), found((2, 0.5, box)), ("", "", name)).astype(int)
    rows, columns = np.nonzero((made != line).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_labels_stand_above_their_box_and_move_into_the_image():
    middle = label_area((200, 300), [100, 100, 150, 150])
    assert middle[0] >= 100
    assert middle[3] <= 101
    top = label_area((200, 300), [100, 0, 150, 190])
    assert 0 <= top[1] < 30
    right = label_area((200, 300), [290, 100, 299, 150])
    assert right[2] <= 300
    bottom = label_area((200, 300), [-5, -5, 400, 400])
    assert bottom[3] <= 200


def test_labels_avoid_each_other():
    """Two boxes of the same place: the better one's label stands above, the other's elsewhere."""
    both = drawn(
        grey(200, 300), found((1, 0.9, [100, 100, 200, 150]), (2, 0.8, [100, 100, 200, 150])), ("", "one", "two")
    )
    grounds = [(both == style_of(label)[0]).all(axis=2) for label in (1, 2)]
    rows = [np.nonzero(ground.sum(axis=1) > 20)[0] for ground in grounds]
    assert rows[0].min() < 100
    assert rows[1].min() >= 98


def test_characters_that_do_not_show_are_escapes():
    def text(name):
        return drawn(grey(200, 300), found((0, 0.5, [10, 50, 100, 100])), (name,))

    assert (text("a\x1b[31m") == text("a\\x1b[31m")).all()
    assert (text("\u732b") == text("\\u732b")).all()
    assert (text("K\u00e4fer") == text("Kafer")).all()
    assert (text("x" * 1000) == text("x" * 999)).all()
    assert (drawn(grey(200, 300), found((7, 0.5, [10, 50, 100, 100])), ()) != 128).any()


def test_thousands_of_boxes_take_no_time():
    random = np.random.default_rng(0)
    low = random.uniform(0, 400, (3000, 2))
    boxes = np.concatenate((low, low + 30), axis=1)
    many = Detections(random.integers(0, 90, 3000), random.uniform(0, 1, 3000), boxes)
    assert drawn(grey(400, 400), many).shape == (400, 400, 3)


# --- colours

# What people without one kind of cone see, in linear RGB: Viénot, Brettel, Mollon, "Digital video colourmaps for
# checking the legibility of displays by dichromats" (1999).
DICHROMATS = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def linear(colour):
    value = np.array(colour) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear sRGB, white D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    ratio = xyz / np.array([0.9505, 1, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", [None, *DICHROMATS])
def test_the_eight_colours_can_be_told_apart(sight):
    """The least distance (CIE 1976, where about 2 can be seen) of any two, in the eyes of dichromats too."""
    matrix = np.array(DICHROMATS[sight]) if sight else np.eye(3)
    seen = [lab(np.clip(matrix @ linear(colour), 0, 1)) for colour in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 10


def test_a_pair_that_is_known_to_be_confused():
    """The test above can fail: red and green of equal lightness."""
    matrix = np.array(DICHROMATS["deuteranopia"])
    seen = [lab(np.clip(matrix @ linear(colour), 0, 1)) for colour in ((213, 94, 0), (140, 130, 0))]
    assert np.linalg.norm(seen[0] - seen[1]) < 10


def test_styles():
    styles = [style_of(label) for label in range(96)]
    assert len(set(styles)) == 92  # black, darkened, is black
    assert style_of(96) == style_of(0)
    assert {pattern for _, pattern in styles} == set(PATTERNS)


def contrast(a, b):
    bright, dark = sorted((float(np.array([0.2126, 0.7152, 0.0722]) @ linear(c)) for c in (a, b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("label", range(96))
def test_text_is_legible(label):
    """WCAG 2 asks for a contrast of 4.5 : 1."""
    ground = style_of(label)[0]
    assert contrast(ground, text_colour(ground)) >= 4.5
