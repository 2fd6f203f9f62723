"""Which label of a net is which class of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from netcompile.array import Array
from netcompile.data.annotated import AnnotatedImages
from netcompile.data.box_sets import BoxSet
from netcompile.data.class_names import named_classes
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.visible import visible

# Lists that a net of so many classes, the background left out, may have where nobody says its names.
_USUAL = {20: "pascal", 80: "coco"}


@dataclass(frozen=True, slots=True)
class Classes:
    """The names of a net's labels, and for each class of the data set the net's label.

    `categories`: by the net's label the id in a COCO file.
    """

    names: tuple[str, ...]
    labels: Array
    categories: Mapping[int, int] = field(default_factory=dict)


def classes_of(
    names: Sequence[str], count: int | None, background: bool, data: BoxSet | AnnotatedImages
) -> Classes:  # fmt: skip
    """Classes are matched by name; the records of a data base have the net's own labels.

    `names` are what the user said, none where he did not: then they are PASCAL VOC's or COCO's where their number is
    that, and the data set has no others; and the data set's own where both have a single one. Raises NetError where the
    data set has a class that the net lacks.
    """
    if isinstance(data, AnnotatedImages):
        return Classes(tuple(names) or _numbers(count), np.zeros(0, np.int64))
    known = tuple(names) or _guessed(count, background, data)
    if not known:
        refuse(
            "class-names",
            f"nothing says which of the net's classes are those of {data.name}: {_listed(data.classes)}",
            remedy="--classes LIST or FILE names the net's classes",
        )
    index = {name: label for label, name in enumerate(known)}
    folded = {name.strip().lower(): label for name, label in index.items()}
    found = []
    for name in data.classes:
        label = index.get(name, folded.get(name.strip().lower()))
        if label is None:
            refuse(
                "class-names",
                f"the data set has the class '{visible(name)}', which is none of the net's",
                why=f"these are {_listed(known)}",
                remedy=did_you_mean(nearest(name, known), "--classes names the net's classes"),
            )
        found.append(label)
    categories = {} if data.coco is None else dict(zip(found, data.coco.categories, strict=True))
    if len(set(found)) < len(found):
        refuse("class-names", f"two classes of {data.name} have names that are the same to the net")
    return Classes(known, np.array(found, np.int64), categories)


def _guessed(count: int | None, background: bool, data: BoxSet) -> tuple[str, ...]:
    if count is None:
        return ()
    own = count - background
    if own in _USUAL:
        usual = named_classes(_USUAL[own], count, background)
        if set(data.classes) <= set(usual):
            return usual
    if own == len(data.classes) == 1:
        return ("background", *data.classes) if background else data.classes
    return ()


def _numbers(count: int | None) -> tuple[str, ...]:
    if count is None:
        refuse("class-names", "nothing says how many classes the net has", remedy="--classes LIST or FILE names them")
    return tuple(f"class {label}" for label in range(count))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name) for name in names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown
