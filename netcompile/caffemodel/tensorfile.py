"""Writes .safetensors files tensor by tensor, whole or not at all, and finds the tensors in one.

The format: eight bytes of header length, a JSON header padded with spaces to a multiple of eight, then the tensors,
little-endian, without gaps. Order and spelling are those of the ``safetensors`` package, so the bytes are the same as
``safetensors.numpy.save`` gives; that one wants all tensors in memory. It also maps the files that it
reads, which ends the process where somebody shortens one meanwhile, and reads headers of 100 MB.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from netcompile.caffemodel.blob import AXES
from netcompile.caffemodel.file import DataFile
from netcompile.files.limits import require_disk, require_memory
from netcompile.files.reading import PER_BYTE, parse_json
from netcompile.files.whole import whole_file

HEADER = 1 << 24  # bytes: beyond 100,000 tensors

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

    Raises OSError: where there is no room for it, before anything is written.
    """
    ordered = in_order(entries)
    begin = header(ordered, metadata)
    require_disk(path, len(begin) + sum(entry.nbytes for entry in ordered))
    with whole_file(path, staging) as file:
        size = file.write(begin)
        for entry in ordered:
            done = sum(map(file.write, entry.chunks()))
            if done != entry.nbytes:
                raise AssertionError(f"tensor {entry.key!r}: {done} bytes, not {entry.nbytes}")
            size += done
    return size


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in a file: its type as the format names it ("F32"), shape, first byte and count of bytes."""

    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


# Bytes a number of the types that the format has.
SIZES = {name: size for name, size, _ in TYPES.values()}
SIZES |= {"BOOL": 1, "I8": 1, "I16": 2, "I32": 4, "U16": 2, "U32": 4, "U64": 8, "F8_E4M3": 1, "F8_E5M2": 1}


def tensors_in(file: DataFile) -> dict[str, StoredTensor]:
    """The tensors of a file by key, in the order of the file. Raises ValueError with what is wrong with its header.

    As the format asks: the tensors lie side by side from the end of the header to the end of the file.
    """
    length = int.from_bytes(file[:8], "little")
    if file.size < 8 or length > file.size - 8:
        raise ValueError("the header runs beyond the end of the file")
    if length > HEADER:
        raise ValueError(f"the header has {length} bytes, and at most {HEADER} are read")
    require_memory(length * PER_BYTE, f"the header of {file.name}")
    table = parse_json(file[8 : 8 + length])
    if not isinstance(table, dict):
        raise ValueError("the header is no table")
    found = {key: _stored(key, row, 8 + length) for key, row in table.items() if key != "__metadata__"}
    end = 8 + length
    for key, tensor in sorted(found.items(), key=lambda pair: (pair[1].offset, pair[1].nbytes)):
        if tensor.offset != end:
            raise ValueError(f"tensor {key[:80]!r} does not start where the one before it ends")
        end += tensor.nbytes
    if end != file.size:
        raise ValueError(f"the tensors end at byte {end}, the file at byte {file.size}")
    return found


def _stored(key: str, row: object, start: int) -> StoredTensor:
    try:
        kind, shape, (first, last) = row["dtype"], row["shape"], row["data_offsets"]  # type: ignore[index]
        whole = all(type(number) is int and 0 <= number < 1 << 63 for number in (*shape, first, last))
        size = SIZES[kind]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"tensor {key[:80]!r} has no type, shape and offsets") from None
    if not whole or len(shape) > AXES or last - first != prod(shape) * size:
        raise ValueError(f"the shape of tensor {key[:80]!r} is not that of its bytes")
    return StoredTensor(kind, tuple(shape), start + first, last - first)
