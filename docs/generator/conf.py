"""What Sphinx is told. The pages are those of build/docs-source, which `build` has written before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pygments.lexer import RegexLexer, words
from pygments.token import Comment, Keyword, Name, Number, Punctuation, String, Whitespace

from netcompile.version import __version__

HERE = Path(__file__).resolve().parent

project = "netcompile"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["files/**"]
needs_sphinx = "9"
smartquotes = False  # code in prose stays code
default_role = "code"  # of docstrings, which are written for a terminal
nitpicky = False  # annotations name types of torch and NumPy, whose pages are on other hosts

myst_heading_anchors = 4  # as a forge makes them, so that a link works there and here
myst_enable_extensions: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
add_module_names = False

html_theme = "furo"
html_title = "netcompile"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch every page that was found, which files on a disk do not allow
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5f8a", "color-brand-content": "#1d5f8a"},
    "dark_css_variables": {"color-brand-primary": "#7cc4f0", "color-brand-content": "#7cc4f0"},
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


class PrototxtLexer(RegexLexer):
    """Protobuf's text format."""

    name = "prototxt"
    aliases = ("prototxt",)
    tokens = {  # noqa: RUF012 (as Pygments wants it)
        "root": [
            (r"\s+", Whitespace),
            (r"#.*?$", Comment.Single),
            (r'"(\\.|[^"\\\n])*"?|\'(\\.|[^\'\\\n])*\'?', String),
            (r"(\w+)(\s*)(:)", lambda lexer, found: _field(found)),
            (words(("true", "false"), suffix=r"\b"), Keyword.Constant),
            (r"-?(0x[0-9a-fA-F]+|\d*\.?\d+([eE][-+]?\d+)?f?)", Number),
            (r"\w+(?=\s*\{)", Name.Class),
            (r"\w+", Name.Constant),
            (r".", Punctuation),
        ]
    }


def _field(found: Any) -> Any:
    yield found.start(1), Name.Attribute, found[1]
    yield found.start(2), Whitespace, found[2]
    yield found.start(3), Punctuation, found[3]


def setup(app: Any) -> None:
    """The lexer, and the diagrams' scripts where a page has diagrams."""
    app.add_lexer("prototxt", PrototxtLexer)
    app.connect("html-page-context", _scripts)


def _scripts(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if 'class="alignment"' in context.get("body", ""):
        for script in ("alignment.js", "diagrams.js"):
            app.add_js_file(script, loading_method="defer")
