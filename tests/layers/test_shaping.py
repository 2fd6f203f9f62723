"""Layers that copy, cut, join and regroup blobs against their oracles; their sizes, symbolic ones too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.harness import analyse_text, check_text, compile_text, inputs_text, refusals
from tests.oracles.shaping import ORACLES

RNG = np.random.default_rng(7)
SHAPE = (2, 6, 4, 5)


def one(kind: str, params: str = "", shape: tuple[int, ...] = SHAPE, tops: tuple[str, ...] = ("out",)) -> str:
    names = " ".join(f'top: "{top}"' for top in tops)
    field = f"{kind.lower()}_param {{ {params} }}" if params else ""
    return inputs_text(data=shape) + f'layer {{ name: "x" type: "{kind}" bottom: "data" {names} {field} }}'


@pytest.mark.parametrize(
    ("kind", "params", "shape", "tops"),
    [
        ("Split", "", SHAPE, ("p", "q", "r")),
        ("Slice", "", SHAPE, ("p", "q", "r")),
        ("Slice", "", SHAPE, ("p",)),
        ("Slice", "slice_point: 1", SHAPE, ("p", "q")),
        ("Slice", "slice_point: 2 slice_point: 5", SHAPE, ("p", "q", "r")),
        ("Slice", "axis: -1 slice_point: 4", SHAPE, ("p", "q")),
        ("Slice", "axis: 0", SHAPE, ("p", "q")),
        ("Slice", "slice_dim: 2", SHAPE, ("p", "q")),
        ("Slice", "axis: 0 slice_point: 3", (5,), ("p", "q")),
        ("Tile", "tiles: 3", SHAPE, ("out",)),
        ("Tile", "tiles: 1", SHAPE, ("out",)),
        ("Tile", "tiles: 2 axis: 0", SHAPE, ("out",)),
        ("Tile", "tiles: 2 axis: -1", SHAPE, ("out",)),
        ("Tile", "tiles: 4 axis: 0", (3,), ("out",)),
        ("Flatten", "", SHAPE, ("out",)),
        ("Flatten", "axis: 0", SHAPE, ("out",)),
        ("Flatten", "axis: 1 end_axis: 2", SHAPE, ("out",)),
        ("Flatten", "axis: -2", SHAPE, ("out",)),
        ("Flatten", "axis: 2 end_axis: 2", SHAPE, ("out",)),
        ("Flatten", "axis: 2 end_axis: 1", SHAPE, ("out",)),
        ("Flatten", "axis: -1", SHAPE, ("out",)),
        ("Flatten", "", (2, 3), ("out",)),
        ("Flatten", "axis: 0", (2,), ("out",)),
        ("Reshape", "shape { dim: 0 dim: -1 }", SHAPE, ("out",)),
        ("Reshape", "shape { dim: -1 }", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 0 dim: 2 dim: -1 dim: 0 }", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 4 dim: 60 }", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 0 dim: 0 dim: 0 dim: 0 }", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 3 dim: -1 } axis: 1 num_axes: 1", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 20 } axis: 2", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 20 } axis: -3", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 1 dim: -1 } axis: -2", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 1 } axis: 1 num_axes: 0", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 1 dim: 1 } axis: -1 num_axes: 0", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 1 } axis: 0 num_axes: 0", SHAPE, ("out",)),
        ("Reshape", "shape { dim: 6 dim: 0 } axis: 1 num_axes: 1", (2, 6, 1, 3), ("out",)),
        ("Reshape", "axis: 1 num_axes: 1", (2, 1, 3), ("out",)),
        ("Reshape", "shape { }", (1, 1), ("out",)),
        ("Reshape", "shape { dim: 1 dim: 1 }", (), ("out",)),
    ],
)
def test_equals_its_oracle(kind: str, params: str, shape: tuple[int, ...], tops: tuple[str, ...]) -> None:
    check_text(one(kind, params, shape, tops), {"data": RNG.normal(size=shape)}, ORACLES)


@pytest.mark.parametrize(
    ("params", "shapes"),
    [
        ("", ((2, 3, 4), (2, 1, 4))),
        ("axis: 0", ((2, 3), (1, 3), (4, 3))),
        ("axis: -1", ((2, 3), (2, 5))),
        ("concat_dim: 2", ((2, 3, 4), (2, 3, 1))),
        ("axis: 0", ((2,), (3,))),
        ("", ((2, 3),)),
    ],
)
def test_concat(params: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    names = "abc"[: len(shapes)]
    text = inputs_text(**dict(zip(names, shapes, strict=True)))
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    text += f'layer {{ name: "x" type: "Concat" {bottoms} top: "out" concat_param {{ {params} }} }}'
    inputs = {name: RNG.normal(size=shape) for name, shape in zip(names, shapes, strict=True)}
    check_text(text, inputs, ORACLES)


def test_silence_computes_nothing() -> None:
    text = one("Split", tops=("p", "q")) + 'layer { name: "s" type: "Silence" bottom: "p" bottom: "q" }'
    check_text(text, {"data": RNG.normal(size=SHAPE)}, ORACLES)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        (one("Slice", "slice_point: 1", tops=("p", "q", "r")), "1 slice point for 3 tops", "1"),
        (one("Slice", "slice_point: 1 slice_point: 2", tops=("p",)), "2 slice points for 1 top", "1"),
        (
            one("Slice", "slice_point: 4 slice_point: 4", tops=("p", "q", "r")),
            "slice_point 4 does not lie behind 4",
            "4",
        ),
        (one("Slice", "slice_point: 0", tops=("p", "q")), "slice_point 0 does not lie behind 0", "0"),
        (
            one("Slice", "slice_point: 6", tops=("p", "q")),
            "layer 'x': slice_point 6 is not less than 6",
            "6",
        ),
        (
            one("Slice", tops=("p", "q", "r", "s")),
            "layer 'x': axis 1 of 6 elements does not divide into 4 tops",
            '"Slice"',
        ),
        (one("Slice", "axis: 4", tops=("p", "q")), "layer 'x': axis 4 of 4", "4"),
        (one("Slice", "slice_dim: 4", tops=("p", "q")), "layer 'x': axis 4 of 4", "4"),
        (one("Slice", "axis: 1 slice_dim: 1", tops=("p", "q")), "axis and slice_dim together", "1"),
        (one("Tile"), "tiles missing", '"Tile"'),
        (one("Tile", "tiles: 0"), "tiles must be positive, not 0", "0"),
        (one("Tile", "tiles: -1"), "tiles must be positive, not -1", "-1"),
        (one("Tile", "tiles: 2 axis: -5"), "layer 'x': axis -5 of 4", "-5"),
        (one("Flatten", "axis: 4"), "layer 'x': axis 4 of 4", "4"),
        (one("Flatten", "end_axis: 9"), "layer 'x': axis 9 of 4", "9"),
        (one("Flatten", "axis: 3 end_axis: 1"), "layer 'x': end_axis 1 before axis 3", "1"),
        (one("Flatten", tops=("data",)), "Flatten does not work in place", '"data"'),
        (one("Reshape", "shape { dim: 5 dim: 7 }"), "layer 'x': element count differs", "shape"),
        (one("Reshape", "shape { dim: 7 dim: -1 }"), "layer 'x': element count differs", "shape"),
        (one("Reshape", ""), "layer 'x': element count differs", '"Reshape"'),
        (one("Reshape", "shape { dim: -1 dim: 2 dim: -1 }"), "more than one dim is -1", "-1"),
        (one("Reshape", "shape { dim: -2 }"), "dim -2 is no extent", "-2"),
        (
            one("Reshape", "shape { dim: 1 dim: 0 dim: 0 dim: 0 dim: 0 }"),
            "layer 'x': dim 0 at axis 4, and the bottom has 4 axes",
            "0",
        ),
        (one("Reshape", "shape { dim: 1 } axis: 5"), "layer 'x': axis 5 of 4", "5"),
        (one("Reshape", "shape { dim: 1 } axis: -6"), "layer 'x': axis -6 of 4", "-6"),
        (one("Reshape", "shape { dim: 1 } num_axes: -2"), "num_axes -2 is less than -1", "-2"),
        (
            one("Reshape", "shape { dim: 1 } axis: 3 num_axes: 2"),
            "layer 'x': 2 axes from axis 3 on, of 4",
            "2",
        ),
        (one("Reshape", "shape { dim: 0 }", tops=("data",)), "Reshape does not work in place", '"data"'),
    ],
)
def test_refused(text: str, message: str, at: str) -> None:
    found = {d.what: d.span for d in refusals(text)}
    span = found[message]
    assert span is not None
    assert span.line == 2
    assert span.source.text[span.start : span.end] == at


@pytest.mark.parametrize(
    ("kind", "params", "tops", "shapes"),
    [
        ("Flatten", "axis: 1 end_axis: 2", ("out",), ["2 6H W"]),
        ("Flatten", "axis: 0 end_axis: 1", ("out",), ["12 H W"]),
        ("Reshape", "shape { dim: 0 dim: 2 dim: -1 dim: 0 }", ("out",), ["2 2 3H W"]),
        ("Reshape", "shape { dim: 0 dim: 12 dim: -1 dim: 0 }", ("out",), ["2 12 ⌊H/2⌋ W"]),
        ("Reshape", "shape { dim: 3 dim: -1 } axis: 1 num_axes: 1", ("out",), ["2 3 2 H W"]),
        ("Tile", "tiles: 3 axis: 2", ("out",), ["2 6 3H W"]),
        ("Slice", "axis: 2 slice_point: 3", ("p", "q"), ["2 6 3 W", "2 6 H - 3 W"]),
        ("Slice", "axis: 3", ("p", "q", "r", "s", "t"), ["2 6 H ⌊W/5⌋"] * 5),
    ],
)
def test_sizes_follow_the_input(kind: str, params: str, tops: tuple[str, ...], shapes: list[str]) -> None:
    net = analyse_text(one(kind, params, tops=tops)).require()
    found = [net.symbolic.shapes[top] for top in net.graph.nodes[0].tops]
    assert [" ".join(map(str, shape or ("unknown",))) for shape in found] == shapes


def test_which_sizes_are_legal() -> None:
    half = analyse_text(one("Slice", "axis: 2", tops=("p", "q"))).require()
    assert [n for n in range(1, 9) if n in half.valid[0]] == [2, 4, 6, 8]
    cut = analyse_text(one("Slice", "axis: 3 slice_point: 3", tops=("p", "q"))).require()
    assert [n for n in range(1, 7) if n in cut.valid[1]] == [4, 5, 6]
    folded = analyse_text(one("Reshape", "shape { dim: 0 dim: 12 dim: -1 dim: 0 }")).require()
    assert [n for n in range(1, 7) if n in folded.valid[0]] == [2, 4, 6]


def test_the_code_runs_at_other_sizes() -> None:
    import torch

    from netcompile.runtime.execute import load_source

    text = one("Reshape", "shape { dim: 0 dim: 2 dim: -1 dim: 0 }")
    made = load_source(compile_text(text)[1])
    assert made(torch.zeros(3, 6, 8, 7)).shape == (3, 2, 24, 7)
    text = one("Slice", "slice_point: 1", tops=("p", "q"))
    assert load_source(compile_text(text)[1])(torch.zeros(1, 6, 2, 2))["q"].shape == (1, 5, 2, 2)


def test_the_code_is_what_a_person_would_write() -> None:
    assert "out: Tensor = data.flatten(1)" in compile_text(one("Flatten"))[1].source
    assert (
        "out: Tensor = data.unsqueeze(1)"
        in compile_text(one("Reshape", "shape { dim: 1 } axis: 1 num_axes: 0"))[1].source
    )
    source = compile_text(one("Slice", "slice_point: 2 slice_point: 5", tops=("p", "q", "r")))[1].source
    assert "p, q, r = torch.tensor_split(data, (2, 5), dim=1)" in source
    assert "p, q = data.chunk(2, dim=1)" in compile_text(one("Slice", tops=("p", "q")))[1].source
    assert "out: Tensor = data\n" in compile_text(one("Concat"), level=0)[1].source
    for dims, wanted in {
        "dim: 0 dim: -1": "data.flatten(1)",
        "dim: -1": "data.flatten(0)",
        "dim: 0 dim: 0 dim: 0 dim: 0 dim: 1": "data[..., None]",
        "dim: 0 dim: 0 dim: -1": "data.flatten(2)",
        "dim: 0 dim: -1 dim: 1": "data.reshape(data.shape[0], -1, 1)",
    }.items():
        assert f"out: Tensor = {wanted}" in compile_text(one("Reshape", f"shape {{ {dims} }}"))[1].source
