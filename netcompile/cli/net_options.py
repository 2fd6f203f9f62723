"""The argument NET and the options that all commands on nets share."""

from __future__ import annotations

import argparse
import re

NET_HELP = 'a prototxt: a path, "-" for standard input, or a bundled name such as voc-fcn8s/val.prototxt'


def add_net(parser: argparse.ArgumentParser) -> None:
    """NET and the common options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which of a file's layers take part, the shapes of its inputs, and how crops are resolved."""
    group = parser.add_argument_group("how the net is read")
    group.add_argument("--phase", type=str.lower, choices=("test", "train"), default="test", help="default: test")
    group.add_argument("--stage", action="append", default=[], metavar="S", help="a stage that is on (repeatable)")
    group.add_argument("--level", type=int, default=0, metavar="N", help="level of the net's state, default 0")
    group.add_argument(
        "--crop-offsets",
        choices=("auto", "declared", "inferred"),
        default="auto",
        help="auto: the file's offsets, inferred where it declares none (default)",
    )
    group.add_argument(
        "--input",
        action="append",
        default=[],
        type=named_shape,
        metavar="NAME=1x3x500x500",
        help="shape of an input, or of a data layer's top (repeatable)",
    )
    group.add_argument("--with-loss", action="store_true", help="keep labels, losses and metrics")
    group.add_argument("--allow-unknown", action="store_true", help="keep layers of unknown type as stubs")
    group.add_argument("--round-crops", action="store_true", help="round crop offsets between two pixels down")


def add_output(parser: argparse.ArgumentParser, what: str = "a blob that counts as an output") -> None:
    """``--output BLOB``."""
    parser.add_argument(
        "--output", action="append", metavar="BLOB", help=f"{what} (repeatable); default: the net's outputs"
    )


def named_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``data=1x3x500x500`` as a name and a shape; the name may hold anything, "=" as well."""
    name, equals, dims = text.rpartition("=")
    if not equals or not name or not re.fullmatch(r"[0-9]{1,9}([x×][0-9]{1,9})*", dims, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=1x3x500x500")
    shape = tuple(map(int, re.split("[x×]", dims)))
    if min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has an extent that is not positive")
    return name, shape
