"""A page for each error code: what `netcompile explain CODE` prints."""

from __future__ import annotations

from docs.generator.markdown import title
from netcompile.diagnostics.codes import all_codes, explanation


def page(code: str) -> str:
    """The page of a code, with the code under its title; 190 of them are too many for the sidebar of every page."""
    text = explanation(code)
    assert text is not None
    head, _, rest = text.partition("\n")
    return f"---\norphan: true\n---\n\n{head}\n\n`{code}`, of [all codes](index.md)\n{rest}"


def pages() -> dict[str, str]:
    """A page for each code, and the list of them."""
    made = {code: page(code) for code in all_codes()}
    rows = "\n".join(f"| [`{code}`]({code}.md) | {title(text)} |" for code, text in made.items())
    index = f"""# Error codes

Each message has a code in brackets: `net.prototxt:12:3: error[crop-offset]: …`. On a terminal `netcompile explain CODE`
prints these pages.

| code | is about |
|---|---|
{rows}
"""
    return {
        "reference/errors/index.md": index,
        **{f"reference/errors/{code}.md": text for code, text in made.items()},
    }
