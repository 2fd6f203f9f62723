"""Convolutions by Winograd's algorithm: the class of each kind is a convolution, and which layers get it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from netcompile.caffemodel.arithmetic import Combined
from netcompile.caffemodel.recipe import Reshape, Take, Transpose, evaluate
from netcompile.compiler import compile_net
from netcompile.passes.nodes.convolution import POINTS, kernel_values
from netcompile.prelude.large_kernel import LargeKernel
from netcompile.prelude.onednn import onednn_serves
from netcompile.prelude.winograd import Winograd
from netcompile.runtime.execute import load_source
from tests.passes.test_level_two import close, conv, net, pair


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    ("size", "dtype", "m", "tolerance"),
    [
        ((24, 40), torch.float32, 4, 1e-5),
        ((27, 40), torch.float32, 2, 1e-5),
        ((25, 43), torch.float32, 4, 1e-5),
        ((38, 23), torch.float32, 4, 1e-5),
        ((190, 180), torch.float32, 4, 1e-5),  # more tiles than are done at a time
        ((25, 40), torch.bfloat16, 2, 2e-2),
        ((30, 43), torch.bfloat16, 2, 2e-2),
    ],
)
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_winograd_is_a_convolution(
    size: tuple[int, int], dtype: torch.dtype, m: int, tolerance: float, padding: int
) -> None:
    if not onednn_serves(dtype):
        pytest.skip(f"oneDNN has no {dtype} on this CPU")
    torch.manual_seed(1)
    layer = Winograd(128, 192, 3, padding=1, relu=padding != 1, bias=padding != 3, m=m).to(dtype)
    layer.plan[None] = f"tiles of {m}"
    x = torch.randn(1, 128, *size).to(dtype)
    bias = None if layer.bias is None else layer.bias.double()
    wanted = nn.functional.conv2d(x.double(), layer.weight.double(), bias, padding=padding)
    close(layer(x, padding=padding).double(), wanted.relu() if layer.relu else wanted, tolerance)
    assert list(layer.packed) == [f"tiles of {m}"]
    layer.plan.clear()
    small = torch.randn(1, 128, 3, 3).to(dtype)
    wanted = nn.functional.conv2d(small, layer.weight, layer.bias, padding=1)
    close(layer(small), wanted.relu() if layer.relu else wanted, tolerance)
    assert list(layer.packed) == [f"tiles of {m}", "onednn"]


def three(name: str, bottom: str, outputs: int, more: str = "") -> str:
    text = conv(name, bottom, name, f"kernel_size: 3 {more}")
    return text.replace("num_output: 4", f"num_output: {outputs}")


def test_winograd_is_for_many_channels_while_memory_lasts() -> None:
    def made(layers: str) -> list[str]:
        source = compile_net(net(layers, (1, 64, 20, 20)), 2).source
        return re.findall(r"self\.\w+ = (\w+)\(\d+, \d+", source)

    assert made(three("a", "data", 64)) == ["Winograd"]
    assert made(three("a", "data", 63)) == ["Conv2d"]
    assert made(three("a", "data", 64, "stride: 2")) == ["Conv2d"]
    assert made(three("a", "data", 64, "dilation: 2")) == ["Conv2d"]
    assert made(three("a", "data", 64, "group: 2")) == ["Conv2d"]
    large = three("a", "data", 1024) + three("b", "a", 1024) + three("c", "b", 2048) + three("d", "c", 512)
    assert made(large) == ["Winograd", "Winograd", "Conv2d", "Winograd"]  # 4, 64, 128 and 64 MiB of kernels
    assert ", m=2)" in compile_net(net(three("a", "data", 64), (1, 64, 15, 15)), 2).source
    assert ", m=2)" not in compile_net(net(three("a", "data", 64), (1, 64, 16, 16)), 2).source


def test_kernels_for_four_pixels_come_after_every_layer_has_those_for_two() -> None:
    """At m = 2: 64, 64 and 32 MiB, all there are. At m = 4 the last would take 40 more."""
    text = three("a", "data", 1024) + three("b", "a", 1024) + three("c", "b", 512)
    found = re.findall(r"= Winograd.*", compile_net(net(text, (1, 1024, 50, 50)), 2).source)
    assert [", m=2)" in line for line in found] == [True, True, True]
    found = re.findall(r"= Winograd.*", compile_net(net(three("a", "data", 1024), (1, 1024, 50, 50)), 2).source)
    assert [", m=2)" in line for line in found] == [False]


def large(inputs: int = 5, outputs: int = 7, kernel: tuple[int, int] = (7, 7), **more: object) -> nn.Conv2d:
    """A LargeKernel whose kernels are drawn."""
    torch.manual_seed(2)
    layer = LargeKernel(inputs, outputs, kernel, POINTS[: kernel[0]], **more)  # type: ignore[arg-type]
    layer.load_state_dict(state(inputs, outputs, kernel), strict=False)
    return layer.requires_grad_(False).eval()


def state(inputs: int = 5, outputs: int = 7, kernel: tuple[int, int] = (7, 7)) -> dict[str, torch.Tensor]:
    """A state dict as it is in the file, with the values of drawn kernels."""
    drawn = nn.Conv2d(inputs, outputs, kernel)
    recipe = kernel_values(Take("f", 0), outputs, inputs, kernel)
    weight = evaluate(recipe, lambda _: drawn.weight.detach().numpy())
    assert drawn.bias is not None
    return {"weight": torch.from_numpy(weight), "bias": drawn.bias.detach()}


def kernels(layer: nn.Conv2d) -> torch.Tensor:
    return layer.kernels(layer.weight.detach())  # type: ignore[operator]


@pytest.mark.parametrize("kernel", [(7, 7), (6, 5), (5, 6), (4, 1)])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("size", [(9, 12), (10, 7), (7, 7)])
@pytest.mark.parametrize("onednn", [True, False])
def test_large_kernels_are_convolutions(
    kernel: tuple[int, int], padding: int, size: tuple[int, int], onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = large(kernel=kernel, padding=padding, bias=padding == 0, relu=padding == 2)
    x = torch.randn(2, 5, *size)
    weight, bias = kernels(layer).double(), None if layer.bias is None else layer.bias.double()
    wanted = nn.functional.conv2d(x.double(), weight, bias, padding=padding)
    if not onednn:
        monkeypatch.setattr("netcompile.prelude.large_kernel.onednn_serves", lambda dtype: False)
    close(layer(x).double(), wanted.relu() if layer.relu else wanted)
    wanted = nn.functional.conv2d(x.double(), weight, bias, padding=1)
    close(layer(x, padding=1).double(), wanted.relu() if layer.relu else wanted)
    assert layer.weight.dim() == 2


def test_values_keep_all_digits_of_large_kernels() -> None:
    """Made with the file, and back."""
    torch.manual_seed(3)
    drawn = nn.Conv2d(64, 32, 7).weight.detach()
    recipe = kernel_values(Take("f", 0), 32, 64, (7, 7))
    made = torch.from_numpy(evaluate(recipe, lambda _: drawn.numpy()))
    first = Reshape(Transpose(Combined(Take("f", 0), 2, (-1.0, *6 * (0.0,))), (0, 2, 1)), (32, 448))
    assert recipe.operands()[0] == first
    found = large(64, 32).kernels(made)  # type: ignore[operator]
    close(found, drawn, 1e-6)
    assert found.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_large_kernels_are_plain_in_other_types(dtype: torch.dtype) -> None:
    layer, x = large(), torch.randn(1, 5, 9, 9).to(dtype)
    weight, before = kernels(layer).to(dtype), layer.weight
    given = copy.deepcopy(layer.state_dict())
    layer.to(dtype)
    assert layer.weight is before
    assert not layer.weight.requires_grad
    assert layer.weight.is_contiguous()
    assert torch.equal(layer.weight, weight)
    close(layer(x), nn.functional.conv2d(x, weight, layer.bias), 1e-2 if dtype == torch.bfloat16 else 1e-12)
    layer.load_state_dict(given)
    assert torch.equal(layer.weight, weight)
    layer.float().load_state_dict(given)
    close(layer(x.float()), large()(x.float()))
    early = LargeKernel(5, 7, 7, POINTS).to(dtype)
    early.load_state_dict(given)
    assert torch.equal(early.weight, weight)


@pytest.mark.parametrize(
    ("start", "assign"),
    [("float32", False), ("bfloat16", False), ("float32", True), ("bfloat16", True), ("meta", True)],
)
@pytest.mark.parametrize("form", ["values", "kernels", "bfloat16 kernels"])
def test_a_state_dict_holds_values_or_kernels(form: str, start: str, assign: bool) -> None:
    source = large()
    x = torch.randn(1, 5, 9, 9)
    given = {key: value.clone() for key, value in source.state_dict().items()}
    if form != "values":
        given["weight"] = kernels(source)
    if form.startswith("bfloat16"):
        given = {key: value.bfloat16() for key, value in given.items()}
    layer = LargeKernel(5, 7, 7, POINTS).eval().requires_grad_(False)
    layer = layer.to("meta") if start == "meta" else layer.to(getattr(torch, start))
    layer.load_state_dict(given, assign=assign)
    kind = given["bias"].dtype if assign else layer.bias.dtype  # type: ignore[union-attr]
    assert {layer.weight.dtype, layer.bias.dtype} == {kind}  # type: ignore[union-attr]
    assert {layer.weight.device.type, layer.bias.device.type} == {"cpu"}  # type: ignore[union-attr]
    rounded = "bfloat16" in (form.split()[0], start if not assign else "")
    found = layer(x.to(kind)).float()
    close(found, nn.functional.conv2d(x, kernels(source), source.bias), 2e-2 if rounded else 1e-5)


def test_a_state_dict_that_does_not_fit_is_refused_as_any_other() -> None:
    for weight in (torch.zeros(7, 5, 5, 5), torch.zeros(56, 36)):
        with pytest.raises(RuntimeError, match="size mismatch for weight"):
            large().load_state_dict({"weight": weight, "bias": torch.zeros(7)})
    with pytest.raises(RuntimeError, match="Missing key"):
        large().load_state_dict({"bias": torch.zeros(7)})


def test_large_kernels_are_kernels_where_a_gradient_is_recorded() -> None:
    for learns in ("input", "weight"):
        layer = large(relu=True).requires_grad_(learns == "weight")
        before, weight = layer.weight, kernels(layer)
        x = torch.randn(1, 5, 10, 9, requires_grad=learns == "input")
        with torch.enable_grad():
            layer(x).square().sum().backward()
            plain, again = weight.requires_grad_(), x.detach().requires_grad_()
            nn.functional.conv2d(again, plain, layer.bias).relu().square().sum().backward()
        assert layer.weight is before
        pairs = ((x.grad, again.grad),) if learns == "input" else ((layer.weight.grad, plain.grad),)
        for found, wanted in pairs:
            assert found is not None
            assert wanted is not None
            close(found, wanted)


def test_large_kernels_are_kernels_under_autocast_and_for_no_pixels() -> None:
    x = torch.randn(1, 5, 10, 9)
    layer = large()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        close(layer(x).float(), nn.functional.conv2d(x, kernels(large()), layer.bias).float(), 1e-2)
    assert torch.equal(layer.weight, kernels(large()))
    with torch.enable_grad():
        layer.requires_grad_()(x).sum().backward()
    compiled = torch.compile(large(), backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        close(compiled(x).float(), layer(x).float(), 1e-2)
    close(compiled(x), layer(x).detach())
    assert large()(x[:0]).shape == (0, 7, 4, 3)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        large()(x[:, :, :6])


def test_large_kernels_compile_and_export_for_every_size() -> None:
    layer = large()
    height = torch.export.Dim("height", min=8, max=64)
    program = torch.export.export(layer, (torch.randn(1, 5, 11, 9),), dynamic_shapes=({2: height},), strict=False)
    for size in (8, 12, 33):
        x = torch.randn(1, 5, size, 9)
        close(program.module()(x), layer(x))


LARGE = """
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{
  num_output: 12 pad: {pad} kernel_size: 5 }} }}
layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ kernel_size: 4 stride: 4 }} }}
layer {{ name: "f" type: "Convolution" bottom: "p" top: "f" convolution_param {{
  num_output: 9 kernel_size: 6 {more} }} }}
layer {{ name: "s" type: "ReLU" bottom: "f" top: "f" }}
"""


@pytest.mark.parametrize("pad", [0, 40])
def test_a_net_with_a_large_kernel(pad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 3888)
    analysed = net(LARGE.format(pad=pad, more=""), (1, 3, 64, 60))
    literal, fast, module = pair(analysed)
    assert "self.f=LargeKernel(12,9,kernel_size=6,relu=True,points=(0.0,1.0," in "".join(module.source.split())
    assert fast.f.weight.shape == (7 * 9, 6 * 12)
    for size in ((64, 60), (67, 81), (50, 90)):
        x = torch.randn(2, 3, *size)
        close(fast(x), literal(x))
    again = load_source(module).eval()
    again.load_state_dict(fast.to(torch.bfloat16).state_dict())
    close(again(x), literal(x), 3e-2)
    assert "= LargeKernel(" not in compile_net(analysed, 2, dtype="bfloat16").source


@pytest.mark.parametrize(
    ("more", "threshold"),
    [("stride: 2", 1), ("dilation: 2", 1), ("group: 3", 1), ("", 3889), ("kernel_h: 3 kernel_w: 9", 1)],
)
def test_other_kernels_are_not_large(more: str, threshold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", threshold)
    text = LARGE.format(pad=0, more=more)
    text = text.replace("num_output: 9 kernel_size: 6", "num_output: 9") if "kernel_h" in more else text
    assert "self.f = Conv2d" in compile_net(net(text, (1, 3, 64, 60)), 2).source
