"""Datum and AnnotatedDatum: what protobuf wrote, decoded as OpenCV does; and the data layers that read them."""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from netcompile.data.annotated import LabelledBox, open_annotated, read_annotated
from netcompile.data.datum import open_labelled, planes, read_datum
from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.limits import max_memory
from tests.data.lmdb_files import annotated, encoded, message, raw, write
from tests.data.test_preprocessing import binaryproto
from tests.data.test_sources import batches, bgr

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (6, 5), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (6, 5, 4), dtype=np.uint8)


def test_raw_pixels() -> None:
    pixels = RANDOM.integers(0, 256, (2, 3, 4), dtype=np.uint8)
    found = read_datum(raw(pixels, -7))
    assert (found.channels, found.height, found.width, found.label, found.encoded) == (2, 3, 4, -7, False)
    np.testing.assert_array_equal(planes(found), pixels)
    assert planes(found).dtype == np.uint8


@pytest.mark.parametrize("packed", [False, True])
def test_float_data(packed: bool) -> None:
    numbers = RANDOM.standard_normal((2, 3, 4)).astype(np.float32)
    value = raw(numbers, 3)
    if packed:
        value = raw(numbers[:0].reshape(0, 3, 4), 3, channels=2) + b"\x32\x60" + numbers.tobytes()
    found = planes(read_datum(value))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers)


def test_bytes_come_before_numbers() -> None:
    """As in Caffe's Transform: float_data counts only where data is empty."""
    pixels = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    np.testing.assert_array_equal(planes(read_datum(raw(pixels, float_data=[9.0] * 4))), pixels)


def exif(rgb: np.ndarray) -> bytes:
    """A JPEG that is to be turned by a quarter."""
    image, out = Image.fromarray(rgb), io.BytesIO()
    tag = image.getexif()
    tag[0x0112] = 6
    image.save(out, "PNG", exif=tag)
    return message("Datum")(data=out.getvalue(), encoded=True).SerializeToString()


GREY_OF_RGB = np.rint(RGB @ np.array([0.299, 0.587, 0.114]))[None]
DECODED = [  # an image's file, force_color or force_gray, and what cv2.imdecode makes of it
    ("colour", encoded(RGB), None, bgr(RGB)),
    ("grey", encoded(GREY), None, GREY[None]),
    ("transparent", encoded(RGBA), None, RGBA[:, :, [2, 1, 0, 3]].transpose(2, 0, 1)),
    ("grey made colour", encoded(GREY), True, np.repeat(GREY[None], 3, axis=0)),
    ("colour made grey", encoded(RGB), False, GREY_OF_RGB),
    ("transparent made colour", encoded(RGBA), True, bgr(RGBA[:, :, :3])),
    ("not turned", exif(RGB), None, bgr(RGB)),
    ("turned", exif(RGB), True, bgr(np.rot90(RGB, -1))),
]


@pytest.mark.parametrize(("name", "value", "colour", "want"), DECODED, ids=[row[0] for row in DECODED])
def test_encoded_images(name: str, value: bytes, colour: bool | None, want: np.ndarray) -> None:
    found = planes(read_datum(value), colour)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, want)


def test_a_jpeg() -> None:
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[:, None, None], (1, 16, 3))
    found = planes(read_datum(encoded(smooth, form="JPEG", quality=95)))
    assert np.abs(found.astype(int) - bgr(smooth)).max() < 4


def png16() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3)).save(out, "PNG")
    return message("Datum")(data=out.getvalue(), encoded=True).SerializeToString()


