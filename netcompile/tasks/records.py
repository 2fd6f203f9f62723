"""What is known of an image as JSON: a file for each image, which says what made it, and one with a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from netcompile.diagnostics.visible import visible_json
from netcompile.files.whole import whole_file
from netcompile.runtime.outputs import MADE_BY

Record = dict[str, Any]


def line(record: Record) -> str:
    """A record on one line: ASCII but for what shows."""
    return visible_json(json.dumps(record, ensure_ascii=False)) + "\n"


def json_record(file: BinaryIO, record: Record, made_by: str) -> None:
    """Write an image's record, with what made it."""
    file.write(line({MADE_BY: made_by, **record}).encode("utf-8", "backslashreplace"))


def write_lines(path: str, records: Iterable[Record | None]) -> str:
    """Write a line for each image of which something is known; the path. Raises OSError."""
    with whole_file(path) as file:
        for record in records:
            if record is not None:
                file.write(line(record).encode("utf-8", "backslashreplace"))
    return path
