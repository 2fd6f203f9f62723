"""Which sizes an exported net takes, as numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.export.sizes import Axis, axis, exported_sizes, signature
from tests.export.nets import single


def compiled(text: str) -> tuple[Analysed, EmittedModule]:
    net = analyse(Source(text)).require()
    return net, compile_net(net)


def mod(residue: int, modulus: int, start: int = 1) -> NSet:
    return NSet.congruent(residue, modulus) & NSet.between(start)


@pytest.mark.parametrize(
    ("legal", "least", "most", "step", "whole"),
    [
        (NSet.all(), 1, None, 1, True),
        (NSet.between(7), 7, None, 1, True),
        (NSet.between(199, 230), 199, 230, 1, True),
        (NSet.of([32]), 32, 32, 1, True),
        (NSet.of([4]) | NSet.between(6), 4, None, 1, False),
        (mod(0, 32), 32, None, 32, True),
        (mod(5, 8), 5, None, 8, True),
        (mod(5, 8, 20), 21, None, 8, True),
        (mod(0, 4) | mod(1, 4), 1, None, 1, False),
        (mod(0, 8) | NSet.of([3]), 3, None, 1, False),
    ],
)
def test_the_progression_of_a_set(legal: NSet, least: int, most: int | None, step: int, whole: bool) -> None:
    found = axis("H", legal)
    assert found == Axis("H", legal, least, most, step, whole)
    assert all((n - least) % step == 0 and (most is None or n <= most) for n in found.first(100))


def test_an_empty_set_has_none() -> None:
    assert axis("H", NSet.none()) is None


@pytest.mark.parametrize(("least", "expected"), [(1, 5), (5, 5), (6, 13), (13, 13)])
def test_the_next_legal_size(least: int, expected: int) -> None:
    one = axis("H", mod(5, 8))
    assert one is not None
    assert one.beyond(least) == expected


def test_beyond_the_last_comes_the_last() -> None:
    one = axis("H", NSet.between(199, 230))
    assert one is not None
    assert one.beyond(500) == 230


CONVOLUTION = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 2 kernel_size: 11 stride: 4 } }"
)


def test_a_window_that_caffe_cuts_off_is_not_exported() -> None:
    """Caffe divides (8 - 11) / 4 towards zero and computes one window; PyTorch refuses it."""
    net, _ = compiled(single(CONVOLUTION, height=30, width=31))
    assert net.valid[0] == NSet.between(8)
    assert exported_sizes(net) == (NSet.between(11), NSet.between(11))


def test_a_net_declared_for_such_a_window_is_exported_for_it_alone() -> None:
    net, _ = compiled(single(CONVOLUTION, height=9, width=31))
    assert exported_sizes(net) == (NSet.of([9]), NSet.between(11))


def test_the_sizes_to_compare_at_are_legal_and_different() -> None:
    net, module = compiled(single(CONVOLUTION, height=30, width=31))
    takes = signature(net, module, True)
    assert takes.five_sizes()[0] == (1, 11, 11)
    assert len(set(takes.five_sizes())) == 5
    assert {size[0] for size in takes.five_sizes()} == {1, 2, 3}
    assert all(h >= 11 and w >= 11 for _, h, w in (takes.example(), *takes.five_sizes(), *takes.sizes(99)))
    (value,) = takes.shapes
    assert takes.shape(value, 3, 12, 13) == (3, 2, 12, 13)
    assert signature(net, module, False).shape(value, 3, 12, 13) == (1, 2, 12, 13)


def test_both_axes_run_through_every_residue() -> None:
    net, module = compiled(single(CONVOLUTION, height=30, width=31))
    sizes = list(signature(net, module, True).sizes(64))
    assert {h % 32 for _, h, _ in sizes} == {w % 32 for _, _, w in sizes} == set(range(32))


def test_a_net_that_no_size_suits_is_refused() -> None:
    text = single(CONVOLUTION, height=30, width=31)
    net, module = compiled(text)
    object.__setattr__(net, "valid", (NSet.none(), NSet.all()))
    with pytest.raises(NetError, match="is legal for no input size"):
        signature(net, module, True)


def test_no_torch_is_loaded() -> None:
    code = "import sys, netcompile.export.sizes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
