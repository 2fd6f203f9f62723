"""The graph of the page: parts that repeat open and close, names have room at every zoom, the map moves the view."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.nets import residual

BOXES = "document.querySelectorAll('.box').length"
FOCUS = "document.activeElement.getAttribute('aria-label')"


def names(browser):
    """What the boxes are called."""
    return browser.evaluate("[...document.querySelectorAll('.box .name')].map(e => e.textContent)")


def closing(browser):
    """What stands open, by the buttons that close it."""
    return browser.evaluate("[...document.querySelectorAll('.closing')].map(e => e.getAttribute('aria-label'))")


@pytest.fixture
def resnet(show, repository):
    return show(Path(repository, "prototxt/resnet-101/deploy.prototxt").read_text())


def test_repeated_parts_are_one_box_that_opens_and_closes_at_a_click(resnet):
    assert names(resnet) == [
        "data", "conv1", "pool1", "res2a", "res2b … res2c × 2", "res3a", "res3b × 3", "res4a", "res4b × 22", "res5a",
        "res5b … res5c × 2", "pool5", "fc1000", "prob",
    ]  # fmt: skip
    resnet.click("[data-layer=res4b1_branch2a]")
    assert resnet.evaluate(BOXES) == 14 - 1 + 22
    assert [name for name in names(resnet) if name.startswith("res4b")] == [f"res4b{i}" for i in range(1, 23)]
    resnet.click("[data-layer=res4b2_branch2a]")
    assert closing(resnet) == ["close res4b × 22", "close res4b2"]
    assert resnet.evaluate("document.querySelector('.box.selected').dataset.layer") == "res4b2_branch2a"
    assert resnet.evaluate("document.querySelectorAll('.frame').length") == 2
    resnet.click(".closing:last-child")
    assert closing(resnet) == ["close res4b × 22"]
    resnet.click(".closing")
    assert resnet.evaluate(BOXES) == 14


def test_repeated_parts_open_and_close_by_keyboard(resnet):
    resnet.evaluate("document.querySelector('[data-layer=res4b1_branch2a]').focus()")
    resnet.press("Enter")
    assert resnet.evaluate(BOXES) == 35
    assert resnet.evaluate(FOCUS) == "res4b1, bottleneck, 13 layers"
    resnet.press("Enter")
    assert closing(resnet) == ["close res4b × 22", "close res4b1"]
    resnet.press("Escape")
    assert closing(resnet) == ["close res4b × 22"]
    resnet.evaluate("document.querySelector('.closing').focus()")
    resnet.press("Enter")
    assert resnet.evaluate(BOXES) == 14
    assert resnet.evaluate(FOCUS) == "res4b × 22, bottleneck, 286 layers in all"


def test_heads_of_ssd_are_one_box_each(show, repository):
    """They repeat as they stand in the file; at -O1 their Permutes are gone."""
    browser = show(Path(repository, "prototxt/ssd300-voc/deploy.prototxt").read_text())
    assert browser.evaluate(BOXES) == 49
    assert sum(name.endswith("_mbox") for name in names(browser)) == 6


def test_the_whole_net_has_names_that_do_not_overlap(resnet):
    assert resnet.evaluate("document.querySelectorAll('.far-label').length") == 0
    resnet.click("#zoom-fit")
    rects = resnet.evaluate(
        "[...document.querySelectorAll('.far-label')].map(e => (r => [e.textContent, r.x, r.y, r.right, r.bottom])"
        "(e.getBoundingClientRect()))"
    )
    assert len(rects) == 14
    assert "res4b × 22 · bottleneck, 286 layers in all" in [rect[0] for rect in rects]
    for index, (_, x, y, right, bottom) in enumerate(rects):
        assert bottom - y >= 10, "too small to be read"
        assert not any(x < r and u < right and y + 2 < b and v + 2 < bottom for _, u, v, r, b in rects[index + 1 :])


def test_more_names_appear_as_one_comes_closer(show):
    browser = show(residual(12))
    browser.enter("#detail", "layers")
    shown = []
    browser.click("#zoom-fit")
    for _ in range(4):
        shown.append(browser.evaluate("document.querySelectorAll('.far-label').length"))
        for _ in range(2):
            browser.click("#zoom-in")
    assert shown[0] < shown[-1]
    assert shown == sorted(shown)


def test_the_map_moves_the_view(show):
    browser = show(residual(12))
    browser.enter("#detail", "layers")
    top = "document.querySelector('#graph').scrollTop"
    frame = "+document.querySelector('.in-view').getAttribute('y')"
    assert browser.evaluate(top) == 0
    browser.click("#minimap svg")
    middle = browser.evaluate("(g => (g.scrollHeight - g.clientHeight) / 2)(document.querySelector('#graph'))")
    assert browser.evaluate(top) == pytest.approx(middle, abs=60)
    before = browser.evaluate(frame)
    assert before > 0
    browser.press("ArrowDown")
    assert browser.evaluate(frame) > before
    browser.press("Home")
    assert [browser.evaluate(top), browser.evaluate(frame)] == [0, 0]


def test_the_map_is_there_only_where_it_helps(resnet):
    assert not resnet.evaluate("document.querySelector('#minimap').hidden")
    resnet.click("#zoom-fit")
    assert resnet.evaluate("document.querySelector('#minimap').hidden")


def test_boxes_say_what_they_are(show, fcn8s):
    browser = show(fcn8s)
    kind = "document.querySelector('[data-layer=conv1_1] .kind').textContent"
    assert browser.evaluate(kind) == "Convolution 3×3, pad 100 · ReLU"
