"""SSD's AnnotatedData: the label blob by hand, and boxes that stay on what they frame however the image is varied."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest

from netcompile.data.resizing import MODES, resized
from netcompile.data.sources.base import Batches, Wanted
from netcompile.data.sources.boxes import Boxes, samples, satisfies
from netcompile.data.sources.distort import bgr, distorted, hsv
from netcompile.data.sources.reshape import reshaped
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.train.feed import feed
from tests.data.lmdb_files import annotated, encoded, raw, write
from tests.data.test_sources import bgr as bgr_of
from tests.data.test_sources import inputs

RANDOM = np.random.default_rng(0)


def layer(transform: str = "", more: str = "", size: int = 2) -> str:
    param = f'source: "db" backend: LMDB batch_size: {size}'
    return (
        f'layer {{ name: "d" type: "AnnotatedData" top: "data" top: "label" data_param {{ {param} }} '
        f"transform_param {{ {transform} }} annotated_data_param {{ {more} }} }}"
    )


def source(folder: Path, text: str, train: bool = True) -> Batches:
    return feed(inputs(text), Wanted(None, "train", None, 1, train, (str(folder),)))


def message(kind: str, text: str) -> Message:
    return parse(Source(text, "p"), kind)


def test_the_label_blob(tmp_path: Path) -> None:
    rgb = RANDOM.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    boxes = {
        5: [{"xmin": 0.1, "ymin": 0.2, "xmax": 0.5, "ymax": 0.6, "difficult": True, "instance_id": 3}],
        2: [{"xmin": 0.5, "ymin": -0.5, "xmax": 1.5, "ymax": 0.5}, {"xmin": 1.5, "ymin": 0, "xmax": 2, "ymax": 1},
            {"xmin": 0.2, "ymin": 0.2, "xmax": 0.2, "ymax": 0.4, "instance_id": 1}],
    }  # fmt: skip
    write(tmp_path / "db", [annotated(encoded(rgb), {}), annotated(encoded(rgb), boxes)])
    mean = "mean_value: 1 mean_value: 2 mean_value: 3"
    found = source(tmp_path, layer(mean)).batch(0)
    want = np.stack([bgr_of(rgb) - np.array([1, 2, 3], np.float32)[:, None, None]] * 2)
    np.testing.assert_array_equal(found["data"], want)
    # Cut at the image's edges; without those that are outside of it or empty.
    rows = np.array([[1, 5, 3, 0.1, 0.2, 0.5, 0.6, 1], [1, 2, 0, 0.5, 0, 1, 0.5, 0]], np.float32)
    np.testing.assert_array_equal(found["label"], rows[None, None])


def test_a_batch_without_boxes(tmp_path: Path) -> None:
    write(tmp_path / "db", [annotated(raw(np.zeros((3, 4, 4), np.uint8)), {})])
    np.testing.assert_array_equal(source(tmp_path, layer()).batch(0)["label"], np.full((1, 1, 1, 8), -1))


def test_records_without_boxes_of_their_own(tmp_path: Path) -> None:
    """Their label is that of the Datum, as in SSD; a batch is of one kind."""
    plain = [annotated(raw(np.zeros((3, 4, 4), np.uint8), k), {}, kind=None) for k in range(2)]
    write(tmp_path / "db", plain)
    assert source(tmp_path, layer()).batch(0)["label"].tolist() == [0, 1]
    write(tmp_path / "db", [plain[0], annotated(raw(np.zeros((3, 4, 4), np.uint8)), {})])
    with pytest.raises(NetError, match="some records of batch 0 have boxes, others no type of annotation"):
        source(tmp_path, layer()).batch(0)


SAMPLERS = "batch_sampler { max_sample: 1 max_trials: 1 } " + " ".join(
    "batch_sampler { sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 } "
    f"sample_constraint {{ min_jaccard_overlap: {overlap} }} max_sample: 1 max_trials: 50 }}"
    for overlap in (0.1, 0.5, 0.9)
)
EXPAND = "expand_param { prob: 0.5 max_expand_ratio: 3 }"
WARP = "resize_param { height: 60 width: 80 interp_mode: NEAREST }"
VARIED = [
    ("", ""),
    ("mirror: true", ""),
    ("crop_size: 50 mirror: true", ""),
    (EXPAND, ""),
    ("emit_constraint { emit_type: CENTER }", SAMPLERS),
    (f"{WARP} mirror: true", SAMPLERS),
    (f"{EXPAND} {WARP} mirror: true emit_constraint {{ emit_type: CENTER }}", SAMPLERS),
    (f"{EXPAND} {WARP} emit_constraint {{ emit_type: MIN_OVERLAP emit_overlap: 0.4 }}", SAMPLERS),
    (f"{WARP[:-1]} resize_mode: FIT_LARGE_SIZE_AND_PAD pad_mode: CONSTANT }} mirror: true", SAMPLERS),
    (f"{WARP[:-1]} resize_mode: FIT_SMALL_SIZE }} crop_size: 55", SAMPLERS),
    ("resize_param { height: 90 width: 40 interp_mode: NEAREST resize_mode: FIT_LARGE_SIZE_AND_PAD }", ""),
]  # fmt: skip


@pytest.mark.parametrize(("transform", "more"), VARIED, ids=[str(i) for i in range(len(VARIED))])
def test_boxes_stay_on_what_they_frame(tmp_path: Path, transform: str, more: str) -> None:
    """Two rectangles of a colour each: wherever they are in the batch, there are their boxes."""
    rgb = np.zeros((90, 120, 3), np.uint8)
    places = {200: (10, 20, 40, 70), 250: (50, 30, 80, 110)}  # top, left, bottom, right
    for colour, (top, left, bottom, right) in places.items():
        rgb[top:bottom, left:right] = colour
    boxes = {
        colour: [{"xmin": left / 120, "ymin": top / 90, "xmax": right / 120, "ymax": bottom / 90}]
        for colour, (top, left, bottom, right) in places.items()
    }  # fmt: skip
    write(tmp_path / "db", [annotated(encoded(rgb), boxes)])
    data, seen = source(tmp_path, layer(transform, more, size=1)), set()
    for k in range(60):
        found = data.batch(k)
        image = found["data"][0, 0]
        seen.add(found["data"].tobytes())
        height, width = image.shape
        for row in found["label"][0, 0]:
            if row[0] < 0:
                continue
            ys, xs = np.nonzero(image == row[1])
            sides = row[3:7] * np.array([width, height] * 2)
            if not len(xs):
                assert (sides[2:] - sides[:2]).min() < 4.5
                continue
            extents = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert np.abs(sides - extents).max() < 4.5  # a cut is made in whole pixels, and then enlarged
    assert (len(seen) > 1) == bool(set(transform.split()) & {"mirror:", "crop_size:", "expand_param"} or more)


def test_the_same_number_gives_the_same_batch(tmp_path: Path) -> None:
    rgb = RANDOM.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    box = {"xmin": 0.25, "ymin": 0.25, "xmax": 0.75, "ymax": 0.75}
    write(tmp_path / "db", [annotated(encoded(rgb), {k: [box]}) for k in range(3)])
    distort = "distort_param { brightness_prob: 0.5 brightness_delta: 32 hue_prob: 0.5 hue_delta: 18 }"
    text = layer(f"{EXPAND} {WARP} {distort} mirror: true", SAMPLERS)
    first, second = source(tmp_path, text), source(tmp_path, text)
    forwards = [first.batch(k) for k in range(6)]
    for k in (5, 0, 3):
        again = second.batch(k)
        for top in ("data", "label"):
            np.testing.assert_array_equal(again[top], forwards[k][top])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union, counted on a fine grid."""
    grid = (np.arange(400) + 0.5) / 400
    inside = [
        ((grid > box[1]) & (grid < box[3]))[:, None] & ((grid > box[0]) & (grid < box[2]))[None] for box in (a, b)
    ]
    return float((inside[0] & inside[1]).sum() / max((inside[0] | inside[1]).sum(), 1))


