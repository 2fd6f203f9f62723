"""Self-contained HTML pages with pictures: no network, no script, everything escaped, the report's own style."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from netcompile.report.as_html import FOLDER as REPORT
from netcompile.version import __version__

Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")


def page(template: str, **values: Any) -> str:
    """A page of `templates/`. Pictures are let in as data alone, the style by its hash, everything else is shut out."""

    environment = Environment(
        loader=FileSystemLoader(FOLDER, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join(_text(os.path.join(folder, "page.css")) for folder in (REPORT, FOLDER))
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    text = environment.get_template(template).render(
        style=Markup(style),
        policy=policy,
        tool=__version__,
        **values,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def picture(pixels: Array, palette: Array | None = None) -> str:
    """An image of H×W labels or H×W×3 bytes as a data URI: PNG, JPEG for photographs above some size."""

    image, buffer = Image.fromarray(pixels), BytesIO()
    if palette is not None:
        image.putpalette(palette.tobytes())
    kind = "jpeg" if palette is None and pixels.ndim == 3 and pixels.size > 30_000 else "png"
    image.save(buffer, kind.upper(), **({"quality": 85} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"
