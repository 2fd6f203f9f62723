"""The layer types that netcompile knows: whose they are, what they do, and what they are held to."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from pathlib import Path

from docs.generator.commands import cell
from netcompile.layers.base import Arity, Layer
from netcompile.layers.registry import TYPES, load
from netcompile.layers.unsupported import FORKS, KNOWN_UNSUPPORTED

CASES = (("conformance", "Caffe"), ("conformance_forks", "forks"))


def held_to(tests: Path) -> dict[str, dict[str, int]]:
    """For each type, in how many nets with numbers of real Caffe or of a fork's own code it occurs."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for folder, judge in CASES:
        for net in sorted((tests / folder).glob("*/net.prototxt")):
            for name in set(re.findall(r'\btype: "(\w+)"', net.read_text(encoding="utf-8"))):
                found[name][judge] += 1
    return found


def count(bound: int | tuple[int, int | None]) -> str:
    """How many bottoms or tops: "1", "1 or 2", "2 to 4", "2 and more"."""
    least, most = Arity.range(bound)
    if most is None:
        return f"{least} and more" if least else "any"
    if least == most:
        return str(least)
    return f"{least} or {most}" if most == least + 1 else f"{least} to {most}"


def first_sentence(cls: type[Layer]) -> str:
    """What the class says it is: the first paragraph of its docstring, up to a colon that has something below it."""
    text = (inspect.getdoc(cls) or "").split("\n\n")[0]
    return cell(re.sub(r"``([^`]*)``", r"`\1`", text))


def places(cls: type[Layer]) -> str:
    """Whether coordinates are followed through the layer, and its shape."""
    if cls.is_data:
        return "an input"
    if cls.is_measure or Arity.range(cls.arity.tops)[1] == 0:
        return "left out at inference"
    if not cls.computed:
        return "refused"
    if cls.sized_by_values:
        return "rows depend on values"
    return "followed" if cls.coords is not Layer.coords else "end here"


def numbers(name: str, cases: dict[str, dict[str, int]], own: set[str]) -> str:
    """What its numbers are compared with in the tests."""
    found = [f"{judge} {nets}" for judge, nets in cases.get(name, {}).items()]
    return " · ".join([*found, *["NumPy" for _ in own & {name}]]) or "–"


def row(name: str, cls: type[Layer], cases: dict[str, dict[str, int]], own: set[str]) -> str:
    """A line of the table."""
    arity = f"{count(cls.arity.bottoms)} → {'as many' if cls.arity.equal else count(cls.arity.tops)}"
    cells = (f"`{name}`", cls.fork or "Caffe", arity, first_sentence(cls), places(cls), numbers(name, cases, own))
    return f"| {' | '.join(cells)} |"


def fields_of_forks(tables: Path) -> str:
    """For each fork the fields that its caffe.proto has and BVLC's has not."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in (tables / "fork-fields.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        message, field, *_, fork = line.split("\t")
        found[fork][message].append(f"`{field}`")
    parts = []
    for fork, messages in sorted(found.items(), key=lambda item: item[0].lower()):
        rows = "\n".join(f"| `{message}` | {', '.join(fields)} |" for message, fields in messages.items())
        parts.append(f"### {fork}\n\n| message | fields |\n|---|---|\n{rows}")
    return "\n\n".join(parts)


def pages(repository: Path, own: set[str]) -> dict[str, str]:
    """The page of all layers. `own`: the types that the tests have a NumPy function for."""
    cases, classes = held_to(repository / "tests"), load()
    head = "| type | of | bottoms → tops | what it is | coordinates | held to |\n|---|---|---|---|---|---|"
    sections = []
    for module, names in TYPES.items():
        rows = "\n".join(row(name, classes[name], cases, own) for name in names)
        sections.append(f"### {module.replace('_', ' ').capitalize()}\n\n{head}\n{rows}")
    refused = "\n".join(f"| `{name}` | {cell(why)} |" for name, why in sorted({**KNOWN_UNSUPPORTED, **FORKS}.items()))
    text = f"""# Layers

Made from the registry of layer types and from the tests. A type that is in no table is refused with the nearest
names, or comes from a [plugin](../howto/another-layer.md).

## How to read the tables

*Of*: BVLC Caffe 1.0, or the fork that has the type. *Coordinates*: whether strides and offsets are followed through
the layer; a crop behind one where they end cannot be judged ([`crop-undefined`](errors/c.md#crop-undefined)). *Held
to*: in how many nets of the tests the type occurs whose numbers real Caffe computed, or forks with their own layers;
NumPy where it is compared with a plain function in NumPy.

## Types

{(chr(10) * 2).join(sections)}

## Known and refused

| type | why |
|---|---|
{refused}

## Fields of forks

Fields that the forks' `caffe.proto` has and BVLC's has not, by message. They can be read; one that a layer does not
follow is reported.

{fields_of_forks(repository / "netcompile" / "prototxt" / "tables")}
"""
    return {"reference/layers.md": text}