def test_samples_are_what_the_constraint_wants() -> None:
    boxes = np.array([(0.1, 0.1, 0.5, 0.6), (0.6, 0.5, 0.9, 0.9)], np.float32)
    bounds = "min_scale: 0.2 max_scale: 0.9 min_aspect_ratio: 0.5 max_aspect_ratio: 2"
    constraint = "min_jaccard_overlap: 0.3 max_jaccard_overlap: 0.6"
    text = f"sampler {{ {bounds} }} sample_constraint {{ {constraint} }} max_sample: 20 max_trials: 3000"
    sampler = message("BatchSampler", text)
    found = samples(boxes, [sampler, sampler], np.random.default_rng(0))
    assert len(found) == 40
    for window in found:
        assert window.min() >= 0
        assert window.max() <= 1 + 1e-6
        assert any(0.29 < overlap(window, box) < 0.61 for box in boxes)
        width, height = window[2:] - window[:2]
        assert 0.2 - 1e-3 <= (width * height) ** 0.5 <= 0.9 + 1e-3
        assert 0.5 - 1e-3 <= width / height <= 2 + 1e-3
    assert samples(boxes[:0], [sampler], np.random.default_rng(0)) == []
    assert samples(boxes, [message("BatchSampler", "use_original_image: false")], np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        ("", True),
        ("min_object_coverage: 0.24", True),
        ("min_object_coverage: 0.26", False),
        ("max_object_coverage: 0.2", False),
        ("min_sample_coverage: 0.49", True),
        ("min_sample_coverage: 0.51", False),
        ("min_jaccard_overlap: 0.19 max_jaccard_overlap: 0.21", True),
        ("min_object_coverage: 0.24 min_sample_coverage: 0.6", False),
    ],
)
def test_constraints(constraint: str, fits: bool) -> None:
    """A window of area 1/8 and a box of area 1/4 share 1/16."""
    window, box = np.array((0, 0, 0.25, 0.5), np.float32), np.array([(0.125, 0, 0.625, 0.5)], np.float32)
    assert satisfies(window, box, message("SampleConstraint", constraint)) is fits


