"""The lines that Pooling becomes: PyTorch's functions without what says nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from netcompile.runtime.execute import load_source
from tests.layers.harness import compile_text, inputs_text


def pooling(params: str) -> str:
    return (
        inputs_text(data=(1, 2, 9, 8))
        + f'layer {{ name: "x" type: "Pooling" bottom: "data" top: "out" pooling_param {{ {params} }} }}'
    )


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ("kernel_size: 2 stride: 2", "F.max_pool2d(data, 2, stride=2, ceil_mode=True)"),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", "F.max_pool2d(data, 3, stride=2)"),
        ("kernel_size: 3 pad: 1", "F.max_pool2d(data, 3, stride=1, padding=1)"),
        ("pool: AVE kernel_size: 3 stride: 1 pad: 1", "F.avg_pool2d(data, 3, stride=1, padding=1)"),
        (
            "pool: AVE kernel_size: 3 stride_h: 1 stride_w: 2",
            "F.avg_pool2d(data, 3, stride=(1, 2), ceil_mode=True)",
        ),
        ("pool: AVE global_pooling: true", "data.mean(dim=(2, 3), keepdim=True)"),
        ("global_pooling: true", "F.adaptive_max_pool2d(data, 1)"),
    ],
)
def test_the_code_is_what_a_person_would_write(params: str, line: str) -> None:
    source = compile_text(pooling(params))[1].source
    assert [
        text.split("  #")[0].strip() for text in source.replace(": Tensor = ", " = ").split("\n") if " out = " in text
    ] == [f"out = {line}"]


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("pad", [0, 1])
def test_with_steps_of_one_nothing_is_left_over(kernel: int, pad: int) -> None:
    module = load_source(compile_text(pooling(f"pool: AVE kernel_size: {kernel} pad: {pad}"))[1])
    for height in range(5, 12):
        x = torch.randn(1, 2, height, 7)
        assert torch.equal(module(x), F.avg_pool2d(x, kernel, 1, pad, ceil_mode=True))
