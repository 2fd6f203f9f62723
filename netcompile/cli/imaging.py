"""The options that `predict` and `evaluate` share, and the net, its task and its preparation that they describe."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.outputs import described
from netcompile.caffemodel.remarks import remarks as of_weights
from netcompile.cli.messages import say_lines, show, show_notes
from netcompile.cli.net_options import NET_HELP, add_options, add_output
from netcompile.cli.netinput import analyse_net, named_blobs, read_source, without_loss
from netcompile.cli.options import (
    LEVEL,
    add_device,
    add_engine,
    add_max_memory,
    add_optimise,
    add_trust_edits,
    add_tune,
    add_weights,
    device,
    edits_told,
    level_of,
    positive,
    seconds_of,
    weights_of,
)
from netcompile.data.preparation import crop_option, resize_option
from netcompile.data.preprocessing import of_input
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.visible import visible
from netcompile.emit.module import outputs_of
from netcompile.files.look import is_folder
from netcompile.layers.base import IntShape
from netcompile.tasks.catalogue import NAMES, TASKS, choose, require_use
from netcompile.tasks.inputs import described_net, image_inputs, inputs_behind, outputs_of_build, prepared
from netcompile.tasks.segmentation.task import Segmentation
from netcompile.tasks.task import Asked, Found, Net, Task

if TYPE_CHECKING:
    from netcompile.runtime.loaded import Loaded
    from netcompile.tasks.inference import Job

REMARKS = frozenset({"mean-assumed", "mean-average", "mean-outside"})
ENGINE = ("engine", "engine-measured", "plan", "plan-busy", "plan-file")


def add_imaging(parser: argparse.ArgumentParser, batch: int, scoring: bool) -> None:
    """NET|BUILD, weights, the task and its options, preparation, device, and how the net is read."""
    parser.add_argument("net", metavar="NET|BUILD", help=f"{NET_HELP}; or the folder of a build, whose module is run")
    add_weights(parser, " (a build has its own)")
    add_output(parser, "the blob to look at")
    parser.add_argument(
        "--task", choices=NAMES, help="what the outputs are; by default as the net's layers and losses tell"
    )
    group = parser.add_argument_group("how images are prepared; by default as the net's data layer says")
    group.add_argument("--mean", metavar="M", help='"B,G,R" or a .binaryproto')
    group.add_argument("--scale", type=float, help="factor after the mean is subtracted")
    group.add_argument("--order", choices=("bgr", "rgb"), help="of the channels; Caffe's nets want bgr")
    group.add_argument(
        "--resize",
        type=resize_option,
        metavar="HxW",
        help="or short=N, short=N,max=M, fit (its aspect kept, the rest filled), fit=HxW, none; by default an image is "
        "resized only for a net of one size",
    )
    group.add_argument("--crop", type=crop_option, metavar="N|HxW", help="then cut this out of the middle")
    group.add_argument("--oversample", action="store_true", help="the mean over ten crops: corners, middle, mirrored")
    group.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="BLOB=DIR",
        help="for a net of several images (colour and HHA, say): the folder of BLOB's images, of the same names",
    )
    parser.add_argument(
        "--classes", action="append", metavar="C", default=[], help="names of classes: pascal, nyud, …, or a file"
    )
    for task in TASKS:
        task.configure(parser, scoring)
    parser.add_argument("--batch", type=positive, default=batch, metavar="N", help=f"images at a time, default {batch}")
    add_trust_edits(parser)
    add_optimise(parser)
    add_engine(parser)
    add_tune(parser)
    add_device(parser, ("float32", "bfloat16"))
    add_max_memory(parser)
    add_options(parser)


@dataclass(frozen=True)
class Opened:
    """A net before it is loaded: what is known of it, and of its task.

    `needed` are the inputs that the outputs need; `load` gives the net with its weights, and what was noticed there.
    """

    net: Net
    task: type[Task]
    found: Found
    needed: tuple[tuple[str, IntShape], ...]
    legal: tuple[NSet, NSet] | None
    notes: tuple[Diagnostic, ...]
    load: Callable[[], tuple[Loaded, Sequence[Diagnostic]]]


def open_job(arguments: argparse.Namespace, leads: bool = True, asked: Asked | None = None) -> Job:
    """Load what the options say. Raises NetError, OSError.

    `leads`: whether this process speaks for all. `asked`: the data set may have the images of further inputs.
    """
    from netcompile.runtime.loaded import is_build
    from netcompile.runtime.processes import local_device
    from netcompile.tasks.inference import make_job

    target = local_device(device(arguments.device))
    opened = _of_build(arguments) if is_build(arguments.net) else _of_net(arguments)
    require_use(opened.task, arguments.classes)
    task = opened.task.make(opened.net, opened.found, arguments)
    also = dict(map(_also, arguments.also))
    folders = {**(task.folders(asked) if asked is not None else {}), **also}
    names = image_inputs(opened.needed, task.fed(opened.net), folders, arguments.also)
    preparation = prepared(opened.net, task, arguments.resize, arguments.crop, arguments.oversample)
    loaded, told = opened.load()
    job, remarks = make_job(
        loaded, task, preparation, {name: opened.net.images.get(name) for name in names}, folders, device=target,
        dtype=arguments.dtype, legal=opened.legal, mean=arguments.mean, scale=arguments.scale, order=arguments.order,
    )  # fmt: skip
    if leads:
        show(found for found in told if found.code not in ENGINE)
        show_notes([found for found in told if found.code in ENGINE], frozenset({"engine", "plan-busy"}))
        show_notes([*opened.notes, *remarks], REMARKS)
        if arguments.task is None and not isinstance(task, Segmentation):
            say_lines(f"{task.title}: {visible(opened.found.why)} (--task says otherwise)")
        if preparation.text():
            say_lines(f"every image is {preparation.text()}")
    return job


def _of_build(arguments: argparse.Namespace) -> Opened:
    """The net of a build's folder."""
    from netcompile.runtime.loaded import load_build

    if arguments.weights is not None:
        refuse("usage", "a build has its own weights: leave --weights out, or give the prototxt")
    _refuse_options(arguments)
    loaded = load_build(arguments.net, arguments.trust_edits)
    outputs = outputs_of_build(loaded.outputs, arguments.output)
    images = dict(loaded.images) or dict.fromkeys(name for name, _ in loaded.inputs)
    net = Net(loaded.inputs, loaded.known, (), loaded.fixed, images)
    asked = None if arguments.output is None else tuple(o for o in loaded.known if o.name in outputs)
    task, found = choose(net, arguments.task, asked)
    needed = tuple((name, shape) for name, shape in loaded.inputs if name in images or name in task.fed(net))

    def load() -> tuple[Loaded, Sequence[Diagnostic]]:
        from netcompile.engines.builds import build_in

        computed, _, notes = build_in(
            arguments.net, loaded, arguments.engine, arguments.device, arguments.dtype, seconds_of(arguments),
            arguments.batch,
        )  # fmt: skip
        return computed, [*edits_told(arguments.net, loaded.edited), *notes]

    return Opened(net, task, found, needed, None, (), load)


