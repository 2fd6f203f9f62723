"""Time grows as the net does: four times the layers take about four times as long, and not sixteen times."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import pytest

from netcompile.analysis import shapes, symbolic, upsampling
from netcompile.analysis.shapes import Shapes
from netcompile.cli.main import entry
from netcompile.ir.graph import Graph

CONV = "convolution_param {{ num_output: 4 kernel_size: 3 pad: {} }}"
COMMANDS = {
    "check": ("check",),
    "offsets": ("offsets", "--json"),
    "inspect": ("inspect",),
    "build": ("build", "-O2"),
}


def layer(name: str, kind: str, bottoms: list[str], top: str, more: str = "") -> str:
    wires = "".join(f'bottom: "{bottom}" ' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {wires}top: "{top}" {more} }}\n'


def chain(n: int) -> Iterator[str]:
    for i in range(0, n, 2):
        yield layer(f"c{i}", "Convolution", [f"c{i - 2}" if i else "data"], f"c{i}", CONV.format(1))
        yield layer(f"r{i}", "ReLU", [f"c{i}"], f"c{i}")


def diamonds(n: int) -> Iterator[str]:
    for i in range(0, n, 3):
        last = f"e{i - 3}" if i else "data"
        yield layer(f"a{i}", "TanH", [last], f"a{i}")
        yield layer(f"b{i}", "ReLU", [last], f"b{i}")
        yield layer(f"e{i}", "Eltwise", [f"a{i}", f"b{i}"], f"e{i}")


def crops(n: int) -> Iterator[str]:
    """Each crop's ways to the common ancestor are as long as the net."""
    for i in range(0, n, 2):
        yield layer(f"c{i}", "Convolution", [f"k{i - 2}" if i else "data"], f"c{i}", CONV.format(2))
        yield layer(f"k{i}", "Crop", [f"c{i}", "data"], f"k{i}", "crop_param { offset: 1 }")


def wide(n: int) -> Iterator[str]:
    for i in range(n):
        yield layer(f"p{i}", "Pooling", ["data"], f"p{i}", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    yield layer("cat", "Concat", [f"p{i}" for i in range(n)], "cat")


def slices(n: int) -> Iterator[str]:
    yield f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: [1, {n}, 2, 2] }} }} }}\n'
    tops = "".join(f'top: "s{i}" ' for i in range(n - 1))
    yield layer("s", "Slice", ["x"], f"s{n}", tops)
    yield layer("cat", "Concat", [f"s{i}" for i in range(n - 1)], "cat")


def upsampled(n: int) -> Iterator[str]:
    """Each deconvolution's grid goes on to the end of the net, on two ways from every second layer on."""
    for i in range(0, n, 5):
        last, half = f"e{i - 5}" if i else "data", "num_output: 4 kernel_size: 2 stride: 2"
        yield layer(f"p{i}", "Pooling", [last], f"p{i}", "pooling_param { kernel_size: 2 stride: 2 }")
        yield layer(f"u{i}", "Deconvolution", [f"p{i}"], f"u{i}", f"convolution_param {{ {half} }}")
        yield layer(f"a{i}", "TanH", [last], f"a{i}")
        yield layer(f"e{i}", "Eltwise", [last, f"a{i}", f"u{i}"], f"e{i}")
        yield layer(f"r{i}", "ReLU", [f"e{i}"], f"e{i}")


NETS: dict[str, Callable[[int], Iterator[str]]] = {
    "chain": chain,
    "diamonds": diamonds,
    "crops": crops,
    "wide": wide,
    "slices": slices,
    "upsampled": upsampled,
}


def written(net: str, n: int, folder) -> str:
    path = folder / f"{net}-{n}.prototxt"
    head = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: [1, 4, 32, 32] } } }\n'
    path.write_text(head + "".join(NETS[net](n)))
    return str(path)


def seconds(command: str, net: str, n: int, folder) -> float:
    path = written(net, n, folder)
    name, *options = COMMANDS[command]
    options += ["-o", str(folder / "out")] if name == "build" else []
    gc.disable()  # it would go through all that other tests left
    begun = time.process_time()
    try:
        assert entry((name, path, *options)) in (0, 1)
        return time.process_time() - begun
    finally:
        gc.enable()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("net", NETS)
def test_time_is_linear(net: str, command: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    few, many = (80, 320) if net != "slices" else (500, 2000)
    short = max(min(seconds(command, net, few, tmp_path) for _ in range(2)), 0.02)
    assert seconds(command, net, many, tmp_path) < 10 * short or seconds(command, net, many, tmp_path) < 10 * short


def test_upsampled_blobs_are_followed_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many deconvolutions a grid comes from, each layer is asked once whether it keeps it."""
    asked = []
    ask = upsampling._kept
    monkeypatch.setattr(upsampling, "_kept", lambda node, shapes: asked.append(id(node)) or ask(node, shapes))
    assert entry(("build", written("upsampled", 200, tmp_path), "-o", str(tmp_path / "out"))) == 0
    assert len(asked) == len(set(asked)) > 100


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("level", ["-O0", "-O1"])
def test_nothing_is_analysed_twice(net: str, level: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build infers shapes once for each size that it asks about, and once as functions of the size."""
    numbers, functions = list[tuple[object, ...]](), list[tuple[object, ...]]()
    infer, walk = shapes.each_refusal, symbolic._SymbolicWalk.__init__

    def inferred(graph: Graph, known: Shapes):
        numbers.append((*(entry.shape for entry in graph.inputs), *map(id, graph.nodes)))
        return infer(graph, known)

    def walked(self: object, graph: Graph, known: Shapes) -> None:
        functions.append(tuple(map(id, graph.nodes)))
        walk(self, graph, known)

    monkeypatch.setattr(shapes, "each_refusal", inferred)
    monkeypatch.setattr(symbolic._SymbolicWalk, "__init__", walked)
    assert entry(("build", written(net, 60, tmp_path), "-o", str(tmp_path / "out"), level)) == 0
    assert len(functions) == len(set(functions)) == 1
    assert len(numbers) == len(set(numbers)) > 0
