"""Tables of torch's, made once: torch makes them anew for every ONNX file, which takes most of a small one's time."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from netcompile.export import onnx_file


@cache
def _share_the_tables() -> None:
    """Every file gets copies of its own. Where a release of torch keeps a table elsewhere, it is not shared."""
    for share in (_share_functions, _share_decompositions, _share_operators):
        try:
            share()
        except (ImportError, AttributeError):
            continue


def _share_functions() -> None:
    """The ONNX functions of torch's operators."""
    from torch.onnx._internal.exporter import _registration

    registry: Any = _registration.ONNXRegistry
    make: Callable[..., Any] = registry.from_torchlib
    made: dict[str, Any] = {}

    def from_torchlib(*arguments: Any, **options: Any) -> Any:
        key = repr((arguments, options))
        if key not in made:
            made[key] = make(*arguments, **options)
        found = copy.copy(made[key])
        found.functions = {target: [*functions] for target, functions in made[key].functions.items()}
        return found

    registry.from_torchlib = staticmethod(from_torchlib)


def _share_decompositions() -> None:
    """What operators are taken apart into that have no ONNX function, for each set of those that have one."""
    from torch.onnx._internal.exporter import _decomp

    module: Any = _decomp
    made = cache(module.create_onnx_friendly_decomposition_table)
    module.create_onnx_friendly_decomposition_table = lambda known: dict(made(frozenset(known)))


def _share_operators() -> None:
    """Which operators torch's dispatcher can take apart."""
    from torch._export import utils

    name = "_collect_all_valid_cia_ops"
    collect: Callable[[], Any] = getattr(utils, name)
    shared = cache(collect)
    for module in [each for path, each in sys.modules.items() if path.startswith("torch.")]:
        if vars(module).get(name) is collect:
            setattr(module, name, shared)


@contextmanager
def shared_tables() -> Iterator[None]:
    """Meanwhile files are written with them; torch is imported by the first that is."""
    write = onnx_file.onnx_program

    def written(*arguments: Any, **options: Any) -> Any:
        _share_the_tables()
        return write(*arguments, **options)

    onnx_file.onnx_program = written
    yield
    onnx_file.onnx_program = write
