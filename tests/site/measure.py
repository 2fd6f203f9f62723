"""`python -m tests.site.measure` opens the built site in Chromium and says what it loads and how long it takes.

For a cold and a warm start: when in that time what was done. Then what edits take, with several tabs open.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from netcompile.site.serve import Handler, Server
from tests.browser.chromium import Chromium, find
from tests.conftest import REPOSITORY

ANSWERED = "Number(document.body.dataset.version || 0)"
MARKS = "performance.getEntriesByType('mark').map((mark) => [mark.startTime, mark.name])"


class Counted(Handler):
    """Counts what is sent."""

    sent = 0

    def setup(self) -> None:
        super().setup()
        write = self.wfile.write

        def counted(data: bytes) -> int:
            Counted.sent += len(data)
            return write(data)

        self.wfile.write = counted


def served(folder: str) -> Server:
    """A server of the site in a thread of its own, which counts bytes."""
    server = Server(folder, 0, lambda line: None)
    server.RequestHandlerClass = Counted
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def until(browser: Chromium, condition: str, patience: float = 120) -> float:
    """The seconds until a condition holds in the page."""
    began = time.monotonic()
    while not browser.evaluate(condition):
        if time.monotonic() - began > patience:
            raise TimeoutError(condition)
        time.sleep(0.01)
    return time.monotonic() - began


def navigate(browser: Chromium, url: str) -> float:
    """The seconds until the page has its first answer."""
    began = time.monotonic()
    browser.send("Page.navigate", url=url)
    until(browser, f"document.readyState === 'complete' && {ANSWERED} > 0")
    return time.monotonic() - began


def main(folder: str, pictures: str = "") -> None:
    program = find()
    assert program, "there is no Chromium"
    server, browser = served(folder), Chromium(program)
    try:
        print(f"cold: {navigate(browser, server.url):.1f} s to the first answer, {Counted.sent / 1e6:.1f} MB sent")
        marks(browser)
        if pictures:
            browser.screenshot(Path(pictures, "first.png"))
        time.sleep(5)
        print(f"a while later: {Counted.sent / 1e6:.1f} MB sent")
        Counted.sent = 0
        print(f"warm: {navigate(browser, server.url + '?again'):.1f} s, {Counted.sent / 1e6:.1f} MB sent")
        marks(browser)
        print("complaints:", browser.complaints)
        for name in ("voc-fcn8s/val.prototxt", "resnet-152/deploy.prototxt"):
            for tab in ("offsets", "graph", "pytorch"):
                browser.click(f"#tab-{tab}")
                edits(browser, name, tab)
    finally:
        browser.close()
        server.shutdown()


def marks(browser: Chromium) -> None:
    """When what was done, in seconds since the page was asked for."""
    for time_taken, name in sorted(browser.evaluate(MARKS)):
        print(f"  {time_taken / 1000:6.2f} s  {name}")


def edits(browser: Chromium, name: str, tab: str) -> None:
    """What the page says that an edit takes, from the request to the answers shown."""
    version = browser.evaluate(ANSWERED)
    browser.enter("#nets", name)
    until(browser, f"{ANSWERED} > {version}")
    took = []
    for number in range(6):
        version = browser.evaluate(ANSWERED)
        browser.evaluate("document.querySelector('#editor').shadowRoot.querySelector('.cm-content').focus()")
        browser.send("Input.insertText", text=f"#{number}\n")
        until(browser, f"{ANSWERED} > {version}")
        took.append(browser.evaluate("document.body.dataset.took"))
    print(f"{name}, {tab}: edits took {', '.join(took)} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(REPOSITORY / "site"), *sys.argv[2:3])
