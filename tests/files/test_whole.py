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
for name in ("replace", "rename", "link", "mkdir", "rmdir", "unlink", "open", "utime"):
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


def changed(seen: dict[str, bytes], files: dict[str, bytes]) -> set[str]:
    """The files that are written anew and that are seen as `files` has them."""
    return {name for name in NEW if name in seen and seen[name] == files.get(name)}


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
        seen = contents(folder)  # files of one set and no other, whatever the moment; some of them may be missing
        assert seen.items() <= before.items() or seen.items() <= (before | NEW).items()
        assert not (changed(seen, before) and changed(seen, NEW))
        assert {name: before[name] for name in before.keys() - NEW.keys()}.items() <= seen.items()
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


def planted(folder: Path, files: dict[str, bytes], genuine: bool = True) -> Path:
    """What a run leaves that was killed when it had decided and had moved nothing."""
    partial = folder / ".netcompile-partial"
    (partial / "before").mkdir(parents=True)
    ready = partial / "new"
    ready.mkdir()
    for name, data in files.items():
        (ready / name).write_bytes(data)
    return ready.rename(partial / f"ready-{ready.stat().st_ino if genuine else 1}")


@pytest.mark.parametrize("reads", [True, False], ids=["read", "write"])
def test_what_was_ready_elsewhere_is_not_moved_in_place(tmp_path: Path, reads: bool) -> None:
    """A folder that came with an archive or a copy has another number than its name says."""
    planted(fresh(tmp_path / "out", OLD), {"a": b"planted", "Makefile": b"planted"}, genuine=False)
    if reads:
        recover(str(tmp_path / "out"))
    else:
        with whole_folder(str(tmp_path / "out")) as staged:
            staged.write("d", b"mine")
        assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c", "d"]
    assert OLD.items() <= contents(tmp_path / "out").items()
    assert "Makefile" not in os.listdir(tmp_path / "out")


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_plain_file_is_not_moved_in_place(tmp_path: Path, kind: str) -> None:
    ready = planted(fresh(tmp_path / "out", OLD), {"a": b"new"})
    precious = fresh(tmp_path / "precious", {"x": b"x"})
    if kind == "link":
        (ready / "b").symlink_to(precious / "x")
    elif kind == "folder":
        (ready / "b").mkdir()
    else:
        os.mkfifo(ready / "b")
    recover(str(tmp_path / "out"))
    assert contents(tmp_path / "out") == OLD
    assert contents(precious) == {"x": b"x"}
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c"]


@pytest.mark.parametrize("inside", ["", "staged", "before", "ready-1", "anything"])
def test_a_link_in_place_of_our_folder_leads_nowhere(tmp_path: Path, inside: str) -> None:
    """Nothing outside of the folder is moved, removed or written, whatever lies in it."""
    out, precious = fresh(tmp_path / "out", OLD), fresh(tmp_path / "precious", {"x": b"x"})
    partial = out / ".netcompile-partial"
    if inside:
        partial.mkdir()
        (partial / inside).symlink_to(precious)
    else:
        partial.symlink_to(precious)
    recover(str(out))
    if not inside:
        with (
            pytest.raises(OSError, match=r"this is a link or a file, not a folder.*netcompile-partial"),
            whole_folder(str(out)),
        ):
            pass
    else:
        with whole_folder(str(out)) as staged:
            staged.write("a", b"new a")
        assert contents(out) == OLD | {"a": b"new a"}
        assert sorted(os.listdir(out)) == ["a", "b", "c"]
    assert contents(precious) == {"x": b"x"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives a file to another user")
def test_what_another_user_left_is_not_finished(tmp_path: Path) -> None:
    ready = planted(fresh(tmp_path / "out", OLD), {"a": b"new"})
    os.chown(ready.parent, 12345, -1)
    with pytest.raises(PermissionError, match="another user made this folder; remove it"):
        recover(str(tmp_path / "out"))
    assert contents(tmp_path / "out") == OLD
    os.chown(tmp_path / "out", 12345, -1)  # whose folder it is may do what he wants there
    recover(str(tmp_path / "out"))
    assert contents(tmp_path / "out") == OLD | {"a": b"new"}


def test_what_dead_runs_left_is_removed(tmp_path: Path) -> None:
    """Proof is the lock that they no longer have: what a living run writes stays, however old it is."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".netcompile-0011223344556677.tmp").write_bytes(b"half")
    (tmp_path / ".netcompile-partial-other" / "staged").mkdir(parents=True)
    for name in (".netcompile-8899aabbccddeeff.tmp", ".a.12345678.tmp", "a.tmp", ".netcompile"):
        (tmp_path / name).write_bytes(b"kept")
    with open(tmp_path / ".netcompile-8899aabbccddeeff.tmp", "rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        with whole_file(tmp_path / "a") as file:
            file.write(b"a")
            with whole_folder(str(tmp_path), "-third") as staged:
                staged.write("b", b"b")
    kept = [".a.12345678.tmp", ".netcompile", ".netcompile-8899aabbccddeeff.tmp", "a", "a.tmp", "b"]
    assert sorted(os.listdir(tmp_path)) == kept


def test_a_new_source_is_later_than_the_old_one(tmp_path: Path) -> None:
    """Bytecode in __pycache__ is known by the second and the size of its source."""
    for number in range(3):
        with whole_folder(str(tmp_path)) as staged:
            staged.write("made.py", f"N = {number}\n".encode())
        done = subprocess.run([sys.executable, "-c", "import made; print(made.N)"], cwd=tmp_path,
                              capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})  # fmt: skip
        assert done.stdout == f"{number}\n"
