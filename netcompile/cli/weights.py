"""Caffemodels to .safetensors for a compiled net; what `build` and `convert-weights` share."""

from __future__ import annotations

from collections.abc import Callable

from netcompile.caffemodel.convert import ConversionReport, convert
from netcompile.caffemodel.plan import match
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.module import Module
from netcompile.emit.weights import weight_plan
from netcompile.layers.registry import layer_class
from netcompile.pipeline import Analysed


def converter(path: str, analysed: Analysed, module: Module, allow_missing: bool) -> Callable[[str], list[Diagnostic]]:
    """A function that writes the weights to a path, and returns what is worth saying about them.

    The caffemodel is opened and checked here, before anything is written. Raises NetError, OSError.
    """

    plan = weight_plan(analysed.graph, module)
    model = read_caffemodel(path)
    errors = [problem for problem in match(model, plan, allow_missing).problems if problem.severity == "error"]
    if errors:
        raise NetError(errors)

    def write(out: str) -> list[Diagnostic]:
        return remarks(convert(model, plan, out, allow_missing=allow_missing, roles=roles_of), path)

    return write


def remarks(report: ConversionReport, path: str) -> list[Diagnostic]:
    """What a conversion noticed: layers of the file that the net lacks, weights that became zeros, odd numbers."""
    found = [*report.notes, *report.suspicious]
    if report.unused:
        found.append(
            Diagnostic(
                "weights-unused",
                f"{path} has weights for {_listed(report.unused)}, which the net lacks",
                why="layers are matched by name; Caffe ignores them too",
                severity="warning",
            )
        )
    if report.without_weights:
        found.append(
            Diagnostic(
                "weights-zero",
                f"{path} lacks weights of {_listed(report.without_weights)}: they are zeros now",
                severity="warning",
            )
        )
    return found


def roles_of(layer_type: str) -> tuple[str, ...]:
    """What the blobs of a layer type are, as far as its class says it whatever the layer's parameters."""

    cls = layer_class(layer_type) if layer_type else None
    return cls.stored if cls is not None else ()


def _listed(names: tuple[str, ...]) -> str:
    """A few names, and how many more there are."""
    text = ", ".join(f"'{name}'" for name in names[:10])
    return f"{len(names)} layers ({text}, …)" if len(names) > 10 else f"layer{'s' * (len(names) > 1)} {text}"
