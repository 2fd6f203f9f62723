"""NaN and Inf come out of every level alike, wherever they come in: the literal net says where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from tests.use.nets import LEVELS, SCALE, TEXTS, compiled, conv, drawn, image, one

NAN, INF = float("nan"), float("inf")
Spoil = Callable[[torch.Tensor], None]
SIZES = {"windowed": ((60, 66), (37, 47), (8, 50)), "plain": ((61, 68),)}


@pytest.fixture(autouse=True)
def large_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("netcompile.passes.large_kernels.WEIGHTS", 16 * 64 * 49)
    with torch.no_grad():
        yield


@cache
def nets(kind: str) -> list[nn.Module]:
    return [compiled(kind, level, drawn(kind))[1] for level in LEVELS]


def alike(wanted: torch.Tensor, found: torch.Tensor) -> None:
    """NaN where NaN is, Inf where Inf is, and else near."""
    for what in (torch.isnan, torch.isposinf, torch.isneginf):
        assert torch.equal(what(found), what(wanted)), (what.__name__, int(what(found).sum()), int(what(wanted).sum()))
    largest = float(wanted.nan_to_num(0, 0, 0).abs().max())
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * largest, equal_nan=True)


def put(value: float, *place: slice | int) -> Spoil:
    def spoil(x: torch.Tensor) -> None:
        x[place] = value

    return spoil


def frame(x: torch.Tensor) -> None:
    inner = x[:, :, 2:-2, 2:-2].clone()
    x.fill_(NAN)[:, :, 2:-2, 2:-2] = inner


def several(x: torch.Tensor) -> None:
    x[0, 0, 3, 4], x[0, 1, 5, 6], x[0, 2, 4, -3] = INF, -INF, NAN


EVERY = slice(None)
IMAGES: Mapping[str, Spoil] = {
    "one NaN": put(NAN, 0, 1, 5, 7),
    "one Inf": put(INF, 0, 1, -2, 9),
    "one -Inf": put(-INF, 0, 2, 4, 4),
    "a corner": put(NAN, 0, 0, 0, 0),
    "the last pixel": put(-INF, 0, 0, -1, -1),
    "a channel": put(INF, 0, 1),
    "a row": put(-INF, 0, EVERY, 6),
    "all NaN": put(NAN),
    "all Inf": put(INF),
    "a frame": frame,
    "several": several,
    "near the end of the range": put(1e38, 0, EVERY, 3, 3),
    "one image of two": put(NAN, -1),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("kind", TEXTS)
def test_images(kind: str, name: str) -> None:
    for size in SIZES[kind]:
        x = image(kind, size, 1 + (name == "one image of two"))
        IMAGES[name](x)
        wanted, *others = (net(x) for net in nets(kind))
        for found in others:
            alike(wanted, found)


def spoilt(kind: str, layer: str, blob: int, value: float, scale: float) -> dict[str, tuple[np.ndarray, ...]]:
    """The weights with one number, or the whole blob where there is a scale, changed."""
    found = {name: tuple(array.copy() for array in arrays) for name, arrays in drawn(kind).items()}
    array = found[layer][blob].reshape(-1)
    if scale:
        array *= np.float32(scale)
    else:
        array[len(array) // 3] = value
    return found


LAYERS = {
    "windowed": [("c1", 0), ("c1", 1), ("c2", 0), ("bn", 0), ("bn", 1), ("sc", 0), ("sc", 1), ("c3", 0), ("c3", 1),
                 ("f", 0), ("f", 1), ("s", 0), ("s", 1), ("up1", 0)],
    "plain": [("c1", 0), ("c2", 0), ("c2", 1), ("g", 0), ("t", 1), ("m", 0), ("up", 0), ("e", 0)],
}  # fmt: skip
VALUES = (NAN, INF, -INF)
WEIGHTS = [
    (kind, *place, value)
    for kind, places in LAYERS.items()
    for index, place in enumerate(places)
    for value in (VALUES[index % 3], VALUES[(index + 1) % 3])
]


@pytest.mark.parametrize(("kind", "layer", "blob", "value"), WEIGHTS)
def test_weights_of_a_file(kind: str, layer: str, blob: int, value: float) -> None:
    wanted, *others = (compiled(kind, level, spoilt(kind, layer, blob, value, 0))[1] for level in LEVELS)
    x = image(kind, SIZES[kind][0])
    result = wanted(x)
    for found in others:
        alike(result, found(x))


@pytest.mark.parametrize("layers", [("c1",), ("c3",), ("f", "s"), ("c1", "c3", "f")])
def test_sums_that_overflow(layers: tuple[str, ...]) -> None:
    """Weights times 1e38: Inf, and Inf - Inf, arise inside."""
    blobs = {name: tuple(a.copy() for a in arrays) for name, arrays in drawn("windowed").items()}
    for layer in layers:
        blobs[layer] = tuple(array * np.float32(1e38) for array in blobs[layer])
    wanted, *others = (compiled("windowed", level, blobs)[1] for level in LEVELS)
    x = image("windowed", SIZES["windowed"][0]) * 1e4
    result = wanted(x)
    assert not result.isfinite().all()
    for found in others:
        alike(result, found(x))


def test_folded_numbers_that_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution's weights and a Scale's, each finite, whose products are not."""
    text = conv("c", "data", 8, "kernel_size: 3 pad: 1", relu=False) + one("Scale", "s", "c", SCALE)
    monkeypatch.setitem(TEXTS, "scaled", (text, (1, 3, 9, 11)))
    blobs = {name: tuple(a * np.float32(1e20) for a in arrays) for name, arrays in drawn("scaled").items()}
    wanted, *others = (compiled("scaled", level, blobs)[1] for level in LEVELS)
    x = image("scaled")
    result = wanted(x)
    assert result.isinf().any()
    assert not result.isnan().any()
    for found in others:
        alike(result, found(x))
