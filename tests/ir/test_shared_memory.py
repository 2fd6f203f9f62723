"""Blobs of one piece of memory against NumPy arrays that are real views of one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.prototxt.load import load_net
from tests.fuzz.memory import shares
from tests.layers.harness import Array, module_of

SHAPES = ((2, 2, 2, 2), (1, 4, 2, 2), (2, 8), (1, 16), (16,), (2, 2, 4), (1, 2, 2, 2, 2))
Values = dict[str, Array]
IN_PLACE: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "ReLU": ("", lambda x: np.maximum(x, 0)),
    "TanH": ("", np.tanh),
    "Power": ("power_param { scale: 2 shift: -0.5 }", lambda x: 2 * x - 0.5),
    "Dropout": ("", lambda x: x),
    "ELU": ("", lambda x: np.where(x > 0, x, np.exp(x) - 1)),
}


@st.composite
def nets(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[str, Array, Values]:
    """A text, its input, and what its blobs hold when all layers have run."""
    shape = draw(st.sampled_from(SHAPES))
    given_ = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
    blobs: Values = {"x": given_.copy()}
    taken: set[str] = set()  # whose present value some layer has read: Caffe refuses to work on it in place
    lines = [f'layer {{ type: "Input" top: "x" input_param {{ shape {{ {dims(shape)}}} }} }}']
    for number in range(draw(st.integers(2, 9))):
        bottom = draw(st.sampled_from([name for name in blobs if blobs[name].size]))
        x = blobs[bottom]
        if bottom not in taken and draw(st.integers(0, 9)) < 5:
            kind = draw(st.sampled_from(sorted(IN_PLACE)))
            params, compute = IN_PLACE[kind]
            x[...] = compute(x)  # whoever shares the memory sees it
            lines.append(f'layer {{ name: "l{number}" type: "{kind}" bottom: "{bottom}" top: "{bottom}" {params} }}')
            continue
        lines.append(_layer(draw, number, bottom, blobs, taken))
    return "\n".join(lines), given_, blobs


def _layer(draw: Callable[..., Any], number: int, bottom: str, blobs: Values, taken: set[str]) -> str:
    """A layer with tops of its own; those that share are views."""
    x, bottoms, tops = blobs[bottom], [bottom], 1
    kind = draw(st.sampled_from(("Flatten", "Reshape", "Split", "Concat", "Slice", "Permute", "Eltwise", "Power")))
    params, made = "", list[Array]()
    if kind in ("Concat", "Eltwise"):
        like = [name for name in blobs if blobs[name].shape == x.shape]
        if kind == "Eltwise" or draw(st.booleans()):
            bottoms.append(draw(st.sampled_from(like)))
        params = "concat_param { axis: 0 }" if kind == "Concat" else ""
    if kind == "Flatten":
        params, made = "flatten_param { axis: 0 }", [x.reshape(-1)]
    elif kind == "Reshape":
        fits = [s for s in SHAPES if np.prod(s) == x.size] or [(x.size,)]
        target = draw(st.sampled_from(fits))
        params, made = f"reshape_param {{ shape {{ {dims(target)}}} }}", [x.reshape(target)]
    elif kind == "Split":
        tops = draw(st.integers(1, 3))
        made = [x[...]] * tops
    elif kind == "Slice":
        tops = 1 + (x.shape[-1] % 2 == 0 and draw(st.booleans()))
        params = f"slice_param {{ axis: {x.ndim - 1} }}"
        made = [x[...]] if tops == 1 else [half.copy() for half in np.split(x, 2, axis=-1)]
    elif kind == "Permute":
        order = draw(st.permutations(range(x.ndim)))
        order = sorted(order) if draw(st.booleans()) else order
        params = f"permute_param {{ {''.join(f'order: {a} ' for a in order)}}}"
        made = [x[...] if list(order) == sorted(order) else x.transpose(order).copy()]
    elif kind == "Power":
        params, made = "power_param { scale: -1.5 }", [x * -1.5]
    elif kind == "Eltwise":
        made = [x + blobs[bottoms[1]]]
    else:
        made = [np.concatenate([blobs[b] for b in bottoms]) if len(bottoms) > 1 else x[...]]
    names = [f"b{number}_{i}" for i in range(tops)]
    wires = "".join(f'bottom: "{b}" ' for b in bottoms) + "".join(f'top: "{t}" ' for t in names)
    text = f'layer {{ name: "l{number}" type: "{kind}" {wires}{params} }}'
    message = load_net(Source(text)).net.all("layer")[0]
    assert shares(kind, len(bottoms), tops, message) == all(np.shares_memory(m, x) for m in made)
    blobs.update(zip(names, made, strict=True))
    taken.update(bottoms)
    return text


def dims(shape: tuple[int, ...]) -> str:
    return "".join(f"dim: {d} " for d in shape)


def run(text: str, x: Array, level: int, outputs: list[str] | None, ending: tuple[str, ...] = ()) -> Values:
    """Blobs of the net, or of what is left where it ends at `ending` (--output)."""
    import torch

    analysed = analyse(Source(text), Options(outputs=ending)).require()
    module = compile_net(analysed, level, outputs)
    feed = [torch.from_numpy(x.copy())] * len(module.inputs)
    result = module_of(analysed, module)(*feed)
    named = result if isinstance(result, dict) else dict.fromkeys(module.outputs, result)
    return {name: tensor.numpy() for name, tensor in named.items()}


@pytest.mark.parametrize("level", [0, 1, 2])
@settings(max_examples=40)
@given(nets(), st.integers(0, 99))
def test_all_blobs_hold_what_views_hold(level: int, net: tuple[str, Array, Values], chosen: int) -> None:
    text, x, wanted = net
    names = list(wanted)
    one = names[chosen % len(names)]
    every = run(text, x, level, names)
    assert list(every) == names
    for found in (every, run(text, x, level, None), run(text, x, level, [one]), run(text, x, level, None, (one,))):
        for name, value in found.items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-12, atol=1e-12, err_msg=f"{name} of\n{text}")
