"""Prototxts changed by tokens and by fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from netcompile.prototxt.schema import FieldType, MessageType, enum_type, message_type
from tests.fuzz.mutators import raw
from tests.fuzz.mutators.tokens import SPICE, TOKEN

LARGEST = 40_000  # characters of a mutant
SMALL = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "12", "0", "16")
INTEGERS = (
    *("0", "1", "-1", "2", "3", "4", "5", "7", "8", "16", "17", "33", "100", "255", "1000", "65536", "1000000"),
    *("2147483647", "-2147483648", "2147483648", "4294967295", "4294967296", "9223372036854775807"),
    *("-9223372036854775808", "18446744073709551615", "99999999999999999999", "0x7fffffff", "017", "9" * 400),
)
REALS = (
    "0",
    "1",
    "-1",
    "0.5",
    "1e10",
    "1e-10",
    "1e38",
    "1e39",
    "inf",
    "-inf",
    "nan",
    "-0.0",
    "1e-46",
    "1e400",
    "9" * 400,
)
STRINGS = (
    *('""', '"data"', '"x"', '"a.b"', '"größe"', '"\\\\"', '"{"', '"bilinear"', '"xavier"', '"gaussian"', '"constant"'),
    *('"\\000"', '"\\033[31m"', '"\\377\\376"', '"\u202e"', '"../x"', '"/dev/null"', "'q'", '"NCHW"', '"1x2"'),
    *('"class"', '"__init__"', '"self"', '"torch"', '"%s %d"', '"' + "n" * 300 + '"', '"\\n\\r\\t"', '"\udcff"'),
)
NAME = re.compile(r"[A-Za-z_]\w*\Z")
NUMBER = re.compile(r"[-+]?(?:\d|\.\d)[\w.+-]*\Z")


@dataclass(frozen=True, slots=True)
class Field:
    """A field among the tokens: `[start, end)`; its value begins at `value`."""

    start: int
    end: int
    value: int
    name: str
    block: bool
    depth: int
    parent: str


def tokens(text: str) -> list[str]:
    """The pieces of a text; joined they are the text."""
    return TOKEN.findall(text)


def fields(parts: Sequence[str]) -> list[Field]:
    """Every field with a value or a block; what is no field is passed over."""
    solid = [i for i, part in enumerate(parts) if not part.isspace() and part[0] != "#"]
    found: list[Field] = []
    stack: list[tuple[int, int, str]] = []
    for place, index in enumerate(solid):
        part = parts[index]
        parent = stack[-1][2] if stack else ""
        if part in "{<":
            before = place - 1
            if before >= 0 and parts[solid[before]] == ":":
                before -= 1
            named = before >= 0 and NAME.match(parts[solid[before]]) is not None
            stack.append((solid[before] if named else index, index, parts[solid[before]] if named else ""))
        elif part in "}>" and stack:
            start, value, name = stack.pop()
            found.append(Field(start, index + 1, value, name, True, len(stack), stack[-1][2] if stack else ""))
        elif part == ":" and place and place + 1 < len(solid) and parts[solid[place + 1]] not in "{<[":
            end = solid[place + 1]
            found.append(Field(solid[place - 1], end + 1, end, parts[solid[place - 1]], False, len(stack), parent))
    return found


def mutate(chance: Random, corpus: Sequence[bytes], root: str = "NetParameter") -> bytes:
    """A text of the corpus after a few changes: of fields mostly, of tokens and bytes now and then.

    `root` is the message that the text is; new fields come from its schema.
    """
    text = chance.choice(corpus).decode("utf-8", "surrogateescape")
    for _ in range(chance.choice((1, 1, 1, 1, 1, 2, 2, 3, 6))):
        parts = tokens(text)
        text = chance.choices(CHANGES, WEIGHTS)[0](chance, parts, corpus, root)[:LARGEST]
    data = text.encode("utf-8", "surrogateescape")
    return raw.noise(chance, data) if chance.random() < 0.05 else data


Change = Callable[[Random, list[str], Sequence[bytes], str], str]


def _value(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A value replaced by another of its kind, by that of another field, or by anything."""
    scalars = [f for f in fields(parts) if not f.block]
    if not scalars:
        return "".join(parts)
    at = chance.choice(scalars)
    old = parts[at.value]
    if chance.random() < 0.25:
        new = parts[chance.choice(scalars).value]
    elif chance.random() < 0.05:
        new = chance.choice(SPICE)
    elif NUMBER.match(old):
        kinds = REALS if "." in old or chance.random() < 0.2 else INTEGERS
        new = chance.choice(SMALL if chance.random() < 0.6 else kinds)  # what is absurd is refused at once
    elif old[0] in "\"'":
        alike = [parts[f.value] for f in scalars if f.name == at.name or {f.name, at.name} == {"top", "bottom"}]
        new = chance.choice(alike if chance.random() < 0.8 else STRINGS)
        if at.name == "type" and chance.random() < 0.5:
            new = f'"{chance.choice(_types())}"'
    else:
        new = chance.choice(("true", "false", "MAX", "AVE", "SUM", "PROD", "TEST", "TRAIN", "VALID", "NOPE", "0", "2"))
    parts[at.value] = new
    return "".join(parts)


def _types() -> tuple[str, ...]:
    from tests.fuzz.hostile import types

    own, forks = types()
    return own + forks


