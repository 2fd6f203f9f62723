"""Detection and region pooling of all boxes and classes at once, against loops over them: the same to the last bit."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import Tensor

from netcompile.prelude import boxes, detection, regions
from tests.prelude import loops

CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")


def same(found: Tensor, wanted: Tensor) -> bool:
    return torch.equal(found.nan_to_num(nan=-77), wanted.nan_to_num(nan=-77))


def heads(
    draw: random.Random, n: int, count: int, classes: int, shared: bool, kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, scores and priors: some boxes turned inside out, without area, outside, infinite or no numbers."""
    g = torch.Generator().manual_seed(draw.randrange(10**6))
    low = torch.rand(count, 2, generator=g) * 0.8
    high = low + torch.rand(count, 2, generator=g) * 0.35 - 0.03
    if kind == "no area":
        high[::3] = low[::3]
    spread = torch.tensor([0.1, 0.1, 0.2, 0.2]).repeat(count)
    priors = torch.stack((torch.cat((low, high), dim=1).flatten(), spread))[None]
    size = n, count * 4 * (1 if shared else classes)
    offsets = (torch.rand(*size, generator=g) - 0.5) * (20 if kind == "outside" else 2)
    scores = torch.rand(n, count * classes, generator=g)
    if kind == "infinite":
        offsets[:, ::7] = 800
    if kind == "ties":
        scores = (scores * 10).floor() / 10
    if kind == "nan":
        scores[torch.rand(scores.shape, generator=g) < 0.05] = torch.nan
        offsets[torch.rand(size, generator=g) < 0.01] = torch.nan
    return offsets, scores, priors


@pytest.mark.parametrize("kind", ["", "no area", "outside", "infinite", "ties", "nan"])
def test_detections_of_all_classes_at_once(kind: str) -> None:
    draw, rows = random.Random(kind), set()
    for code, eta, _ in itertools.product(CODES, (1, 1, 0.8), range(3)):
        shared, n, classes = draw.random() < 0.7, draw.choice((1, 3)), draw.choice((2, 5))
        inputs = heads(draw, n, draw.choice((1, 17, 120)), classes, shared, kind)
        options = {
            "overlap": draw.choice((0, 0.45, 0.6, 1.5)),
            "shared": shared,
            "background": draw.choice((0, 1) if shared else (-1, 0)),
            "encoded": draw.random() < 0.3,
            "threshold": draw.choice((-3.4028235e38, 0.01, 0.5, 2)),
            "most": draw.choice((-1, 0, 7, 60)),
            "keep": draw.choice((-1, 0, 5, 40)),
            "eta": eta,
        }
        found = detection.detect(*inputs, classes, code, **options)
        wanted = loops.detect(*inputs, classes, code, **options)
        assert same(found, wanted), (code, options)
        rows.add(wanted.shape[2])
    assert len(rows) > 5


