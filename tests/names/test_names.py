"""Nets with names that nobody expects work as with their own. `python -m tests.names` runs thousands more."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.weights import weight_plan
from netcompile.ir.build import Options
from tests.conftest import CONFORMANCE
from tests.names.check import anatomy, any_width, case_of, check, taken_from_outside
from tests.names.payloads import NOT_TEXT, SPECIAL
from tests.names.renamed import quoted, rename, spots

CASES = Path(__file__).parent / "cases"
SLICE = 110  # five of every command


@pytest.mark.parametrize("first", range(0, SLICE, 22))
def test_other_names_change_nothing(first: int) -> None:
    for number in range(first, first + 22):
        check(case_of(number, seed=13))


def numbers(text: str, level: int) -> list[np.ndarray]:
    """What a net computes of drawn inputs with drawn weights, both in the order of the file."""
    import torch

    from netcompile.runtime.emitted import by_name
    from netcompile.runtime.execute import load_source

    analysed = analyse(Source(text, "net.prototxt"), Options(with_loss=True)).require()
    module = compile_net(analysed, level)
    net = load_source(module).eval()
    assert {tensor.key for tensor in weight_plan(analysed.graph, module).tensors} == set(net.state_dict())
    random = torch.Generator().manual_seed(1)
    state = {key: torch.rand(value.shape, generator=random) for key, value in net.state_dict().items()}
    net.load_state_dict(state, strict=True)
    feed = [torch.rand(analysed.shapes[value], generator=random) for value in module.inputs]
    with torch.no_grad():
        found = by_name(net(*feed), module.outputs)
    assert list(found) == list(module.outputs)
    return [found[name].numpy() for name in module.outputs]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("path", sorted(CASES.glob("*.prototxt")), ids=lambda path: path.stem)
def test_each_kind(path: Path, level: int) -> None:
    text = path.read_text()
    olds = dict.fromkeys((spot.place, spot.name) for spot in spots(text))
    plain = rename(text, {old: f"{old[0]}{number}" for number, old in enumerate(olds)})
    assert plain != text
    for one, other in zip(numbers(text, level), numbers(plain, level), strict=True):
        np.testing.assert_array_equal(one, other)


@cache
def source(text: str) -> str:
    return compile_net(analyse(Source(text, "net.prototxt")), 2).source


WINDOWED = (CONFORMANCE / "fcn32s-narrow" / "net.prototxt").read_text()
USED = (
    "H",
    "W",
    "n",
    "border",
    "plain",
    "state",
    "key",
    "zeros",
    "weight",
    "weights",
    "next",
    "iter",
    "min",
    "window",
    "dict",
    "list",
)


@any_width
@pytest.mark.parametrize("name", [*USED, "version", "recorded", "only_border", "rows", "band", "x" * 90])
def test_no_image_hides_what_the_method_of_borders_uses(name: str) -> None:
    """The image is the only blob in that method, and a border's name may be longer than a line."""
    renaming = {("blob", "data"): name, ("layer", "pool1"): name, ("layer", "conv1_2"): name}

    plain = source(WINDOWED)
    outside = taken_from_outside(plain)
    assert "def border(self" in plain
    assert anatomy(source.__wrapped__(rename(WINDOWED, renaming)), outside) == anatomy(plain, outside)


UNKNOWN = """
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 2, 5, 5] }} }} }}
layer {{ name: "r" type: "ReLU" bottom: "data" top: "r" }}
layer {{ name: "u" type: {} bottom: "r" top: "u" }}
"""
PYTHON = """
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 2, 5, 5] }} }} }}
layer {{ name: "p" type: "Python" bottom: "data" top: "p" python_param {{ module: {} layer: {} param_str: {} }} }}
"""


@any_width
def test_no_type_of_an_unknown_layer_escapes() -> None:
    def source(name: str) -> str:
        text = UNKNOWN.format(quoted(name))
        return compile_net(analyse(Source(text, "net.prototxt"), Options(allow_unknown=True)), 0).source

    plain = source("plain")
    outside = taken_from_outside(plain)
    for name in filter(None, SPECIAL):
        made = source(name)
        assert all(c == "\n" or c.isprintable() for c in made), name
        assert anatomy(made, outside) == anatomy(plain, outside), name


def test_python_layers_of_any_name_are_refused_in_print() -> None:
    for name in SPECIAL:
        with pytest.raises(NetError) as caught:
            analyse(Source(PYTHON.format(*[quoted(name)] * 3), "net.prototxt"), Options()).require()
        assert [d.code for d in caught.value.diagnostics] == ["python-layer"], name
        said = str(caught.value)
        assert all(c == "\n" or c.isprintable() for c in said), name


@pytest.mark.parametrize("data", NOT_TEXT)
@pytest.mark.parametrize("place", ["name: {}", "layer {{ name: {} }}", 'layer {{ name: "x" type: "ReLU" top: {} }}'])
def test_bytes_that_are_no_text_are_refused_where_they_stand(data: bytes, place: str) -> None:
    literal = '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'
    with pytest.raises(NetError) as caught:
        analyse(Source(place.format(literal), "net.prototxt"), Options()).require()
    (found,) = [d for d in caught.value.diagnostics if d.code == "not-utf8"]
    assert found.span is not None
    assert found.span.text == literal


def test_escapes_are_found() -> None:
    """The checks of this folder see what they are there for."""
    plain = "import torch\n\n\nclass A(nn.Module):\n    def forward(self, x):\n        return torch.relu(x)\n"
    assert anatomy(plain.replace("x", "y"), frozenset(["torch"])) == anatomy(plain, frozenset(["torch"]))
    for other in (plain.replace("(x)", "(self)"), plain.replace("x", "torch"), plain + "        os.abort()\n"):
        assert anatomy(other, frozenset(["torch"])) != anatomy(plain, frozenset(["torch"]))
