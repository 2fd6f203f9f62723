"""Data sets of boxes in VOC's and COCO's layout, and as lists."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from netcompile.data.box_sets import open_boxes
from netcompile.diagnostics.diagnostic import NetError


def annotation(*objects):
    rows = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
        f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, difficult, box in objects
    )
    return f"<annotation>{rows}</annotation>"


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, extension in (("000001", "jpg"), ("000002", "png"), ("000003", "jpg")):
        Image.new("RGB", (20, 10)).save(root / "JPEGImages" / f"{name}.{extension}")
    (root / "Annotations" / "000001.xml").write_text(annotation(("dog", 0, (1, 1, 5, 5)), ("cat", 1, (2, 2, 20, 10))))
    (root / "Annotations" / "000002.xml").write_text(annotation())
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("000001\n000002\n")
    (root / "ImageSets" / "Main" / "dog_trainval.txt").write_text("000001  1\n000002 -1\n")
    return root


def test_voc(voc):
    data = open_boxes(str(voc))
    assert (data.name, data.classes) == ("VOC2007", ("cat", "dog"))
    assert [(s.name, s.number, s.image[-10:]) for s in data.samples] == [
        ("000001", 0, "000001.jpg"),
        ("000002", 1, "000002.png"),
    ]
    truth = data.samples[0].truth
    assert (truth.classes.tolist(), truth.difficult.tolist()) == ([1, 0], [False, True])
    assert truth.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 19, 9]]
    assert truth.whole_pixels
    assert data.samples[1].truth.boxes.shape == (0, 4)


def test_splits_of_voc(voc, tmp_path):
    assert len(open_boxes(str(voc), "dog_trainval").samples) == 2
    (tmp_path / "mine.txt").write_text("000002\n")
    assert [s.name for s in open_boxes(str(voc), str(tmp_path / "mine.txt")).samples] == ["000002"]
    (voc / "ImageSets" / "Main" / "trainval.txt").unlink()
    (voc / "ImageSets" / "Main" / "dog_trainval.txt").unlink()
    assert [s.name for s in open_boxes(str(voc)).samples] == ["000001", "000002"]  # every annotation there is


def test_list(voc, tmp_path):
    listing = tmp_path / "test.txt"
    listing.write_text("VOC2007/JPEGImages/000001.jpg VOC2007/Annotations/000001.xml\n")
    assert open_boxes(str(listing)).classes == ("cat", "dog")
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    listing.rename(elsewhere / "test.txt")
    assert len(open_boxes(str(elsewhere / "test.txt"), root=str(tmp_path)).samples) == 1


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    Image.new("RGB", (20, 10)).save(root / "val2017" / "a.jpg")
    truth = {
        "images": [{"id": 500, "file_name": "a.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [{"image_id": 500, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1}],
    }
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(truth))
    (root / "annotations" / "captions_val2017.json").write_text("{}")
    return root


def test_coco(coco):
    data = open_boxes(str(coco))
    assert data.classes == ("dog", "car")
    [sample] = data.samples
    assert (sample.name, sample.number) == ("a", 500)
    assert np.array_equal(sample.truth.boxes, [[1, 2, 4, 6]])
    assert (sample.truth.classes.tolist(), sample.truth.difficult.tolist()) == ([1], [True])
    assert not sample.truth.whole_pixels
    assert data.coco is not None
    assert data.coco.boxes[500].classes.tolist() == [3]


def test_where_images_of_coco_lie(coco, tmp_path):
    file = coco / "annotations" / "instances_val2017.json"
    assert len(open_boxes(str(file)).samples) == 1
    (coco / "val2017").rename(tmp_path / "pictures")
    with pytest.raises(NetError, match=r"none of the 1 images of .* is there(.|\n)*--root FOLDER"):
        open_boxes(str(file))
    assert len(open_boxes(str(file), root=str(tmp_path / "pictures")).samples) == 1
    (coco / "annotations" / "instances_train2017.json").write_text(file.read_text())
    with pytest.raises(
        NetError, match=r"there is no data set|which of instances_train2017.json, instances_val2017.json"
    ):
        open_boxes(str(coco), "test")


def test_what_is_no_data_set(voc, tmp_path):
    with pytest.raises(NetError, match=r"is no data set of boxes(.|\n)*give .*VOC2007"):
        open_boxes(str(tmp_path))
    with pytest.raises(NetError, match="there is no data set"):
        open_boxes(str(tmp_path / "nowhere"))
    with pytest.raises(NetError, match=r"there is no split 'val'(.|\n)*there are trainval"):
        open_boxes(str(voc), "val")
    (tmp_path / "pairs.txt").write_text("a.jpg b.png\n")
    with pytest.raises(NetError, match=r"entry 1 is not of the form IMAGE ANNOTATION.xml"):
        open_boxes(str(tmp_path / "pairs.txt"))
    (voc / "ImageSets" / "Main" / "test.txt").write_text("000001\n000003\n")
    with pytest.raises(NetError, match=r"test.txt lists images without an annotation: no .*000003.xml"):
        open_boxes(str(voc))
    (voc / "ImageSets" / "Main" / "test.txt").write_text("\n")
    with pytest.raises(NetError, match="lists no images"):
        open_boxes(str(voc))
