"""`repad`: the new text, what it says of it, and when it gives up."""

from __future__ import annotations

import pytest

from netcompile.zoo.find import find_definition


def changes(before: str, after: str) -> list[tuple[int, str]]:
    old, new = before.split("\n"), after.split("\n")
    assert len(old) == len(new)
    return [(number, b.strip()) for number, (a, b) in enumerate(zip(old, new, strict=True), 1) if a != b]


def test_the_text_changes_in_two_places(netcompile):
    text = find_definition("voc-fcn8s/val.prototxt").read_text()
    result = netcompile("repad", "voc-fcn8s/val.prototxt")
    assert result.code == 0
    assert changes(text, result.out) == [(28, "pad: 97"), (628, "offset: 28")]
    assert result.err.splitlines() == [
        "the least pad of 'conv1_1' for every H, W >= 1 is 97 instead of 100",
        "  crop 'score': offset 28 instead of 31",
        "  legal for every H, W; before: every H, W",
        "  at 500x500: 178.7 G MACs and 635.6 MB of activations; before: 181.5 G and 646.3 MB",
        "  at the borders: each side has 3 pixels of padding less; that is no multiple of 32, the coarsest stride, so "
        "windows fall on other pixels and all values change a little, not at the borders alone (--keep-grid looks "
        "for a multiple)",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--range", "100..2000"], [(28, "pad: 69"), (628, "offset: 0")]),
        (["--range", "100.."], [(28, "pad: 69"), (628, "offset: 0")]),
        (["--range", "500"], [(28, "pad: 69"), (628, "offset: 0")]),
        (["--keep-grid"], []),
        (["--layer", "conv1_1", "--range", "40.."], [(28, "pad: 78"), (628, "offset: 9")]),
    ],
)
def test_ranges(netcompile, options, expected):
    text = find_definition("voc-fcn8s/val.prototxt").read_text()
    result = netcompile("repad", "voc-fcn8s/val.prototxt", *options)
    assert (result.code, changes(text, result.out)) == (0, expected)


def test_the_result_is_found_right(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    result = netcompile("repad", "voc-fcn-alexnet/val.prototxt", "--range", "200..", "-o", path)
    assert (result.code, result.out) == (0, "")
    offsets = netcompile("offsets", path, "--json")
    assert offsets.code == 0
    assert offsets.json["valid"][0]["start"] <= 200
    assert netcompile("repad", path, "--range", "200..").out == path.read_text()


HEAD = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }\n'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 1 kernel_size: 3 } }\n'
)
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" inner_product_param { num_output: 2 } }\n'


def test_a_net_that_no_padding_helps(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + CONV + FC)
    result = netcompile("repad", path)
    assert (result.code, result.out) == (1, "")
    assert "error[repad]: no pad of 'c' makes the net legal for every H, W >= 1\n" in result.err
    assert "why: layer 'fc' ties the net to the size that it is declared for, whatever the padding" in result.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--range", "5..2"], "'5..2' is not a range of sizes such as 100..2000"),
        (["--range", "0.."], "is not a range"),
        (["--layer", "d"], "there is no layer 'd'"),
        (["--layer", "relu"], "layer 'relu' has no windows whose pad could change"),
    ],
)
def test_what_makes_no_sense(netcompile, tmp_path, options, words):
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + CONV + 'layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }\n')
    result = netcompile("repad", path, *options)
    assert (result.code, result.out) == (2, "")
    assert words in result.err


def test_a_net_with_nothing_to_pad(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + 'layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }\n')
    result = netcompile("repad", path)
    assert result.code == 2
    assert "error[usage]: the net has no convolution or pooling behind its inputs to pad" in result.err
