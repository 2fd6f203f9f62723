"""What -O2 makes of nets: the literal net's numbers, for every size, whatever happens to the module."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netcompile.analyser import Analysed, analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.module import EmittedModule
from netcompile.ir.build import Options
from netcompile.passes import optimise
from netcompile.passes.base import Facts
from netcompile.runtime.execute import load_source
from netcompile.runtime.random_weights import draw
from tests.conftest import REPOSITORY

NARROW = {"64": "4", "128": "5", "256": "6", "512": "7", "4096": "9"}
SHAPE = (1, 3, 120, 150)
SIZES = ((32, 33), (47, 101), (64, 63), (95, 130), (20, 70))


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def narrow(path: str) -> Source:
    """A bundled net with a few channels."""
    text = (REPOSITORY / "prototxt" / path).read_text()
    text = re.sub(r"num_output: (\d+)", lambda m: f"num_output: {NARROW.get(m[1], m[1])}", text)
    return Source(text, path)


def net(text: str, shape: tuple[int, ...] = (1, 3, 40, 44)) -> Analysed:
    dims = " ".join(f"dim: {d}" for d in shape)
    head = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'
    return analyse(Source(head + text)).require()


def pair(analysed: Analysed, **options: object) -> tuple[nn.Module, nn.Module, EmittedModule]:
    """The literal net and the optimised one, with the same weights."""
    module = compile_net(analysed, 2)
    return draw(analysed, compile_net(analysed, 0)), draw(analysed, module), module


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


POINTWISE = [
    'type: "Swish"',
    'type: "Clip" clip_param { min: 0 max: 6 }',
    'type: "ReLU6"',
    'type: "SeLu"',
    'type: "PReLU"',
    'type: "BN" bn_param { bn_mode: INFERENCE }',
    'type: "BatchNorm" batch_norm_param { scale_bias: true }',
    'type: "Scale" scale_param { bias_term: true }',
]


def activated(path: str, activation: str) -> Source:
    """A bundled net with another layer in place of each ReLU."""
    text = (REPOSITORY / "prototxt" / path).read_text()
    assert 'type: "ReLU"' in text
    return Source(text.replace('type: "ReLU"', activation), path)


@pytest.mark.parametrize("activation", POINTWISE)
def test_pixelwise_layers_keep_the_window(activation: str) -> None:
    analysed = analyse(activated("voc-fcn8s/deploy.prototxt", activation)).require()
    found = optimise(analysed.graph, 2, Facts()).program
    assert found.windowed is not None


@pytest.mark.parametrize("activation", POINTWISE)
def test_windows_of_pixelwise_layers_change_nothing(activation: str) -> None:
    analysed = analyse(activated("shapes-fcn8s/deploy.prototxt", activation)).require()
    literal, fast, module = pair(analysed)
    assert "windowed" in module.source
    for size in ((64, 64), (96, 161), (130, 97)):
        x = torch.rand(1, 3, *size) * 255 - 128
        close(fast(x), literal(x))


@pytest.mark.parametrize(
    ("path", "windowed"),
    [
        ("voc-fcn8s/deploy.prototxt", True),
        ("voc-fcn16s/val.prototxt", True),
        ("voc-fcn-alexnet/val.prototxt", True),
        ("nyud-fcn32s-color/test.prototxt", True),
        ("shapes-fcn8s/deploy.prototxt", None),
    ],
)
def test_windows_change_nothing_at_any_size(path: str, windowed: bool | None) -> None:
    analysed = analyse(narrow(path), Options(shapes={"data": (1, 3, 500, 375)} if windowed else {})).require()
    literal, fast, _ = pair(analysed)
    if windowed is not None:
        assert hasattr(fast, "windowed") == windowed
    for size in SIZES:
        x = torch.randn(2, 3, *size) * 30
        close(fast(x), literal(x))


def test_every_residue_has_its_frame() -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    for n in range(40, 72):
        x = torch.randn(1, 3, n, 111 - n) * 30
        close(fast(x), literal(x))
    assert len(fast.borders) == 32


def test_a_frame_lays_out_no_weights() -> None:
    """It is kept: no other pass would use them."""
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    _, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)

    def layouts() -> int:
        found = [kept[2] for layer in fast.modules() for kept in getattr(layer, "packed", {}).values()]
        return sum(len(known) for known in found if isinstance(known, dict))

    with fast.windowed.__globals__["computed_once"]():
        assert fast.border(x)
    assert layouts() == 0
    fast(x)
    once = layouts()
    assert once > 0
    fast.borders.clear()
    fast(x)
    assert fast.borders
    assert layouts() == once


def test_frames_follow_the_weights() -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)
    first = fast(x)
    assert torch.equal(fast(x), first)
    for made in (literal, fast):
        made.conv2_1.bias += 0.5
    close(fast(x), literal(x))
    assert not torch.equal(fast(x), first)
    state = {key: value * 1.01 for key, value in literal.state_dict().items()}
    for made in (literal, fast):
        made.load_state_dict(state, assign=True)
    close(fast(x), literal(x))
    both = literal.double(), fast.double()
    close(both[1](x.double()), both[0](x.double()), 1e-12)


def test_training_takes_the_literal_path() -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)
    with torch.enable_grad():
        for made in (literal, fast.train()):
            made(x).square().sum().backward()
        for key, parameter in literal.named_parameters():
            close(fast.get_parameter(key).grad, parameter.grad, 1e-4)
        wants = x.clone().requires_grad_()
        fast.eval()(wants).sum().backward()
        assert wants.grad is not None
        assert not fast(x).requires_grad


def test_a_module_can_be_copied_saved_and_compiled() -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)
    wanted = literal(x)
    close(fast(x), wanted)
    close(copy.deepcopy(fast)(x), wanted)
    stored = io.BytesIO()
    torch.save(fast.state_dict(), stored)
    close(torch.compile(fast, backend="eager")(x), wanted)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    close(fast(channels_last), wanted)


def test_without_onednn_the_code_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    close(fast(x), literal(x))
    assert not any(getattr(m, "packed", None) for m in fast.modules())


def test_bfloat16_stays_near() -> None:
    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt")).require()
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 50, 40)
    close(fast.bfloat16()(x.bfloat16()).float(), literal(x), 0.1)


CONV = (
    'layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{2}" convolution_param {{ num_output: 4 {3} }} }}\n'
)


def conv(name: str, bottom: str, top: str, fields: str = "kernel_size: 3 pad: 1") -> str:
    return CONV.format(name, bottom, top, fields)


def test_batchnorm_scale_and_relu_become_part_of_the_convolution() -> None:
    text = conv("c", "data", "c", "kernel_size: 3 pad: 1 bias_term: false")
    text += 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }\n'
    text += 'layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }\n'
    text += 'layer { name: "r" type: "ReLU" bottom: "c" top: "c" }\n'
    analysed = net(text)
    literal, fast, module = pair(analysed)
    assert [name for name, _ in fast.named_parameters()] == ["c.weight", "c.bias"]
    assert "relu=True" in module.source
    x = torch.randn(2, 3, 40, 44)
    close(fast(x), literal(x))


def test_a_net_without_inputs_can_be_fused() -> None:
    text = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }\n'
    text += conv("c", "d", "c") + 'layer { name: "r" type: "ReLU" bottom: "c" top: "c" }\n'
    literal, fused, module = pair(analyse(Source(text)).require())
    assert "relu=True" in module.source
    close(fused(), literal())


def test_what_has_another_use_is_not_fused() -> None:
    text = conv("c", "data", "c") + 'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }\n'
    text += 'layer { name: "e" type: "Eltwise" bottom: "c" bottom: "r" top: "e" }\n'
    found = optimise(net(text).graph, 2)
    site = found.skipped[0]
    assert (site.step, site.site.node.name, site.why) == ("fuse-convolution", "r", "'c' has another use")
    literal, fast, _ = pair(net(text))
    x = torch.randn(1, 3, 40, 44)
    close(fast(x), literal(x))


def test_dead_layers_go_with_their_weights() -> None:
    text = conv("a", "data", "a") + conv("b", "data", "b")
    module = compile_net(net(text), 2, ["a"])
    assert "self.b =" not in module.source
    assert list(load_source(module).state_dict()) == ["a.weight", "a.bias"]


def test_windows_go_around_joins_strides_and_odd_poolings() -> None:
    pool = 'layer { name: "p" type: "Pooling" bottom: "a" top: "p" pooling_param { kernel_size: 3 stride: 2 %s } }\n'
    for fields in ("", "pad: 1", "pool: AVE", "pool: AVE pad: 1 round_mode: FLOOR"):
        text = conv("a", "data", "a", "kernel_size: 5 pad: 30 stride: 1") + pool % fields
        text += conv("b", "p", "b", "kernel_size: 3 pad: 1") + conv("c", "p", "c", "kernel_size: 5 pad: 2")
        text += 'layer { name: "j" type: "Concat" bottom: "b" bottom: "c" top: "j" }\n'
        text += conv("d", "j", "d", "kernel_size: 3 pad: 4 stride: 2")
        literal, fast, _ = pair(net(text))
        assert hasattr(fast, "windowed"), fields
        for size in ((40, 44), (41, 63), (90, 37), (5, 8)):
            x = torch.randn(1, 3, *size)
            close(fast(x), literal(x))


def test_where_nothing_is_saved_the_code_has_no_windows() -> None:
    text = conv("a", "data", "a") + conv("b", "a", "b")
    module = compile_net(net(text), 2)
    assert "windowed" not in module.source
    reasons = [s.why for s in optimise(net(text).graph, 2).skipped if s.step == "image-window"]
    assert reasons == ["no blob has pixels that see nothing of the image"]


DECONV = """
layer { name: "up" type: "Deconvolution" bottom: "data" top: "up"
  convolution_param { num_output: 3 bias_term: false kernel_size: %d stride: %d pad: %d group: %d } }
