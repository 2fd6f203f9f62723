"""crop(a, b): offsets that are known, offsets that follow from a symmetry, and what cannot be aligned."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.spec import SpecError, Top, coord_map
from netcompile.spec import layers as L
from netcompile.spec.coord_map import crop


def image() -> Top:
    return L.Input(shape={"dim": [1, 3, 64, 64]})


def conv(x: Top, **keywords: object) -> Top:
    return L.Convolution(x, num_output=2, **keywords)


def up(x: Top, **keywords: object) -> Top:
    return L.Deconvolution(x, convolution_param={"num_output": 2, **keywords})


def offsets(top: Top) -> tuple[int, ...]:
    field = top.fn.keywords["crop_param"]
    assert field["axis"] == 2
    return tuple(field["offset"])


window = st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(0, 5))


@given(st.lists(window, max_size=5), st.integers(0, 40))
def test_upsampling_what_was_downsampled_is_aligned(windows: list[tuple[int, int, int]], border: int) -> None:
    """Deconvolutions undo convolutions with the same parameters, so only the border remains: on any stack."""
    data = image()
    top = conv(data, kernel_size=1, pad=border)
    for kernel, stride, pad in windows:
        top = conv(top, kernel_size=kernel, stride=stride, pad=pad)
    for kernel, stride, pad in reversed(windows):
        top = up(top, kernel_size=kernel, stride=stride, pad=pad)
    assert offsets(crop(top, data)) == (border,)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 3))
def test_a_convolution_is_aligned_by_the_centre_of_its_window(
    high: int, pad_h: int, wide: int, pad_w: int, dilation: int
) -> None:
    """Oracle: list the input rows that output row i reads; the middle one is where it lies."""
    data = image()
    top = conv(data, kernel_h=high, kernel_w=wide, pad_h=pad_h, pad_w=pad_w, dilation=dilation)
    expected = []
    for kernel, pad in ((high, pad_h), (wide, pad_w)):
        rows = [tap * dilation - pad for tap in range(kernel)]
        expected.append(-Fraction(sum(rows), len(rows)))
    if all(offset.denominator == 1 and offset >= 0 for offset in expected):
        assert offsets(crop(top, data)) == tuple(map(int, dict.fromkeys(expected)))
    else:
        with pytest.raises(SpecError, match=r"between two pixels|outside it"):
            crop(top, data)


def test_height_and_width_may_differ() -> None:
    data = image()
    assert offsets(crop(conv(data, kernel_h=1, kernel_w=3, pad_h=4, pad_w=2), data)) == (4, 1)


def test_two_offsets_are_written_where_a_layer_tells_height_and_width_apart() -> None:
    """As pycaffe does, whose arrays have then two entries; a layer above the common ancestor does not matter."""
    data = image()
    both = conv(data, kernel_size=[3, 3], pad=5)
    once = conv(both, kernel_size=3, pad=5)
    assert offsets(crop(both, data)) == (4, 4)
    assert offsets(crop(once, both)) == (4,)
    assert offsets(crop(once, data)) == (8, 8)


def test_layers_that_move_no_pixel_and_earlier_crops_are_followed() -> None:
    data = image()
    x = L.Dropout(L.ReLU(conv(data, kernel_size=3, pad=9), in_place=True), in_place=True)
    y = L.Crop(x, data, crop_param={"offset": 3})
    assert offsets(crop(y, data)) == (5,)
    assert coord_map.coord_map_from_to(y, data) == (1, 1, -5)


def test_the_reference_of_a_crop_is_no_way_to_an_ancestor() -> None:
    data, other = image(), image()
    with pytest.raises(coord_map.UndefinedMapException):
        crop(L.Crop(data, other, crop_param={"offset": 1}), other)


def test_joined_branches_lead_to_both() -> None:
    colour, depth = image(), image()
    x = conv(L.Concat(colour, depth), kernel_size=3, pad=5)
    assert offsets(crop(x, colour)) == offsets(crop(x, depth)) == (4,)


def test_branches_between_two_tops_need_not_reach_the_input() -> None:
    data = image()
    pool = L.Pooling(conv(data, kernel_size=3), kernel_size=2, stride=2)
    coarse = L.Pooling(pool, kernel_size=2, stride=2)
    assert offsets(crop(conv(pool, kernel_size=3, pad=6), up(coarse, kernel_size=2, stride=2))) == (5,)


def fail(kind: type[SpecError], message: str, a: Top, b: Top) -> None:
    with pytest.raises(SpecError) as caught:
        crop(a, b)
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_unlike_strides() -> None:
    data = image()
    x = conv(data, kernel_size=2, stride=2)
    fail(SpecError, "crop along H: top 0 of Convolution has stride 2, top 0 of Input stride 1", x, data)


def test_half_a_pixel() -> None:
    data = image()
    x = conv(data, kernel_size=2, pad=3)
    where = "top 0 of Input starts at 5/2 in top 0 of Convolution"
    fail(SpecError, f"crop along H: {where}, between two pixels", x, data)


def test_outside() -> None:
    data = image()
    x = conv(data, kernel_size=3)
    fail(SpecError, "crop along H: top 0 of Input starts at -1 in top 0 of Convolution, outside it", x, data)


def test_layers_without_coordinates() -> None:
    data = image()
    x = L.InnerProduct(conv(data, kernel_size=1), num_output=3)
    message = "coordinates lead from top 0 of InnerProduct and top 0 of Input to no common ancestor"
    fail(coord_map.UndefinedMapException, f"{message}; they end at InnerProduct", x, data)


def test_nothing_in_common() -> None:
    message = "coordinates lead from top 0 of Input and top 0 of Input to no common ancestor"
    fail(coord_map.UndefinedMapException, message, image(), image())


def test_paths_that_disagree() -> None:
    data = image()
    x = L.Eltwise(conv(data, kernel_size=3, pad=1), conv(data, kernel_size=3, pad=2))
    message = (
        "paths from top 0 of Eltwise and top 0 of Input to their common ancestors disagree: "
        "stride 1, offset 0 along one, stride 1, offset -1 along another"
    )
    fail(coord_map.AxisMismatchException, message, x, data)


def test_many_paths_cost_little() -> None:
    """Thirty diamonds in a row have 2**30 paths."""
    data = x = image()
    for _ in range(30):
        x = L.Eltwise(L.ReLU(x), L.TanH(x))
    assert offsets(crop(x, data)) == (0,)
