"""The least form of a file that still brings about the same: pieces left out, larger ones first (Zeller's ddmin)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

PIECES = (
    re.compile(rb"[^\n]*\n|[^\n]+"),
    re.compile(rb"\"(?:[^\"\\\n]|\\.)*\"|[\w.+-]+|\s+|.", re.DOTALL),
)


def minimised(data: bytes, fails: Callable[[bytes], bool], text: bool, seconds: float = 30) -> bytes:
    """`data` without what `fails` does not need; what is found in `seconds`."""
    until = time.monotonic() + seconds
    if text:
        for pattern in PIECES:
            data = b"".join(_without(pattern.findall(data), fails, until))
    if not text or len(data) < 400:
        data = b"".join(_without([data[i : i + 1] for i in range(len(data))], fails, until))
    return data


def _without(parts: Sequence[bytes], fails: Callable[[bytes], bool], until: float) -> list[bytes]:
    left = list(parts)
    size = max(1, len(left) // 2)
    while left and time.monotonic() < until:
        at, before = 0, len(left)
        while at < len(left) and time.monotonic() < until:
            shorter = left[:at] + left[at + size :]
            if fails(b"".join(shorter)):
                left = shorter
            else:
                at += size
        if size == 1 and len(left) == before:
            break
        size = max(1, size // 2)
    return left
