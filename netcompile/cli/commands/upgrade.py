"""Print a net of an old format (V0 or V1) in the format of today (V2), by Caffe's own rules."""

from __future__ import annotations

import argparse

from netcompile.cli.exit_codes import DONE
from netcompile.cli.messages import show
from netcompile.cli.net_options import NET_HELP
from netcompile.cli.netinput import read_source
from netcompile.cli.options import add_max_memory
from netcompile.cli.output import write_text
from netcompile.prototxt.load import load_net
from netcompile.prototxt.printer import to_text


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_max_memory(parser)


def run(arguments: argparse.Namespace) -> int:
    """Text on stdout, what was changed on stderr."""
    loaded = load_net(read_source(arguments.net))
    write_text(to_text(loaded.net))
    show(loaded.notes)
    return DONE
