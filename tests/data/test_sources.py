"""Sources of batches: what the net's data layers, folders, lists and arrays give, against files made here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from PIL import Image

from netcompile.data.mat import read_mat
from netcompile.data.resizing import resized
from netcompile.data.sources.arrays import read_arrays
from netcompile.data.sources.base import Batches, Order, Wanted
from netcompile.data.sources.transform import Transform, read_transform
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.files.limits import max_memory
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Input
from netcompile.prototxt.load import load_net
from netcompile.prototxt.parser import parse
from netcompile.train.feed import feed
from netcompile.train.loop import Training
from tests.data.test_datasets import matfile
from tests.data.test_preprocessing import binaryproto

TAIL = 'layer { name: "s" type: "AbsVal" bottom: "data" top: "s" } layer { type: "Silence" bottom: "label" }'


def inputs(layer: str) -> tuple[Input, ...]:
    net = load_net(Source(f"{layer}\n{TAIL}", "n.prototxt")).net
    return build(net, Options(train=True, with_loss=True)).graph.inputs


def batches(layer: str, folder: Path, data: str | None = None, train: bool = True) -> Batches:
    return feed(inputs(layer), Wanted(data, "train", None, 1, train, (str(folder),)))


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, np.ndarray]:
    """Three 6×5 images as PNG in the folder, and their arrays, H×W×3 RGB."""
    random = np.random.default_rng(0)
    found = {f"{n}.png": random.integers(0, 256, (6, 5, 3), dtype=np.uint8) for n in "abc"}
    for name, array in found.items():
        Image.fromarray(array).save(tmp_path / name)
    return found


def bgr(image: np.ndarray) -> np.ndarray:
    return image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)


def image_layer(more: str = "", transform: str = "") -> str:
    return (
        'layer { name: "d" type: "ImageData" top: "data" top: "label" '
        f'image_data_param {{ source: "list.txt" batch_size: 2 {more} }} transform_param {{ {transform} }} }}'
    )


def test_image_data(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.txt").write_text("a.png 3\nb.png 1\nc.png 2\n")
    source = batches(image_layer("", "mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5"), tmp_path)
    mean = np.array([10, 20, 30], np.float32)[:, None, None]
    for index, (names, labels) in enumerate([("ab", [3, 1]), ("ca", [2, 3]), ("bc", [1, 2])]):
        batch = source.batch(index)
        wanted = np.stack([(bgr(pictures[f"{n}.png"]) - mean) * 0.5 for n in names])
        np.testing.assert_array_equal(batch["data"], wanted)
        assert batch["label"].tolist() == labels


def test_image_data_shuffled_sees_every_image_once_an_epoch(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\nc.png 2\n")
    source = batches(image_layer("shuffle: true"), tmp_path)
    labels = [label for index in range(30) for label in source.batch(index)["label"].tolist()]
    epochs = [tuple(labels[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(epoch) == [0, 1, 2] for epoch in epochs)
    assert len(set(epochs)) > 3
    assert source.batch(7)["label"].tolist() == labels[14:16]


def test_crop_and_mirror(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    """Training crops anywhere and mirrors half of the time; testing crops the middle, and mirrors too, as Caffe."""
    image = bgr(pictures["a.png"])
    seen = set()
    for seed in range(200):
        out = Transform(crop=3, mirror=True)(image, np.random.default_rng(seed))
        places = [
            (top, left, flip)
            for top in range(4)
            for left in range(3)
            for flip in (False, True)
            if np.array_equal(out, image[:, top : top + 3, left : left + 3][:, :, :: -1 if flip else 1])
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 4 * 3 * 2
    middle = Transform(crop=3, train=False)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(middle, image[:, 1:4, 1:4])


def test_crop_larger_than_the_image() -> None:
    with pytest.raises(NetError, match="an image of 2×9 is smaller than crop_size 3"):
        Transform(crop=3)(np.zeros((3, 2, 9)), np.random.default_rng(0))


def test_mean_file_and_mean_value_together() -> None:
    message = parse(Source('mean_file: "m" mean_value: 3'), "TransformationParameter")
    with pytest.raises(NetError, match="mean_file and mean_value together"):
        read_transform(message, str, True)


def test_resize_is_bilinear_between_pixel_centres() -> None:
    image = np.array([[[0, 100]]], np.uint8)
    assert resized(image, 1, 4).tolist() == [[[0, 25, 75, 100]]]


def test_hdf5(tmp_path: Path) -> None:
    for name, start, count in (("x.h5", 0, 3), ("y.h5", 3, 2)):
        with h5py.File(tmp_path / name, "w") as file:
            rows = np.arange(start, start + count, dtype=np.float32)
            file["data"], file["label"] = np.repeat(rows[:, None], 4, 1), rows * 10
    (tmp_path / "list.txt").write_text("x.h5\ny.h5\n")

    def layer(more: str = "") -> str:
        source = f'hdf5_data_param {{ source: "list.txt" batch_size: 2 {more} }}'
        return f'layer {{ name: "d" type: "HDF5Data" top: "data" top: "label" {source} }}'

    source = batches(layer(), tmp_path)
    found = [source.batch(i) for i in range(5)]
    assert [b["data"][:, 0].tolist() for b in found] == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]
    assert found[1]["label"].tolist() == [20, 30]
    shuffled = batches(layer("shuffle: true"), tmp_path)
    rows = [row for i in range(10) for row in shuffled.batch(i)["data"][:, 0].tolist()]
    assert all(sorted(rows[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 20, 5))
    assert len({tuple(rows[i : i + 5]) for i in range(0, 20, 5)}) > 1


def test_dummy_data(tmp_path: Path) -> None:
    layer = (
        'layer { name: "d" type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 2 dim: 3 } '
        'shape { dim: 2 } data_filler { type: "gaussian" } data_filler { type: "constant" value: 7 } } }'
    )
    source = batches(layer, tmp_path)
    assert source.batch(0)["label"].tolist() == [7, 7]
    assert source.batch(0)["data"].shape == (2, 3)
    assert not np.array_equal(source.batch(0)["data"], source.batch(1)["data"])
    np.testing.assert_array_equal(source.batch(1)["data"], batches(layer, tmp_path).batch(1)["data"])


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder in the layout of PASCAL VOC with three images of different sizes."""
    for sub in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / "VOC" / sub).mkdir(parents=True)
    random = np.random.default_rng(2)
    for index in range(3):
        size = (4 + index, 5)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            tmp_path / "VOC" / "JPEGImages" / f"i{index}.jpg"
        )
        label = Image.fromarray(random.integers(0, 3, size, dtype=np.uint8))
        label.putpalette(bytes(range(256)) * 3)
        label.save(tmp_path / "VOC" / "SegmentationClass" / f"i{index}.png")
    (tmp_path / "VOC" / "ImageSets" / "Segmentation" / "train.txt").write_text("i0\ni1\ni2\n")
    return tmp_path


