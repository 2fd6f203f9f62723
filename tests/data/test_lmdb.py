"""LMDB files: every record that LMDB's own library wrote, in its order; and what a damaged file comes to."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import lmdb
import pytest

from netcompile.data.lmdb import Records, open_lmdb
from netcompile.diagnostics.diagnostic import NetError
from tests.data import lmdb_files

SIZES = [(0, 0), (1, 10), (3, 50_000), (700, 900), (2000, 30), (300, 9000)]


@pytest.mark.parametrize(("count", "size"), SIZES, ids=[str(n) for n, _ in SIZES])
def test_records_are_those_that_lmdb_wrote(tmp_path: Path, count: int, size: int) -> None:
    chance = Random(count)
    want = {
        b"%08d_%s" % (k, b"x" * chance.randrange(40)): chance.randbytes(chance.randrange(size)) for k in range(count)
    }
    lmdb_files.write(tmp_path, want)
    gone = chance.sample(sorted(want), count // 5)
    with lmdb.open(str(tmp_path), map_size=1 << 30, sync=False) as env:
        for key in gone:  # pages are copied, and given back
            with env.begin(write=True) as transaction:
                transaction.delete(key)
            del want[key]
    found = open_lmdb(str(tmp_path))
    assert (len(found), list(found)) == (len(want), sorted(want.items()))
    assert list(open_lmdb(str(tmp_path / "data.mdb"))) == list(found)
    for k in chance.sample(range(len(want)), min(len(want), 20)):
        assert found[k] == sorted(want.items())[k]
    with pytest.raises(IndexError):
        found[len(want)]


def test_pages_of_other_sizes(tmp_path: Path) -> None:
    """LMDB takes the size of the machine's pages; a file of another machine has another."""
    page, values = 512, [b"a", b"bb"]
    tree = struct.pack("<IHHQQQQQ", 0, 0, 1, 0, 1, 0, 2, 2)
    free = struct.pack("<IHHQQQQQ", page, 8, 0, 0, 0, 0, 0, 2**64 - 1)
    meta = struct.pack("<IIQQ", 0xBEEFC0DE, 1, 0, 1 << 20) + free + tree
    nodes = [struct.pack("<HHHH", len(v), 0, 0, 1) + bytes([65 + i]) + v for i, v in enumerate(values)]
    body, places = b"", []
    for node in nodes:
        body = node + bytes(len(node) % 2) + body
        places.append(page - len(body))
    head = struct.pack("<QHHHH", 2, 0, 2, 20, places[-1]) + struct.pack("<HH", *places)
    pages = [struct.pack("<QHHHH", n, 0, 8, 0, 0) + meta + struct.pack("<QQ", 2, n) for n in range(2)]
    data = b"".join(p.ljust(page, b"\0") for p in pages) + head.ljust(page - len(body), b"\0") + body
    (tmp_path / "data.mdb").write_bytes(data)
    assert list(open_lmdb(str(tmp_path))) == [(b"A", b"a"), (b"B", b"bb")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with branch pages, leaf pages and overflow pages."""
    folder = tmp_path_factory.mktemp("lmdb")
    chance = Random(1)
    lmdb_files.write(folder, [chance.randbytes(chance.choice((10, 200, 3000, 9000))) for _ in range(60)])
    return (folder / "data.mdb").read_bytes()


def refused(path: Path) -> str:
    """What is said of a file, opened and read to its end; "" where nothing is."""
    try:
        for _ in open_lmdb(str(path)):
            pass
    except NetError as error:
        return error.diagnostics[0].what.replace(f"{path.parent}/", "")
    return ""


@pytest.mark.parametrize("seed", range(30))
def test_truncated(tmp_path: Path, whole: bytes, seed: int) -> None:
    """At any length: refused before a record is read."""
    path = tmp_path / "data.mdb"
    path.write_bytes(whole[: Random(seed).randrange(len(whole))])
    with pytest.raises(NetError, match=r"truncated\?|has at least two pages"):
        open_lmdb(str(path))


def test_bytes_changed(tmp_path: Path, whole: bytes) -> None:
    """Whatever stands in a header: an answer, or a refusal."""
    path, told = tmp_path / "data.mdb", 0
    for seed in range(500):
        chance, data = Random(seed), bytearray(whole)
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(len(data) // 4096) * 4096 + int(chance.random() ** 3 * 300)
            data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        told += bool(refused(path))
    assert 100 < told < 500


def poke(at: int, layout: str, value: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return data[:at] + struct.pack(layout, value) + data[at + struct.calcsize(layout) :]

    return change


def both(change: Callable[[int], Callable[[bytes], bytes]]) -> Callable[[bytes], bytes]:
    """The same in both meta pages."""
    return lambda data: change(4096)(change(0)(data))


ODD = [
    (lambda data: b"hello", "data.mdb: 5 bytes, no LMDB: that has at least two pages"),
    (lambda data: b"x" * len(data), "data.mdb: no LMDB: its first bytes are of something else"),
    (poke(20, "<I", 999), "data.mdb: an LMDB of version 999"),
    (lambda data: bytes(12) + data[16:], "data.mdb: an LMDB of another kind of machine"),
    (poke(16, ">I", 0xBEEFC0DE), "data.mdb: an LMDB of another kind of machine"),
    (poke(40, "<I", 1000), "data.mdb: damaged at byte 40: 1000 is no size of a page"),
    (poke(4096 + 16, "<I", 0), "data.mdb: damaged at byte 4112: no meta page"),
    (both(lambda at: poke(at + 92, "<H", 4)), "data.mdb: a key may have several values"),
    (both(lambda at: poke(at + 120, "<Q", 3)), "data.mdb: damaged: it says that it has 3 records, 60 are in its pages"),
    (both(lambda at: poke(at + 128, "<Q", 0)),
     "data.mdb: damaged at byte 0: page 0 of the tree should be a branch page"),
    (both(lambda at: poke(at + 128, "<Q", 1 << 50)),
     "data.mdb has SIZE bytes, a page of its tree ends at byte 4611686018427392000: truncated?"),
    (both(lambda at: poke(at + 94, "<H", 65535)), "should be a branch page"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what"), ODD, ids=[str(i) for i in range(len(ODD))])
def test_what_is_said(tmp_path: Path, whole: bytes, change: Callable[[bytes], bytes], what: str) -> None:
    (tmp_path / "data.mdb").write_bytes(change(whole))
    assert refused(tmp_path / "data.mdb").endswith(what.replace("SIZE", str(len(whole))))


def test_a_circle(tmp_path: Path, whole: bytes) -> None:
    """A branch that leads twice to one page: neither endless work nor records twice."""
    records = open_lmdb_bytes(tmp_path, whole)
    (root,) = struct.unpack_from("<Q", whole, 128 if whole[144] else 4096 + 128)
    at = root * 4096 + struct.unpack_from("<H", whole, root * 4096 + 18)[0]
    (tmp_path / "data.mdb").write_bytes(poke(at, "<H", records.leaves[0])(whole))
    assert refused(tmp_path / "data.mdb").endswith("two places of the tree lead to this page")


def open_lmdb_bytes(folder: Path, data: bytes) -> Records:
    (folder / "data.mdb").write_bytes(data)
    return open_lmdb(str(folder))


def test_a_named_data_base_inside(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=1) as env:
        inner = env.open_db(b"inner")
        with env.begin(write=True, db=inner) as transaction:
            transaction.put(b"k", b"v")
    assert refused(tmp_path / "data.mdb") == "data.mdb: key inner holds the root of another data base"


def test_no_lmdb(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(NetError, match=f"{path}: no LMDB"):
            open_lmdb(str(path))


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, whole: bytes) -> None:
    found = open_lmdb_bytes(tmp_path, whole)
    os.truncate(tmp_path / "data.mdb", 8192)
    with pytest.raises(OSError, match="became shorter while it was read"):
        list(found)


def _sum(records: Records) -> int:
    return sum(len(value) for _, value in records)


def test_a_forked_process_reads_too(tmp_path: Path, whole: bytes) -> None:
    found = open_lmdb_bytes(tmp_path, whole)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other tests' threads
        child = os.fork()
    if not child:
        os.write(writing, str(_sum(found)).encode())
        os._exit(0)
    own = _sum(found)
    os.waitpid(child, 0)
    assert int(os.read(reading, 100)) == own
    os.close(reading)
    os.close(writing)
