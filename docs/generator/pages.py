"""The pages that people write, as the site has them: which there are, in which order, and where their links lead.

docs/README.md is the start page and the table of contents: a section of it is a part of the site, a link in a line of
its lists is a page. Links lead from file to file of the repository, as on any forge; on the site those to a page lead
to that page, those to a notebook to what `notebooks` makes of it, and those to another file to a copy of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from docs.generator import notebooks
from docs.generator.markdown import links

REPOSITORY = Path(__file__).resolve().parent.parent.parent
START = "docs/README.md"

# Pages outside docs/, or that are the README of a folder, and what they are called on the site.
RENAMED = {
    START: "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "docs/decisions/README.md": "decisions.md",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the site: its name and its pages, as paths of the repository."""

    name: str
    pages: tuple[str, ...]


def parts() -> list[Part]:
    """The sections of the start page that list pages."""
    text = (REPOSITORY / START).read_text(encoding="utf-8")
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name = section.split("\n", 1)[0].strip()
        lines = re.findall(r"^- \[[^\]]+\]\(([^)#]+)\)", section, re.MULTILINE)
        if lines:
            found.append(Part(name, tuple(os.path.normpath(f"docs/{target}") for target in lines)))
    return found


def sources() -> list[str]:
    """Every page that people write, the start page first."""
    return [START, *(page for part in parts() for page in part.pages if page.endswith(".md"))]


def place(path: str) -> str:
    """Where the site's sources have a file of the repository."""
    if path in RENAMED:
        return RENAMED[path]
    if path == "examples":
        return notebooks.INDEX
    if path.endswith(".ipynb"):
        return notebooks.page(path)
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"files/{Path(path).name}"


def rewritten(path: str, text: str) -> tuple[str, set[str]]:
    """A page with its links as the site has them, and the files besides pages that they lead to."""
    folder, here = os.path.dirname(path), os.path.dirname(place(path))
    pages, files, shift = set(sources()), set(), 0
    for link in links(text):
        target, mark, anchor = link.target.partition("#")
        if not target or re.match(r"[a-z]+:", target):
            continue
        found = os.path.normpath(os.path.join(folder, target))
        if found not in pages and not found.startswith("examples"):
            files.add(found)
        new = os.path.relpath(place(found), here or ".") + mark + anchor
        text = text[: link.start + shift] + new + text[link.end + shift :]
        shift += len(new) - (link.end - link.start)
    return text, files


def shown(text: str) -> str:
    """A page as a reader should see it: without what only doctest reads, and without comments for the tests."""
    text = re.sub(r"^<!-- (?:not run|file|part of the output|\w+: \w)[^\n]*-->\n+(?=```)", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n+^```$", "\n```", text, flags=re.MULTILINE)
    return re.sub(r"^<BLANKLINE>$", "", text, flags=re.MULTILINE)
