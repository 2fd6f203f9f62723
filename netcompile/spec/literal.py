"""Dictionaries as Python 2 wrote them.

Caffe's `net.py` files were written for Python 2 and pass parameters to Python layers as
`param_str=str(dict(…))`. Python 2 ordered a dictionary by its hash table, Python 3 by insertion, so the same
file gives another string today. The order of Python 2.7 on a 64-bit machine is a pure function of the keys;
it is computed here so that such a file writes the prototxt that it wrote then.
"""

from __future__ import annotations

from ast import literal_eval
from typing import Any

_WORD = (1 << 64) - 1


def as_python2(text: str) -> str:
    """`text` with its keys in Python 2's order, if it is `str()` of a dictionary; any other text unchanged.

    >>> as_python2("{'split': 'train', 'mean': (1.5, 2.5), 'seed': 1337, 'voc_dir': 'voc'}")
    "{'voc_dir': 'voc', 'seed': 1337, 'split': 'train', 'mean': (1.5, 2.5)}"
    >>> as_python2("not a dictionary")
    'not a dictionary'
    """
    if not text.startswith("{"):
        return text
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return str(_ordered(value)) if isinstance(value, dict) and str(value) == text else text


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            return value
        return {key: _ordered(value[key]) for key in _table_order(list(value))}
    if isinstance(value, (list, tuple)):
        return type(value)(_ordered(item) for item in value)
    return value


def _hash(key: str) -> int:
    """Python 2.7's hash of a byte string, without randomisation, as an unsigned word."""
    if not key:
        return 0
    x = (ord(key[0]) << 7) & _WORD
    for character in key:
        x = ((1000003 * x) & _WORD) ^ ord(character)
    x ^= len(key)
    return x if x != _WORD else _WORD - 1


def _table_order(keys: list[str]) -> list[str]:
    """`keys`, inserted in this order into Python 2.7's open-addressing table, as the table lists them."""
    table: list[str | None] = [None] * 8
    for count, key in enumerate(keys, start=1):
        _insert(table, key)
        if count * 3 >= len(table) * 2:
            size = 8
            while size <= count * 4:
                size *= 2
            old, table = table, [None] * size
            for moved in old:
                if moved is not None:
                    _insert(table, moved)
    return [key for key in table if key is not None]


def _insert(table: list[str | None], key: str) -> None:
    mask = len(table) - 1
    perturb = slot = _hash(key)
    while table[slot & mask] is not None:
        slot = (slot << 2) + slot + perturb + 1
        perturb >>= 5
    table[slot & mask] = key
