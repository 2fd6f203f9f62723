"""Paths that a file names: nothing is written outside the output folder, nothing read but files."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.data.images import read_depth, read_image, read_labels
from netcompile.data.mat import read_mat
from netcompile.data.paths import first_there, require_files
from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.named import below, special
from netcompile.files.whole import recover, whole_folder

INSIDE = [
    "a",
    "a/b",
    "a/../b",
    "./a",
    "a//b",
    "~",
    "~root/x",
    "...",
    "a/",
    "",
    "é\u202e",
    "a" * 200,
    "real/x",
    "to_real/x",
]
INSIDE += ["link/../x"]  # undone as text, and never followed
OUTSIDE = [
    "..", "../x", "a/../../x", "/tmp/x", "/", "link/x", "a/../link/x", "dangling/x", "real/up/x", "../out2/x",
]  # fmt: skip
NEVER = ["a\0b", "\0", "a" * 201, "é" * 101, "a/" + "b" * 300 + "/c", "\ud800"]


@pytest.fixture
def out(tmp_path: Path) -> str:
    """An output folder with links that lead out of it, and one that does not."""
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "out2").mkdir()
    for name, target in (
        ("link", tmp_path / "elsewhere" / "deep"),
        ("dangling", tmp_path / "absent"),
        ("to_real", "real"),
        ("real/up", "../.."),
    ):
        (tmp_path / "out" / name).symlink_to(target)
    return str(tmp_path / "out")


@pytest.mark.parametrize("name", INSIDE)
def test_names_below_the_folder_are_taken(out: str, name: str) -> None:
    path = below(out, name)
    assert os.path.realpath(os.path.dirname(path)).startswith(os.path.realpath(out))


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_refused(out: str, name: str) -> None:
    with pytest.raises(ValueError, match="it leads out of the folder"):
        below(out, name)


@pytest.mark.parametrize("name", NEVER)
def test_names_that_no_file_can_have_are_refused(out: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"it holds|a name in it is longer"):
        below(out, name)


def test_a_folder_that_is_a_link_itself_was_named_by_the_user(out: str, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(out)
    assert below(str(tmp_path / "mine"), "a/b") == str(tmp_path / "mine" / "a" / "b")
    assert below("", "a/../b/c") == "b/c"
    assert below(".", os.path.abspath("b")) == os.path.abspath("b")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "link", "up"]), max_size=8), st.booleans())
def test_what_is_taken_is_below(parts: list[str], absolute: bool) -> None:
    """Held against the file system: the folders are made, and the file is where it may be."""
    with tempfile.TemporaryDirectory() as root:
        out = os.path.join(root, "x", "out")
        os.makedirs(os.path.join(out, "a"))
        os.symlink(root, os.path.join(out, "link"))
        os.symlink("..", os.path.join(out, "a", "up"))
        name = ("/" if absolute else "") + "/".join([*parts, "file"])
        try:
            path = below(out, name)
        except ValueError:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text("")
        found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
        assert found == [os.path.realpath(path)]
        assert found[0].startswith(os.path.realpath(out) + os.sep)


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    """Paths where no file lies."""
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
    (tmp_path / "link.png").symlink_to("/dev/zero")
    paths = {"a pipe": tmp_path / "pipe.png", "a socket": tmp_path / "s", "a device": tmp_path / "link.png"}
    return {what: str(path) for what, path in paths.items()}


def test_no_device_and_no_pipe_is_read(odd: dict[str, str]) -> None:
    for what, path in odd.items():
        assert special(path) == what
        for read in (read_image, read_depth, read_labels, lambda path: read_mat(path, "x")):
            with pytest.raises(NetError, match=f"is {what}, not a file"):
                read(path)  # type: ignore[operator]
        with pytest.raises(NetError, match=f"is {what}, not a file"):
            first_there(["/nowhere", path])
        with pytest.raises(NetError, match=f"is {what}, not a file"):
            require_files("list.txt", ["/nowhere", path])


def test_a_link_in_place_of_the_hidden_folder_is_not_followed(tmp_path: Path) -> None:
    """What lies behind it would be taken for remains of a run, and removed."""
    mine = tmp_path / "mine"
    (mine / "ready").mkdir(parents=True)
    (mine / "ready" / "x").write_text("kept")
    (mine / "kept").write_text("kept")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".netcompile-partial").symlink_to(mine)
    with (
        pytest.raises(NotADirectoryError, match="this is a link or a file, not a folder; remove it"),
        whole_folder(str(out)),
    ):
        raise AssertionError
    recover(str(out))
    assert sorted(str(p.relative_to(mine)) for p in mine.rglob("*")) == ["kept", "ready", "ready/x"]
    assert os.listdir(out) == [".netcompile-partial"]


def test_a_link_in_place_of_a_staged_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "mine")
    with whole_folder(str(tmp_path / "out")) as staged:
        staged.write("a", b"new")
    assert (tmp_path / "mine").read_text() == "kept"
    assert (tmp_path / "out" / "a").read_bytes() == b"new"
    assert not (tmp_path / "out" / "a").is_symlink()
