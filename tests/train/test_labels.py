"""Labels that are no class, and batches that the net does not take: told with the layer, not by torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.train.loop import Training
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.solver import read_solver

INPUT = """layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 2 dim: 2 } shape { dim: 2 dim: 1 dim: 2 dim: 2 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "score" convolution_param { num_output: 3 kernel_size: 1 } }
"""
DENSE = """layer { name: "first" type: "Slice" bottom: "label" top: "one" top: "two" slice_param { axis: 2 } }
layer { name: "of" type: "Slice" bottom: "one" top: "three" top: "four" slice_param { axis: 3 } }
layer { name: "s" type: "Silence" bottom: "two" bottom: "four" }
layer { name: "d" type: "InnerProduct" bottom: "score" top: "dense" inner_product_param { num_output: 3 } }
"""
LOSS = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "l" %s }'
ONE = 'layer {{ name: "l" type: "{}" bottom: "dense" bottom: "three" top: "l" }}'
EMBED = """layer { name: "l" type: "Embed" bottom: "label" top: "e" embed_param { num_output: 2 input_dim: 3 } }
layer { name: "sum" type: "Reduction" bottom: "e" top: "sum" loss_weight: 1 }
layer { name: "s" type: "Silence" bottom: "score" }
"""
SCORES, CLASSES = "'score' has 3 scores for each label", "the classes of layer 'l' are 0 to 2"


def begin(net: str, label: np.ndarray) -> Training:
    class One:
        def batch(self, index: int) -> dict[str, np.ndarray]:
            return {"x": np.ones((2, 3, 2, 2), np.float32), "label": label}

    solver = f'base_lr: 1 lr_policy: "fixed" max_iter: 1 net_param {{ {net} }}'
    return prepare(read_solver(Source(solver)), Wishes(batches=One()), lambda text: None, lambda found: None)


@pytest.mark.parametrize(
    ("net", "value", "what", "why", "remedy"),
    [
        (LOSS % "", 3, f"label 3 in 'label': {CLASSES}", SCORES, "correct the labels, or the num_output of the scores"),
        (LOSS % "", -1, f"label -1 in 'label': {CLASSES}", SCORES, "correct the labels"),
        (LOSS % "", np.nan, f"label nan in 'label': {CLASSES}", SCORES, "correct the labels"),
        (LOSS % "", 255, f"label 255 in 'label': {CLASSES}", SCORES,
         "loss_param { ignore_label: 255 } if they do not count"),
        (LOSS % "loss_param { ignore_label: 255 }", 4, f"label 4 in 'label': {CLASSES}", SCORES,
         "correct the labels, or the num_output of the scores"),
        (DENSE + ONE.format("HingeLoss"), 3, f"label 3 in 'three': {CLASSES}", SCORES.replace("score'", "dense'"),
         "correct the labels, or the num_output of the scores"),
        (DENSE + ONE.format("MultinomialLogisticLoss"), -2, f"label -2 in 'three': {CLASSES}",
         SCORES.replace("score'", "dense'"), "correct the labels"),
        (LOSS.replace("SoftmaxWithLoss", "Accuracy") % "" + LOSS.replace('"l"', '"m"') % "", 3,
         f"label 3 in 'label': {CLASSES}", SCORES, "correct the labels, or the num_output of the scores"),
        (EMBED, 3, f"label 3 in 'label': {CLASSES}", "input_dim is 3", "correct the indices, or input_dim"),
    ],
)  # fmt: skip
def test_a_label_that_is_no_class(net: str, value: float, what: str, why: str, remedy: str) -> None:
    label = np.zeros((2, 1, 2, 2), np.float32)
    label[1, 0, 0, 0] = value
    training = begin(INPUT + net, label)
    with pytest.raises(NetError) as caught:
        training.run()
    [diagnostic] = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.what, diagnostic.why) == ("label-range", what, why)
    assert diagnostic.remedy == remedy
    assert diagnostic.span is not None


@pytest.mark.parametrize("value", [0, 1, 2, 2.9, -0.5, 255])
def test_labels_that_are_classes(value: float) -> None:
    """Caffe cuts a label to an integer."""
    training = begin(INPUT + LOSS % "loss_param { ignore_label: 255 }", np.full((2, 1, 2, 2), value, np.float32))
    training.run()
    assert training.losses == [0.0 if value == 255 else pytest.approx(np.log(3))]


def folder_of_images(folder: Path, sizes: list[tuple[int, int]], layer: str) -> Training:
    for index, size in enumerate(sizes):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / f"{index}.png")
    (folder / "list.txt").write_text("".join(f"{index}.png 1\n" for index in range(len(sizes))))
    net = f"""layer {{ name: "d" type: "ImageData" top: "data" top: "label" image_data_param {{ source: "list.txt" }} }}
    {layer} layer {{ name: "l" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "l" }}"""
    solver = folder / "solver.prototxt"
    text = f'base_lr: 1 lr_policy: "fixed" max_iter: {len(sizes)} net_param {{ {net} }}'
    return prepare(read_solver(Source(text, str(solver))), Wishes(), lambda text: None, lambda found: None)


DENSE_ON_IMAGES = """layer { name: "y" type: "InnerProduct" bottom: "data" top: "y"
  inner_product_param { num_output: 3 } }"""
CONVOLUTION = """layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 3 kernel_size: 4 } }
layer { name: "y" type: "Pooling" bottom: "c" top: "y" pooling_param { pool: AVE global_pooling: true } }"""


@pytest.mark.parametrize(
    ("layer", "size", "code", "what"),
    [
        (DENSE_ON_IMAGES, (9, 8), "batch-size",
         "layer 'y' does not go with a batch of another size: data 1×3×9×8, label 1"),
        (CONVOLUTION, (3, 8), "empty-output", "layer 'c': output size is not positive: 1×3×0×5"),
    ],
)  # fmt: skip
def test_a_later_batch_that_the_net_does_not_take(
    layer: str, size: tuple[int, int], code: str, what: str, tmp_path: Path
) -> None:
    training = folder_of_images(tmp_path, [(8, 8), (8, 8), size], layer)
    with pytest.raises(NetError) as caught:
        training.run()
    assert [(d.code, d.what) for d in caught.value.diagnostics] == [(code, what)]
    assert len(training.losses) == 2


def test_a_later_batch_of_another_size(tmp_path: Path) -> None:
    training = folder_of_images(tmp_path, [(8, 8), (9, 7), (8, 8)], CONVOLUTION)
    training.run()
    assert len(training.losses) == 3
