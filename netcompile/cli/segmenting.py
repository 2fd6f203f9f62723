"""The options that `predict` and `evaluate` share, and the net that they describe."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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
from netcompile.cli.options import LEVEL, add_device, add_optimise, add_weights, device, positive, weights_of
from netcompile.cli.weights import remarks as of_weights
from netcompile.data.preprocessing import of_input, preprocessing_of
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.emit.module import outputs_of
from netcompile.ir.graph import Input, Value
from netcompile.pipeline import Analysed

if TYPE_CHECKING:
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
    add_options(parser)


def open_job(arguments: argparse.Namespace, leads: bool = True, folders: Mapping[str, str] | None = None) -> Job:
    """Load what the options say. Raises NetError, OSError.

    `leads`: whether this process speaks for all. `folders`: where the data set keeps the images of further inputs.
    """
    from netcompile.data.extra_inputs import ExtraInput, ExtraInputs
    from netcompile.runtime.loaded import is_build, load_build, load_net, to_device
    from netcompile.runtime.processes import local_device
    from netcompile.tasks.segmentation.segment import Job, legal_sizes

    target = local_device(device(arguments.device))
    also = {**(folders or {}), **dict(map(_also, arguments.also))}
    legal = analysed = None
    if is_build(arguments.net):
        if arguments.weights is not None:
            refuse("usage", "a build has its own weights: leave --weights out, or give the prototxt")
        _refuse_options(arguments)
        loaded = load_build(arguments.net)
        heads = _chosen(loaded.outputs, arguments.output)
        said = dict(loaded.images) or {name: None for name, _ in loaded.inputs}
        notes: list[Diagnostic] = []
        _check_images([(name, shape) for name, shape in loaded.inputs if name in said], also, arguments.also)
    else:
        weights = weights_of(arguments)
        analysed, heads, entries = _analysed(arguments)
        outputs_of(analysed.graph, heads)
        taken = _needed(analysed, heads)  # a label that is an Input layer's is an input too, and no image
        entries = tuple(entry for entry in entries if entry.value in taken)
        _check_images([(entry.value.blob, entry.shape) for entry in entries], also, arguments.also)
        outputs = [*heads, *(name for name in analysed.graph.outputs if name not in heads)]
        wanted = outputs if arguments.with_loss else heads
        told: list[Diagnostic] = []
        loaded = load_net(
            analysed, weights, arguments.optimise, wanted, dtype=arguments.dtype,
            noticed=lambda report: told.extend(of_weights(report, weights or "")),
        )  # fmt: skip
        if leads:
            show(told)
        legal = legal_sizes(analysed)
        notes = [note for note in analysed.notes if note.severity != "note"]
        said = {}
        for entry in entries:
            said[entry.value.blob], remarks = of_input(entry, os.path.dirname(arguments.net))
            notes += remarks
    shapes = dict(loaded.inputs)
    (first, found), *others = said.items()
    preprocessing, remarks = preprocessing_of(found, shapes[first][1], arguments.mean, arguments.scale, arguments.order)
    if preprocessing.order == "depth":
        refuse("image-input", f"input '{first}' is a depth map: there is no image to label")
    notes += remarks
    extra_inputs = []
    for name, found in others:
        made, remarks = preprocessing_of(found, shapes[name][1])
        notes += remarks
        extra_inputs.append(ExtraInput(name, also[name], made))
    if leads:
        show_notes(notes, frozenset({"mean-assumed", "mean-average", "mean-outside"}))
    placed = to_device(loaded, target, arguments.dtype)
    if placed.type == "cuda":
        from netcompile.runtime.cuda_graphs import Graphed

        loaded = replace(loaded, net=Graphed(loaded.net).eval())
    return Job(loaded, preprocessing, placed, legal, heads, ExtraInputs(tuple(extra_inputs)))


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


def _check_images(inputs: Sequence[tuple[str, tuple[int, ...]]], also: Mapping[str, str], asked: Sequence[str]) -> None:
    """Raises NetError unless the net takes an image, and there is a folder for every further one."""
    names = [name for name, _ in inputs]
    if not names:
        refuse("image-input", "the net takes no image: it has no inputs", remedy="netcompile run computes it")
    for name, shape in inputs:
        if len(shape) != 4:
            refuse("image-input", f"input '{name}' has {len(shape)} axes, an image 4")
    lacking = [name for name in names[1:] if name not in also]
    if lacking:
        refuse(
            "image-input",
            f"the net takes {len(names)} images ({', '.join(names)}), IMAGES are for '{names[0]}' alone",
            remedy=f"{' '.join(f'--also {name}=DIR' for name in lacking)}: images of the same names; "
            "netcompile run feeds any number of arrays",
        )
    for text in asked:
        name = text.partition("=")[0]
        if name not in names[1:]:
            others = f": it has {', '.join(names)}" if name not in names else ": IMAGES are for it"
            refuse("image-input", f"--also {text}: the net has no further input '{name}'{others}")


def _analysed(arguments: argparse.Namespace) -> tuple[Analysed, tuple[str, ...], tuple[Input, ...]]:
    """The net, its score blobs and its inputs for images; with --with-loss those that it would have without."""
    source = read_source(arguments.net)
    asked = None if arguments.with_loss else arguments.output
    analysed = analyse_net(arguments, source, outputs=asked).require()
    bare = without_loss(arguments, source).require() if arguments.with_loss else analysed
    if arguments.output:
        return analysed, tuple(named_blobs(arguments.output, analysed) or ()), bare.graph.inputs
    maps = _maps(bare, bare.graph.outputs) or _maps(bare, _scored(bare))
    if not maps:
        names = ", ".join(bare.graph.outputs)
        refuse(
            "score-map",
            f"no output of the net is a map (N×C×H×W): it has {names}",
            why="a net that classifies whole images gives no label per pixel",
            remedy="netcompile surgery convolutionalise makes a map of it; --output names another blob",
        )
    return analysed, maps, bare.graph.inputs


def _needed(net: Analysed, blobs: Iterable[str]) -> set[Value]:
    """All values from which these blobs are computed."""
    producers = net.graph.producers()
    found: set[Value] = set()
    stack = [net.graph.blobs[name] for name in blobs if name in net.graph.blobs]
    while stack:
        value = stack.pop()
        if value not in found:
            found.add(value)
            stack += producers[value].bottoms if value in producers else ()
    return found


def _maps(net: Analysed, blobs: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in blobs if len(net.shapes.get(net.graph.blobs[name], ())) == 4)


def _scored(net: Analysed) -> Iterable[str]:
    """What the losses are of: the scores of a net whose labels come from an Input layer, so that its losses stay."""
    losses = [node.bottoms[0] for node in net.graph.nodes if node.layer.auto_top]
    return dict.fromkeys(value.blob for value in losses if net.graph.blobs[value.blob] == value)


def _chosen(outputs: tuple[str, ...], asked: list[str] | None) -> tuple[str, ...]:
    unknown = [name for name in asked or () if name not in outputs]
    if unknown:
        refuse(
            "unknown-blob",
            f"the build has no output '{unknown[0]}'",
            why=f"it has {', '.join(outputs)}",
            remedy="give the prototxt and the caffemodel instead: any blob can be asked for there",
        )
    return tuple(asked or outputs)