def python_layer(param: str, name: str = "VOCSegDataLayer") -> str:
    return (
        'layer { name: "d" type: "Python" top: "data" top: "label" python_param { module: "voc_layers" '
        f'layer: "{name}" param_str: "{param}" }} }}'
    )


VOC_PARAM = "{'voc_dir': 'VOC', 'split': 'train', 'mean': (1.0, 2.0, 3.0), 'seed': 1337%s}"


def test_fcn_data_layer_in_order(voc: Path) -> None:
    source = batches(python_layer(VOC_PARAM % ", 'randomize': False"), voc)
    for index in range(4):
        name = f"i{index % 3}"
        batch = source.batch(index)
        image = np.asarray(Image.open(voc / "VOC" / "JPEGImages" / f"{name}.jpg"))
        label = np.asarray(Image.open(voc / "VOC" / "SegmentationClass" / f"{name}.png"))
        mean = np.array([1, 2, 3], np.float32)[:, None, None]
        np.testing.assert_array_equal(batch["data"], (bgr(image) - mean)[None])
        np.testing.assert_array_equal(batch["label"], label[None, None])


def test_fcn_data_layer_at_random(voc: Path) -> None:
    source = batches(python_layer(VOC_PARAM % ""), voc)
    heights = [source.batch(index)["data"].shape[2] for index in range(24)]
    assert set(heights) == {4, 5, 6}
    assert [source.batch(index)["data"].shape[2] for index in range(24)] == heights


