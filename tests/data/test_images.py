"""Images in, label maps out: orientation, modes, palettes, class lists."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from netcompile.data.class_names import class_names, class_sets
from netcompile.data.images import overlay, png, read_depth, read_image, read_labels, thumbnail
from netcompile.data.palettes import cityscapes_palette, palette, voc_palette
from netcompile.diagnostics.diagnostic import NetError
from netcompile.runtime.outputs import made_by_png
from tests.runtime.conftest import picture

RGB = picture(3, 8, 6)


def test_exif_orientation_turns_the_image(tmp_path):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: the top of the scene is the right of the file
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, -1))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("L", lambda g: np.repeat(g[:, :, None], 3, 2)),
        ("LA", lambda g: np.repeat(g[:, :, None], 3, 2)),
        ("I;16", lambda g: np.repeat(g[:, :, None], 3, 2)),
    ],
)
def test_grey_images(tmp_path, mode, expected):
    grey = RGB[:, :, 0]
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) << 8 | 0x7F).save(tmp_path / "g.png")
    else:
        Image.fromarray(grey).convert(mode).save(tmp_path / "g.png")
    assert np.array_equal(read_image(tmp_path / "g.png"), expected(grey))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_of_32_bits_are_refused(tmp_path, kind):
    Image.fromarray(RGB[:, :, 0].astype(kind)).save(tmp_path / "g.tif")
    with pytest.raises(ValueError, match=r"^its pixels are numbers of 32 bits; save it with 8 or 16 bits a channel$"):
        read_image(tmp_path / "g.tif")


def test_depth_maps_keep_their_numbers(tmp_path):
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 999
    Image.fromarray(depth).save(tmp_path / "d.png")
    assert np.array_equal(read_depth(tmp_path / "d.png"), depth.astype(np.float32))
    Image.fromarray(RGB).save(tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"^it is no map of one number a pixel: its mode is RGB$"):
        read_depth(tmp_path / "c.png")


def test_transparency_lies_over_white(tmp_path):
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    rgba[0, 0, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "t.png")
    found = read_image(tmp_path / "t.png")
    assert np.array_equal(found[0, 0], RGB[0, 0])
    assert (found.reshape(-1, 3)[1:] == 255).all()


def test_label_maps_are_palette_images(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    labels[0, 0] = 255
    with open(tmp_path / "l.png", "wb") as file:
        png(file, labels, voc_palette())
    with Image.open(tmp_path / "l.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.asarray(image.convert("RGB")), voc_palette()[labels])
    assert np.array_equal(read_labels(tmp_path / "l.png"), labels)


def test_labels_of_a_colour_image_are_looked_up(tmp_path):
    labels = np.array([[0, 1, 15], [20, 255, 3]], np.uint8)
    Image.fromarray(voc_palette()[labels]).save(tmp_path / "c.png")
    assert np.array_equal(read_labels(tmp_path / "c.png"), labels)
    Image.fromarray(np.full((2, 2, 3), 77, np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match=r"^it has the colour #4d4d4d, which is not in the palette$"):
        read_labels(tmp_path / "d.png")


def test_a_png_says_what_made_it(tmp_path):
    path = tmp_path / "p.png"
    with path.open("wb") as file:
        png(file, RGB, made_by="abc")
    assert made_by_png(str(path)) == "abc"
    whole = path.read_bytes()
    for end in (0, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert made_by_png(str(path)) is None
    path.write_bytes(whole[:40] + b"\0" * (len(whole) - 52) + whole[-12:])
    assert made_by_png(str(path)) is None


def test_thumbnails_keep_labels():
    labels = np.arange(700 * 300).reshape(700, 300) % 5
    small = thumbnail(labels, 320)
    assert small.shape == (234, 100)
    assert np.array_equal(small, labels[::3, ::3])


# --- palettes


def test_known_colours():
    assert voc_palette()[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]
    ]  # fmt: skip
    assert cityscapes_palette()[[0, 10, 18, 19]].tolist() == [[128, 64, 128], [70, 130, 180], [119, 11, 32], [0, 0, 0]]


COLOURS = [[1, 2, 3], [128, 64, 255], [0, 0, 7]]


@pytest.mark.parametrize("kind", ["act", "text", "names", "hex", "image"])
def test_palettes_from_files(tmp_path, kind):
    path = tmp_path / "p"
    if kind == "act":
        path.write_bytes(bytes(np.array(COLOURS, np.uint8)) + bytes(768 - 9))
    elif kind == "text":
        path.write_text("# colours\n" + "\n".join(" ".join(map(str, c)) for c in COLOURS) + "\n")
    elif kind == "names":
        path.write_text("\n".join(f"{i}, class{i}, {r}, {g}, {b}" for i, (r, g, b) in enumerate(COLOURS)))
    elif kind == "hex":
        path.write_text("\n".join("c #{:02x}{:02X}{:02x}".format(*c) for c in COLOURS))
    else:
        path = tmp_path / "p.png"
        image = Image.new("P", (2, 2))
        image.putpalette(bytes(np.array(COLOURS, np.uint8)))
        image.save(path)
    found = palette(str(path))
    assert found.shape == (256, 3)
    assert found[:3].tolist() == COLOURS


def test_what_is_no_palette(tmp_path):
    (tmp_path / "x").write_text("hello\n")
    with pytest.raises(NetError) as caught:
        palette(str(tmp_path / "x"))
    assert [d.code for d in caught.value.diagnostics] == ["palette"]
    with pytest.raises(NetError, match="there is no palette 'nope'"):
        palette("nope")


# --- classes


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wall\nfloor\n\nand 0 is void\n", ("wall", "floor")),
        ("0: background\n1: night stand\n", ("background", "night stand")),
        ("01 awning\n02 person 2\n", ("awning", "person 2")),
        ("\ufeff3d model\ncar", ("3d model", "car")),
        ('["a", "b c"]', ("a", "b c")),
    ],
)
def test_class_files(tmp_path, text, names):
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    assert class_names(str(path)) == names


def test_bundled_classes():
    assert {name: len(class_names(name)) for name in class_sets()} == {
        "cityscapes": 19, "coco": 80, "nyud": 40, "pascal": 21, "pascal-context-59": 60, "sift-flow-geometric": 3,
        "sift-flow-semantic": 33,
    }  # fmt: skip
    assert class_names("pascal")[15] == "person"
    with pytest.raises(NetError, match="there is no list of classes 'x'"):
        class_names("x")


def test_bundled_classes_are_those_of_the_data_sets(shared):
    for ours, theirs in (("pascal", "pascal"), ("nyud", "nyud"), ("pascal-context-59", "pascal-context-59")):
        assert class_names(ours) == class_names(str(shared / "classes" / f"{theirs}.txt"))


def test_png_of_labels_to_a_stream():
    buffer = io.BytesIO()
    png(buffer, np.array([[1, 2]]), cityscapes_palette())
    with Image.open(buffer) as image:
        assert np.asarray(image).tolist() == [[1, 2]]


def test_overlays_of_large_images() -> None:
    """They are mixed piece by piece, as if at once."""
    rng = np.random.default_rng(0)
    rgb, labels = rng.integers(0, 256, (300, 251, 3), np.uint8), rng.integers(0, 21, (300, 251), np.uint8)
    mixed = 0.4 * rgb + 0.6 * voc_palette()[labels]
    assert np.array_equal(overlay(rgb, labels), np.where(labels[:, :, None] > 0, mixed, rgb).astype(np.uint8))