"""


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("group", [1, 3])
def test_bilinear_deconvolution_is_interpolation(factor: int, pad: int, group: int) -> None:
    analysed = net(DECONV % (2 * factor, factor, pad, group), (1, 3, 7, 9))
    key = frozenset([("up", 0)])
    line = 1 - np.abs(np.arange(2 * factor) - factor + 0.5) / factor
    weight = np.zeros((3, 3 // group, 2 * factor, 2 * factor), np.float32)
    for i in range(3):
        weight[i, i if group == 1 else 0] = np.outer(line, line)
    assert facts_of(analysed, weight) == Facts(True, key, key)
    literal = load_source(compile_net(analysed, 0)).eval()
    literal.load_state_dict({"up.weight": torch.from_numpy(weight)})
    fast = interpolating(analysed, key)
    x = torch.randn(2, 3, 7, 9)
    close(fast(x), literal(x), 1e-6)


def interpolating(analysed: Analysed, key: frozenset[tuple[str, int]]) -> nn.Module:
    from netcompile.emit.module import emit

    program = optimise(analysed.graph, 2, Facts(True, key, key)).program
    return load_source(emit(program.graph, program.shapes))


def facts_of(analysed: Analysed, weight: np.ndarray) -> Facts:
    from netcompile.caffemodel.blob import CaffeModel, StoredBlob, StoredLayer
    from netcompile.emit.weights import weight_plan
    from netcompile.passes.facts import read_facts

    class Data:
        def chunks(self, limit: int) -> Iterator[memoryview]:
            yield memoryview(weight.tobytes())

        def view(self) -> tuple[bytes, int]:
            return weight.tobytes(), 0

    blob = StoredBlob(weight.shape, "float32", Data())
    model = CaffeModel("w", "V2", "", (StoredLayer("up", "Deconvolution", (blob,)),))
    plan = weight_plan(analysed.graph, compile_net(analysed, 0))
    return read_facts(model, plan, analysed.graph, analysed.shapes)


def test_other_weights_are_not_taken_for_bilinear() -> None:
    analysed = net(DECONV % (4, 2, 0, 1), (1, 3, 7, 9))
    weight = np.zeros((3, 3, 4, 4), np.float32)
    weight[range(3), range(3)] = np.random.default_rng(1).standard_normal((3, 4, 4))
    assert facts_of(analysed, weight) == Facts(True, frozenset([("up", 0)]), frozenset())
    weight[0, 1, 2, 2] = 1e-30
    assert facts_of(analysed, weight) == Facts(True)
    skipped = optimise(analysed.graph, 2, Facts(True)).skipped
    assert ("upsampling", "its weights are not diagonal") in [(s.step, s.why) for s in skipped]
    skipped = optimise(analysed.graph, 2).skipped
    assert ("upsampling", "the weights are not given") in [(s.step, s.why) for s in skipped]


def test_diagonal_weights_become_depthwise(tmp_path: Path) -> None:
    from netcompile.caffemodel.arithmetic import Diagonal
    from netcompile.caffemodel.recipe import Take, evaluate

    analysed = net(DECONV % (3, 2, 1, 1), (1, 3, 7, 9))
    graph = optimise(analysed.graph, 2, Facts(True, frozenset([("up", 0)]))).program.graph
    (node,) = graph.nodes
    assert (node.type, node.layer.group) == ("Deconvolution", 3)
    recipe = Diagonal(Take("up", 0))
    weight = np.arange(3 * 3 * 9, dtype=np.float32).reshape(3, 3, 3, 3)
    assert recipe.shape_of(lambda take: weight.shape) == (3, 1, 3, 3)
    np.testing.assert_array_equal(evaluate(recipe, lambda take: weight)[:, 0], weight[range(3), range(3)])


BANDED = """
layer {{ name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param {{
  num_output: 3 pad: 40 kernel_size: 5 }} }}
