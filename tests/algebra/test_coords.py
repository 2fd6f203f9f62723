"""Coordinate maps: the group, both forms, and the FCN nets' crop offsets with their chains written out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.algebra import (
    AxisMap,
    StrideMismatch,
    compose_fp,
    compose_fp_list,
    conv_size,
    crop_offset,
    deconv_size,
    filter_map,
    inv_fp,
)

F = Fraction
IDENTITY = AxisMap.identity()

fractions = st.fractions(min_value=-300, max_value=300, max_denominator=64)
maps = st.builds(AxisMap, st.fractions(min_value=F(1, 64), max_value=64, max_denominator=64), fractions)
windows = st.tuples(st.integers(1, 11), st.integers(1, 8), st.integers(0, 100), st.integers(1, 4))


@given(maps, maps, maps)
def test_maps_form_a_group(a: AxisMap, b: AxisMap, c: AxisMap) -> None:
    assert a.compose(b).compose(c) == a.compose(b.compose(c))
    assert a.compose(IDENTITY) == a == IDENTITY.compose(a)
    assert a.compose(a.inverse()) == IDENTITY == a.inverse().compose(a)
    assert a.inverse().inverse() == a


@given(maps, maps, fractions)
def test_composition_is_composition_of_functions(a: AxisMap, b: AxisMap, x: Fraction) -> None:
    assert a.compose(b)(x) == a(b(x))
    assert a.inverse()(a(x)) == x


@given(windows, st.integers(0, 50))
def test_a_window_maps_to_the_middle_of_what_it_covers(window: tuple[int, int, int, int], index: int) -> None:
    k, s, p, d = window
    covered = [index * s - p + d * tap for tap in range(k)]
    assert AxisMap.window(k, s, p, d)(index) == F(sum(covered), k)


@given(windows, st.integers(0, 50))
def test_a_deconvolution_scatters_each_pixel_around_its_place(window: tuple[int, int, int, int], index: int) -> None:
    k, s, p, d = window
    written = [index * s - p + d * tap for tap in range(k)]  # output pixels that input pixel `index` adds to
    assert AxisMap.deconvolution(k, s, p, d)(F(sum(written), k)) == index


@given(maps, maps)
def test_the_two_forms_are_isomorphic(a: AxisMap, b: AxisMap) -> None:
    assert AxisMap.from_filter_pair(a.filter_pair()) == a
    assert a.compose(b).filter_pair() == compose_fp(a.filter_pair(), b.filter_pair())
    assert a.inverse().filter_pair() == inv_fp(a.filter_pair())
    assert IDENTITY.filter_pair() == compose_fp_list([])


@given(windows)
def test_filter_map_is_the_size_form_of_a_window(window: tuple[int, int, int, int]) -> None:
    assert AxisMap.window(*window).filter_pair() == filter_map(*window)
    assert AxisMap.deconvolution(*window).filter_pair() == inv_fp(filter_map(*window))


@given(windows, st.integers(1, 500))
def test_the_size_form_lives_on_sizes(window: tuple[int, int, int, int], out: int) -> None:
    # H_in = S·H_out + 2P′ wherever the division leaves no remainder: take H_in from a deconvolution
    k, s, p, d = window
    stride, offset = filter_map(*window)
    before = deconv_size(out, k, s, p, d)
    assert stride * out + 2 * offset == before
    if before + 2 * p >= d * (k - 1) + 1:
        assert conv_size(before, k, s, p, d) == out


@given(maps, fractions)
def test_both_forms_give_the_same_crop_offset(a: AxisMap, b_offset: Fraction) -> None:
    b = AxisMap(a.stride, b_offset)
    (stride, p_a), (_, p_b) = a.filter_pair(), b.filter_pair()
    assert crop_offset(a, b) == (p_b - p_a) / stride
    # pixel 0 of the reference lies where pixel `offset` of the cropped blob lies
    assert a(crop_offset(a, b)) == b(0)


@given(maps, st.integers(0, 99))
def test_cropping_by_the_offset_aligns(a: AxisMap, offset: int) -> None:
    assert crop_offset(a, a.compose(AxisMap.crop(offset))) == offset


def test_unequal_strides_have_no_crop_offset() -> None:
    a, b = AxisMap.window(2, 2), AxisMap.window(4, 4)
    with pytest.raises(StrideMismatch, match="strides differ: 2 and 4") as caught:
        crop_offset(a, b)
    assert (caught.value.cropped, caught.value.reference) == (a, b)


def test_maps_are_exact_values() -> None:
    assert AxisMap(2, 1) == AxisMap(F(2), F(1))  # type: ignore[arg-type]
    assert hash(AxisMap.window(2, 2)) == hash(AxisMap(F(2), F(1, 2)))
    assert str(AxisMap.window(2, 2)) == "stride 2, offset 1/2"
    with pytest.raises(TypeError, match=r"stride must be exact, not the float 0\.5"):
        AxisMap(0.5, F(0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stride must be positive, not 0"):
        AxisMap(F(0), F(0))


# The post's table of voc-fcn32s: kernel, stride, pad and (S, P′) of each layer that moves pixels.
VGG = [
    ("conv1_1", (3, 1, 100), (1, -99)),
    ("conv1_2", (3, 1, 1), (1, 0)),
    ("pool1", (2, 2, 0), (2, 0)),
    ("conv2_1", (3, 1, 1), (1, 0)),
    ("conv2_2", (3, 1, 1), (1, 0)),
    ("pool2", (2, 2, 0), (2, 0)),
    ("conv3_1", (3, 1, 1), (1, 0)),
    ("conv3_2", (3, 1, 1), (1, 0)),
    ("conv3_3", (3, 1, 1), (1, 0)),
    ("pool3", (2, 2, 0), (2, 0)),
    ("conv4_1", (3, 1, 1), (1, 0)),
    ("conv4_2", (3, 1, 1), (1, 0)),
    ("conv4_3", (3, 1, 1), (1, 0)),
    ("pool4", (2, 2, 0), (2, 0)),
    ("conv5_1", (3, 1, 1), (1, 0)),
    ("conv5_2", (3, 1, 1), (1, 0)),
    ("conv5_3", (3, 1, 1), (1, 0)),
    ("pool5", (2, 2, 0), (2, 0)),
    ("fc6", (7, 1, 0), (1, 3)),
    ("fc7", (1, 1, 0), (1, 0)),
    ("score_fr", (1, 1, 0), (1, 0)),
]
ALEXNET = [
    ("conv1", (11, 4, 100), (4, F(-193, 2))),
    ("pool1", (3, 2, 0), (2, F(1, 2))),
    ("conv2", (5, 1, 2), (1, 0)),
    ("pool2", (3, 2, 0), (2, F(1, 2))),
    ("conv3", (3, 1, 1), (1, 0)),
    ("conv4", (3, 1, 1), (1, 0)),
    ("conv5", (3, 1, 1), (1, 0)),
    ("pool5", (3, 2, 0), (2, F(1, 2))),
    ("fc6", (6, 1, 0), (1, F(5, 2))),
    ("fc7", (1, 1, 0), (1, 0)),
    ("score_fr", (1, 1, 0), (1, 0)),
]
Layers = list[tuple[str, tuple[int, int, int], tuple[Fraction, Fraction]]]


@pytest.mark.parametrize(("name", "kernel_stride_pad", "pair"), VGG + ALEXNET)
def test_reparameterization(
    name: str, kernel_stride_pad: tuple[int, int, int], pair: tuple[Fraction, Fraction]
) -> None:
    assert filter_map(*kernel_stride_pad) == pair


def test_upscore_is_a_convolution_of_stride_1_32() -> None:
    assert filter_map(64, 32) == (32, 16)
    assert inv_fp(filter_map(64, 32)) == (F(1, 32), F(-1, 2))
    assert inv_fp((2, 0.5)) == (F(1, 2), F(-1, 4))


def upsampling(*pairs: tuple[int, int]) -> list[tuple[Fraction, Fraction]]:
    return [inv_fp(filter_map(kernel, stride)) for kernel, stride in pairs]


def until(layers: Layers, name: str) -> list[tuple[Fraction, Fraction]]:
    names = [layer[0] for layer in layers]
    return [filter_map(*layer[1]) for layer in layers[: names.index(name) + 1]]


def test_t_of_fcn32s_is_19() -> None:
    chain = until(VGG, "score_fr") + upsampling((64, 32))
    assert len(chain) == 22
    stride, compound = compose_fp_list(chain)
    assert (stride, -float(compound)) == (1, 19.0)


def test_the_compound_pairs_step_by_step() -> None:
    # equation (29) for voc-fcn32s, by hand: P grows only at conv1_1, fc6 and upscore
    pairs = [(1, -99)] * 2 + [(2, -99)] * 3 + [(4, -99)] * 4 + [(8, -99)] * 4 + [(16, -99)] * 4
    pairs += [(32, -99), (32, -3), (32, -3), (32, -3), (1, -19)]
    chain = until(VGG, "score_fr") + upsampling((64, 32))
    assert [compose_fp_list(chain[:length]) for length in range(1, 23)] == pairs


CROPS = {
    # net: cropped chain, reference chain, offset
    "fcn32s score": (until(VGG, "score_fr") + upsampling((64, 32)), [], 19),
    "fcn16s score_pool4c": (until(VGG, "pool4"), until(VGG, "score_fr") + upsampling((4, 2)), 5),
    "fcn16s score": (until(VGG, "score_fr") + upsampling((4, 2), (32, 16)), [], 27),
    "fcn8s score_pool4c": (until(VGG, "pool4"), until(VGG, "score_fr") + upsampling((4, 2)), 5),
    "fcn8s score_pool3c": (until(VGG, "pool3"), until(VGG, "score_fr") + upsampling((4, 2), (4, 2)), 9),
    "fcn8s score": (until(VGG, "score_fr") + upsampling((4, 2), (4, 2), (16, 8)), [], 31),
    "fcn-alexnet score": (until(ALEXNET, "score_fr") + upsampling((63, 32)), [], 18),
}


@pytest.mark.parametrize("crop", CROPS)
def test_crop_offsets_of_the_fcn_nets(crop: str) -> None:
    cropped, reference, offset = CROPS[crop]
    # in the size form …
    (s_a, p_a), (s_b, p_b) = compose_fp_list(cropped), compose_fp_list(reference)
    assert s_a == s_b
    assert (p_b - p_a) / s_a == offset
    # … and in coordinates
    a = b = IDENTITY
    for pair in cropped:
        a = a.compose(AxisMap.from_filter_pair(pair))
    for pair in reference:
        b = b.compose(AxisMap.from_filter_pair(pair))
    assert crop_offset(a, b) == offset


def test_a_half_pixel_stays_a_half_pixel() -> None:
    # an even bilinear kernel where an odd one belongs: no integer aligns, and nothing rounds
    a = AxisMap.window(3, 1, 1).compose(AxisMap.deconvolution(3, 2))
    b = AxisMap.window(2, 2)
    assert crop_offset(AxisMap.window(2, 2).compose(a), IDENTITY) == F(1, 2)
    assert crop_offset(b, b.compose(AxisMap(F(1), F(7, 2)))) == F(7, 2)
