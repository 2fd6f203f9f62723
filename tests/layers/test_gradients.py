"""Autograd of the emitted module against Caffe's backward pass; losses and recurrent layers stand elsewhere."""

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

ELSEWHERE = (
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
QUIRK = "inplace-chain"  # Caffe's Power loses the gradient that it is handed when it works in place
CHECKED = [
    case
    for case in CASES
    if not case.name.startswith((*ELSEWHERE, QUIRK))
    and any(key.startswith("topdiff:") for key in case.arrays("gradients"))
]


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: case.name)
def test_autograd_is_caffes_backward(case: ConformanceCase) -> None:
    inputs, gradients = case.arrays("inputs"), case.arrays("gradients")
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=frozenset(inputs))
    net = analyse(open_source(case.net), options).require()
    module = compile_net(net, 1, list(net.graph.blobs))
    made = with_weights(net, module, case.weights)
    feed = {v.blob: torch.from_numpy(inputs[v.blob]).requires_grad_() for v in module.inputs}
    blobs = made(*feed.values())
    tops = {key.removeprefix("topdiff:"): g for key, g in gradients.items() if key.startswith("topdiff:")}
    tops = {name: g for name, g in tops.items() if blobs[name].requires_grad}  # not the indices of maxima
    torch.autograd.backward([blobs[name] for name in tops], [torch.from_numpy(g) for g in tops.values()])
    noise = 1e-6 * max(np.abs(g).max() for g in tops.values())  # where large terms cancel

    learned = dict(made.named_parameters())
    keys = {w.recipe.sources()[0]: w.key for w in module.weights if w.key in learned}
    found = {f"diff:{blob}": x.grad for blob, x in feed.items()}
    for take, key in keys.items():
        found[f"pdiff:{take.layer}/{take.index}"] = learned[key].grad
    checked = 0
    for key, wanted in gradients.items():
        if key.startswith("topdiff:"):
            continue
        if key not in found:  # statistics, and a second copy of shared weights: Caffe's diffs there are 0
            layer, _, index = key.removeprefix("pdiff:").partition("/")
            assert Take(layer, int(index)) not in keys
            assert not wanted.any() or any(p.name for node in net.graph.nodes for p in node.params), key
            continue
        grad = found[key]
        value = np.zeros_like(wanted) if grad is None else grad.numpy().reshape(wanted.shape)
        within = 1e-5 * np.abs(wanted).max() + noise
        np.testing.assert_allclose(value, wanted, rtol=0, atol=within, err_msg=key)
        checked += 1
    assert checked


def test_a_quirk_that_is_not_followed() -> None:
    """In place, Caffe's Power overwrites the gradient by its scale before it multiplies: 2 · 2, not g · 2.

    The emitted module has the derivative, here of 2 · relu(x - 0.2) + x.
    """
    case = next(case for case in CASES if case.name == QUIRK)
    x = torch.from_numpy(case.arrays("inputs")["data"]).requires_grad_()
    gradients = case.arrays("gradients")
    net = analyse(open_source(case.net)).require()
    made = with_weights(net, compile_net(net, 0), None)
    made(x).backward(torch.from_numpy(gradients["topdiff:out"]))
    assert x.grad is not None
    active = (x.detach().numpy() > 0.2).astype(np.float32)
    g = gradients["topdiff:out"]
    np.testing.assert_allclose(x.grad.numpy(), g * (1 + 2 * active), rtol=1e-6)
    np.testing.assert_allclose(gradients["diff:data"], g + 4 * active, rtol=1e-5)


def test_there_are_cases() -> None:
    assert len(CHECKED) >= 70