def test_boxes_within_a_window() -> None:
    sides = np.array([(0, 0, 0.5, 0.5), (0.4, 0.4, 0.6, 0.6), (0.5, 0.5, 1, 1), (0.6, 0, 0.7, 0.1)], np.float32)
    boxes = Boxes(sides, np.arange(4.0), np.zeros(4), np.zeros(4))
    window = np.array((0.25, 0.25, 0.55, 0.75), np.float32)
    for constraint, kept in (
        (None, [0, 1, 2]),
        ("emit_type: CENTER", [0, 1]),
        ("emit_type: MIN_OVERLAP emit_overlap: 0.5", [1]),
    ):
        rule = None if constraint is None else message("EmitConstraint", constraint)
        found = boxes.within(window, rule)
        assert found.labels.tolist() == kept
    np.testing.assert_allclose(found.sides, [[0.5, 0.3, 1, 0.7]], atol=1e-6)
    np.testing.assert_allclose(found.mirrored().sides, [[0, 0.3, 0.5, 0.7]], atol=1e-6)


def test_every_interpolation() -> None:
    """A flat image stays flat, the same size is the same image, and a slope becomes the slope of its pixel centres."""
    image = RANDOM.integers(0, 256, (2, 7, 9), dtype=np.uint8)
    slope = np.tile(np.arange(0, 160, 4, dtype=np.uint8), (1, 3, 1))
    for mode in MODES:
        np.testing.assert_array_equal(resized(image, 7, 9, mode), image)
        for size in ((1, 1), (3, 20), (15, 4), (40, 50)):
            flat = np.full((3, 7, 9), 77, np.uint8)
            np.testing.assert_array_equal(resized(flat, *size, mode), np.full((3, *size), 77))
        if mode not in ("NEAREST", "ENLARGED_AREA"):
            found = resized(slope, 3, 10, mode)[0, 1, 1:-1].astype(float)
            assert np.abs(found - (np.arange(10) * 16 + 6)[1:-1]).max() <= 1


@pytest.mark.parametrize(
    ("mode", "row", "size", "want"),
    [
        ("LINEAR", [0, 100], 4, [0, 25, 75, 100]),
        ("NEAREST", [1, 2, 3], 7, [1, 1, 1, 2, 2, 3, 3]),
        ("NEAREST", [1, 2, 3, 4, 5], 2, [1, 3]),
        ("AREA", [10, 20, 60, 80, 90, 100], 2, [30, 90]),
        ("AREA", [0, 90, 0], 2, [30, 30]),
        ("AREA", [10, 20], 4, [10, 10, 20, 20]),
        ("CUBIC", [0, 0, 64, 64], 8, [0, 0, 0, 14, 50, 71, 66, 64]),
    ],
)
def test_interpolations_by_hand(mode: str, row: list[int], size: int, want: list[int]) -> None:
    image = np.array(row, np.uint8).reshape(1, 1, -1)
    found = resized(image, 1, size, mode)[0, 0]
    assert found.tolist() == want
    np.testing.assert_array_equal(resized(image.transpose(0, 2, 1), size, 1, mode)[0, :, 0], found)


def test_hue_saturation_value() -> None:
    """Against Python's own conversion."""
    image = RANDOM.integers(0, 256, (3, 12, 12), dtype=np.uint8)
    found = [part.astype(float) for part in hsv(image)]
    back = bgr(*hsv(image))
    for y in range(12):
        for x in range(12):
            b, g, r = (int(value) for value in image[:, y, x])
            h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
            assert abs((found[0][y, x] - h * 180 + 90) % 180 - 90) <= 0.53
            assert (abs(found[1][y, x] - s * 255) <= 0.53, found[2][y, x]) == (True, v * 255)
            # Hue and saturation are whole numbers now.
            r, g, b = (255 * value for value in colorsys.hsv_to_rgb(found[0][y, x] / 180, found[1][y, x] / 255, v))
            assert np.abs(back[:, y, x] - np.array((b, g, r))).max() <= 0.51
    np.testing.assert_array_equal(bgr(np.array([[200]]), np.array([[255]]), np.array([[90]]))[:, 0, 0], [0, 60, 90])


