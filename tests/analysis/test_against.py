"""A deploy net against the net that was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netcompile.analyser import analyse
from netcompile.analysis.against import differences
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.conftest import REPOSITORY

TRAINED = Options(train=True, with_loss=True)


def told(deploy: Source, trained: Source) -> list[tuple[str, str]]:
    return [(f.code, f.what) for f in differences(analyse(deploy).graph, analyse(trained, TRAINED).graph)]


def pairs() -> Iterator[tuple[Path, Path]]:
    for folder in sorted((REPOSITORY / "prototxt").iterdir()):
        trained = [
            path for name in ("train", "trainval", "train_val") if (path := folder / f"{name}.prototxt").exists()
        ]
        for name in ("val", "test", "deploy"):
            if trained and (folder / f"{name}.prototxt").exists():
                yield folder / f"{name}.prototxt", trained[0]


@pytest.mark.parametrize(("deploy", "trained"), list(pairs()), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_false_alarm(deploy, trained):
    mean = "the net was trained on preprocessed data: mean_value 104.0, 117.0, 123.0"
    true = [("train-transform", mean)] if "mean_value" in trained.read_text() else []
    assert told(open_source(deploy), open_source(trained)) == true


TRAIN = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 4 }
  transform_param { crop_size: 8 mean_value: 104 mean_value: 117.5 scale: 0.017 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" batch_norm_param { use_global_stats: false } }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "drop" type: "Dropout" bottom: "norm" top: "dropped" dropout_param { dropout_ratio: 0.4 } }
layer { name: "fc" type: "InnerProduct" bottom: "dropped" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
DEPLOY = """
layer { name: "in" type: "Input" top: "image" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "image" top: "conv"
  convolution_param { num_output: 2 kernel_h: 3 kernel_w: 3 pad_h: 1 pad_w: 1 stride: 1 } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "n" batch_norm_param { use_global_stats: true } }
layer { name: "relu" type: "ReLU" bottom: "n" top: "n" }
layer { name: "fc" type: "InnerProduct" bottom: "n" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
PREPARED = (
    "train-transform",
    "the net was trained on preprocessed data: scale 0.017, mean_value 104.0, 117.5",
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("kernel_h: 3 kernel_w: 3", "kernel_size: 5", ["layer 'conv' has kernel_size 5; trained was 3"]),
        ("pad_w: 1", "pad_w: 2", ["layer 'conv' has pad_h 1, 2; trained was 1"]),
        ("num_output: 5", "num_output: 6", ["layer 'fc' has num_output 6; trained was 5"]),
        ('"ReLU"', '"TanH"', ["layer 'relu' is a TanH; trained was a ReLU"]),
        ("use_global_stats: true", "eps: 0.001", ["layer 'norm' has eps 0.001; trained was 1e-05"]),
        ('name: "fc"', 'name: "fc8"', ["the trained net has no layer 'fc8'"]),
        (
            'layer { name: "relu" type: "ReLU" bottom: "n" top: "n" }\n',
            "",
            ["layer 'fc' works on what 'norm' makes; in the trained net on what 'relu' makes"],
        ),
        (
            'name: "norm" type: "BatchNorm" bottom: "conv"',
            'name: "norm" type: "BatchNorm" bottom: "image"',
            ["layer 'norm' works on an input of the net; in the trained net on what 'conv' makes"],
        ),
    ],
)
def test_what_is_told(old, new, expected):
    assert old in DEPLOY
    found = told(Source(DEPLOY.replace(old, new) if old else DEPLOY), Source(TRAIN))
    assert found == [*(("train-differs", text) for text in expected), PREPARED]


def test_the_place_in_the_trained_net_is_shown():
    deploy = Source(DEPLOY.replace("num_output: 5", "num_output: 6"), "deploy")
    first = differences(analyse(deploy).graph, analyse(Source(TRAIN, "train"), TRAINED).graph)[0]
    assert first.span is not None
    assert str(first.span).startswith("deploy:7:")
    ((span, text),) = first.related
    assert (str(span)[:8], span.text, text) == ("train:9:", "5", "the trained net says this")
