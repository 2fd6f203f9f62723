"""Bytes changed with no thought of what they mean."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1, -(2**63))
FORMATS = ("<b", "<h", "<i", "<q", ">h", ">i", ">q")
REALS = (float("nan"), float("inf"), -0.0, 1e308, 5e-324)


def noise(chance: Random, data: bytes) -> bytes:
    """One stretch of bytes changed, doubled, moved or left out."""
    at = chance.randrange(len(data) + 1)
    size = chance.choice((1, 1, 2, 4, 8, 16, 64, 1 + len(data) // 4))
    kind = chance.randrange(9)
    if kind == 0:
        return data[:at] + data[at + size :]
    if kind == 1:
        return data[:at] + data[at : at + size] * chance.choice((2, 2, 3, 50)) + data[at + size :]
    if kind == 2:
        return data[:at] + chance.randbytes(size) + data[at + size :]
    if kind == 3 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == 4:
        return data[:at]
    if kind == 5:
        layout = chance.choice(FORMATS)
        size = struct.calcsize(layout)
        bits = chance.choice(NUMBERS) % (1 << 8 * size)
        return data[:at] + bits.to_bytes(size, "big" if layout[0] == ">" else "little") + data[at + size :]
    if kind == 6:
        other = chance.randrange(len(data) + 1)
        return data[:at] + data[other : other + size] + data[at:]
    if kind == 7:
        return data[:at] + struct.pack("<d", chance.choice(REALS)) + data[at + 8 :]
    return data[:at] + bytes([chance.choice((0, 255, 128, 10))]) * size + data[at:]


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A member of the corpus after a few changes; now and then the beginning of one and the end of another."""
    data = chance.choice(corpus)
    if chance.random() < 0.05:
        other = chance.choice(corpus)
        data = data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = noise(chance, data)
    return data
