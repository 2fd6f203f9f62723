"""The bound of memory: how it is said, what it is without being said, and what the disk has."""

from __future__ import annotations

import errno
import re
import threading
from pathlib import Path

import pytest

from netcompile.caffemodel import blob, reader, tensorfile
from netcompile.diagnostics import listing
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.text import LONG_WORD
from netcompile.files import limits, reading
from netcompile.files.limits import free_memory, max_memory, memory_bound, memory_size, require_disk, require_memory
from netcompile.prototxt import recognise, structure
from netcompile.report import as_html

SIZES = [("1", 1), ("4096", 4096), ("2GB", 2 * 10**9), ("2 gb", 2 * 10**9), ("512MiB", 1 << 29), ("1.5GiB", 3 << 29),
         ("3k", 3000), ("0.5Ti", 1 << 39), (" 7B ", 7)]  # fmt: skip


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes(text: str, size: int) -> None:
    assert memory_size(text) == size


NONE = ("", "0", "-1", "2XB", "GB", "1e9", "2GBB", "0.0001", "٣", "9" * 30, "1 2", "nan", "inf")


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: 2GB, 512MiB and 1000000 are"):
        memory_size(text)


def test_the_bound_holds_within_the_block_and_the_thread() -> None:
    seen: list[int] = []
    with max_memory(1000):
        assert memory_bound() == 1000
        with max_memory(None):
            assert memory_bound() == 1000
        with max_memory(10):
            assert memory_bound() == 10
        thread = threading.Thread(target=lambda: seen.append(memory_bound()))
        thread.start()
        thread.join()
        with pytest.raises(NetError, match=r"x takes 1\.0 kB of memory; --max-memory says 1\.0 kB"):
            require_memory(1001, "x")
        require_memory(1000, "x")
    assert seen[0] != 1000


def test_without_an_option_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_available", lambda: 100 << 20)
    monkeypatch.setattr(limits, "_groups", lambda: iter(()))
    monkeypatch.setattr(limits, "_limit", lambda: None)
    assert memory_bound() == 50 << 20
    require_memory(50 << 20, "x")
    with pytest.raises(NetError) as caught:
        require_memory((50 << 20) + 1, "x")
    (found,) = caught.value.diagnostics
    assert (found.code, found.what) == ("too-large", "x takes 52.4 MB of memory; half of the free memory is 52.4 MB")
    assert found.remedy == "if the file is trusted, --max-memory SIZE allows more (max_memory= in Python)"
    monkeypatch.setattr(limits, "_limit", lambda: 10 << 20)
    assert memory_bound() == 5 << 20
    monkeypatch.setattr(limits, "_groups", lambda: iter((8 << 20, 6 << 20)))
    assert memory_bound() == 3 << 20


def test_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most, used, cached in (("a", "1000", "600", 50), ("b", "max", "600", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.max").write_text(f"{most}\n")
        (tmp_path / name / "memory.current").write_text(f"{used}\n")
        (tmp_path / name / "memory.stat").write_text(f"anon 3\ninactive_file {cached}\n")
    assert limits._left(str(tmp_path / "a"), "memory.max", "memory.current") == 450
    assert limits._left(str(tmp_path / "b"), "memory.max", "memory.current") is None
    assert limits._left(str(tmp_path / "c"), "memory.max", "memory.current") is None
    assert free_memory() > 0
    monkeypatch.setattr(limits, "_available", lambda: -1)
    assert free_memory() == 0


def test_room_on_the_disk(tmp_path: Path) -> None:
    require_disk(str(tmp_path / "x"), 1)
    require_disk("/no/such/folder/x", 1 << 60)
    with pytest.raises(OSError, match=r": it needs more than 1000000\.0 TB, .* are free") as caught:
        require_disk(str(tmp_path / "x"), 1 << 60)
    assert caught.value.errno == errno.ENOSPC


def test_the_table_of_limits_has_the_numbers_of_the_code(repository: Path) -> None:
    text = (repository / "SECURITY.md").read_text()
    table = dict(re.findall(r"(?m)^\| ([^|]+) \| (.+) \|$", text.split("## Limits")[1].split("##")[0]))
    said = {
        "a prototxt": f"{recognise.MOST_BYTES // 10**6} MB; messages nest {structure.DEPTH} deep",
        "findings shown at once": f"{listing.MOST}, errors first",
        "a blob": f"{blob.AXES} axes and 2³¹−1 numbers",
        "a data set of `.h5`": f"{limits.DEFLATE:,} times that where packed",
        "a `.safetensors` header": f"{tensorfile.HEADER >> 20} MiB",
        "a JSON text": f"{reading.TEXT >> 20} MiB",
        "a list": f"{reading.LIST >> 30} GiB, of lines of at most {reading.LINE:,} characters",
        "a report page": f"{as_html.MOST_LAYERS:,} layers",
    }
    assert {what: number for what, number in said.items() if number not in table[what]} == {}
    assert f"of a word beyond {LONG_WORD} characters" in table["findings shown at once"]
    assert blob.MOST == reader.MESSAGE == 2**31 - 1
