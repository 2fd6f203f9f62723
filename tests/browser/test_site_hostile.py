"""The playground at the hands of the hasty, the clumsy and the hostile."""

from __future__ import annotations

import json
import time

import pytest

from tests.browser.nets import SHRINKING
from tests.browser.playground import EDITOR
from tests.browser.test_site import FCN8S, SMALL, command, loaded, packed, page, shown, told  # noqa: F401

SAVED = (
    "(() => { const kept = [URL.createObjectURL, HTMLAnchorElement.prototype.click];"
    " URL.createObjectURL = (blob) => { window.saved = blob; return 'about:blank'; };"
    " HTMLAnchorElement.prototype.click = () => {};"
    " document.querySelector('#save').click();"
    " [URL.createObjectURL, HTMLAnchorElement.prototype.click] = kept;"
    " return window.saved.arrayBuffer().then((data) => [...new Uint8Array(data)]); })()"
)
STOPPED = "Stopped. It is tried again when the text changes."
BACK = "document.querySelector('#back')"
SAID = "document.querySelector('#said').textContent"


def test_what_takes_too_long_can_be_stopped(page, command):  # noqa: F811
    page.tab("check")
    page.open(SMALL)
    page.browser.evaluate("document.querySelector('#failure').hidden = true")
    page.hang()
    page.browser.enter("#nets", FCN8S)
    page.until("!document.querySelector('#busy').hidden")
    assert page.of("#name") == FCN8S
    assert page.of("#about") == ""  # and nothing else is told of the net before
    assert page.of("#finding-count") == "not checked yet"
    assert page.browser.evaluate("document.querySelector('[data-copy=check]').disabled")
    assert page.browser.evaluate("Boolean(document.querySelector('#split.stale'))")
    assert page.of("#busy p") == "Python has worked for 5 seconds. The text can be edited meanwhile."
    page.browser.click("#stop")
    page.until("!document.querySelector('#failure').hidden")
    assert page.of("#failure p") == STOPPED
    assert page.of("#finding-count") == "not checked: there is no answer"
    assert page.browser.evaluate("document.querySelector('#busy').hidden")
    page.open(SMALL)
    assert shown(page) == told(command, SMALL)
    assert not page.browser.evaluate("Boolean(document.querySelector('#split.stale'))")
    assert page.browser.evaluate("document.querySelector('#failure').hidden")


def test_a_tab_and_a_file_that_take_too_long_can_be_stopped(page, command, tmp_path):  # noqa: F811
    """Python begins anew, and the net is opened in it again."""
    page.tab("check")
    page.open(SMALL)
    page.hang()
    page.browser.evaluate("document.querySelector('#tab-graph').click()")
    (tmp_path / "net.prototxt").write_text(SHRINKING)
    page.drop(tmp_path / "net.prototxt")
    page.until("!document.querySelector('#busy').hidden")
    page.browser.click("#stop")
    page.until("!document.querySelector('#panel-report .refused').hidden")
    assert page.of("#panel-report .refused pre") == STOPPED
    page.until(f"{SAID} === {json.dumps(STOPPED)}")
    assert page.of("#name") == SMALL
    page.tab("offsets")
    assert page.copied("offsets") == command("offsets", SMALL)[0]
    page.tab("check")


def test_the_net_that_was_chosen_last_is_the_one_that_is_open(page):  # noqa: F811
    page.browser.evaluate(
        "(() => { const fetched = window.fetch; window.fetch = async (what) => { window.fetch = fetched;"
        " const answer = await fetched(what); await new Promise((done) => setTimeout(done, 700)); window.late = true;"
        " return answer; }; })()"
    )
    page.browser.enter("#nets", FCN8S)
    page.open(SMALL)
    page.until("window.late === true")
    page.browser.settle()
    assert page.of("#name") == SMALL


def test_an_edited_text_comes_back(page, tmp_path):  # noqa: F811
    """Of another file that is opened in its place, and of one that was edited in its place."""
    page.browser.evaluate(SAVED)
    if not page.browser.evaluate(f"{BACK}.hidden"):  # a test before edited two
        page.after(lambda: page.browser.click("#back"))
        page.browser.evaluate(SAVED)
    page.open(SMALL)
    page.open_text(tmp_path, SHRINKING, "one.prototxt")
    assert page.browser.evaluate(f"{BACK}.hidden")
    page.browser.enter("#options [name=phase]", "TRAIN")
    page.browser.evaluate(f"{EDITOR}.querySelector('.cm-content').focus()")
    page.after(lambda: page.type("# mine\n"))
    page.open(SMALL)
    assert page.browser.evaluate(f"{BACK}.title") == "one.prototxt, as edited"
    page.browser.evaluate(f"{EDITOR}.querySelector('.cm-content').focus()")
    page.after(lambda: page.type("# other\n"))
    page.after(lambda: page.browser.click("#back"))
    assert page.of("#name") == "one.prototxt"
    before, mine, after = bytes(page.browser.evaluate(SAVED)).decode().partition("# mine\n")  # where the cursor was
    assert mine
    assert before + after == SHRINKING
    assert page.browser.evaluate("document.querySelector('#options [name=phase]').value") == "TRAIN"
    assert page.browser.evaluate(f"{BACK}.title") == f"{SMALL}, as edited"
    page.after(lambda: page.browser.click("#back"))
    assert page.of("#name") == SMALL
    assert bytes(page.browser.evaluate(SAVED)).decode().startswith("# other\n")
    assert page.browser.evaluate(f"{BACK}.hidden")  # what was saved needs no way back


