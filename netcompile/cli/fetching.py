"""`fetch`: which files of a manifest are wanted, where they go, what they have to be, and what is said of them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from netcompile.cli.messages import say, show
from netcompile.cli.output import write_done
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.text import bytes_text
from netcompile.download.address import checked
from netcompile.download.record import NAME, Fetched, record, recorded
from netcompile.download.transfer import Digests, Manner, Wanted, digests, fetch, usable
from netcompile.files.look import is_file, is_folder, make_folder
from netcompile.files.named import below, special
from netcompile.files.resumed import Beginning, beginning
from netcompile.zoo.find import find_weights
from netcompile.zoo.published import Listed

PUBLISHER = "publisher"
ENDINGS = (".caffemodel", ".caffemodel.h5", ".h5", ".hdf5", ".binaryproto")  # of files that hold weights
_OTHER = "try again; if you trust that address, --sha256 HEX with the hash of its file accepts it"


@dataclass(frozen=True, slots=True)
class Hashes:
    """What the user says that a file has to be; "" where nothing."""

    sha1: str = ""
    sha256: str = ""

    def __bool__(self) -> bool:
        return bool(self.sha1 or self.sha256)


def chosen(names: Sequence[str], rows: Sequence[Listed], url: str | None) -> list[Listed]:
    """The entries that `names` name, each once; with `url`, a net of which nothing is listed may be named.

    A net is named by its name in the manifest, its definition, or its file. Raises NetError for a name of none.
    """
    found: list[Listed] = []
    for name in names:
        row = next((row for row in rows if name == row.name), None)
        row = row or next((row for row in rows if _means(name, row)), None)
        if row is None and url is not None:
            row = Listed(name, _last_part(url))
        if row is None:
            near = nearest(name, [row.name for row in rows], 3, 0.5)
            refuse("usage", f"the manifest lists no net '{name}'", remedy=did_you_mean(near, "netcompile fetch --list"))
        if row not in found:
            found.append(row)
    return found


def _means(name: str, row: Listed) -> bool:
    definition = name.removeprefix("prototxt/")
    folder, _, split = definition.partition("/")
    same = bool(row.net) and (folder, bool(split)) == (row.net.partition("/")[0], True)
    return same or name in (row.file, row.file.removesuffix(".caffemodel"))


def _last_part(url: str) -> str:
    return unquote(urlsplit(checked(url)).path.rpartition("/")[2])


def target_of(row: Listed, out: str | None, alone: bool) -> str:
    """The path that a file goes to: `out` itself where it names a file for one net `alone`, else in that folder.

    Raises NetError for a name that is none of a file of weights, leads elsewhere, or is taken by a device; OSError.
    """
    if out is not None and alone and not is_folder(out) and not out.endswith(os.sep):
        target = os.path.realpath(out) if os.path.islink(out) else out
        make_folder(os.path.dirname(target) or os.curdir)
    else:
        folder = os.path.join(out or "", "")
        make_folder(folder or os.curdir)
        target = _in_folder(row, folder)
    if kind := special(target):
        refuse("not-a-file", f"{target} is {kind}, not a file")
    return target


def _in_folder(row: Listed, folder: str) -> str:
    if os.path.basename(row.file) != row.file or row.file.startswith(".") or not row.file.endswith(ENDINGS):
        why = f"such a name ends in {', '.join(ENDINGS)}, and names no folder"
        refuse("manifest", f"'{row.file}' is no name of a file of weights", why=why, remedy="-o FILE says another")
    try:
        target = below(folder or os.curdir, row.file)
    except ValueError as error:
        refuse("path-outside", f"'{row.file}' of {row.name}: {error}")
    target = os.path.join(folder, row.file)
    if os.path.islink(target):
        why = "the manifest chose its name, and nothing is written through a link that was not asked for"
        refuse("path-outside", f"{target} is a link", why=why, remedy="-o FILE writes there; or remove the link")
    return target


def wanted_of(row: Listed, folder: str, file: str, url: str | None, given: Hashes, most: int) -> Wanted:
    """What is fetched, and what it has to be by the user, else the manifest, else the record of the folder.

    Another address than the manifest's own has to give what the publisher says, not what others wrote down.
    """
    wanted = Wanted(url or row.source, most=most)
    if given:
        why = "the file is damaged, or another one: ask where the hash is from"
        return replace(wanted, sha1=given.sha1, sha256=given.sha256, by="the command line", remedy=why)
    if url is None or row.hash_from == PUBLISHER:
        wanted = replace(wanted, size=row.bytes or None, by="the manifest")
        if row.sha1 or row.sha256:
            by = "the publisher" if row.hash_from == PUBLISHER else row.hash_from or "the manifest"
            return replace(wanted, sha1=row.sha1, sha256=row.sha256, by=by, remedy=_OTHER)
    first = recorded(folder, file, row.name)
    if first is None:
        return wanted
    by = f"{os.path.join(folder, NAME)}, written when it was fetched first,"
    return replace(wanted, sha256=first.sha256, by=by, remedy=_OTHER)


def say_bundled(row: Listed) -> bool:
    """Whether a file is part of netcompile and need not be fetched; says so."""
    if find_weights(row.file) is None:
        return False
    write_done(f"{row.file} is part of netcompile", *_next(row, row.file))
    return True


def fetch_one(row: Listed, target: str, url: str | None, given: Hashes, manner: Manner, most: int) -> None:
    """Fetch a file to its place, unless it is there; says what was written and what to do with it.

    Raises NetError, OSError.
    """
    folder, file = os.path.split(target)
    if not (url or row.source):
        remedy = f"put it at {target} yourself, or --url ADDRESS fetches it from there"
        refuse("download", f"{row.name}: no address of {row.file} is known", why=row.notes, remedy=remedy)
    with beginning(target, lambda: say(f"another run is fetching {target}: waiting for it")) as begun:
        wanted = wanted_of(row, folder, file, url, given, most)
        if wanted.judged and is_file(target):
            found = digests(target, f"checking {file}")
            if wanted.fits(found):
                write_done(f"{target} is there, {_as(wanted, found)}", *_next(row, target))
                return
        found = _fetched(wanted, begun, manner)
    listed = given or url is None or row.hash_from == PUBLISHER
    if not wanted.judged or (given and recorded(folder, file, row.name)):
        record(folder, file, Fetched(row.name, wanted.url, found.size, found.sha1, found.sha256))
    write_done(f"wrote {target} ({bytes_text(found.size)}), {_as(wanted, found)}", *_next(row, target))
    if not listed and not Wanted("", row.sha1, row.sha256).fits(found):
        what = f"{target} is not the file that {row.hash_from or 'the manifest'} knows under this name"
        why = f"that has {'SHA-256 ' + row.sha256 if row.sha256 else 'SHA-1 ' + row.sha1}"
        show([Diagnostic("download-hash", what, why=why, severity="warning")])


def _fetched(wanted: Wanted, begun: Beginning, manner: Manner) -> Digests:
    try:
        return fetch(wanted, begun, manner)
    except NetError:
        raise
    except BaseException:
        if kept := usable(checked(wanted.url), wanted, begun):
            say(f"{bytes_text(kept)} of {begun.target} are kept: the same command goes on from there")
        raise


def _as(wanted: Wanted, found: Digests) -> str:
    if not wanted.judged:
        return f"SHA-256 {found.sha256}: nobody gave one, so {NAME} has it now"
    kind = "SHA-256" if wanted.sha256 else "SHA-1"
    return f"{kind} as {wanted.by.rstrip(',')} says"


def _next(row: Listed, target: str) -> list[str]:
    """What one does with the file."""
    path = shlex.quote(target)
    if not row.net:
        return [f"next: netcompile convert-weights {path}"]
    return [f"next: netcompile build {shlex.quote(row.net)} --weights {path}"]
