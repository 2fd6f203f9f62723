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
        here, order = shape_text(shape), other_order(shape, entry.shape)
        remedy = f"save it as x{order[1]}, with NumPy" if order[1] else ""
        if 0 in shape:
            what, why = f"input '{blob}' is empty: {here} in {path}", "every extent must be at least 1"
        elif len(shape) != len(entry.shape) and (entry.declared or order[0]):
            what = f"input '{blob}' has {len(shape)} axes in {path}, {len(entry.shape)} in the net"
            why = f"{here} against {shape_text(entry.shape)}{order[0]}"
        elif order[0]:
            what = f"input '{blob}' is {here} in {path}: its axes are in another order than the net's"
            why = f"the net takes {shape_text(entry.shape)}{order[0]}"
        else:
            continue
        problems.append(Diagnostic("input-shape", what, entry.message.span, why=why, remedy=remedy))
    if problems:
        raise NetError(problems)
    return shapes


def other_order(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[str, str]:
    """What an array of images probably is that is not N×C×H×W, and what makes it so; ("", "") where nothing tells.

    It is told by where the channels stand that the net wants.

    >>> other_order((1, 375, 500, 3), (1, 3, 500, 500))
    (': this looks like N×H×W×C', '.transpose(0, 3, 1, 2)')
    >>> other_order((3, 375, 500), (1, 3, 500, 500))
    (': this looks like C×H×W, without the axis of the batch', '[None]')
    """
    if len(wanted) != 4:
        return "", ""
    channels = wanted[1]
    orders = {
        4: (("N×H×W×C", 3, ".transpose(0, 3, 1, 2)"), ("W×H×C×N, as MATLAB has it", 2, ".transpose(3, 2, 1, 0)")),
        3: (("C×H×W, without the axis of the batch", 0, "[None]"),
            ("H×W×C, without the axis of the batch", 2, ".transpose(2, 0, 1)[None]")),
        2: (("H×W, without the axes of batch and channels", -1, "[None, None]"),),
    }  # fmt: skip
    if len(shape) == 4 and shape[1] == channels:
        return "", ""
    for name, axis, change in orders.get(len(shape), ()):
        if (shape[axis] if axis >= 0 else 1) == channels:
            return f": this looks like {name}", change
    return "", ""


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
