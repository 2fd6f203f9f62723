"""The header of an array in NumPy's .npy format: what type, which shape; read strictly, before any of its numbers.

The format (NEP 1): ``\\x93NUMPY``, two bytes of version, the header's length in two bytes (four from version 2 on), a
Python dictionary as text, the numbers. NumPy's own reader takes whatever `ast.literal_eval` and `numpy.dtype` take, and
fails in as many ways; of what it writes for real numbers this one takes everything.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from math import prod
from typing import IO

MAGIC = b"\x93NUMPY"
_LONGEST = 10_000  # bytes of a header; NumPy's limit, too
NO_NUMBERS = "is no type of real numbers"
_AXES = 64  # NumPy's own limit
_TYPE = re.compile(r"[<>|=]?(?:b1|i[1248]|u[1248]|f[248]|f1[26])", re.ASCII)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_GLUED = re.compile(r"\d[A-Za-z_]", re.ASCII)  # as in "1is 2", of which Python would warn on standard error
_PYTHON_2 = re.compile(r"(?<=\d)L\b")  # long integers, in files that Python 2 wrote


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """An array that follows: its type as `numpy.dtype` takes it, its shape, whether the first axis runs fastest."""

    dtype: str
    shape: tuple[int, ...]
    fortran: bool

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        return int(self.dtype.lstrip("<>|=")[1:])

    @property
    def nbytes(self) -> int:
        return self.count * self.itemsize


def read_header(file: IO[bytes]) -> tuple[NpyHeader, int]:
    """The header at the start of `file`, and its length in bytes. Raises ValueError where it is none of numbers."""
    start = file.read(8)
    if start[:6] != MAGIC or len(start) < 8:
        raise ValueError("it is no .npy array")
    if start[6] not in (1, 2, 3):
        raise ValueError(f"version {start[6]} of the format is not known")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _LONGEST:
        raise ValueError(f"its header has {length} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("its header ends early")
    return _header(text.decode("utf-8" if start[6] == 3 else "latin1")), 8 + width + length


def _header(text: str) -> NpyHeader:
    if "\\" in text:  # nothing that NumPy writes here; Python warns of some escapes
        raise ValueError("its header has a backslash")
    text = _PYTHON_2.sub("", text).strip()
    if _GLUED.search(_QUOTED.sub("", text)):
        raise ValueError("its header says more than type, order and shape of numbers")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that `literal_eval` documents
        raise ValueError("its header is no Python dictionary") from None
    if not isinstance(value, dict) or set(value) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not say type, order and shape")
    kind, fortran, shape = value["descr"], value["fortran_order"], value["shape"]
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise ValueError(f"{str(kind)[:40]} {NO_NUMBERS}")
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 63 for n in shape)
    if type(fortran) is not bool or not whole or len(shape) > _AXES:
        raise ValueError("its header gives no shape")
    return NpyHeader(kind, shape, fortran)
