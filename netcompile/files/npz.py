"""Archives of arrays, .npz: written so that equal arrays give equal bytes, and read without running anything.

What an archive says of itself is checked before a number is unpacked: it may be from anywhere. Members that nobody
asked for are never unpacked.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.limits import DEFLATE, require_memory
from netcompile.files.look import is_there
from netcompile.files.npy import MAGIC, NO_NUMBERS, NpyHeader, read_header
from netcompile.files.reading import open_file

if TYPE_CHECKING:
    from netcompile.array import Array

T = TypeVar("T")
_LONGEST = (1 << 16) - 5  # bytes, without ".npy"
_ESCAPE = re.compile(r"\\(?=x(?:00|5c))")  # what would be read as an escape
_ESCAPED = re.compile(r"\\x(00|5c)")
_DIRECTORY = 1 << 24  # bytes of the list of members: beyond 100,000 arrays
_ENCRYPTED = 1  # bit of a member's flags
_PIECE = 1 << 20
# What `zipfile` raises for damaged archives: it documents the first three, the others come from what it calls.
_DAMAGED = (BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OverflowError, struct.error, ZlibError)


def write_npz(file: BinaryIO, arrays: Mapping[str, Any], made_by: str = "", compressed: bool = False) -> None:
    """Write every array under its name; `made_by` becomes the archive's comment. Raises OSError.

    Not `numpy.savez`: there an array cannot be called "file", and the time of day is in the bytes.
    """
    import numpy as np

    with ZipFile(file, "a") as archive:  # with "w" a seek that fails is passed over, and the bytes are others
        for name, array in arrays.items():
            member = ZipInfo(member_name(name), (1980, 1, 1, 0, 0, 0))
            member.compress_type = ZIP_DEFLATED if compressed else ZIP_STORED
            with archive.open(member, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.asarray(array), allow_pickle=False)
        archive.comment = made_by.encode()


def made_by_npz(path: str) -> str | None:
    """The comment of an npz archive; None where it is not whole. Raises OSError."""
    try:
        with open_file(path) as file, _archive(file) as archive:
            return archive.comment.decode("utf-8", "replace")
    except (_Damaged, NetError):
        return None


@dataclass(frozen=True, slots=True)
class Member:
    """An array of an archive, not yet read; `problem` is why it cannot be. Without a `header` its shape is ()."""

    info: ZipInfo
    header: NpyHeader | None
    start: int = 0  # bytes of the header
    problem: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.header is None else self.header.shape


def members_npz(path: str, code: str = "inputs-file", wanted: Collection[str] | None = None) -> dict[str, Member]:
    """The arrays of the file by name, or those of `wanted` that it has; of each its header alone is read.

    Raises OSError; NetError for no whole archive.
    """
    if not is_there(path):
        refuse("no-such-file", f"there is no file '{path}'", remedy="--inputs takes an .npz file")
    with _told(path, code), open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(MAGIC)) == MAGIC:
            why = "it holds one array without a name (.npy)"
            refuse(code, _what(path), why=why, remedy="np.savez(file, data=array) names it")
        with _archive(file) as archive:
            return _members(archive, size, wanted)


def read_npz(
    path: str, dtype: str, wanted: Collection[str] | None = None, code: str = "inputs-file"
) -> dict[str, Array]:
    """The arrays of the file, or of `wanted` those that it has, in native byte order and C order.

    They are float32, or float64 where `dtype` says so. Pickled objects are never loaded. Raises NetError, with `code`
    where the file is damaged or holds no numbers, and where they are more than the memory may take.
    """
    import numpy as np

    kind = np.dtype(np.float64 if dtype == "float64" else np.float32)
    found = members_npz(path, code, wanted)
    if problems := [unreadable(path, name, member.problem, code) for name, member in found.items() if member.problem]:
        raise NetError(problems)
    headers = [member.header for member in found.values() if member.header is not None]
    # The numbers as they are stored, and as they are wanted: the largest array is there in both forms for a moment.
    both = max((header.nbytes for header in headers), default=0)
    require_memory(sum(header.count * kind.itemsize for header in headers) + both, f"reading {path}")
    arrays = {}
    with _told(path, code), open_file(path) as file, _archive(file) as archive:
        for name, member in found.items():
            if member.header is not None:
                arrays[name] = _numbers(archive, member, member.header, kind)
    return arrays


def member_name(name: str) -> str:
    """What an archive calls the array `name`: a zip's names hold no NUL, which becomes ``\\x00``.

    They have at most 65,535 bytes; of a longer one this is the beginning, with a hash of the whole.

    >>> member_name("a\\0b"), member_name("a/b")
    ('a\\\\x00b.npy', 'a/b.npy')
    """
    data = _ESCAPE.sub(r"\\x5c", name).replace("\0", r"\x00").encode("utf-8", "backslashreplace")
    if len(data) > _LONGEST:
        data = data[: _LONGEST - 9].decode(errors="ignore").encode() + b"_" + sha256(data).hexdigest()[:8].encode()
    return data.decode() + ".npy"


def array_name(member: str) -> str:
    """The array that an archive calls so: the inverse of `member_name`, but for long names."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), member.removesuffix(".npy"))


