"""Files given by mistake: binary ones, solvers, label maps, pointers to files; each refused by its own message."""

from __future__ import annotations

import os
import re
import select
import stat
from itertools import islice
from typing import Protocol

from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.source import Source, Span
from netcompile.files.look import about

_IMAGE = "give the .prototxt of the net first: netcompile predict NET IMAGE -o DIR"
_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "weights belong after --weights"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\x89PNG", "a PNG image", _IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", _IMAGE),
    (b"GIF8", "a GIF image", _IMAGE),
    (b"BM", "a BMP image", _IMAGE),
    (b"II*\0", "a TIFF image", _IMAGE),
    (b"MM\0*", "a TIFF image", _IMAGE),
    (b"RIFF", "a WebP image or another RIFF file", _IMAGE),
    (b"\x08", "a binary message of protobuf that is no net, such as an ONNX model", "give the .prototxt of the net"),
    (b"\x80", "a pickle of Python's, such as an old PyTorch checkpoint", "give the .prototxt of the net"),
    (b"%PDF", "a PDF document", "give the .prototxt of the net"),
)
_SOLVER_FIELDS = {
    *("net", "train_net", "test_net", "net_param", "train_net_param", "base_lr", "lr_policy", "max_iter"),
    *("test_iter", "test_interval", "snapshot", "snapshot_prefix", "solver_mode", "solver_type", "momentum"),
    *("stepsize", "stepvalue", "display", "gamma", "iter_size"),
}
# Possessive, so that any text is searched in time linear to its length.
_WHOLE = re.compile(r"(?m)^[^\S\n]*+(?:train_|test_)?net_param\s*+:?\s*+[{<]")
_LAYER = re.compile(r"(?m)^[^\S\n]*+layers?\s*+:?\s*+[{<\[]")
_NAME = re.compile(r"(?m)^[ \t]*+([A-Za-z_]\w*+)[ \t]*+[:{]")
MOST_BYTES = 100_000_000  # of a text that are read
CHUNK = 1 << 20
WRITER_WAIT = 5.0  # seconds that a pipe without a writer is waited for
MOST_NAMES = 10_000  # names of fields that are looked at; real solvers and label maps have fewer


class SupportsRead(Protocol):
    """An open binary file, as far as it is read."""

    def read(self, size: int, /) -> bytes | None: ...


def open_source(path: str | os.PathLike[str]) -> Source:
    """The text of a file or a pipe. Raises OSError, or NetError for what is no text at all or too long, and for a pipe
    that nobody writes to (see `read_source`).
    """
    name = os.fspath(path)
    with about(path), open(path, "rb", buffering=0, opener=_open_at_once) as file:
        pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
        return read_source(file, name, _first(file.fileno(), name) if pipe else b"")


def _open_at_once(path: str, flags: int) -> int:
    """Opens also a pipe that nobody writes to; `open` would wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _first(pipe: int, name: str) -> bytes:
    """What comes first out of a pipe; from then on it waits for more. Raises NetError where no writer comes."""
    for wait in (0.0, WRITER_WAIT):
        ready = select.select([pipe], [], [], wait)[0]
        try:
            part = os.read(pipe, CHUNK)
        except BlockingIOError:  # a writer who has written nothing yet
            part, ready = b"", [pipe]
        os.set_blocking(pipe, bool(ready or part))
        if ready or part:
            return part
    refuse("no-such-file", f"nobody writes to the pipe '{name}'", remedy="give the path of a prototxt")


def read_source(file: SupportsRead, name: str, first: bytes = b"") -> Source:
    """The text of an open file behind its `first` part, read to its end or to the limit.

    Raises NetError as `decode_source`, and for more than `MOST_BYTES`; a stream without end is told by its first zero
    byte, or by the limit.
    """
    parts, size = [first], len(first)
    while part := file.read(CHUNK):
        parts.append(part)
        size += len(part)
        if b"\0" in part:
            return decode_source(b"".join(parts), name)
        if size > MOST_BYTES:
            what = f"this is longer than the {MOST_BYTES:,} bytes that a net may have"
            why = "a net of a hundred thousand layers has a fifth of that; the limit keeps a wrong file out of memory"
            refuse("too-long", what, Span(Source("", name), 0, 0), why, "give the .prototxt of the net")
    return decode_source(b"".join(parts), name)


def decode_source(data: bytes, name: str = "<bytes>") -> Source:
    """``data`` as text. Raises NetError for a caffemodel, HDF5, archive, UTF-16 or other binary file."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data or data[:1] in (b"\x89", b"\x1f", b"\x08", b"\x80"):
        refuse_binary(data, name)
    if data[:1] in (b"\n", b"\x12", b"\xa2") and looks_like_caffemodel(data):  # how a caffemodel begins
        refuse_binary(data, name)
    return Source(data.decode("utf-8-sig", "surrogateescape"), name)


