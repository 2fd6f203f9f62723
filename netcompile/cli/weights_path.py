"""The file of weights that a user names."""

from __future__ import annotations

import os
import shlex

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import listed
from netcompile.files.look import is_folder, is_there


def read_weights_path(name: str) -> str:
    """The path of a caffemodel, a bundled one included. Raises NetError where there is none."""
    if is_folder(name):
        inside = sorted(entry for entry in os.listdir(name) if entry.endswith((".caffemodel", ".h5")))
        why = f"it holds {listed(inside)}" if inside else ""
        remedy = f"give {'one of them' if inside[1:] else os.path.join(name, inside[0])}" if inside else ""
        refuse("no-such-file", f"'{name}' is a folder, not a caffemodel", why=why, remedy=remedy)
    if is_there(name):
        return name
    from netcompile.zoo.find import find_weights  # as above

    path = find_weights(name) if name else None
    if path is None:
        refuse("no-such-file", f"there is no file '{name}'", remedy=_weights_remedy(name))
    return str(path)


def _weights_remedy(name: str) -> str:
    from netcompile.zoo.published import published  # what reads TOML, for this message alone

    row = published(os.path.basename(name))
    if row is None or not row.source:
        return "give the path of a .caffemodel"
    folder = os.path.dirname(name)
    return f"netcompile fetch {row.name}{f' -o {shlex.quote(folder)}/' if folder else ''} downloads it"
