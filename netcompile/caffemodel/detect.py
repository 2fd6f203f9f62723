"""Recognises, by content, what a file given as weights really is; every mistake has its own message."""

from __future__ import annotations

import re

from netcompile.diagnostics.diagnostic import Diagnostic

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD = 4096  # how many first bytes are looked at

_FETCH = "fetch the weights themselves; their size should be that of the published file"
_GIVE = "give the .caffemodel"
_TORCH = "a PyTorch checkpoint (.pth, .pt), not Caffe's weights"
_LOADS = f"{_GIVE}; a checkpoint of a built module needs no conversion: torch.load reads it"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, not the weights: the repository was cloned without them",
        "run `git lfs pull` in that repository",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: `gunzip`, or `tar -xzf` for .tar.gz"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: `unxz`"),
    (b"BZh", "compressed with bzip2", "unpack it first: `bunzip2`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first: `7z x`"),
    (b"Rar!", "a RAR archive", "unpack it first: `unrar x`"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: `unzstd`"),
    (b"\x93NUMPY", "a NumPy array (.npy)", "give the .caffemodel, or the .binaryproto for a mean"),
    (b"%PDF", "a PDF document", _FETCH),
    (b"\x89PNG", "a PNG image", _GIVE),
    (b"\xff\xd8\xff", "a JPEG image", _GIVE),
    (b"GIF8", "a GIF image", _GIVE),
    (b"II*\0", "a TIFF image", _GIVE),
    (b"MM\0*", "a TIFF image", _GIVE),
    (b"\x12\x01\0\0\0\0\0\0", "a file of MXNet's parameters (.params)", _GIVE),
)
# What the first member of a zip archive is called tells who wrote it.
_ZIPPED: tuple[tuple[str, str, str], ...] = (
    (r"[^/]*/(data\.pkl|data/.*|\.format_version|\.data/.*|byteorder|version|code/.*|constants\.pkl)", _TORCH, _LOADS),
    (r".*\.npy", "an .npz of arrays", f"{_GIVE}; arrays that are fed to the net belong after --inputs"),
    (r"(metadata|config)\.json|model\.weights\.h5", "a model of Keras (.keras)", _GIVE),
)
_ZIP = b"PK\x03\x04"
# A GraphDef begins with a node, the node with its name and its operation: each behind its length.
_GRAPH_DEF = re.compile(rb"\n[\x80-\xff]{0,4}[\0-\x7f]\n([\1-\x7f])([ -~]+?)\x12([\1-\x7f])([A-Z]\w*)")


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
    if head.startswith(_ZIP):
        return no(*_zipped(head))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return no("this is a WebP image", _GIVE)
    if head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[2:6], "little") == size:
        return no("this is a BMP image", _GIVE)
    if head[4:8] == b"TFL3":
        return no("this is a TensorFlow Lite model (.tflite), not Caffe's weights", _GIVE)
    if (node := _GRAPH_DEF.match(head)) and node[1][0] == len(node[2]) and node[3][0] <= len(node[4]):
        return no("this is a TensorFlow graph (.pb), not Caffe's weights", _GIVE)
    if head[257:262] == b"ustar":
        return no("this is a tar archive", "unpack it first: `tar -xf`")
    if len(head) > 9 and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < size:
        return no("this is a .safetensors file: it needs no conversion", "load it with safetensors.torch")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return no(
            "this is a Python pickle, as old PyTorch checkpoints are; it is never loaded, as it can run code",
            _GIVE,
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


def _zipped(head: bytes) -> tuple[str, str]:
    """What an archive is by its first member, whose name's length stands at byte 26, the name at 30; and the remedy."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
    for pattern, what, remedy in _ZIPPED:
        if re.fullmatch(pattern, name):
            return f"this is {what}", remedy
    what = "this is a zip archive (a PyTorch checkpoint and an .npz are zip archives too)"
    return what, "unzip it, and give the .caffemodel inside; PyTorch checkpoints need no conversion"


def _is_text(head: bytes) -> bool:
    control = sum(byte < 32 and byte not in (9, 10, 13) for byte in head)
    if control:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == HEAD
    return True
