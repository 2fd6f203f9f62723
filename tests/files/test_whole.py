"""A process that is killed while files appear leaves the old ones or the new ones, whole, at the next look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.whole import recover, whole_file, whole_folder

OLD = {"a": b"old a", "b": b"old b", "c": b"old c"}
NEW = {"a": b"new a", "b": b"new b", "d": b"new d"}
FOREIGN = {"c": b"old c", "notes": b"mine"}

# Ends the process before the call of the given number of those that change a folder.
KILLED = """
import os, sys
folder, last = sys.argv[1], int(sys.argv[2])
calls = 0

def counted(real):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), 9)
        return real(*arguments, **options)
    return call

from netcompile.files import whole
for name in ("replace", "rename", "link", "mkdir", "rmdir", "unlink", "open"):
    setattr(os, name, counted(getattr(os, name)))
{work}
"""
FOLDER = """
with whole.whole_folder(folder) as staged:
    for name in "abd":
        staged.write(name, b"new " + name.encode())
"""
FILE = """
with whole.whole_file(os.path.join(folder, "a")) as file:
    file.write(b"new a")
"""


def killed(work: str, folder: Path, last: int) -> bool:
    """Whether the work was killed before it was done."""
    program = KILLED.replace("{work}", work)
    code = subprocess.run([sys.executable, "-c", program, str(folder), str(last)], check=False).returncode
    assert code in (0, -9)
    return code != 0


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def fresh(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("before", [{}, OLD, {**OLD, **FOREIGN}], ids=["empty", "old", "others"])
def test_a_kill_at_any_moment_leaves_one_set(tmp_path: Path, before: dict[str, bytes]) -> None:
    ends = set()
    for last in range(1, 100):
        folder = fresh(tmp_path / f"{last}", before)
        done = not killed(FOLDER, folder, last)
        for name, data in contents(folder).items():  # never a torn file, whatever the moment
            assert data in (before.get(name), NEW.get(name))
        assert before.keys() <= contents(folder).keys()
        recover(str(folder))
        found = contents(folder)
        assert found in (before, before | NEW)
        ends.add(found == before)
        with whole_folder(str(folder)) as staged:
            staged.write("a", b"next")
        assert contents(folder) == found | {"a": b"next"}
        assert sorted(os.listdir(folder)) == sorted(contents(folder))
        if done:
            assert found == before | NEW
            break
    assert ends == {True, False}
    assert last > 10


def test_the_next_run_finishes_what_was_killed(tmp_path: Path) -> None:
    """Without `recover` in between: files that the next run does not write are those of one set as well."""
    for last in range(1, 100):
        folder = fresh(tmp_path / f"{last}", OLD)
        done = not killed(FOLDER, folder, last)
        with whole_folder(str(folder)) as staged:
            staged.write("a", b"next")
        found = contents(folder)
        assert found in (OLD | {"a": b"next"}, OLD | NEW | {"a": b"next"})
        assert sorted(os.listdir(folder)) == sorted(found)
        if done:
            break


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    for last in range(1, 100):
        folder = fresh(tmp_path / f"{last}", OLD)
        done = not killed(FILE, folder, last)
        assert (folder / "a").read_bytes() in (b"old a", b"new a")
        if done:
            break
    assert contents(folder) == OLD | {"a": b"new a"}


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with whole_folder(str(tmp_path)) as staged:
        staged.write("a", b"first")
        with pytest.raises(NetError) as caught, whole_folder(str(tmp_path)):
            pass
        with whole_folder(str(tmp_path), "-other") as other:
            other.write("b", b"other")
        recover(str(tmp_path))
    assert [found.code for found in caught.value.diagnostics] == ["output-busy"]
    assert contents(tmp_path) == {"a": b"first", "b": b"other"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
