"""The pages of all error codes, what `netcompile explain CODE` prints, by their first letter."""

from __future__ import annotations

from itertools import groupby

from docs.generator.markdown import title
from netcompile.diagnostics.codes import all_codes, explanation


def text_of(code: str) -> str:
    """The page of a code."""
    text = explanation(code)
    assert text is not None
    return text


def section(code: str) -> str:
    """The page of a code as a section that is called by the code, so that a link can name it."""
    text = text_of(code)
    return f"## {code}\n\n**{title(text)}.** {text.partition(chr(10))[2].lstrip()}"


def place(code: str) -> str:
    """The page that has a code, and where on it."""
    return f"{code[0]}.md#{code}"


def pages() -> dict[str, str]:
    """A page for each first letter, and the list of all codes. 190 pages more would take most of the time."""
    rows = "\n".join(f"| [`{code}`]({place(code)}) | {title(text_of(code))} |" for code in all_codes())
    index = f"""# Error codes

Each message has a code in brackets: `net.prototxt:12:3: error[crop-offset]: …`. On a terminal `netcompile explain CODE`
prints what it means; here is the same.

| code | is about |
|---|---|
{rows}
"""
    made = {"reference/errors/index.md": index}
    for letter, codes in groupby(all_codes(), key=lambda code: code[0]):
        sections = "\n".join(section(code) for code in codes)
        made[f"reference/errors/{letter}.md"] = (
            f"---\norphan: true\n---\n\n# Error codes with {letter}\n\nOf [all codes](index.md).\n\n{sections}"
        )
    return made
