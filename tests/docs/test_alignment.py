"""The diagrams' arithmetic is that of netcompile.algebra, for every layer that they let one choose."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

from netcompile.algebra import AxisMap, conv_size, crop_offset, deconv_size, pool_size
from tests.browser.chromium import Chromium
from tests.browser.conftest import browser  # noqa: F401 (a fixture)
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "docs" / "generator" / "static" / "alignment.js"
SIZE = {"convolution": conv_size, "pooling": pool_size, "deconvolution": deconv_size}
LAYERS = list(product(SIZE, range(1, 10), range(1, 7), range(0, 7)))  # type, kernel, stride, pad
CROPS = list(product(range(1, 25, 3), range(0, 13), range(1, 5), range(1, 13)))  # pixels, pad, stride, kernel


def script(chromium: Chromium, folder: Path) -> None:
    """Load the arithmetic alone."""
    page = folder / "page.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><script>{SCRIPT.read_text("utf-8")}</script>', "utf-8")
    chromium.open(page)


def pair(number: Fraction | int) -> list[int]:
    return [Fraction(number).numerator, Fraction(number).denominator]


def test_layers(browser: Chromium, tmp_path: Path) -> None:  # noqa: F811
    script(browser, tmp_path)
    found = browser.evaluate(
        f"{json.dumps(LAYERS)}.map(([type, ...rest]) => [Alignment.map(type, ...rest),"
        " [1, 2, 3, 8, 24].map(n => Alignment.size[type](n, ...rest))])"
    )
    for (kind, kernel, stride, pad), (place, sizes) in zip(LAYERS, found, strict=True):
        if kind == "pooling" and pad >= kernel:
            assert sizes == [0] * 5
            continue
        make = AxisMap.deconvolution if kind == "deconvolution" else AxisMap.window
        wanted = make(kernel, stride, pad)
        assert [place["stride"], place["offset"]] == [pair(wanted.stride), pair(wanted.offset)]
        assert sizes == [SIZE[kind](n, kernel, stride, pad) for n in (1, 2, 3, 8, 24)], (kind, kernel, stride, pad)
    assert browser.complaints == []


def test_crops(browser: Chromium, tmp_path: Path) -> None:  # noqa: F811
    script(browser, tmp_path)
    found = browser.evaluate(
        f"{json.dumps(CROPS)}.map(([n, pad, stride, kernel]) => Alignment.crop(n, ["
        "{type: 'convolution', kernel: 3, stride: 1, pad}, {type: 'pooling', kernel: stride, stride, pad: 0},"
        "{type: 'deconvolution', kernel, stride, pad: 0}]))"
    )
    for (n, pad, stride, kernel), crop in zip(CROPS, found, strict=True):
        pixels = deconv_size(pool_size(conv_size(n, 3, pad=pad), stride, stride), kernel, stride)
        chain = AxisMap.window(3, pad=pad).compose(AxisMap.window(stride, stride))
        chain = chain.compose(AxisMap.deconvolution(kernel, stride))
        assert crop["pixels"] == pixels
        assert crop["needed"] == pair(crop_offset(chain, AxisMap.identity()))
        assert crop["last"] == pixels - n
    assert browser.evaluate("Alignment.crop(8, [{type: 'pooling', kernel: 2, stride: 2, pad: 0}]).needed") is None
