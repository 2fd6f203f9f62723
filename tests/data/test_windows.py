"""WindowData: lists of windows, where each goes in the crop, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.data.resizing import resized
from netcompile.data.sources.base import Batches
from netcompile.diagnostics.diagnostic import NetError
from tests.data.test_preprocessing import binaryproto
from tests.data.test_sources import batches, bgr

RGB = np.random.default_rng(0).integers(0, 256, (9, 10, 3), dtype=np.uint8)
PLANES = bgr(RGB)
LIST = "# 0\na.png\n3\n9\n10\n{}\n"


def layer(more: str = "", transform: str = "crop_size: 4", size: int = 1) -> str:
    section = f'window_data_param {{ source: "w.txt" batch_size: {size} {more} }}'
    return (
        f'layer {{ name: "d" type: "WindowData" top: "data" top: "label" {section} transform_param {{ {transform} }} }}'
    )


def source(folder: Path, windows: list[str], text: str, listing: str = "") -> Batches:
    Image.fromarray(RGB).save(folder / "a.png")
    (folder / "w.txt").write_text(listing or LIST.format("\n".join([str(len(windows)), *windows])))
    return batches(text, folder)


def part(y1: int, y2: int, x1: int, x2: int, height: int, width: int) -> np.ndarray:
    """Rows y1 to y2 and columns x1 to x2 of the image, resized."""
    return resized(PLANES[:, y1 : y2 + 1, x1 : x2 + 1], height, width)


def zeros(size: int, top: int, left: int, values: np.ndarray) -> np.ndarray:
    made = np.zeros((3, size, size), np.float32)
    made[:, top : top + values.shape[1], left : left + values.shape[2]] = values
    return made


PLACES = [
    # As it is.
    ("1 2 4 5", "", 4, PLANES[:, 2:6, 1:5], PLANES[:, 2:6, 1:5]),
    # Twice as large.
    ("1 2 2 3", "", 4, part(2, 3, 1, 2, 4, 4), part(2, 3, 1, 2, 4, 4)),
    # Scale 6 / 4: from 4 − 3 to 4 + 3, both with the ends.
    ("2 2 5 5", "context_pad: 1", 6, part(1, 7, 1, 7, 6, 6), part(1, 7, 1, 7, 6, 6)),
    # From −1 to 5, 7 pixels, of which 6 are there: 5 of the crop's, and 1 is zero; mirrored on the other side.
    ("0 0 3 3", "context_pad: 1", 6, zeros(6, 1, 1, part(0, 5, 0, 5, 5, 5)), zeros(6, 1, 1, part(0, 5, 0, 5, 5, 5))),
    # Square around its middle (5, 4): from 3 to 7 and from 2 to 6.
    ("4 2 5 5", 'crop_mode: "square"', 4, part(2, 6, 3, 7, 4, 4), part(2, 6, 3, 7, 4, 4)),
    # From 5 to 11 of 10 columns: 5 of 7, 4 of the crop's 6.
    ("6 2 9 5", "context_pad: 1", 6, zeros(6, 0, 0, part(1, 7, 5, 9, 6, 4)), zeros(6, 0, 0, part(1, 7, 5, 9, 6, 4))),
]  # fmt: skip


@pytest.mark.parametrize(("window", "more", "crop", "want", "again"), PLACES, ids=[str(i) for i in range(len(PLACES))])
@pytest.mark.parametrize("mirror", [False, True])
def test_where_a_window_goes(
    tmp_path: Path, window: str, more: str, crop: int, want: np.ndarray, again: np.ndarray, mirror: bool
) -> None:
    more += " bg_threshold: 0.5 fg_fraction: 0 scale: 0.5"
    data = source(tmp_path, [f"3 0.1 {window}"], layer(more, f"crop_size: {crop} mirror: {str(mirror).lower()}"))
    seen = {data.batch(k)["data"].tobytes() for k in range(20)}
    wanted = {(want.astype(np.float32)[None] * np.float32(0.5)).tobytes()}
    if mirror:
        wanted.add((want.astype(np.float32)[None, :, :, ::-1] * np.float32(0.5)).tobytes())
    assert seen == wanted
    assert data.batch(0)["label"].tolist() == [0]


def test_means(tmp_path: Path) -> None:
    """A mean image is larger than the crop, and its middle counts; zero stays zero beyond the image."""
    mean = np.random.default_rng(1).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(mean[None]))
    more = "context_pad: 1 fg_fraction: 0"
    data = source(tmp_path, ["1 0.1 0 0 3 3"], layer(more, 'crop_size: 6 mean_file: "mean.binaryproto"'))
    want = zeros(6, 1, 1, part(0, 5, 0, 5, 5, 5) - mean[:, 2:7, 2:7])
    np.testing.assert_array_equal(data.batch(0)["data"][0], want)
    values = "mean_value: 1 mean_value: 2 mean_value: 3"
    data = source(tmp_path, ["1 0.1 0 0 3 3"], layer(more, f"crop_size: 6 {values}"))
    want = zeros(6, 1, 1, part(0, 5, 0, 5, 5, 5) - np.array([1, 2, 3], np.float32)[:, None, None])
    np.testing.assert_array_equal(data.batch(0)["data"][0], want)


def test_what_is_drawn(tmp_path: Path) -> None:
    """A quarter foreground at the end of each batch, each window as often as the others."""
    windows = ["4 0.9 0 0 3 3", "7 0.5 1 1 4 4", "9 0.49 2 2 5 5", "9 0.3 3 3 6 6", "9 0.2 4 4 7 7", "9 0.0 5 5 8 8"]
    data = source(tmp_path, windows, layer("fg_threshold: 0.5 bg_threshold: 0.3", size=8))
    labels, corners = [], []
    for k in range(100):
        batch = data.batch(k)
        assert batch["label"][:6].tolist() == [0] * 6
        labels += batch["label"][6:].tolist()
        corners += [values.tobytes() for values in batch["data"][:6]]
        np.testing.assert_array_equal(data.batch(k)["data"], batch["data"])
    assert set(labels) == {4, 7}
    assert 70 < labels.count(4) < 130
    known = [np.ascontiguousarray(PLANES[:, n : n + 4, n : n + 4]).tobytes() for n in range(6)]
    assert set(corners) == {known[4], known[5]}


MISTAKES = [
    ("", "# 0\na.png\n3\n9\n10\n2\n1 0.1 0 0 3 3\n",
     "w.txt: it ends within the image that begins in line 1: truncated?"),
    ("", "hello\n", "w.txt:1: '# 0', the beginning of an image, is expected here"),
    ("", LIST.format("1\n1 0.1 0 0 3 3") + "# 2\n", "w.txt:8: '# 1', the beginning of an image, is expected here"),
    ("", LIST.format("-1"), "w.txt:6: a whole number is expected here"),
    ("", LIST.format("1\n1 x 0 0 3 3"), "w.txt:7: 'class overlap x1 y1 x2 y2' is expected here"),
    ("", LIST.format("1\n1 0.1 0 0 3"), "w.txt:7: 'class overlap x1 y1 x2 y2' is expected here"),
    ("", LIST.format("1\n1 0.1 0 0 3 inf"), "w.txt:7: 'class overlap x1 y1 x2 y2' is expected here"),
    ("", LIST.format("1\n1 0.1 0 0 3 3e9"), "w.txt:7: six numbers of 32 bits is expected here"),
    ("", LIST.format("1\n0 0.9 0 0 3 3"), "w.txt:7: a class above 0, since it is foreground, is expected here"),
    ("fg_fraction: 1", LIST.format("1\n1 0.1 0 0 3 3"), "w.txt: no foreground windows, of which a batch has 1"),
    ("fg_fraction: 0", LIST.format("0"), "w.txt: no background windows, of which a batch has 1"),
    ("", LIST.format("1\n1 0.1 0 0 3 3").replace("a.png", "b.png"), "w.txt names files that do not exist: b.png"),
    ("fg_fraction: 0", LIST.format("1\n1 0.1 8 0 12 3"),
     "w.txt: window 8, 0, 12, 3 of a.png: no part of an image of 9×10"),
    ("fg_fraction: 0 context_pad: 1", LIST.format("1\n1 0.1 50 50 60 60"),
     "w.txt: window 50, 50, 60, 60 of a.png: no part of an image of 9×10"),
    ("context_pad: 2", "", "WindowData with crop_size 4 and context_pad 2"),
    ('crop_mode: "round"', "", "crop_mode 'round'"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "listing", "what"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_mistakes(tmp_path: Path, more: str, listing: str, what: str) -> None:
    with pytest.raises(NetError) as caught:
        source(tmp_path, [], layer(more), listing or LIST.format("1\n1 0.1 0 0 3 3")).batch(0)
    assert caught.value.diagnostics[0].what.replace(f"{tmp_path}/", "") == what