layer {{ name: "r1" type: "ReLU" bottom: "c1" top: "c1" }}
layer {{ name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param {{
  num_output: 512 pad: 1 kernel_size: 3 }} }}
layer {{ name: "p" type: "Pooling" bottom: "c2" top: "p" pooling_param {{ {pooling} }} }}
layer {{ name: "c3" type: "Convolution" bottom: "p" top: "c3" convolution_param {{
  num_output: 2 kernel_size: 1 }} }}
"""


def test_bands_of_rows_are_the_whole_blob() -> None:
    analysed = net(BANDED.format(pooling="kernel_size: 3 stride: 3"), (1, 3, 120, 150))
    literal, fast, module = pair(analysed)
    assert "p = in_bands(" in module.source
    in_bands = fast.windowed.__func__.__globals__["in_bands"]
    for size in ((120, 150), (121, 150), (122, 151), (40, 33)):
        x = torch.randn(1, 3, *size)
        close(fast(x), literal(x))
    for height, count in ((130, 5), (61, 3), (50, 1)):
        x, heights = torch.randn(1, 3, height, 150), list[int]()

        def band(rows: torch.Tensor, heights: list[int] = heights) -> torch.Tensor:
            heights.append(rows.shape[2])
            return nn.functional.max_pool2d(rows[:, :, 3:-3], 3, 3, ceil_mode=True)

        assert torch.equal(in_bands([band], x, 6, 3, 512), band(x))
        assert len(heights) == count + 1


@pytest.mark.parametrize(
    ("pooling", "why"),
    [
        ("kernel_size: 3 stride: 2", "its windows overlap, or are padded"),
        ("kernel_size: 2 stride: 2 pool: AVE", "its last window may not be whole"),
        ("kernel_size: 2 stride: 2 round_mode: FLOOR", "its last window may not be whole"),
    ],
)
def test_other_poolings_have_no_bands(pooling: str, why: str) -> None:
    analysed = net(BANDED.format(pooling=pooling), (1, 3, 120, 150))
    found = optimise(analysed.graph, 2)
    assert [site.why for site in found.skipped if site.step == "bands"] == [why]
    literal, fast, _ = pair(analysed)
    x = torch.randn(1, 3, 60, 71)
    close(fast(x), literal(x))


def test_large_weights_are_multiplied_as_they_are() -> None:
    text = conv("f", "data", "f", "kernel_size: 1").replace("num_output: 4", "num_output: 4096")
    analysed = net(text, (1, 4096, 3, 5))
    literal, fast, _ = pair(analysed)
    x = torch.randn(2, 4096, 3, 5)
    close(fast(x), literal(x))
    assert not fast.f.packed


def test_a_deconvolution_with_gaps_keeps_its_size() -> None:
    """Kernel 1, stride 2: the last pixel of a window may come from no pixel of the bottom."""
    text = """
    layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 1 } }
    layer { name: "d" type: "Deconvolution" bottom: "c" top: "d"
            convolution_param { num_output: 2 kernel_size: 1 stride: 2 group: 2 } }
    layer { name: "x" type: "Crop" bottom: "d" bottom: "c" top: "x" crop_param { } }
    """
    literal, fast, _ = pair(net(text, (1, 3, 6, 8)))
    for size in ((6, 8), (5, 7), (1, 2)):
        image = torch.randn(1, 3, *size)
        close(fast(image), literal(image))


@pytest.mark.parametrize("after", ['type: "PReLU"', 'type: "ELU"', 'type: "TanH"'])
def test_a_border_is_cut_before_what_works_in_place(after: str) -> None:
    """The blob's last value is another than the one whose border is wanted."""
    text = BANDED.format(pooling="kernel_size: 3 stride: 3")
    text = text.replace('name: "p"', f'name: "in" {after} bottom: "c2" top: "c2" }}\nlayer {{ name: "p"')
    text = text.replace("num_output: 512", "num_output: 16").replace('name: "r1" type: "ReLU"', f'name: "r1" {after}')
    analysed = net(text, (1, 3, 120, 150))
    wanted = ["c1", "c2", "p", "c3"]
    module = compile_net(analysed, 2, wanted)
    literal, fast = draw(analysed, compile_net(analysed, 0, wanted)), draw(analysed, module)
    generator = torch.Generator().manual_seed(4)
    for size in ((120, 150), (70, 61)):
        x = torch.randn(1, 3, *size, generator=generator) / 10  # TanH brings large sums down to 1, but not their errors
        found = fast(x)
        for name, blob in literal(x).items():
            close(found[name], blob)


