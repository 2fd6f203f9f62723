"""Self-contained HTML pages: a template, a style and perhaps a script, let in by their hashes; everything escaped."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from netcompile.version import __version__

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
STYLE = os.path.join(FOLDER, "page.css")  # what all pages share


def read(*paths: str) -> str:
    """Files of this package, one after the other: styles, parts of a script."""
    parts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            parts.append(file.read())
    return "".join(parts)


def hash_source(text: str) -> str:
    """How a Content-Security-Policy lets in an inline style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def render(
    template: str, style: str, policy: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """The page of a template file, the same text for the same values.

    `style` and `policy` (a Content-Security-Policy, from which everything not named is shut out) are put in as they
    are; of `values` only what is `markupsafe.Markup` is.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder, name = os.path.split(template)
    environment = Environment(
        loader=FileSystemLoader(folder, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    text = environment.get_template(name).render(style=Markup(style), policy=policy, tool=__version__, **values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"
