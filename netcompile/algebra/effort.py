"""How much work exact sizes may take.

What has no closed form is a table, followed number by number, and a net may ask for any number of long ones. Within
`bounded`, whoever analyses a net allows so many steps for all of it; when they are spent, what asks for more is too
complex. Outside of it there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class SizeTooComplex(ArithmeticError):
    """An exact answer exists but its period or its table would be too large to write down."""


_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


@contextmanager
def bounded(steps: int = 150_000) -> Iterator[None]:
    """Here sizes take no more steps than these, or than `allow` says."""
    before = _left.set([steps])
    try:
        yield
    finally:
        _left.reset(before)


@contextmanager
def unbounded() -> Iterator[None]:
    """Here there is no limit: for what only writes down a size or a set that is known."""
    before = _left.set(None)
    try:
        yield
    finally:
        _left.reset(before)


def allow(steps: int) -> None:
    """From here on sizes take so many steps, if there is a limit; what was allowed before is forgotten."""
    left = _left.get()
    if left is not None:
        left[0] = steps


def spend(steps: int) -> None:
    """Take steps from what is allowed, if there is a limit. Raises SizeTooComplex where too few are left."""
    left = _left.get()
    if left is None:
        return
    if steps > left[0]:
        raise SizeTooComplex(f"a size that takes {steps} steps more than all that are followed for a net like this")
    left[0] -= steps
