"""A small net with everything that makes training hard, and how the tests here train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from netcompile.diagnostics.source import Source
from netcompile.train.loop import Training
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.solver import read_solver

# Shared weights, BatchNorm's running sums, Dropout, two losses, a bilinear layer that is not learned.
NET = """
name: "small"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 5 dim: 2 dim: 9 dim: 8 } shape { dim: 5 dim: 1 dim: 9 dim: 8 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" param { name: "w" lr_mult: 1 decay_mult: 1 }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" param { name: "w" }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "c2" top: "c2" }
layer { name: "sc" type: "Scale" bottom: "c2" top: "c2" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "drop" type: "Dropout" bottom: "c2" top: "c2" dropout_param { dropout_ratio: 0.3 } }
layer { name: "score" type: "Convolution" bottom: "c2" top: "score"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalize: true } }
layer { name: "ip" type: "InnerProduct" bottom: "score" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "away" type: "EuclideanLoss" bottom: "ip" bottom: "ip0" top: "away" loss_weight: 0.1 }
layer { name: "acc" type: "Accuracy" bottom: "score" bottom: "label" top: "acc"
  accuracy_param { ignore_label: 255 } include { phase: TEST } }
""".replace(
    'layer { name: "away"',
    'layer { name: "ip0" type: "Power" bottom: "ip" top: "ip0" power_param { scale: 0 shift: 0.5 } }\n'
    'layer { name: "away"',
)

SOLVER = """
net: "net.prototxt"
base_lr: 0.02 lr_policy: "step" gamma: 0.5 stepsize: 5 momentum: 0.9 weight_decay: 0.001
iter_size: 2 max_iter: 6 random_seed: 7 clip_gradients: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with net.prototxt, solver.prototxt and batches.npz."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    random = np.random.default_rng(0)
    label = random.integers(0, 3, (8, 5, 1, 9, 8)).astype(np.float32)
    label[random.random(label.shape) < 0.3] = 255
    data = random.standard_normal((8, 5, 2, 9, 8)).astype(np.float32)
    np.savez(tmp_path / "batches.npz", data=data, label=label)
    return tmp_path


@pytest.fixture
def begin(folder: Path) -> Callable[..., Training]:
    """A training of the folder's solver, with `more` text added to it; `said` collects its lines."""

    def start(more: str = "", said: list[str] | None = None, **wishes: object) -> Training:
        source = Source((folder / "solver.prototxt").read_text() + more, str(folder / "solver.prototxt"))
        settings = {"data": str(folder / "batches.npz"), "out": str(folder / "out"), **wishes}
        lines: list[str] = [] if said is None else said
        return prepare(read_solver(source), Wishes(**settings), lines.append, lambda found: None)  # type: ignore[arg-type]

    return start
