"""Repeated parts as classes: never another value, at least the saving that was planted, flat where nothing repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.compiler import compile_net
from netcompile.emit import blocks, repeats
from netcompile.emit.outline import outline
from netcompile.emit.weights import blob_keys
from netcompile.runtime.random_weights import draw
from tests.conftest import ALL_CASES, REPOSITORY, ConformanceCase
from tests.emit.blocks import compare, of_text, of_towers, pair, small
from tests.emit.planted import NAMINGS, PLAIN, height, planted, saving
from tests.kinds import kinds

ZOO = {
    "resnet-50": (1,),
    "googlenet": (2,),
    "squeezenet-v1.0": (1, 2),
    "squeezenet-v1.1": (1, 2),
    "shapes-ssd": (1, 2),
    "shapes-fcn8s": (1, 2),
    "shapes-classifier": (1, 2),
}
LARGE = ("resnet-50", "googlenet")


def _kinds() -> Iterator[ConformanceCase]:
    """Those cases that have a layer, with its fields, that none before has in that phase."""
    seen: set[tuple[object, ...]] = set()
    for case in ALL_CASES:
        new = {(case.phase, *kind) for kind in kinds(case.net)}
        if not new <= seen:
            seen |= new
            yield case


KINDS = tuple(_kinds())
# Layers that give indices, that do nothing, that share weights.
FLAT = {case.name for case in KINDS if "argmax" in case.name} | {"dropout-basic", "y-share-deconv-conv"}


@pytest.mark.parametrize("part", range(4))
def test_every_layer_in_blocks_gives_the_same_values(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever repeats becomes a block here, were it of one line: so each kind of layer is in one."""
    monkeypatch.setattr(repeats, "OVERHEAD", -1000)
    monkeypatch.setattr(blocks, "outline", lambda body, worth: outline(body))
    flat, differing = set(), []
    for index, case in enumerate(KINDS[part::4]):
        net, inputs = of_towers(case)
        found = compare(net, inputs, levels=(1,) if index % 6 else (1, 2), learning=case.phase == "TRAIN")
        flat |= {case.name for each in found.compared if each.style == "flat"}
        differing += [f"{case.name} {each}" for each in found.differences]
    assert not differing
    assert flat <= FLAT


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_in_blocks_gives_the_same_values(name: str) -> None:
    net = small(_deploy(name))
    assert net is not None
    assert compare(net, levels=ZOO[name]).differences == []


@pytest.mark.parametrize("name", sorted(ZOO.keys() - LARGE))
def test_the_zoo_in_blocks_learns_the_same(name: str) -> None:
    net = small(_deploy(name), train=True)
    assert net is not None
    assert compare(net, levels=(1,), learning=True).differences == []


def _deploy(name: str) -> Path:
    return next(p for p in sorted((REPOSITORY / "prototxt" / name).glob("*.prototxt")) if "deploy" in p.name)


# Random nets with planted repetitions.

SEEDS = st.integers(0, 2**32)
FLAGS, LEVEL = st.booleans(), st.sampled_from((1, 1, 2))


@settings(max_examples=60)
@given(SEEDS, st.integers(2, 6), st.integers(2, 9), st.sampled_from(sorted(NAMINGS)), FLAGS, FLAGS, FLAGS, LEVEL)
def test_blocks_never_change_a_value(
    seed: int, count: int, size: int, naming: str, glue: bool, in_place: bool, varied: bool, level: int
) -> None:
    net = planted(Random(seed), count, size, naming, glue=glue, in_place=in_place, varied=varied)
    assert compare(of_text(net.text), levels=(level,), learning=True).differences == []


@settings(max_examples=60)
@given(SEEDS, st.integers(2, 8), st.integers(2, 12), st.sampled_from(PLAIN), FLAGS, FLAGS, FLAGS)
def test_blocks_find_what_was_planted(
    seed: int, count: int, size: int, naming: str, glue: bool, in_place: bool, varied: bool
) -> None:
    net = planted(Random(seed), count, size, naming, plain=True, glue=glue, in_place=in_place, varied=varied)
    both = pair(of_text(net.text), 1)
    assert height(both.flat) - height(both.blocks) >= saving(both.flat, net) - 6


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 6), st.integers(2, 9), FLAGS, FLAGS)
def test_blocks_that_save_little_are_not_chosen(seed: int, count: int, size: int, glue: bool, varied: bool) -> None:
    net = planted(Random(seed), count, size, "resnet", glue=glue, varied=varied)
    analysed = of_text(net.text)
    both, chosen = pair(analysed, 1), compile_net(analysed, 1, style=None)
    assert chosen.source in (both.flat.source, both.blocks.source)
    assert height(both.blocks) <= height(both.flat)
    if chosen.style == "blocks":
        assert height(chosen) < height(both.flat)


