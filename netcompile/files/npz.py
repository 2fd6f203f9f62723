"""Archives of arrays, .npz: written so that equal arrays give equal bytes, and read without running anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from errno import EINVAL
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.look import about, is_there

if TYPE_CHECKING:
    from netcompile.array import Array


def write_npz(file: BinaryIO, arrays: Mapping[str, Any], made_by: str = "", compressed: bool = False) -> None:
    """Write every array under its name; `made_by` becomes the archive's comment. Raises OSError.

    Not `numpy.savez`: there an array cannot be called "file", and the time of day is in the bytes.
    """
    import numpy as np

    with ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            member = ZipInfo(name.encode("utf-8", "backslashreplace").decode() + ".npy", (1980, 1, 1, 0, 0, 0))
            member.compress_type = ZIP_DEFLATED if compressed else ZIP_STORED
            with archive.open(member, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.asarray(array), allow_pickle=False)
        archive.comment = made_by.encode()


def made_by_npz(path: str) -> str | None:
    """The comment of an npz archive; None where it is not whole. Raises OSError."""
    try:
        with ZipFile(path) as archive:
            return archive.comment.decode("utf-8", "replace")
    except BadZipFile:
        return None


def read_npz(
    path: str, dtype: str, wanted: Collection[str] | None = None, code: str = "inputs-file"
) -> dict[str, Array]:
    """The arrays of the file, or of `wanted` those that it has, in native byte order and C order.

    They are float32, or float64 where `dtype` says so. Pickled objects are never loaded. Raises NetError, with `code`
    where the file is damaged or holds no numbers.
    """
    import numpy as np

    if not is_there(path):
        refuse("no-such-file", f"there is no file '{path}'", remedy="--inputs takes an .npz file")
    kind = np.float64 if dtype == "float64" else np.float32
    arrays, problems = {}, {}
    what = f"{path} is no .npz file of arrays"
    try:
        # A file of our own: NumPy does not close one that turns out to be no archive.
        with about(path), open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                why = "it holds one array without a name (.npy)"
                refuse(code, what, why=why, remedy="np.savez(file, data=array) names it")
            for name in archive.files:
                if wanted is not None and name not in wanted:
                    continue
                try:
                    array = archive[name]
                except ValueError as error:
                    problems[name] = str(error).split("\n")[0]
                    continue
                if not isinstance(array, np.ndarray):
                    problems[name] = "it is no .npy array"
                elif array.dtype.kind not in "fiub":
                    problems[name] = f"{array.dtype} is no type of real numbers"
                else:
                    with np.errstate(over="ignore"):
                        arrays[name] = np.array(array, dtype=kind, order="C")
    except (ValueError, EOFError, BadZipFile, ZlibError, NotImplementedError) as error:
        if isinstance(error.__context__, OSError) and error.__context__.errno not in (None, EINVAL):
            with about(path):  # zipfile makes damage of it
                raise error.__context__ from None
        refuse(code, what, why=str(error).split("\n")[0], remedy="write it with numpy.savez")
    if problems:
        raise NetError(
            [Diagnostic(code, f"array '{name}' of {path} cannot be read", why=why) for name, why in problems.items()]
        )
    return arrays


def names_npz(path: str) -> list[str]:
    """The names of an npz file's arrays, in the file's order. Raises OSError, BadZipFile."""
    with ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]
