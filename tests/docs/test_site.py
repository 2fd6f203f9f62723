"""The built site: Sphinx has nothing to warn about, nothing comes from another host, search and diagrams work."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.conftest import browser  # noqa: F401 (a fixture)
from tests.conftest import made_once

NEEDED = ("sphinx", "myst_parser", "furo")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does, with warnings as errors."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed: `make setup-docs` does that")
    from docs.generator.build import build_apart

    def make(folder: Path) -> None:
        assert build_apart(folder / "site", folder / "work") == ""

    return made_once(tmp_path_factory, "docs-site", make) / "site"


@pytest.mark.long
def test_pages(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.count('http-equiv="Content-Security-Policy"') == 1, page
        assert not re.search(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//', text), page
        assert "BLANKLINE" not in text
    assert not re.search(r"url\([\"']?(?:https?:)?//|@import", "".join(p.read_text() for p in site.rglob("*.css")))


def test_search(site: Path, browser: Chromium) -> None:  # noqa: F811
    browser.open(site / "search.html")
    browser.send("Page.navigate", url=f"{(site / 'search.html').as_uri()}?q=crop-half-pixel")
    while browser.receive().get("method") != "Page.loadEventFired":
        pass
    wanted = "reference/errors/c.html#crop-half-pixel"
    found = browser.evaluate(
        "new Promise(done => { const look = left => {"
        f" const found = document.querySelector('#search-results a[href*=\"{wanted}\"]');"
        " found || !left ? done(Boolean(found)) : setTimeout(look, 100, left - 1); }; setTimeout(look, 300, 200); })"
    )
    assert found
    assert browser.complaints == []
    assert all(address.startswith(("file:", "data:")) for address in browser.requests)


def test_diagrams(site: Path, browser: Chromium) -> None:  # noqa: F811
    browser.open(site / "algebra.html")
    said = "document.querySelectorAll('.alignment output')[{}].textContent"
    assert browser.evaluate(said.format(0)) == "8 pixels in, 4 out; pixel i of the top lies at 2·i + 0 of the bottom."
    browser.enter(".alignment [name=pad]", 0)
    assert browser.evaluate(said.format(0)) == "8 pixels in, 3 out; pixel i of the top lies at 2·i + 1 of the bottom."
    assert browser.evaluate(said.format(1)).endswith("Aligned: the image begins at 6, a window of 8 fits from 0 to 12.")
    crop = ".alignment[data-diagram=crop] [name={}]"
    browser.enter(crop.format("offset"), 4)
    assert "2 pixels too far left" in browser.evaluate(said.format(1))
    browser.enter(crop.format("kernel"), 3)
    assert "begins at 11/2, between two pixels" in browser.evaluate(said.format(1))
    browser.enter(crop.format("offset"), 40)
    assert "would end outside" in browser.evaluate(said.format(1))
    assert browser.complaints == []
    assert all(address.startswith((site.as_uri(), "data:")) for address in browser.requests)


@pytest.mark.parametrize("width", [400, 1280, 3000])
def test_nothing_sticks_out(site: Path, browser: Chromium, width: int) -> None:  # noqa: F811
    """Wide tables and listings scroll in themselves; the page does not. Dark follows the system."""
    browser.size(width, 900)
    for page in ("index.html", "algebra.html", "reference/layers.html", "reference/commands/build.html"):
        browser.open(site / page)
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width, (page, scheme)
            colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
            assert (red + green + blue < 384) == (scheme == "dark"), page
    browser.size(1280, 900)
    browser.scheme("light")
