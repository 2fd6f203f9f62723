"""Self-contained HTML pages with pictures: no network, no script, everything escaped, the report's own style."""

from __future__ import annotations

import os
from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from netcompile.report.page import STYLE, hash_source, read, render

Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")


def page(template: str, **values: Any) -> str:
    """A page of `templates/`. Pictures are let in as data alone, the style by its hash, everything else is shut out."""
    style = read(STYLE, os.path.join(FOLDER, "page.css"))
    policy = f"default-src 'none'; style-src {hash_source(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    return render(os.path.join(FOLDER, template), style, policy, **values)


def picture(pixels: Array, palette: Array | None = None) -> str:
    """An image of H×W labels or H×W×3 bytes as a data URI: PNG, JPEG for photographs above some size."""

    image, buffer = Image.fromarray(pixels), BytesIO()
    if palette is not None:
        image.putpalette(palette.tobytes())
    kind = "jpeg" if palette is None and pixels.ndim == 3 and pixels.size > 30_000 else "png"
    image.save(buffer, kind.upper(), **({"quality": 85} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"
