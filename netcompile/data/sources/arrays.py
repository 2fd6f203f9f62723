"""Batches from an .npz: one array per data top, its first axis the step."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ArrayBatches:
    """Step s feeds ``arrays[top][s]``; within a step each of the `passes` passes sees the same batch."""

    arrays: dict[str, Array]
    passes: int = 1

    def batch(self, index: int) -> dict[str, Array]:
        step = index // self.passes
        steps = len(next(iter(self.arrays.values())))
        return {name: array[step % steps] for name, array in self.arrays.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape[1:] for name, array in self.arrays.items()}


def read_arrays(path: str, tops: Sequence[str], passes: int, steps: int) -> ArrayBatches:
    """The arrays of `tops` in an .npz, as float32. Raises NetError with all that is missing or too short, OSError."""

    problems = []
    arrays: dict[str, Array] = {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            for top in tops:
                if top in names:
                    arrays[top] = np.asarray(archive[top], np.float32)
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        refuse(
            "data-file",
            f"{path}: not a readable .npz: {str(error).splitlines()[0] if str(error) else 'damaged'}",
        )
    for top in tops:
        if top not in arrays:
            problems.append(
                Diagnostic(
                    "missing-input", f"{path} has no array '{top}'", why=f"it holds: {', '.join(names) or 'nothing'}",
                    remedy="one array per data top, its first axis the step",
                )
            )  # fmt: skip
        elif arrays[top].ndim < 1 or len(arrays[top]) < steps:
            have = len(arrays[top]) if arrays[top].ndim else 0
            problems.append(
                Diagnostic(
                    "data-short", f"{path}: '{top}' has {have} steps, the solver takes {steps}",
                    why="the first axis of each array is the step", remedy="give as many batches as max_iter says",
                )
            )  # fmt: skip
    if problems:
        raise NetError(problems)
    return ArrayBatches(arrays, passes)
