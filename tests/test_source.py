"""docs/source.md: the source that it shows is what `netcompile build` writes.

A listing stands below a comment that says what it shows: ``<!-- googlenet: Inception Googlenet.__init__ -->``, or
``Googlenet.forward:8`` for a method's first eight lines. ``python -m tests.test_source`` writes the listings anew from
tests/emit/expected, which is held to what `build` writes.
"""

from __future__ import annotations

import ast
import re
import sys

from tests.conftest import REPOSITORY
from tests.emit.snapshots import FOLDER

DOCUMENT = REPOSITORY / "docs" / "source.md"
LISTING = re.compile(r"(<!-- (\w+): ([^>]+) -->\n\n```python\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)


def listing(net: str, names: list[str]) -> str:
    """These classes and methods of a net's module in this order; the first line of a method's class stands above it."""
    text = (FOLDER / f"{net}.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    classes = {each.name: each for each in ast.parse(text).body if isinstance(each, ast.ClassDef)}
    parts: list[str] = []
    before = ""
    for name in names:
        owner, _, method = name.partition(".")
        method, _, count = method.partition(":")
        shown: ast.stmt = classes[owner]
        if method:
            (shown,) = (e for e in classes[owner].body if isinstance(e, ast.FunctionDef) and e.name == method)
        found = lines[shown.lineno - 1 : shown.end_lineno]
        if count:
            found = [*found[: int(count)], "        ..."]
        if method and owner != before:
            found = [lines[classes[owner].lineno - 1], *found]
        parts += ["" if owner == before else "\n"] * bool(parts) + found
        before = owner
    return "\n".join(parts) + "\n"


def written(text: str) -> str:
    """The page with its listings as they have to be."""
    return LISTING.sub(lambda found: found[1] + listing(found[2], found[3].split()), text)


def test_listings_are_what_is_written() -> None:
    """After a change of the modules that is meant: ``python -m tests.test_source``."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [found[2] for found in LISTING.finditer(text)] == ["resnet_50", "googlenet", "squeezenet_v1_1"]
    assert len(re.findall(r"^```python\n(?!>>> )", text, re.MULTILINE)) == 3, "a listing without the comment above it"
    assert text == written(text)


def test_a_listing() -> None:
    assert listing("squeezenet_v1_1", ["Fire.__init__:1", "Fire.forward:1"]) == (
        "class Fire(nn.Module):\n"
        "    def __init__(self, channels: int, squeeze1x1: int, expand1x1: int) -> None:\n"
        "        ...\n"
        "\n"
        "    def forward(self, x: Tensor) -> Tensor:\n"
        "        ...\n"
    )


def main() -> int:
    """Write the listings anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(written(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
