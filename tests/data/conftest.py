"""What `runtime`'s and `train`'s tests have."""

from __future__ import annotations

from tests.runtime.conftest import netcompile, pixels
from tests.train.conftest import begin, folder

__all__ = ["begin", "folder", "netcompile", "pixels"]
