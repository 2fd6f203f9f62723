"""The records of an LMDB data base, read by offsets and never mapped.

An LMDB is a file of pages: two meta pages, of which the one of the later transaction counts, and a B+ tree of branch
and leaf pages; long values lie in pages of their own (overflow pages). LMDB's own library maps the file and trusts
every offset in it: a file that is cut off ends the process, a changed page may. So the pages are read here, each number
is compared with the page and the file that it is in; a forked process or a second thread reads as well as the first.
Layout: `mdb.c` of LMDB 0.9 (data version 1), on 64-bit little-endian machines, which is what Caffe wrote.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from netcompile.caffemodel.file import DataFile
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.limits import require_memory
from netcompile.files.look import is_file, is_folder

FILE = "data.mdb"
_HEAD = 16  # bytes of a page's header: its number, padding, flags, where its free space begins and ends
_META = struct.Struct("<IIQQ")  # magic, version, address, size of the map
_TREE = struct.Struct("<IHHQQQQQ")  # page size, flags, depth; pages of branches, leaves, overflow; entries, root
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE, _LEAF2 = 1, 2, 4, 8, 0x20
_BIG, _SUBTREE, _DUPLICATES = 1, 2, 4  # flags of a leaf's entry
_DUPSORT = 4  # flag of a tree: several values a key
_NO_PAGE = 2**64 - 1
_DEPTH = 32  # LMDB's own limit
_AGAIN = "copy the data base again, or make it again"


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a data base in the order of their keys; `records[k]` is a key and its value.

    `leaves` are the leaf pages in order, `ends` how many records there are up to the end of each.
    """

    file: DataFile
    page_size: int
    leaves: array[int]
    ends: array[int]

    @property
    def name(self) -> str:
        """The path of the file."""
        return self.file.name

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, k: int) -> tuple[bytes, bytes]:
        """Key and value of record k, from 0 on. Raises NetError where the file is damaged, OSError, IndexError."""
        key, at, size = self._entry(k)
        if size > self.file.size - at:
            _cut(self.file, at + size, f"the value of record {k} (key {key_text(key)})")
        require_memory(2 * size, f"{self.name}: the value of record {k} (key {key_text(key)})")
        return key, _bytes(self.file, at, size)

    def key(self, k: int) -> bytes:
        """The key of record k. Raises as `records[k]` does."""
        return self._entry(k)[0]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return (self[k] for k in range(len(self)))

    def require_whole(self) -> None:
        """Raises NetError where a value lies beyond the file's end; looks at every record, and reads no value."""
        for k in range(len(self)):
            key, at, size = self._entry(k)
            if at + size > self.file.size:
                lost = f"the value of record {k} of {len(self)} (key {key_text(key)})"
                _cut(self.file, at + size, lost)

    def _entry(self, k: int) -> tuple[bytes, int, int]:
        """The key of record k, and at which byte its value begins and how long it is."""
        if not 0 <= k < len(self):
            raise IndexError(k)
        leaf = bisect_right(self.ends, k)
        number = self.leaves[leaf]
        page = _page(self.file, self.page_size, number)
        count = _entries(self.file, self.page_size, number, page)
        at = _node(self.file, page, number, k - self.ends[leaf] + count, count)
        low, high, flags, key_size = struct.unpack_from("<HHHH", page, at)
        size, start = low | high << 16, at + 8 + key_size
        if start + (8 if flags & _BIG else size) > self.page_size:
            _damaged(self.file, number * self.page_size + at, "an entry runs beyond its page")
        key = page[at + 8 : start]
        if flags & (_SUBTREE | _DUPLICATES):
            kind = "the root of another data base" if flags & _SUBTREE else "several values"
            refuse("data-file", f"{self.name}: key {key_text(key)} holds {kind}", why="Caffe's hold one value a key")
        if not flags & _BIG:
            return key, number * self.page_size + start, size
        (first,) = struct.unpack_from("<Q", page, start)
        return key, self._overflow(first, size, k, key), size

    def _overflow(self, first: int, size: int, k: int, key: bytes) -> int:
        """At which byte a long value begins."""
        at = first * self.page_size
        if at + _HEAD > self.file.size:
            _cut(self.file, at + _HEAD + size, f"the value of record {k} of {len(self)} (key {key_text(key)})")
        number, _, flags, pages = struct.unpack("<QHHI", _bytes(self.file, at, _HEAD))
        if number != first or not flags & _OVERFLOW or pages * self.page_size - _HEAD < size:
            _damaged(self.file, at, f"the value of record {k} (key {key_text(key)}) is not where its entry says")
        return at + _HEAD