def input_layer(size: int) -> str:
    shapes = f"shape {{ dim: {size} dim: 3 dim: 4 dim: 5 }} shape {{ dim: {size} dim: 1 dim: 4 dim: 5 }}"
    return f'layer {{ name: "d" type: "Input" top: "data" top: "label" input_param {{ {shapes} }} }}'


@pytest.mark.parametrize(
    ("layer", "mean", "scale"),
    [
        (
            'type: "Data" data_param { batch_size: 1 } transform_param { mean_value: [1, 2, 3] scale: 0.5 }',
            (1, 2, 3),
            0.5,
        ),
        ('type: "DenseImageData" dense_image_data_param { batch_size: 1 }', (0, 0, 0), 1),
    ],
)
def test_a_folder_is_fed_as_the_nets_data_layer_says(
    voc: Path, layer: str, mean: tuple[float, ...], scale: float
) -> None:
    text = f'layer {{ name: "d" top: "data" top: "label" {layer} }}'
    found = batches(text, voc, str(voc / "VOC"), train=False).batch(0)["data"][0]
    image = bgr(np.asarray(Image.open(voc / "VOC" / "JPEGImages" / "i0.jpg")))
    assert np.array_equal(found, (image - np.array(mean, np.float32)[:, None, None]) * np.float32(scale))


def test_a_folder_feeds_input_layers(voc: Path) -> None:
    batch = batches(input_layer(1), voc, str(voc / "VOC"), train=False).batch(1)
    assert (batch["data"].shape, batch["label"].shape) == ((1, 3, 5, 5), (1, 1, 5, 5))


def test_images_of_different_sizes_in_one_batch(voc: Path) -> None:
    with pytest.raises(NetError, match="images of different sizes in one batch: 3×4×5 and 3×5×5"):
        batches(input_layer(2), voc, str(voc / "VOC"), train=False).batch(0)


def test_a_list_feeds_input_layers(voc: Path) -> None:
    (voc / "pairs.txt").write_text("VOC/JPEGImages/i2.jpg VOC/SegmentationClass/i2.png\n")
    assert batches(input_layer(1), voc, str(voc / "pairs.txt")).batch(5)["data"].shape == (1, 3, 6, 5)


def mat(value: np.ndarray, compressed: bool) -> bytes:
    """A level 5 .mat of SBD's form: GTcls, a structure with the field Segmentation."""

    def element(kind: int, body: bytes) -> bytes:
        return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)

    def matrix(kind: int, dims: tuple[int, int], name: bytes, rest: bytes) -> bytes:
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", *dims)) + element(1, name)
        return element(14, head + rest)

    inner = matrix(9, value.shape, b"", element(2, value.tobytes("F")))
    fields = struct.pack("<HHi", 5, 4, 32) + element(1, b"Segmentation".ljust(32, b"\0"))
    outer = matrix(2, (1, 1), b"GTcls", fields + inner)
    body = zlib.compress(outer) if compressed else outer
    return b"MATLAB 5.0".ljust(124) + b"\0\x01IM" + (struct.pack("<II", 15, len(body)) + body if compressed else body)


@pytest.mark.parametrize("compressed", [False, True])
def test_sbd_labels(tmp_path: Path, compressed: bool) -> None:
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for sub in ("img", "cls"):
        (tmp_path / "sbd" / sub).mkdir(parents=True)
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "sbd" / "img" / "x.jpg")
    (tmp_path / "sbd" / "cls" / "x.mat").write_bytes(mat(label, compressed))
    (tmp_path / "sbd" / "train.txt").write_text("x\n")
    param = "{'sbdd_dir': 'sbd', 'split': 'train', 'mean': (0, 0, 0)}"
    batch = batches(python_layer(param, "SBDDSegDataLayer"), tmp_path).batch(0)
    np.testing.assert_array_equal(batch["label"], label[None, None])


