"""Writes .safetensors files tensor by tensor, whole or not at all.

The format: eight bytes of header length, a JSON header padded with spaces to a multiple of eight, then the tensors,
little-endian, without gaps. Order and spelling are those of the ``safetensors`` package, so the bytes are the same as
``safetensors.numpy.save`` gives; that one wants all tensors in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from netcompile.files.whole import whole_file

# Our names for types: the format's name, bytes per number, and the rank in which the package writes them.
TYPES: dict[str, tuple[str, int, int]] = {
    "int64": ("I64", 8, 4),
    "float64": ("F64", 8, 3),
    "float32": ("F32", 4, 2),
    "bfloat16": ("BF16", 2, 1),
    "float16": ("F16", 2, 0),
    "uint8": ("U8", 1, -1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A tensor to write; ``chunks()`` gives its bytes, little-endian and in order."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    chunks: Callable[[], Iterable[bytes | memoryview]]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * TYPES[self.dtype][1]


def header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    """Everything before the first tensor, for entries in the order of ``in_order``."""
    table: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for entry in entries:
        start, end = end, end + entry.nbytes
        name = TYPES[entry.dtype][0]
        table[entry.key] = {"dtype": name, "shape": entry.shape, "data_offsets": (start, end)}
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By type, widest first, then by key. Raises ValueError for a key twice or reserved by the format."""
    ordered = sorted(entries, key=lambda entry: (-TYPES[entry.dtype][2], entry.key))
    keys = {entry.key for entry in ordered}
    if len(keys) != len(ordered) or "__metadata__" in keys:
        raise ValueError("keys of tensors must differ from each other and from '__metadata__'")
    return ordered


def write(path: str, entries: Iterable[Entry], metadata: Mapping[str, str], staging: str | None = None) -> int:
    """Writes the file, whole or not at all, and says how many bytes it has. `staging` is as for `whole_file`.

    Raises OSError.
    """
    ordered = in_order(entries)
    with whole_file(path, staging) as file:
        size = file.write(header(ordered, metadata))
        for entry in ordered:
            done = sum(map(file.write, entry.chunks()))
            if done != entry.nbytes:
                raise AssertionError(f"tensor {entry.key!r}: {done} bytes, not {entry.nbytes}")
            size += done
    return size
