"""Paths that a file names: what may be read there, and where may be written.

A net, a solver, a list or a manifest may come from a stranger. What it names is read wherever it lies, with the user's
own rights, but only from regular files: a pipe would wait for ever, a device never ends. What it names is written only
below the folder that the user gave. docs/paths.md lists every such path.
"""

from __future__ import annotations

import os
import re
import stat

from netcompile.diagnostics.diagnostic import Diagnostic

LONGEST = 200  # bytes of a name: what is put behind it fits into the 255 of most file systems

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def remote(name: str) -> Diagnostic | None:
    """What is said where a URL is given for a file, None for any other name: nothing is read from the network.

    >>> print(remote("https://example.org/fcn8s.caffemodel"))
    error[no-such-file]: 'https://example.org/fcn8s.caffemodel' is a URL, and files are read from this machine alone
      fix: download it first: netcompile fetch knows published weights
    >>> print(remote("file:///nets/a.prototxt").remedy)
    give the path: /nets/a.prototxt
    """
    if _URL.match(name) is None:
        return None
    remedy = "download it first: netcompile fetch knows published weights"
    if name[:7].lower() == "file://":
        remedy = f"give the path: {name[7:]}"
    return Diagnostic("no-such-file", f"'{name}' is a URL, and files are read from this machine alone", remedy=remedy)


def special(path: str | os.PathLike[str]) -> str:
    """What a path leads to that is neither a file nor a folder: "a pipe", "a device", "a socket"; "" for all else.

    >>> special("/dev/null"), special("/"), special("there is nothing of this name"), special("\\0")
    ('a device', '', '', '')
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((what for is_kind, what in _KINDS if is_kind(mode)), "")


def is_long(name: str) -> bool:
    """Whether a part of a path has more bytes than the name of an output may have. Raises UnicodeError.

    >>> is_long("a/" + 200 * "b"), is_long("a/" + 201 * "b")
    (False, True)
    """
    return any(len(os.fsencode(part)) > LONGEST for part in name.split(os.sep))


def below(folder: str, name: str) -> str:
    """The path that `name` has in `folder`. Raises ValueError where links, "..", or a root lead out of it, or where no
    file can have that name; the error says why.

    >>> below("out", "a/../b/c")
    'out/b/c'
    >>> below("out", "../b")
    Traceback (most recent call last):
    ValueError: it leads out of the folder 'out'
    """
    try:
        if "\0" in name or is_long(name):
            raise ValueError("it holds a NUL" if "\0" in name else f"a name in it is longer than {LONGEST} bytes")
    except UnicodeError:
        raise ValueError("it holds a character that no path can hold") from None
    head, stem = os.path.split(os.path.join(folder, name))
    path = os.path.join(os.path.normpath(head) if head else "", stem)
    root, place = os.path.realpath(folder), os.path.realpath(os.path.dirname(path))
    if stem == os.pardir or os.path.commonpath((root, place)) != root:
        raise ValueError(f"it leads out of the folder '{folder}'")
    return path
