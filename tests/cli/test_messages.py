"""Bad use, bad input, failing output: the exact message, the exit code, and never a traceback."""

from __future__ import annotations

import os
import sys
from io import BytesIO, TextIOWrapper

import pytest

from netcompile import __version__
from netcompile.cli import main as main_module
from netcompile.cli.command_line import command_names
from netcompile.cli.main import entry

NET = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ofsets"], 2, "netcompile: error: no command 'ofsets'; did you mean 'offsets'?\n"),
        (["offsets"], 2, "netcompile: error: the following arguments are required: NET\n"),
        (["offsets", "a", "b"], 2, "netcompile: error: unrecognized arguments: b\n"),
        (["offsets", "a", "--phase", "x"], 2, "netcompile: error: argument --phase: invalid choice: 'x'"),
        (["offsets", "a", "--json", "--html"], 2, "argument --html: not allowed with argument --json"),
        (["inspect", "a", "--input", "d"], 2, "argument --input: 'd' is not of the form NAME=1x3x500x500\n"),
        (["inspect", "a", "--input", "d=1x-3"], 2, "argument --input: 'd=1x-3' is not of the form NAME=1x3x500x500"),
        (["inspect", "a", "--input", "=1x3"], 2, "argument --input: '=1x3' is not of the form NAME=1x3x500x500\n"),
        (["inspect", "a", "--input", "d=0x3"], 2, "argument --input: 'd=0x3' has an extent that is not positive\n"),
        (["inspect", "a", "--level", "x"], 2, "argument --level: invalid int value: 'x'\n"),
        (["build", "a", "-O", "3"], 2, "argument -O: invalid choice: 3 (choose from 0, 1, 2)\n"),
        (["run", "a", "--inputs", "b"], 2, "the following arguments are required: --out\n"),
        (["explain", "crop-ofset"], 2, "netcompile: error: no code 'crop-ofset'; did you mean 'crop-offset'?\n"),
        (["explain", "../../../setup"], 2, "netcompile: error: no code '../../../setup'"),
        (
            ["offsets", "voc-fcn9s/val.prototxt"],
            2,
            "error[no-such-file]: there is no file 'voc-fcn9s/val.prototxt', and no bundled definition of that name\n"
            "  fix: did you mean 'voc-fcn8s/val.prototxt' or ",
        ),
        (
            ["offsets", "voc-fcn8s"],
            2,
            "did you mean 'voc-fcn8s/deploy.prototxt' or 'voc-fcn8s/train.prototxt' or 'voc-fcn8s/val.prototxt'?\n",
        ),
        (["offsets", ""], 2, "error[no-such-file]: there is no file ''"),
        (["offsets", "/"], 2, "error[no-such-file]: '/' is a folder, not a prototxt\n"),
        (["offsets", "voc-fcn8s/../voc-fcn8s/val"], 2, "error[no-such-file]: "),
        (["build", "voc-fcn8s/val", "--weights", "none"], 2, "error[no-such-file]: there is no file 'none'\n"),
        (["build", "voc-fcn8s/val", "--weights", "/"], 2, "error[no-such-file]: '/' is a folder, not a caffemodel\n"),
        (["convert-weights"], 2, "error[usage]: which files? give at least one .caffemodel, or --manifest"),
        (["convert-weights", "x", "--manifest", "y"], 2, "error[usage]: --manifest says itself which files and nets"),
        (["convert-weights", "none"], 2, "error[no-such-file]: there is no file 'none'\n"),
        (["convert-weights", "--manifest", "none"], 2, "error[no-such-file]: there is no file 'none'\n"),
    ],
)
def test_usage(netcompile, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = netcompile(*arguments)
    assert result.code == code
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


def test_help_and_version(netcompile):
    assert netcompile("--version").out == f"netcompile {__version__}\n"
    top = netcompile("--help")
    assert top.code == 0
    assert all(name in top.out for name in command_names())
    none = netcompile()
    assert (none.code, none.out) == (2, "")
    assert none.err == top.out
    assert netcompile("help", "offsets").out == netcompile("offsets", "-h").out


@pytest.mark.parametrize("command", command_names())
def test_every_command_has_help(netcompile, command):
    result = netcompile(command, "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: netcompile {command} ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "error[empty-file]: the file is empty\n"),
        (b"# nothing\n", "error[empty-file]: the file holds comments only\n"),
        (b"layer {", "<stdin>:1:8: error[unclosed-brace]: unclosed brace\n"),
        (b'net: "a"\nbase_lr: 1\n', "error[solver-file]: this is a solver, not a net\n"),
        (b"\x89HDF\r\n\x1a\n\0\0", "error[binary-file]: this is "),
        (b'layer { name: "r" type: "Nope" bottom: "x" }', "error[unknown-layer]: unknown layer type 'Nope'\n"),
        (b'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }', "error[unknown-bottom]: no layer makes bottom 'x'"),
    ],
)
@pytest.mark.parametrize("command", ["offsets", "inspect", "check", "build"])
def test_bad_nets(netcompile, tmp_path, monkeypatch, command, content, message):
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(content)))
    monkeypatch.chdir(tmp_path)
    result = netcompile(command, "-")
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"\x0a", b"not weights", b"\x0a\xff\xff\xff\xff\x0f"])
def test_bad_caffemodels(netcompile, tmp_path, data):
    path = tmp_path / "bad.caffemodel"
    path.write_bytes(data)
    for arguments in (
        ["build", "shapes-fcn8s/deploy", "--weights", path, "-o", tmp_path / "out"],
        ["convert-weights", path],
        ["convert-weights", path, "--net", "shapes-fcn8s/deploy"],
    ):
        result = netcompile(*arguments)
        assert result.code == 2
        assert "error[caffemodel-" in result.err
        assert os.listdir(tmp_path) == ["bad.caffemodel"]