def _drop(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    found = fields(parts)
    if found:
        at = chance.choice(found)
        parts[at.start : at.end] = []
    return "".join(parts)


def _again(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A field several times, now and then many times."""
    found = fields(parts)
    if found:
        at = chance.choice(found)
        times = chance.choice((1, 1, 1, 2, 3, 40))
        parts[at.end : at.end] = [" ", *parts[at.start : at.end]] * min(times, 1 + 4000 // (at.end - at.start))
    return "".join(parts)


def _swap(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """Two fields of one kind, or any two, change places."""
    found = fields(parts)
    if len(found) < 2:
        return "".join(parts)
    one = chance.choice(found)
    alike = [f for f in found if f.name == one.name] if chance.random() < 0.6 else found
    a, b = sorted((one, chance.choice(alike)), key=lambda f: f.start)
    if a.end > b.start:
        return "".join(parts)
    return "".join(
        [*parts[: a.start], *parts[b.start : b.end], *parts[a.end : b.start], *parts[a.start : a.end], *parts[b.end :]]
    )


def _graft(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A field of another net put into a block, of the same name if there is one."""
    other = tokens(chance.choice(corpus).decode("utf-8", "surrogateescape"))
    theirs, ours = fields(other), [f for f in fields(parts) if f.block]
    if not theirs:
        return "".join(parts)
    taken = chance.choice(theirs)
    blocks = (
        [f.value + 1 for f in ours if f.name == taken.parent] if chance.random() < 0.8 else [f.value + 1 for f in ours]
    )
    at = chance.choice(blocks) if blocks and taken.depth else chance.choice((0, len(parts)))
    return "".join([*parts[:at], " ", *other[taken.start : taken.end], " ", *parts[at:]])


def _splice(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """The first layers of this net and the last ones of another."""
    other = tokens(chance.choice(corpus).decode("utf-8", "surrogateescape"))
    ends = [f.end for f in fields(parts) if not f.depth]
    starts = [f.start for f in fields(other) if not f.depth]
    if not ends or not starts:
        return "".join(parts)
    return "".join([*parts[: chance.choice(ends)], "\n", *other[chance.choice(starts) :]])


def _nest(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A field wrapped in a block, once or deeply."""
    found = fields(parts)
    if not found:
        return "".join(parts)
    at = chance.choice(found)
    name = chance.choice(found).name or "layer"
    times = chance.choice((1, 1, 2, 5, 300))
    return "".join(
        [*parts[: at.start], f"{name} {{ " * times, *parts[at.start : at.end], " }" * times, *parts[at.end :]]
    )


def _schema(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A field that the schema knows, with a value of its kind, put into a block of its message."""
    found = fields(parts)
    blocks: list[tuple[int, str]] = [(len(parts), root)]
    for f in found:
        if f.block and (kind := message_of(f, found, root)):
            blocks.append((f.value + 1, kind))
    at, message = chance.choice(blocks)
    return "".join([*parts[:at], " ", one_field(chance, message_type(message)), " ", *parts[at:]])


def message_of(f: Field, found: Sequence[Field], root: str) -> str | None:
    """The message that a block is, by its name and those of the blocks around it."""
    around = sorted((g for g in found if g.block and g.value < f.value and g.end >= f.end), key=lambda g: g.value)
    kind = root
    for block in [*around, f] if f not in around else around:
        known = message_type(kind).fields.get(block.name)
        if known is None or known.message is None:
            return None
        kind = known.message
    return kind


def one_field(chance: Random, message: MessageType, depth: int = 0) -> str:
    """A field of a message as text."""
    return scalar(chance, chance.choice(list(message.fields.values())), depth)


def scalar(chance: Random, f: FieldType, depth: int = 0) -> str:
    """`name: value`, the value of the field's kind."""
    if f.message is not None:
        inner = message_type(f.message)
        count = chance.choice((0, 1, 1, 2, 3)) if depth < 3 else 0
        return f"{f.name} {{ {' '.join(one_field(chance, inner, depth + 1) for _ in range(count))} }}"
    if f.enum is not None:
        return f"{f.name}: {chance.choice([*enum_type(f.enum).numbers, '17'])}"
    if f.type == "bool":
        return f"{f.name}: {chance.choice(('true', 'false', '1', '2'))}"
    if f.type in ("string", "bytes"):
        return f"{f.name}: {chance.choice(STRINGS)}"
    values = REALS if f.type in ("float", "double") else INTEGERS
    values = SMALL if chance.random() < 0.5 else values
    if f.repeated and chance.random() < 0.3:
        return f"{f.name}: [{', '.join(chance.choice(values) for _ in range(chance.choice((0, 1, 2, 3, 5, 40))))}]"
    return f"{f.name}: {chance.choice(values)}"


def _token(chance: Random, parts: list[str], corpus: Sequence[bytes], root: str) -> str:
    """A token left out, doubled, replaced; a piece of spice thrown in; the end cut off."""
    at = chance.randrange(len(parts) + 1)
    kind = chance.randrange(6)
    if kind == 0:
        del parts[at : at + chance.choice((1, 1, 2, 5))]
    elif kind == 1:
        parts[at:at] = parts[at : at + chance.choice((1, 2, 4, 8))]
    elif kind == 2:
        parts[at : at + 1] = [chance.choice(SPICE)]
    elif kind == 3:
        parts[at:at] = [" ", chance.choice(SPICE), " "]
    elif kind == 4 and at < len(parts):
        word = list(parts[at])
        word[chance.randrange(len(word))] = chance.choice("abcXYZ019_-.\"'\\{}<>[]:;,# \n\x00\x1b\udcff\u202e\u00e9")
        parts[at] = "".join(word)
    else:
        del parts[at:]
    return "".join(parts)


CHANGES: tuple[Change, ...] = (_value, _drop, _again, _swap, _graft, _splice, _nest, _schema, _token)
WEIGHTS = (34, 8, 5, 6, 8, 6, 1, 22, 4)
