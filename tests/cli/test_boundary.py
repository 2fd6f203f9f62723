"""Whatever the process is started with, or is sent: the right exit code, a line at most, no traceback, nothing half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netcompile.cli import main as main_module
from netcompile.cli.main import entry

NET = 'name: "%s" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
CLOSED = "netcompile: error: standard input or output is closed: Bad file descriptor\n"
FULL = "netcompile: error: standard output: No space left on device\n"
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}


def shell(
    before: str, arguments: list[str], after: str, folder: Path, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """The program as a POSIX shell starts it, after the commands `before` and with redirections; code and messages."""
    line = f'{before} exec "$@" {after}'
    call = ["sh", "-c", line, "sh", sys.executable, "-m", "netcompile", *arguments]
    path = os.pathsep.join([str(Path(main_module.__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        call, cwd=folder, env={**os.environ, "PYTHONPATH": path, **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr.decode(errors="backslashreplace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET % "plain")
    (tmp_path / "é.prototxt").write_text(NET % "naïve")
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("before", "arguments", "after", "code", "said"),
    [
        ("", ["offsets", "net.prototxt"], ">&-", 3, CLOSED),
        ("", ["offsets", "-"], "<&-", 3, CLOSED),
        ("", ["offsets", "none"], "2>&-", 2, ""),
        ("", ["offsets", "net.prototxt"], "<&- 2>&-", 0, ""),
        ("", ["build", "net.prototxt", "-o", "out"], "<&- >&- 2>&-", 3, ""),
        ("", ["--help"], ">/dev/full", 3, FULL),
        ("", ["build", "--help"], ">/dev/full", 3, FULL),
        ("", ["--version"], ">&-", 3, CLOSED),
        ("", ["check", "none"], "2>/dev/full", 2, ""),
        ("", ["nonesuch"], "2>/dev/full", 2, ""),
        ("ulimit -f 1;", ["build", "net.prototxt", "-o", "out"], "", 3, "File too large"),
        ("mkdir gone; cd gone; rmdir ../gone;", ["build", "shapes-fcn8s/deploy", "-o", "out"], "", 3, "No such file"),
        ("unset HOME; export TMPDIR=/nonesuch;", ["build", "net.prototxt"], "", 0, ""),
        ("export HOME=/nonesuch;", ["inspect", "net.prototxt"], "", 0, ""),
    ],
)  # fmt: skip
def test_streams_and_limits(folder: Path, before: str, arguments: list[str], after: str, code: int, said: str) -> None:
    got, err = shell(before, arguments, after, folder)
    assert got == code, err
    assert err == said if said.endswith("\n") or not said else (said in err and err.count("\n") == 1)
    left = {path.name for path in folder.glob("out/*")}
    assert not any(name.startswith(".") for name in left)
    assert left in (set(), {"plain.py", "offsets.json", "report.html", "manifest.json"})  # whole, or not there


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("env", "name"),
    [
        (PLAIN, b"\xff\xfe.prototxt"),
        ({**PLAIN, "PYTHONIOENCODING": "ascii"}, "é.prototxt".encode()),
        ({"PYTHONIOENCODING": "latin-1"}, b"\xff\xfe.prototxt"),
    ],
)
def test_names_and_encodings(folder: Path, env: dict[str, str], name: bytes) -> None:
    """Names of files are bytes, and of nets are characters; no locale has to know either."""
    path = os.fsencode(folder) + b"/" + name
    if not os.path.exists(path):
        Path(os.fsdecode(path)).write_text(NET % "ü")
    code, err = shell("", ["build", os.fsdecode(name), "-o", os.fsdecode(name) + ".d"], "", folder, env)
    assert (code, err) == (0, "")
    assert b"manifest.json" in os.listdir(path + b".d")


# Sends the signal when a module is imported, or in the midst of a command that has staged files.
SENT = """
import os, sys
number, when = int(sys.argv.pop(1)), sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == when:
            os.kill(os.getpid(), number)