ALONE = ("ReLU", "Sigmoid", "TanH", "AbsVal", "BNLL", "Softmax", "ELU", "Power", "Exp", "LRN")


@settings(max_examples=25)
@given(SEEDS)
def test_nets_without_repetitions_are_flat(seed: int) -> None:
    random = Random(seed)
    text, before = _input(), "data"
    for index, kind in enumerate(random.sample(ALONE, random.randint(1, len(ALONE)))):
        bias = str(index % 2 == 0).lower()
        numbers = f"num_output: {index + 2} kernel_size: {2 * index + 1} pad: {index} bias_term: {bias}"
        text += _layer("Convolution", f"c{index}", before, f"c{index}", f"convolution_param {{ {numbers} }}")
        text += _layer(kind, kind, f"c{index}", kind)
        before = kind
    module = compile_net(of_text(text), 1, style=None)
    assert module.style == "flat"


# What is special about some layers.


def _input(name: str = "data", channels: int = 4, size: int = 12) -> str:
    return (
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ dim: 2 dim: {channels} dim: {size} dim: {size} }} }} }}\n"
    )


def _chain(count: int, part: str, first: str = "data") -> str:
    """A part several times in a row; ``<i>`` is which, ``<b>`` what it reads, and its result is ``out<i>``."""
    return "".join(part.replace("<i>", str(i)).replace("<b>", f"out{i - 1}" if i else first) for i in range(count))


def _layer(kind: str, name: str, bottoms: str, tops: str, more: str = "") -> str:
    read = " ".join(f'bottom: "{each}"' for each in bottoms.split())
    made = " ".join(f'top: "{each}"' for each in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} {made} {more} }}\n'


def _conv(name: str, bottom: str, top: str = "", more: str = "") -> str:
    numbers = 'num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" }'
    return _layer("Convolution", name, bottom, top or name, f"{more} convolution_param {{ {numbers} }}")


UNIT = (
    _conv("conv<i>", "<b>")
    + _layer("BatchNorm", "bn<i>", "conv<i>", "bn<i>")
    + _layer("Scale", "scale<i>", "bn<i>", "bn<i>", "scale_param { bias_term: true }")
    + _layer("TanH", "tanh<i>", "bn<i>", "tanh<i>")
    + _conv("next<i>", "tanh<i>")
    + _layer("Eltwise", "sum<i>", "next<i> <b>", "out<i>")
)
SHARED = (
    _conv("conv<i>", "<b>", more='param { name: "w" } param { name: "b<i>" }')
    + _layer("TanH", "tanh<i>", "conv<i>", "tanh<i>")
    + _conv("next<i>", "tanh<i>")
    + _conv("third<i>", "next<i>")
    + _layer("AbsVal", "abs<i>", "third<i>", "abs<i>")
    + _conv("last<i>", "abs<i>", "out<i>")
)
INDICES = (
    _conv("conv<i>", "<b>")
    + _layer("ArgMax", "most<i>", "conv<i>", "most<i>", "argmax_param { axis: 1 }")
    + _conv("next<i>", "conv<i>")
    + _layer("Pooling", "pool<i>", "next<i>", "pool<i>", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + _conv("last<i>", "pool<i>", "out<i>")
)
SIZED = (
    _conv("conv<i>", "<b>")
    + _layer(
        "Deconvolution", "up<i>", "conv<i>", "up<i>", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 }"
    )
    + _layer("Pooling", "down<i>", "up<i>", "down<i>", "pooling_param { kernel_size: 2 stride: 2 }")
    + _layer("Crop", "crop<i>", "down<i> <b>", "crop<i>", "crop_param { axis: 2 }")
    + _conv("next<i>", "crop<i>")
    + _layer("Pooling", "all<i>", "next<i>", "all<i>", "pooling_param { pool: AVE global_pooling: true }")
    + _layer("Flatten", "flat<i>", "all<i>", "flat<i>")
    + _layer("Scale", "by<i>", "next<i> flat<i>", "out<i>", "scale_param { axis: 0 }")
)
STATEFUL = UNIT + _layer("Dropout", "drop<i>", "out<i>", "out<i>")
TAIL = _layer("EuclideanLoss", "loss", "out4 target", "loss")
SHAPE = "shape { dim: 1 dim: 4 dim: 9 dim: 9 }"
MADE = _layer("DummyData", "data", "", "data", f"dummy_data_param {{ {SHAPE} data_filler {{ value: 0.5 }} }}")

