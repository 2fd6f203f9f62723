"""``make pictures``: the pictures of README.md, from what the demo made: a sheet of results, and the report page as a
browser shows it.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     keep(Image.new("RGB", (8, 6), "white"), Path(folder, "white.webp"))
white.webp: 8×6, 0 kB
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser.chromium import Chromium, find
from tests.conftest import REPOSITORY

PICTURES = REPOSITORY / "docs" / "pictures"
VIEW = (1200, 1000)  # pixels of the page


def keep(image: Image.Image, path: Path) -> None:
    image.save(path, quality=85, method=6)
    print(f"{path.name}: {image.width}×{image.height}, {path.stat().st_size // 1000} kB")


def main(made: Path) -> int:
    program = find()
    if program is None:
        print("there is no Chromium: `make setup-browser` installs Debian's", file=sys.stderr)
        return 1
    with Image.open(made / "results.png") as sheet:
        keep(sheet.convert("RGB"), PICTURES / "results.webp")
    browser = Chromium(program, *VIEW)
    try:
        browser.scheme("light")
        browser.open((made / "voc-fcn8s" / "report.html").resolve())
        with tempfile.TemporaryDirectory() as folder:
            browser.screenshot(Path(folder, "page.png"))
            with Image.open(Path(folder, "page.png")) as page:
                keep(page.convert("RGB"), PICTURES / "report.webp")
    finally:
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path("demo-out")))
