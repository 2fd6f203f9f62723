"""What layers say of themselves in place of their names holds, by numbers: for every class, and in every case.

Each layer of every conformance case is compiled by itself, at sizes at which it could be found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netcompile.analyser import analyse
from netcompile.caffemodel.recipe import Take
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.ir.build import Options
from netcompile.ir.graph import Node
from netcompile.layers.activation import Dropout, ReLU
from netcompile.layers.base import FAMILIES, Layer
from netcompile.layers.memory import SharedMemory
from netcompile.layers.normalisation import LRN, ScaledBatchNorm
from netcompile.layers.normalisation_variants import BN
from netcompile.layers.registry import load
from netcompile.layers.softmax import Softmax
from netcompile.layers.traits import Reach
from netcompile.prototxt.message import Message
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.random_weights import draw
from netcompile.runtime.random_weights import numbers as drawn_numbers
from tests.conftest import ALL_CASES, REPOSITORY, ConformanceCase
from tests.layers.harness import analyse_text, inputs_text

Shapes = tuple[tuple[int, ...], ...]
Run = Callable[[Sequence[Tensor]], list[Tensor]]

# Layers of which no case tells anything, one of each.
MORE = """
layer { name: "a" type: "SeLu" bottom: "x" top: "a" }
layer { name: "b" type: "SeLuDropout" bottom: "x" top: "b" }
layer { name: "c" type: "ELU" bottom: "x" top: "c" }
layer { name: "d" type: "CReLU" bottom: "x" top: "d" crelu_param { } }
layer { name: "e" type: "Normalize" bottom: "x" top: "e" top: "e2" normalize_param { } }
layer { name: "f" type: "BatchNorm" bottom: "x" top: "f" batch_norm_param { scale_bias: true } }
layer { name: "g" type: "LRNMap" bottom: "x" top: "g" }
layer { name: "h" type: "Transpose" bottom: "x" top: "h" transpose_param { dim: 1 dim: 0 dim: 2 dim: 3 } }
layer { name: "i" type: "Transpose" bottom: "x" top: "i" transpose_param { dim: 0 dim: 2 dim: 1 dim: 3 } }
layer { name: "j" type: "InnerProduct" bottom: "x" top: "j" inner_product_param { num_output: 2 normalize: true } }
layer { name: "k" type: "Reverse" bottom: "x" top: "k" reverse_param { axis: 1 } }
layer { name: "l" type: "ArgMax" bottom: "x" top: "l" argmax_param { axis: 1 out_max_val: true } }
layer { name: "m" type: "Pooling" bottom: "x" top: "m" pooling_param { pool: STOCHASTIC kernel_size: 2 } }
layer { name: "n" type: "Softmax" bottom: "x" top: "n" softmax_param { axis: 0 } }
"""


@dataclass(frozen=True, eq=False)
class Place:
    """A layer in a net: its message, and the shapes of its bottoms."""

    message: Message
    node: Node
    shapes: tuple[tuple[int, ...], ...]

    @property
    def title(self) -> str:
        return f"{type(self.node.layer).__name__} {to_text(self.message)} {self.shapes}"


def places(text: str | ConformanceCase) -> Iterator[Place]:
    if isinstance(text, str):
        net = analyse_text(inputs_text(x=(3, 4, 5, 6)) + text)
    else:
        options = Options(text.phase == "TRAIN", text.level, text.stages, fed=frozenset(text.inputs), with_loss=True)
        net = analyse(open_source(text.net), options)
    for node in net.graph.nodes:
        if node.bottoms and node.tops and not isinstance(node.layer, SharedMemory):
            yield Place(node.message, node, tuple(net.shapes[bottom] for bottom in node.bottoms))


@cache
def every_place() -> dict[type[Layer], list[Place]]:
    """Each layer of the cases once, by class."""
    found: dict[str, Place] = {}
    sources: tuple[str | ConformanceCase, ...] = (*ALL_CASES, MORE)
    for source in sources:
        for place in places(source):
            nameless = place.message.replace(name="l", bottom=[], top=[])
            in_place = place.message.all("bottom")[:1] == place.message.all("top")[:1]
            ranks = [len(shape) for shape in place.shapes]
            found.setdefault(f"{to_text(nameless)} {ranks} {in_place} {len(place.message.all('top'))}", place)
    by_class: dict[type[Layer], list[Place]] = {}
    for place in found.values():
        by_class.setdefault(type(place.node.layer), []).append(place)
    return by_class


@cache
def alone(place: Place, shapes: Shapes, train: bool = False) -> tuple[Layer, Run] | None:
    """The layer compiled by itself for bottoms of these shapes, and how to run it; None where it is refused."""
    names = place.message.all("bottom")
    text = inputs_text(**dict(zip(names, shapes, strict=True))) + "layer {\n" + to_text(place.message) + "}\n"
    try:
        net = analyse_text(text, train=train).require()
        made = net.graph.nodes[0]
        module = compile_net(net, 0, [top.blob for top in made.tops])
        instance: nn.Module = draw(net, module).double()
    except (NetError, IndexError):
        return None

    def run(bottoms: Sequence[Tensor]) -> list[Tensor]:
        given = dict(zip(names, bottoms, strict=True))
        with torch.no_grad():
            result: Any = instance(*(given[entry.blob] for entry in module.inputs))
        return [result] if isinstance(result, Tensor) else [result[top.blob] for top in made.tops]

    return made.layer, run


def grown(place: Place) -> list[Shapes]:
    """The bottoms with three rows and planes of 5 × 6; with three rows; as they are."""
    shapes = place.shapes
    found = [shapes]
    if all(shapes) and len({shape[0] for shape in shapes}) == 1:
        found.insert(0, tuple((3, *shape[1:]) for shape in shapes))
    if all(len(shape) == 4 for shape in shapes) and len({shape[2:] for shape in shapes}) == 1:
        found.insert(0, tuple((*shape[:2], 5, 6) for shape in found[0]))
    return found


def numbers(layer: Layer, shapes: Shapes, content: str = "") -> list[Tensor]:
    random = torch.Generator().manual_seed(7)
    indices = {index % len(shapes) for index in layer.index_bottoms}
    found = []
    for index, shape in enumerate(shapes):
        if index in indices or content == "labels":
            found.append(torch.randint(0, 2, shape, generator=random).double())
        elif content == "probabilities":
            found.append(torch.rand(shape, generator=random).double())
        else:
            found.append(torch.randn(shape, generator=random).double())
    return found


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-9, atol=1e-9, equal_nan=True)


def parts_agree(run: Run, bottoms: Sequence[Tensor], axis: int) -> bool:
    """Whether the layer makes of parts of its bottoms those parts of its tops: all but the first, all but the last."""
    whole = run(bottoms)
    for start in (0, 1):
        try:
            part = run([x.narrow(axis, start, x.shape[axis] - 1) for x in bottoms])
        except (RuntimeError, IndexError, TypeError, ValueError):
            return False
        for a, b in zip(whole, part, strict=True):
            if a.dim() <= axis or a.shape[axis] < 2 or not same(a.narrow(axis, start, a.shape[axis] - 1), b):
                return False
    return True


def observe(place: Place, axis: int, train: bool) -> tuple[bool, bool] | None:
    """What a layer says of an axis, and what its numbers say; None where they cannot tell."""
    if train and isinstance(place.node.layer, Dropout):
        return None  # but for what it draws
    for shapes in grown(place):
        made = alone(place, shapes, train)
        if made is None:
            continue
        layer, run = made
        if len({shape[axis : axis + 1] for shape in shapes}) > 1 or len(shapes[0]) <= axis or shapes[0][axis] < 2:
            return None
        mixed = layer.mixes(train, *shapes)
        try:
            return mixed is not None and axis not in mixed, parts_agree(run, numbers(layer, shapes), axis)
        except IndexError:  # of boxes, which random numbers do not make
            return None
    return None


CLASSES = pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in every_place()])


def test_every_trait_is_asked_for() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "netcompile").rglob("*.py"))
    assert [name for name in Layer.__annotations__ if not re.search(rf"\.{name}\b", source)] == []


def test_families() -> None:
    assert {name: cls.family for name, cls in load().items() if cls.family not in (*FAMILIES, "other")} == {}


@CLASSES
def test_axes_that_are_not_mixed(cls: type[Layer]) -> None:
    for axis, train in product(range(4), (False, True)):
        claims, observations = 0, []
        for place in every_place()[cls]:
            found = observe(place, axis, train)
            if found is not None:
                says, shows = found
                assert shows or not says, (axis, train, place.title)
                claims += says
                observations.append(shows)
        if axis != 1:  # what passes ask for
            forgotten = observations and all(observations) and not claims
            assert not forgotten, f"{cls.__name__} does not mix axis {axis} in any case, and does not say so"


@CLASSES
def test_maps_of_one_pixel_are_as_vectors(cls: type[Layer]) -> None:
    for place in every_place()[cls]:
        layer = place.node.layer
        flat: Shapes = tuple(
            (3,) if i in layer.index_bottoms else (3, (*s, 4, 4)[1]) for i, s in enumerate(place.shapes)
        )
        maps: Shapes = tuple((*shape, *(1,) * (4 - len(shape))) for shape in flat)
        on_maps = alone(place, maps)
        on_vectors = alone(place, flat)
        if on_maps is None or on_vectors is None or not on_maps[0].same_on_maps(*maps):
            continue
        bottoms = numbers(layer, flat)
        a = on_vectors[1](bottoms)
        b = on_maps[1]([x.reshape(shape) for x, shape in zip(bottoms, maps, strict=True)])
        assert all(same(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True)), place.title


def check_rows(layer: Layer, top: Tensor, title: str) -> None:
    """Rows of detections have whole labels, of which there are as many as the layer says; regions have an image."""
    told, rows = layer.detected(), top.flatten(0, -2) if layer.detected() is not None else top.flatten(1)
    if told is None:
        assert rows.shape[1] in (1, 5), title
        return
    labels = rows[:, 1]
    assert rows.shape[1] == 7, title
    assert same(labels, labels.round()), title
    assert labels.max() < told.labels, title


@CLASSES
def test_contents(cls: type[Layer]) -> None:
    for place, content in product(every_place()[cls], ("", "labels", "probabilities")):
        shapes = place.shapes
        said = place.node.layer.content(*[content] * len(shapes)) if place.node.tops else ""
        if said == "features":
            assert not content, place.title
            continue
        made = alone(place, shapes) if said else None
        if made is None:
            continue
        layer, run = made
        for top in run(numbers(layer, shapes, content)):
            if said in ("detections", "regions"):
                check_rows(place.node.layer, top, place.title)
                continue
            assert top.min() >= 0, place.title
            if said == "labels":
                assert same(top, top.round()), place.title
            else:
                assert top.max() <= 1, place.title


def test_layers_that_mix_pixels_see_more_than_one() -> None:
    assert ReLU().reach((1, 3, 5, 6)) == ((Reach(), Reach()),)
    assert LRN(within=True).reach((1, 3, 5, 6)) is None
    assert Softmax(axis=3).reach((1, 3, 5, 6)) is None


def test_running_statistics_are_not_learned() -> None:
    """NVCaffe's BatchNorm learns its scale and bias; weights drawn at random have no negative variance."""
    shape = (2, 3, 4, 4)
    assert [spec.learned for spec in ScaledBatchNorm().blobs(shape)] == [False, False, False, True, True]
    for layer in (ScaledBatchNorm(), BN("running")):
        for index, spec in enumerate(layer.blobs(shape)):
            drawn = drawn_numbers(Take("l", index, 0), spec, 1)
            assert spec.meaning != "variance" or drawn.min() > 0