@pytest.mark.parametrize(
    ("layer", "parameters"),
    [
        ('type: "Scale" scale_param { bias_term: true num_axes: 0 }', ["n_weight", "n_bias"]),
        ('type: "Bias" bias_param { num_axes: 0 }', ["n_bias"]),
        ('type: "Normalize" norm_param { across_spatial: false }', ["n_scale"]),
        ('type: "PReLU"', ["n.weight"]),
    ],
)
def test_a_border_follows_parameters_of_the_net_itself(layer: str, parameters: list[str]) -> None:
    """Of layers whose parameters are attributes of the net, and no module's."""
    text = BANDED.format(pooling="kernel_size: 3 stride: 3").replace("num_output: 512", "num_output: 16")
    analysed = net(text.replace('name: "p"', f'name: "n" {layer} bottom: "c2" top: "c2" }}\nlayer {{ name: "p"'), SHAPE)
    literal, fast, _ = pair(analysed)
    assert hasattr(fast, "border")
    x = torch.randn(*SHAPE) / 10
    close(fast(x), literal(x), 1e-4)  # to make lengths 1 enlarges rounding
    for made in (literal, fast):
        for name in parameters:
            made.get_parameter(name).add_(0.5)
    close(fast(x), literal(x), 1e-4)
    fast.get_parameter(parameters[0]).fill_(torch.nan)
    assert fast.border(x) is None