def test_suppression_of_many_lists_is_that_of_each() -> None:
    draw, kept = random.Random(0), set()
    for seed in range(60):
        g = torch.Generator().manual_seed(seed)
        count = draw.choice((0, 1, 40, 300))
        low = torch.rand(3, count, 2, generator=g) * 60
        given = torch.cat((low, low + torch.rand(3, count, 2, generator=g) * 40 - 3), dim=2)
        if seed % 4 == 0 and count:
            given[:, : count // 3] = torch.tensor([-1e38, -1e38, 3e38, 3e38])
            given[0, 0, 2], given[1, count // 2, 1] = torch.nan, torch.inf
        valid = torch.rand(3, count, generator=g) < draw.choice((0.3, 1))
        overlap, border, strict = draw.choice((0, 0.3, 0.7, 1)), seed % 2, draw.random() < 0.4
        most = draw.choice((None, 0, 1, 30))
        found = boxes.suppress(given, overlap, valid, border, most, strict)
        for each, mask, stays in zip(given, valid, found, strict=True):
            wanted = loops.suppress(each[mask], overlap, 1.0, border, most, strict)
            assert stays[mask].nonzero()[:, 0].tolist() == wanted
            assert not stays[~mask].any()
            kept.add(len(wanted))
    assert len(kept) > 10


def test_a_limit_takes_the_first_of_all_in_the_order_of_std_sort() -> None:
    draw = random.Random(1)
    for count, values, most in itertools.product((0, 16, 17, 300, 2000), (2, 30, 10**6), (None, 1, 20, 200)):
        scores = [draw.randrange(values) / values for _ in range(count)]
        assert boxes.best_first(scores, most) == loops.best_first(scores)[:most]


def test_the_highest_of_equal_scores_come_in_their_order() -> None:
    scores = torch.randint(0, 5, (4, 50), generator=torch.Generator().manual_seed(0)) / 4 - 0.5
    scores[1] = -torch.inf
    order = scores.sort(dim=1, descending=True, stable=True).indices
    for count in (0, 1, 20, 49, 50):
        assert torch.equal(boxes.highest(scores, count), order[:, :count])


def pictures(seed: int) -> tuple[Tensor, Tensor, int]:
    """Maps and regions, of which some lie outside, are turned inside out or are no numbers; cells on a side."""
    draw, g = random.Random(seed), torch.Generator().manual_seed(seed)
    n, cells = draw.choice((1, 3)), draw.choice((1, 3))
    height, width = draw.choice((1, 13, 30)), draw.choice((1, 6, 41))
    x = torch.randn(n, 20 * cells * cells, height, width, generator=g)
    reach = torch.tensor([width, height] * 2) * 16.0
    corners = (torch.rand(draw.choice((0, 1, 30, 30, 30)), 4, generator=g) * 1.4 - 0.2) * reach
    corners[::3, 2:] = torch.maximum(corners[::3, :2], corners[::3, 2:])
    corners[1::4] = corners[1::4].round()
    corners[5:9, seed % 4] = (torch.nan, torch.inf, -torch.inf)[seed % 3]
    if seed % 3 == 0:
        x[0, 0, 0, 0], x[-1, -1, -1, -1] = torch.nan, torch.inf
    image = torch.randint(0, n, (len(corners), 1), generator=g)
    return x, torch.cat((image, corners), dim=1), cells


@pytest.mark.parametrize("seed", range(24))
def test_regions_are_pooled_all_at_once(seed: int) -> None:
    x, rois, k = pictures(seed)
    for size, pad in (((k, 2), 0), ((7, k), 0.25)):
        assert same(regions.roi_pool(x, rois, size, 0.0625, pad), loops.roi_pool(x, rois, size, 0.0625, pad))
    found = regions.position_sensitive_pool(x, rois, k, 0.0625)
    torch.testing.assert_close(found, loops.position_sensitive_pool(x, rois, k, 0.0625), equal_nan=True)


def test_region_pooling_asks_a_device_for_nothing() -> None:
    """There are no numbers on the meta device, so whoever asks for one fails."""
    x, rois = torch.empty(2, 18, 30, 40, device="meta"), torch.empty(9, 5, device="meta")
    assert regions.roi_pool(x, rois, (3, 2), 0.0625).shape == (9, 18, 3, 2)
    assert regions.position_sensitive_pool(x, rois, 3, 0.0625).shape == (9, 2, 3, 3)


def test_a_region_of_an_image_that_is_not_there_is_an_error() -> None:
    x, rois = torch.zeros(2, 4, 5, 5), torch.tensor([[2.0, 0, 0, 4, 4]])
    with pytest.raises(IndexError):
        regions.roi_pool(x, rois, (2, 2), 1)
    with pytest.raises(IndexError):
        regions.position_sensitive_pool(x, rois, 2, 1)


def test_gradients_of_pooled_regions() -> None:
    x, rois, k = pictures(11)
    assert len(rois) == 30
    assert min(x.shape) > 1
    size, found = (2, 3), []
    for module in (regions, loops):
        leaf = x.clone().requires_grad_()
        pooled = module.roi_pool(leaf, rois, size, 0.0625), module.position_sensitive_pool(leaf, rois, k, 0.0625)
        sum((part * torch.arange(part.numel()).reshape(part.shape)).sum() for part in pooled).backward()
        found.append(leaf.grad)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-3)
