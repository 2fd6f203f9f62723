"""What each code of a finding means: one page a code, ``netcompile/diagnostics/pages/CODE.md``, read when asked for.

To add a code, add its page: a title line, a paragraph, an example (a block of ``prototxt``) that gives the finding
where one is possible, a remedy. A test goes through the sources for codes without a page: it sees the first
argument of ``Diagnostic(``, ``refuse(`` and ``report(``, and ``code="…"``.
"""

from __future__ import annotations

import os
import re

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")


def explanation(code: str) -> str | None:
    """The page of a code, as Markdown; None for a code that there is not."""
    if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) is None:
        return None
    try:
        with open(os.path.join(_FOLDER, f"{code}.md"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def all_codes() -> tuple[str, ...]:
    """All codes that have a page, sorted."""
    return tuple(sorted(name[:-3] for name in os.listdir(_FOLDER) if name.endswith(".md")))
