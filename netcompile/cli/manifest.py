"""`convert-weights --manifest`: every caffemodel of a manifest.toml that lies beside it, against its net."""

from __future__ import annotations

import argparse
import os

from netcompile.caffemodel.remarks import target_name
from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import say_lines, show
from netcompile.cli.netinput import analyse_net, read_source
from netcompile.cli.output import write_lines
from netcompile.cli.weights import convert_one
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.files.look import is_file
from netcompile.files.named import special
from netcompile.zoo.published import read_manifest


def convert_manifest(arguments: argparse.Namespace) -> int:
    """Convert what is there; list what is not, with where to fetch it and where to put it."""
    folder = os.path.dirname(arguments.manifest)
    absent, present, code = [], 0, DONE
    for row in read_manifest(arguments.manifest):
        path = os.path.join(folder, row.file)
        if not is_file(path):
            absent.append((row, path))
            continue
        present += 1
        try:
            if special(row.net) or row.net == "-":
                refuse("manifest", f"the net '{row.net}' of {row.name} is no file")
            net = analyse_net(arguments, read_source(row.net)) if row.net else None
            convert_one(arguments, path, os.path.join(folder, target_name(path)), net)
        except NetError as error:
            say_lines(f"{row.name} ({path}) was not converted:")
            show(error.diagnostics)
            code = USAGE
    if absent:
        write_lines(f"{len(absent)} of {len(absent) + present} caffemodels are absent. To convert one, fetch it:")
        for row, path in absent:
            source = row.source or "no source is known" + (f"; {row.notes}" if row.notes else "")
            write_lines(f"  {row.name}: {source}", f"    save as {path}")
        write_lines("and run this again.")
    return code