def lmdb_file(path: str) -> str | None:
    """The file of the LMDB at `path`, a folder or the file itself; None where there is none. Raises OSError."""
    if is_folder(path):
        inside = os.path.join(path, FILE)
        return inside if is_file(inside) else None
    return path if is_file(path) else None


def open_lmdb(path: str) -> Records:
    """The records of an LMDB: a folder with data.mdb, or that file. What a writer adds later is not seen.

    Raises NetError: for a file that is damaged, cut off, or no LMDB as Caffe writes them; OSError.
    """
    found = lmdb_file(path)
    if found is None:
        refuse("data-file", f"{path}: no LMDB", why=f"an LMDB is a folder with a {FILE}")
    file = DataFile(found)
    page_size, tree, last = _meta(file)
    _, flags, depth, _, _, _, entries, root = tree
    if flags & _DUPSORT:
        refuse("data-file", f"{file.name}: a key may have several values", why="Caffe's data bases have one")
    records = Records(file, page_size, *_leaves(file, page_size, root, min(depth, _DEPTH)))
    if len(records) != entries:
        what = f"{file.name}: damaged: it says that it has {entries} records, {len(records)} are in its pages"
        refuse("data-file", what, remedy=_AGAIN)
    if file.size < (last + 1) * page_size:  # as it may be where a transaction gave pages back
        records.require_whole()
    return records


def key_text(key: bytes) -> str:
    """A key for messages: at most 60 characters.

    >>> key_text(b"00000012_cat.jpg"), key_text(bytes([0, 255]))
    ('00000012_cat.jpg', '\\\\x00\\\\xff')
    """
    text = key.decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _meta(file: DataFile) -> tuple[int, tuple[int, ...], int]:
    """The page size, the tree of the records and the last page, of the meta page that counts."""
    best: tuple[int, tuple[int, ...], int] | None = None
    newest, at = -1, 0
    for _ in range(2):
        if file.size < at + _HEAD + 136:
            if file.size < _HEAD + 136:
                refuse("data-file", f"{file.name}: {file.size} bytes, no LMDB: that has at least two pages")
            _cut(file, at + _HEAD + 136, "its second page")
        page = _bytes(file, at, _HEAD + 136)
        _require_kind(file, page, at)
        (page_size,) = struct.unpack_from("<I", page, 40)
        if not 512 <= page_size <= 65536 or page_size & (page_size - 1):
            _damaged(file, at + 40, f"{page_size} is no size of a page")
        if best is not None and page_size != best[0]:
            _damaged(file, at + 40, f"a page size of {page_size}, the first page says {best[0]}")
        last, transaction = struct.unpack_from("<QQ", page, 136)
        if transaction > newest:
            newest, best = transaction, (page_size, _TREE.unpack_from(page, 88), last)
        at = page_size
    assert best is not None
    return best


