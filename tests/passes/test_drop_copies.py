"""Permute without a copy where a Flatten makes one."""

from __future__ import annotations

import pytest
import torch

from netcompile.analyser import analyse
from netcompile.compiler import compile_net, optimise_net
from netcompile.diagnostics.source import Source
from netcompile.runtime.execute import load_source

INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }'
PERMUTE = 'layer { name: "p" type: "Permute" bottom: "data" top: "p" permute_param { %s } }'
FLATTEN = 'layer { name: "f" type: "Flatten" bottom: "p" top: "f" flatten_param { %s } }'
LAST = PERMUTE % "order: 0 order: 2 order: 3 order: 1"
RELU = 'layer { name: "r" type: "ReLU" bottom: "p" top: "r" }'

CASES = {
    "all that moved": ([LAST, FLATTEN % ""], False),
    "more than moved": ([LAST, FLATTEN % "axis: 0"], False),
    "the plane": ([PERMUTE % "order: 0 order: 1 order: 3 order: 2", FLATTEN % "axis: 2"], False),
    "not all that moved": ([LAST, FLATTEN % "axis: 2"], True),
    "not up to the end": ([LAST, FLATTEN % "end_axis: 2"], True),
    "another reader": ([LAST, FLATTEN % "", RELU], True),
    "an output": ([LAST], True),
}


@pytest.mark.parametrize("case", CASES)
def test_copies(case: str) -> None:
    layers, copied = CASES[case]
    analysed = analyse(Source("\n".join([INPUT, *layers]))).require()
    module = compile_net(analysed, 1)
    assert (".contiguous()" in module.source) == copied
    x = torch.randn(2, 3, 4, 5)
    found, wanted = load_source(module)(x), load_source(compile_net(analysed, 0))(x)
    for a, b in zip(*(y.values() if isinstance(y, dict) else [y] for y in (found, wanted)), strict=True):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()


def test_an_output_is_copied_and_said_why() -> None:
    analysed = analyse(Source("\n".join([INPUT, LAST, FLATTEN % ""]))).require()
    found = optimise_net(analysed, 1, ["p", "f"])
    assert [str(site) for site in found.skipped] == ["drop-copies: 'f' (line 3): 'p' has another use"]
