"""The argument NET and the options that all commands on nets share."""

from __future__ import annotations

import argparse
import os
import re
import shlex
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

NET_HELP = 'a prototxt: a path, "-" for standard input, or a bundled name such as voc-fcn8s/val.prototxt'

_GIVE_NET = "give the path of a prototxt"


def add_net(parser: argparse.ArgumentParser) -> None:
    """NET and the common options."""
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which of a file's layers take part, the shapes of its inputs, and how crops are resolved."""
    group = parser.add_argument_group("how the net is read")
    group.add_argument("--phase", type=str.lower, choices=("test", "train"), default="test", help="default: test")
    group.add_argument("--stage", action="append", default=[], metavar="S", help="a stage that is on (repeatable)")
    group.add_argument("--level", type=int, default=0, metavar="N", help="level of the net's state, default 0")
    group.add_argument(
        "--crop-offsets",
        choices=("auto", "declared", "inferred"),
        default="auto",
        help="auto: the file's offsets, inferred where it declares none (default)",
    )
    group.add_argument(
        "--input",
        action="append",
        default=[],
        type=named_shape,
        metavar="NAME=1x3x500x500",
        help="shape of an input, or of a data layer's top (repeatable)",
    )
    group.add_argument("--with-loss", action="store_true", help="keep labels, losses and metrics")
    group.add_argument("--allow-unknown", action="store_true", help="keep layers of unknown type as stubs")
    group.add_argument("--round-crops", action="store_true", help="round crop offsets between two pixels down")


def add_output(parser: argparse.ArgumentParser, what: str = "a blob that counts as an output") -> None:
    """``--output BLOB``."""
    parser.add_argument(
        "--output", action="append", metavar="BLOB", help=f"{what} (repeatable); default: the net's outputs"
    )


def named_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``data=1x3x500x500`` as a name and a shape; the name may hold anything, "=" as well."""
    name, equals, dims = text.rpartition("=")
    if not equals or not name or not re.fullmatch(r"[0-9]{1,9}([x×][0-9]{1,9})*", dims, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=1x3x500x500")
    shape = tuple(map(int, re.split("[x×]", dims)))
    if min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has an extent that is not positive")
    return name, shape


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


def read_weights_path(name: str) -> str:
    """The path of a caffemodel, a bundled one included. Raises NetError where there is none."""
    if is_folder(name):
        inside = sorted(entry for entry in os.listdir(name) if entry.endswith((".caffemodel", ".h5")))
        why = f"it holds {listed(inside)}" if inside else ""
        remedy = f"give {'one of them' if inside[1:] else os.path.join(name, inside[0])}" if inside else ""
        refuse("no-such-file", f"'{name}' is a folder, not a caffemodel", why=why, remedy=remedy)
    if is_there(name):
        return name
    from netcompile.zoo.find import find_weights  # as above

    path = find_weights(name) if name else None
    if path is None:
        refuse("no-such-file", f"there is no file '{name}'", remedy=_weights_remedy(name))
    return str(path)


def _weights_remedy(name: str) -> str:
    from netcompile.zoo.published import published  # what reads TOML, for this message alone

    row = published(os.path.basename(name))
    if row is None or not row.source:
        return "give the path of a .caffemodel"
    folder = os.path.dirname(name)
    return f"netcompile fetch {row.name}{f' -o {shlex.quote(folder)}/' if folder else ''} downloads it"


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
