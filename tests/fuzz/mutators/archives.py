"""Zip archives changed by members, files with a header of JSON or of Python literals by that header."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutators import raw
from tests.fuzz.mutators.tokens import TOKEN

LITERALS = (
    *("0", "1", "-1", "2", "1e3", "4294967296", "9223372036854775807", "99999999999999999999", "True", "None", "()"),
    *("(1,)", "(2, 3)", "(-1, 3)", "(0, 4294967296)", "(True, 3)", "('1',)", "[]", "{}", "'<f4'", "'|O'", "'<U9'"),
    *("'<M8[s]'", "'|V4'", "[('a', '<f4')]", "('<f4', (2,))", "'>f8'", "'<c8'", "'<f2'", "'<f16'", "b'x'", "1j", "()"),
    *("'descr'", "'shape'", "(" * 200, "-" * 300, "'" + "n" * 3000 + "'", "null", "true", '"F32"', '"F64"', '"BF16"'),
    *('"BOOL"', '"I64"', '"F8_E4M3"', '"dtype"', '"shape"', '"data_offsets"', "[0, 4]", "[0, 18446744073709551615]"),
    *("[4, 0]", "[]", '""', '"__metadata__"', "{", "[" * 3000, "NaN", "1.5", '"\\ud800"', '"\\u0000"', '"\\u001b[31m"'),
)


def literal(chance: Random, text: str) -> str:
    """A text of JSON or of Python literals, some tokens changed."""
    parts = TOKEN.findall(text) or [""]
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(parts))
        kind = chance.randrange(5)
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts[at:at] = parts[at : at + chance.choice((1, 3, 9))]
        else:
            parts[at] = chance.choice(LITERALS)
        parts = parts or [""]
    return "".join(parts)


def npy(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A .npy array: its header, its magic, its data."""
    data = chance.choice(corpus)
    if data[:6] != b"\x93NUMPY" or chance.random() < 0.3:
        return raw.mutate(chance, corpus)
    size = struct.unpack_from("<H", data, 8)[0]
    header = literal(chance, data[10 : 10 + size].decode("latin-1"))
    if chance.random() < 0.5:
        header = header.rstrip() + " " * (-(11 + len(header.rstrip())) % 64) + "\n"
    length = len(header) if chance.random() < 0.9 else chance.choice((0, 1, 65535, size))
    major = data[6] if chance.random() < 0.8 else chance.choice((0, 1, 2, 3, 4, 255))
    return (
        data[:6]
        + bytes([major, chance.choice((0, 0, 0, 1))])
        + struct.pack("<H" if major < 2 else "<I", min(length, 65535))
        + header.encode("latin-1", "replace")
        + data[10 + size :]
    )


def safetensors(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A .safetensors file: the JSON of its header, its length, its data."""
    data = chance.choice(corpus)
    if len(data) < 8 or chance.random() < 0.3:
        return raw.mutate(chance, corpus)
    size = min(struct.unpack_from("<Q", data)[0], len(data))
    header = literal(chance, data[8 : 8 + size].decode("utf-8", "surrogateescape")).encode("utf-8", "surrogatepass")
    length = len(header) if chance.random() < 0.9 else chance.choice((0, 1, 2**31, 2**62, 2**64 - 1))
    return struct.pack("<Q", length) + header + data[8 + size :]


def zipped(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """An .npz archive: its members' arrays, names, compression; its own bytes."""
    data = chance.choice(corpus)
    if chance.random() < 0.4:
        return raw.mutate(chance, corpus)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # a mutant of the corpus that is no archive any more
        return raw.mutate(chance, corpus)
    if not members:
        return raw.mutate(chance, corpus)
    at = chance.randrange(len(members))
    name, body = members[at]
    kind = chance.randrange(6)
    if kind == 0:
        members.append((name, body))
    elif kind == 1:
        name = chance.choice(
            ("x", "data", "../data.npy", "/data.npy", "a/b.npy", "data.npy.npy", "é.npy", "\x1b.npy", ".npy")
        )
        members[at] = (name, body)
    elif kind == 2:
        members[at] = (name, raw.noise(chance, body))
    elif kind == 3:
        members = members[:at] + members[at + 1 :]
    else:
        members[at] = (name, npy(chance, [body]))
    out = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # names given twice
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name), body, chance.choice(methods))
    data = out.getvalue()
    return raw.noise(chance, data) if chance.random() < 0.3 else data
