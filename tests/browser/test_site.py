"""The playground in a browser: the same texts as the command line's, and all that a person does there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
import time
import zlib
from pathlib import Path

import pytest

from netcompile.cli.main import entry
from netcompile.site.build import digest
from netcompile.site.serve import Server
from netcompile.zoo.find import definitions, find_definition
from tests.browser.nets import EVIL, SHRINKING, named
from tests.browser.playground import ANSWERED, EDITOR, MODULE, Playground
from tests.conftest import REPOSITORY
from tests.kinds import kinds

SITE = REPOSITORY / "site"
AXE = REPOSITORY / "build" / "site" / "node_modules" / "axe-core" / "axe.min.js"
ABSENT = "the site is not built: `make site` builds it"
FCN8S = "voc-fcn8s/val.prototxt"
SMALL = "voc-fcn-alexnet/val.prototxt"
NETS = [name for name in definitions() if not name.endswith("/solver.prototxt")]
TOLD = (
    "alexnet/deploy.prototxt",
    "hed/deploy.prototxt",
    "nyud-fcn32s-color-hha/test.prototxt",
    "resnet-101/deploy.prototxt",
    "shapes-classifier/train_val.prototxt",
    "shapes-fcn8s/deploy.prototxt",
    "shapes-ssd/deploy.prototxt",
    "shapes-ssd/train.prototxt",
    "squeezenet-v1.0/deploy.prototxt",
    "ssd300-voc/deploy.prototxt",
    "voc-fcn8s-atonce/train.prototxt",
    "voc-fcn8s/val.prototxt",
)
BUILT = (
    "voc-fcn8s/val.prototxt",
    "resnet-50/deploy.prototxt",
    "shapes-ssd/deploy.prototxt",
    "squeezenet-v1.1/deploy.prototxt",
)
MOST_BYTES = 9000  # of a corpus net: two cores are to open thirty in seconds
CORPUS_NETS = 30


def whole_site() -> Path:
    """The folder of the site; the test is skipped where there is none, or fails if one is required."""
    if not (SITE / "index.html").exists():
        if os.environ.get("NETCOMPILE_SITE") == "required":
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)
    return SITE


def serve(folder: Path) -> Server:
    """A server of the site in a thread of its own."""
    server = Server(str(folder), 0, lambda line: None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def loaded(browser):
    """The page, loaded once: Python takes seconds to start."""
    server = serve(whole_site())
    playground = Playground(browser, server.url)
    playground.visit()
    yield playground
    browser.send("Target.setAutoAttach", autoAttach=False, waitForDebuggerOnStart=False, flatten=True)
    browser.send("Page.navigate", url="about:blank")
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(loaded):
    """The page. Whatever a test does, it must not complain, nor ask for anything elsewhere."""
    if not str(loaded.browser.evaluate("location.href")).startswith(loaded.url):
        loaded.visit()
    loaded.browser.complaints.clear()
    yield loaded
    assert loaded.browser.complaints == []
    assert [url for url in loaded.browser.requests if not url.startswith((loaded.url, f"blob:{loaded.url}"))] == []


@pytest.fixture
def command(capsys):
    """What a command writes, in this process."""

    def call(*arguments: object) -> str:
        capsys.readouterr()
        entry([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return out, err

    return call


def told(command, name: str) -> tuple[str, str]:
    """What `offsets` and `check` say of a net; of one without offsets, why."""
    out, err = command("offsets", name)
    checked = command("check", name)
    return out or err, checked[1] + checked[0]


def shown(page: Playground) -> tuple[str, str]:
    page.tab("offsets")
    offsets = page.copied("offsets")
    page.tab("check")
    return offsets, page.copied("check")


def built(command, name: str, folder: Path) -> str:
    """The module that `build` writes; of a net without one, why."""
    _, err = command("build", name, "-o", folder, "-q")
    module = next(folder.glob("*.py"), None)
    return err if module is None else module.read_text(encoding="utf-8")


def shown_module(page: Playground) -> str:
    page.tab("pytorch")
    module = page.copied("module")
    page.tab("check")
    return module


def test_the_nets_have_every_kind_of_layer():
    """Of the other bundled nets `tests/site` asks without a browser."""
    has = {name: kinds(find_definition(name)) for name in NETS}
    assert set().union(*has.values()) == set().union(*(has[name] for name in TOLD))


@pytest.mark.parametrize("name", TOLD)
def test_bundled_nets_are_told_as_by_the_command_line(page, command, tmp_path, name):
    page.tab("check")
    page.open(name)
    assert page.of("#name") == name
    assert shown(page) == told(command, name)
    assert shown_module(page) == built(command, name, tmp_path)


@pytest.mark.parametrize("name", BUILT)
def test_sources_are_those_of_build(page, command, tmp_path, name):
    page.tab("check")
    page.open(name)
    page.tab("pytorch")
    for level, style in ((0, "flat"), (1, ""), (2, "blocks")):
        page.browser.enter("#source-options [name=level]", level)
        page.browser.enter("#source-options [name=style]", style)
        page.until("!document.querySelector('#panel-pytorch').hasAttribute('aria-busy')")
        folder = tmp_path / f"{level}{style}"
        command("build", name, "-o", folder, "-O", level, *(["--style", style] if style else []), "-q")
        (module,) = folder.glob("*.py")
        assert page.copied("module") == module.read_text()
    page.browser.enter("#source-options [name=level]", 1)
    page.browser.enter("#source-options [name=style]", "")


@pytest.mark.parametrize(("name", "command_name", "tab", "key"), [
    ("nyud-fcn32s-color/test.prototxt", "inspect", "cost", "cost"),
    ("nyud-fcn32s-color/test.prototxt", "upgrade", "upgrade", "upgraded"),
    (FCN8S, "upgrade", "upgrade", "upgraded"),
])  # fmt: skip
def test_the_other_texts_are_those_of_the_command_line(page, command, name, command_name, tab, key):
    page.open(name)
    page.tab(tab)
    assert page.copied(key) == command(command_name, name)[0]


def test_derivations_are_those_of_explain(page, command):
    page.open(FCN8S)
    page.tab("offsets")
    page.browser.evaluate("document.querySelector('#derivation').open = true")
    page.until("document.querySelector('#explained-text').textContent !== ''")
    assert page.copied("explained") == command("offsets", FCN8S, "--explain")[0]
    page.browser.evaluate("document.querySelector('#derivation').open = false")


def corpus_nets(shared: Path) -> list[Path]:
    """Thirty of those that are small enough, from all over the corpus."""
    found = [path for path in sorted((shared / "corpus").rglob("*.prototxt")) if path.stat().st_size <= MOST_BYTES]
    return found[:: max(1, len(found) // CORPUS_NETS)][:CORPUS_NETS]


def test_nets_of_others_are_told_as_by_the_command_line(page, command, shared, monkeypatch, tmp_path):
    paths = corpus_nets(shared)
    assert len(paths) == CORPUS_NETS
    page.tab("check")
    for path in paths:
        page.open_file(path)
        monkeypatch.chdir(path.parent)
        assert (path, *shown(page)) == (path, *told(command, path.name))
        assert (path, shown_module(page)) == (path, built(command, path.name, tmp_path / f"{paths.index(path)}"))


def test_a_wrong_offset_is_underlined_and_mended(page, capsys):
    page.open(FCN8S)
    page.go_to("score_pool4c")
    page.tab("check")
    page.keys(*["ArrowDown"] * 8, "End")
    took = time.monotonic()
    page.after(lambda: page.type("0"))
    took = time.monotonic() - took
    assert set(page.underlined()) == {"50"}
    assert "crop 'score_pool4c' starts at 50, alignment needs 5" in page.of("#cards")
    assert page.of("#finding-count") == "3 errors, 2 notes"
    page.after(lambda: page.browser.click("#findings .fix"))
    assert page.underlined() == []
    assert page.of("#finding-count") == "2 notes"
    assert page.count(".fix") == 0
    assert "offset: 5" in page.text(f"{EDITOR}.querySelector('.cm-content')")
    with capsys.disabled():
        print(f"\n  an edit of FCN-8s is answered after {took * 1000:.0f} ms", end="")


def test_all_fixes_at_once_are_one_step(page):
    page.open(FCN8S)
    for layer in ("score", "score_pool4c"):
        page.go_to(layer)
        page.keys(*["ArrowDown"] * 8, "End")
        page.after(lambda: page.type("1"))
    page.tab("check")
    words = page.of("#fix-all-cards")
    assert words.startswith("Fix all ")
    page.after(lambda: page.browser.click("#fix-all-cards"))
    assert page.of("#finding-count") == "2 notes"
    assert "offset: 31" not in page.underlined()


def test_completions_have_caffes_defaults(page):
    page.open(FCN8S)
    page.go_to("score_pool4c")
    page.keys(*["ArrowDown"] * 8, "End", "Enter")
    page.type("ax")
    listed = f"{EDITOR}.querySelector('.cm-tooltip-autocomplete li')"
    page.until(f"Boolean({listed})")
    assert page.text(listed) == "axisint32, default 2"
    page.keys("Escape")


def test_completed_types_keep_their_quotes(page, tmp_path):
    page.open_text(tmp_path, SHRINKING + 'layer { name: "x" type: "" }')
    page.browser.evaluate(f"{EDITOR}.querySelector('.cm-content').focus()")
    page.keys("ArrowDown", *["ArrowDown"] * 5, "End", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    page.type("Deconv")
    page.until(f"Boolean({EDITOR}.querySelector('.cm-tooltip-autocomplete li'))")
    time.sleep(0.2)  # the list takes no key at first, lest it take one meant for the text
    page.keys("Enter")
    assert (
        page.text(f"[...{EDITOR}.querySelectorAll('.cm-line')].at(-1)") == 'layer { name: "x" type: "Deconvolution" }'
    )


def test_lines_are_linked_both_ways(page):
    page.open(FCN8S)
    page.go_to("score_pool4c")
    page.tab("pytorch")
    page.keys("ArrowDown")
    marked = f"[...{MODULE}.querySelectorAll('.cm-linked')].map(e => e.textContent).join('')"
    assert "score_pool4c = score_pool4[" in page.browser.evaluate(marked)
    lines = f"[...{MODULE}.querySelectorAll('.cm-line')]"
    line = f"{lines}.find(e => e.textContent.includes('fuse_pool4 = '))"
    place = page.browser.evaluate(f"(r => [r.x + 90, r.y + r.height / 2])({line}.getBoundingClientRect())")
    for kind, button in (("mousePressed", "left"), ("mouseReleased", "left")):
        page.browser._mouse(kind, *place, button)
    page.browser.settle()
    assert 'name: "fuse_pool4"' in page.browser.evaluate(
        f"[...{EDITOR}.querySelectorAll('.cm-linked')].map(e => e.textContent).join()"
    )


def packed(state: object) -> str:
    """A link to what is no net."""
    made = zlib.compressobj(wbits=-15)
    data = made.compress(json.dumps(state).encode()) + made.flush()
    return f"#net={base64.urlsafe_b64encode(data).decode().rstrip('=')}"


def test_a_link_holds_the_net(page, tmp_path):
    page.open_text(tmp_path, SHRINKING, "små.prototxt")
    page.after(lambda: page.browser.enter("#options [name=input]", "50x60"))
    page.browser.click("#link")
    page.until("Boolean(window.copied?.includes('#net='))")
    link = page.browser.evaluate("window.copied")
    assert len(link) < 700
    page.open(SMALL)
    page.after(lambda: page.browser.evaluate(f"location.hash = {json.dumps(link.partition('#')[2])}"))
    assert page.of("#name") == "små.prototxt"
    assert page.text(f"{EDITOR}.querySelector('.cm-content')") == SHRINKING.replace("\n", "")
    assert page.browser.evaluate("document.querySelector('#options [name=input]').value") == "50x60"
    page.browser.evaluate("history.replaceState(null, '', location.pathname)")


@pytest.mark.parametrize(("fragment", "message"), [
    ("#net=AAAA", "The link is damaged: a part of it is missing or has changed."),
    ("#net=a.b", "The link is damaged: it has characters that no such link has."),
    ("#net=" + "A" * 33000, "The link is longer than any that this page makes."),
    (packed({"v": 2, "text": "", "name": ""}), "The link does not hold a net."),
])  # fmt: skip
def test_links_that_are_refused(page, fragment, message):
    before = page.of("#name")
    page.browser.evaluate(f"location.hash = {json.dumps(fragment)}")
    page.until("document.querySelector('#said').textContent.includes('link')")
    page.browser.settle()
    assert page.of("#said") == message
    assert page.of("#name") == before
    page.browser.evaluate(
        "document.querySelector('#said').textContent = '', history.replaceState(null, '', location.pathname)"
    )


def test_a_link_that_unfolds_to_very_much_is_refused(page):
    made = page.browser.evaluate(
        "(async () => { const data = new Blob([JSON.stringify({v: 1, name: 'x', text: ' '.repeat(3e6)})]);"
        " const packed = data.stream().pipeThrough(new CompressionStream('deflate-raw'));"
        " const bytes = new Uint8Array(await new Response(packed).arrayBuffer());"
        " return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''); })()"
    )
    page.browser.evaluate(f"location.hash = '#net={made}'")
    page.until("document.querySelector('#said').textContent.includes('unfolds')")
    assert page.of("#said") == "The link unfolds to more than 2,000,000 bytes: it is not opened."
    page.browser.evaluate("history.replaceState(null, '', location.pathname)")


def test_a_dropped_file_opens(page, tmp_path):
    path = tmp_path / "dropped.prototxt"
    path.write_text(SHRINKING)
    page.after(lambda: page.drop(path))
    assert page.of("#name") == "dropped.prototxt"
    assert page.browser.evaluate("document.querySelector('#shade').hidden")


def test_a_file_that_is_no_text_is_refused_in_words(page, tmp_path):
    before = page.of("#name")
    path = tmp_path / "picture.prototxt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    page.drop(path)
    page.until("document.querySelector('#said').textContent.includes('error')")
    assert page.of("#said").startswith("picture.prototxt:1:1: error[binary-file]: this is a PNG image")
    assert page.of("#name") == before


@pytest.mark.parametrize("name", [EVIL, "a\u202eb\u0007", '"><svg onload=alert(1)>'])
def test_hostile_names_stay_text(page, tmp_path, name):
    page.open_text(tmp_path, named(name), "<img src=x onerror=alert(1)>.prototxt")
    for tab in ("offsets", "cost", "check", "pytorch", "upgrade", "graph"):
        page.tab(tab)
    assert page.count("img, svg, main script") == 0
    assert page.browser.evaluate("document.title.startsWith('<img src=x onerror=alert(1)>.prototxt')")
    assert "\u202e" not in page.of("#right")


def test_line_ends_of_windows_stay(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = SHRINKING.replace("\n", "\r\n").replace('"cut"', '"cüt 🙂"').replace("offset: 3", "offset: 4")
    page.open_text(tmp_path, text)
    assert shown(page) == told(command, "net.prototxt")
    assert page.underlined() == ["4"]
    page.after(lambda: page.browser.click("#fix-all"))
    page.browser.evaluate(
        "(() => { const kept = [URL.createObjectURL, HTMLAnchorElement.prototype.click];"
        " URL.createObjectURL = (blob) => { window.saved = blob; return 'about:blank'; };"
        " HTMLAnchorElement.prototype.click = () => {};"
        " document.querySelector('#save').click();"
        " [URL.createObjectURL, HTMLAnchorElement.prototype.click] = kept; })()"
    )
    assert page.browser.evaluate("window.saved.text()") == text.replace("offset: 4", "offset: 3")


def test_options_are_those_of_the_command_line(page, command):
    name = "voc-fcn8s/train.prototxt"
    page.open(name)
    page.tab("offsets")
    page.after(lambda: page.browser.enter("#options [name=phase]", "TRAIN"))
    page.after(lambda: page.browser.enter("#options [name=crop_offsets]", "inferred"))
    assert page.copied("offsets") == command("offsets", name, "--phase", "train", "--crop-offsets", "inferred")[0]
    page.browser.enter("#options [name=input]", "5 by 5")
    assert page.browser.evaluate(
        "document.querySelector('#options [name=input]').matches(':invalid[aria-invalid=true]')"
    )
    page.after(lambda: page.browser.click("#reset-options"))
    assert page.copied("offsets") == command("offsets", name)[0]


def test_the_report_is_shown_in_a_frame_without_rights(page):
    page.open(SMALL)
    page.tab("graph")
    # One page: that of the net before is gone as soon as this one has loaded.
    page.until(
        "!document.querySelector('#frame iframe.waiting') && document.querySelectorAll('#frame iframe').length === 1"
    )
    assert page.browser.evaluate("document.querySelector('#frame iframe').getAttribute('sandbox')") == "allow-scripts"
    page.tab("layers")
    assert page.browser.evaluate("document.querySelector('#frame iframe').src").endswith("#layers")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(page, scheme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `make site` installs it")
    page.open(FCN8S)
    page.go_to("score_pool4c")
    page.keys(*["ArrowDown"] * 8, "End")
    page.after(lambda: page.type("0"))
    page.browser.scheme(scheme)
    page.browser.evaluate(AXE.read_text())
    for tab in ("offsets", "cost", "check", "pytorch", "upgrade"):
        page.tab(tab)
        faults = page.browser.evaluate(
            "axe.run(document, {resultTypes: ['violations'], iframes: false}).then(found => found.violations"
            ".filter(one => ['serious', 'critical'].includes(one.impact))"
            ".map(one => [one.id, ...one.nodes.map(node => node.html + node.failureSummary)]))"
        )
        assert (tab, faults) == (tab, [])
    page.browser.scheme("light")


def focused(page: Playground) -> str:
    """What has the focus: its words, its label or its name."""
    return str(page.browser.evaluate(
        "(e => { while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"
        " return e.getAttribute('aria-label') || e.name || e.id || e.textContent; })(document.activeElement)"
    ))  # fmt: skip


def test_keyboard_alone(page):
    page.open(FCN8S)
    page.go_to("score_pool4c")
    page.keys(*["ArrowDown"] * 8, "End")
    page.after(lambda: page.type("0"))
    assert focused(page) == "prototxt"
    page.tab("check")
    reached = []
    while (now := focused(page)) != "width of the editor" and len(reached) < 40:
        reached.append(now)
        page.keys("Tab")
    assert "Fix all 3" in reached or "fix-all" in reached
    assert any(words.startswith("Fix: write offset: 5") for words in reached)
    page.keys("ArrowRight")
    assert page.browser.evaluate("document.querySelector('#splitter').ariaValueNow") == "48"
    page.keys("ArrowLeft", "Tab")
    assert focused(page) == "tab-check"
    page.keys("ArrowRight")
    assert focused(page) == "tab-pytorch"
    page.until("!document.querySelector('#panel-pytorch').hasAttribute('aria-busy')")
    page.keys("Home")
    assert page.browser.evaluate("document.querySelector('#tab-offsets').ariaSelected") == "true"
    page.browser.evaluate("document.querySelector('#findings .fix').focus()")
    page.after(lambda: page.keys("Enter"))
    assert page.of("#finding-count") == "2 notes"
    page.browser.evaluate("document.querySelector('#nets').focus()")
    stops = []
    for _ in range(9):
        page.keys("Tab")
        stops.append(focused(page))
    back = ["back"] if page.browser.evaluate("!document.querySelector('#back').hidden") else []  # of a test before
    head = ["open", "link", "phase", "stages", "level", "input", "crop_offsets", *back, "Save the prototxt"]
    assert stops[: len(head)] == head


@pytest.mark.parametrize("width", [400, 1280, 3000])
def test_nothing_is_cut_off(page, width):
    page.open(SMALL)
    page.browser.size(width, 900)
    for tab in ("offsets", "cost", "check", "pytorch", "upgrade", "alignment"):
        page.tab(tab)
        assert page.browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
        cut = page.browser.evaluate(
            "[...document.querySelectorAll('button, select, input, label, h1, h2')].filter(e => e.checkVisibility()"
            " && !e.closest('.scroller') && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.textContent)"
        )
        assert cut == []
    page.browser.size(1280, 900)


def test_a_reload_keeps_the_text(page, tmp_path):
    page.open_text(tmp_path, SHRINKING, "kept.prototxt")
    page.browser.evaluate(f"{EDITOR}.querySelector('.cm-content').focus()")
    page.after(lambda: page.type("# mine\n"))
    page.browser.evaluate("window.before = true")
    page.browser.send("Page.reload")
    page.until(f"!window.before && {ANSWERED}")
    assert page.of("#name") == "kept.prototxt"
    assert page.text(f"{EDITOR}.querySelector('.cm-line')") == "# mine"
    page.browser.evaluate("sessionStorage.clear()")


def test_a_worker_that_cannot_load_is_told_of(page, browser, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(whole_site(), folder, ignore=shutil.ignore_patterns("python.pack", "python.whole"))
    server = serve(folder)
    browser.send("Page.navigate", url=server.url)
    page.until("location.href !== 'about:blank' && document.querySelector('#failure')?.checkVisibility() === true")
    assert page.of("#failure p").startswith("The compiler could not be loaded, or it ended: python.whole: 404")
    assert page.of("#name") == FCN8S
    server.shutdown()
    server.server_close()
    browser.send("Page.navigate", url="about:blank")
    browser.complaints.clear()  # of the missing file
    browser.requests.clear()


def test_without_a_network_after_the_first_visit(browser, tmp_path):
    server = serve(whole_site())
    other = Playground(browser, server.url)
    other.visit()
    other.until("navigator.serviceWorker.getRegistration().then((found) => Boolean(found?.active))")
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused = "document.querySelector('#panel-weights .refused pre').textContent"
    other.drop(tmp_path / "w.h5")
    other.until(f"{refused} !== ''")
    said = other.browser.evaluate(refused)
    server.shutdown()
    server.server_close()
    other.visit("?later")
    other.drop(tmp_path / "w.h5")
    other.until(f"{refused} !== ''")
    assert other.browser.evaluate(refused) == said  # by HDF5's library, which was kept when it was needed
    other.tab("check")
    assert other.of("#name") == FCN8S
    other.open(SMALL)
    assert other.of("#name") == SMALL
    browser.send("Page.navigate", url="about:blank")


def test_a_new_build_is_used_when_no_page_of_the_old_one_is_open(browser, tmp_path):
    """The page that is open goes on with the old files; the next visit has the new ones."""
    folder = tmp_path / "site"
    shutil.copytree(whole_site(), folder)
    server = serve(folder)
    other = Playground(browser, server.url)
    other.visit()
    other.until("navigator.serviceWorker.getRegistration().then((found) => Boolean(found?.active))")
    rebuilt(folder, "another playground")
    browser.evaluate("navigator.serviceWorker.getRegistration().then((found) => { found.update(); return true; })")
    other.until("navigator.serviceWorker.getRegistration().then((found) => Boolean(found.waiting))")
    assert "another" not in other.of("h1")
    for again in range(8):
        browser.send("Page.navigate", url="about:blank")  # no page of it is open
        time.sleep(1)
        other.visit(f"?{again}")
        if "another" in other.of("h1"):
            break
    assert "another playground" in other.of("h1")
    server.shutdown()
    server.server_close()
    other.visit("?without-a-network")
    assert "another playground" in other.of("h1")
    browser.send("Page.navigate", url="about:blank")
    browser.complaints.clear()
    browser.requests.clear()


def rebuilt(folder: Path, words: str) -> None:
    """The site as if its page had other words in its head."""
    page = folder / "index.html"
    page.write_text(
        page.read_text(encoding="utf-8").replace("<span>playground</", f"<span>{words}</", 1), encoding="utf-8"
    )
    lines = (folder / "sw.js").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("const SITE"))
    site = json.loads(line.removeprefix("const SITE = ").removesuffix(";"))
    site["files"]["index.html"] = digest(page.read_bytes())
    site["version"] += "0"
    worker = (folder / "sw.js").read_text(encoding="utf-8").replace(line, f"const SITE = {json.dumps(site)};")
    (folder / "sw.js").write_text(worker, encoding="utf-8")
