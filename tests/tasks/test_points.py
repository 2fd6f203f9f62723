"""Heat maps: peaks where they are, in coordinates of the image, against a search written out plainly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from netcompile.data.images import read_image
from netcompile.surgery import write_weights
from netcompile.tasks.points import peaks

# Each channel of the image at a quarter of its size: two "heat maps" are blue and green, 1/100 of their mean.
NET = """name: "heat"
layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 3, 16, 16] } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "maps" type: "Convolution" bottom: "pool" top: "maps" convolution_param { num_output: 2 kernel_size: 1 } }
"""


def plainly(plane, least):
    found = []
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            value = plane[y, x]
            if not np.isfinite(value) or value <= least:
                continue
            before = [(y - 1, x - 1), (y - 1, x), (y - 1, x + 1), (y, x - 1)]
            after = [(y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)]

            def at(place):
                inside = 0 <= place[0] < plane.shape[0] and 0 <= place[1] < plane.shape[1]
                return plane[place] if inside and not np.isnan(plane[place]) else -np.inf

            if all(value > at(p) for p in before) and all(value >= at(p) for p in after):
                found.append((value, y, x))
    return found


numbers = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, -np.inf])


@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=numbers))
def test_peaks_are_all_local_maxima(plane):
    places, scores = peaks(plane, 0.5)
    expected = plainly(plane, 0.5)
    assert sorted(scores.tolist()) == sorted(float(value) for value, _, _ in expected)
    for value, y, x in expected:
        near = np.abs(places - (x, y)).max(axis=1) <= 0.5
        assert float(value) in scores[near].tolist()
    assert sorted(scores.tolist(), reverse=True) == scores.tolist()


def test_a_peak_lies_between_pixels():
    """Of the parabola 5 − (x − 2.25)², taken at whole places, the top is at 2.25."""
    plane = 5 - (np.arange(6) - 2.25) ** 2
    (place,), (score,) = peaks(plane[None], 0.1)
    assert place == pytest.approx([2.25, 0])
    assert score == pytest.approx(5 - 0.0625)


def test_points_in_pixels_of_the_image(netcompile, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[0, 0], weight[1, 1] = 0.01, 0.01
    write_weights(tmp_path / "w.caffemodel", {"maps": (weight, np.zeros(2, np.float32))})
    pixels = np.zeros((32, 24, 3), np.uint8)
    pixels[8:12, 12:16, 2] = 200  # blue: cell (2, 3)
    pixels[28:32, 0:4, 1] = 100  # green: cell (7, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    call = ("predict", tmp_path / "net.prototxt", "--weights", tmp_path / "w.caffemodel", tmp_path / "a.png")
    done = netcompile(*call, "-o", tmp_path / "out", "--mean", "0")
    assert done.code == 0, done.err
    assert done.err == "key points: 'maps' has 2 heat maps (--task says otherwise)\n"
    (record,) = (json.loads(line) for line in (tmp_path / "out/points.jsonl").read_text().splitlines())
    assert record == {
        "image": str(tmp_path / "a.png"),
        "points": [
            {"channel": 0, "x": 14.0, "y": 10.0, "score": 2.0},
            {"channel": 1, "x": 2.0, "y": 30.0, "score": 1.0},
        ],
    }
    assert read_image(tmp_path / "out/overlays/a.png").shape == pixels.shape
    # Resized to twice its size the image gives the same points, in its own pixels.
    again = netcompile(*call, "-o", tmp_path / "twice", "--mean", "0", "--resize", "64x48")
    assert again.code == 0
    (twice,) = (json.loads(line) for line in (tmp_path / "twice/points.jsonl").read_text().splitlines())
    assert twice["resized"] == [64, 48]
    for point, expected in zip(twice["points"], record["points"], strict=False):
        assert (point["x"], point["y"]) == pytest.approx((expected["x"], expected["y"]), abs=1.1)


def test_no_peak_is_no_point(netcompile, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    write_weights(tmp_path / "w.caffemodel", {"maps": (np.zeros((2, 3, 1, 1), "f4"), np.zeros(2, "f4"))})
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    call = ("predict", tmp_path / "net.prototxt", "--weights", tmp_path / "w.caffemodel", tmp_path / "a.png")
    netcompile(*call, "-o", tmp_path / "out")
    assert json.loads((tmp_path / "out/points.jsonl").read_text())["points"] == []
