"""Each way to compute convolutions, forced on every layer of the conformance cases that have any."""

from __future__ import annotations

from collections import Counter

import pytest

from netcompile.runtime.tuning import WAYS
from tests.conftest import ALL_CASES
from tests.passes.forced import FORCED, GRAPHS, UNFOLDED, check

CASES = [case for case in ALL_CASES if "convolution" in case.net.read_text().lower()]


@pytest.mark.parametrize("way", FORCED)
def test_every_way_gives_caffes_outputs(way: str) -> None:
    taken: Counter[str] = Counter()
    for case in CASES:
        taken += check(case, way)
    if way == GRAPHS:
        assert taken["recorded"] > 30
        assert taken["graphs"] > 50
        return
    forced = "matrix" if way == UNFOLDED else way
    assert set(taken) <= set(WAYS)
    assert taken[forced] >= {"onednn": 110, "matrix": 25, UNFOLDED: 130}.get(way, 60)
