"""The playground in a browser, used as a person uses it: nets opened from the menu, tabs chosen, texts copied."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.chromium import Chromium

PATIENCE = 180  # seconds: Python alone takes many of them to load where the machine is busy
EDITOR = "document.querySelector('#editor').shadowRoot"
MODULE = "document.querySelector('#module').shadowRoot"
PANEL = "document.querySelector('[role=tabpanel]:not([hidden])')"
ANSWERED = "document.readyState === 'complete' && Number(document.body.dataset.version) > 0"
NO_CLIPBOARD = (
    "Object.defineProperty(navigator.clipboard, 'writeText',"
    " {configurable: true, value: (text) => { window.copied = text; return Promise.resolve(); }})"
)


class Playground:
    """The page at an address. `requests` has what the page and its workers asked for, from wherever."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser, self.url = browser, url
        self.python = ""  # the session of the worker that runs Python
        browser.size(1280, 900)
        browser.scheme("light")
        self.listen(from_the_start=True)

    def listen(self, from_the_start: bool) -> None:
        """To the page's workers as well, if need be before they do anything."""
        self.browser.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=from_the_start, flatten=True)

    def visit(self, fragment: str = "") -> None:
        """Load the page anew, and wait until it has said what there is to say of its first net."""
        browser = self.browser
        browser.send("Page.navigate", url="about:blank")
        browser.requests.clear()
        browser.complaints.clear()
        browser.attached.clear()
        browser.send("Page.navigate", url=self.url + fragment)
        self.until(f"location.href !== 'about:blank' && {ANSWERED}")
        browser.evaluate(NO_CLIPBOARD)
        self.listen(from_the_start=False)  # a service worker that waits would keep the next visit waiting

    def until(self, condition: str, patience: float = PATIENCE) -> None:
        """Wait for a condition of the page; workers that began meanwhile are let go, and listened to."""
        end = time.monotonic() + patience
        while not self.browser.evaluate(condition):
            self.watch()
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def watch(self) -> None:
        """Workers wait until they are listened to; they answer nothing before."""
        while self.browser.attached:
            worker, address = self.browser.attached.pop(0)
            if address == f"{self.url}worker.js":
                self.python = worker
            for method in ("Network.enable", "Runtime.runIfWaitingForDebugger"):
                self.browser.post(method, worker, {})

    def hang(self) -> None:
        """Python's worker answers nothing for a minute, as if what it is asked for never ended.

        Not for ever: Chromium goes on with a loop of a worker that the page has ended.
        """
        self.watch()
        expression = "for (const end = Date.now() + 60000; Date.now() < end; );"
        self.browser.post("Runtime.evaluate", self.python, {"expression": expression})

    @property
    def version(self) -> int:
        return int(self.browser.evaluate("Number(document.body.dataset.version || 0)"))

    def after(self, action: Callable[[], Any]) -> None:
        """Do something that changes the net, and wait for the answers about it."""
        before = self.version
        action()
        self.until(f"Number(document.body.dataset.version) > {before}")

    def open(self, name: str) -> None:
        """A bundled net, from the menu."""
        self.after(lambda: self.browser.enter("#nets", name))

    def open_file(self, path: Path) -> None:
        """A file, by the dialog."""
        browser = self.browser
        root = browser.send("DOM.getDocument")["root"]["nodeId"]
        node = browser.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.after(lambda: browser.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)]))

    def drop(self, path: Path) -> None:
        """A file, dropped on the page."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.browser.send("Input.dispatchDragEvent", type=kind, x=300, y=400, data=data)

    def open_text(self, folder: Path, text: str, name: str = "net.prototxt") -> None:
        path = folder / name
        path.write_text(text, encoding="utf-8", newline="")
        self.open_file(path)

    def tab(self, name: str) -> None:
        """Choose a tab and wait for what it shows."""
        self.browser.evaluate(f"document.querySelector('#tab-{name}').click()")
        self.until(f"!{PANEL}.hasAttribute('aria-busy')")

    def copied(self, what: str) -> str:
        """What a tab's button copies; why there is nothing, where that is so."""
        refused = f"{PANEL}.querySelector('.refused:not([hidden]) pre')"
        if self.browser.evaluate(f"Boolean({refused})"):
            return self.text(refused)
        self.browser.evaluate(f"window.copied = null, document.querySelector('[data-copy={what}]').click()")
        return str(self.browser.evaluate("window.copied"))

    def text(self, element: str) -> str:
        return str(self.browser.evaluate(f"{element}.textContent"))

    def of(self, selector: str) -> str:
        return self.text(f"document.querySelector({json.dumps(selector)})")

    def count(self, selector: str) -> int:
        return int(self.browser.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def underlined(self) -> list[str]:
        """The words that are underlined as wrong, as far as they are in view."""
        return list(
            self.browser.evaluate(f"[...{EDITOR}.querySelectorAll('.cm-lintRange-error')].map(e => e.textContent)")
        )

    def go_to(self, layer: str) -> None:
        """Put the cursor into a layer's first line, by the table of costs."""
        self.tab("cost")
        self.browser.evaluate(
            f"[...document.querySelectorAll('.cost .name')].find(e => e.textContent === {json.dumps(layer)}).click()"
        )
        self.browser.settle()

    def keys(self, *names: str) -> None:
        for name in names:
            self.browser.press(name)

    def type(self, text: str) -> None:
        self.browser.send("Input.insertText", text=text)