def looks_like_caffemodel(data: bytes) -> bool:
    """Whether bytes begin as a binary NetParameter does: a name (field 1) and then layers, or layers at once."""
    if len(data) < 4:
        return False
    at = 0
    if data[0] == 0x0A:
        at = 2 + data[1]
        if data[1] >= 0x80 or at >= len(data) or min(data[2:at], default=32) < 32:
            return False
    # field 2 (V1 layers), 3 (inputs), 100 (layers)
    return data[at : at + 1] in (b"\x12", b"\x1a") or data[at : at + 2] == b"\xa2\x06"


def refuse_binary(data: bytes, name: str) -> None:
    """Raises NetError for bytes that are no text, naming what they are where that shows."""
    source = Source("", name)
    kind, remedy = "a binary file", "give the .prototxt of the net"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind, remedy = "a UTF-16 text", "save it as UTF-8"
    elif looks_like_caffemodel(data):
        kind = "a binary NetParameter, such as a .caffemodel"
        remedy = "give the .prototxt of the net; weights belong after --weights"
    else:
        for signature, what, how in _SIGNATURES:
            if data.startswith(signature):
                kind, remedy = what, how
    why = "a net is read from text in protobuf's text format, in UTF-8"
    refuse("binary-file", f"this is {kind}", Span(source, 0, 0), why, remedy)


def recognised(source: Source) -> Diagnostic | None:
    """The finding for a text that is another kind of file than a net, None where it may be a net."""
    text = source.text
    if text.startswith("version https://git-lfs"):
        why = "git-lfs keeps the file elsewhere and left this pointer to it"
        what = "this is a git-lfs pointer, not the file"
        return Diagnostic("lfs-pointer", what, Span(source, 0, 7), why, "git lfs pull")
    whole = "net_param" in text and _WHOLE.search(text)
    if not whole and ("\nlayer {" in text or _LAYER.search(text)):
        return None
    names = [(m[1], m.start(1), m.end(1)) for m in islice(_NAME.finditer(text), MOST_NAMES)]
    solver = [n for n in names if n[0] in _SOLVER_FIELDS]
    if len({n[0] for n in solver}) >= 2 or (solver and len(names) == 1):
        net = re.search(r"(?m)^[ \t]*(?:net|train_net)[ \t]*:[ \t]*[\"']([^\"'\n]*)", text)
        first = solver[0]
        remedy = f"give the net that it names: {net[1]}" if net else "give the net that it trains"
        if net and "$" in net[1]:
            remedy += " (with its variables filled in)"
        why = f"{first[0]} is a field of SolverParameter: it says how to train a net"
        return Diagnostic("solver-file", "this is a solver, not a net", Span(source, *first[1:]), why, remedy)
    if names and all(n[0] in ("item", "name", "label", "display_name", "id") for n in names) and names[0][0] == "item":
        why = "it holds items with names and labels, as SSD's label maps do"
        what = "this is a label map, not a net"
        return Diagnostic("label-map", what, Span(source, *names[0][1:]), why, "give the .prototxt of the net")
    return None
