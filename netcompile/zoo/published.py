"""`manifest.toml`: published weights, the net that each belongs to, and what is known of the file.

>>> published("fcn8s-heavy-pascal.caffemodel").name
'voc-fcn8s'
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.look import is_there
from netcompile.files.reading import read_bytes
from netcompile.zoo.find import bundled_folder

_MANIFEST = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """One ``[[weights]]`` of a manifest.

    `net` is the definition that the file belongs to, "" where none is bundled; `source` the address that gives the
    file, "" where none is known or the file is part of the project. `sha1`, `sha256` ("") and `bytes` (0) are what is
    known of it; `hash_from` is "publisher", or where somebody else wrote the hash down.
    """

    name: str
    file: str
    net: str = ""
    source: str = ""
    sha1: str = ""
    sha256: str = ""
    bytes: int = 0
    hash_from: str = ""
    licence: str = ""
    notes: str = ""


def read_manifest(path: str) -> tuple[Listed, ...]:
    """The entries of a manifest. Raises NetError with everything that is wrong with it, OSError."""
    if not is_there(path):
        refuse("no-such-file", f"there is no file '{path}'", remedy="--manifest weights/manifest.toml")
    try:
        table: dict[str, Any] = tomllib.loads(read_bytes(path, _MANIFEST).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of many digits and a byte that is no UTF-8 are the former
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:300]
        refuse("manifest", f"{path} is no TOML file", why=why)
    rows = table.get("weights")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        refuse("manifest", f"{path} has no [[weights]] tables")
    found, problems = [], []
    for number, row in enumerate(rows, 1):
        values = {key: row.get(key, default) for key, default in _DEFAULTS.items()}
        for what in _wrong(values):
            problems.append(Diagnostic("manifest", f"{path}: [[weights]] number {number} {what}"))
        if not problems:
            found.append(Listed(**values))
    if problems:
        raise NetError(problems)
    return tuple(found)


_DEFAULTS: dict[str, Any] = {key.name: None if key.default is MISSING else key.default for key in fields(Listed)}


def _wrong(values: dict[str, Any]) -> list[str]:
    """What is wrong with the values of an entry."""
    texts = [key for key in values if key != "bytes" and not isinstance(values[key], str)]
    wrong = [f"has no text for {', '.join(texts)}"] if texts else []
    size = values["bytes"]
    if type(size) is not int or not 0 <= size < 1 << 62:
        wrong.append("has no number of bytes")
    for key, digits in HASHES.items():
        text = values[key]
        if isinstance(text, str) and text and not is_hash(text, key):
            wrong.append(f"has a {key} that is not {digits} digits of 0 to 9 and a to f")
    return wrong


HASHES = {"sha1": 40, "sha256": 64}  # hexadecimal digits


def is_hash(text: str, kind: str) -> bool:
    """Whether a text is a hash of this kind as hashlib writes it.

    >>> is_hash("9116a64c0fbe4459d18f4bb6b56d647b63920377", "sha1"), is_hash("9116", "sha1")
    (True, False)
    """
    return re.fullmatch(f"[0-9a-f]{{{HASHES[kind]}}}", text) is not None


def bundled_manifest() -> str:
    """The path of the manifest that is part of netcompile."""
    return os.path.join(bundled_folder(), "weights", "manifest.toml")


def published(file: str) -> Listed | None:
    """The bundled manifest's entry of a file, by its name; None where it lists none, or cannot be read."""
    try:
        rows = read_manifest(bundled_manifest())
    except (OSError, NetError):
        return None
    return next((row for row in rows if row.file == file), None)
