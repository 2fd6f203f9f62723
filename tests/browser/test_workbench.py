"""Graph, sources and tables in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.nets import EVIL, dense, named, residual

BOXES = """[...document.querySelectorAll('.box')].map(e => {
  const [, x, y] = e.getAttribute('transform').match(/([-\\d.]+) ([-\\d.]+)/).map(Number);
  const face = e.querySelector('.face');
  return [x, y, +face.getAttribute('width'), +face.getAttribute('height')];
})"""
# Points of every line that lie well inside of a box: there must be none.
CROSSINGS = """(boxes => [...document.querySelectorAll('path.line')].filter(path => {
  const length = path.getTotalLength();
  for (let at = 0; at <= length; at += 6) {
    const p = path.getPointAtLength(at);
    if (boxes.some(([x, y, w, h]) => x + 2 < p.x && p.x < x + w - 2 && y + 2 < p.y && p.y < y + h - 2)) return true;
  }
  return false;
}).length)(%s)"""


def overlaps(boxes):
    found = 0
    for i, (x, y, w, h) in enumerate(boxes):
        found += sum(abs(x - u) < w and abs(y - v) < h for u, v, _, _ in boxes[i + 1 :])
    return found


def text_of(browser, selector):
    return browser.evaluate(f"document.querySelector({selector!r}).textContent")


def box_of(browser, selector):
    """Top and height on the screen."""
    return browser.evaluate(f"(r => [r.top, r.height])(document.querySelector({selector!r}).getBoundingClientRect())")


@pytest.mark.parametrize("level", ["layers", "folded", "repeats", "chains", "blocks"])
@pytest.mark.parametrize("net", ["fcn8s", "residual", "dense"])
def test_boxes_do_not_overlap_and_lines_pass_beside_them(show, fcn8s, net, level):
    browser = show({"fcn8s": fcn8s, "residual": residual(12), "dense": dense(12)}[net])
    browser.enter("#detail", level)
    boxes = browser.evaluate(BOXES)
    assert boxes
    assert overlaps(boxes) == 0
    assert browser.evaluate(CROSSINGS % BOXES) == 0


def test_every_layer_and_every_link_is_drawn(show, fcn8s):
    browser = show(fcn8s)
    browser.enter("#detail", "layers")
    assert len(browser.evaluate(BOXES)) == 49
    assert browser.evaluate("document.querySelectorAll('.line').length") == 48 + 5  # five layers read a second blob
    assert browser.evaluate("document.querySelectorAll('.line.reference').length") == 3


def test_a_thousand_layers(show):
    browser = show(residual(120))
    assert text_of(browser, "#graph-count") == "4 boxes for 1111 layers"
    browser.enter("#detail", "blocks")
    assert text_of(browser, "#graph-count") == "121 boxes for 1111 layers"
    browser.click("[data-layer=block004_beside]")
    assert browser.evaluate("document.querySelectorAll('.box').length") > 121
    browser.enter("#detail", "layers")
    assert len(browser.evaluate(BOXES)) == 1111
    browser.enter("#find-layer", "block118_b")
    seen = browser.evaluate(
        "(b => { const r = b.getBoundingClientRect(), g = document.querySelector('#graph').getBoundingClientRect();"
        " return g.top <= r.top && r.bottom <= g.bottom && g.left <= r.left; })"
        "(document.querySelector('[data-layer=block118_b]'))"
    )
    assert seen
    assert text_of(browser, "#graph-found") == "4 layers"


def test_words_on_the_lines_follow_the_size(show, fcn8s):
    browser = show(fcn8s)
    shape, stride = "[data-layer=pool3] .shape", "[data-layer=pool3] .map-text"
    assert text_of(browser, shape) == "256 × 88 × 88"
    assert text_of(browser, stride) == "stride 8, offset −95.5"
    browser.enter("#field-H", 1)
    assert text_of(browser, shape) == "256 × 25 × 88"
    assert text_of(browser, stride) == "stride 8, offset −95.5"


def test_a_click_shows_both_lines(show, fcn8s):
    browser = show(fcn8s)
    browser.click("[data-layer=conv3_2]")
    assert text_of(browser, "#prototxt .where") == "lines 165–184"
    places = text_of(browser, "#generated .where").replace("line ", "").split(", ")
    module = text_of(browser, "#generated .body").split("\n")
    assert [module[int(place) - 1].strip().split("(")[0] for place in places] == [
        "conv3_2 = F.relu",
        "self.conv3_2 = nn.Conv2d",
    ]
    for pane in ("prototxt", "generated"):
        mark, view = box_of(browser, f"#{pane} .marks div"), box_of(browser, f"#{pane} .code")
        assert view[0] <= mark[0] < view[0] + view[1]
    (top, height), (start, whole) = box_of(browser, "#prototxt .marks div"), box_of(browser, "#prototxt .body")
    step = whole / len(fcn8s.rstrip("\n").split("\n"))
    assert [round((top - start) / step), round(height / step)] == [164, 20]


def test_a_click_on_a_line_selects_its_layer(show, fcn8s):
    browser = show(fcn8s)
    browser.click("[data-layer=conv3_2]")
    browser.click("#prototxt .marks div")
    assert browser.evaluate("document.querySelector('.box.selected').dataset.layer") == "conv3_2"


def test_the_receptive_field_on_hover(show, fcn8s):
    browser = show(fcn8s)
    browser.evaluate("document.querySelector('[data-layer=fc6]').dispatchEvent(new PointerEvent('pointerenter'))")
    assert "sees 404 × 404 pixels of the input" in text_of(browser, "#details")
    seen = browser.evaluate("+document.querySelector('.field .seen').getAttribute('width')")
    assert seen == 404
    browser.evaluate("document.querySelector('[data-layer=fc6]').dispatchEvent(new PointerEvent('pointerleave'))")
    assert "sees 404" not in text_of(browser, "#details")


def test_the_table_is_searched_and_sorted(show, fcn8s):
    browser = show(fcn8s)
    browser.enter("#find-row", "deconv pool4")
    rows = "[...document.querySelectorAll('#layer-table tbody tr:not([hidden]) th')].map(e => e.textContent)"
    assert browser.evaluate(rows) == ["upscore_pool4"]
    browser.enter("#find-row", "")
    browser.click("#layer-table th:nth-child(7) button")
    assert browser.evaluate(rows)[:3] == ["fc6", "fc7", "conv4_2"]
    assert browser.evaluate("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    browser.click("#layer-table th:nth-child(7) button")
    browser.click("#layer-table th:nth-child(7) button")
    assert browser.evaluate(rows)[:2] == ["data", "conv1_1"]
    browser.click("#layer-table tbody tr:nth-child(30) th button")
    assert browser.evaluate("document.querySelectorAll('tr.selected').length") == 1


def test_everything_is_reached_by_keyboard(show, fcn8s):
    browser = show(fcn8s)
    reached = []
    for _ in range(40):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.getAttribute('class')"))
        if reached[-1] and "box" in reached[-1]:
            break
    wanted = ["theme", "slider-H", "field-H", "slider-W", "field-W", "reset-size", "name", "detail", "find-layer"]
    assert [name for name in reached if name in wanted][:6] == wanted[:6]
    assert set(wanted) <= set(reached)
    assert "box" in reached[-1]
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        browser.press(key)
    focused = "document.activeElement.dataset.layer"
    assert browser.evaluate(focused) == "conv2_1"
    browser.press("ArrowUp")
    browser.press("Enter")
    assert browser.evaluate(focused) == "pool1"
    assert browser.evaluate("document.querySelector('.box.selected').dataset.layer") == "pool1"
    assert text_of(browser, "#prototxt .where") == "lines 65–75"


def test_the_slider_by_keyboard(show, fcn8s):
    browser = show(fcn8s)
    browser.evaluate("document.querySelector('#slider-H').focus()")
    browser.press("ArrowRight")
    assert browser.evaluate("document.querySelector('#field-H').value") == "501"


def test_light_and_dark(show, fcn8s):
    browser = show(fcn8s)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.evaluate(ground)
    browser.scheme("dark")
    dark = browser.evaluate(ground)
    assert dark != light
    browser.click("#theme")
    assert browser.evaluate(ground) == light
    browser.click("#theme")
    browser.scheme("light")
    assert browser.evaluate(ground) == dark
    browser.click("#theme")
    assert browser.evaluate(ground) == light


@pytest.mark.parametrize(
    "name", [EVIL, '"><svg onload=document.title=1>', "{{ 7 * 7 }}", "a'b\\\\c&lt;", "<!--<script>"]
)
def test_names_stay_text(show, name):
    browser = show(named(name))
    assert browser.evaluate("document.querySelectorAll('img, iframe, [onerror], [onload]').length") == 0
    assert browser.evaluate("document.title").endswith(": alignment, shapes, cost")
    assert text_of(browser, "h1") == name
    assert browser.evaluate("document.querySelector('.lane').dataset.crop") == f"{name}3"
    assert browser.evaluate("[...document.querySelectorAll('.box')].map(e => e.dataset.layer)") == [
        name,
        f"{name}1",
        f"{name}3",
    ]
    assert name in text_of(browser, "#layer-table tbody")


def test_the_policy_holds(browser, write_page, fcn8s):
    """What the page never does is refused: markup from strings, scripts, styles and requests of others."""
    browser.open(write_page(fcn8s))
    refused = browser.evaluate(
        "(() => { try { document.body.innerHTML = '<img src=x>'; return false; } catch (e) { return true; } })()"
    )
    assert refused
    add = "document.body.append(Object.assign(document.createElement('%s'), {%s}))"
    browser.evaluate(add % ("img", "src: 'http://127.0.0.1:9/x'"))
    assert browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    browser.evaluate(add % ("style", "textContent: 'body { display: none }'"))
    assert browser.evaluate("getComputedStyle(document.body).display") == "block"
    assert len(browser.complaints) >= 3
    assert all("Content Security Policy" in line or "TrustedHTML" in line for line in browser.complaints)


def test_the_width_of_a_telephone(show, fcn8s):
    browser = show(fcn8s)
    browser.size(390, 800)
    browser.settle()
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    "net",
    [
        "Andrew-Qibin__DSS/deploy.prototxt",
        "zeakey__DeepSkeleton/examples/DeepSkeleton/deploy.prototxt",
        "BVLC__caffe/models/bvlc_googlenet/deploy.prototxt",
        "soeaver__caffe-model/cls/resnet-v2/deploy_resnet101-v2.prototxt",
        "soeaver__caffe-model/cls/inception/deploy_inception-resnet-v2.prototxt",
    ],
)
def test_nets_as_found(show, shared, net):
    browser = show(Path(shared, "corpus", net).read_text())
    boxes = browser.evaluate(BOXES)
    assert 1 < len(boxes) <= 80
    assert overlaps(boxes) == 0
    assert browser.evaluate(CROSSINGS % BOXES) == 0
    browser.enter("#field-H", 321)


FLAT = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 6 } } }
layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { shift: -0.5 } }
layer { name: "f" type: "Flatten" bottom: "p" top: "f" }
layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
layer { name: "c" type: "Convolution" bottom: "p" top: "q" convolution_param { num_output: 2 kernel_size: 3 } }
"""


def test_products_of_extents_follow_the_size_and_shared_memory_is_linked(show):
    """The convolution reads what the layer in place has left in the memory of its bottom."""
    browser = show(FLAT)
    browser.enter("#detail", "layers")
    assert browser.evaluate("document.querySelectorAll('.line').length") == 4
    browser.click("[data-layer=f]")
    assert "1 × 48" in text_of(browser, "#details")
    browser.enter("#field-H", 5)
    assert "1 × 60" in text_of(browser, "#details")
