"""Options that several commands have, and the values that they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from netcompile.cli.weights_path import read_weights_path
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import listed
from netcompile.files.limits import memory_size
from netcompile.terminal import NORMAL, QUIET, VERBOSE

LEVEL = 1  # of optimisation, where none is asked for


def add_weights(parser: argparse.ArgumentParser, what: str = "", required: bool = False) -> None:
    """``--weights F``; `what` is said behind the kinds of files."""
    help = f"the .caffemodel or .caffemodel.h5{what}"
    parser.add_argument("--weights", metavar="F", required=required, help=help)


def add_verbosity(parser: argparse.ArgumentParser, **given: Any) -> None:
    """``-q`` and ``-v``, of every command and of the operations below it; `main` applies them."""
    group = parser.add_mutually_exclusive_group()
    quiet = "errors, warnings and the data that was asked for: no notes, no progress, nothing about what was written"
    group.add_argument("-q", "--quiet", action="store_true", help=quiet, **given)
    verbose = "every note, each of many alike; at the end the time and the memory that it took"
    group.add_argument("-v", "--verbose", action="store_true", help=verbose, **given)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for kind in dict.fromkeys(action.choices.values()):  # what is given before the operation is not forgotten
                add_verbosity(kind, default=argparse.SUPPRESS)


def verbosity_of(arguments: argparse.Namespace) -> int:
    """How much the command is to say, as `terminal.verbosity` takes it."""
    return QUIET if arguments.quiet else VERBOSE if arguments.verbose else NORMAL


def add_trust_edits(parser: argparse.ArgumentParser) -> None:
    """``--trust-edits``, of commands that take the folder of a build."""
    what = "take a build whose files were changed since as it is; its module is run"
    parser.add_argument("--trust-edits", action="store_true", help=what)


def edits_told(folder: str, edited: Sequence[str]) -> list[Diagnostic]:
    """A note with the files of a build that are not those that were built; none where there are none."""
    if not edited:
        return []
    names, are = listed([f"'{name}'" for name in edited]), "is" if len(edited) == 1 else "are"
    what = f"{folder}: {names} {are} not as built, and {are} trusted as asked for"
    return [Diagnostic("build-folder", what, severity="note")]


def add_optimise(parser: argparse.ArgumentParser, what: str = "optimisation") -> None:
    """``-O 0|1|2``."""
    parser.add_argument(
        "-O", dest="optimise", type=int, choices=(0, 1, 2), default=LEVEL, help=f"{what}, default {LEVEL}"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """``--engine``; with ``auto`` and no ``-O`` the level is 2, since that asks for speed (`level_of`)."""
    from netcompile.engines.catalogue import CHOICES, TORCH

    what = "what computes the net; auto: the fastest that is installed, measured once for this net and machine, at -O 2"
    parser.add_argument("--engine", choices=CHOICES, default=TORCH, help=f"{what}; default {TORCH}")
    parser.set_defaults(optimise=None)


def add_tune(parser: argparse.ArgumentParser) -> None:
    """``--tune``, which asks for speed as ``--engine auto`` does."""
    what = "the way of each convolution as it was measured for this net and machine, or is measured now; at -O 2"
    parser.add_argument("--tune", action="store_true", help=what)


def seconds_of(arguments: argparse.Namespace) -> float | None:
    """The seconds that ``--tune`` may measure, None without it."""
    from netcompile.runtime.tuning import SECONDS

    return SECONDS if arguments.tune else None


def level_of(arguments: argparse.Namespace) -> int:
    """What ``-O`` says, or what ``--engine`` and ``--tune`` imply, of a command that has them."""
    if arguments.optimise is not None:
        return int(arguments.optimise)
    return 2 if arguments.engine == "auto" or getattr(arguments, "tune", False) else LEVEL


def add_style(parser: argparse.ArgumentParser) -> None:
    """``--style blocks|flat``."""
    what = "a class for each part that repeats, or one for all; default: blocks where they save a quarter of the lines"
    parser.add_argument("--style", choices=("blocks", "flat"), help=what)


def add_max_memory(parser: argparse.ArgumentParser) -> None:
    """``--max-memory``, of every command that reads a net, data or weights; `main` applies it."""
    what = "what a file, or the net, may take: 2GB, 512MiB; default: half of what is free"
    parser.add_argument("--max-memory", type=_memory, metavar="SIZE", help=what)


def _memory(text: str) -> int:
    try:
        return memory_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_device(
    parser: argparse.ArgumentParser, dtypes: Sequence[str] = ("float32", "bfloat16", "float64"), what: str | None = None
) -> None:
    """``--device`` and ``--dtype``: where, and in which numbers, the net is computed."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=dtypes, default="float32", help=what)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def seed_number(text: str) -> int:
    """A whole number of 32 bits, as NumPy's generators take."""
    if not text.isascii() or not text.isdigit() or not int(text) < 1 << 32:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {(1 << 32) - 1}")
    return int(text)


def torch_seed(text: str) -> int:
    """A whole number of 64 bits, as torch's generators take."""
    try:
        number = int(text)
    except ValueError:
        number = 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 64 bits")
    return number


def weights_of(arguments: argparse.Namespace) -> str | None:
    """The path that ``--weights`` names, None where it is not given. Raises NetError where there is no such file."""
    return None if arguments.weights is None else read_weights_path(arguments.weights)


def device(name: str) -> str:
    """The device that ``--device`` names. Raises NetError where there is none of its kind."""
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            refuse("no-device", "no CUDA device can be used here", remedy="--device cpu")
    return name
