"""A slice of the extreme nets; ``python -m tests.fuzz.extremes`` runs any number of them."""

from __future__ import annotations

import pytest

from tests.fuzz import extremes


@pytest.mark.parametrize("family", extremes.FAMILIES)
def test_extremes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extremes, "BUDGET", 5.0)  # a slow machine is no mistake
    for number in range(8):
        extremes.check(extremes.case(number, family))
