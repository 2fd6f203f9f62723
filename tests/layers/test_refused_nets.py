"""Nets that real Caffe stops at: refused here too, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import commands
from tests.layers.harness import inputs_text, refusals

FOLDER = Path(__file__).parents[1] / "refused"
# file -> line and column, code and words of what is said; a crop out of bounds is told for each axis
REFUSED = {
    "bad-enum": ("3:83", "unknown-enum-value", "MAXIMUM is no PoolMethod"),
    "bottom-before-top": ("3:40", "bottom-order", "bottom 'y' is used before it is produced"),
    "concat-both-axes": ("4:104", "param-conflict", "axis and concat_dim together"),
    "conv-group-output": ("3:121", "group", "num_output 3 is not divisible by group 2"),
    "conv-group": ("3:121", "group", "layer 'x': 3 input channels are not divisible by group 2"),
    "conv-kernel-both": ("3:112", "param-conflict", "kernel_size and kernel_h/kernel_w together"),
    "conv-kernel-larger-than-input": ("3:47", "empty-output", "layer 'x': output size is not positive: 1×2×-2×-2"),
    "conv-no-kernel": ("3:65", "param-missing", "layer 'x': no kernel size"),
    "conv-no-num-output": ("3:65", "param-missing", "num_output missing"),
    "conv-stride-zero": ("3:122", "param-range", "stride 0 is less than 1"),
    "crop-out-of-bounds": ("4:96", "crop-bounds", "layer 'x': offset 3 + size 6 > 8"),
    "dummy-data-filler": ("2:119", "filler", "min 1 is above max 0"),
    "duplicate-scalar": ("3:19", "duplicate-field", "name given twice"),
    "eltwise-coeff-count": ("4:93", "param-count", "1 coeff for 2 bottoms"),
    "eltwise-prod-coeff": ("4:109", "param-conflict", "coeff only with SUM"),
    "eltwise-shapes": ("4:55", "shape", "layer 'x': shapes differ"),
    "euclidean-shapes": ("4:61", "shape", "layer 'x': shapes differ"),
    "filler-bilinear-axes": ("3:122", "filler", "layer 'x': a bilinear filler cannot fill a blob 2"),
    "filler-bilinear-window": ("3:156", "filler", "layer 'x': a bilinear filler cannot fill a blob 3×1×4×2"),
    "filler-gaussian-std": ("3:140", "filler", "layer 'x': std 0 is not positive"),
    "filler-sparse-probability": ("3:143", "filler", "layer 'x': sparse is 5, and a blob 2×3 has 2 outputs"),
    "filler-sparse": ("3:141", "filler", "layer 'x': sparse is for gaussian fillers only, not for xavier"),
    "filler-uniform-bounds": ("3:139", "filler", "layer 'x': min 1 is above max -1"),
    "filler-unitball-axes": ("3:136", "filler", "layer 'x': a positive_unitball filler cannot fill a blob 2×3×2×2×2"),
    "infogain-loss-two-tops": ("5:100", "arity", "two tops of InfogainLoss want two loss weights"),
    "inner-product-axis": ("3:108", "axis", "layer 'x': axis 7 of 4"),
    "inplace-after-fanout": ("5:49", "in-place", "in-place ReLU on 'x' after 'x' has another consumer, layer 'b'"),
    "loss-label-count": ("4:66", "shape", "layer 'x': label count does not match"),
    "negative-uint": ("3:97", "out-of-range", "num_output must not be negative"),
    "pool-no-kernel": ("3:61", "param-missing", "no kernel size"),
    "pool-pad-ge-kernel": ("3:107", "param-range", "pad must be smaller than kernel: 2 against 2"),
    "relu-two-bottoms": ("4:52", "arity", "ReLU takes 1 bottom, not 2"),
    "reshape-count": ("3:77", "shape", "layer 'x': element count differs"),
    "scale-shape": ("4:56", "shape", "layer 'x': scale shape does not match axis 1"),
    "slice-points-count": ("3:102", "param-count", "1 slice point for 3 tops"),
    "softmax-loss-two-tops": ("4:91", "arity", "SoftmaxWithLoss cannot give its probabilities as a second top"),
    "softmax-loss-two-weights": ("4:111", "arity", "SoftmaxWithLoss cannot give its probabilities as a second top"),
    "split-in-place": ("3:53", "in-place", "Split does not work in place"),
    "stray-token": ("3:60", "stray-brace", "unmatched brace '}'"),
    "unbalanced": ("3:57", "unclosed-brace", "unclosed brace"),
    "wrong-type": ("3:97", "wrong-type", 'num_output wants a number, whole and not negative, not "three"'),
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.prototxt")), ids=lambda p: p.stem)
def test_refused(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# reject: ")
    found = {(str(f.span).partition(":")[2], f.code, f.what) for f in refusals(text)}
    assert found == {REFUSED[path.stem]}


def test_every_command_refuses_them() -> None:
    for path in sorted(FOLDER.glob("*.prototxt")):
        codes = commands.examine(path.read_text(encoding="utf-8"), ["--with-loss"])
        assert REFUSED[path.stem][1] == "crop-bounds" or set(codes.values()) == {2}, path.stem


@pytest.mark.parametrize(
    ("type_name", "field"),
    [("InnerProduct", "inner_product_param"), ("Convolution", "convolution_param"), ("Scale", "scale_param")],
)
def test_a_filler_without_a_blob_is_not_read(type_name: str, field: str) -> None:
    """Caffe makes no filler for a bias that the layer does not have."""
    size = {"InnerProduct": "num_output: 2 ", "Convolution": "num_output: 2 kernel_size: 1 "}.get(type_name, "")
    layer = f'layer {{ name: "l" type: "{type_name}" bottom: "x" top: "y" {field} {{ {size}'
    fillers = ('bias_filler { type: "gaussian" std: 0 }', 'bias_filler { type: "none such" }')
    for filler in fillers:
        text = inputs_text(x=(1, 3, 4, 4)) + layer
        assert refusals(f"{text} bias_term: false {filler} }} }}") == []
        assert [f.code for f in refusals(f"{text} bias_term: true {filler} }} }}")] == ["filler"]
