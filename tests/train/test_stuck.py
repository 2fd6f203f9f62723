"""Layers that can never learn are named in the first step, with the cause; those that only start at zero are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netcompile.cli.main import entry
from tests.conftest import TRAINING

SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1'
INPUT = """\
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 2 dim: 4 dim: 4 } shape { dim: 2 dim: 1 dim: 4 dim: 4 } } }
"""
LOSS = (
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "%s" bottom: "label" %s loss_param { ignore_label: 255 } }\n'
)
RELU = 'layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }\n'


def conv(name: str, bottom: str, more: str = "", filler: str = 'weight_filler { type: "xavier" }') -> str:
    own = f"convolution_param {{ num_output: 3 kernel_size: 1 {filler} }}"
    return f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" {more} {own} }}\n'


def up(name: str, bottom: str, more: str = "", filler: str = "") -> str:
    own = f"convolution_param {{ num_output: 3 kernel_size: 1 bias_term: false {filler} }}"
    return f'layer {{ name: "{name}" type: "Deconvolution" bottom: "{bottom}" top: "{name}" {more} {own} }}\n'


def told(folder: Path, capfd: pytest.CaptureFixture[str], net: str, label: float = 1, *options: str) -> list[str]:
    """The lines of all warnings of a training of one step."""
    (folder / "net.prototxt").write_text(INPUT + net)
    (folder / "solver.prototxt").write_text(SOLVER)
    data = np.random.RandomState(0).standard_normal((1, 2, 2, 4, 4)).astype(np.float32)
    np.savez(folder / "b.npz", data=data, label=np.full((1, 2, 1, 4, 4), label, np.float32))
    arguments = ["--data", str(folder / "b.npz"), "-o", str(folder / "out"), *options]
    capfd.readouterr()
    assert entry(["train", str(folder / "solver.prototxt"), *arguments]) == 0
    lines = capfd.readouterr().err.splitlines()
    kept = ("warning[no-gradient]", "  why: ", "  fix: ")
    return [line.removeprefix(f"{folder}/") for line in lines if any(word in line for word in kept)]


ZERO = "are zero and are not learned (lr_mult: 0)"
FILL = "a weight_filler for it, or --weights with its numbers"
INTERP = f"--interp gives it bilinear kernels; or {FILL}"
FROZEN = "param { lr_mult: 0 }"
DEAD = (
    "  why: no kernel of zeros is the reason: a ReLU that only gets negative numbers, data that is zero, labels that "
    "are all ignored, or a layer in between that passes no gradient",
    "  fix: look at the data and the labels, and at the fillers",
)
AWAY = (
    "  why: no way leads from there to a top that counts towards the loss (a loss layer's, or one with a loss_weight)",
    "  fix: a loss_weight for the loss that is meant, or include { phase: TEST } for what is not to be trained",
)
NEVER = "gets no gradient and never learns"
CASES = {
    "a deconvolution that stays zero": (
        conv("a", "data") + RELU + conv("b", "a") + up("up", "b", FROZEN) + LOSS % ("up", ""),
        ["net.prototxt:6:15: warning[no-gradient]: 2 layers get no gradient and never learn: 'a', 'b'",
         f"  why: the kernels of 'up' (Deconvolution), between them and the loss, {ZERO}", f"  fix: {INTERP}"],
    ),
    "a convolution that stays zero": (
        conv("a", "data") + conv("b", "a", FROZEN + FROZEN, "") + LOSS % ("b", ""),
        [f"net.prototxt:4:15: warning[no-gradient]: layer 'a' {NEVER}",
         f"  why: the kernels of 'b' (Convolution), between them and the loss, {ZERO}", f"  fix: {FILL}"],
    ),
    "two in a row that both start at zero": (
        conv("a", "data", filler="bias_term: false") + up("up", "a") + LOSS % ("up", ""),
        [f"net.prototxt:4:15: warning[no-gradient]: layer 'a' {NEVER}",
         "  why: the kernels of 'up' (Deconvolution), between them and the loss, are zero and get no gradient "
         "themselves",
         f"  fix: {INTERP}",
         "solver.prototxt:1:6: warning[no-gradient]: layer 'up' gets no gradient in the first step", *DEAD],
    ),
    "propagate_down": (
        conv("a", "data") + conv("b", "a", "propagate_down: false") + LOSS % ("b", ""),
        [f"net.prototxt:4:76: warning[no-gradient]: layer 'a' {NEVER}",
         "  why: propagate_down: false of layer 'b' lets no gradient back",
         "  fix: remove propagate_down; or give them lr_mult 0, if they are not to learn"],
    ),
    "a loss without weight": (
        conv("a", "data") + conv("b", "data") + LOSS % ("a", "")
        + LOSS.replace('"loss"', '"other"') % ("b", 'top: "other" loss_weight: 0'),
        [f"solver.prototxt:1:6: warning[no-gradient]: layer 'b' {NEVER}", *AWAY],
    ),
    "no loss behind it": (
        conv("a", "data") + conv("b", "data") + LOSS % ("a", ""),
        [f"solver.prototxt:1:6: warning[no-gradient]: layer 'b' {NEVER}", *AWAY],
    ),
    "a ReLU that gets negative numbers": (
        conv("a", "data", filler='bias_filler { type: "constant" value: -9 } weight_filler { type: "xavier" }')
        + RELU + conv("b", "a") + LOSS % ("b", ""),
        ["solver.prototxt:1:6: warning[no-gradient]: layer 'a' gets no gradient in the first step", *DEAD],
    ),
    "nothing learns": (
        conv("a", "data", FROZEN + FROZEN) + LOSS % ("a", ""),
        ["solver.prototxt:1:6: warning[no-gradient]: nothing in the net learns",
         "  why: the learning rate of every blob is 0: param { lr_mult: 0 } everywhere, or layers whose blobs never "
         "learn",
         "  fix: lr_mult 1 for the layers that are to learn"],
    ),
    # what is sound
    "a score layer that starts at zero": (conv("a", "data") + RELU + conv("b", "a", filler="") + LOSS % ("b", ""), []),
    "a filler": (
        conv("a", "data") + up("up", "a", FROZEN, 'weight_filler { type: "bilinear" }') + LOSS % ("up", ""), []
    ),
    "layers that are not to learn": (
        conv("a", "data", FROZEN + FROZEN) + conv("b", "a", "propagate_down: false") + LOSS % ("b", ""), []
    ),
    "another way to the loss": (
        conv("a", "data") + up("up", "a", FROZEN)
        + 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "up" top: "sum" }\n' + LOSS % ("sum", ""), []
    ),
    "a deconvolution that starts at zero and learns": (
        conv("a", "data") + up("up", "a") + LOSS % ("up", ""), []
    ),
    "batch normalisation": (
        conv("a", "data") + 'layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" }\n'
        'layer { name: "sc" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }\n' + RELU
        + conv("b", "a") + LOSS % ("b", ""), []
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_causes_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    net, lines = CASES[case]
    assert told(tmp_path, capfd, net) == lines


def test_interp_opens_the_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net, _ = CASES["a deconvolution that stays zero"]
    assert told(tmp_path, capfd, net, 1, "--interp") == []


def test_labels_that_are_all_ignored(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = conv("a", "data") + LOSS % ("a", "")
    line = "solver.prototxt:1:6: warning[no-gradient]: layer 'a' gets no gradient in the first step"
    assert told(tmp_path, capfd, net, 255) == [line, *DEAD]


def test_no_alarm_on_sound_trainings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The eleven settings that real Caffe trained share a net and its initial weights."""
    folder = TRAINING / "sgd-fixed"
    arguments = ["--weights", str(folder / "init.caffemodel"), "--data", str(TRAINING / "batches.npz")]
    assert entry(["train", str(folder / "solver.prototxt"), *arguments, "-o", str(tmp_path)]) == 0
    assert "no-gradient" not in capfd.readouterr().err