def _of_net(arguments: argparse.Namespace) -> Opened:
    """The net of a prototxt; with --with-loss the one that it would be without tells what its outputs are."""
    source = read_source(arguments.net)
    wanted = None if arguments.with_loss else arguments.output
    analysed = analyse_net(arguments, source, outputs=wanted).require()
    bare = without_loss(arguments, source).require() if arguments.with_loss else analysed
    net, asked = described_net(bare), None
    if arguments.output is not None:
        names = tuple(named_blobs(arguments.output, analysed) or ())
        outputs_of(analysed.graph, names)
        asked = described(analysed.graph, analysed.shapes, names)
        net = described_net(_whole(arguments, source) or bare)
    task, found = choose(net, arguments.task, asked)
    outputs_of(analysed.graph, found.blobs)
    # A label that is an Input layer's is an input too, and no image.
    entries = inputs_behind(analysed, bare.graph.inputs, found.blobs)
    images, notes = {}, [note for note in analysed.notes if note.severity != "note"]
    for entry in entries:
        if entry.value.blob not in task.fed(net):
            images[entry.value.blob], remarks = of_input(entry, os.path.dirname(arguments.net))
            notes += remarks
    needed = tuple((entry.value.blob, entry.shape) for entry in entries)
    return Opened(
        replace(net, images=images), task, found, needed, analysed.valid, tuple(notes),
        lambda: _load(arguments, analysed, found.blobs),
    )  # fmt: skip


def _whole(arguments: argparse.Namespace, source: Source) -> Analysed | None:
    """The net with its own outputs; None where that is refused."""
    try:
        return analyse_net(arguments, source).require()
    except NetError:
        return None


def _load(
    arguments: argparse.Namespace, analysed: Analysed, blobs: tuple[str, ...]
) -> tuple[Loaded, Sequence[Diagnostic]]:
    """The compiled net with its weights, and what was noticed about these."""
    from netcompile.engines.compiled import Wanted, load_in

    weights = weights_of(arguments)
    losses = [name for name in analysed.graph.outputs if name not in blobs] if arguments.with_loss else []
    told: list[Diagnostic] = []
    wanted = Wanted(
        arguments.engine, level_of(arguments), [*blobs, *losses], weights, arguments.dtype, arguments.device,
        tune=seconds_of(arguments), images=arguments.batch,
    )  # fmt: skip
    loaded, notes = load_in(
        analysed, weights, wanted,
        noticed=lambda report: told.extend(of_weights(report, weights or "")),
    )  # fmt: skip
    return loaded, [*told, *notes]


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
        "-O": arguments.optimise not in (None, LEVEL),
    }
    names = [name for name, value in given.items() if value]
    if names:
        what = f"{' and '.join(names)} say{'s' * (len(names) == 1)} how a prototxt is read, {arguments.net} is a build"
        refuse("usage", what, remedy="give the prototxt and the caffemodel, or build it anew")


def _also(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not equals or not name:
        refuse("usage", f"--also {text} is not of the form BLOB=DIR")
    if not is_folder(folder):
        refuse("no-such-file", f"there is no folder '{folder}' for input '{name}'")
    return name, folder
