"""Names of a net's classes: bundled lists, and the files that people have: synset_words.txt, label maps, texts."""

from __future__ import annotations

import os
import re

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.source import Source, Span
from netcompile.files.look import is_file
from netcompile.files.reading import parse_json, read_bytes
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "classes")
BACKGROUND = "background"
_BACKGROUNDS = frozenset([BACKGROUND, "__background__", "none_of_the_above"])
_ALIASES = {"voc": "pascal"}
_MOST_BYTES = 1 << 20
_SYNSET = re.compile(r"(n\d{8})(?:\s+(\S.*))?")
_NUMBERED = re.compile(r"(\d{1,9})\s*[:.)\t ]\s*(\S.*)")
_COCO_LABEL = re.compile(r"\d{1,9},(\d{1,9}),(.+)")
_LABEL_MAP = re.compile(r"\s*+(?:#[^\n]*+\s*+)*+item\s*+[{:<]")
_REMEDY = "write one class a line, or give Caffe's synset_words.txt, SSD's labelmap.prototxt or a JSON list of names"


def class_sets() -> tuple[str, ...]:
    """The names of the bundled lists of classes.

    >>> class_sets()
    ('cityscapes', 'coco', 'nyud', 'pascal', 'pascal-context-59', 'sift-flow-geometric', 'sift-flow-semantic')
    """
    return tuple(sorted(name[:-4] for name in os.listdir(FOLDER) if name.endswith(".tsv")))


def bundled_rows(name: str) -> list[list[str]]:
    """The rows of a bundled list: the class's name first, then what else the list has."""
    with open(os.path.join(FOLDER, f"{name}.tsv"), encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file if line.strip()]


def coco_ids() -> dict[str, int]:
    """The category of COCO by its name: 80 names, ids between 1 and 90.

    >>> coco_ids()["person"], coco_ids()["toothbrush"], len(coco_ids())
    (1, 90, 80)
    """
    return {name: int(number) for name, number in bundled_rows("coco")}


def class_names(name: str) -> tuple[str, ...]:
    """The classes of a bundled list ("voc" is "pascal"), or of a file, in the order of their labels.

    Files: Caffe's synset_words.txt ("n01440764 tench, Tinca tinca" names "tench, Tinca tinca"); SSD's label maps
    (``item { name: "1" label: 1 display_name: "person" }``), and its list for COCO ("1,1,person"); JSON, a list of
    names or the names by number; a text with a class a line, where every line may begin with its number ("7: car", "07
    car"). Lines of a text after the first empty one are remarks. Raises NetError, with the place where there is one,
    and OSError.
    """
    return tuple(text or f"class {label}" for label, text in enumerate(_listed(name)[0]))


def named_classes(said: str, count: int | None, background: bool = False) -> tuple[str, ...]:
    """The names of the `count` classes of a net, by the list that the user `said`; numbers where he said nothing.

    With `background` class 0 of the net is what belongs to none: lists that lack it get it in front, and lists that
    have it lose it where the net has none. A label map says each label's number itself, and may have gaps: those are
    "class 7". `count` None: nothing is known of the net. Raises NetError with both numbers where they do not fit.

    >>> named_classes("pascal", 21, background=True)[:2], named_classes("voc", 20)[:2], named_classes("", 2)
    (('background', 'aeroplane'), ('aeroplane', 'bicycle'), ('class 0', 'class 1'))
    """
    if not said:
        return tuple(f"class {label}" for label in range(count or 0))
    found, labelled = _listed(said)
    has_background = bool(found) and found[0].lower() in _BACKGROUNDS
    if background and labelled and found and not found[0]:
        found = [BACKGROUND, *found[1:]]
    elif background and not labelled and not has_background and count in (None, len(found) + 1):
        found = [BACKGROUND, *found]
    elif not background and has_background and count == len(found) - 1:
        found = found[1:]
    if count is not None and len(found) != count:
        refuse(
            "class-names",
            f"'{said}' names {len(found)} classes, the net has {count}",
            why=f"the first is {found[0]!r}, the last {found[-1]!r}" if found else "",
            remedy="give the list of the data that the net was trained on, or leave --classes out",
        )
    return tuple(name or f"class {label}" for label, name in enumerate(found))


