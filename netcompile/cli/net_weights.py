"""The weights of a net that was compiled, for `build` and `convert-weights`."""

from __future__ import annotations

from collections.abc import Callable

from netcompile.analyser import Analysed
from netcompile.caffemodel.convert import ConversionReport, convert
from netcompile.caffemodel.plan import match
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.emit.module import EmittedModule
from netcompile.emit.weights import weight_plan
from netcompile.layers.registry import roles_of


def converter(
    path: str, analysed: Analysed, module: EmittedModule, allow_missing: bool
) -> Callable[[str], ConversionReport]:
    """A function that writes the weights to a path, and reports about them.

    The caffemodel is opened and checked here, before anything is written. Raises NetError, OSError.
    """
    plan = weight_plan(analysed.graph, module)
    model = read_caffemodel(path)
    match(model, plan, allow_missing).require()

    def write(out: str) -> ConversionReport:
        return convert(model, plan, out, allow_missing=allow_missing, roles=roles_of)

    return write
