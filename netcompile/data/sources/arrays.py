"""Batches from an .npz: one array per data top, its first axis the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netcompile.array import Array
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.text import listed
from netcompile.files.npz import members_npz, read_npz


@dataclass(frozen=True, slots=True)
class ArrayBatches:
    """Step s feeds ``arrays[top][s]``; within a step each of the `passes` passes sees the same batch."""

    arrays: dict[str, Array]
    passes: int = 1

    def batch(self, index: int) -> dict[str, Array]:
        step = index // self.passes
        return {name: array[step % len(array)] for name, array in self.arrays.items()}


def read_arrays(path: str, tops: Sequence[str], passes: int, steps: int) -> ArrayBatches:
    """The arrays of `tops` in an .npz, as float32. Raises NetError with all that is missing or too short, OSError."""
    arrays = read_npz(path, "float32", tops, "data-file")
    problems = []
    for top in tops:
        have = len(arrays[top]) if top in arrays and arrays[top].ndim else 0
        if top not in arrays:
            what, why = f"{path} has no array '{top}'", f"it holds: {listed(members_npz(path)) or 'nothing'}"
            remedy = "one array per data top, its first axis the step"
            problems.append(Diagnostic("missing-input", what, why=why, remedy=remedy))
        elif not have or have < steps:
            what = f"{path}: '{top}' has {have} steps, the solver takes {steps}"
            why = "the first axis of each array is the step"
            problems.append(Diagnostic("data-short", what, why=why, remedy="give as many batches as max_iter says"))
    if problems:
        raise NetError(problems)
    return ArrayBatches(arrays, passes)