def test_a_data_set_with_two_label_maps(tmp_path: Path) -> None:
    """SIFT Flow: classes start at 1 in its files, and 0 or -1 does not count."""
    folder = "spatial_envelope_256x256_static_8outdoorcategories"
    for sub in ("Images", "SemanticLabels", "GeoLabels"):
        (tmp_path / "S" / sub / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "S" / "Images" / folder / "x.jpg")
    for sub, labels in (("SemanticLabels", [[0, 1, 33]] * 2), ("GeoLabels", [[-1, 1, 3]] * 2)):
        (tmp_path / "S" / sub / folder / "x.mat").write_bytes(matfile("S", np.array(labels, np.int16)))
    (tmp_path / "S" / "train.txt").write_text("x\n")
    shapes = "shape { dim: 1 dim: 3 dim: 2 dim: 3 } " + "shape { dim: 1 dim: 1 dim: 2 dim: 3 } " * 2
    tops = 'top: "data" top: "label" top: "geo"'
    layer = f'layer {{ name: "d" type: "Input" {tops} input_param {{ {shapes} }} }}'
    more = 'layer { type: "Silence" bottom: "geo" }'
    batch = batches(layer + more, tmp_path, str(tmp_path / "S")).batch(0)
    assert batch["label"].tolist() == [[[[255, 0, 32]] * 2]]
    assert batch["geo"].tolist() == [[[[255, 0, 2]] * 2]]
    shapes += "shape { dim: 1 } "
    layer = f'layer {{ name: "d" type: "Input" {tops} top: "w" input_param {{ {shapes} }} }}'
    net = layer + more + ' layer { type: "Silence" bottom: "w" }'
    with pytest.raises(NetError, match="feeds an image and 2 label maps, the net has 4 inputs"):
        batches(net, tmp_path, str(tmp_path / "S"))


DAMAGED = [(20, "it is no MATLAB file"), (130, "it has no array 'GTcls'"), (200, "it ends in the middle of an array")]


@pytest.mark.parametrize(("cut", "what"), DAMAGED)
def test_damaged_mat(tmp_path: Path, cut: int, what: str) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "x.jpg")
    (tmp_path / "x.mat").write_bytes(mat(np.ones((3, 4), np.uint8), False)[:cut])
    (tmp_path / "list.txt").write_text("x.jpg x.mat\n")
    with pytest.raises(NetError, match=rf"x\.mat: it cannot be read: {what}"):
        batches(input_layer(1), tmp_path, str(tmp_path / "list.txt")).batch(0)


def test_a_field_that_a_mat_lacks(tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_bytes(mat(np.ones((3, 4), np.uint8), True))
    with pytest.raises(ValueError, match="Boundaries"):
        read_mat(str(tmp_path / "x.mat"), "GTcls", "Boundaries")


def test_images_are_turned_upright_in_training_too(tmp_path: Path) -> None:
    """As OpenCV reads them for Caffe since 3.1."""
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(rgb)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    (tmp_path / "list.txt").write_text("a.png 1\n")
    for colour, wanted in (("true", bgr(np.rot90(rgb, -1))), ("false", None)):
        found = batches(image_layer(f"is_color: {colour}").replace("batch_size: 2", "batch_size: 1"), tmp_path).batch(0)
        if wanted is None:
            wanted = np.asarray(Image.fromarray(np.rot90(rgb, -1)).convert("L"), np.float32)[None]
        assert np.abs(found["data"][0] - wanted).max() <= (colour == "false")  # Pillow's rounding of grey is its own


def test_an_image_data_layer_drops_transparency(tmp_path: Path) -> None:
    """As OpenCV's imread: what lies below the transparent pixels is what counts."""
    rgba = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 1\n")
    found = batches(image_layer().replace("batch_size: 2", "batch_size: 1"), tmp_path).batch(0)["data"][0]
    np.testing.assert_array_equal(found, bgr(rgba[..., :3]))


def test_a_mean_file_is_subtracted(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    mean = np.random.default_rng(1).uniform(0, 255, (3, 6, 5)).astype(np.float32)
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(mean[None]))
    (tmp_path / "list.txt").write_text("a.png 1\n")
    layer = image_layer("", 'mean_file: "mean.binaryproto" scale: 0.5 crop_size: 4')
    found = batches(layer, tmp_path, train=False).batch(0)["data"][0]
    np.testing.assert_array_equal(found, ((bgr(pictures["a.png"]) - mean) * np.float32(0.5))[:, 1:5, 0:4])
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(mean[None, :, 1:]))
    with pytest.raises(NetError, match="the mean image is"):
        batches(layer, tmp_path).batch(0)