WRONG = [
    (b"\xff", "it is no Datum: a number is cut off (byte 0)"),
    (b"\x08", "it is no Datum: a number is cut off (byte 1)"),
    (b"\x22\x05abc", "it is no Datum: data runs to byte 7 but ends at byte 5 (byte 2)"),
    (b"\x0a\x01a", "it is no Datum: its field 1 is of another kind (byte 2)"),
    (b"", "its size is 0 × 0 × 0"),
    (raw(np.zeros((1, 2, 2), np.uint8), channels=-1), "its size is -1 × 2 × 2"),
    (raw(np.zeros((1, 2, 2), np.uint8), width=3), "its size is 1×2×3, 6 bytes, and it has 4"),
    (raw(np.zeros((1, 2, 2), np.float32), width=3), "its size is 1×2×3, 6 numbers, and it has 4"),
    (raw(np.zeros((1, 2, 2), np.uint8), channels=2**31 - 1, height=2**31 - 1),
     f"its size is 2147483647×2147483647×2, {(2**31 - 1) ** 2 * 2} bytes, and it has 4"),
    (encoded(RGB).replace(b"\x38\x01", b""),
     "its size is 0 × 0 × 0; its data is a PNG, and its field 'encoded' is not set"),
    (encoded(RGB).replace(b"PNG", b"XXX"), "it is no image in a format known here"),
    (png16(), "it has more than 8 bits a channel, which Caffe takes no image with"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "what"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_a_wrong_datum_is_named(tmp_path: Path, value: bytes, what: str) -> None:
    write(tmp_path, [raw(np.zeros((3, 2, 2), np.uint8)), value])
    with pytest.raises(NetError) as caught:
        open_labelled(str(tmp_path))[1]
    assert caught.value.diagnostics[0].what == f"{tmp_path / 'data.mdb'}: record 1 (key 00000001_x): {what}"
    source = batches(data_layer(tmp_path), tmp_path)
    assert source.batch(0)["data"].shape == (1, 3, 2, 2)
    with pytest.raises(NetError) as caught:
        source.batch(1)
    (found,) = caught.value.diagnostics
    assert (found.code, found.what.endswith(what)) == ("data-file", True)
    assert found.span is not None
    assert found.span.line == 1


def test_random_bytes_are_a_datum_or_refused() -> None:
    seeds = [raw(np.zeros((3, 4, 4), np.uint8), 5), encoded(RGB, 1), annotated(encoded(RGB), {1: [{"xmin": 0.5}]})]
    refusals = 0
    for seed in range(2000):
        chance = Random(seed)
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 4))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for read in (read_datum, read_annotated):
            try:
                found = read(bytes(data[: chance.randrange(len(data) + 1)]))
                planes(found if read is read_datum else found.datum)  # type: ignore[attr-defined, arg-type]
            except (ValueError, NetError):
                refusals += 1
    assert 1000 < refusals < 4000


def test_labelled_images(tmp_path: Path) -> None:
    """For scoring: bytes come as RGB, anything else as it is stored."""
    numbers = RANDOM.standard_normal((2, 2, 3)).astype(np.float32)
    stored = RANDOM.integers(0, 256, (3, 2, 4), dtype=np.uint8)
    records = {
        b"c": encoded(RGB, 1), b"a": raw(stored, 2), b"b": raw(GREY[None], 3), b"d": raw(numbers, 4),
        b"e": encoded(RGBA, 5),
    }  # fmt: skip
    data = open_labelled(str(write(tmp_path, records)))
    want = [stored[::-1].transpose(1, 2, 0), np.repeat(GREY[:, :, None], 3, axis=2), RGB, numbers, RGBA[:, :, :3]]
    found = list(data)
    assert [(key, label) for key, _, label in found] == [("a", 2), ("b", 3), ("c", 1), ("d", 4), ("e", 5)]
    for (_, image, _), array in zip(found, want, strict=True):
        np.testing.assert_array_equal(image, array)
    np.testing.assert_array_equal(data[2][1], RGB)
    write(tmp_path / "empty", {})
    for read in (open_labelled, open_annotated):
        with pytest.raises(NetError, match="the data base is empty"):
            read(str(tmp_path / "empty"))


