"""`convert-weights --manifest`: every caffemodel of a manifest.toml that lies beside it, against its net."""

from __future__ import annotations

import argparse
import os
import tomllib
from dataclasses import dataclass, fields
from typing import Any

from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import say_lines, show
from netcompile.cli.netinput import analyse_net, read_source
from netcompile.cli.output import write_lines
from netcompile.cli.weights import convert_one, target_name
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.named import special
from netcompile.files.reading import read_bytes

_MANIFEST = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """One ``[[weights]]`` of a manifest; `source` is "" where the file is part of the project."""

    name: str
    net: str
    file: str
    source: str


def read_manifest(path: str) -> tuple[Listed, ...]:
    """The entries of a manifest. Raises NetError with everything that is wrong with it, OSError."""
    if not os.path.lexists(path):
        refuse("no-such-file", f"there is no file '{path}'", remedy="--manifest weights/manifest.toml")
    try:
        table: dict[str, Any] = tomllib.loads(read_bytes(path, _MANIFEST).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of many digits and a byte that is no UTF-8 are the former
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:300]
        refuse("manifest", f"{path} is no TOML file", why=why)
    rows = table.get("weights")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        refuse("manifest", f"{path} has no [[weights]] tables")
    keys = [field.name for field in fields(Listed)]
    found, problems = [], []
    for number, row in enumerate(rows, 1):
        values = {"name": None, "net": None, "file": None, "source": "", **row}
        wrong = [key for key in keys if not isinstance(values[key], str)]
        if wrong:
            what = f"{path}: [[weights]] number {number} has no text for {', '.join(wrong)}"
            problems.append(Diagnostic("manifest", what))
        else:
            found.append(Listed(**{key: str(values[key]) for key in keys}))
    if problems:
        raise NetError(problems)
    return tuple(found)


def convert_manifest(arguments: argparse.Namespace) -> int:
    """Convert what is there; list what is not, with where to fetch it and where to put it."""
    folder = os.path.dirname(arguments.manifest)
    absent, present, code = [], 0, DONE
    for row in read_manifest(arguments.manifest):
        path = os.path.join(folder, row.file)
        if not os.path.exists(path) or not row.file:
            absent.append((row, path))
            continue
        present += 1
        try:
            if special(row.net) or row.net == "-":
                refuse("manifest", f"the net '{row.net}' of {row.name} is no file")
            net = analyse_net(arguments, read_source(row.net))
            convert_one(arguments, path, os.path.join(folder, target_name(path)), net)
        except NetError as error:
            say_lines(f"{row.name} ({path}) was not converted:")
            show(error.diagnostics)
            code = USAGE
    if absent:
        write_lines(f"{len(absent)} of {len(absent) + present} caffemodels are absent. To convert one, fetch it:")
        for row, path in absent:
            write_lines(f"  {row.name}: {row.source or 'no source is known'}", f"    save as {path}")
        write_lines("and run this again.")
    return code
