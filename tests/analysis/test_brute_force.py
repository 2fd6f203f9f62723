"""The proofs against brute force: every net at hand for small sizes, random nets, and that a wrong proof is caught.

`python -m tests.analysis.brute_force` does the same for every size up to 4096.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.algebra import NSet, Size, SizeTooComplex, crop_slack
from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from tests.algebra.oracles import FAR, chain_number, chain_size, chains, or_too_complex
from tests.analysis.brute_force import ROOT, corpus, disagreements, load

SMALL = 40
LARGE = ("inception", "dpn", "resnet", "googlenet_v3", "xception")  # of these, a few hundred layers each
BUNDLED = [path for _, path in corpus() if path.is_relative_to(ROOT)]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bundled_nets(path: Path) -> None:
    analysed = load(path)
    if path.stem == "solver":
        assert analysed is None
        return
    assert analysed is not None
    assert list(disagreements(analysed, 150)) == []


def test_the_corpus(shared: Path) -> None:
    nets = 0
    for name, path in corpus():
        if path.is_relative_to(ROOT) or any(large in name for large in LARGE):
            continue
        analysed = load(path)
        if analysed is not None:
            nets += 1
            assert list(disagreements(analysed, SMALL)) == [], name
    assert nets > 90


def test_a_wrong_proof_is_caught() -> None:
    text = (ROOT / "prototxt/voc-fcn8s/deploy.prototxt").read_text()
    right, other = analyse(Source(text)), analyse(Source(text.replace("pad: 100", "pad: 99")))
    assert list(disagreements(right, 100)) == []
    other.__dict__["symbolic"] = right.symbolic
    found = list(disagreements(other, 100))
    assert any(line.startswith("conv1_1, axis 2: 197 at H = 1, the proof says 199") for line in found)
    shifted = analyse(Source(text))
    shifted.__dict__["valid"] = (NSet.between(2), NSet.all())
    assert next(disagreements(shifted, 100)) == "the net: H = 1 is legal, the proof says otherwise (1 sizes)"


@pytest.mark.long
@settings(max_examples=500)
@given(chains(), chains(length=2), st.integers(0, 60))
def test_random_chains(chain: list[object], other: list[object], offset: int) -> None:
    """What a crop of one chain to the size of another leaves over: where legal, its bounds, its values."""
    variable = Size.variable("H")
    cropped = or_too_complex(lambda: chain_size(chain, variable))  # type: ignore[arg-type]
    reference = or_too_complex(lambda: chain_size(other, variable))  # type: ignore[arg-type]
    if cropped is None or reference is None:
        return
    try:
        slack = crop_slack(cropped, reference, offset)
        legal, least, greatest = slack.where_at_least(0), slack.minimum(), slack.maximum()
    except SizeTooComplex:
        return
    seen = []
    for n in (*range(1, 90), *FAR):
        a, b = chain_number(chain, n), chain_number(other, n)  # type: ignore[arg-type]
        real = None if a is None or b is None else a - b - offset
        assert slack.at(n) == real
        assert (n in legal) == (real is not None and real >= 0)
        seen += [] if real is None else [real]
    if seen:
        assert least is None or least <= min(seen)
        assert greatest is None or greatest >= max(seen)


WINDOW = st.tuples(
    st.sampled_from(["Convolution", "Pooling", "Deconvolution"]),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 5),
    st.integers(1, 2),
    st.booleans(),
)


def layer(name: str, bottom: str, window: tuple[str, int, int, int, int, bool]) -> str:
    kind, kernel, stride, pad, dilation, floor = window
    head = f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}"'
    if kind == "Pooling":
        mode, pad = " round_mode: FLOOR" if floor else "", min(pad, kernel - 1)
        return f"{head} pooling_param {{ kernel_size: {kernel} stride: {stride} pad: {pad}{mode} }} }}\n"
    extra = "" if dilation == 1 else f" dilation: {dilation}"
    return f"{head} convolution_param {{ num_output: 2 kernel_size: {kernel} stride: {stride} pad: {pad}{extra} }} }}\n"


@settings(max_examples=150)
@given(st.lists(WINDOW, max_size=2), st.lists(WINDOW, max_size=4), st.lists(WINDOW, max_size=2), st.integers(0, 9))
def test_random_nets(trunk: list[tuple], long: list[tuple], short: list[tuple], offset: int) -> None:  # type: ignore[type-arg]
    """A trunk, two ways, and a crop of the long one to the short one, from the text to the proof."""
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 60 dim: 57 } } }\n'
    ends = []
    base = "x"
    for index, window in enumerate(trunk):
        text += layer(f"t{index}", base, window)
        base = f"t{index}"
    for way, windows in (("a", long), ("b", short)):
        at = base
        for index, window in enumerate(windows):
            text += layer(f"{way}{index}", at, window)
            at = f"{way}{index}"
        ends.append(at)
    if ends[0] != ends[1]:
        text += (
            f'layer {{ name: "crop" type: "Crop" bottom: "{ends[0]}" bottom: "{ends[1]}" top: "out" '
            f"crop_param {{ offset: {offset} }} }}\n"
        )
    analysed = analyse(Source(text))
    if analysed.problems or not analysed.symbolic.spatial:
        return
    assert list(disagreements(analysed, 90)) == []