def test_annotated_images(tmp_path: Path) -> None:
    boxes = {
        3: [{"xmin": 0.25, "ymin": 0.125, "xmax": 0.5, "ymax": 1.0, "difficult": True, "instance_id": 2},
            {"xmin": 0.0, "ymax": 0.5, "label": 99, "score": 0.5, "size": 4.0}],
        1: [{"xmin": -0.5, "xmax": 1.5}],
        2: [],
    }  # fmt: skip
    write(tmp_path, {b"b": annotated(encoded(RGB), boxes), b"a": annotated(raw(GREY[None]), {})})
    data = open_annotated(str(tmp_path))
    (first, grey, none), (second, image, found) = data
    assert (first, second, none, len(data)) == ("a", "b", (), 2)
    np.testing.assert_array_equal(grey, np.repeat(GREY[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(image, RGB)
    assert found == (
        LabelledBox(3, 0.25, 0.125, 0.5, 1.0, True, 2),
        LabelledBox(3, 0.0, 0.0, 0.0, 0.5),
        LabelledBox(1, -0.5, 0.0, 1.5, 0.0),
    )


def test_wrong_annotations(tmp_path: Path) -> None:
    nan = struct.pack("<f", float("nan"))
    cases = [
        (annotated(raw(GREY[None]), {1: [{"xmax": 0.5}]}).replace(struct.pack("<f", 0.5), nan), "xmax of a box is nan"),
        (annotated(raw(GREY[None]), {}, kind=1), "its annotations are of type 1; 0, boxes, is the one that SSD has"),
        (b"\x08\x01", "it is no AnnotatedDatum: its field 1 is of another kind (byte 1)"),
        (b"\x0a\x02\x0a\x00", "it is no Datum: its field 1 is of another kind (byte 2)"),
        (b"\x1a\x02\x12\x05", "it is no AnnotatedDatum: data runs to byte 9 but ends at byte 4 (byte 4)"),
        (b"\x1a\xc8\xd0\x0f" + b"\x12\x00" * 128_100, "it has more than 100000 boxes"),
    ]
    for k, (value, what) in enumerate(cases):
        data = open_annotated(str(write(tmp_path / str(k), [value])))
        with pytest.raises(NetError) as caught:
            data[0]
        assert caught.value.diagnostics[0].what.endswith(f"record 0 (key 00000000_x): {what}")


def data_layer(folder: Path, more: str = "", transform: str = "", size: int = 1) -> str:
    param = f'source: "{folder}" backend: LMDB batch_size: {size} {more}'
    return (
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ {param} }} '
        f"transform_param {{ {transform} }} }}"
    )


def test_batches_in_the_order_of_the_keys(tmp_path: Path) -> None:
    images = [RANDOM.integers(0, 256, (3, 4, 5), dtype=np.uint8) for _ in range(3)]
    write(tmp_path / "db", {b"%d" % (9 - k): raw(image, k) for k, image in enumerate(images)})
    source = batches(data_layer(Path("db"), size=2), tmp_path)
    for index, picked in enumerate([(2, 1), (0, 2), (1, 0), (2, 1)]):
        found = source.batch(index)
        np.testing.assert_array_equal(found["data"], np.stack([images[k] for k in picked]).astype(np.float32))
        assert (found["label"].tolist(), found["data"].dtype) == (list(picked), np.float32)


@pytest.mark.parametrize("more", ["shuffle: true", "rand_permute: true"])
def test_shuffled_and_skipped(tmp_path: Path, more: str) -> None:
    write(tmp_path, [raw(GREY[None], k) for k in range(10)])
    plain, shuffled = (batches(data_layer(tmp_path, m), tmp_path) for m in ("rand_skip: 5", more))
    order = [int(plain.batch(k)["label"][0]) for k in range(20)]
    assert [(b - a) % 10 for a, b in pairwise(order)] == [1] * 19
    assert 0 <= order[0] < 5
    assert sorted(int(shuffled.batch(k)["label"][0]) for k in range(10)) == list(range(10))
    assert [int(shuffled.batch(k)["label"][0]) for k in range(10)] != list(range(10))


def test_mean_crop_mirror_and_scale(tmp_path: Path) -> None:
    """Each batch is one of the crops of (image − mean) · scale, as it is or mirrored; in testing the middle one."""
    image = RANDOM.integers(0, 256, (2, 5, 6), dtype=np.uint8)
    mean = RANDOM.uniform(0, 255, (2, 5, 6)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(mean[None]))
    write(tmp_path, [raw(image)])
    layer = data_layer(tmp_path, "", 'mean_file: "mean.binaryproto" crop_size: 4 mirror: true scale: 0.25')
    want = {
        (top, left, step): ((image - mean) * np.float32(0.25))[:, top : top + 4, left : left + 4][:, :, ::step]
        for top in range(2) for left in range(3) for step in (1, -1)
    }  # fmt: skip
    for train, count in ((True, 12), (False, 2)):
        source, seen = batches(layer, tmp_path, train=train), set()
        for k in range(200):
            found = source.batch(k)["data"][0]
            (place,) = [place for place, array in want.items() if np.array_equal(found, array)]
            seen.add(place)
            np.testing.assert_array_equal(source.batch(k)["data"][0], found)
        assert len(seen) == count
        assert train or seen == {(0, 1, 1), (0, 1, -1)}


def test_mean_values_and_numbers(tmp_path: Path) -> None:
    numbers = RANDOM.standard_normal((2, 3, 4)).astype(np.float32)
    write(tmp_path, [raw(numbers)])
    found = batches(data_layer(tmp_path, "", "mean_value: 1 mean_value: 2 scale: 2"), tmp_path).batch(0)["data"][0]
    np.testing.assert_array_equal(found, (numbers - np.array([1, 2], np.float32)[:, None, None]) * 2)


@pytest.mark.parametrize(
    ("more", "transform", "channels"),
    [("", "", 1), ("force_encoded_color: true", "", 3), ("", "force_color: true", 3), ("", "force_gray: true", 1)],
)
def test_colours_of_encoded_images(tmp_path: Path, more: str, transform: str, channels: int) -> None:
    write(tmp_path, [encoded(GREY)])
    found = batches(data_layer(tmp_path, more, transform), tmp_path).batch(0)["data"]
    np.testing.assert_array_equal(found, np.repeat(GREY[None, None], channels, axis=1))


def leveldb(folder: Path) -> None:
    folder.mkdir()
    (folder / "CURRENT").write_text("MANIFEST-000002\n")


MISTAKES = [
    ("none", "", "", "no-such-file", "there is no data base '@'"),
    ("leveldb", "", "", "leveldb", "@ is a LevelDB: only LMDB is read here"),
    ("folder", "", "", "data-file", "@ is no LMDB"),
    ("empty", "", "", "data-file", "@/data.mdb: the data base is empty"),
    ("damaged", "", "", "data-file", "@/data.mdb: 9 bytes, no LMDB: that has at least two pages"),
    ("db", "slice_point: 3", "", "data-field", "'slice_point' of data_param is not done here"),
    ("db", "", "resize_param { height: 3 width: 3 }", "data-field",
     "'resize_param' of transform_param is not done here"),
    ("db", "", "force_gray: true force_color: true", "param-conflict", "force_color and force_gray together"),
    ("db", "", "crop_size: 9", "batch-size", "an image of 6×5 is smaller than crop_size 9"),
    ("sizes", "", "", "batch-size", "images of different sizes in one batch: 1×3×2 and 1×6×5"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "more", "transform", "code", "what"), MISTAKES, ids=[str(i) for i in range(10)])
def test_mistakes_have_a_place(tmp_path: Path, there: str, more: str, transform: str, code: str, what: str) -> None:
    folder = tmp_path / "db"
    match there:
        case "leveldb":
            leveldb(folder)
        case "folder":
            folder.mkdir()
        case "damaged":
            folder.mkdir()
            (folder / "data.mdb").write_bytes(b"something")
        case "empty" | "db" | "sizes":
            small = raw(np.zeros((1, 3, 2), np.uint8))
            write(folder, {"empty": [], "db": [encoded(GREY)], "sizes": [small, encoded(GREY)]}[there])
    with pytest.raises(NetError) as caught:
        batches(data_layer(folder, more, transform, size=2), tmp_path).batch(0)
    (found,) = caught.value.diagnostics
    assert (found.code, found.what) == (code, what.replace("@", str(folder)))
    assert found.span is not None
    assert found.span.line == 1


def test_the_way_out_of_a_leveldb(tmp_path: Path) -> None:
    leveldb(tmp_path / "db")
    with pytest.raises(NetError) as caught:
        batches(data_layer(tmp_path / "db"), tmp_path)
    assert "plyvel" in caught.value.diagnostics[0].remedy


@pytest.mark.parametrize("kind", ["Data", "AnnotatedData", "ImageData"])
def test_a_batch_is_bounded(tmp_path: Path, kind: str) -> None:
    """Before it is read: a billion small images."""
    record = raw(GREY[None])
    write(tmp_path / "db", [annotated(record, {}) if kind == "AnnotatedData" else record])
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "list").write_text("a.png 0\n")
    layer = data_layer(Path("db"), size=10**9).replace('"Data"', f'"{kind}"')
    if kind == "ImageData":
        layer = layer.replace("data_param", "image_data_param").replace("backend: LMDB", "").replace('"db"', '"list"')
    with max_memory(1 << 26), pytest.raises(NetError, match=r"a batch of 1000000000 images of \d×6×5 takes"):
        batches(layer, tmp_path).batch(0)
