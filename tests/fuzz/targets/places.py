"""Nets with one mistake in a known line: the first error is there. The last line says which.

What comes of the mistake may be told after it: a blob that no layer makes, since its name could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from netcompile.analyser import analyse
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.prototxt.schema import FieldType, message_type
from tests.fuzz.mutators.text import Field, fields, message_of, tokens
from tests.fuzz.targets import Target
from tests.fuzz.targets.prototxt import FILE, row
from tests.fuzz.targets.prototxt import seeds as nets

MARK = re.compile(rb"^# line (\d+): (.*)\Z", re.MULTILINE)
ERROR = re.compile(rf"^{re.escape(FILE)}:(\d+):\d+: (error|warning)\[([a-z0-9-]+)\]", re.MULTILINE)
CONDITIONAL = re.compile(r"\b(?:include|exclude|phase|loss_weight|layers|V0)\b|Python")
ODD = ("@", "$", "%", "!", "ü", "\x01", "\\", "(", "1")
INTEGERS = ("int32", "int64", "uint32", "uint64")


@cache
def seeds() -> list[bytes]:
    """Nets without a mistake whose layers all take part, a field a line."""
    found = []
    for data in nets():
        text = data.decode("utf-8", "surrogateescape")
        if CONDITIONAL.search(text) or "#" in text or "\r" in text or len(text) > 3000:
            continue
        try:
            analysed = analyse(Source(text, FILE), Options(with_loss=True))
        except NetError:
            continue
        if not analysed.problems and all(report.status == "ok" for report in analysed.reports):
            found.append(spread(text).encode("utf-8", "surrogateescape"))
    return found


def spread(text: str) -> str:
    """A field a line: what is told of a line is told of one field."""
    lines, line = [], ""
    parts = [part for part in tokens(text) if not part.isspace()]
    ends = {f.end for f in fields(parts) if not f.block}
    for index, part in enumerate(parts):
        line += part + " "
        if part in "{}<>" or index + 1 in ends:
            lines.append(line)
            line = ""
    return "\n".join([*lines, line])


Mistake = Callable[[Random, list[str], Field, FieldType], tuple[int, str] | None]


def _unknown(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str]:
    return f.start, f"no_such_field_{chance.randrange(9)}: 1\n{parts[f.start]}"


def _value(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str] | None:
    """A value of another kind."""
    if kind.type in INTEGERS:
        return f.value, chance.choice(('"text"', "WORD", "1.5", "9" * 25, "-9223372036854775809", "1x", "@"))
    if kind.type in ("float", "double"):
        return f.value, chance.choice(('"text"', "WORD", "1.5.5", "@"))
    if kind.type == "bool":
        return f.value, chance.choice(("2", "maybe", '"true"', "-1"))
    if kind.type == "enum":
        return f.value, chance.choice(("NO_SUCH_WORD", "12345", '"MAX"', "1.5"))
    return f.value, chance.choice(("5", "WORD", '"open', "'open", '"\\q"', "$x"))


def _colon(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str] | None:
    between = [i for i in range(f.start, f.value) if parts[i] == ":"]
    return (between[0], chance.choice(("", "=", "::", ";"))) if between else None


def _again(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str] | None:
    if kind.repeated:
        return None
    return f.end - 1, f"{parts[f.end - 1]}\n{''.join(parts[f.start : f.end])}"


def _wire(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str] | None:
    if f.name == "bottom":
        return f.value, '"nowhere at all"'
    layer = "".join(parts[f.start :]).partition("layer")[0]  # without bottoms it would become an input
    return (f.value, '"NoSuchLayerType"') if f.name == "type" and f.parent == "layer" and "bottom" in layer else None


def _odd(chance: Random, parts: list[str], f: Field, kind: FieldType) -> tuple[int, str]:
    return f.start, chance.choice(ODD) + f"\n{parts[f.start]}"


MISTAKES: tuple[tuple[str, Mistake], ...] = (
    ("unknown field", _unknown),
    ("value", _value),
    ("value", _value),
    ("colon", _colon),
    ("again", _again),
    ("wire", _wire),
    ("odd", _odd),
)


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A net of the seeds with one mistake."""
    while True:
        parts = tokens(chance.choice(corpus).decode("utf-8", "surrogateescape"))
        found = fields(parts)
        f = chance.choice([g for g in found if not g.block])
        around = next((g for g in reversed(found) if g.block and g.value < f.start and g.end > f.end), None)
        message = "NetParameter" if not f.depth else message_of(_parent(f, found), found, "NetParameter")
        kind = message_type(message).fields.get(f.name) if message else None
        name, mistake = chance.choice(MISTAKES)
        changed = mistake(chance, parts, f, kind) if kind is not None and (around or not f.depth) else None
        if changed is None:
            continue
        at, new = changed
        line = "".join(parts[:at]).count("\n") + 1 + (name == "again")
        text = "".join([*parts[:at], new, *parts[at + 1 :]])
        return f"{text}\n# line {line}: {name}".encode("utf-8", "surrogateescape")


def _parent(f: Field, found: Sequence[Field]) -> Field:
    return max((g for g in found if g.block and g.value < f.start and g.end > f.end), key=lambda g: g.value)


def wanted(data: bytes, err: str) -> str:
    """What is wrong with the places of the errors."""
    mark = MARK.search(data)
    if mark is None:
        return ""
    line, name = int(mark[1]), mark[2].decode()
    found = [(int(number), kind, code) for number, kind, code in ERROR.findall(err)]
    errors = [(number, code) for number, kind, code in found if kind == "error"]
    if not errors:  # nothing depends on it, and a warning tells it
        errors = [(number, code) for number, kind, code in found if number == line]
    if not errors:
        return f"accepted-{name}: the mistake of line {line} is not told"
    first, code = errors[0]
    return "" if first == line else f"elsewhere-{name}-{code}: the mistake is in line {line}, and told of {errors}"


ROWS = (
    row("check", "--with-loss", weight=3),
    row("offsets", "--with-loss"),
    row("build", "--with-loss", "-o", "out", weight=0.2),
)
TARGET = Target("places", FILE, seeds, mutate, ROWS, wanted=wanted, text=True)
