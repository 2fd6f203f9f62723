"""The program as the system starts it: signals from the first import on, streams that are closed, and the exit code.

Little is imported here before signals are listened to, so that an interrupt leaves no traceback.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

IO_FAILED, INTERRUPTED = 3, 130  # as in `exit_codes`, which is not imported yet where they are needed
LIGHT = frozenset(["build", "check", "explain", "inspect", "offsets", "upgrade"])  # computes no tensor with torch
ENDING = "SIGTERM", "SIGHUP"
received: list[int] = []  # signals that asked this program to end


class Ended(BaseException):
    """SIGTERM or SIGHUP: what is half done is undone on the way out, then the process ends by that signal."""


def run(entry: Callable[[list[str]], int]) -> int:
    """Let `entry` run the command that the process was started with; returns the exit code and never raises."""
    code = IO_FAILED
    try:
        try:
            listen()
            open_streams()
            search_less(sys.argv[1:])
            code = entry(sys.argv[1:])
            silence()
            gc.freeze()  # nor is the end of the process the time to look for it
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done: nothing is left to interrupt
    except KeyboardInterrupt:
        code = INTERRUPTED
        _say("interrupted")
    except Ended:
        pass
    except (ImportError, MemoryError, OSError, RuntimeError) as error:  # of this program's own files
        _say(f"error: netcompile cannot be loaded: {str(error) or type(error).__name__}")
    for number in _numbers(ENDING):
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)
            if number in received:
                os.kill(os.getpid(), number)
    if code == INTERRUPTED:
        _leave(code)
    return code


def search_less(arguments: list[str]) -> None:
    """A short command makes no cycles worth a search, which takes a tenth of its time; without torch it makes few."""
    if LIGHT.isdisjoint(arguments[:2]) or "--onnx" in arguments:
        gc.set_threshold(100_000, 50, 50)
    else:
        gc.disable()


def _leave(code: int) -> None:
    """End the process now: an interrupt during `exec` of a text is unhandled to Python, which would forget the code."""
    import atexit

    atexit._run_exitfuncs()
    os._exit(code)


def listen() -> None:
    """Let SIGINT, SIGTERM and SIGHUP come as exceptions; what is ignored (nohup) stays so.

    Under torchrun SIGTERM ends the process at once: there it waits for others inside of a call that no handler reaches.
    """
    for number in _numbers(("SIGINT", *(() if "TORCHELASTIC_RUN_ID" in os.environ else ENDING))):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)
    sys.unraisablehook = _lost


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _end(number: int, frame: FrameType | None) -> None:
    received.append(number)
    if getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False):
        # torch's C++ ends the process with a message of its own if an exception comes while it is imported.
        if number == signal.SIGINT:
            _say("interrupted")
            os._exit(INTERRUPTED)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    raise KeyboardInterrupt if number == signal.SIGINT else Ended


def _lost(unraisable: Any) -> None:
    """A destructor cannot raise, so Python reports what it does and goes on: a signal that came then comes again."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt | Ended):
        sys.__unraisablehook__(unraisable)
    elif hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda number, frame: _end(received[-1], frame))
        signal.setitimer(signal.ITIMER_REAL, 0.002)


def open_streams() -> None:
    """Give the descriptors 0 to 2 something where they are closed, and Python its streams.

    A file opened later would get such a number, and a library's warnings would be written into it. Reading a closed
    standard input and writing to a closed standard output fail, as they do in other programs; messages go nowhere.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_WRONLY)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def silence() -> None:
    """Send what is left in the buffers nowhere: the interpreter would fail on it once more when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            try:
                stream.flush()
            except OSError:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
        except (OSError, ValueError, AttributeError):
            pass


def _say(text: str) -> None:
    try:  # noqa: SIM105 (contextlib is not loaded yet)
        print(f"netcompile: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass
