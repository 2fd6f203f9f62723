"""The entry point: which command, which exit code, and a plain message for everything that goes wrong."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn

from netcompile.cli import plain
from netcompile.cli.codes import BUG, DONE, INTERRUPTED, IO_FAILED, USAGE
from netcompile.diagnostics.diagnostic import NetError, visible
from netcompile.version import __version__

# Name → one line of help. The module of a command has its name, with "_" for "-".
COMMANDS = {
    "build": "compile a net: standalone module, weights, offset report, all in one folder",
    "offsets": "where each crop starts, where it has to start, and for which input sizes it is legal",
    "inspect": "layers with exact shapes, parameters, cost, receptive field, stride and offset",
    "check": "every finding about a net, each with its place in the file",
    "repad": "the least padding for which every crop stays legal, and the offsets that follow",
    "convert-weights": "caffemodels (.caffemodel, .caffemodel.h5) to .safetensors",
    "run": "compile in memory, run on arrays from an .npz file, save blobs",
    "predict": "segment images: label maps, overlays, probabilities",
    "evaluate": "score a net on a labelled data set, as the FCN reference code does",
    "time": "forward and backward time of every layer",
    "verify": "compare a net blob by blob with a reference",
    "surgery": "rework nets and weights: convolutionalise, transplant, interp, expand-score",
    "spec": "run a net.py written for pycaffe, which writes its prototxts",
    "train": "train a net as Caffe's solvers do",
    "upgrade": "print a net of an old format (V0, V1) in the format of today (V2)",
    "explain": "what an error code means, with an example",
}
FOOT = """\
NET is a path, "-" for standard input, or the name of a bundled definition such as voc-fcn8s/val.prototxt.
netcompile COMMAND --help says more about a command.
exit codes: 0 done, 1 findings, 2 usage or bad input, 3 input or output failed, 70 a bug, 130 interrupted"""


def entry(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises, whatever the user or the disk does."""
    tolerate_any_text()
    if arguments is None:
        gc.set_threshold(100_000, 50, 50)  # a short command makes no garbage worth a search: a tenth of its time
    try:
        code = main(sys.argv[1:] if arguments is None else list(arguments))
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # here, where a full disk can still be reported
        if arguments is None:
            gc.freeze()  # nor is the end of the process the time to look for it
        return code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has what it wanted
        silence()
        return DONE
    except OSError as error:
        silence()
        say(f"error: {reason(error)}")
        return IO_FAILED
    except MemoryError:
        say("error: not enough memory")
        return IO_FAILED
    except Exception as error:
        return bug(error)


def main(arguments: list[str]) -> int:
    """Parse and run; raises what the command raises, except NetError and argparse's exits."""

    try:
        if not arguments or arguments[0] not in COMMANDS:
            return top_level(arguments)
        from importlib import import_module

        name = arguments[0]
        command = import_module(f"netcompile.cli.{name.replace('-', '_')}")
        found: Any = plain.read(command.configure, arguments[1:])
        if found is None:
            parser = parser_class()(prog=f"netcompile {name}", description=command.__doc__, allow_abbrev=False)
            command.configure(parser)
            found = parser.parse_args(arguments[1:])
        code = command.run(found)
        assert isinstance(code, int)
        return code
    except NetError as error:
        from netcompile.cli.messages import show

        show(error.diagnostics)
        return USAGE
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a mistake
        return stop.code if isinstance(stop.code, int) else USAGE


def top_level(arguments: list[str]) -> int:
    """What is said without a command: --help, --version, or that there is no such command."""

    parser = parser_class()(
        prog="netcompile",
        description="Compiles Caffe nets to PyTorch, without Caffe.",
        usage="netcompile COMMAND …",
        epilog=FOOT,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"netcompile {__version__}")
    commands = parser.add_argument_group("commands")
    for name, summary in COMMANDS.items():
        commands.add_argument(f"command-{name}", metavar=name, nargs="?", help=summary)
    if not arguments:
        parser.print_help(sys.stderr)
        return USAGE
    if arguments[0].startswith("-"):
        parser.parse_args(arguments[:1])
    if arguments[0] == "help":
        return main([*arguments[1:2], "--help"])

    near = get_close_matches(arguments[0], COMMANDS, 1)
    known = f"did you mean '{near[0]}'?" if near else f"commands are: {', '.join(COMMANDS)}"
    say(f"error: no command {arguments[0]!r}; {known}")
    return USAGE


def parser_class() -> type[argparse.ArgumentParser]:
    """argparse's parser, its mistakes told in this program's words; imported here, because it costs time."""

    class Parser(argparse.ArgumentParser):
        def __init__(self, **options: object) -> None:
            super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]

        def error(self, message: str) -> NoReturn:
            say(f"error: {message}")
            say(f"see {self.prog} --help")
            raise SystemExit(USAGE)

    return Parser


def reason(error: OSError) -> str:
    """An operating system's refusal in one line: what, and about which file."""
    what = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(names)}: {what}" if names else what


def say(text: str) -> None:
    """One line on stderr."""

    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"netcompile: {visible(text)}", file=sys.stderr, flush=True)


def bug(error: Exception) -> int:
    """A mistake of this program: keep the traceback where it can be found, and ask for it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
    say(f"internal error: {what}")
    if os.environ.get("NETCOMPILE_TRACEBACK"):
        print(text, file=sys.stderr)
        say("this is a bug of netcompile: please report it with the traceback above")
        return BUG
    import tempfile

    try:
        descriptor, path = tempfile.mkstemp(prefix="netcompile-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        say("this is a bug of netcompile: please report it; NETCOMPILE_TRACEBACK=1 shows the traceback")
    else:
        say(f"this is a bug of netcompile: please report it with the traceback in {path}")
    return BUG


def tolerate_any_text() -> None:
    """Characters that the terminal's encoding lacks are printed as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def silence() -> None:
    """Send what is left in the buffers nowhere: the interpreter would fail on it once more when it ends."""

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
