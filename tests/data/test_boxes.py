"""Boxes: overlaps by hand and as pycocotools has them, clipping, suppression; annotations of VOC and COCO."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.data.boxes import Detections, clipped, overlaps, suppressed
from netcompile.data.boxes_coco import category_ids, read_instances, results, results_text
from netcompile.data.boxes_voc import read_annotation, results_by_class, voc_corners
from netcompile.data.class_names import named_classes
from netcompile.diagnostics.diagnostic import NetError

A, B = [0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0]
# Two boxes, their overlap with corners as edges and as whole pixels: shared area over the area of both.
PAIRS = {
    "same": (A, A, 1.0, 1.0),
    "beside": (A, B, 36 / (81 + 81 - 36), 50 / (100 + 100 - 50)),
    "inside": (A, [2.0, 2.0, 4.0, 4.0], 4 / 81, 9 / 100),
    "touching": (A, [9.0, 0.0, 12.0, 9.0], 0.0, 10 / (100 + 40 - 10)),
    "apart": (A, [20.0, 20.0, 30.0, 30.0], 0.0, 0.0),
    "next-pixel": (A, [10.0, 0.0, 12.0, 9.0], 0.0, 0.0),
    "a-point": (A, [3.0, 3.0, 3.0, 3.0], 0.0, 1 / 100),
    "two-points": ([3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0], 0.0, 1.0),
    "swapped": (A, [8.0, 8.0, 2.0, 2.0], 0.0, 0.0),
}


@pytest.mark.parametrize("name", PAIRS)
def test_overlaps(name):
    one, other, edges, whole = PAIRS[name]
    one, other = np.array([one]), np.array([other])
    assert overlaps(one, other)[0, 0] == pytest.approx(edges, rel=1e-15)
    assert overlaps(one, other, 1)[0, 0] == pytest.approx(whole, rel=1e-15)
    assert (overlaps(other, one, 1) == overlaps(one, other, 1)).all()


def test_overlaps_of_none():
    none = np.zeros((0, 4))
    assert overlaps(none, np.array([A])).shape == (0, 1)
    assert overlaps(np.array([A]), none).shape == (1, 0)


def test_overlaps_are_those_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(1)
    low = random.uniform(0, 50, (40, 2))
    boxes = np.concatenate((low, low + random.uniform(0, 50, (40, 2))), axis=1)
    sides = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    theirs = mask.iou(sides[:15], sides[15:], [0] * 25)
    np.testing.assert_allclose(overlaps(boxes[:15], boxes[15:]), theirs, rtol=1e-12, atol=1e-15)


def test_clipping_ends_at_the_width_or_at_the_last_pixel():
    boxes = np.array([[-5.0, -1, 120, 50], [130, 60, 140, 70]])
    assert clipped(boxes, 40, 100).tolist() == [[0, 0, 100, 40], [100, 40, 100, 40]]
    assert clipped(boxes, 40, 100, whole_pixels=True).tolist() == [[0, 0, 99, 39], [99, 39, 99, 39]]


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.integers(0, 5)), max_size=12), st.sampled_from([0, 1]))
def test_suppression_is_that_of_one_box_after_another(found, border):
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in found], np.float64).reshape(-1, 4)
    scores = np.array([score for *_, score in found], np.float64)
    kept: list[int] = []
    for score, index in sorted(zip(scores, range(len(scores)), strict=True), reverse=True):
        assert score == scores[index]
        if all(_overlap(boxes[index], boxes[other], border) <= 0.3 for other in kept):
            kept.append(index)
    assert suppressed(boxes, scores, 0.3, border).tolist() == kept


def _overlap(a, b, border):
    width = min(a[2], b[2]) - max(a[0], b[0]) + border
    height = min(a[3], b[3]) - max(a[1], b[1]) + border
    if width <= 0 or height <= 0:
        return 0
    sizes = [(box[2] - box[0] + border) * (box[3] - box[1] + border) for box in (a, b)]
    return width * height / (sizes[0] + sizes[1] - width * height)


# --- PASCAL VOC

ANNOTATION = """<?xml version="1.0"?>
<annotation>
  <filename>000005.jpg</filename>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <object>
    <name>chair</name><pose>Rear</pose><truncated>0</truncated><difficult>1</difficult>
    <bndbox><xmin>263</xmin><ymin>211</ymin><xmax>324</xmax><ymax>339</ymax></bndbox>
  </object>
  <object>
    <bndbox><xmax> 9.5 </xmax><xmin>1</xmin><ymin>1</ymin><ymax>1</ymax></bndbox>
    <name> person&amp;co
    </name>
    <truncated>1</truncated>
    <part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>
