"""The net and the images that `runtime`'s tests have."""

from __future__ import annotations

from tests.runtime.conftest import images, netcompile, one_thread, pixels, voc

__all__ = ["images", "netcompile", "one_thread", "pixels", "voc"]
