"""Download published caffemodels: whole, checked, and gone on with where it was interrupted.

netcompile fetch voc-fcn8s
netcompile fetch vgg16 googlenet -o weights/
netcompile fetch --list

A net is named as the manifest does, by its bundled definition, or by its file. A file is checked against the hash that
its publisher gave; where none did, its own is recorded in fetched.json beside it, and a later download has to be the
same. What was received is kept if the download ends too early, and the same command goes on from there; a file that is
there is replaced by a whole and right one only. Proxies are taken from http_proxy, https_proxy and no_proxy.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from netcompile.cli.exit_codes import DONE, IO_FAILED
from netcompile.cli.fetching import Hashes, chosen, fetch_one, say_bundled, target_of
from netcompile.cli.messages import say, show
from netcompile.cli.options import positive
from netcompile.cli.output import write_lines, write_text
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.diagnostics.text import bytes_text
from netcompile.download.address import checked
from netcompile.download.transfer import MOST, RETRIES, TIMEOUT, Manner
from netcompile.files.limits import memory_size
from netcompile.report.table import table
from netcompile.zoo.find import find_weights
from netcompile.zoo.published import HASHES, Listed, bundled_manifest, is_hash, read_manifest


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nets", metavar="NET", nargs="*", help="names of the manifest, or of bundled definitions")
    parser.add_argument("--all", action="store_true", help="everything that the manifest has an address of")
    parser.add_argument("--list", action="store_true", help="what there is; with NET, all that is known of it")
    parser.add_argument("-o", dest="out", metavar="OUT", help="a file for one NET, else a folder; default: here")
    parser.add_argument("--url", metavar="ADDRESS", help="fetch the file of one NET from another address")
    parser.add_argument("--sha1", type=_sha1, metavar="HEX", help="what the file of one NET has to be")
    parser.add_argument("--sha256", type=_sha256, metavar="HEX", help="the same, and the better hash")
    parser.add_argument("--manifest", metavar="FILE", help="another manifest.toml than the bundled one")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", default=TIMEOUT, help=f"seconds without an answer, default {TIMEOUT:g}"
    )
    parser.add_argument("--retries", type=_count, metavar="N", default=RETRIES, help="further attempts, default 4")
    what = f"bytes of a file whose size is not known, default {MOST}: Caffe reads no larger one"
    parser.add_argument("--max-bytes", type=_size, metavar="SIZE", default=MOST, help=what)


def run(arguments: argparse.Namespace) -> int:
    """All nets are tried; exit code 3 if one of them could not be fetched."""
    rows = read_manifest(arguments.manifest or bundled_manifest())
    if arguments.list:
        _list(chosen(arguments.nets, rows, None) if arguments.nets else rows, bool(arguments.nets))
        return DONE
    given = Hashes(arguments.sha1 or "", arguments.sha256 or "")
    found = _wanted(arguments, rows, given)
    alone = len(found) == 1 and not arguments.all
    wanted = [row for row in found if row.source or arguments.url or not say_bundled(row)]
    targets = [target_of(row, arguments.out, alone) for row in wanted]
    manner = Manner(say, arguments.timeout, arguments.retries)
    code = DONE
    for row, target in zip(wanted, targets, strict=True):
        try:
            fetch_one(row, target, arguments.url, given, manner, arguments.max_bytes)
        except NetError as problem:
            show(problem.diagnostics)
            code = IO_FAILED
    return code


def _wanted(arguments: argparse.Namespace, rows: Sequence[Listed], given: Hashes) -> list[Listed]:
    """The files to fetch, each once. Raises NetError."""
    url = arguments.url
    if arguments.all:
        if arguments.nets or url is not None or given:
            refuse("usage", "--all says itself which nets: give neither NET, --url nor a hash")
        found = [row for row in rows if row.source]
    elif not arguments.nets:
        refuse("usage", "which nets? netcompile fetch NET…", remedy="netcompile fetch --list says which there are")
    else:
        if url is not None:
            checked(url)
        found = chosen(arguments.nets, rows, url)
    if len(found) > 1 and (url is not None or given):
        refuse("usage", "--url, --sha1 and --sha256 are about one NET")
    for row in found:
        if row.source:
            checked(row.source)
    files: dict[str, Listed] = {}
    for row in found:
        files.setdefault(row.file, row)  # nets may share a file
    return list(files.values())


def _list(rows: Sequence[Listed], whole: bool) -> None:
    if not whole:
        body = [(row.name, _hash_of(row), _licence_of(row), "yes" if row.source else "no") for row in rows]
        write_text(table(("net", "hash by", "licence", "address"), body) + "\n")
        write_lines("", "netcompile fetch --list NET says all that is known of one.")
        return
    for row in rows:
        source = row.source or ("none is known" if find_weights(row.file) is None else "none: it is part of netcompile")
        facts = {
            "definition": row.net or "none is bundled",
            "file": row.file,
            "address": source,
            "size": bytes_text(row.bytes) if row.bytes else "",
            "SHA-1": row.sha1 or "not known",
            "SHA-256": row.sha256,
            "hash from": row.hash_from,
            "licence": row.licence or "not known",
            "notes": row.notes,
        }
        write_lines(row.name, *(f"  {name}: {fact}" for name, fact in facts.items() if fact))


def _hash_of(row: Listed) -> str:
    if not (row.sha1 or row.sha256):
        return "-"
    return row.hash_from.partition(" (")[0] or "manifest"


def _licence_of(row: Listed) -> str:
    return "see its page" if row.licence.startswith("see ") else row.licence or "not known"


def _sha1(text: str) -> str:
    return _hash(text, "sha1")


def _sha256(text: str) -> str:
    return _hash(text, "sha256")


def _hash(text: str, kind: str) -> str:
    if not is_hash(text.lower(), kind):
        raise argparse.ArgumentTypeError(f"{text!r} is not {HASHES[kind]} hexadecimal digits")
    return text.lower()


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to a day")
    return number


def _count(text: str) -> int:
    return 0 if text == "0" else min(positive(text), 1000)


def _size(text: str) -> int:
    try:
        return memory_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
