"""Caffemodels and means to .safetensors."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from netcompile.caffemodel.blob import CHUNK
from netcompile.caffemodel.convert import ConversionReport, convert
from netcompile.caffemodel.plan import convert_plain
from netcompile.caffemodel.reader import read_caffemodel, read_mean
from netcompile.caffemodel.remarks import MEAN, remarks
from netcompile.caffemodel.tensorfile import Entry, write
from netcompile.cli.messages import show
from netcompile.cli.output import write_done
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import bytes_text
from netcompile.files.look import is_file, is_folder, is_there
from netcompile.layers.registry import roles_of
from netcompile.progress import Progress

if TYPE_CHECKING:
    from netcompile.analyser import Analysed


def require_other(output: str, *inputs: str | None) -> None:
    """Raises NetError where an output would replace one of the files that are read, by whatever name. OSError."""
    for path in inputs:
        if path is not None and is_file(path) and is_there(os.path.realpath(output)) and os.path.samefile(path, output):
            refuse("output-path", f"{output}: the output is the input {path} itself", remedy="write to another path")


def convert_one(
    arguments: argparse.Namespace, path: str, target: str, net: Analysed | None, named: bool = False
) -> None:
    """One file; says what was written. `named`: whether the user named the target. Raises NetError, OSError."""
    if not named and os.path.islink(target):
        why = "it is named after the input, and nothing is written through a link that was not asked for"
        refuse("path-outside", f"{target} is a link", why=why, remedy="-o FILE writes there; or remove the link")
    require_other(target, arguments.net)
    with Progress(1, f"files: converting {path}"):
        found, what, size = _converted(arguments, path, target, net)
    write_done(f"wrote {target} ({what}, {bytes_text(size)})")
    show(found)


def _converted(
    arguments: argparse.Namespace, path: str, target: str, net: Analysed | None
) -> tuple[list[Diagnostic], str, int]:
    """What is worth saying, what the file holds, and its bytes."""
    if path.endswith(MEAN):
        size = _convert_mean(path, target)
        found, what = [], "a mean"
    elif net is not None:
        from netcompile.cli.net_weights import converter  # and the compiler
        from netcompile.compiler import compile_net

        module = compile_net(net, arguments.optimise, weights=path, comments=False, style=arguments.style)
        done = converter(path, net, module, arguments.allow_missing)(target)
        found, size = remarks(done, path), done.bytes
        what = f"{len(module.weights)} tensors of {module.class_name}"
    else:
        model = read_caffemodel(path)
        done = convert(model, convert_plain(model), target, roles=roles_of)
        found, what, size = [*done.notes, *done.suspicious], f"{done.tensors} blobs", done.bytes
    return found, what, size


def _convert_mean(path: str, target: str) -> int:
    blob = read_mean(path)
    if is_folder(target):
        refuse("output-path", f"{target}: the output is a folder")
    return write(target, [Entry("mean", blob.dtype, blob.shape, lambda: blob.chunks(CHUNK))], {"format": "pt"})


def shown(path: str | None) -> Callable[[ConversionReport], None]:
    """Shows what a conversion of the file at `path` noticed."""
    return lambda report: show(remarks(report, path or ""))
