"""Layers that nobody knows: refused with a place and a reason, or kept as stubs that raise where they are reached."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.emit.weights import weight_plan
from netcompile.layers.registry import load
from netcompile.layers.unsupported import KNOWN_UNSUPPORTED, MEASURES, reason
from tests.layers.harness import compile_text, inputs_text, module_of, refusals, run_text

TEXT = inputs_text(a=(1, 2, 3, 4)) + (
    'layer { name: "r" type: "ReLU" bottom: "a" top: "r" }\n'
    'layer { name: "odd one" type: "%s" bottom: "r" top: "u" top: "v" odd_param { } }\n'
    'layer { name: "s" type: "Sigmoid" bottom: "u" top: "s" }\n'
).replace(" odd_param { }", "")


def test_refused() -> None:
    (found,) = refusals(TEXT % "Foo")
    assert (found.code, found.what) == ("unknown-layer", "unknown layer type 'Foo'")
    assert found.span is not None
    assert found.span.line == 3
    assert found.why == "neither BVLC Caffe nor a fork or plugin known here has it"


def test_refused_with_the_reason_if_known() -> None:
    (found,) = refusals(TEXT % "SparseInnerProduct")
    assert found.what == "layer type 'SparseInnerProduct' is known, and not supported"
    assert found.why == "it multiplies sparse matrices, for which blobs have no place"
    assert found.remedy == "install a plugin for it, or --allow-unknown keeps a stub in its place"


def test_near_names_are_suggested() -> None:
    (found,) = refusals(TEXT % "Permut")
    assert found.remedy == "did you mean 'Permute'?"


@pytest.mark.parametrize("kind", ["Foo", "SparseInnerProduct"])
@pytest.mark.parametrize("level", [0, 1])
def test_kept_as_a_stub(kind: str, level: int) -> None:
    net, module = compile_text(TEXT % kind, level=level, allow_unknown=True)
    assert "self.odd_one = UnknownLayer(" in module.source
    made = module_of(net, module)
    with pytest.raises(NotImplementedError, match=f"layer 'odd one' \\({kind}\\): .*"):
        made(torch.zeros(1, 2, 3, 4, dtype=torch.float64))


def test_a_module_takes_its_place() -> None:
    net, module = compile_text(TEXT % "Foo", allow_unknown=True, outputs=["s"])
    made = module_of(net, module)

    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return 2 * x, x

    made.odd_one = Twice()
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(made(x), (2 * x.relu()).sigmoid())


def test_what_comes_before_it_works() -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4))
    found = run_text(TEXT % "Foo", {"a": x}, allow_unknown=True, outputs=["r"])
    np.testing.assert_array_equal(found["r"], np.maximum(x, 0))


def test_its_weights_are_none_of_the_nets() -> None:
    net, module = compile_text(TEXT % "Foo", allow_unknown=True)
    layers = weight_plan(net.graph, module).layers
    assert layers is not None
    assert [spec.name for spec in layers] == ["in_a", "r", "s"]


def test_layers_that_no_output_needs_do_not_run() -> None:
    text = inputs_text(a=(1, 2, 3, 4)) + (
        'layer { name: "c" type: "InnerProduct" bottom: "a" top: "c" inner_product_param { num_output: 2 } }\n'
        'layer { name: "r" type: "ReLU" bottom: "a" top: "r" }\n'
    )
    net, module = compile_text(text, outputs=["r"])
    forward = module.source.split("def forward")[1]
    assert "self.c" not in forward
    assert "relu" in forward
    assert {w.key for w in module.weights} == {"c.weight", "c.bias"}  # one set of weights fits all outputs
    _, training = compile_text(text, outputs=["r"], train=True)
    assert "self.c" in training.source.split("def forward")[1]
    del net


def test_reasons_are_for_types_that_nobody_has() -> None:
    known = load()
    assert not set(KNOWN_UNSUPPORTED) & set(known)
    assert set(MEASURES) <= set(known)
    assert all(reason(name) for name in (*KNOWN_UNSUPPORTED, *MEASURES))
    assert reason("Foo") is None
