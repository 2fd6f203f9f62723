"""Names of classes: every kind of file that people have, and what does not fit."""

from __future__ import annotations

import time

import pytest

from netcompile.data.class_names import class_names, class_sets, coco_ids, named_classes
from netcompile.diagnostics.diagnostic import NetError

LABEL_MAP = """# classes of a small net
item {
  name: "none_of_the_above"
  label: 0
  display_name: "background"
}
item { label: 2 name: "2" display_name: "lorry" }
item: { name: 'bus' label: 1 }
"""
FILES = {
    "synset_words": ("n01440764 tench, Tinca tinca\nn01443537 goldfish\n", ("tench, Tinca tinca", "goldfish")),
    "synsets": ("n01440764\nn01443537\n", ("n01440764", "n01443537")),
    "some-are-no-synsets": ("n01440764 tench\nhammer\n", ("n01440764 tench", "hammer")),
    "text": ("cat\r\ndog\r\n", ("cat", "dog")),
    "old-mac": ("cat\rdog\r", ("cat", "dog")),
    "begins-with-a-gap": ("\n\ncat\ndog\n\nwritten by hand\n", ("cat", "dog")),
    "numbered": ("1: cat\n2: small dog\n", ("cat", "small dog")),
    "numbered-from-7": ("07 cat\n08 dog", ("cat", "dog")),
    "only-some-are-numbered": ("3 wheeler\nbicycle", ("3 wheeler", "bicycle")),
    "label-map": (LABEL_MAP, ("background", "bus", "lorry")),
    "label-map-with-a-gap": ('item { label: 2 name: "a" }', ("class 0", "class 1", "a")),
    "coco-of-ssd": ("1,1,person\n13,3,stop sign\n", ("class 0", "person", "class 2", "stop sign")),
    "json-list": ('[\n "a",\n "b c"\n]', ("a", "b c")),
    "json-by-number": ('{"1": ["n2", "b"], "0": ["n1", "a"]}', ("a", "b")),
    "no-ascii": ("\ufeffgrüner Käfer\n猫", ("grüner Käfer", "猫")),
    "empty": ("", ()),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    text, names = FILES[name]
    path = tmp_path / "classes"
    path.write_bytes(text.encode())
    assert class_names(str(path)) == names


REFUSED = {
    "label-twice": (
        'item { name: "a" label: 1 }\nitem { name: "b" label: 1 }',
        ":2:25: error[class-names]: label 1 twice",
    ),
    "label-missing": ('item { name: "a" }', ":1:1: error[class-names]: an item without a label"),
    "label-negative": ('item { name: "a" label: -1 }', ":1:25: error[class-names]: label -1 is no number of a class"),
    "label-map-field": ('item { nmae: "a" label: 1 }', ":1:8: error[unknown-field]"),
    "label-map-open": ('item { name: "a" label: 1', ":1:26: error[unclosed-brace]"),
    "label-far-away": ('item { name: "a" label: 100000 }', ":1:1: error[class-names]: 1 names for labels up to 100000"),
    "numbers-jump": ("1 cat\n2 dog\n4 cow", ":3:1: error[class-names]: class 4 follows class 2"),
    "json-torn": ('["a",\n "b"', "error[class-names]: this is no JSON text"),
    "json-deep": ("[" * 100_000, "error[class-names]: this is no JSON text"),
    "json-of-numbers": ('{"a": 1}', ":1:1: error[class-names]: this is neither a list of names nor names by number"),
    "utf-16": ("cat".encode("utf-16"), "this is no text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    text, message = REFUSED[name]
    path = tmp_path / "classes"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NetError) as caught:
        class_names(str(path))
    assert message in str(caught.value)
    assert "classes" in str(caught.value)


def test_a_comment_of_many_hashes_takes_no_time(tmp_path):
    path = tmp_path / "classes"
    path.write_text("# " * 200_000 + "\nitem { name: 'a' label: 0 }")
    start = time.monotonic()
    assert class_names(str(path)) == ("a",)
    assert time.monotonic() - start < 20


def test_unknown_lists_get_a_hint():
    with pytest.raises(NetError, match=r"there is no list of classes 'coko'(.|\n)*did you mean 'coco'\?"):
        class_names("coko")


# What the user says, the net's classes, whether class 0 is the background; the names, or what is wrong.
FITS = [
    ("voc", 21, True, ("background", "aeroplane", 21)),
    ("pascal", 20, False, ("aeroplane", "bicycle", 20)),
    ("coco", 80, False, ("person", "bicycle", 80)),
    ("coco", 81, True, ("background", "person", 81)),
    ("coco", None, True, ("background", "person", 81)),
    ("coco", None, False, ("person", "bicycle", 80)),
    ("", 3, True, ("class 0", "class 1", 3)),
    ("a\nb", 3, True, ("background", "a", 3)),
    ("a\nb", 2, True, ("a", "b", 2)),  # a list of as many names is taken as it is
    ("a\nb", 3, False, "names 2 classes, the net has 3"),
    ("a\nb", 1, True, "names 2 classes, the net has 1"),
    ("background\nb", 1, False, ("b", "b", 1)),
    ("background\nb", 1, True, "names 2 classes, the net has 1"),
    ('item { name: "a" label: 1 }', 2, True, ("background", "a", 2)),
    ('item { name: "a" label: 1 }', 2, False, ("class 0", "a", 2)),
    ('item { name: "a" label: 0 }', 2, True, "names 1 classes, the net has 2"),
    ('item { name: "a" label: 2 }', 2, True, "names 3 classes, the net has 2"),
    ("coco", 21, True, "'coco' names 80 classes, the net has 21"),
]


@pytest.mark.parametrize(("said", "count", "background", "expected"), FITS)
def test_names_of_a_net(tmp_path, said, count, background, expected):
    if said not in ("", "voc", *class_sets()):
        (tmp_path / "classes").write_text(said)
        said = str(tmp_path / "classes")
    if isinstance(expected, str):
        with pytest.raises(NetError, match=expected):
            named_classes(said, count, background)
    else:
        names = named_classes(said, count, background)
        assert (names[0], names[min(1, len(names) - 1)], len(names)) == expected


def test_coco_is_as_pycocotools_numbers_it():
    """Facts of the data set: 80 names, numbered to 90 with these ten left out."""
    ids = coco_ids()
    assert sorted(set(range(1, 91)) - set(ids.values())) == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert list(ids.values()) == sorted(ids.values())
    assert [ids[name] for name in ("bird", "stop sign", "tv", "sink")] == [16, 13, 72, 81]
