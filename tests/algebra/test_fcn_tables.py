"""The size tables of voc-fcn32s, 16s and 8s, and the crops proved for every H."""

from __future__ import annotations

import pytest

from netcompile.algebra import NSet, Size, conv_size, crop_slack, deconv_size, pool_size

H = Size.variable("H")


def vgg(n: Size, pad: int = 100) -> dict[str, Size]:
    """Every blob of the VGG-16 part and its scores, by layer name."""
    blobs = {"data": n}
    for block, convolutions in enumerate((2, 2, 3, 3, 3), 1):
        for index in range(1, convolutions + 1):
            n = blobs[f"conv{block}_{index}"] = conv_size(n, 3, pad=pad if (block, index) == (1, 1) else 1)
        n = blobs[f"pool{block}"] = pool_size(n, 2, 2)
    n = blobs["fc6"] = conv_size(n, 7)
    blobs["fc7"] = blobs["score_fr"] = conv_size(n, 1)
    return blobs


def fcn32s(n: Size) -> dict[str, Size]:
    blobs = vgg(n)
    blobs["upscore"] = deconv_size(blobs["score_fr"], 64, 32)
    return blobs


def fcn16s(n: Size) -> dict[str, Size]:
    blobs = vgg(n)
    blobs["upscore2"] = deconv_size(blobs["score_fr"], 4, 2)
    blobs["upscore16"] = deconv_size(blobs["upscore2"], 32, 16)
    return blobs


def fcn8s(n: Size) -> dict[str, Size]:
    blobs = vgg(n)
    blobs["upscore2"] = deconv_size(blobs["score_fr"], 4, 2)
    blobs["upscore_pool4"] = deconv_size(blobs["upscore2"], 4, 2)
    blobs["upscore8"] = deconv_size(blobs["upscore_pool4"], 16, 8)
    return blobs


def fcn_alexnet(n: Size) -> dict[str, Size]:
    blobs = {"data": n, "conv1": conv_size(n, 11, 4, 100)}
    blobs["pool1"] = pool_size(blobs["conv1"], 3, 2)
    blobs["conv2"] = conv_size(blobs["pool1"], 5, pad=2)
    blobs["pool2"] = pool_size(blobs["conv2"], 3, 2)
    blobs["conv5"] = conv_size(blobs["pool2"], 3, pad=1)
    blobs["pool5"] = pool_size(blobs["conv5"], 3, 2)
    blobs["fc6"] = conv_size(blobs["pool5"], 6)
    blobs["upscore"] = deconv_size(blobs["fc6"], 63, 32)
    return blobs


NETS = {"32s": fcn32s(H), "16s": fcn16s(H), "8s": fcn8s(H), "alexnet": fcn_alexnet(H)}

# (net, blob, exact form, the published form, where that holds: 2^k divides H + b)
TABLES = [
    ("32s", "conv1_1", "H + 198", "H + 198", (0, 1)),
    ("32s", "conv1_2", "H + 198", "H + 198", (0, 1)),
    ("32s", "pool1", "⌈(H+198)/2⌉", "H/2 + 99", (0, 2)),
    ("32s", "conv2_2", "⌈(H+198)/2⌉", "H/2 + 99", (0, 2)),
    ("32s", "pool2", "⌈(H+198)/4⌉", "(H+2)/4 + 49", (2, 4)),
    ("32s", "conv3_3", "⌈(H+198)/4⌉", "(H+2)/4 + 49", (2, 4)),
    ("32s", "pool3", "⌈(H+198)/8⌉", "(H+6)/8 + 24", (6, 8)),
    ("32s", "conv4_3", "⌈(H+198)/8⌉", "(H+6)/8 + 24", (6, 8)),
    ("32s", "pool4", "⌈(H+198)/16⌉", "(H+6)/16 + 12", (6, 16)),
    ("32s", "conv5_3", "⌈(H+198)/16⌉", "(H+6)/16 + 12", (6, 16)),
    ("32s", "pool5", "⌈(H+198)/32⌉", "(H+6)/32 + 6", (6, 32)),
    ("32s", "fc6", "⌈(H+6)/32⌉", "(H+6)/32", (6, 32)),
    ("32s", "score_fr", "⌈(H+6)/32⌉", "(H+6)/32", (6, 32)),
    ("32s", "upscore", "32⌈(H+6)/32⌉ + 32", "H + 38", (6, 32)),
    ("16s", "pool4", "⌈(H+198)/16⌉", "(H+6)/16 + 12", (6, 16)),
    ("16s", "upscore2", "2⌈(H+6)/32⌉ + 2", "(H+6)/16 + 2", (6, 32)),
    ("16s", "upscore16", "32⌈(H+6)/32⌉ + 48", "H + 54", (6, 32)),
    ("8s", "pool3", "⌈(H+198)/8⌉", "(H+6)/8 + 24", (6, 8)),
    ("8s", "upscore2", "2⌈(H+6)/32⌉ + 2", "(H+6)/16 + 2", (6, 32)),
    ("8s", "upscore_pool4", "4⌈(H+6)/32⌉ + 6", "(H+6)/8 + 6", (6, 32)),
    ("8s", "upscore8", "32⌈(H+6)/32⌉ + 56", "H + 62", (6, 32)),
]


