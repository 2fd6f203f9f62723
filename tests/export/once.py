"""torch's table of ONNX functions, made once: torch makes it anew for every file, which takes most of a small one's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from netcompile.export import onnx_file


@cache
def _share_the_table() -> None:
    """Every file gets a copy of its own. Where a release of torch keeps the table elsewhere, nothing is shared."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        make: Callable[..., Any] = ONNXRegistry.from_torchlib
    except (ImportError, AttributeError):
        return
    made: dict[str, Any] = {}

    def from_torchlib(*arguments: Any, **options: Any) -> Any:
        key = repr((arguments, options))
        if key not in made:
            made[key] = make(*arguments, **options)
        found = copy.copy(made[key])
        found.functions = {target: [*functions] for target, functions in made[key].functions.items()}
        return found

    ONNXRegistry.from_torchlib = staticmethod(from_torchlib)


@contextmanager
def shared_table() -> Iterator[None]:
    """Meanwhile files are written with it; torch is imported by the first that is."""
    write = onnx_file.onnx_program

    def written(*arguments: Any, **options: Any) -> Any:
        _share_the_table()
        return write(*arguments, **options)

    onnx_file.onnx_program = written
    yield
    onnx_file.onnx_program = write