def _require_kind(file: DataFile, page: bytes, at: int) -> None:
    magic, version, _, _ = _META.unpack_from(page, _HEAD)
    if magic == _MAGIC:
        if version != _VERSION:
            why = "version 1, of LMDB 0.9, is read"
            remedy = "mdb_dump of its own version, then mdb_load of 0.9"
            refuse("data-file", f"{file.name}: an LMDB of version {version}", why=why, remedy=remedy)
        if not struct.unpack_from("<H", page, 10)[0] & _META_PAGE:
            _damaged(file, at + 10, "the page is not marked as a meta page")
        return
    if struct.unpack_from("<I", page, 12)[0] == _MAGIC or struct.unpack_from(">I", page, _HEAD)[0] == _MAGIC:
        why = "LMDB's files are those of the machine that wrote them; read are those of 64 bits, little-endian"
        remedy = "mdb_dump there, mdb_load here"
        refuse("data-file", f"{file.name}: an LMDB of another kind of machine", why=why, remedy=remedy)
    if at:
        _damaged(file, at + _HEAD, "no meta page")
    refuse("data-file", f"{file.name}: no LMDB: its first bytes are of something else")


def _leaves(file: DataFile, page_size: int, root: int, depth: int) -> tuple[array[int], array[int]]:
    """The leaf pages in the order of their keys, and how many records there are up to the end of each."""
    leaves, ends, total = array("Q"), array("Q"), 0
    seen: set[int] = set()
    stack = [] if root == _NO_PAGE else [(root, 1)]
    while stack:
        number, level = stack.pop()
        if number in seen:
            _damaged(file, number * page_size, "two places of the tree lead to this page")
        seen.add(number)
        if level >= depth:
            page = _page(file, page_size, number, _HEAD)
            total += _entries(file, page_size, number, page)
            leaves.append(number)
            ends.append(total)
            continue
        page = _page(file, page_size, number)
        count = _entries(file, page_size, number, page, _BRANCH)
        for index in range(count - 1, -1, -1):
            low, high, top = struct.unpack_from("<HHH", page, _node(file, page, number, index, count))
            stack.append((low | high << 16 | top << 32, level + 1))
    return leaves, ends


def _page(file: DataFile, page_size: int, number: int, size: int = 0) -> bytes:
    """A page of the tree, or its first `size` bytes."""
    at = number * page_size
    if at + page_size > file.size:
        _cut(file, at + page_size, "a page of its tree")
    page = _bytes(file, at, size or page_size)
    if struct.unpack_from("<Q", page)[0] != number:
        _damaged(file, at, f"page {number} says that it is another")
    return page


def _entries(file: DataFile, page_size: int, number: int, page: bytes, kind: int = _LEAF) -> int:
    """How many entries a page of this kind has."""
    flags, lower, upper = struct.unpack_from("<HHH", page, 10)
    if flags & (_BRANCH | _LEAF | _OVERFLOW | _META_PAGE | _LEAF2) != kind:
        wanted = "leaf" if kind == _LEAF else "branch"
        _damaged(file, number * page_size, f"page {number} of the tree should be a {wanted} page")
    if not _HEAD < lower <= upper <= page_size or lower % 2:
        _damaged(file, number * page_size + 12, f"page {number} has no such free space: bytes {lower} to {upper}")
    return int(lower - _HEAD) // 2


def _node(file: DataFile, page: bytes, number: int, index: int, count: int) -> int:
    """Where entry `index` of a page of `count` entries begins in it; its 8 bytes of header are within."""
    (at,) = struct.unpack_from("<H", page, _HEAD + 2 * index)
    if not _HEAD + 2 * count <= at <= len(page) - 8:
        _damaged(file, number * len(page) + _HEAD + 2 * index, f"an entry of page {number} lies outside of it")
    return int(at)


def _bytes(file: DataFile, at: int, size: int) -> bytes:
    """Bytes of the file, read without what other threads could change. Raises OSError."""
    found = bytearray(size)
    file.read_into(memoryview(found), at)
    return bytes(found)


def _damaged(file: DataFile, at: int, why: str) -> NoReturn:
    refuse("data-file", f"{file.name}: damaged at byte {at}: {why}", remedy=_AGAIN)


def _cut(file: DataFile, end: int, part: str) -> NoReturn:
    what = f"{file.name} has {file.size} bytes, {part} ends at byte {end}: truncated?"
    refuse("data-file", what, remedy=_AGAIN)