SPECIAL = {
    "units": (_input() + _chain(5, UNIT), False, True),
    "units in training": (_input() + _input("target") + _chain(5, UNIT) + TAIL, True, True),
    "shared weights": (_input() + _chain(5, SHARED), False, True),
    "shared weights in training": (_input() + _input("target") + _chain(5, SHARED) + TAIL, True, True),
    "indices": (_input() + _chain(5, INDICES), False, True),
    "sizes of the image": (_input() + _chain(5, SIZED), False, True),
    "state in training": (_input() + _input("target") + _chain(5, STATEFUL) + TAIL, True, True),
    "no input": (MADE + _chain(5, UNIT), False, True),
    "several inputs": (
        _input() + _input("more") + _chain(4, UNIT) + _chain(4, UNIT, "more").replace('0"', '00"').replace('1"', '11"')
        .replace('2"', '22"').replace('3"', '33"'),
        False,
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_layers(name: str) -> None:
    text, train, repeats_ = SPECIAL[name]
    found = compare(of_text(text, train=train), learning=True)
    assert found.differences == []
    assert found.compared[0].style == ("blocks" if repeats_ else "flat")


def test_shared_parameters_are_one_tensor_in_blocks() -> None:
    text, _, _ = SPECIAL["shared weights"]
    net = of_text(text)
    module = compile_net(net, 1, style="blocks")
    made = draw(net, module)
    keys = blob_keys(module)
    own = {blob: dict(made.named_parameters(remove_duplicate=False))[key] for blob, key in keys.items()}
    assert len({id(own[f"conv{i}.0"]) for i in range(5)}) == 1
    assert len({id(own[f"conv{i}.1"]) for i in range(5)}) == 5


def test_statistics_in_blocks_move_in_training() -> None:
    text, _, _ = SPECIAL["units in training"]
    net = of_text(text, train=True)
    module = compile_net(net, 1, style="blocks")
    made = draw(net, module)
    keys = [blob_keys(module)[f"bn{i}.0"] for i in range(5)]
    assert len(set(keys)) == 5
    before = {key: made.state_dict()[key].clone() for key in keys}
    made(*(torch.randn(net.shapes[value]) for value in module.inputs))
    assert all(not torch.equal(before[key], made.state_dict()[key]) for key in keys)


@pytest.mark.parametrize("level", [1, 2])
def test_outputs_within_repeated_parts(level: int) -> None:
    net = of_text(_input() + _chain(6, UNIT))
    for outputs in (["tanh3"], ["out5", "tanh2"], ["conv0", "next5", "out2", "out5"], ["bn1"], ["data", "out5"]):
        found = compare(net, levels=(level,), outputs=outputs)
        assert found.differences == []
        assert found.compared[0].blocks.outputs == tuple(outputs)


def test_every_blob_has_a_key_whatever_the_style() -> None:
    net = small(REPOSITORY / "prototxt" / "resnet-50" / "deploy.prototxt")
    assert net is not None
    for level in (1, 2):
        both = pair(net, level)
        wanted = {str(take) for blobs in both.flat.blobs for take in blobs.own}
        assert blob_keys(both.blocks).keys() == blob_keys(both.flat).keys() == wanted


@pytest.mark.parametrize("naming", ["clash", "keywords", "unicode", "quotes", "same stem", "numbers", "long"])
def test_names_never_meet(naming: str) -> None:
    net = planted(Random(5), 8, 8, naming, plain=True, varied=True)
    analysed = of_text(net.text)
    found = compare(analysed, levels=(1,))
    assert found.differences == []
    module = found.compared[0].blocks
    assert module.style == "blocks"
    assert len(draw(analysed, module).state_dict()) == len(module.weights)


# Large nets: counted, since clocks lie.


def _windows(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a window is made longer while the net's blocks are looked for."""
    count = 0
    longer = repeats._longer

    def counted(scans: Sequence[repeats._Scan], reads: int, places: Sequence[repeats.Place], length: int) -> list[Any]:
        nonlocal count
        count += len(places)
        return longer(scans, reads, places, length)

    with monkeypatch.context() as patched:
        patched.setattr(repeats, "_longer", counted)
        compile_net(of_text(text), 1, style="blocks", comments=False)
    return count


RELU = _layer("ReLU", "relu<i>", "<b>", "out<i>")


@pytest.mark.parametrize("part", [UNIT, SHARED, RELU])
def test_the_search_is_linear(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    some, many = (_windows(_input() + _chain(count, part), monkeypatch) for count in (100, 500))
    assert many <= 10 * some