def _listed(name: str) -> tuple[list[str], bool]:
    """The names by label, "" where a label has none, and whether the file gives the labels' numbers itself."""
    bundled = _ALIASES.get(name.lower(), name)
    if bundled in class_sets():
        return [row[0] for row in bundled_rows(bundled)], False
    if not is_file(name):
        found = did_you_mean(nearest(name, [*class_sets(), *_ALIASES]))
        known = f"--classes {', '.join(class_sets())}, or a file with one class a line"
        remedy = f"{found} {known}" if found else known
        refuse("class-names", f"there is no list of classes '{name}'", remedy=remedy)
    data = read_bytes(name, _MOST_BYTES)
    if b"\0" in data:
        refuse("class-names", f"{name}: this is no text", remedy=_REMEDY)
    source = Source(data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n"), name)
    if _LABEL_MAP.match(source.text):
        return _of_label_map(source), True
    if source.text.lstrip()[:1] in ("[", "{"):
        return _of_json(source)
    return _of_text(source)


def _of_label_map(source: Source) -> list[str]:
    items: tuple[Message, ...] = parse(source, "LabelMap").all("item")
    found: dict[int, Message] = {}
    for item in items:
        label = item.get("label")
        if not item.has("label") or not 0 <= label < _MOST_BYTES:
            what = f"label {label} is no number of a class" if item.has("label") else "an item without a label"
            refuse("class-names", what, item.span_of("label"), remedy="label: 1")
        if label in found:
            earlier = found[label].span_of("label")
            refuse("class-names", f"label {label} twice", item.span_of("label"), related=((earlier, "the first"),))
        found[label] = item
    return _in_order({label: item.get("display_name") or item.get("name") for label, item in found.items()}, source)


def _of_json(source: Source) -> tuple[list[str], bool]:
    """A list of names, or an object with names by number, as those of ImageNet: {"0": ["n01440764", "tench"]}."""
    try:
        found = parse_json(source.text)
    except ValueError as error:
        at = min(getattr(error, "pos", 0), len(source.text))
        refuse("class-names", "this is no JSON text", Span(source, at, at + 1), str(error), _REMEDY)
    if isinstance(found, list) and all(isinstance(name, str | int | float) for name in found):
        return [str(name) for name in found], False
    if isinstance(found, dict):
        last = {key: value[-1] if isinstance(value, list) and value else value for key, value in found.items()}
        numbered = all(re.fullmatch(r"\d{1,6}", key, re.ASCII) for key in last)
        if numbered and all(isinstance(name, str) for name in last.values()):
            return _in_order({int(key): name for key, name in last.items()}, source), True
    refuse("class-names", "this is neither a list of names nor names by number", Span(source, 0, 1), remedy=_REMEDY)


def _of_text(source: Source) -> tuple[list[str], bool]:
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(source.text.split("\n"), 1):
        if line.strip():
            lines.append((number, line.strip()))
        elif lines:
            break
    synsets = [_SYNSET.fullmatch(line) for _, line in lines]
    if lines and all(synsets):
        return [match[2] or match[1] for match in synsets if match], False
    labels = [_COCO_LABEL.fullmatch(line) for _, line in lines]
    if lines and all(labels):
        return _in_order({int(match[1]): match[2].strip() for match in labels if match}, source), True
    numbered = [_NUMBERED.fullmatch(line) for _, line in lines]
    if not all(numbered):
        return [line for _, line in lines], False
    pairs = [(int(match[1]), match[2]) for match in numbered if match]
    for (number, _), (before, _), (label, _) in zip(lines[1:], pairs, pairs[1:], strict=False):
        if label != before + 1:
            refuse(
                "class-names",
                f"class {label} follows class {before}",
                Span(source, *source.line_range(number)),
                why="names are taken in the order of the lines, so the numbers in front must count them",
                remedy='write a label map: item { name: "car" label: 7 }',
            )
    return [name for _, name in pairs], False


def _in_order(named: dict[int, str], source: Source) -> list[str]:
    """The names by label, "" for labels without one. Raises NetError where most by far are gaps."""
    count = max(named, default=-1) + 1
    if count > 1000 + 100 * len(named):
        refuse("class-names", f"{len(named)} names for labels up to {count - 1}", Span(source, 0, 1))
    return [named.get(label, "") for label in range(count)]
