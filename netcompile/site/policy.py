"""What the page may do: its content security policy. No request leaves the place that it came from."""

from __future__ import annotations

from netcompile.report.as_html import STYLES, page_script
from netcompile.report.page import hash_source, read


def policy() -> str:
    """The policy of the page; the report, which is shown in a frame without rights, brings one script and one style.

    The editor makes its styles as objects. WebAssembly is compiled, no text is run as a script.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' {hash_source(page_script())}",
            f"style-src 'self' {hash_source(read(*STYLES))}",
            "img-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self'",
            "frame-src blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
