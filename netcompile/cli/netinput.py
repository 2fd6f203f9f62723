"""NET and the options that all commands on nets share, as they were given: the net is read and analysed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from netcompile.analyser import Analysed, analyse
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.nearest import did_you_mean
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.text import listed
from netcompile.files.look import is_file, is_folder, is_there
from netcompile.ir import prune
from netcompile.ir.build import Options
from netcompile.ir.graph import Input
from netcompile.prototxt import recognise
from netcompile.prototxt.recognise import decode_source, open_source

_GIVE_NET = "give the path of a prototxt"


def options(arguments: argparse.Namespace) -> Options:
    """The common options as the builder takes them."""
    return Options(
        train=arguments.phase == "train",
        level=arguments.level,
        stages=tuple(arguments.stage),
        shapes=dict(arguments.input),
        with_loss=arguments.with_loss,
        allow_unknown=arguments.allow_unknown,
    )


def read_source(name: str) -> Source:
    """The text of NET. Raises NetError where there is no such file, OSError where it cannot be read."""
    if name == "-":
        return recognise.read_source(sys.stdin.buffer, "<stdin>")
    if is_folder(name):
        raise NetError(_folder(name))
    if is_there(name):
        return open_source(name)
    return _bundled(name)


def _bundled(name: str) -> Source:
    from netcompile.zoo.find import find_definition, near_definitions  # for these names alone

    bundled = find_definition(name)
    if bundled is None:
        near = near_definitions(name) if name else []
        refuse(
            "no-such-file",
            f"there is no file '{name}', and no bundled definition of that name",
            remedy=did_you_mean(near, _GIVE_NET),
        )
    # Messages show the name that the user can type again, not where this machine keeps the file.
    return decode_source(bundled.read_bytes(), "/".join(bundled.parts[-2:]))


def _folder(name: str) -> Diagnostic:
    inside = sorted(entry for entry in os.listdir(name) if entry.endswith((".prototxt", ".pt")))
    paths = [os.path.join(name, entry) for entry in inside]
    if not inside and is_file(os.path.join(name, "manifest.json")):
        what = f"'{name}' is the folder of a build, and this command reads the prototxt that it was made from"
        return Diagnostic(
            "no-such-file", what, remedy="predict, evaluate and verify take builds; here give the prototxt"
        )
    return Diagnostic(
        "no-such-file",
        f"'{name}' is a folder, not a prototxt",
        why=f"it holds {listed(inside)}" if inside else "",
        remedy=f"give one of them: {listed(paths)}" if inside[1:] else f"give {paths[0]}" if inside else _GIVE_NET,
    )


def analyse_net(
    arguments: argparse.Namespace,
    source: Source | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    fed: frozenset[str] = frozenset(),
    outputs: Sequence[str] | None = None,
) -> Analysed:
    """Read and analyse NET with the common options; `shapes` and `fed` come from an inputs file.

    With `outputs` the net ends there: layers and inputs that they do not need are left out.
    """
    chosen = replace(options(arguments), fed=fed, outputs=tuple(outputs or ()))
    if shapes is not None:
        chosen = replace(chosen, shapes={**shapes, **chosen.shapes})
    return analyse(source or read_source(arguments.net), chosen, arguments.crop_offsets, arguments.round_crops)


def image_inputs(arguments: argparse.Namespace, analysed: Analysed) -> tuple[Input, ...]:
    """The inputs that are no labels: where a loss is an output, those that the net would have without."""
    if not arguments.with_loss and analysed.graph.cut is None:
        return analysed.graph.inputs
    return prune.for_inference(analysed.graph, frozenset(dict(arguments.input)))[0].inputs


def without_loss(arguments: argparse.Namespace, source: Source) -> Analysed:
    """NET as it is without --with-loss. Raises NetError."""
    chosen = replace(options(arguments), with_loss=False)
    return analyse(source, chosen, arguments.crop_offsets, arguments.round_crops)


def named_blobs(asked: Sequence[str] | None, analysed: Analysed) -> list[str] | None:
    """The blobs asked for, ["all"] for all of them; a name with commas in it counts whole if the net has it."""
    if asked is None:
        return None
    names = list(prune.named_blobs(asked, analysed.graph.blobs)[0])
    return ["all"] if "all" in names and "all" not in analysed.graph.blobs else names
