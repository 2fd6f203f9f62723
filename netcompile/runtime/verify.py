"""Compare blobs with a reference, in the order in which the net computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from netcompile.array import Array
from netcompile.diagnostics.text import shape_text
from netcompile.emit.names import identifier
from netcompile.files.npz import array_name, member_name
from netcompile.runtime.blobs import Activations, Place


@dataclass(frozen=True, slots=True)
class Compared:
    """One blob against its reference. `error` is max |a − b|, `relative` the same over max |reference|.

    Where the shapes differ, or one has NaN or infinity where the other has not, both are infinite and `why` says so.
    `empty` counts the numbers that are NaN on both sides, which compares nothing: where all are, it is not `same`.
    """

    key: str
    place: Place
    shape: tuple[int, ...]
    error: float
    relative: float
    mean: float
    worst: tuple[int, ...]
    same: bool
    why: str = ""
    empty: int = 0

    @property
    def proves(self) -> bool:
        """Whether a number that the net computed was compared: inputs are fed, and NaN is like nothing."""
        return self.place.position >= 0 and (not self.same or prod(self.shape) > self.empty)


@dataclass(frozen=True, slots=True)
class Verification:
    """All comparisons, in the net's order; keys of the reference that the net has not, and blobs without reference."""

    compared: tuple[Compared, ...]
    unknown: tuple[str, ...]
    uncompared: tuple[str, ...]
    tolerance: float

    @property
    def first(self) -> Compared | None:
        """The first blob that differs, if one does: where a fault begins."""
        return next((entry for entry in self.compared if not entry.same), None)

    @property
    def proves(self) -> bool:
        """Whether anything that the net computes was compared."""
        return any(entry.proves for entry in self.compared)


def verify(blobs: Activations, reference: Mapping[str, Array], tolerance: float = 1e-4) -> Verification:
    """Compare every blob that the reference has; equal within `tolerance` of the reference's largest magnitude.

    Keys of a reference: NAME or ``blob:NAME`` for final values, ``top:LAYER:NAME`` for the value after a layer; names
    that a tool changed to identifiers are found as well.
    """
    find = _finder(blobs)
    compared, unknown, seen = [], [], set()
    for name, array in reference.items():
        key = find(name)
        if key is None:
            unknown.append(name)
        else:
            seen.add(key)
            compared.append(compare(key, blobs.places[key], blobs.arrays[key], array, tolerance))
    compared.sort(key=lambda entry: entry.place.position)
    rest = tuple(key for key in blobs.arrays if key not in seen and not key.startswith("top:"))
    return Verification(tuple(compared), tuple(unknown), rest, tolerance)


def _finder(blobs: Activations) -> Callable[[str], str | None]:
    spelled: dict[str, list[str]] = {}
    for key in blobs.arrays:
        if not key.startswith("top:"):
            spelled.setdefault(identifier(key), []).append(key)
    archived = {array_name(member_name(key)): key for key in blobs.arrays}  # long names are cut there

    def find(name: str) -> str | None:
        for candidate in (name, name.removeprefix("blob:")):
            if candidate in blobs.arrays:
                return candidate
            if candidate in archived:
                return archived[candidate]
        near = spelled.get(identifier(name.removeprefix("blob:")), []) if not name.startswith("top:") else []
        return near[0] if len(near) == 1 else None

    return find


def compare(key: str, place: Place, found: Array, reference: Array, tolerance: float) -> Compared:
    """One blob; numbers are compared in float64. Infinity equals itself; NaN on both sides counts as `empty`."""
    shape = tuple(int(extent) for extent in found.shape)

    def differs(why: str, at: tuple[int, ...] = (), empty: int = 0) -> Compared:
        return Compared(key, place, shape, inf, inf, inf, at, same=False, why=why, empty=empty)

    if found.shape != reference.shape:
        if _squeezed(found) != _squeezed(reference):
            return differs(f"its shape is {shape_text(found.shape)}, the reference's {shape_text(reference.shape)}")
        reference = reference.reshape(found.shape)
    a, b = found.astype(np.float64), reference.astype(np.float64)
    if not a.size:
        return Compared(key, place, shape, 0.0, 0.0, 0.0, (), same=True)
    special = ~np.isfinite(a) | ~np.isfinite(b)
    strange = special & ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if strange.any():
        at = tuple(int(i) for i in np.argwhere(strange)[0])
        return differs(f"it is {a[at]} where the reference is {b[at]}, at {at}", at)
    empty = int(np.isnan(a).sum())
    if empty == a.size:
        return differs("every number is NaN on both sides: nothing could be compared", empty=empty)
    with np.errstate(invalid="ignore"):
        difference = np.where(special, 0.0, np.abs(a - b))
    largest = float(np.abs(b[~special]).max(initial=0.0))
    error = float(difference.max())
    relative = error / largest if largest else (0.0 if error == 0 else inf)
    at = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), shape)) if shape else ()
    same = relative <= tolerance
    return Compared(key, place, shape, error, relative, float(difference.mean()), at, same=same, empty=empty)


def _squeezed(array: Array) -> tuple[int, ...]:
    return tuple(extent for extent in array.shape if extent != 1)


def error_plane(found: Array, reference: Array) -> Array | None:
    """H×W: the largest |a − b| over batch and channels; None where the blobs are no maps of equal shape."""
    if found.shape != reference.shape or found.ndim < 2 or not found.size:
        return None
    difference = np.abs(found.astype(np.float64) - reference.astype(np.float64))
    difference = np.nan_to_num(difference, nan=np.inf)
    return np.asarray(difference.reshape(-1, *found.shape[-2:]).max(0) if found.ndim > 2 else difference)
