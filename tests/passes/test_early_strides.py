"""Pixels that a stride leaves out are not computed, and the rest is the literal net's, for every size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net, optimise_net
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.passes.base import Program
from netcompile.passes.early_strides import EARLY_STRIDES
from netcompile.passes.nodes.convolution import FusedConvolution
from netcompile.runtime.random_weights import draw

SIZES = ((24, 24), (25, 27), (29, 22), (31, 40))


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def conv(name: str, bottom: str, kernel: int = 1, stride: int | str = 1, pad: int = 0, outputs: int = 4) -> str:
    window = f"stride: {stride}" if isinstance(stride, int) else stride
    text = f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param '
    return text + f"{{ num_output: {outputs} kernel_size: {kernel} pad: {pad} {window} }} }}\n"


def other(kind: str, name: str, *bottoms: str, more: str = "", top: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {more} }}\n'


def analysed(text: str, train: bool = False) -> Analysed:
    head = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 24 dim: 24 } } }\n'
    return analyse(Source(head + text), Options(train=train)).require()


def optimised(net: Analysed, outputs: list[str] | None = None) -> tuple[Program, list[str]]:
    """The net, and where the pass did not apply."""
    found = optimise_net(net, 2, outputs)
    return found.program, [str(site) for site in found.skipped if site.step == EARLY_STRIDES.name]


def strides(program: Program) -> dict[str, tuple[int, ...]]:
    """What each convolution's stride is, and of which blobs some rows and columns are cut."""
    found = {}
    for node in program.graph.nodes:
        if isinstance(node.layer, FusedConvolution):
            found[node.name] = tuple(w[1] for w in node.layer.windows(program.shapes[node.bottoms[0]])[1])
        elif node.type == "Strided":
            found[f"cut of {node.bottoms[0].blob}"] = node.layer.strides  # type: ignore[attr-defined]
    return found


BLOCK = (
    conv("a", "data", 3, 1, 1)
    + conv("b", "a", 1)
    + conv("c", "b", 3, 1, 1)
    + other("ReLU", "cr", "c", top="c")
    + conv("d", "c", 1)
    + other("Eltwise", "sum", "a", "d")
    + other("ReLU", "sr", "sum", top="sum")
    + conv("left", "sum", 1, 2)
    + conv("right", "sum", 1, 2)
    + other("Eltwise", "out", "left", "right")
)
TWO, ONE = (2, 2), (1, 1)
# What is written, and the strides behind the pass.
NETS: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "a stage of a ResNet": (
        BLOCK,
        {"a": ONE, "b": ONE, "c": TWO, "d": ONE, "left": ONE, "right": ONE, "cut of a": TWO},
    ),
    "through kernels of one pixel": (
        conv("a", "data", 5, 1, 2) + conv("b", "a") + conv("c", "b") + conv("d", "c", 1, 3),
        {"a": (3, 3), "b": ONE, "c": ONE, "d": ONE},
    ),
    "strides multiply": (
        conv("a", "data", 3, 2, 1) + conv("b", "a", 1, 2) + conv("c", "b", 1, 3),
        {"a": (12, 12), "b": ONE, "c": ONE},
    ),
    "each axis by itself": (
        conv("a", "data", 3, 1) + conv("b", "a", 1, "stride_h: 2 stride_w: 3"),
        {"a": (2, 3), "b": ONE},
    ),
    "one axis": (
        conv("a", "data", 3, 2) + conv("b", "a", 1, "stride_h: 1 stride_w: 2"),
        {"a": (2, 4), "b": ONE},
    ),
    "layers of pixels": (
        conv("a", "data", 3, 1, 1)
        + other("PReLU", "p", "a")
        + other("Scale", "s", "p", more="scale_param { bias_term: true }")
        + other("Concat", "j", "s", "data")
        + other("TanH", "t", "j")
        + conv("b", "t", 1, 2),
        {"a": TWO, "b": ONE, "cut of data": TWO},
    ),
    "one blob twice": (
        conv("a", "data", 3) + other("Eltwise", "e", "a", "a") + conv("b", "e", 1, 2),
        {"a": TWO, "b": ONE},
    ),
    "groups": (conv("a", "data", 3) + conv("b", "a", 1, "stride: 2 group: 4"), {"a": TWO, "b": ONE}),
    "dilated": (conv("a", "data", 3, "dilation: 2") + conv("b", "a", 1, 2), {"a": TWO, "b": ONE}),
    # as they are
    "kernels of more pixels": (conv("a", "data", 3) + conv("b", "a", 2, 2), {"a": ONE, "b": TWO}),
    "padding": (conv("a", "data", 3) + conv("b", "a", 1, 2, 1), {"a": ONE, "b": TWO}),
    "nothing convolves before": (
        other("Pooling", "p", "data", more="pooling_param { kernel_size: 2 }") + conv("b", "p", 1, 2),
        {"b": TWO},
    ),
    "neighbours mix": (
        conv("a", "data", 3)
        + other("LRN", "n", "a", more="lrn_param { norm_region: WITHIN_CHANNEL }")
        + conv("b", "n", 1, 2),
        {"a": ONE, "b": TWO},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NETS)
def test_strides_move_to_where_they_save_most(case: str) -> None:
    text, wanted = NETS[case]
    program, skipped = optimised(analysed(text))
    assert strides(program) == wanted
    assert not skipped


@pytest.mark.parametrize("case", NETS)
def test_the_literal_nets_numbers(case: str) -> None:
    net = analysed(NETS[case][0])
    literal, made = draw(net, compile_net(net, 0)), draw(net, compile_net(net, 2))
    torch.manual_seed(1)
    for size in SIZES:
        x = torch.randn(2, 3, *size)
        wanted, found = literal(x), made(x)
        assert found.shape == wanted.shape
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


OTHER_USES = {
    "a layer that reads it whole": (conv("a", "data", 3) + conv("b", "a", 1, 2) + conv("c", "a", 3), None),
    "another stride": (conv("a", "data", 3) + conv("b", "a", 1, 2) + conv("c", "a", 1, 3), None),
    "an output": (conv("a", "data", 3) + conv("b", "a", 1, 2), ["a", "b"]),
}


@pytest.mark.parametrize("case", OTHER_USES)
def test_a_value_that_somebody_reads_whole_stays_whole(case: str) -> None:
    text, outputs = OTHER_USES[case]
    program, skipped = optimised(analysed(text), outputs)
    assert strides(program)["a"] == ONE
    assert skipped == ["early-strides: 'b' (line 3): 'a' has another use"]


def test_no_blob_takes_anothers_name() -> None:
    text = conv("a", "data", 3) + conv("b", "a", 1, 2) + conv("a stride 2", "b", 1) + conv("c", "a stride 2", 1)
    program, skipped = optimised(analysed(text))
    assert strides(program)["a"] == ONE
    assert skipped == ["early-strides: 'b' (line 3): there is a blob 'a stride 2' already"]


def test_a_net_for_training_stays() -> None:
    program, skipped = optimised(analysed(conv("a", "data", 3) + conv("b", "a", 1, 2), train=True))
    assert "Strided" not in [node.type for node in program.graph.nodes]
    assert not strides(program)  # nothing is folded either
    assert not skipped


def test_what_is_cut_is_a_view() -> None:
    source = compile_net(analysed(BLOCK), 2).source
    assert "a_stride_2 = a[:, :, ::2, ::2]" in source