if when.startswith("write"):
    from netcompile.files import whole
    real, calls = whole.Staged.write, []
    def write(self, name, data):
        calls.append(name)
        if len(calls) == 2:
            if when == "write, lost":  # a destructor that the signal comes into
                class Dying:
                    def __del__(self):
                        os.kill(os.getpid(), number)
                Dying()
                import time
                time.sleep(10)
            os.kill(os.getpid(), number)
        real(self, name, data)
    whole.Staged.write = write
sys.meta_path.insert(0, Finder())
for name in [name for name in sys.modules if name == when]:
    del sys.modules[name]
from netcompile.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize(
    ("sent", "when"),
    [
        *[
            (signal.SIGINT, when)
            for when in ("netcompile.cli.main", "argparse", "netcompile.cli.commands.build", "numpy", "torch", "write")
        ],
        (signal.SIGINT, "write, lost"),
        (signal.SIGTERM, "netcompile.cli.main"),
        (signal.SIGTERM, "write"),
        (signal.SIGTERM, "torch"),
        (signal.SIGHUP, "write"),
    ],
)
def test_signals(folder: Path, sent: signal.Signals, when: str) -> None:
    arguments = ["build", "net.prototxt", "-o", "out"]
    if when in ("torch", "numpy"):
        arguments = ["run", "net.prototxt", "--inputs", "in.npz", "--out", "out/o.npz"]
        np.savez(folder / "in.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    path = str(Path(main_module.__file__).parents[2])
    handled = "default_int_handler" if sent == signal.SIGINT else "SIG_DFL"
    program = f"import signal; signal.signal({int(sent)}, signal.{handled})\n{SENT}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(int(sent)), when, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if sent == signal.SIGINT:
        assert (done.returncode, done.stderr) == (130, "netcompile: interrupted\n")
    else:
        assert (done.returncode, done.stderr) == (-sent, "")
    assert not (folder / "out").exists()


def test_a_signal_that_is_ignored_stays_so(folder: Path) -> None:
    """As under nohup."""
    code, err = shell("trap '' HUP;", ["offsets", "net.prototxt"], "", folder)
    assert (code, err) == (0, "")
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{SENT}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(int(signal.SIGHUP)), "write", "build", "net.prototxt", "-o", "out"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(Path(main_module.__file__).parents[2])},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MemoryError(), "error: not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "error: not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "error: this is nested too deeply for Python's stack"),
        (ImportError("libgomp.so.1: failed to map segment"),
         "error: a part that this needs cannot be loaded: libgomp.so.1: failed to map segment"),
        (PermissionError(13, "Permission denied", "a/net.prototxt"), "error: a/net.prototxt: Permission denied"),
        (OSError(5, "Input/output error", "a", None, "b"), "error: a and b: Input/output error"),
        (FileNotFoundError(2, "No such file or directory"), "error: the current folder: No such file or directory"),
        (UnicodeEncodeError("ascii", "xé", 1, 2, "ordinal not in range"),
         "error: '\\xe9' cannot stand in the name of a file here, where names are ascii"),
    ],
)  # fmt: skip
def test_what_the_system_lacks_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    def fail(_: object) -> int:
        raise raised

    monkeypatch.setattr(main_module, "main", fail)
    assert entry(["offsets", "x"]) == 3
    assert capsys.readouterr().err == f"netcompile: {said}\n"


@pytest.mark.parametrize("command", ["offsets", "check", "inspect", "build", "upgrade"])
def test_a_file_that_may_not_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, command: str
) -> None:
    """Root may read everything, so the refusal is the tests' own; the folder that may not be entered as well."""
    net = str(folder / "net.prototxt")
    for name in ("stat", "lstat"):
        real = getattr(os, name)

        def refused(path: object, *more: object, real: object = real, **options: object) -> object:
            if path == net:
                raise PermissionError(13, "Permission denied", path)
            return real(path, *more, **options)  # type: ignore[operator]

        monkeypatch.setattr(os, name, refused)
    assert entry([command, net]) == 3
    assert capsys.readouterr().err == f"netcompile: error: {net}: Permission denied\n"


def test_an_argument_with_a_nul(capsys: pytest.CaptureFixture[str]) -> None:
    """No system passes one, but Python code may."""
    assert entry(["check", "a\0b"]) == 2
    assert (
        capsys.readouterr().err
        == "netcompile: error: an argument holds a NUL character, which no path and no name has\n"
    )
