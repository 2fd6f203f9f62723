"""Protobuf's wire format changed by fields: tags, lengths, varints, nesting."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.fuzz.mutators import raw

VARINTS = (0, 1, 2, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**70)
LENGTHS = (0, 1, -1, 7, 127, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)
FLOATS = tuple(struct.pack("<f", value) for value in (float("nan"), float("inf"), -0.0, 3e38, 1e-45, 0.0))
DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """A field: its number, wire type and value; a message's value is its entries."""

    number: int
    kind: int
    value: int | bytes | tuple[Entry, ...]
    length: int | None = None  # written in place of the true one


def varint(value: int) -> bytes:
    """The base 128 form; of numbers beyond 64 bits too."""
    out = bytearray()
    value %= 1 << 77
    while value > 127:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def parse(data: bytes, depth: int = 0) -> tuple[Entry, ...] | None:
    """The entries of a message; None where the bytes are none."""
    entries, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number or at < 0:
            return None
        value: int | bytes | tuple[Entry, ...]
        if kind == 0:
            value, at = _varint(data, at)
            if at < 0:
                return None
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _varint(data, at)
            if at < 0 or at + size > len(data):
                return None
            body = data[at : at + size]
            inner = parse(body, depth + 1) if body and depth < DEEPEST else None
            value, at = body if inner is None else inner, at + size
        else:
            return None
        entries.append(Entry(number, kind, value))
    return tuple(entries) if at == len(data) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    return 0, -1


def encode(entries: Sequence[Entry]) -> bytes:
    """The bytes of a message."""
    out = []
    for entry in entries:
        out.append(varint(entry.number << 3 | entry.kind))
        if isinstance(entry.value, int):
            out.append(varint(entry.value))
        else:
            body = entry.value if isinstance(entry.value, bytes) else encode(entry.value)
            if entry.kind == 2 or entry.length is not None:
                out.append(varint(len(body) if entry.length is None else entry.length))
            out.append(body)
    return b"".join(out)


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A message of the corpus after a few changes of its fields; bytes changed now and then."""
    data = chance.choice(corpus)
    entries = parse(data)
    if entries is None or chance.random() < 0.15:
        return raw.mutate(chance, corpus)
    other = parse(chance.choice(corpus)) or entries
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        entries = _changed(chance, entries, other)
    data = encode(entries)
    return raw.noise(chance, data) if chance.random() < 0.05 else data


def _changed(chance: Random, entries: tuple[Entry, ...], other: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """One entry changed, here or in a message within."""
    if not entries:
        return other
    at = chance.randrange(len(entries))
    entry = entries[at]
    if isinstance(entry.value, tuple) and chance.random() < 0.8:
        theirs = next((e.value for e in other if e.number == entry.number and isinstance(e.value, tuple)), other)
        new: tuple[Entry, ...] = (replace(entry, value=_changed(chance, entry.value, theirs)),)
    else:
        new = _entry(chance, entry, other)
    return entries[:at] + new + entries[at + 1 :]


def _entry(chance: Random, entry: Entry, other: tuple[Entry, ...]) -> tuple[Entry, ...]:
    kind = chance.randrange(10)
    if kind == 0:
        return ()
    if kind == 1:
        return (entry,) * chance.choice((2, 2, 3, 100))
    if kind == 2:
        return (replace(entry, number=chance.choice((1, 2, 4, 5, 6, 7, 8, 9, 100, 2**28, 2**29 - 1))),)
    if kind == 3:
        return (replace(entry, kind=chance.randrange(8)),)
    if kind == 4 and other:
        return (entry, chance.choice(other))
    if kind == 5 and other:
        return (chance.choice(other),)
    if kind == 6:
        return (Entry(entry.number, 2, (entry,)),)
    if kind == 7 and entry.kind == 2:
        return (replace(entry, length=chance.choice(LENGTHS)),)
    return (replace(entry, value=_value(chance, entry.value)),)


def _value(chance: Random, value: int | bytes | tuple[Entry, ...]) -> int | bytes | tuple[Entry, ...]:
    if isinstance(value, int):
        return chance.choice(VARINTS)
    if isinstance(value, tuple):
        return value[::-1]
    kind = chance.randrange(5)
    if kind == 0:
        return value + value[-4:]
    if kind == 1:
        return value[: chance.randrange(len(value) + 1)]
    if kind == 2:
        at = 4 * chance.randrange(len(value) // 4 + 1)
        return value[:at] + chance.choice(FLOATS) + value[at + 4 :]
    if kind == 3:
        return b"".join(varint(chance.choice(VARINTS)) for _ in range(chance.choice((1, 2, 4, 5, 33))))
    return chance.choice((b"", b"\x00", "größe\u202e".encode(), b"\xff\xfe", b"../../x", b"\x1b[31m", b"n" * 5000))
