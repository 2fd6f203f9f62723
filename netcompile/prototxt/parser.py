"""Text to messages, with the place of every name and value: protobuf's text format as Caffe's C++ parser reads it.

``parse`` goes one match of ``lexer.FIELD`` per field. What that pattern or its checks do not accept is left to
``recovery.Careful``, which reads token by token, accepts whatever else the format allows, reports what it does not,
and goes on behind it. Nothing recurses, so depth costs no stack.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.visible import visible
from netcompile.files.limits import require_memory
from netcompile.prototxt.lexer import BOOLS, FIELD
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.recovery import Careful
from netcompile.prototxt.schema import INTEGER_BOUNDS, enum_type, float32, message_type
from netcompile.prototxt.structure import Frame, Stop

ASKED = 16 << 20  # bytes: what takes less is not asked for
PER_SIGN = {"{": 3000, "<": 3000, ":": 1800, ",": 300}  # bytes for a message, a field, a value of a list
PER_CHARACTER = 5


@contextmanager
def without_collector() -> Iterator[None]:
    """While messages are made: they hold no cycles, and the collector would walk the growing tree again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def parse(source: Source, root: str = "NetParameter", *, forks: bool = True, fast: bool = True) -> Message:
    """The message of type ``root`` that a text writes down.

    ``forks=False`` refuses the fields and enum values that only forks of Caffe know. ``fast=False`` reads every field
    token by token, to the same result: tests compare both. Raises NetError with every mistake found, and for a text
    that would take more memory than it may; KeyError for an unknown ``root``.
    """
    _require_memory(source)
    careful = Careful(source, message_type(root), forks)
    whole = True
    try:
        if not careful.found:
            with without_collector():
                _read(careful, fast)
    except Stop:
        whole = False
    read = Message(message_type(root), tuple(careful.frame.entries), source, 0, 0, len(source.text))
    if careful.found:
        raise NetError(careful.found, read if whole and careful.frame.parent is None else None)
    return read


def memory_of(text: str) -> int:
    """Bytes, rather too many than too few, that reading a text, analysing it and compiling it take.

    Measured: a message with a finding of its own 1.5 kB, a field that names a blob 0.9 kB, others 0.25 kB, a value of
    a list 0.2 kB, and as much again for a module. Signs in strings and comments count too.
    """
    return PER_CHARACTER * len(text) + sum(size * text.count(sign) for sign, size in PER_SIGN.items())


def _require_memory(source: Source) -> None:
    size = memory_of(source.text)
    if size > ASKED:
        why = f"it has {len(source.text):,} characters; each message, field and value takes its part"
        require_memory(size, f"what '{visible(source.name)}' says", why)


def _read(careful: Careful, fast: bool) -> None:
    """Reads the whole text into ``careful.frame``. ``fast=False`` takes the careful way for everything."""
    match_field = FIELD.match
    text = careful.source.text
    source = careful.source
    size = len(text)
    forks = careful.forks
    floats: dict[str, float] = {}
    slow = careful.step
    frame = careful.frame
    fields, entries, seen = frame.fields, frame.entries, frame.seen
    at = 0
    while at < size:
        match = match_field(text, at) if fast else None
        if match is not None:
            kind = match.lastindex
            if kind == 6:
                parent = frame.parent
                if parent is not None and frame.simple:
                    end = match.end(6)
                    read = Message(frame.type, tuple(entries), source, frame.start, frame.head_end, end)
                    parent.entries.append(Entry(frame.field, read, frame.start, frame.head_end, frame.opened, end))
                    careful.frame = frame = parent
                    fields, entries, seen = frame.fields, frame.entries, frame.seen
                    at = match.end()
                    continue
            else:
                name = match[1]
                field = fields.get(name)
                if field is not None and (field.repeated or name not in seen) and (forks or field.fork is None):
                    type_ = field.type
                    value: Any = None
                    if kind == 2:
                        if type_ == "string":
                            literal = match[2]
                            if literal.isascii():
                                value = literal[1:-1]
                    elif kind == 3:
                        literal = match[3]
                        if type_ == "float":
                            value = floats.get(literal)
                            if value is None:
                                value = floats[literal] = float32(float(literal))
                        elif type_ in INTEGER_BOUNDS:
                            try:
                                number = int(literal)
                            except ValueError:
                                pass
                            else:
                                low, high = INTEGER_BOUNDS[type_]
                                if low <= number <= high and (number or literal == "0"):
                                    value = number
                    elif kind == 4:
                        literal = match[4]
                        if type_ == "enum":
                            enum = enum_type(field.enum or "")
                            if literal in enum.numbers and (forks or literal not in enum.forks):
                                value = literal
                        elif type_ == "bool":
                            value = BOOLS.get(literal)
                    elif type_ == "message":
                        start, head_end = match.span(1)
                        if not field.repeated:
                            seen.add(name)
                        kind_of = message_type(field.message or "")
                        careful.frame = frame = Frame(kind_of, field, frame, start, head_end, match.start(5))
                        fields, entries, seen = frame.fields, frame.entries, frame.seen
                        at = match.end(5)
                        continue
                    if value is not None:
                        start, head_end = match.span(1)
                        value_start, at_end = match.span(kind or 0)
                        entries.append(Entry(field, value, start, head_end, value_start, at_end))
                        if not field.repeated:
                            seen.add(name)
                        at = match.end()
                        continue
        at = slow(at)
        frame = careful.frame
        fields, entries, seen = frame.fields, frame.entries, frame.seen
    careful.finish(at)
