"""The entry point: runs a command, and turns everything that can go wrong into a message and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from errno import EBADF, ENOENT
from resource import RUSAGE_SELF, getrusage
from time import monotonic

from netcompile.algebra.effort import bounded
from netcompile.cli.command_line import command_module, command_names, command_parser, list_of_commands
from netcompile.cli.exit_codes import BUG, DONE, INTERRUPTED, IO_FAILED, USAGE
from netcompile.cli.messages import say, show
from netcompile.cli.options import verbosity_of
from netcompile.cli.program import received, silence
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.text import bytes_text
from netcompile.files.limits import max_memory
from netcompile.files.look import is_there
from netcompile.files.named import remote
from netcompile.terminal import about_stdout, guarded, is_verbose, verbosity, write_error

# What torch says in a RuntimeError where memory lacks.
NO_MEMORY = "out of memory", "can't allocate memory", "Storage size calculation overflowed"
NAMELESS = {EBADF: "standard input or output is closed", ENOENT: "the current folder"}  # who else has no file name


def entry(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code and never raises, whatever the user or the disk does."""
    with guarded():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    tolerate_any_text()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged images: what matters is told as a finding
    try:
        code = main(arguments)
        if sys.stdout is not None:
            with about_stdout():
                sys.stdout.flush()  # here, where a full disk can still be reported
        silence()
        return code
    except KeyboardInterrupt:
        return interrupted()
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
    except RecursionError:
        say("error: this is nested too deeply for Python's stack")
        return IO_FAILED
    except ImportError as error:  # a package that is missing, or a library that the system's limits do not let in
        say(f"error: a part that this needs cannot be loaded: {error}")
        return interrupted() if received else IO_FAILED
    except UnicodeEncodeError as error:
        what = ascii(error.object[error.start : error.end])
        say(f"error: {what} cannot stand in the name of a file here, where names are {error.encoding}")
        return IO_FAILED
    except Exception as error:
        if received:  # a library made something else of it
            return interrupted()
        if isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY):
            say("error: not enough memory")
            return IO_FAILED
        return bug(error)


def interrupted() -> int:
    """What an interrupt leaves to say."""
    say("interrupted")
    return INTERRUPTED


def main(arguments: Sequence[str]) -> int:
    """Parse and run; raises what the command raises, except NetError and argparse's exits."""
    if any("\0" in argument for argument in arguments):  # the system passes none, Python code may
        say("error: an argument holds a NUL character, which no path and no name has")
        return USAGE
    try:
        if not arguments or arguments[0] not in command_names():
            return top_level(arguments)
        found = command_parser(arguments[0]).parse_args(arguments[1:])
        with verbosity(verbosity_of(found)), bounded(), max_memory(getattr(found, "max_memory", None)):
            return _told(arguments[0], found)
    except NetError as error:
        show(error.diagnostics)
        return USAGE
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a mistake
        return stop.code if isinstance(stop.code, int) else USAGE


def _told(name: str, found: Namespace) -> int:
    """Run a command, and say what it took if that is asked for; NetError is told here, as briefly or fully as asked."""
    started = monotonic()
    try:
        _refuse_urls(found)
        code = command_module(name).run(found)
    except NetError as error:
        show(error.diagnostics)
        code = USAGE
    assert isinstance(code, int)
    if is_verbose():
        peak = getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        say(f"{name} took {monotonic() - started:.2f} s and at most {bytes_text(peak)} of memory")
    return code


def _refuse_urls(found: Namespace) -> None:
    """Raises NetError where a URL stands for a file: for no command but one with --url does a URL mean anything."""
    if "url" in found:
        return
    for value in vars(found).values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (wrong := remote(text)) is not None and not is_there(text):
                raise NetError(wrong)


def top_level(arguments: Sequence[str]) -> int:
    """What is said without a command: --help, --version, or that there is no such command."""
    if not arguments:
        list_of_commands().print_help(sys.stderr)
        return USAGE
    if arguments[0] in ("-q", "--quiet", "-v", "--verbose") and len(arguments) > 1:  # before the command, too
        return main([arguments[1], arguments[0], *arguments[2:]])
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
    if error.filename is None and error.errno in NAMELESS:
        return f"{NAMELESS[error.errno]}: {what}"
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(names)}: {what}" if names else what


def bug(error: Exception) -> int:
    """A mistake of this program: keep the traceback where it can be found, and ask for it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
    say(f"internal error: {what}")
    if os.environ.get("NETCOMPILE_TRACEBACK"):
        write_error(text)
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
