"""The alignment diagram in a browser: it recomputes offsets and sizes, and shows the centred crop's error."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from tests.browser.nets import SHRINKING

OFFSETS = {"score_pool4c": 5, "score_pool3c": 9, "score": 31}


def numbers(browser):
    """Per crop what its lane says: {kind: text}."""
    return browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.lane')].map(lane => [lane.dataset.crop,"
        " Object.fromEntries([...lane.querySelectorAll('dd')].map(d => [d.className, d.textContent]))]))"
    )


def lane(browser, crop, expression):
    """A JavaScript expression of a lane's element e."""
    return browser.evaluate(f"(e => {expression})(document.querySelector('[data-crop={crop}]'))")


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("way", ["slider", "field"])
def test_offsets_and_sizes_follow_the_slider(show, fcn8s, axis, way):
    browser = show(fcn8s)
    analysed = analyse(Source(fcn8s))
    shapes = analysed.symbolic.shapes
    browser.evaluate(f"document.querySelectorAll('[name=axis]')[{axis}].click()")
    for n in (1, 2, 33, 375, 500, 777, 1000):
        browser.enter(f"#{way}-{'HW'[axis]}", n)
        found = numbers(browser)
        assert {crop: int(says["needed"]) for crop, says in found.items()} == OFFSETS
        for report in analysed.reports:
            a, b = (shapes[bottom][2 + axis].at(n) for bottom in report.node.bottoms)
            says = found[report.node.name]
            assert says["cropped"].split()[0] == str(a)
            assert says["reference"].split()[0] == str(b)
            start = OFFSETS[report.node.name]
            assert says["slack"] == f"{start} before, {a - start - b} after"
            off = (a - b) // 2 - start
            assert ("right at this size" in says["centred"]) == (off == 0)
            if off:
                assert f"{abs(off)} pixel" in says["centred"]


def test_the_centred_crop_is_three_pixels_off(show, fcn8s):
    browser = show(fcn8s)
    assert numbers(browser)["score"]["centred"] == "34: 3 pixels too late"
    assert "centred crop: off by 3" in lane(browser, "score", "e.querySelector('.first').textContent")


def test_the_drawing_is_to_scale(show, fcn8s):
    """In the rail the window's edges lie over the reference's, and the ghost is 3 of 500 pixels further on."""
    browser = show(fcn8s)
    browser.evaluate("[...document.querySelectorAll('.lane')].pop().scrollIntoView()")
    browser.settle()
    left, width = (f"+e.querySelector('.rail .%s').getAttribute('{name}')" for name in ("x", "width"))
    window, reference = (lane(browser, "score", left % kind) for kind in ("window", "reference-bar"))
    scale = lane(browser, "score", width % "reference-bar") / 500
    assert window == pytest.approx(reference)
    assert lane(browser, "score", width % "window") == pytest.approx(500 * scale)
    assert lane(browser, "score", left % "ghost") - window == pytest.approx(3 * scale)
    slack = lane(browser, "score", left % "slack-bar")
    assert window - slack == pytest.approx(31 * scale)
    assert lane(browser, "score", left % "image") - lane(browser, "score", left % "pad") == pytest.approx(100 * scale)


def test_height_and_width_are_apart(show, fcn8s):
    browser = show(fcn8s)
    browser.enter("#field-W", 320)
    assert numbers(browser)["score"]["reference"] == "500 pixels"
    browser.click("fieldset label:last-child")
    assert numbers(browser)["score"]["reference"] == "320 pixels"
    browser.click("#reset-size")
    assert numbers(browser)["score"]["reference"] == "500 pixels"


@pytest.mark.parametrize("nonsense", ["", "0", "-3", "2.5", "1e9"])
def test_what_is_no_size_changes_nothing(show, fcn8s, nonsense):
    browser = show(fcn8s)
    browser.enter("#field-H", nonsense)
    assert numbers(browser)["score"]["reference"] == "500 pixels"
    assert browser.evaluate("document.querySelector('#field-H').value") == "500"


def test_a_wrong_offset_is_drawn_where_it_is(show, fcn8s):
    browser = show(fcn8s.replace("offset: 31", "offset: 34"))
    assert lane(browser, "score", "e.querySelector('.says').textContent") == "starts at 34, has to start at 31"
    assert lane(browser, "score", "e.querySelectorAll('.miss-arrow').length") == 2
    assert lane(browser, "score_pool4c", "e.querySelectorAll('.miss-arrow').length") == 0


def test_sizes_that_are_not_legal(show):
    browser = show(SHRINKING)
    legal = "document.querySelector('#legal').textContent"
    assert browser.evaluate(legal) == "✓ legal at 40 × 48"
    browser.enter("#slider-H", 6)
    assert browser.evaluate(legal) == "✗ not legal: height"
    assert "not legal" in lane(browser, "cut", "e.querySelector('.says').textContent")
    assert lane(browser, "cut", "e.querySelectorAll('.rail rect').length") == 0
    browser.enter("#slider-H", 7)
    assert browser.evaluate(legal) == "✓ legal at 7 × 48"
    assert lane(browser, "cut", "e.querySelectorAll('.rail rect').length") > 3


def test_the_strip_shows_what_is_legal_and_sets_the_size(show):
    browser = show(SHRINKING)
    strip = "document.querySelector('[data-strip=net] .legal')"
    start = browser.evaluate(f"512 * {strip}.getAttribute('x') / {strip}.parentNode.clientWidth")
    assert start == pytest.approx(6, abs=0.1)  # pixels 1 to 6 are not
    browser.click("[data-strip=net] svg")
    assert browser.evaluate("document.querySelector('#field-H').value") == "257"


def test_a_crop_between_pixels(show):
    text = """
    input: "data" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32
    layer { name: "down" type: "Convolution" bottom: "data" top: "down"
      convolution_param { num_output: 1 kernel_size: 3 stride: 2 pad: 3 } }
    layer { name: "up" type: "Deconvolution" bottom: "down" top: "up"
      convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }
    layer { name: "cut" type: "Crop" bottom: "up" bottom: "data" top: "cut" }
    """
    browser = show(text)
    assert lane(browser, "cut", "e.querySelector('.says').textContent") == "would have to start at 3.5"
    assert browser.evaluate("document.querySelector('#generated .refused').textContent").startswith("There is none")