def distortion(text: str, image: np.ndarray) -> list[np.ndarray]:
    param = message("DistortionParameter", text)
    return [distorted(image, param, np.random.default_rng(seed)) for seed in range(40)]


def test_distortions_stay_within_their_bounds() -> None:
    image = np.array([10, 120, 250], np.uint8).reshape(3, 1, 1)
    darker = distortion("brightness_prob: 1 brightness_delta: 20", image)
    assert len({int(made[1, 0, 0]) for made in darker}) > 10
    assert all(100 <= made[1, 0, 0] <= 140 and made[2, 0, 0] <= 255 for made in darker)
    softer = distortion("contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 1.5", image)
    assert all(60 <= made[1, 0, 0] <= 180 for made in softer)
    assert all(abs(int(made[1, 0, 0]) - 12 * int(made[0, 0, 0])) <= 8 for made in softer)
    paler = distortion("saturation_prob: 1 saturation_lower: 0 saturation_upper: 1", image)
    assert all(made[2, 0, 0] == 250 and made[0, 0, 0] >= 10 for made in paler)
    turned = distortion("hue_prob: 1 hue_delta: 18", image)
    assert all((made.min(), made.max()) == (10, 250) for made in turned)
    assert len({made.tobytes() for made in turned}) > 10
    ordered = distortion("random_order_prob: 1", image)
    assert {tuple(sorted(made.ravel().tolist())) for made in ordered} == {(10, 120, 250)}
    assert len({made.tobytes() for made in ordered}) == 6
    assert all(made is image for made in distortion("", image))


def test_padding_of_a_resize() -> None:
    image = np.arange(1, 7, dtype=np.uint8).reshape(1, 1, 6)
    wide = "height: 5 width: 6 resize_mode: FIT_LARGE_SIZE_AND_PAD"
    box = np.array([(0, 0, 0.5, 1)], np.float32)
    for more, above in (("", 0), ("pad_value: 9", 9), ("pad_mode: REPEAT_NEAREST", None), ("pad_mode: MIRRORED", None)):
        made, sides = reshaped(image, box, message("ResizeParameter", f"{wide} {more}"), np.random.default_rng(0))
        want = np.repeat(image, 5, axis=1)
        if above is not None:
            want[0, [0, 1, 3, 4]] = above
        np.testing.assert_array_equal(made, want)
        np.testing.assert_allclose(sides, [(0, 0.4, 0.5, 0.6)], atol=1e-6)


MISTAKES = [
    ("noise_param { prob: 1 }", "", "data-field", "'noise_param' of transform_param is not done here"),
    ("resize_param { height: 3 }", "", "param-missing", "resize_param without a height and a width"),
    ("resize_param { height: 3 width: 3 height_scale: 2 }", "", "data-field",
     "'height_scale' of resize_param is not done here"),
    ("expand_param { max_expand_ratio: 0.5 }", "", "param-range", "max_expand_ratio is below 1, or infinite"),
    ("distort_param { contrast_lower: 2 contrast_upper: 1 }", "", "param-range",
     "contrast_lower 2 and contrast_upper 1: they must be in order, and not negative"),
    ("distort_param { hue_delta: -1 }", "", "param-range", "hue_delta is not a number from 0 on"),
    ("", "batch_sampler { sampler { min_scale: 0.5 max_scale: 0.3 } }", "param-range",
     "min_scale 0.5 and max_scale 0.3: they must be in order, and above 0, at most 1"),
    ("distort_param { hue_prob: 1 }", "", "data-file", "distort_param changes images of 3 channels, this one has 1"),
    ("resize_param { height: 9 width: 2 resize_mode: FIT_LARGE_SIZE_AND_PAD pad_value: [1, 2] }", "", "data-file",
     "resize_param has 2 values of pad_value for 1 channels"),
]  # fmt: skip


@pytest.mark.parametrize(("transform", "more", "code", "what"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_mistakes(tmp_path: Path, transform: str, more: str, code: str, what: str) -> None:
    write(tmp_path / "db", [annotated(raw(np.zeros((1, 4, 4), np.uint8)), {})])
    with pytest.raises(NetError) as caught:
        source(tmp_path, layer(transform, more)).batch(0)
    (found,) = caught.value.diagnostics
    assert (found.code, found.what.rpartition("_x): ")[2]) == (code, what)
    assert found.span is not None
