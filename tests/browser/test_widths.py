"""All pages on a telephone, a laptop and a wide screen: nothing is cut off without a sign of it."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.browser.scored import PAGES

# The table's key cells, while it is as far to the left as it goes and then as far to the right: where they begin.
KEYS = """(scroll => [0, 1e6].map(left => {
  scroll.scrollLeft = left;
  return scroll.querySelector('tbody th').getBoundingClientRect().left;
}))(document.querySelector('%s'))"""
LONG = "a_name_of_a_layer_that_leaves_no_room_for_the_columns_beside_it"


def open_scored(browser, kind, folder):
    path = folder / f"{kind}.html"
    path.write_text(PAGES[kind]())
    browser.open(path)
    assert browser.complaints == []
    assert browser.requests[0] == path.as_uri()
    assert all(address.startswith("data:image/") for address in browser.requests[1:])


def too_wide(browser):
    """How much wider the page is than the screen."""
    return browser.evaluate("document.documentElement.scrollWidth - innerWidth")


def long_names():
    first = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 64 input_dim: 64'
    layers, before = [first], "data"
    for index in range(12):
        top = f"{LONG}_{index}"
        layers.append(f'layer {{ name: "{top}" type: "Convolution" bottom: "{before}" top: "{top}" ')
        layers.append("convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }")
        before = top
    return "\n".join(layers)


@pytest.mark.parametrize("width", [400, 1280, 3000])
@pytest.mark.parametrize("kind", PAGES)
def test_pages_with_scores_are_no_wider_than_the_screen(browser, kind, width, tmp_path):
    browser.size(width, 900)
    open_scored(browser, kind, tmp_path)
    assert too_wide(browser) <= 0


@pytest.mark.parametrize("width", [400, 1280, 3000])
def test_the_report_is_no_wider_than_the_screen_and_uses_it(show, fcn8s, width):
    browser = show(fcn8s)
    browser.size(width, 900)
    browser.settle()
    assert too_wide(browser) <= 0
    used = browser.evaluate("document.querySelector('.bench').getBoundingClientRect().width")
    assert used > 0.9 * width


def test_all_columns_of_fcn8s_are_in_view_on_a_laptop(show, fcn8s):
    browser = show(fcn8s)
    browser.evaluate("document.querySelector('#layers').scrollIntoView()")
    browser.settle()
    assert browser.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.scroll.long'))") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_shadow_lies_over_the_edge_behind_which_there_are_more_columns(show, tmp_path, scheme):
    browser = show(long_names())
    browser.scheme(scheme)
    browser.evaluate("document.querySelector('#layers').scrollIntoView()")
    browser.settle()
    edge, row = browser.evaluate(
        "(e => [e.getBoundingClientRect().right - 4, e.querySelector('tbody tr').getBoundingClientRect().top + 4])"
        "(document.querySelector('.scroll.long'))"
    )
    assert browser.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.scroll.long'))") > 50
    seen = []
    for left in (0, 1e6):
        browser.evaluate(f"document.querySelector('.scroll.long').scrollLeft = {left}")
        browser.settle()
        browser.screenshot(tmp_path / "page.png")
        with Image.open(tmp_path / "page.png") as picture:
            seen.append(sum(picture.convert("RGB").getpixel((int(edge), int(row)))[:3]))
    assert seen[0] < seen[1] - 15


@pytest.mark.parametrize("kind", ["report", *PAGES])
def test_tables_keep_their_key_column_in_view_on_a_telephone(show, browser, fcn8s, kind, tmp_path):
    if kind == "report":
        show(fcn8s)
    browser.size(400, 800)
    if kind != "report":
        open_scored(browser, kind, tmp_path)
    table = ".scroll.long" if kind == "report" else ".scroll"
    browser.evaluate(f"document.querySelector('{table}').scrollIntoView()")
    browser.settle()
    before, after = browser.evaluate(KEYS % table)
    assert before == pytest.approx(after, abs=0.5)
    assert browser.evaluate(f"document.querySelector('{table}').scrollLeft") > 0


def test_pictures_have_their_legend_and_scores_their_sentence():
    page = PAGES["segmentation"]()
    legend = page.split('<ul class="legend"')[1].split("</ul>")[0]
    assert [part.split("</li>")[0] for part in legend.split("</svg>")[1:]] == [
        "background", "a-class-with-a-name-that-is-longer-than-names-of-classes-use-to-be", "wrong", "does not count",
    ]  # fmt: skip
    assert "87.50 % of all pixels have the right class." in page
    assert "Scored on 3 images of VOC. 1 more could not be scored." in page
    assert "10 pixels of background, 10.00 % of them, are taken for a-class" in page
    assert "Of 16 true boxes 12 are found by a box of some score." in PAGES["detections"]()
    assert "For 87.50 % of the images the class with the highest score is the right one" in PAGES["classification"]()


def test_no_page_has_a_path_of_the_machine():
    page = PAGES["verification"]()
    assert "against secret/ref.npz" in page
    assert "/home" not in page


def test_the_strip_says_which_size_is_under_the_pointer(show):
    from tests.browser.nets import SHRINKING

    browser = show(SHRINKING)
    browser.evaluate("document.querySelector('[data-strip=net]').scrollIntoView({block: 'center'})")
    x, y, wide = browser.evaluate(
        "(r => [r.x, r.y, r.width])(document.querySelector('[data-strip=net] svg').getBoundingClientRect())"
    )
    found = []
    for n in (3, 257):
        browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + (n - 0.5) * wide / 512, y=y + 8)
        browser.settle()
        found.append(browser.evaluate("document.querySelector('.under-text').textContent"))
    assert found == ["H = 3: not legal, 7 is", "H = 257: legal"]
