"""Texts without measure: refused before they are read whole, searched in linear time, and quoted only in part."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from netcompile.cli.main import entry
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.nearest import Hints
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.text import shortened
from netcompile.files.limits import max_memory
from netcompile.prototxt import recognise
from netcompile.prototxt.load import load_net
from netcompile.prototxt.recognise import open_source, read_source

NET = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'


class Endless(io.RawIOBase):
    """A stream that gives the same for ever, and counts what was read."""

    def __init__(self, piece: bytes) -> None:
        self.piece, self.given = piece, 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "read whole"
        self.given += size
        return (self.piece * (size // len(self.piece) + 1))[:size]


@pytest.mark.parametrize(("piece", "code"), [(b"\0", "binary-file"), (b"x: 1\n", "too-long")])
def test_endless_stream(piece: bytes, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "MOST_BYTES", 5 << 20)
    stream = Endless(piece)
    with pytest.raises(NetError) as caught:
        read_source(stream, "stream")
    assert [found.code for found in caught.value.diagnostics] == [code]
    assert stream.given <= 7 << 20


def test_as_long_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "MOST_BYTES", len(NET))
    assert read_source(io.BytesIO(NET.encode()), "net").text == NET
    with pytest.raises(NetError, match=f"longer than the {len(NET)} bytes that a net may have"):
        read_source(io.BytesIO(NET.encode() + b"\n"), "net")


def test_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(("check", "/dev/zero")) == 2
    assert "error[binary-file]" in capsys.readouterr().err


def test_pipe_with_a_late_writer(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with open(pipe, "wb") as file:
            time.sleep(0.05)
            file.write(NET.encode()[:40])
            file.flush()
            time.sleep(0.05)
            file.write(NET.encode()[40:])

    writer = threading.Timer(0.05, write)
    writer.start()
    assert open_source(pipe).text == NET
    writer.join()


def test_pipe_without_a_writer(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "WRITER_WAIT", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetError, match="nobody writes to the pipe"):
        open_source(tmp_path / "pipe")


LONG: dict[str, tuple[str, int]] = {  # a text, and how many characters its messages may have
    "token": ("layer { kernel: " + "a" * 10**6 + " }", 1000),
    "name": ('layer { name: "' + "a " * 10**5 + '" kind: "ReLU" bottom: "' + "b" * 10**5 + '" }', 2000),
    "string": ('x: "' + "\\q" * 10**5 + '"', 60_000),
    "digits": ("layer { name: " + "9" * 10**5 + " }", 1000),
    "line": ("layer { }" * 10**4 + " x: ", 1000),
    "junk": ("a" * 10**6, 1000),
}


@pytest.mark.parametrize("name", LONG)
def test_messages_are_short(name: str) -> None:
    text, most = LONG[name]
    with pytest.raises(NetError) as caught:
        load_net(Source(text))
    assert len(str(caught.value)) < most


SHORT = ("ab " * 27)[:80]


def test_the_length_is_told() -> None:
    found = Diagnostic("x", "no bottom '" + "ab " * 1000 + "' of '" + "c" * 200 + "'")
    assert found.what == f"no bottom '{SHORT}…' (3000 characters) of '{80 * 'c'}…' (200 characters)"
    assert len(shortened("a b " * 10**6)) < 2100


def test_hints_end() -> None:
    hints = Hints(left=5)
    assert [hints.nearest("colour", ["color", "odour", "x"]) for _ in range(3)] == [["color"], ["color"], []]


def test_a_bounded_number_is_shown(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET + "".join(f'layer {{ type: "ReLU" bottom: "b{i}" top: "t{i}" }}\n' for i in range(1000)))
    assert entry(("check", str(path))) == 2
    out, err = capsys.readouterr()
    assert err.count("error[") == 200
    assert "(and 800 more; netcompile check --json has all)" in err
    assert out == "1000 errors\n"


LINEAR: dict[str, Callable[[int], str]] = {
    "blank lines": lambda n: "\n" * n,
    "blank lines before a field": lambda n: "\n" * n + "net_param:",
    "spaces after a field": lambda n: "net_param" + " " * n,
    "comments": lambda n: "# x\n" * n,
    "braces": lambda n: "}" * n,
    "ends of conflicts": lambda n: "<<<<<<<\n" * n + "=======\n" * n,
    "templates": lambda n: "x: ${a}" + "{%" * n,
    "strings": lambda n: 'name: "' + '" "a' * n + '"',
    "clashing numbers": lambda n: 'layers { name: "a" type: 40 bottom: "a" bottom: "b" top: "a" } ' * (n // 20),
    "tops and unknown fields": lambda n: "layer { " + 'top: "a" ' * n + "x: 1 " * 300 + "}",
}


def seconds(text: str) -> float:
    begun = time.process_time()
    with suppress(NetError):
        load_net(Source(text))
    return time.process_time() - begun


@pytest.mark.parametrize("name", LINEAR)
def test_time_is_linear(name: str) -> None:
    """Ten times the text takes no more than thirty times as long; what is quadratic takes a hundred times."""
    make = LINEAR[name]
    short = max(min(seconds(make(3000)) for _ in range(3)), 0.002)
    assert min(seconds(make(30_000)) for _ in range(2)) < 30 * short


@pytest.mark.parametrize("unit", ["layer{}\n", 'top:"a" ', "top<> ", "[" + "1," * 100 + "1] "])
def test_memory_asked_for_before_it_is_read(unit: str) -> None:
    text = NET + unit * 40_000
    with max_memory(30_000_000), pytest.raises(NetError) as caught:
        load_net(Source(text, "big\x1b.prototxt"))
    assert [found.code for found in caught.value.diagnostics] == ["too-large"]
    assert caught.value.diagnostics[0].what.startswith(r"what 'big\x1b.prototxt' says takes ")


def test_small_net_needs_no_memory() -> None:
    with max_memory(1):
        assert load_net(Source(NET + "# " + ": " * 1000)).net.has("layer")


def test_memory_option_of_commands_that_compute_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET + 'layer { type: "ReLU" bottom: "x" top: "x" }\n' * 2500)
    for command in ("offsets", "inspect", "check", "upgrade", "repad"):
        assert entry([command, "net.prototxt", "--max-memory", "20MB"]) == 2
        assert "error[too-large]" in capfd.readouterr().err
    assert entry(["offsets", "net.prototxt", "--max-memory", "50MB"]) == 0
