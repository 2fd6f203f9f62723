"""The notebooks of examples/ as pages: their text, and their cells as blocks."""

from __future__ import annotations

import json
from pathlib import Path

INDEX = "examples/index.md"


def page(path: str) -> str:
    """Where the site's sources have a notebook."""
    return f"examples/{Path(path).stem}.md"


def as_markdown(path: Path) -> str:
    """A notebook's cells one below the other."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"]).strip("\n")
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def pages(folder: Path) -> dict[str, str]:
    """A page for each notebook, and one that lists them."""
    made = {page(str(path)): as_markdown(path) for path in sorted(folder.glob("*.ipynb"))}
    stems = "".join(f"{Path(name).stem}\n" for name in made)
    head = "# Notebooks\n\nThe folder `examples/` of the repository has them, to be run.\n\n"
    return {INDEX: f"{head}```{{toctree}}\n{stems}```\n", **made}
