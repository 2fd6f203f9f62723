"""True boxes: VOC's annotations, COCO's files, label maps; read by the commands that score boxes and name classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image

from tests.fuzz.files import annotation_seeds, instance_seeds
from tests.fuzz.mutators import raw
from tests.fuzz.targets import Row, Target
from tests.tasks.detection.nets import write_ssd

FILE = "boxes.json"  # COCO's by its ending; VOC's by the link that a list names
WORDS = (
    "<object>", "</object>", "<name>", "<bndbox>", "<xmin>", "nan", "1e999", "-1", "&amp;", "&x;", "<!ENTITY x 'y'>",
    "<!DOCTYPE a>", "<![CDATA[x]]>", "<?x y?>", '"bbox"', '"iscrowd"', "[]", "{}", "null", "1e400", "item {",
    "label: 1", "display_name", "\x1b[2J", "\u202e", "\x00",
)  # fmt: skip
LABEL_MAP = b'item { name: "1" label: 1 display_name: "red" }\nitem { name: "2" label: 2 }\n'


def seeds() -> list[bytes]:
    """An annotation, a file of COCO's, a label map."""
    return [*annotation_seeds(), *instance_seeds(), LABEL_MAP]


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Words put in, parts doubled, bytes changed."""
    data = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.4:
            data = data[:at] + chance.choice(WORDS).encode() + data[at:]
        elif chance.random() < 0.3:
            end = chance.randrange(at, len(data) + 1)
            data = data[:end] + data[at:end] * chance.choice((1, 1, 30)) + data[end:]
        else:
            data = raw.noise(chance, data)
    return data


def fixtures() -> None:
    """A net that finds boxes, an image, and a list that names the mutant as an annotation."""
    here = Path()
    write_ssd(here)
    Image.new("RGB", (32, 32), (250, 20, 10)).save(here / "a.jpg")
    (here / "a.xml").symlink_to(FILE)
    (here / "list.txt").write_text("a.jpg a.xml\n")
    (here / "names.txt").write_text("cat\ndog\n")
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], "annotations": []}
    (here / "good.json").write_text(json.dumps(coco))


NET = ("cells.prototxt", "--weights", "cells.caffemodel")
ROWS = (
    Row(("evaluate", *NET, "--data", FILE, "--classes", "names.txt"), 2),
    Row(("evaluate", *NET, "--data", "list.txt", "--classes", "names.txt", "-o", "out"), 2),
    Row(("predict", *NET, "a.jpg", "--classes", FILE, "--voc", "--coco", "-o", "out"), 1),
)
TARGET = Target("boxes", FILE, seeds, mutate, ROWS, fixtures, text=True)
