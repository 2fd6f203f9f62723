"""Recognises, by content, what a file given as weights really is; every mistake has its own message."""

from __future__ import annotations

import re

from netcompile.diagnostics.diagnostic import Diagnostic

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD = 4096  # how many first bytes are looked at

_FETCH = "fetch the weights themselves; their size should be that of the published file"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, not the weights: the repository was cloned without them",
        "run `git lfs pull` in that repository",
    ),
    (
        b"PK\x03\x04",
        "a zip archive (a PyTorch checkpoint and an .npz are zip archives too)",
        "unzip it, and give the .caffemodel inside; PyTorch checkpoints need no conversion",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: `gunzip`, or `tar -xzf` for .tar.gz"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: `unxz`"),
    (b"BZh", "compressed with bzip2", "unpack it first: `bunzip2`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first: `7z x`"),
    (b"Rar!", "a RAR archive", "unpack it first: `unrar x`"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: `unzstd`"),
    (b"\x93NUMPY", "a NumPy array (.npy)", "give the .caffemodel, or the .binaryproto for a mean"),
    (b"%PDF", "a PDF document", _FETCH),
    (b"\x89PNG", "a PNG image", "give the .caffemodel"),
    (b"\xff\xd8\xff", "a JPEG image", "give the .caffemodel"),
)


def recognise(head: bytes) -> str:
    """'hdf5', or 'protobuf' for everything else that is not refused. HDF5 may start at 0, 512, 1024, 2048."""
    offset = 0
    while offset < len(head):
        if head.startswith(HDF5_SIGNATURE, offset):
            return "hdf5"
        offset = max(512, offset * 2)
    return "protobuf"


def mistaken(name: str, head: bytes, size: int) -> Diagnostic | None:
    """What a file that is no caffemodel is, from its first bytes; None if nothing speaks against it."""

    def no(what: str, remedy: str, code: str = "caffemodel-not") -> Diagnostic:
        return Diagnostic(code, f"{name}: {what}", remedy=remedy)

    if size == 0:
        return no("the file is empty", "fetch it again: the download did not finish", "caffemodel-empty")
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return no(f"this is {what}", remedy)
    if head[257:262] == b"ustar":
        return no("this is a tar archive", "unpack it first: `tar -xf`")
    if len(head) > 9 and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < size:
        return no("this is a .safetensors file: it needs no conversion", "load it with safetensors.torch")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return no(
            "this is a Python pickle, as old PyTorch checkpoints are; it is never loaded, as it can run code",
            "give the .caffemodel",
        )
    if not head.strip(b"\0"):
        return no("the file holds only zero bytes", _FETCH, "caffemodel-corrupt")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<(!doctype|html|head|body|\?xml|!--)", text, re.IGNORECASE):
        return no("this is a web page, not the weights: the download gave an error page or a viewer", _FETCH)
    if _is_text(head):
        if re.search(rb"^\s*(train_net|test_net|net|base_lr|solver_mode)\s*:", text, re.MULTILINE):
            return no("this is a solver's prototxt (text), not weights", "give the .caffemodel it wrote")
        if re.search(rb"(?:^|[\s;{}])(name|layers?|input|type|bottom|top|input_dim)\s*[:{]", text):
            return no("this is a prototxt (text), not weights", "give the .caffemodel here and the prototxt as the net")
        if text.startswith((b"{", b"[")):
            return no("this is JSON text, not weights", _FETCH)
        return no("this is text, not weights", _FETCH)
    return None


def _is_text(head: bytes) -> bool:
    control = sum(byte < 32 and byte not in (9, 10, 13) for byte in head)
    if control:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == HEAD
    return True
