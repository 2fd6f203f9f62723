"""How much work exact sizes may take.

What has no closed form is a table, followed number by number, and a net may ask for any number of long ones. Whoever
analyses a net allows so many steps for all of it; when they are spent, what asks for more is too complex.
"""

from __future__ import annotations

from contextvars import ContextVar


class SizeTooComplex(ArithmeticError):
    """An exact answer exists but its period or its table would be too large to write down."""


_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


def allow(steps: int) -> None:
    """From here on, in this thread, sizes take so many steps; what was allowed before is forgotten."""
    _left.set([steps])


def spend(steps: int) -> None:
    """Take steps from what is allowed, if there is a limit. Raises SizeTooComplex where too few are left."""
    left = _left.get()
    if left is None:
        return
    if steps > left[0]:
        raise SizeTooComplex(f"a size that takes {steps} steps more than all that are followed for a net like this")
    left[0] -= steps