@pytest.mark.parametrize(("net", "blob", "exact", "published", "where"), TABLES)
def test_the_published_tables(net: str, blob: str, exact: str, published: str, where: tuple[int, int]) -> None:
    size = NETS[net][blob]
    assert str(size) == exact
    assert size.when_divisible() == published
    assert size.divisibility() == where


@pytest.mark.parametrize(("n", "pool5", "upscore"), [(500, 22, 544), (26, 7, 64), (27, 8, 96), (1, 7, 64)])
def test_voc_sizes_in_numbers(n: int, pool5: int, upscore: int) -> None:
    assert NETS["32s"]["pool5"].at(n) == pool5
    assert NETS["32s"]["upscore"].at(n) == upscore


CROPS = [
    # net, cropped, reference, offset, slack, its least and greatest value
    ("32s", "upscore", "data", 19, "32⌈(H+6)/32⌉ - H + 13", 19, 50),
    ("16s", "pool4", "upscore2", 5, "⌈(H+6)/16⌉ - 2⌈(H+6)/32⌉ + 5", 4, 5),
    ("16s", "upscore16", "data", 27, "32⌈(H+6)/32⌉ - H + 21", 27, 58),
    ("8s", "pool4", "upscore2", 5, "⌈(H+6)/16⌉ - 2⌈(H+6)/32⌉ + 5", 4, 5),
    ("8s", "pool3", "upscore_pool4", 9, "⌈(H+6)/8⌉ - 4⌈(H+6)/32⌉ + 9", 6, 9),
    ("8s", "upscore8", "data", 31, "32⌈(H+6)/32⌉ - H + 25", 31, 62),
    ("alexnet", "upscore", "data", 18, None, None, None),
]


@pytest.mark.parametrize(("net", "cropped", "reference", "offset", "text", "least", "most"), CROPS)
def test_every_crop_holds_for_every_h(
    net: str, cropped: str, reference: str, offset: int, text: str | None, least: int | None, most: int | None
) -> None:
    blobs = NETS[net]
    slack = crop_slack(blobs[cropped], blobs[reference], offset)
    assert slack.where_at_least(0).is_all
    if text is not None:
        assert (str(slack), slack.minimum(), slack.maximum()) == (text, least, most)


def test_padding_1_needs_at_least_193_pixels() -> None:
    # the post says 224; Caffe's rounding up makes 193 enough
    fc6 = vgg(H, pad=1)["fc6"]
    assert str(fc6) == "⌈(H-192)/32⌉ (H >= 193)"
    assert fc6.when_divisible() == "(H-192)/32"
    assert fc6.where_defined() == NSet.between(193)
    assert fc6.at(224) == 1


def test_which_images_share_an_output_size() -> None:
    upscore = NETS["32s"]["upscore"]
    assert upscore.fibre(544).describe("H") == "only H = 475 to 506"
    assert upscore.largest_fibre() == 32