def test_a_truncated_caffemodel(netcompile, tmp_path, repository):
    whole = (repository / "weights" / "shapes-fcn8s.caffemodel").read_bytes()
    path = tmp_path / "cut.caffemodel"
    path.write_bytes(whole[: len(whole) // 2])
    result = netcompile("build", "shapes-fcn8s/deploy", "--weights", path, "-o", tmp_path / "out")
    assert result.code == 2
    assert "error[caffemodel-truncated]: " in result.err
    assert os.listdir(tmp_path) == ["cut.caffemodel"]


def test_unreadable_and_unwritable(netcompile, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(NET)
    result = netcompile("build", net, "-o", tmp_path / "net.prototxt" / "out")
    assert (result.code, result.err) == (3, f"netcompile: error: {net}/out: Not a directory\n")
    loop = tmp_path / "loop.prototxt"
    loop.symlink_to(loop)
    result = netcompile("offsets", loop)
    assert (result.code, result.err) == (3, f"netcompile: error: {loop}: Too many levels of symbolic links\n")


def test_stdin_names_no_file(program):
    result = program("offsets", "-", "--json", stdin=NET)
    assert (result.code, result.json["net"]) == (0, "net")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_stdout(program):
    with open("/dev/full", "wb") as full:
        result = program("offsets", "voc-fcn8s/val", stdout=full)
    assert (result.code, result.err) == (3, "netcompile: error: standard output: No space left on device\n")


def test_a_reader_that_goes_away(program):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = program("offsets", "voc-fcn8s/val", "--json", stdout=writer)
    finally:
        os.close(writer)
    assert (result.code, result.err) == (0, "")


def test_any_terminal_encoding(program):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    net = NET + 'layer { name: "naïve\\377\\033[31m" type: "ReLU" bottom: "x" top: "y" relu_param { x: 1 } }'
    result = program("check", "-", stdin=net, env=env)
    assert result.code == 2
    assert "\x1b" not in result.err


@pytest.mark.parametrize(("env", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_on_a_terminal(capsys, monkeypatch, tmp_path, env, colour):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert entry(["offsets", str(tmp_path / "none")]) == 2
    assert ("\x1b[" in capsys.readouterr().err) is colour


def test_no_colour_in_a_pipe(program):
    assert "\x1b" not in program("offsets", "none").err


def test_interrupt(capsys, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "main", stop)
    assert entry(["offsets", "x"]) == 130
    assert capsys.readouterr().err == "netcompile: interrupted\n"


def test_a_bug_keeps_its_traceback(capsys, monkeypatch, tmp_path):
    def break_(_):
        raise ZeroDivisionError("oops\nmore")

    monkeypatch.setattr(main_module, "main", break_)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("NETCOMPILE_TRACEBACK", raising=False)
    assert entry(["offsets", "x"]) == 70
    (path,) = tmp_path.iterdir()
    assert capsys.readouterr().err == (
        "netcompile: internal error: ZeroDivisionError: oops\n"
        f"netcompile: this is a bug of netcompile: please report it with the traceback in {path}\n"
    )
    assert "ZeroDivisionError: oops" in path.read_text()
    monkeypatch.setenv("NETCOMPILE_TRACEBACK", "1")
    assert entry(["offsets", "x"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_names_cannot_paint_the_terminal(program):
    net = NET.replace('"in"', r'"\033[31min"')
    result = program("inspect", "-", stdin=net)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert r"\x1b[31min" in result.out
