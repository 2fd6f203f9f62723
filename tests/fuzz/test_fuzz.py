"""The same nets in every run: `python -m tests.fuzz` looks for new ones."""

from __future__ import annotations

from collections import Counter

from hypothesis import Phase, given, settings

from netcompile.layers.registry import load
from tests.fuzz import check, mutate
from tests.fuzz.draw import Drawn
from tests.fuzz.mutate import Mutant, mutants
from tests.fuzz.nets import DRAWS, nets

# Data layers are inputs: nets begin with them. Recurrent cannot be made.
INPUTS = frozenset(("Data", "HDF5Data", "ImageData", "Input", "MemoryData", "Python", "Recurrent", "WindowData"))


@settings(max_examples=200, phases=(Phase.generate, Phase.shrink))
@given(nets())
def test_equals_the_oracles(net: Drawn) -> None:
    check.check(net)


@settings(max_examples=200, phases=(Phase.generate, Phase.shrink))
@given(mutants())
def test_mistakes_are_refused_or_run(net: Mutant) -> None:
    mutate.check(net)


def test_every_type_is_drawn() -> None:
    """Every type of BVLC Caffe; a test of the strategy, which a layer could slip out of."""
    own = {name for name, c in load().items() if not c.fork and c.__module__.startswith("netcompile.")}
    covered = set(DRAWS) | {"InfogainLoss"}  # which SoftmaxWithLoss's draws make too
    assert own - INPUTS <= covered


def test_nets_are_not_small() -> None:
    """The strategy draws what it is meant to: several layers, inputs and outputs, shared parameters, phases."""
    seen: Counter[str] = Counter()

    @settings(max_examples=200, phases=(Phase.generate,))
    @given(nets())
    def count(net: Drawn) -> None:
        seen["nets"] += 1
        seen["layers"] += len(net.types)
        seen["several inputs"] += len(net.inputs) > 1
        seen["shared"] += 'name: "p0"' in net.text
        seen["train"] += net.train
        seen["many outputs"] += len(net.outputs) > 1

    count()
    assert seen["layers"] > 3 * seen["nets"]
    assert min(seen[k] for k in ("several inputs", "shared", "train", "many outputs")) > 0
