"""What is said of a conversion, and what its file is called: the same in a terminal and in a browser."""

from __future__ import annotations

import os

from netcompile.caffemodel.convert import ConversionReport
from netcompile.diagnostics.diagnostic import Diagnostic

MEAN, SUFFIX = ".binaryproto", ".safetensors"


def target_name(path: str) -> str:
    """``fcn8s.caffemodel.h5`` → ``fcn8s.safetensors``."""
    name = os.path.basename(path)
    for ending in (".caffemodel.h5", ".caffemodel", ".h5", ".hdf5", MEAN):
        if name.endswith(ending) and name != ending:
            return name[: -len(ending)] + SUFFIX
    return name + SUFFIX


def remarks(report: ConversionReport, path: str) -> list[Diagnostic]:
    """What a conversion noticed: layers of the file that the net lacks, weights that became zeros, odd numbers."""
    found = [*report.notes, *report.suspicious]
    if report.unused:
        what = f"{path} has weights for {_listed(report.unused)}, which the net lacks"
        why = "layers are matched by name; Caffe ignores them too"
        found.append(Diagnostic("weights-unused", what, why=why, severity="warning"))
    if report.without_weights:
        what = f"{path} lacks weights of {_listed(report.without_weights)}: they are zeros now"
        found.append(Diagnostic("weights-zero", what, severity="warning"))
    return found


def _listed(names: tuple[str, ...]) -> str:
    """A few names, and how many more there are."""
    text = ", ".join(f"'{name}'" for name in names[:10])
    return f"{len(names)} layers ({text}, …)" if len(names) > 10 else f"layer{'s' * (len(names) > 1)} {text}"