</annotation>
"""


def write(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_annotation(tmp_path):
    found = read_annotation(write(tmp_path, ANNOTATION))
    assert found.names == ("chair", "person&co")
    assert found.boxes.tolist() == [[262, 210, 323, 338], [0, 0, 8.5, 0]]
    assert found.difficult.tolist() == [True, False]
    assert found.truncated.tolist() == [False, True]


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-8-sig", "cp1252"])
def test_annotations_of_other_encodings(tmp_path, encoding):
    name = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{name}"?>{ANNOTATION.partition("?>")[2]}'.replace("chair", "chaîse")
    assert read_annotation(write(tmp_path, text.encode(encoding))).names[0] == "chaîse"


def test_annotation_without_objects(tmp_path):
    found = read_annotation(write(tmp_path, "<annotation/>"))
    assert (found.names, found.boxes.shape, found.difficult.shape) == ((), (0, 4), (0,))


LAUGHS = "\n".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
BAD = {
    "billion-laughs": (
        f'<!DOCTYPE annotation [\n<!ENTITY l0 "ha">\n{LAUGHS}]>\n<annotation>&l11;</annotation>',
        ":2:1: error[annotation]: entity 'l0' is declared",
    ),
    "external-entity": (
        '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        ":1:1: error[annotation]: entity 'x' is declared",
    ),
    "parameter-entity": (
        '<!DOCTYPE annotation [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]><annotation/>',
        ":1:1: error[annotation]: entity 'x' is declared",
    ),
    "undeclared-entity": ("<annotation>&x;</annotation>", ":1:1: error[annotation]: this is no XML text"),
    "torn": (ANNOTATION[:400], ":10:1: error[annotation]: this is no XML text"),
    "empty": ("", ":1:1: error[annotation]: this is no XML text"),
    "not-xml": ("000005 1 2 3 4", ":1:1: error[annotation]: this is no XML text"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00", ":1:1: error[annotation]: this is no XML text"),
    "unknown-encoding": (
        '<?xml version="1.0" encoding="klingon"?><annotation/>',
        ":1:1: error[annotation]: this is no",
    ),
    "other-root": ("<svg/>", ":1:1: error[annotation]: the root is <svg>, not <annotation>"),
    "no-name": (ANNOTATION.replace("<name>chair</name>", ""), ":5:1: error[annotation]: an object without a name"),
    "no-box": (
        ANNOTATION.replace("<xmin>263</xmin>", ""),
        ":5:1: error[annotation]: object 'chair' has no xmin in its bndbox",
    ),
    "no-number": (ANNOTATION.replace("263", "left"), ":7:1: error[annotation]: 'left' is no number"),
    "not-finite": (ANNOTATION.replace("263", "nan"), ":7:1: error[annotation]: 'nan' is no number"),
    "swapped": (
        ANNOTATION.replace("324", "32"),
        ":7:1: error[annotation]: the box of 'chair' ends before it begins: 263, 211, 32, 339",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_annotations(tmp_path, name):
    text, message = BAD[name]
    path = write(tmp_path, text)
    with pytest.raises(NetError) as caught:
        read_annotation(path)
    assert str(caught.value).startswith(path + message)


def test_deep_and_long_annotations_take_no_time(tmp_path):
    path = write(tmp_path, "<annotation>" + "<a>" * 300_000 + "</a>" * 300_000 + "</annotation>")
    assert read_annotation(path).names == ()
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(NetError, match="too-large"):
        read_annotation(path)


def detections(whole_pixels=False):
    classes, scores = np.array([1, 2, 1]), np.array([0.25, 0.5, 0.75])
    boxes = np.array([[0.0, 1.0, 10.5, 20.256], [3.0, 4.0, 5.0, 6.0], [7.0, 7.0, 9.0, 8.0]])
    return Detections(classes, scores, boxes, whole_pixels)


def test_results_of_voc():
    edges = results_by_class([("a", detections()), ("b", detections(whole_pixels=True))], ("background", "cat", "dog"))
    assert edges == {
        "background": "",
        "cat": "a 0.750000 7.00 7.00 9.00 8.00\na 0.250000 0.00 1.00 10.50 20.26\n"
        "b 0.750000 8.00 8.00 10.00 9.00\nb 0.250000 1.00 2.00 11.50 21.26\n",
        "dog": "a 0.500000 3.00 4.00 5.00 6.00\nb 0.500000 4.00 5.00 6.00 7.00\n",
    }
    assert voc_corners(detections(whole_pixels=True))[1].tolist() == [4, 5, 6, 7]


# --- COCO


def coco(**changes):
    whole = {
        "info": {},
        "images": [{"id": 397133, "file_name": "a.jpg", "height": 40, "width": 60}, {"id": 3, "file_name": "b.jpg"}],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 7, "image_id": 3, "category_id": 18, "bbox": [1, 2, 3.5, 4], "area": 9, "iscrowd": 0},
            {"id": 0, "image_id": 3, "category_id": 90, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    }
    return {**whole, **changes}


def instances(tmp_path, value):
    path = tmp_path / "instances.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def test_instances(tmp_path):
    found = read_instances(instances(tmp_path, coco()))
    assert [(image.number, image.file_name, image.height, image.width) for image in found.images] == [
        (397133, "a.jpg", 40, 60),
        (3, "b.jpg", 0, 0),
    ]
    assert found.categories == {90: "toothbrush", 18: "dog"}
    assert len(found.boxes[397133]) == 0
    assert found.boxes[397133].boxes.shape == (0, 4)
    assert found.boxes[3].classes.tolist() == [18, 90]
    assert found.boxes[3].boxes.tolist() == [[1, 2, 4.5, 6], [0, 0, 5, 5]]
    assert found.boxes[3].difficult.tolist() == [False, True]


def with_entry(key, **changes):
    whole = coco()
    whole[key][1] = {name: value for name, value in {**whole[key][1], **changes}.items() if value is not None}
    return whole


BAD_COCO = {
    "torn": ('{"images": [', "this is no JSON text"),
    "deep": ("[" * 200_000, "this is no JSON text"),
    "list": ([], "this is no file of COCO's boxes"),
    "no-images": (coco(images={}), "this is no file of COCO's boxes"),
    "entry": (coco(images=[1]), "images[0] is no object"),
    "no-file-name": (with_entry("images", file_name=None), "images[1] has no file_name that is a text"),
    "same-id": (with_entry("images", id=397133), "images[1] has the id 397133 of an earlier one"),
    "id-text": (with_entry("images", id="x"), "images[1] has no id that is a whole number"),
    "id-huge": (with_entry("images", id=10**30), "images[1] has no id that is a whole number"),
    "same-category": (with_entry("categories", id=90), "categories[1] has the id or name of an earlier one: 90, 'dog'"),
    "unknown-image": (with_entry("annotations", image_id=4), "annotations[1] has the image_id 4, which there is not"),
    "unknown-category": (with_entry("annotations", category_id=4), "annotations[1] has the category_id 4, which there"),
    "no-box": (with_entry("annotations", bbox=None), "annotations[1] has no bbox of four numbers"),
    "short-box": (with_entry("annotations", bbox=[1, 2, 3]), "annotations[1] has no bbox of four numbers"),
    "nan-box": (with_entry("annotations", bbox=[1, 2, 3, float("nan")]), "annotations[1] has no bbox of four numbers"),
    "negative-box": (with_entry("annotations", bbox=[1, 2, -3, 4]), "annotations[1] has a bbox of -3 × 4"),
}


@pytest.mark.parametrize("name", BAD_COCO)
def test_bad_instances(tmp_path, name):
    value, message = BAD_COCO[name]
    path = instances(tmp_path, value)
    with pytest.raises(NetError) as caught:
        read_instances(path)
    assert str(caught.value).startswith(f"{path}:1:1: error[annotation]: {message}")


def test_results_of_coco():
    made = results([(397133, detections()), (3, detections(whole_pixels=True).chosen(np.array([1])))], (0, 18, 90))
    assert made == [
        {"image_id": 397133, "category_id": 18, "bbox": [7, 7, 2, 1], "score": 0.75},
        {"image_id": 397133, "category_id": 90, "bbox": [3, 4, 2, 2], "score": 0.5},
        {"image_id": 397133, "category_id": 18, "bbox": [0, 1, 10.5, 19.256], "score": 0.25},
        {"image_id": 3, "category_id": 90, "bbox": [3, 4, 3, 3], "score": 0.5},  # whole pixels count both ends
    ]
    assert json.loads(results_text(made))[2]["bbox"] == [0, 1, 10.5, 19.26]
    assert results_text([]) == "[]\n"


def test_categories_of_coco():
    assert category_ids(named_classes("coco", 81, background=True))[:14] == (0, *range(1, 12), 13, 14)
    assert category_ids(named_classes("coco", 80))[-2:] == (89, 90)
    assert category_ids(("background", "dog", "flower")) == (0, 1, 2)
    assert category_ids(("background", "dog")) == (0, 18)
