"""Exported programs: dynamic over every legal size, and equal to the module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.export.program import Exported, export_program
from netcompile.ir.build import Options
from netcompile.runtime.execute import load_source
from tests.conftest import CONFORMANCE, REPOSITORY
from tests.export.nets import Built, built, conformance, disagreements, single, thin

CASES = [
    "crop-axis1",
    "crop-two-offsets",
    "deconv-group",
    "flatten",
    "ip-axis2",
    "lrn-across",
    "lrn-within",
    "mvn-default",
    "pool-ave-ceil",
    "pool-ave-pad",
    "pool-max-ceil-8",
    "pool-max-mask",
    "pool-max-pad-clip",
    "pool-pad-big",
    "pool-stride-gt-kernel",
]


@pytest.mark.parametrize("case", CASES)
def test_program_equals_module_at_five_sizes(case: str) -> None:
    net, module, made = conformance(CONFORMANCE / case)
    exported = export_program(net, module, made)
    assert exported.signature.batched
    assert disagreements(module, made, exported) == []


@pytest.fixture(scope="module")
def fcn8s() -> tuple[Built, Exported]:
    """The FCN-8s of the conformance cases, and its program."""
    made = conformance(CONFORMANCE / "fcn8s-narrow")
    return made, export_program(*made)


def test_fcn8s_takes_every_size_and_any_batch(fcn8s: tuple[Built, Exported]) -> None:
    (_, module, made), exported = fcn8s
    assert [(a.least, a.most, a.step, a.whole) for a in exported.signature.axes] == [(1, None, 1, True)] * 2
    assert [str(r) for r in exported.program.range_constraints.values()] == ["VR[1, int_oo]"] * 3
    assert disagreements(module, made, exported) == []
    program = exported.program.module()
    with torch.no_grad():
        for height, width in ((1, 58), (26, 27), (58, 59), (90, 33)):
            x = torch.randn(1, 3, height, width)
            assert torch.allclose(program(x), made(x), atol=1e-6)


def test_a_crop_needs_no_assertion(fcn8s: tuple[Built, Exported]) -> None:
    """It is proved for all sizes, so that nothing is left to check when the program runs."""
    targets = {str(node.target) for node in fcn8s[1].program.graph.nodes}
    assert "aten.slice.Tensor" in targets or "aten.narrow.default" in targets
    assert not any("assert" in target for target in targets)


def test_parameters_keep_their_names_and_the_module_its_forward(fcn8s: tuple[Built, Exported]) -> None:
    (_, _, made), exported = fcn8s
    assert set(exported.program.state_dict) == set(made.state_dict())
    assert "forward" not in vars(made)


def test_a_single_pixel_of_a_single_channel() -> None:
    """One element is of every memory layout, which is no reason to treat it apart."""
    net, module, made = built(
        single(
            'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
            "convolution_param { num_output: 2 kernel_size: 3 pad: 2 } }",
            channels=1,
        )
    )
    exported = export_program(net, module, made)
    assert exported.signature.five_sizes()[0] == (1, 1, 1)
    assert exported.signature.batched
    assert disagreements(module, made, exported) == []


@pytest.mark.parametrize("name", ["voc-fcn-alexnet/val"])
def test_bundled_definitions(name: str) -> None:
    net, module, made = thin(REPOSITORY / "prototxt" / f"{name}.prototxt")
    exported = export_program(net, module, made)
    assert [a.describe() for a in exported.signature.axes] == ["every H >= 1", "every W >= 1"]
    assert disagreements(module, made, exported) == []


# GoogLeNet's nine modules are alike: the first of them takes a fifth of the time.
CORPUS = {
    "BVLC__caffe/models/bvlc_alexnet/deploy.prototxt": (None, "only H = 199 to 230"),
    "BVLC__caffe/models/bvlc_googlenet/deploy.prototxt": (["inception_3a/output"], "only H = 223 to 254"),
}


@pytest.mark.parametrize("path", CORPUS)
def test_nets_of_others(shared: Path, path: str) -> None:
    outputs, sizes = CORPUS[path]
    net, module, made = thin(shared / "corpus" / path, outputs)
    exported = export_program(net, module, made)
    assert exported.signature.axes[0].describe() == sizes
    assert disagreements(module, made, exported) == []


HALVED = """
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "u" type: "Deconvolution" bottom: "p" top: "u"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layer { name: "s" type: "Eltwise" bottom: "data" bottom: "u" top: "s" }
"""


def test_multiples_are_a_dimension_of_their_own() -> None:
    """Halved and doubled, a plane is as before only if its sides are even."""
    net, module, made = built(single(HALVED, height=8, width=10))
    exported = export_program(net, module, made)
    assert [(a.least, a.step, a.whole) for a in exported.signature.axes] == [(2, 2, True)] * 2
    assert disagreements(module, made, exported) == []
    with pytest.raises((AssertionError, RuntimeError)):
        exported.program.module()(torch.zeros(1, 2, 9, 10))


GAPS = """
layer { name: "p" type: "Pooling" bottom: "data" top: "p"
  pooling_param { pool: MAX kernel_size: 4 stride: 4 round_mode: FLOOR } }
