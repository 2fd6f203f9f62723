"""A headless Chromium, spoken to over a pipe: the DevTools protocol with nothing but the standard library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def find() -> str | None:
    """The browser, or None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


class Chromium:
    """One browser with one page. Everything that the page asks the network for is in `requests`, what it complains
    about in `complaints`: console errors and warnings, uncaught exceptions, breaches of its policy."""

    def __init__(self, program: str, width: int = 1280, height: int = 900) -> None:
        self.profile = tempfile.mkdtemp(prefix="netcompile-browser-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        command = [program, *SWITCHES, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]
        quiet = os.open(os.devnull, os.O_RDWR)
        # dup2 to high numbers first, so that neither end can be overwritten by the other's place
        spare = [os.dup2(fd, 60 + i) for i, fd in enumerate((to_browser, from_browser))]
        actions = [(os.POSIX_SPAWN_DUP2, quiet, fd) for fd in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in zip(spare, (3, 4), strict=True)]
        self.process = os.posix_spawn(program, command, os.environ, file_actions=actions, setpgroup=0)
        for fd in (to_browser, from_browser, quiet, *spare):
            os.close(fd)
        self.numbers = itertools.count(1)
        self.buffer = b""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.attached: list[tuple[str, str]] = []  # the page's workers, where somebody wants to know: session, address
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = ""
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.size(width, height)

    session = ""

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; events that come in between are noted."""
        number = self.post(method, self.session, parameters)
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def post(self, method: str, session: str, parameters: dict[str, Any]) -> int:
        """One command, whose answer is not waited for; its number."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_end, data) :]
        return number

    def receive(self, patience: float = 60) -> dict[str, Any]:
        end = time.monotonic() + patience
        while b"\0" not in self.buffer:
            if not select.select([self.read_end], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self.read_end, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser has gone")
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        self.note(message.get("method", ""), message.get("params", {}))
        return message

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Target.attachedToTarget":
            self.attached.append((parameters["sessionId"], parameters["targetInfo"]["url"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([arg.get("value", arg.get("description")) for arg in parameters["args"]]))
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])

    def open(self, path: Path) -> None:
        """Load a file and wait until its scripts have run."""
        self.requests.clear()
        self.complaints.clear()
        self.send("Page.navigate", url=path.as_uri())
        while self.receive().get("method") != "Page.loadEventFired":
            pass
        self.settle()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def settle(self) -> None:
        """Until two frames have been drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def enter(self, selector: str, value: object) -> None:
        """Put a value into a field or a slider, as a person would, and wait until the page has followed."""
        self.evaluate(
            f"(e => {{ e.value = {json.dumps(str(value))};"
            " for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true})); })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        self.settle()

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of the first element that fits."""
        place = (
            f"(e => {{ e.scrollIntoView({{block: 'center', inline: 'center'}}); const r = e.getBoundingClientRect();"
            f" return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        )
        self._mouse("mouseMoved", *self.evaluate(place), "none")
        self.settle()  # what the pointer passes over may change what is shown
        x, y = self.evaluate(place)
        for kind, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
            self._mouse(kind, x, y, button)
        self.settle()

    def _mouse(self, kind: str, x: float, y: float, button: str) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=int(button != "none"))

    def press(self, key: str) -> None:
        """A key: "Tab", "ArrowDown", "Enter"…"""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36}
        codes |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"Enter": "\r", " ": " "}.get(key)
        extra = {"text": text} if text else {}
        code = codes[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **extra)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)
        self.settle()

    def scheme(self, name: str) -> None:
        """Prefer a "light" or a "dark" page."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def size(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A PNG of what is in view, or of the whole page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End the browser and all that it started, and remove its profile."""
        with suppress(RuntimeError, TimeoutError, OSError):
            self.session = ""
            self.send("Browser.close")
        os.close(self.write_end)
        os.close(self.read_end)
        end = time.monotonic() + 10
        while os.waitpid(self.process, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
                break
            time.sleep(0.05)
        shutil.rmtree(self.profile, ignore_errors=True)
