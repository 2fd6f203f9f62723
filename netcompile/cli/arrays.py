"""The .npz files that `run` reads and writes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from netcompile.cli.netinput import analyse_net
from netcompile.cli.output import whole_file
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.text import shape_text
from netcompile.pipeline import Analysed


def read_npz(path: str, dtype: str) -> dict[str, Any]:
    """Every array of the file, as float32 (float64 for that dtype), in native byte order and C order.

    Pickled objects are never loaded. Raises NetError for a file that is missing, damaged or holds no numbers.
    """

    import numpy as np

    if not os.path.lexists(path):
        refuse("no-such-file", f"there is no file '{path}'", remedy="--inputs takes an .npz file")
    kind = np.float64 if dtype == "float64" else np.float32
    arrays, problems = {}, []
    try:
        # A file of our own: NumPy does not close one that turns out to be no archive.
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                _refuse(path, "it holds one array without a name (.npy)", "np.savez(file, data=array) names it")
            for name in archive.files:
                try:
                    array = archive[name]
                except ValueError as error:
                    problems.append(_problem(path, name, str(error).split("\n")[0]))
                    continue
                if not isinstance(array, np.ndarray):
                    problems.append(_problem(path, name, "it is no .npy array"))
                elif array.dtype.kind not in "fiub":
                    problems.append(_problem(path, name, f"{array.dtype} is no type of real numbers"))
                else:
                    with np.errstate(over="ignore"):
                        arrays[name] = np.array(array, dtype=kind, order="C")
    except (ValueError, EOFError, BadZipFile, ZlibError, NotImplementedError) as error:
        _refuse(path, str(error).split("\n")[0], "write it with numpy.savez")
    if problems:
        raise NetError(problems)
    return arrays


def _refuse(path: str, why: str, remedy: str) -> NoReturn:
    refuse("inputs-file", f"{path} is no .npz file of arrays", why=why, remedy=remedy)


def _problem(path: str, name: str, why: str) -> Diagnostic:
    return Diagnostic("inputs-file", f"array '{name}' of {path} cannot be read", why=why)


def write_npz(path: str, arrays: Mapping[str, Any]) -> None:
    """Every array under its blob's name, whole or not at all; equal arrays give equal bytes.

    Not `numpy.savez`: there a blob cannot be called "file", and the time of day is in the bytes.
    """

    import numpy as np

    with whole_file(path) as file, ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            member = ZipInfo(name.encode("utf-8", "backslashreplace").decode() + ".npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.asarray(array), allow_pickle=False)


def analyse_fed(
    arguments: argparse.Namespace,
    source: Source,
    arrays: Mapping[str, Any],
    path: str,
    outputs: Sequence[str] | None = None,
) -> Analysed:
    """NET at the shapes of the arrays of `path` that feed it; labels among them keep the layers that need them.

    Raises NetError where an array cannot be the input's.
    """
    fed = frozenset(arrays)
    analysed = analyse_net(arguments, source, fed=fed, outputs=outputs)
    shapes = _shapes(analysed, arrays, path)
    if any(entry.shape != shapes.get(entry.value.blob, entry.shape) for entry in analysed.graph.inputs):
        return analyse_net(arguments, source, shapes, fed, outputs)
    return analysed


def _shapes(analysed: Analysed, arrays: Mapping[str, Any], path: str) -> dict[str, tuple[int, ...]]:
    """The real shapes of the inputs. Raises NetError where one cannot be the input's."""
    problems, shapes = [], {}
    for entry in analysed.graph.inputs:
        blob = entry.value.blob
        if blob not in arrays:
            continue
        shape = tuple(int(extent) for extent in arrays[blob].shape)
        shapes[blob] = shape
        here = shape_text(shape)
        if 0 in shape:
            what, why = f"input '{blob}' is empty: {here} in {path}", "every extent must be at least 1"
        elif entry.declared and len(shape) != len(entry.shape):
            what = f"input '{blob}' has {len(shape)} axes in {path}, {len(entry.shape)} in the net"
            why = f"{here} against {shape_text(entry.shape)}"
        else:
            continue
        problems.append(Diagnostic("input-shape", what, entry.message.span, why=why))
    if problems:
        raise NetError(problems)
    return shapes
