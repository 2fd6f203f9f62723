"""Lints: what each tells, and that none of them cries wolf."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.report.findings import findings
from tests.conftest import REPOSITORY

BUNDLED = sorted(path for path in REPOSITORY.glob("prototxt/*/*.prototxt") if path.stem != "solver")
HEAD = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 20 dim: 20 } } }\n'


def window(name: str, bottom: str, fields: str, kind: str = "Convolution", rest: str = "") -> str:
    param = "pooling_param" if kind == "Pooling" else "convolution_param"
    outputs = "" if kind == "Pooling" else "num_output: 4 "
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {rest}'
        f"{param} {{ {outputs}{fields} }} }}\n"
    )


def plain(name: str, kind: str, *bottoms: str, rest: str = "") -> str:
    inputs = " ".join(f"bottom: {bottom!r}" for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {inputs} top: "{name}" {rest} }}\n'


def told(text: str, **options: object) -> list[tuple[str, str]]:
    found = findings(analyse(Source(text), Options(**options)))  # type: ignore[arg-type]
    return [(finding.code, finding.what) for finding in found]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("train", [False, True])
def test_no_false_alarm(path, train):
    found = findings(analyse(open_source(path), Options(train=train, with_loss=train)))
    assert {finding.code for finding in found} <= {"assumed-shape", "label-dropped"}


SHIFTED = window("p", "x", "kernel_size: 3 stride: 2", "Pooling") + window("c", "x", "kernel_size: 1 stride: 2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SHIFTED + plain("s", "Eltwise", "p", "c"),
            [
                ("join-shift", "layer 's' joins 'p' and 'c', which lie 1/2 pixel apart"),
                ("rounding", "layer 's' gets blobs of equal size for H ≡ 0 (mod 2) only"),
            ],
        ),
        (
            window("p", "x", "kernel_size: 2 stride: 2", "Pooling")
            + window("c", "x", "kernel_size: 2 stride: 2")
            + plain("s", "Eltwise", "p", "c"),
            [("rounding", "layer 's' gets blobs of equal size for H = 1 and H ≡ 0 (mod 2) only")],
        ),
        (
            window("c", "x", "kernel_size: 3 pad: 1 stride: 2")
            + window("u", "c", "kernel_size: 4 pad: 1 stride: 2", "Deconvolution"),
            [("half-pixel", "output 'u' has the input's stride, and its pixels lie -1/2 pixels off the input's")],
        ),
        (window("p", "x", "kernel_size: 2", "Pooling"), []),
        (
            window("c", "x", "kernel_size: 4 pad: 1 stride: 2")
            + window("u", "c", "kernel_size: 4 pad: 1 stride: 2", "Deconvolution"),
            [],
        ),
        (
            window("c", "x", "kernel_size: 3 pad: 1") + plain("k", "Crop", "c", "x", rest="crop_param { offset: 0 }"),
            [("crop-needless", "crop 'k' cuts nothing, for any input")],
        ),
        (window("c", "x", "kernel_size: 3 pad: 2") + plain("k", "Crop", "c", "x", rest="crop_param { offset: 1 }"), []),
        (
            window("u", "x", 'group: 4 kernel_size: 3 stride: 2 weight_filler { type: "bilinear" }', "Deconvolution"),
            [
                (
                    "bilinear-kernel",
                    "deconvolution 'u' is filled bilinearly, and its kernel 3 does not fit its stride 2",
                )
            ],
        ),
        (window("u", "x", 'group: 4 kernel_size: 4 stride: 2 weight_filler { type: "bilinear" }', "Deconvolution"), []),
        (
            window("u", "x", 'kernel_size: 4 stride: 2 weight_filler { type: "bilinear" }', "Deconvolution"),
            [("bilinear-group", "deconvolution 'u' is filled bilinearly between all its channels")],
        ),
        (
            window("u", "x", "kernel_size: 5 stride: 2", "Deconvolution", "param { lr_mult: 0 } "),
            [("bilinear-kernel", "deconvolution 'u' is frozen, and its kernel 5 does not fit its stride 2")],
        ),
        (window("u", "x", "kernel_size: 2 stride: 2", "Deconvolution", "param { lr_mult: 0 } "), []),
        (window("u", "x", "kernel_size: 3 stride: 2", "Deconvolution", "param { lr_mult: 0 } "), []),
        (
            window("p", "x", "kernel_size: 1 stride: 3", "Pooling"),
            [("empty-window", "the last window of pooling 'p' holds nothing for H ≢ 1 (mod 3)")],
        ),
        (window("p", "x", "kernel_size: 1 stride: 3 round_mode: FLOOR", "Pooling"), []),
        (window("p", "x", "kernel_size: 2 stride: 3 pad: 1", "Pooling"), []),
        (
            window("c", "x", "kernel_size: 21 stride: 2"),
            [("cut-window", "convolution 'c' has no room for its window of 21")],
        ),
        (window("c", "x", "kernel_size: 20 stride: 2"), []),
        (
            plain("a", "Softmax", "x") + plain("b", "Log", "a"),
            [("log-of-probability", "layer 'b' takes the logarithm of what 'a' has rounded")],
        ),
        (plain("a", "Softmax", "x") + plain("b", "Log", "a", rest="log_param { shift: 0.001 }"), []),
        (
            plain("a", "Sigmoid", "x") + plain("b", "SigmoidCrossEntropyLoss", "a", "x"),
            [("twice-normalised", "loss 'b' takes the sigmoid of a sigmoid")],
        ),
        (
            plain("a", "ReLU", "x") + plain("b", "TanH", "x") + 'layer { name: "q" type: "Silence" bottom: "b" }\n',
            [("dead-layer", "nothing but a Silence depends on layer 'b'")],
        ),
        (plain("a", "ReLU", "x") + 'layer { name: "q" type: "Silence" bottom: "a" }\n', []),
    ],
)
def test_what_is_told(text, expected):
    assert told(HEAD + text) == expected


def test_sizes_that_round_differently_are_written_plainly():
    text = window("p", "x", "kernel_size: 2 stride: 2", "Pooling") + window("c", "x", "kernel_size: 2 stride: 2")
    finding = findings(analyse(Source(HEAD + text + plain("s", "Eltwise", "p", "c"))))[0]
    assert finding.why.startswith("⌈H/2⌉ against ⌊H/2⌋ (H >= 2), 1 (H = 1): ")


def test_indices_beyond_float32():
    text = HEAD.replace("dim: 20 dim: 20", "dim: 4097 dim: 4097").replace("dim: 4 ", "dim: 1 ")
    pool = window("p", "x", "kernel_size: 2 stride: 2", "Pooling", 'top: "m" ')
    assert [code for code, _ in told(text + pool)] == ["float-index"]
    assert told(text.replace("4097", "4096") + pool) == []
    best = 'layer { name: "a" type: "ArgMax" bottom: "x" top: "a" }'
    assert [code for code, _ in told(text + best)] == ["float-index"]


def test_a_join_names_the_layers_that_shift():
    finding = findings(analyse(Source(HEAD + SHIFTED + plain("s", "Eltwise", "p", "c"))))[0]
    assert finding.why == (
        "shifts on the way, in pixels of the input: 'p': 'p' (+1/2, at 2:1); 'c': 'c' (-1/2, at 3:1)"
    )
    assert finding.span is not None
    assert finding.span.text == "'c'"


def test_every_lint_has_a_remedy():
    for path in sorted((REPOSITORY / "netcompile/analysis").glob("*.py")):
        source = path.read_text()
        assert source.count("Diagnostic(\n") <= source.count("remedy"), path