def test_options_of_a_link_that_are_none_are_left_out(page):  # noqa: F811
    options = {"level": 1e21, "input": "0x5", "stages": [1, "a b"], "phase": 5, "crop_offsets": {}, "other": 1}
    link = packed({"v": 1, "text": SHRINKING, "name": "odd.prototxt", "options": options})
    page.after(lambda: page.browser.evaluate(f"location.hash = {json.dumps(link)}"))
    assert page.of("#name") == "odd.prototxt"
    assert page.browser.evaluate("Object.fromEntries(new FormData(document.querySelector('#options')))") == {
        "phase": "TEST", "stages": "a b", "level": "0", "input": "", "crop_offsets": "auto",
    }  # fmt: skip
    page.browser.evaluate("history.replaceState(null, '', location.pathname)")


def test_an_option_that_is_none_is_told_of(page, tmp_path):  # noqa: F811
    page.open_text(tmp_path, SHRINKING)
    page.browser.enter("#options [name=level]", "x")
    page.browser.evaluate(f"{EDITOR}.querySelector('.cm-content').focus()")
    page.type("# ")
    page.until("document.querySelector('#finding-count').textContent === 'not checked: an option is none'")
    page.after(lambda: page.browser.click("#reset-options"))
    assert "not checked" not in page.of("#finding-count")


def test_bytes_that_are_no_utf8_are_saved_as_they_were(page, tmp_path):  # noqa: F811
    data = SHRINKING.encode() + b"# caf\xe9 \xff\xfe \xc3\xa9\r\n"
    (tmp_path / "latin.prototxt").write_bytes(data)
    page.open_file(tmp_path / "latin.prototxt")
    assert bytes(page.browser.evaluate(SAVED)) == data


def test_names_that_do_not_show_are_escaped(page, tmp_path):  # noqa: F811
    page.open_text(tmp_path, SHRINKING, "a\u061c\u00ad\u2060\U000e0041\x85\r.prototxt")
    assert page.of("#name") == "a\\u061c\\xad\\u2060\\U000e0041\\x85\\r.prototxt"


def test_a_folder_and_a_file_that_is_too_large(page, tmp_path):  # noqa: F811
    before = page.of("#name")
    (tmp_path / "folder.prototxt").mkdir()
    page.drop(tmp_path / "folder.prototxt")
    page.until(f"{SAID}.includes('folder.prototxt could not')")
    assert page.of("#said") == "folder.prototxt could not be read: it is a folder, or it was changed or removed."
    with (tmp_path / "large.prototxt").open("wb") as file:
        file.truncate(100_000_000)
    page.drop(tmp_path / "large.prototxt")
    page.until(f"{SAID}.includes('large.prototxt has')")
    assert page.of("#said") == "large.prototxt has 100,000,000 bytes: the page opens prototxts of up to 5,000,000."
    assert page.of("#name") == before


def test_of_two_files_that_are_dropped_one_is_open_as_a_whole(page, tmp_path):  # noqa: F811
    for name in ("one", "two"):
        (tmp_path / f"{name}.prototxt").write_text(SHRINKING.replace("small", name))
    data = {
        "items": [],
        "files": [str(tmp_path / f"{name}.prototxt") for name in ("one", "two")],
        "dragOperationsMask": 1,
    }
    before = page.version
    for kind in ("dragEnter", "dragOver", "drop"):
        page.browser.send("Input.dispatchDragEvent", type=kind, x=300, y=400, data=data)
    page.until(f"Number(document.body.dataset.version) > {before}")
    time.sleep(0.5)
    assert page.of("#name") == "two.prototxt"
    assert '"two"' in page.text(f"{EDITOR}.querySelector('.cm-content')")


@pytest.mark.parametrize("text", ["", " ", "\r", "#", "{" * 3000, "layer {" * 3000, 'name: "\u202e\u2028<img src=x>"'])
def test_odd_texts_are_answered(page, command, tmp_path, monkeypatch, text):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    page.open_text(tmp_path, text)
    assert shown(page) == told(command, "net.prototxt")