layer { name: "u" type: "Deconvolution" bottom: "p" top: "u"
  convolution_param { num_output: 2 kernel_size: 5 stride: 4 } }
layer { name: "c" type: "Crop" bottom: "u" bottom: "data" top: "c" crop_param { offset: 0 } }
"""


def test_sizes_in_a_gap_are_refused_by_the_program() -> None:
    """4⌊n/4⌋ + 1 pixels are enough for n only if n mod 4 is 0 or 1; a slice would be cut short without a word."""
    net, module, made = built(single(GAPS, height=8, width=9))
    exported = export_program(net, module, made)
    assert [(a.first(4), a.step, a.whole) for a in exported.signature.axes] == [((4, 5, 8, 9), 1, False)] * 2
    assert disagreements(module, made, exported) == []
    program = exported.program.module()
    for height, width in ((6, 8), (8, 7)):
        with pytest.raises((AssertionError, RuntimeError)):
            program(torch.zeros(1, 2, height, width))


def test_a_size_below_the_range_is_refused_by_the_program() -> None:
    net, module, made = conformance(CONFORMANCE / "crop-two-offsets")
    exported = export_program(net, module, made)
    least = exported.signature.axes[0].least
    shapes = [list(exported.signature.shape(v, 1, least - 1, least + 9)) for v in module.inputs]
    with pytest.raises((AssertionError, RuntimeError)):
        exported.program.module()(*map(torch.zeros, shapes))


def test_a_net_that_ties_its_batch_keeps_it() -> None:
    net, module, made = conformance(CONFORMANCE / "lstm")
    exported = export_program(net, module, made)
    assert not exported.signature.batched
    assert disagreements(module, made, exported) == []


def test_the_mean_of_a_single_value_ties_the_batch() -> None:
    """Batch statistics treat one value apart, so any number of images cannot be had together with 1 × 1 pixels."""
    net, module, made = conformance(CONFORMANCE / "batchnorm-use-global-false")
    exported = export_program(net, module, made)
    assert not exported.signature.batched
    assert disagreements(module, made, exported) == []


def test_windows_that_depend_on_the_size_tie_the_program_to_the_declared_one() -> None:
    net, module, made = conformance(CONFORMANCE / "spp")
    exported = export_program(net, module, made)
    height, width = exported.signature.declared
    assert [(a.least, a.most) for a in exported.signature.axes] == [(height, height), (width, width)]
    assert disagreements(module, made, exported) == []
    (limit,) = exported.limits
    assert (limit.code, limit.severity) == ("export", "warning")
    assert "is exported for the declared size alone, " in limit.what
    assert limit.span is not None
    assert limit.why


def test_training_is_refused() -> None:
    text = single('layer { name: "d" type: "Dropout" bottom: "data" top: "d" }')
    net = analyse(Source(text, "some.prototxt"), Options(train=True)).require()
    module = compile_net(net)
    with pytest.raises(NetError, match="some cannot be exported for training"):
        export_program(net, module, load_source(module))
