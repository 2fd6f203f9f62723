"""The entry point: runs a command, and turns everything that can go wrong into a message and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from netcompile.algebra.effort import bounded
from netcompile.cli.command_line import command_module, command_names, command_parser, list_of_commands
from netcompile.cli.exit_codes import BUG, DONE, INTERRUPTED, IO_FAILED, USAGE
from netcompile.cli.messages import say, show
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.nearest import did_you_mean, nearest

# What torch says in a RuntimeError where memory lacks.
NO_MEMORY = "out of memory", "can't allocate memory", "Storage size calculation overflowed"


def entry(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises, whatever the user or the disk does."""
    tolerate_any_text()
    if arguments is None:
        gc.set_threshold(100_000, 50, 50)  # a short command makes no garbage worth a search: a tenth of its time
    try:
        code = main(sys.argv[1:] if arguments is None else arguments)
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
        if isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY):
            say("error: not enough memory")
            return IO_FAILED
        return bug(error)


def main(arguments: Sequence[str]) -> int:
    """Parse and run; raises what the command raises, except NetError and argparse's exits."""
    try:
        if not arguments or arguments[0] not in command_names():
            return top_level(arguments)
        found = command_parser(arguments[0]).parse_args(arguments[1:])
        with bounded():
            code = command_module(arguments[0]).run(found)
        assert isinstance(code, int)
        return code
    except NetError as error:
        show(error.diagnostics)
        return USAGE
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a mistake
        return stop.code if isinstance(stop.code, int) else USAGE


def top_level(arguments: Sequence[str]) -> int:
    """What is said without a command: --help, --version, or that there is no such command."""
    if not arguments:
        list_of_commands().print_help(sys.stderr)
        return USAGE
    if arguments[0].startswith("-"):
        list_of_commands().parse_args(arguments[:1])
    if arguments[0] == "help":
        return main([*arguments[1:2], "--help"])
    names = command_names()
    known = did_you_mean(nearest(arguments[0], names), f"commands are: {', '.join(names)}")
    say(f"error: no command {arguments[0]!r}; {known}")
    return USAGE


def reason(error: OSError) -> str:
    """An operating system's refusal in one line: what, and about which file."""
    what = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(names)}: {what}" if names else what


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
