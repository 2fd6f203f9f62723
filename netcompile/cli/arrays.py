"""Nets at the shapes of the arrays that feed them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from netcompile.analyser import Analysed
from netcompile.cli.netinput import analyse_net
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.text import shape_text
from netcompile.files.npz import Member, unreadable


def analyse_fed(
    arguments: argparse.Namespace,
    source: Source,
    arrays: Mapping[str, Any],
    path: str,
    outputs: Sequence[str] | None = None,
) -> Analysed:
    """NET at the shapes of the arrays of `path` that feed it, or of those yet to be read (`members_npz`).

    Labels among them keep the layers that need them.

    Raises NetError where an array cannot be the input's.
    """
    fed = frozenset(arrays)
    analysed = analyse_net(arguments, source, fed=fed, outputs=outputs)
    shapes = _shapes(analysed, arrays, path)
    if any(entry.shape != shapes.get(entry.value.blob, entry.shape) for entry in analysed.graph.inputs):
        return analyse_net(arguments, source, shapes, fed, outputs)
    return analysed


def _shapes(analysed: Analysed, arrays: Mapping[str, Any], path: str) -> dict[str, tuple[int, ...]]:
    """The real shapes of the inputs. Raises NetError where one cannot be the input's."""
    problems, shapes = [], {}
    for entry in analysed.graph.inputs:
        blob = entry.value.blob
        if blob not in arrays:
            continue
        if isinstance(arrays[blob], Member) and arrays[blob].problem:
            problems.append(unreadable(path, blob, arrays[blob].problem))
            continue
        shape = tuple(int(extent) for extent in arrays[blob].shape)
        shapes[blob] = shape
        here = shape_text(shape)
        if 0 in shape:
            what, why = f"input '{blob}' is empty: {here} in {path}", "every extent must be at least 1"
        elif entry.declared and len(shape) != len(entry.shape):
            what = f"input '{blob}' has {len(shape)} axes in {path}, {len(entry.shape)} in the net"
            why = f"{here} against {shape_text(entry.shape)}"
        else:
            continue
        problems.append(Diagnostic("input-shape", what, entry.message.span, why=why))
    if problems:
        raise NetError(problems)
    return shapes


@contextmanager
def labels_told(analysed: Analysed, arrays: Mapping[str, Any]) -> Iterator[None]:
    """Where the net stops at a label that is no class, or at an index of nothing, NetError says so."""
    try:
        yield
    except (IndexError, RuntimeError) as error:
        import torch

        from netcompile.passes.base import Program
        from netcompile.train.labels import LabelOutOfRange, fed_labels, within

        for value, check in fed_labels(Program(analysed.graph)):
            if value.blob not in arrays:
                continue
            try:
                within(torch.from_numpy(arrays[value.blob]), check.labels.classes, check.labels.ignore, 0)
            except LabelOutOfRange as found:
                raise check.error(found.value) from None
        if "out of bounds" not in str(error) and "out of range" not in str(error):
            raise
        what = "a layer takes an input's numbers for indices, and one is an index of nothing"
        why, remedy = str(error).split("\n", 1)[0], "--inputs IN.npz with numbers that exist" if arrays else ""
        refuse("label-range", what, why=why, remedy=remedy)