def unreadable(path: str, name: str, why: str, code: str = "inputs-file") -> Diagnostic:
    """What is said of an array with a `problem`."""
    remedy = "save it as numbers: x.astype(numpy.float32)" if why.endswith(NO_NUMBERS) else ""
    return Diagnostic(code, f"array '{name}' of {path} cannot be read", why=why, remedy=remedy)


def read_npy(path: str) -> Array:
    """The array of an .npy file, in the type and order that it has there. Raises OSError, ValueError, NetError."""
    import numpy as np

    with open_file(path) as file:
        header, start = read_header(file)
        if os.fstat(file.fileno()).st_size != start + header.nbytes:
            raise ValueError(f"its length is not that of {header.count} numbers")
        require_memory(header.nbytes, f"reading {path}")
        return _shaped(np.frombuffer(file.read(header.nbytes), header.dtype), header)


class _Damaged(Exception):
    """Something that `zipfile` says of a damaged archive."""


def _what(path: str) -> str:
    return f"{path} is no .npz file of arrays"


@contextmanager
def _told(path: str, code: str) -> Iterator[None]:
    try:
        yield
    except _Damaged as error:
        refuse(code, _what(path), why=str(error).split("\n")[0][:300], remedy="write it with numpy.savez")


class _Watched:
    """A file that keeps the system's refusal to read it, which `zipfile` takes for an archive that is damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.refused: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, size: int = -1) -> bytes:
        return self._kept(self.file.read, size)

    def seek(self, *where: int) -> int:
        return self._kept(self.file.seek, *where)

    def _kept(self, operation: Callable[..., T], *arguments: int) -> T:
        try:
            return operation(*arguments)
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):
                self.refused = error
            raise


@contextmanager
def _archive(file: BinaryIO) -> Iterator[ZipFile]:
    """The archive in an open file, whatever `zipfile` finds wrong with it being `_Damaged`."""
    watched = _Watched(file)
    try:
        if _directory_size(file) > _DIRECTORY:
            raise _Damaged("its list of members is too long for one of arrays")
        with ZipFile(cast(BinaryIO, watched)) as archive:
            yield archive
    except _DAMAGED as error:
        if watched.refused is not None:
            raise watched.refused from None
        raise _Damaged(str(error) or type(error).__name__) from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # EINVAL: a place before the start of the file
            raise
        raise _Damaged("its members lie outside of it") from None


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the archive's list of members, all of which `zipfile` holds in memory; 0 where none is found.

    The record at the end says so (APPNOTE.TXT 4.3.16); 0xFFFFFFFF stands for a number in a record before it (4.3.14).
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - (1 << 16) - 22))
    end = file.read()
    at = end.rfind(b"PK\5\6")
    size = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    before = end.rfind(b"PK\6\6")
    if size == 0xFFFFFFFF and before >= 0:
        size = int.from_bytes(end[before + 40 : before + 48], "little")
    file.seek(0)
    return min(size, length)


def _members(archive: ZipFile, size: int, wanted: Collection[str] | None) -> dict[str, Member]:
    infos = [(array_name(info.filename), info) for info in archive.infolist()]
    counts = Counter(name for name, _ in infos)
    return {
        name: _member(archive, info, counts[name], size) for name, info in infos if wanted is None or name in wanted
    }


def _member(archive: ZipFile, info: ZipInfo, count: int, size: int) -> Member:
    """What an archive's member is, from its header and what the archive says of it."""
    problem = ""
    if count > 1:
        problem = f"the archive has {count} arrays of this name"
    elif info.flag_bits & _ENCRYPTED:
        problem = "it is encrypted"
    elif info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        problem = f"it is packed by method {info.compress_type}; NumPy packs by deflate alone"
    elif info.compress_size > size or info.file_size > info.compress_size * DEFLATE + 64:
        problem = f"it claims {info.file_size} bytes, and {info.compress_size} are stored"
    if problem:
        return Member(info, None, 0, problem)
    try:
        with archive.open(info) as file:
            header, start = read_header(file)
    except _DAMAGED as error:
        return Member(info, None, 0, str(error).split("\n")[0][:300] or type(error).__name__)
    if start + header.nbytes != info.file_size:
        problem = f"its header claims {header.nbytes} bytes, {info.file_size - start} are stored"
    return Member(info, header, start, problem)


def _numbers(archive: ZipFile, member: Member, header: NpyHeader, kind: Any) -> Array:
    import numpy as np

    raw = np.empty(header.nbytes, np.uint8)
    with archive.open(member.info) as file:
        file.read(member.start)
        done = 0
        while done < len(raw):
            piece = file.read(min(_PIECE, len(raw) - done))
            if not piece:
                raise EOFError(f"'{member.info.filename}' ends early")
            raw[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
        if file.read(1):  # so that `zipfile` compares the checksum
            raise BadZipFile(f"'{member.info.filename}' is longer than it says")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(_shaped(raw.view(header.dtype), header), dtype=kind, order="C")


def _shaped(flat: Array, header: NpyHeader) -> Array:
    return flat.reshape(header.shape[::-1]).T if header.fortran else flat.reshape(header.shape)
