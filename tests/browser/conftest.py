"""The browser that all tests share, and pages made as a user makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, find

ABSENT = "there is no Chromium: `make setup-browser` installs Debian's"


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; where there is none the tests are skipped, or fail if NETCOMPILE_BROWSER is "required"."""
    program = find()
    if program is None:
        if os.environ.get("NETCOMPILE_BROWSER") == "required":
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)
    chromium = Chromium(program)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def write_page(tmp_path_factory):
    """Writes the page of a prototxt, given as text, and says where."""
    from netcompile.analyser import analyse
    from netcompile.diagnostics.source import Source
    from netcompile.report.as_html import html_report
    from netcompile.report.layer_model import Report
    from netcompile.report.layers import layers_report
    from netcompile.report.offsets import offsets_report

    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, Path] = {}

    def write(text: str) -> Path:
        if text not in made:
            analysed = analyse(Source(text, "net.prototxt"))
            made[text] = folder / f"{len(made)}.html"
            made[text].write_text(html_report(analysed, Report(offsets_report(analysed), layers_report(analysed))))
        return made[text]

    return write


@pytest.fixture
def show(browser, write_page):
    """Opens the page of a prototxt in the browser. Whatever a test does, the page must have stayed by itself."""
    opened: list[Path] = []

    def open_page(text: str) -> Chromium:
        path = write_page(text)
        opened.append(path)
        browser.size(1280, 900)
        browser.scheme("light")
        browser.open(path)
        return browser

    yield open_page
    if opened:
        assert browser.complaints == []
        assert browser.requests == [opened[-1].as_uri()]


@pytest.fixture(scope="session")
def fcn8s():
    from netcompile.zoo.find import find_definition

    return Path(find_definition("voc-fcn8s/val.prototxt")).read_text()
