"""Sets of sizes in words."""

from __future__ import annotations

from netcompile.algebra.nset import NSet, Runs
from netcompile.algebra.residues import periodic_runs

LISTED = 8
"""At most so many numbers or ranges are listed before the rest becomes "…"."""


def describe(these: NSet, variable: str) -> str:
    """The set in a few words; exact unless it ends in "…"."""
    if these.is_empty:
        return f"no {variable}"
    if these.is_finite:
        return f"only {variable} = {_listed(these.runs)}"
    if these.is_cofinite:
        if not these.runs:
            return f"every {variable} >= {these.start}"
        missing = (~these).runs
        if len(_parts(missing)) <= len(_parts(these.runs)):
            return f"all but {variable} = {_listed(missing)}"
        return f"{variable} = {_listed(these.runs)} and every {variable} >= {these.start}"
    return _periodic(these, variable)


def _periodic(these: NSet, variable: str) -> str:
    mask, period = these.mask, these.period
    inside, outside = periodic_runs(mask, period), periodic_runs(~mask & (1 << period) - 1, period)
    sign, runs = ("≡", inside) if _weight(inside) <= _weight(outside) else ("≢", outside)
    text = f"{variable} {sign} {_listed(tuple(runs))} (mod {period})"
    if these.start == 1:
        return text
    base = these.start
    if sign == "≡":  # say where the pattern begins at a member, not between two
        base = next(n for n in range(base, base + period) if mask >> n % period & 1)
        if base <= period and not any(mask >> n & 1 for n in range(1, base)):
            return f"{variable} = {_listed(these.runs)} and {text}"
    early = f"{variable} = {_listed(these.runs)} and " if these.runs else ""
    return f"{early}{text}, {variable} >= {base}"


def _weight(runs: list[tuple[int, int]]) -> int:
    return sum(1 if hi - lo == 1 else 2 for lo, hi in runs)


def _parts(runs: Runs) -> list[str]:
    parts = []
    for lo, hi in runs:
        if hi - lo <= 2:
            parts += [str(n) for n in range(lo, hi)]
        else:
            parts.append(f"{lo} to {hi - 1}")
    return parts


def _listed(runs: Runs) -> str:
    parts = _parts(runs)
    if len(parts) > LISTED:
        parts = [*parts[: LISTED - 1], "…", parts[-1]]
    return ", ".join(parts)
