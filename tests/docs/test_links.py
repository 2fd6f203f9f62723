"""No dead link: on the pages as they stand in the repository, and on those of the site, generated ones included."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.generator.build import gather
from docs.generator.markdown import anchors, links, prose, title
from docs.generator.pages import parts, place, shown, sources
from tests.conftest import REPOSITORY

PAGES = ["README.md", *sources()]


def dead(path: Path, root: Path) -> list[str]:
    """The links of a page that lead nowhere: no such file below `root`, or no such heading in it."""
    text = path.read_text(encoding="utf-8")
    found = []
    for link in links(text):
        target, _, anchor = link.target.partition("#")
        if re.match(r"https?:", target):
            continue
        there = Path(os.path.normpath(path.parent / target)) if target else path
        if (
            not there.is_relative_to(root)
            or not there.exists()
            or (anchor and anchor not in anchors(there.read_text(encoding="utf-8")))
        ):
            found.append(link.target)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_repository(page: str) -> None:
    assert dead(REPOSITORY / page, REPOSITORY) == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("docs-source")
    return folder, gather(folder)


def test_links_of_the_site(site: tuple[Path, list[str]]) -> None:
    folder, pages = site
    assert {page: found for page in pages if (found := dead(folder / page, folder))} == {}
    assert len(pages) > 70


def test_every_page_of_the_site_is_in_a_table_of_contents(site: tuple[Path, list[str]]) -> None:
    """Which Sphinx would say too, where it is installed."""
    folder, pages = site
    listed = {"index.md"}
    for page in pages:
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", (folder / page).read_text("utf-8"), re.M | re.S):
            for entry in tree.splitlines():
                if entry and not entry.startswith(":"):
                    name = re.sub(r"^.*<(.+)>$", r"\1", entry).removesuffix(".md")
                    listed.add(os.path.normpath(os.path.join(os.path.dirname(page), f"{name}.md")))
    orphans = {page for page in pages if (folder / page).read_text("utf-8").startswith("---\norphan: true\n---\n")}
    assert listed == set(pages) - orphans
    assert all(page.startswith("reference/errors/") for page in orphans)


def test_every_page_is_in_the_start_page() -> None:
    written = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")}
    assert written == {page for page in sources() if page.startswith("docs/")}
    assert [part.name for part in parts()][:2] == ["Start", "How to"]


def test_the_readme_leads_to_the_start_page() -> None:
    assert "docs/README.md" in {link.target for link in links((REPOSITORY / "README.md").read_text(encoding="utf-8"))}


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title, `code` and [a link](x)\n## Twice\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-title-code-and-a-link) [b](other.md#twice-1) [c](other.md#thrice) [d](absent.md) `[e](f)`\n"
        "```\n[g](h)\n```\n[![i](j.png)](other.md) [k](#l) [m](../out.md) [n](https://host/)\n"
    )
    assert dead(page, tmp_path) == ["other.md#thrice", "absent.md", "j.png", "#l", "../out.md"]


def test_what_a_reader_sees() -> None:
    text = "<!-- not run: no reason -->\n\n```python\n>>> f()\n<BLANKLINE>\n1\n\n```\n"
    assert shown(text) == "```python\n>>> f()\n\n1\n```\n"
    assert title("text\n# One `two`\n# Three\n") == "One `two`"
    assert prose("a `b` c\n```\nd\n```\n") == "a     c\n   \n \n   \n"
    assert place("docs/README.md") == "index.md"
    assert place("weights/manifest.toml") == "files/manifest.toml"
