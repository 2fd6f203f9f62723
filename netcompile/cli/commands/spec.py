"""Run a net.py written for pycaffe (NetSpec, layers, params, to_proto, coord_map), unchanged, without Caffe.

It is run in the current folder, so the files that it opens for writing appear here. This executes the code of the
file, with your rights: run only files that you trust.
"""

from __future__ import annotations

import argparse

from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import say
from netcompile.diagnostics.diagnostic import refuse
from netcompile.files.look import is_folder, is_there
from netcompile.spec.run import run_file


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="NET.PY", nargs="+", help="run in this order, each in its own namespace")


def run(arguments: argparse.Namespace) -> int:
    """A script's own non-zero sys.exit is the exit code; what it says with it goes to stderr, as in Python."""
    for path in arguments.files:
        if is_folder(path) or not is_there(path):
            what = f"'{path}' is a folder" if is_folder(path) else f"there is no file '{path}'"
            refuse("no-such-file", what, remedy="give the path of a net.py")
        try:
            run_file(path)
        except SystemExit as stop:
            if isinstance(stop.code, int):
                return stop.code
            if stop.code is not None:
                say(str(stop.code))
                return USAGE
    return DONE
