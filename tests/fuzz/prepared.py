"""`netcompile train` as far as its first batch: everything is read and checked, nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest.mock import patch

from netcompile.runtime.processes import leave
from netcompile.train.loop import Training


def prepared() -> AbstractContextManager[object]:
    """While entered, `train` prepares and stops."""
    return patch("netcompile.train.session.train", _prepare)


def _prepare(prepare: Callable[[], Training], out: str, resume: str | None = None) -> bool:
    try:
        training = prepare()
        if resume is not None:
            training.resume(resume)
        training.batches.batch(0)
        return True
    finally:
        leave()
