"""What is known of an image as JSON: a file for each image, which says what made it, and one with a line for each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from math import isfinite
from typing import Any, BinaryIO

from netcompile.diagnostics.visible import visible_json
from netcompile.runtime.outputs import MADE_BY, whole_output

Record = dict[str, Any]
NUMBER = int | float  # as a form: a finite one


def has_form(value: Any, form: Any) -> bool:
    """Whether what a JSON file holds is as it should be: a dictionary with these keys at least, a list of one kind of
    things, a type.

    >>> has_form([{"a": 1, "b": 2}], [{"a": int}]), has_form({"a": "1"}, {"a": int}), has_form(True, int)
    (True, False, False)
    """
    if isinstance(form, dict):
        return isinstance(value, dict) and all(key in value and has_form(value[key], form[key]) for key in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(has_form(one, form[0]) for one in value)
    if isinstance(value, float) and not isfinite(value):
        return False
    return isinstance(value, form) and not isinstance(value, bool)


def line(record: Record) -> str:
    """A record on one line: ASCII but for what shows."""
    return visible_json(json.dumps(record, ensure_ascii=False)) + "\n"


def json_record(file: BinaryIO, record: Record, made_by: str) -> None:
    """Write an image's record, with what made it."""
    file.write(line({MADE_BY: made_by, **record}).encode("utf-8", "backslashreplace"))


def write_lines(folder: str, name: str, records: Iterable[Record | None]) -> str:
    """Write a line for each image of which something is known; the path. Raises OSError, NetError."""
    with whole_output(folder, name) as file:
        for record in records:
            if record is not None:
                file.write(line(record).encode("utf-8", "backslashreplace"))
    return os.path.join(folder, name)
