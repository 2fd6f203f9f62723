"""Self-contained HTML pages: a template, its style and perhaps a script, let in by their hashes; everything escaped."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from netcompile.diagnostics.visible import visible
from netcompile.files.look import about
from netcompile.version import __version__

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
PICTURES = ("page.css", "pictures.css"), "img-src data:"  # style and permission of pages with pictures


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a card as a URI that holds it, what stands below it, and what it shows for who cannot see it."""

    caption: str
    uri: str
    alt: str


@dataclass(frozen=True, slots=True)
class Card:
    """One entry of a gallery: pictures under a title and a line; `legend` says which colour is what."""

    title: str
    note: str
    pictures: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...] = ()


def read(*names: str) -> str:
    """Files of `templates`, one after the other: styles, parts of a script."""
    parts = []
    for name in names:
        path = os.path.join(FOLDER, name)
        with about(path), open(path, encoding="utf-8") as file:
            parts.append(file.read())
    return "".join(parts)


def hash_source(text: str) -> str:
    """How a Content-Security-Policy lets in an inline style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _shown(value: Any) -> Any:
    """What a template puts in: of a file's text, characters that do not show as escapes, lest they turn it around."""
    return value if isinstance(value, Markup) else visible(str(value))


def page(
    template: str,
    styles: Sequence[str],
    allowed: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: Any,
) -> str:
    """The page of a template, the same text for the same values: no network, no script but what is `allowed`.

    `styles` are style sheets of `templates`; `allowed` is what the page's Content-Security-Policy lets in besides them.
    `filters` and `values` are for the template; a value is put in without escaping only if it is `markupsafe.Markup`.
    """
    style = read(*styles)
    policy = f"default-src 'none'; style-src {hash_source(style)}; {allowed}; base-uri 'none'; form-action 'none'"
    return fragment(template, filters, style=Markup(style), policy=policy, tool=__version__, **values)


def fragment(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """What a template makes of the values, escaped as in a page: a part to be put into another page."""
    environment = _environment(tuple((filters or {}).items()))
    text: str = environment.get_template(template).render(**values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


@cache
def _environment(filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Any:
    """What renders templates; it keeps them, so that a second page takes a fifth of the time."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment
