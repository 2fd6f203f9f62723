"""The arguments of ``python -m bench``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.architectures import NETS
from bench.arm import ARMS

COMPARISONS = ("fcn", "nets", "busy", "plan")
PARTS = ("tools", "build", "convert", *COMPARISONS)  # small processes first: a child's peak is at least its parent's
SIZES = ("500x500", "375x500", "224x224")
DTYPES = ("float32", "bfloat16")
WAITING = ("default", "passive", "active")
OUT = Path(__file__).resolve().parent.parent / "docs" / "performance"


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `nets` and `arms` are empty where each part has its own; `out` is None to print only."""

    parts: tuple[str, ...] = PARTS
    nets: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    sizes: tuple[str, ...] = SIZES
    dtypes: tuple[str, ...] = DTYPES
    waiting: tuple[str, ...] = WAITING[:2]
    threads: int = 2
    busy: int = 2
    rounds: int = 5
    quick: bool = False
    gpu: bool = False
    out: Path | None = OUT


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line; ends with 2 and a message where there is a mistake."""
    parser = _parser()
    given = parser.parse_args(arguments)
    quick = given.quick

    def chosen(name: str, known: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
        asked = getattr(given, name)
        if asked is None:
            return default
        found = []
        for word in asked.split(","):
            matches = [one for one in known if _plain(one) == _plain(word)]
            matches = matches or [one for one in known if _plain(word) and _plain(one).startswith(_plain(word))]
            if len(matches) != 1:
                parser.error(f"--{name}: {word!r} is none, or more than one, of {', '.join(known)}")
            found += matches
        return tuple(one for one in known if one in found)

    for name in ("threads", "busy", "rounds"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name}: at least 1")
    return Options(
        chosen("only", PARTS, PARTS if given.nets is None else COMPARISONS),
        chosen("nets", ("FCN-8s", *NETS), ("FCN-8s", "SqueezeNet 1.1") if quick else ()),
        chosen("arms", ARMS, ()),
        chosen("sizes", SIZES, SIZES[-1:] if quick else SIZES),
        chosen("dtypes", DTYPES, DTYPES[:1] if quick else DTYPES),
        chosen("waiting", WAITING, WAITING[:1] if quick else WAITING[:2]),
        given.threads,
        given.busy,
        given.rounds or (3 if quick else 5),
        quick,
        given.gpu,
        None if given.no_write else given.out,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Every measurement, as tables, as a JSON file for each machine, and as plots in docs/performance.",
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="small cases of each part, for a first look")
    only = f"of {', '.join(PARTS)} (default: all; with --nets the last four)"
    parser.add_argument("--only", metavar="PARTS", help=only)
    parser.add_argument(
        "--nets", metavar="NAMES", help=f"of FCN-8s, {', '.join(NETS)}; the beginning of a name will do"
    )
    parser.add_argument("--arms", metavar="NAMES", help=f"of {', '.join(ARMS)}")
    parser.add_argument("--sizes", metavar="SIZES", help=f"of FCN-8s: of {', '.join(SIZES)}")
    parser.add_argument("--dtypes", metavar="TYPES", help=f"of FCN-8s: of {', '.join(DTYPES)}")
    parser.add_argument(
        "--waiting", metavar="KINDS", help=f"of OpenMP: of {', '.join(WAITING)} (default: the first two)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: one for each CPU")
    parser.add_argument(
        "--busy", type=int, default=2, metavar="N", help="processes beside in the part busy (default 2)"
    )
    parser.add_argument("--rounds", type=int, help="turns of each arm (default 5, quick 3)")
    parser.add_argument("--gpu", action="store_true", help="the rows for a GPU alone, which are printed only")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default: docs/performance")
    parser.add_argument("--no-write", action="store_true", help="print only")
    return parser


def _plain(name: str) -> str:
    """
    >>> _plain("SqueezeNet 1.1")
    'squeezenet11'
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())
