"""Emitted functions that no trace can follow, replaced while the module is traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from netcompile.analyser import Analysed
from netcompile.analysis.shapes import diagnose
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.module import EmittedModule
from netcompile.export.sizes import place
from netcompile.ir.graph import Node
from netcompile.layers.base import Refused
from netcompile.runtime.emitted import IN_MEMORY


def stand_ins(module: EmittedModule) -> dict[str, str]:
    """Names of emitted functions and what stands in for them. Raises NetError with every layer that has nothing."""
    found: dict[str, str] = {}
    problems = []
    for index, node in enumerate(module.nodes):
        if index not in module.lines:  # computes nothing here
            continue
        try:
            found.update(node.layer.traced())
        except Refused as refused:
            problems.append(replace(diagnose(node, refused), remedy=refused.remedy or before(node)))
    if problems:
        raise NetError(problems)
    return found


@contextmanager
def standing_in(module: EmittedModule, made: nn.Module) -> Iterator[None]:
    """While active, the functions of `made` are those that can be traced."""
    functions: dict[str, Any] = type(made).forward.__globals__
    original: dict[str, Any] = {}
    try:
        for name, path in stand_ins(module).items():
            place, _, function = path.rpartition(".")
            original[name] = functions[name]
            functions[name] = partial(getattr(import_module(place), function), functions)
        yield
    finally:
        functions.update(original)


def before(node: Node) -> str:
    """How to end the net before a layer."""
    blobs = dict.fromkeys(bottom.blob for bottom in node.bottoms)
    return f"{' '.join(f'--output {blob}' for blob in blobs)} ends the net before this layer" if blobs else ""


def culprit(module: EmittedModule, error: BaseException | None) -> Node | None:
    """The layer whose code raised an error, itself or by what it calls; None if no layer did."""
    seen: set[int] = set()
    found = None
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename.startswith(IN_MEMORY) and code.co_name == "forward":
                found = _at(module, trace.tb_lineno) or found
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return found


def _at(module: EmittedModule, line: int) -> Node | None:
    return next((module.nodes[index] for index, (a, b) in module.lines.items() if a <= line <= b), None)


def blamed(net: Analysed, node: Node | None, what: str, why: str) -> Diagnostic:
    """That a net cannot be exported, at the layer that is the reason if one is."""
    if node is None:
        return Diagnostic("export", f"{net.name} {what}", place(net), why=why)
    return diagnose(node, Refused(what, code="export", why=why, remedy=before(node)))
