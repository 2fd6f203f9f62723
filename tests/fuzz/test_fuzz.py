"""The same nets in every run: `python -m tests.fuzz` looks for new ones."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, given, settings

from netcompile.diagnostics.source import Source
from netcompile.layers.base import Arity, Refused
from netcompile.layers.registry import load
from netcompile.prototxt.load import load_net
from tests.fuzz import check, forks, hostile, mutate, oracles
from tests.fuzz.draw import Drawn
from tests.fuzz.mutate import Mutant, mutants
from tests.fuzz.nets import DRAWS, nets

# Data layers are inputs: nets begin with them. Recurrent cannot be made.
INPUTS = frozenset(("Data", "HDF5Data", "ImageData", "Input", "MemoryData", "Python", "Recurrent", "WindowData"))

HOSTILE = 90
RANKS: tuple[tuple[int, ...], ...] = (
    (),
    (4,),
    (0,),
    (2, 4),
    (4, 1),
    (2, 4, 4),
    (1, 4, 4, 4),
    (1, 4, 0, 4),
    (1, 4, 2, 4, 4),
)


@settings(max_examples=100, phases=(Phase.generate, Phase.shrink))
@given(nets())
def test_equals_the_oracles(net: Drawn) -> None:
    check.check(net)


@settings(max_examples=100, phases=(Phase.generate, Phase.shrink))
@given(mutants())
def test_mistakes_are_refused_or_run(net: Mutant) -> None:
    mutate.check(net)


@settings(max_examples=12, phases=(Phase.generate, Phase.shrink))
@given(mutants())
def test_mistakes_end_no_command_badly(net: Mutant) -> None:
    mutate.check_commands(net)


@pytest.mark.parametrize("start", range(0, HOSTILE, 10))
def test_hostile_nets_end_no_command_badly(start: int) -> None:
    """Layers of every type with whatever their schema allows: exit codes, places, levels that agree."""
    for number in range(start, start + 10):
        hostile.check(hostile.hostile(number), every=False)


@pytest.mark.parametrize("family", [0, 1], ids=["own", "forks"])
def test_no_layer_asks_its_bottoms_for_axes_that_they_lack(family: int) -> None:
    """What it wants, and what it refuses, of bottoms of any rank; and the rest of what it takes."""
    asked = 0
    for name, number in product(hostile.types()[family], range(4)):
        layer = hostile.alone(number, name)
        count = 0 if layer is None else Arity.range(layer.arity.bottoms)[0]
        for shapes in product(RANKS, repeat=min(count, 2)) if layer is not None else ():
            bottoms = (*shapes, *shapes[:1] * (count - len(shapes)))
            for index in range(count):
                with suppress(Refused):
                    layer.wants(index, *bottoms)
            with suppress(Refused):
                if all(condition.holds() for condition in layer.conditions(*bottoms)):
                    tops = layer.shapes(*bottoms)
                    asked += 1
                    layer.blobs(*bottoms), layer.macs(bottoms, tops), layer.coords(*bottoms), layer.reach(*bottoms)
    assert asked > 300


def test_hostile_nets_are_of_all_kinds() -> None:
    """The generator draws what it is meant to: types of forks, nets that are accepted, and others."""
    drawn = [hostile.hostile(number) for number in range(HOSTILE)]
    accepted = [hostile.accepted(net.text, "train" in net.options, "--with-loss" in net.options) for net in drawn]
    types = {name for net in drawn for name in net.types}
    assert len(types & set(hostile.types()[1])) > 20
    assert HOSTILE / 5 < sum(accepted) < HOSTILE


def test_every_type_is_drawn() -> None:
    """Every type of BVLC Caffe; a test of the strategy, which a layer could slip out of."""
    own = {name for name, c in load().items() if not c.fork and c.__module__.startswith("netcompile.")}
    covered = set(DRAWS) | {"InfogainLoss"}  # which SoftmaxWithLoss's draws make too
    assert own - INPUTS <= covered


def test_every_fork_type_has_a_rule_or_a_reason() -> None:
    """A fork's layer that computes is drawn; and what is drawn has a class."""
    classes = {c: name for name, c in load().items() if c.fork and c.__module__.startswith("netcompile.")}
    assert [name for c, name in classes.items() if c not in forks.RULES and not forks.reason(c)] == []
    assert [name for c, name in classes.items() if c in forks.RULES and forks.reason(c)] == []


def test_a_layer_without_an_oracle_is_its_own() -> None:
    """What has no oracle in NumPy is drawn all the same: its code at -O0 computes what other levels must give."""
    assert oracles.oracle("NoOracleForThis") is oracles.by_itself
    text = 'layer { name: "a" type: "ReLU" bottom: "x" top: "x" relu_param { negative_slope: 0.25 } }'
    message = load_net(Source(text)).net.all("layer")[0]
    value = np.array([[-4.0, 2.0], [0.0, -1.0]])
    (found,) = oracles.by_itself(message, [value], [], train=False)
    (wanted,) = oracles.ORACLES["ReLU"](message, [value], [], False)
    assert (found == wanted).all()


def test_nets_are_not_small() -> None:
    """The strategy draws what it is meant to: several layers, inputs and outputs, shared parameters, phases."""
    seen: Counter[str] = Counter()

    @settings(max_examples=80, phases=(Phase.generate,))
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
