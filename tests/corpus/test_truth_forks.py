"""Nets of public repositories with forks' layers, against the forks' own code; skipped without the shared material.

The quick ones here, at every level.
"""

from __future__ import annotations

import pytest

from tests.corpus.check import check, fork_nets

QUICK = ("dummy_blstm_net", "shufflenet", "colorization_deploy_flow", "pspnet101", "segnet_basic_camvid")
NETS = [name for name in fork_nets() if any(part in name for part in QUICK)]


def test_the_material_is_there() -> None:
    if not fork_nets():
        pytest.skip("the references beside the checkout (../shared/truth-forks) are absent")
    assert len(NETS) == len(QUICK)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("file", NETS)
def test_equals_the_fork(file: str, level: int) -> None:
    row = check(file, level=level)
    assert (row.loads, row.shapes) == ("yes", "yes"), row.why
    assert row.values in ("yes", "-"), row.why
