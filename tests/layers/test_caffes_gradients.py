"""Autograd of the emitted module against Caffe's backward pass, for losses and recurrent layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.caffemodel.recipe import Take
from netcompile.compiler import compile_net
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import with_weights
from tests.conftest import CASES, ConformanceCase

FAMILIES = (
    "accuracy",
    "contrastive",
    "euclidean",
    "hinge",
    "infogain",
    "lstm",
    "multinomial",
    "rnn",
    "sigmoid-ce",
    "softmax",
)
CHECKED = [case for case in CASES if case.name.startswith(FAMILIES) and (case.folder / "gradients.npz").exists()]


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("case", CHECKED, ids=lambda case: case.name)
def test_autograd_is_caffes_backward(case: ConformanceCase, level: int) -> None:
    inputs, gradients = case.arrays("inputs"), case.arrays("gradients")
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=frozenset(inputs))
    net = analyse(open_source(case.net), options).require()
    module = compile_net(net, level, list(net.graph.blobs))
    run = with_weights(net, module, case.weights)
    feed = {v.blob: torch.from_numpy(inputs[v.blob]).requires_grad_() for v in module.inputs}
    blobs = run(*feed.values())

    total = torch.zeros(())
    for key, value in gradients.items():
        if key.startswith("topdiff:"):
            total = total + (blobs[key.removeprefix("topdiff:")] * torch.from_numpy(value)).sum()
    for node in net.graph.nodes:  # Caffe seeds a loss's diff with its weight, 1 if the file has none
        if node.layer.auto_top:
            total = total + blobs[node.tops[0].blob] * (node.loss_weight[0] if node.loss_weight else 1.0)
    total.backward()

    parameters = {w.recipe: run.get_parameter(w.key) for w in module.weights}
    checked = 0
    for key, wanted in gradients.items():
        kind, _, name = key.partition(":")
        if kind == "topdiff":
            continue
        layer, _, index = name.rpartition("/")
        tensor = feed[name] if kind == "diff" else parameters[Take(layer, int(index))]
        found = np.zeros_like(wanted) if tensor.grad is None else tensor.grad.numpy()
        scale = np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * scale, err_msg=key)
        checked += 1
    assert checked


def test_there_are_cases() -> None:
    assert len(CHECKED) >= 19