def test_every_value_is_that_of_the_literal_net() -> None:
    """Also what a layer works on in place, when it is asked for."""
    from dataclasses import replace

    from netcompile.runtime.blobs import keys_of

    analysed = analyse(narrow("voc-fcn8s/deploy.prototxt"), Options(shapes={"data": (1, 3, 500, 375)})).require()
    keys = keys_of(analysed.graph)
    every = replace(analysed, graph=analysed.graph.replace(blobs=keys))
    literal = draw(every, compile_net(every, 0, list(keys)))
    fast = draw(every, compile_net(every, 2, list(keys)))
    x = torch.randn(1, 3, 70, 64) * 30
    found = fast(x)
    for name, blob in literal(x).items():
        close(found[name], blob)


@pytest.mark.parametrize("kind", ["HoleConvolution", "DepthwiseConvolution", "shared"])
def test_other_convolutions_keep_the_numbers(kind: str) -> None:
    """Under a fork's name with the window; with a blob by a name, where the layer's module pads, without it."""
    text = activated("shapes-fcn8s/deploy.prototxt", 'type: "ReLU"').text
    first = text.index("param {", text.index('name: "conv1_1"'))
    shared = f'{text[:first]}param {{ name: "w" {text[first + 7 :]}'
    source = Source(shared if kind == "shared" else text.replace('type: "Convolution"', f'type: "{kind}"'))
    literal, fast, module = pair(analyse(source).require())
    assert ("windowed" in module.source) is (kind != "shared")
    for size in ((64, 64), (96, 161)):
        x = torch.rand(1, 3, *size) * 255 - 128
        close(fast(x), literal(x))
