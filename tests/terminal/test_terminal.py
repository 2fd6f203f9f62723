"""Nothing that a file says steers the terminal: every string of every file, through every command, on a terminal."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest

from netcompile.cli.main import entry
from netcompile.diagnostics.visible import visible
from netcompile.progress import Progress
from netcompile.prototxt.parser import parse
from netcompile.prototxt.printer import shown, to_text
from netcompile.prototxt.recognise import decode_source
from netcompile.terminal import guarded, write_out
from tests.terminal.commands import heavy, light, texts
from tests.terminal.payloads import COLOUR, PAYLOADS, write_files
from tests.terminal.pty_run import hidden, on_terminal, run


@pytest.mark.long
@pytest.mark.parametrize(("turn", "commands", "columns"), [(0, light, 60), (1, light, 200), (7, heavy, 100)])
def test_no_string_of_a_file_steers_the_terminal(tmp_path, monkeypatch, turn, commands, columns):
    """`python -m tests.terminal.by_hand` does the same for all payloads in all places."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    s = write_files(tmp_path, turn)
    wrong, codes = [], set()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # they are messages too
        for line in commands(s):
            found = run(line, columns)
            codes.add(found.code)
            wrong += [(line, one) for one in found.steering()] + [(line, "exit 70")] * (found.code == 70)
    assert not wrong
    assert codes >= {0, 2}
    assert not [(path.name, one) for path in texts(tmp_path) for one in hidden(path.read_text(encoding="utf-8"))]


def test_the_terminal_is_looked_at():
    """What a raw write would bring out is seen by these tests; colours of our own are not held against us."""
    for payload in PAYLOADS:
        if visible(payload) == payload or payload == "\t":
            continue

        def work(payload: str = payload) -> int:
            sys.stdout.write(f"x{payload}y\n")
            return 0

        assert on_terminal(work).steering(), payload
    assert not on_terminal(lambda: sys.stderr.write("\x1b[1;31mred\x1b[0m\n")).steering()


def test_markup_is_shown_as_it_is(tmp_path):
    """A table that rich folds, and a line of progress, take no brackets for markup."""
    name = "[red]x[/red] [link=http://x]y[/link]"
    net = f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: [1, 3, 8, 8] }} }} }}\n'
    (tmp_path / "net.prototxt").write_text(net)
    for columns in (300, 40):
        out = run(["inspect", tmp_path / "net.prototxt"], columns).out.decode()
        assert all(part in out.replace("\n", "") for part in ("[red]", "[/red]", "[link="))

    def bar() -> int:
        with Progress(2, f"[red]images{COLOUR}") as progress:
            progress.step()
        return 0

    found = on_terminal(bar)
    assert "[red]images\\x1b[38;5;197m" in found.out.decode()
    assert not found.steering()


def test_whoever_writes_while_a_command_runs_is_guarded(capsys):
    """Warnings of libraries, argparse, a forgotten print: the streams themselves escape."""
    with guarded():
        print("a\x1b[31m\u202eb")
        print("\x9b", file=sys.stderr)
        sys.stderr.writelines(["\x07", "\n"])
        sys.stderr.write(warnings.formatwarning("w\x1b]0;x\x07", UserWarning, "f\x08", 1))
        write_out("c\x1bd\n")
    out, err = capsys.readouterr()
    assert out == "a\\x1b[31m\\u202eb\nc\\x1bd\n"
    assert err.startswith("\\x9b\n\\x07\nf\\x08:1: UserWarning: w\\x1b]0;x\\x07\n")
    before = sys.stdout, sys.stderr
    assert entry(["explain", "no\x1bsuch"]) == 2
    assert (sys.stdout, sys.stderr) == before


def test_the_caret_stands_below_what_it_means(capsys, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "\x1b[31m\u202e\ufe0f" type: "Relu" }\n')
    entry(["check", str(path)])
    lines = capsys.readouterr().err.split("\n")
    row = next(index for index, line in enumerate(lines) if line.startswith("    1 | "))
    assert lines[row + 1].index("^") == lines[row].index('"Relu"')
    assert lines[row][8:].startswith('layer { name: "\ufffd[31m\ufffd\ufffd" type')


def test_json_keeps_the_exact_names(capsys, tmp_path):
    name = "".join(p for p in PAYLOADS).replace('"', "").replace("\\", "")
    path = tmp_path / "net.prototxt"
    text = "".join(c if " " <= c <= "~" else "".join(f"\\{b:03o}" for b in c.encode()) for c in name)
    path.write_text(
        f'layer {{ name: "{text}" type: "Input" top: "x" input_param {{ shape {{ dim: [1, 3, 8, 8] }} }} }}\n'
    )
    import json

    assert entry(["inspect", str(path), "--json"]) == 0
    out = capsys.readouterr().out
    assert hidden(out) == []
    assert json.loads(out)["layers"][0]["name"] == name


@pytest.mark.parametrize("payload", PAYLOADS)
def test_printed_prototxts_read_back_as_the_same_bytes(payload):
    """`upgrade`, `surgery` and `spec` print a message, `repad` keeps the text of a file."""
    raw = payload.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    source = decode_source(f"# {raw}\nname: \"a{raw}\"\r\n\x0b layer {{ name: '{raw}1' }} # {raw}\r\n".encode(), "net")
    message = parse(source, "NetParameter")
    assert message.get("name") == f"a{payload}"
    for text in (to_text(message), shown(source.text)):
        assert not hidden(text.replace("\r\n", "\n"))
        assert parse(decode_source(text.encode(), "net"), "NetParameter") == message
    assert shown(shown(source.text)) == shown(source.text)


def test_a_text_without_such_characters_stays_as_it_is():
    text = '# é 中\tx\r\nname: "é 中 👍"\n\n'
    assert shown(text) == text
    assert Path(__file__).read_text(encoding="utf-8") == shown(Path(__file__).read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["check", "offsets", "inspect", "upgrade"])
def test_names_of_files_that_are_no_utf8(tmp_path, monkeypatch, command):
    """Bytes 0x9b and 0xff: the first one starts a sequence on terminals that are not of UTF-8."""
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"net\x9b31m\xff.prototxt")
    absent = run([command, name])
    Path(name).write_text(
        'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: [1, 3, 8, 8] } } }\n'
        'layer { name: "b" type: "Sigmoid" bottom: "a" top: "b" }\n'
    )
    present = run([command, name])
    assert (absent.code, present.code) == (2, 0)
    assert r"net\udc9b31m\udcff.prototxt" in absent.out.decode()
    assert not absent.steering() + present.steering()
    page = run(["offsets", name, "--html"])
    assert r"net\udc9b31m\udcff.prototxt" in page.out.decode()
    assert not page.steering()
