"""The options that `predict` and `evaluate` share, and the net that they describe."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netcompile.analyser import Analysed
from netcompile.cli.messages import show, show_notes
from netcompile.cli.netinput import (
    NET_HELP,
    add_options,
    add_output,
    analyse_net,
    named_blobs,
    read_source,
    without_loss,
)
from netcompile.cli.options import (
    LEVEL,
    add_device,
    add_max_memory,
    add_optimise,
    add_weights,
    device,
    positive,
    weights_of,
)
from netcompile.cli.weights import remarks as of_weights
from netcompile.data.preprocessing import Preprocessing, of_input
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.emit.module import outputs_of
from netcompile.ir.graph import Input
from netcompile.tasks.segmentation.heads import inputs_behind, outputs_of_build, require_images, score_maps

if TYPE_CHECKING:
    from netcompile.runtime.loaded import Loaded
    from netcompile.tasks.segmentation.segment import Job


def add_segmenting(parser: argparse.ArgumentParser, batch: int) -> None:
    """NET|BUILD, weights, preparation, device, and how the net is read."""
    parser.add_argument("net", metavar="NET|BUILD", help=f"{NET_HELP}; or the folder of a build, whose module is run")
    add_weights(parser, " (a build has its own)")
    add_output(parser, "the score blob")
    group = parser.add_argument_group("how images are prepared; by default as the net's data layer says")
    group.add_argument("--mean", metavar="M", help='"B,G,R" or a .binaryproto')
    group.add_argument("--scale", type=float, help="factor after the mean is subtracted")
    group.add_argument("--order", choices=("bgr", "rgb"), help="of the channels; Caffe's nets want bgr")
    group.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="BLOB=DIR",
        help="for a net of several images (colour and HHA, say): the folder of BLOB's images, of the same names",
    )
    parser.add_argument("--batch", type=positive, default=batch, metavar="N", help=f"images at a time, default {batch}")
    add_optimise(parser)
    add_device(parser, ("float32", "bfloat16"))
    add_max_memory(parser)
    add_options(parser)


def open_job(arguments: argparse.Namespace, leads: bool = True, folders: Mapping[str, str] | None = None) -> Job:
    """Load what the options say. Raises NetError, OSError.

    `leads`: whether this process speaks for all. `folders`: where the data set keeps the images of further inputs.
    """
    from netcompile.runtime.loaded import is_build
    from netcompile.runtime.processes import local_device
    from netcompile.tasks.segmentation.segment import make_job

    target = local_device(device(arguments.device))
    folders = {**(folders or {}), **dict(map(_also, arguments.also))}
    if is_build(arguments.net):
        loaded, heads, images = _of_build(arguments, folders)
        legal, notes = None, []
    else:
        analysed, heads, entries = _analysed(arguments, folders)
        loaded, told = _of_net(arguments, analysed, heads)
        if leads:
            show(told)
        legal, notes = analysed.valid, [note for note in analysed.notes if note.severity != "note"]
        images = {}
        for entry in entries:
            images[entry.value.blob], remarks = of_input(entry, os.path.dirname(arguments.net))
            notes += remarks
    job, remarks = make_job(
        loaded, heads, images, folders, device=target, dtype=arguments.dtype, legal=legal, mean=arguments.mean,
        scale=arguments.scale, order=arguments.order,
    )  # fmt: skip
    if leads:
        show_notes([*notes, *remarks], frozenset({"mean-assumed", "mean-average", "mean-outside"}))
    return job


def _of_build(
    arguments: argparse.Namespace, folders: Mapping[str, str]
) -> tuple[Loaded, tuple[str, ...], Mapping[str, Preprocessing | None]]:
    """The net of a build's folder, its score blobs, and what its images go through."""
    from netcompile.runtime.loaded import load_build

    if arguments.weights is not None:
        refuse("usage", "a build has its own weights: leave --weights out, or give the prototxt")
    _refuse_options(arguments)
    loaded = load_build(arguments.net)
    heads = outputs_of_build(loaded.outputs, arguments.output)
    images = dict(loaded.images) or dict.fromkeys(name for name, _ in loaded.inputs)
    require_images([(name, shape) for name, shape in loaded.inputs if name in images], folders, arguments.also)
    return loaded, heads, images


def _analysed(
    arguments: argparse.Namespace, folders: Mapping[str, str]
) -> tuple[Analysed, tuple[str, ...], tuple[Input, ...]]:
    """The net, its score blobs and its inputs for images; with --with-loss those that it would have without."""
    source = read_source(arguments.net)
    asked = None if arguments.with_loss else arguments.output
    analysed = analyse_net(arguments, source, outputs=asked).require()
    bare = without_loss(arguments, source).require() if arguments.with_loss else analysed
    heads = tuple(named_blobs(arguments.output, analysed) or ()) or score_maps(bare)
    outputs_of(analysed.graph, heads)
    # A label that is an Input layer's is an input too, and no image.
    entries = inputs_behind(analysed, bare.graph.inputs, heads)
    require_images([(entry.value.blob, entry.shape) for entry in entries], folders, arguments.also)
    return analysed, heads, entries


def _of_net(
    arguments: argparse.Namespace, analysed: Analysed, heads: tuple[str, ...]
) -> tuple[Loaded, list[Diagnostic]]:
    """The compiled net with its weights, and what was noticed about these."""
    from netcompile.runtime.loaded import load_compiled

    weights = weights_of(arguments)
    losses = [name for name in analysed.graph.outputs if name not in heads] if arguments.with_loss else []
    told: list[Diagnostic] = []
    loaded = load_compiled(
        analysed, weights, arguments.optimise, [*heads, *losses], dtype=arguments.dtype,
        noticed=lambda report: told.extend(of_weights(report, weights or "")),
    )  # fmt: skip
    return loaded, told


def _refuse_options(arguments: argparse.Namespace) -> None:
    """Raises NetError for an option that says how a prototxt is compiled: a build is as it was built."""
    given = {
        "--phase": arguments.phase != "test",
        "--stage": arguments.stage,
        "--level": arguments.level,
        "--input": arguments.input,
        "--with-loss": arguments.with_loss,
        "--crop-offsets": arguments.crop_offsets != "auto",
        "--round-crops": arguments.round_crops,
        "--allow-unknown": arguments.allow_unknown,
        "-O": arguments.optimise != LEVEL,
    }
    names = [name for name, value in given.items() if value]
    if names:
        what = f"{' and '.join(names)} say{'s' * (len(names) == 1)} how a prototxt is read, {arguments.net} is a build"
        refuse("usage", what, remedy="give the prototxt and the caffemodel, or build it anew")


def _also(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not equals or not name:
        refuse("usage", f"--also {text} is not of the form BLOB=DIR")
    if not os.path.isdir(folder):
        refuse("no-such-file", f"there is no folder '{folder}' for input '{name}'")
    return name, folder