MISTAKES: list[tuple[str, str]] = [
    (input_layer(1), "nothing feeds 'data' and 'label'"),
    (image_layer(), "there is no list 'list.txt'"),
    (python_layer("{'voc_dir': 'none', 'split': 'train', 'mean': (1, 2, 3)}"), "there is no folder 'none'"),
    (python_layer("{'voc_dir': 'none'}"), "param_str of VOCSegDataLayer is not what it wants"),
    (python_layer("__import__('os').system('true')"), "param_str of VOCSegDataLayer is not what it wants"),
    (python_layer("{}", "MyLayer"), "data layer voc_layers.MyLayer is user code"),
    ('layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 1 } }',
     "there is no data base 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "what"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_mistakes(layer: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(NetError) as caught:
        batches(layer, tmp_path)
    assert [d.what for d in caught.value.diagnostics] == [what]
    assert all(d.span is not None for d in caught.value.diagnostics)


def test_a_list_that_names_missing_images(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.txt").write_text("a.png 1\nz.png 2\n")
    with pytest.raises(NetError) as caught:
        batches(image_layer(), tmp_path)
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.what == f"{tmp_path / 'list.txt'} names files that do not exist: z.png"


def test_mean_values_for_other_channels(tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    (tmp_path / "list.txt").write_text("a.png 1\n")
    source = batches(image_layer("", "mean_value: 1 mean_value: 2"), tmp_path)
    with pytest.raises(NetError, match="2 values of mean_value for 3 channels"):
        source.batch(0)


def rows_file(path: Path, width: int, kind: type = np.float32) -> None:
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = np.ones((2, width), kind), np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: rows_file(path, 5), "y.h5: rows of 'data' are 5, those of x.h5 4"),
        (lambda path: rows_file(path, 4, np.bytes_), "y.h5: no data set 'data', which is a top"),
        (lambda path: path.write_text("hello"), "y.h5: not a readable HDF5 file"),
    ],
    ids=["rows", "strings", "text"],
)
def test_hdf5_mistakes(spoil: Callable[[Path], object], what: str, tmp_path: Path) -> None:
    for name in ("x.h5", "y.h5"):
        rows_file(tmp_path / name, 4)
    (tmp_path / "list.txt").write_text("x.h5\ny.h5\n")
    spoil(tmp_path / "y.h5")
    layer = 'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list.txt" '
    with pytest.raises(NetError) as caught:
        batches(layer + "batch_size: 2 } }", tmp_path)
    assert [d.what.replace(f"{tmp_path}/", "") for d in caught.value.diagnostics] == [what]


def test_hdf5_group_in_place_of_a_data_set(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("data")
        file["label"] = np.float32(1)  # a scalar has no rows
    (tmp_path / "list.txt").write_text("x.h5\n")
    layer = 'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list.txt" '
    with pytest.raises(NetError) as caught:
        batches(layer + "batch_size: 2 } }", tmp_path)
    assert [d.what for d in caught.value.diagnostics] == [
        f"{tmp_path / 'x.h5'}: no data set '{top}', which is a top" for top in ("data", "label")
    ]  # fmt: skip


def test_arrays_in_order_the_same_for_every_pass(folder: Path) -> None:
    source = read_arrays(str(folder / "batches.npz"), ["data", "label"], 2, 6)
    with np.load(folder / "batches.npz") as archive:
        data = archive["data"]
    for index in range(12):
        np.testing.assert_array_equal(source.batch(index)["data"], data[index // 2])


def test_arrays_missing_and_too_short(begin: Callable[..., Training], folder: Path) -> None:
    np.savez(folder / "few.npz", data=np.zeros((3, 5, 2, 9, 8)))
    with pytest.raises(NetError) as caught:
        begin(data=str(folder / "few.npz"))
    path = folder / "few.npz"
    assert [d.what for d in caught.value.diagnostics] == [
        f"{path}: 'data' has 3 steps, the solver takes 6",
        f"{path} has no array 'label'",
    ]


def test_arrays_with_another_number_of_axes(begin: Callable[..., Training], folder: Path) -> None:
    np.savez(folder / "flat.npz", data=np.zeros((8, 5, 2)), label=np.zeros((8, 5, 1, 9, 8)))
    with pytest.raises(NetError, match="'data' has 2 axes in the data, 4 in the net"):
        begin(data=str(folder / "flat.npz"))


def test_a_damaged_npz(begin: Callable[..., Training], folder: Path) -> None:
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(NetError, match=r"is no \.npz file of arrays"):
        begin(data=str(folder / "bad.npz"))


def test_order_is_a_function_of_the_number() -> None:
    order = Order(7, True, 5)
    forwards = [order(k) for k in range(21)]
    assert [order(k) for k in reversed(range(21))] == forwards[::-1]
    assert sorted(forwards[7:14]) == list(range(7))


def test_arrays_give_the_shapes_that_a_data_layer_does_not_say(begin: Callable[..., Training], folder: Path) -> None:
    """A classifier's Data layer: nobody knows the image's size or that there is one label for each."""
    (folder / "net.prototxt").write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 4 } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 '
        'weight_filler { type: "xavier" } } }\n'
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" }\n'
    )
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (6, 4))
    np.savez(folder / "batches.npz", data=random.standard_normal((6, 4, 2, 5, 3)), label=labels)
    training = begin()
    training.run()
    assert training.net.analysed.shapes[training.net.module.inputs[0]] == (4, 2, 5, 3)
    assert len(training.losses) == 6


def hdf5_of(tmp_path: Path, **options: object) -> str:
    """An HDF5Data layer that reads a data set of these options, and labels."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", **options)  # type: ignore[arg-type]
        file["label"] = np.zeros((4, 1), "f4")
    (tmp_path / "list.txt").write_text("a.h5\n")
    tops, param = 'top: "data" top: "label"', 'source: "list.txt" batch_size: 2'
    return f'layer {{ name: "d" type: "HDF5Data" {tops} hdf5_data_param {{ {param} }} }}'


def test_hdf5_data_claims_no_more_than_is_stored(tmp_path: Path) -> None:
    """Fill values stand for what was never written: a terabyte, and an order of rows as long."""
    layer = hdf5_of(tmp_path, shape=(10**9, 1000), dtype="f4", chunks=(1, 1000), fillvalue=1)
    with pytest.raises(NetError, match=r"'data' claims 4000000000000 bytes .*, but 0 are stored"):
        batches(layer, tmp_path)


def test_a_file_that_a_list_names_often_is_opened_once(tmp_path: Path) -> None:
    layer = hdf5_of(tmp_path, data=np.arange(8, dtype="f4").reshape(4, 2))
    (tmp_path / "list.txt").write_text(1000 * (tmp_path / "list.txt").read_text())
    with patch("h5py.File", side_effect=h5py.File) as opened:
        found = batches(layer, tmp_path)
    assert opened.call_count == 1
    size = len(found.batch(0)["data"])
    rows = np.concatenate([found.batch(i)["data"][:, 0] for i in range(9)])
    np.testing.assert_array_equal(rows, np.arange(9 * size) % 4 * 2)


def test_a_batch_of_hdf5_rows_is_bounded(tmp_path: Path) -> None:
    layer = hdf5_of(tmp_path, data=np.zeros((4, 1 << 18), "f4"), chunks=(1, 1 << 18), compression=9)
    with max_memory(1 << 22), pytest.raises(NetError, match=r"a batch of 2 takes 4\.2 MB of memory; --max-memory says"):
        batches(layer, tmp_path)
    assert batches(layer, tmp_path).batch(0)["data"].shape == (2, 1 << 18)
