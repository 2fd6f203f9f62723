"""The options that `predict` and `evaluate` share, and the net that they describe."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netcompile.cli.messages import show_notes
from netcompile.cli.netinput import NET_HELP, add_options, analyse_net, read_source, read_weights_path
from netcompile.prototxt.diagnostic import Diagnostic, NetError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import torch

    from netcompile.pipeline import Analysed
    from netcompile.runtime.loaded import Loaded
    from netcompile.runtime.prepare import Preparation


def add_segmenting(parser: argparse.ArgumentParser, batch: int) -> None:
    """NET|BUILD, weights, preparation, device, and how the net is read."""
    parser.add_argument("net", metavar="NET|BUILD", help=f"{NET_HELP}; or the folder of a build, whose module is run")
    parser.add_argument("--weights", metavar="F", help="the .caffemodel or .caffemodel.h5 (a build has its own)")
    parser.add_argument(
        "--output", action="append", metavar="BLOB", help="the score blob (repeatable); default: the net's outputs"
    )
    group = parser.add_argument_group("how images are prepared; by default as the net's data layer says")
    group.add_argument("--mean", metavar="M", help='"B,G,R" or a .binaryproto')
    group.add_argument("--scale", type=float, help="factor after the mean is subtracted")
    group.add_argument("--order", choices=("bgr", "rgb"), help="of the channels; Caffe's nets want bgr")
    parser.add_argument("--batch", type=positive, default=batch, metavar="N", help=f"images at a time, default {batch}")
    parser.add_argument("-O", dest="optimise", type=int, choices=(0, 1, 2), default=1, help="optimisation, default 1")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    add_options(parser)


def positive(text: str) -> int:
    """A whole number above 0."""
    import argparse

    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


@dataclass(frozen=True)
class Job:
    """A net on its device, and what images must go through before it."""

    loaded: Loaded
    prepare: Preparation
    device: torch.device
    legal: Callable[[int, int], str] | None
    heads: tuple[str, ...]  # the score blobs; the loaded net may have a loss besides


def open_job(arguments: argparse.Namespace, leads: bool = True) -> Job:
    """Load what the options say. `leads`: whether this process speaks for all. Raises NetError, OSError."""
    from netcompile.cli.run import device
    from netcompile.runtime.loaded import is_build, load_build, load_net, to_device
    from netcompile.runtime.prepare import preparation
    from netcompile.runtime.ranks import local_device
    from netcompile.runtime.segment import legal_sizes

    target = local_device(device(arguments.device))
    legal = analysed = None
    if is_build(arguments.net):
        if arguments.weights is not None:
            raise NetError(
                Diagnostic("usage", "a build has its own weights: leave --weights out, or give the prototxt")
            )
        loaded = load_build(arguments.net)
        heads = _chosen(loaded.outputs, arguments.output)
        notes: list[Diagnostic] = []
    else:
        weights = read_weights_path(arguments.weights) if arguments.weights is not None else None
        analysed, heads = _analysed(arguments)
        inputs = [(entry.value.blob, entry.shape) for entry in analysed.graph.inputs]
        _one_image(inputs, arguments.with_loss)
        outputs = [*heads, *(name for name in analysed.graph.outputs if name not in heads)]
        loaded = load_net(analysed, weights, arguments.optimise, outputs if arguments.with_loss else heads)
        legal = legal_sizes(analysed)
        notes = [note for note in analysed.notes if note.severity != "note"]
    _one_image(loaded.inputs, arguments.with_loss)
    shape = loaded.inputs[0][1]
    prepare, remarks = preparation(
        loaded.graph, shape[1], os.path.dirname(arguments.net), arguments.mean, arguments.scale, arguments.order
    )
    if leads:
        show_notes([*notes, *remarks], frozenset({"mean-assumed"}))
    return Job(loaded, prepare, to_device(loaded, target, arguments.dtype), legal, heads)


def _one_image(inputs: Sequence[tuple[str, tuple[int, ...]]], with_loss: bool) -> None:
    """Raises NetError unless the net takes an image, and labels at most besides."""
    if not inputs or (len(inputs) > 1 and not with_loss):
        names = ", ".join(name for name, _ in inputs) or "none"
        raise NetError(
            Diagnostic(
                "image-input",
                f"the net has {len(inputs)} inputs ({names}), an image is one",
                remedy="netcompile run feeds any number of arrays",
            )
        )
    name, shape = inputs[0]
    if len(shape) != 4:
        raise NetError(Diagnostic("image-input", f"input '{name}' has {len(shape)} axes, an image 4"))


def _analysed(arguments: argparse.Namespace) -> tuple[Analysed, tuple[str, ...]]:
    """The net and its score blobs; with --with-loss those that it would have without."""
    source = read_source(arguments.net)
    analysed = analyse_net(arguments, source).require()
    bare = analysed
    if arguments.with_loss:
        from netcompile.cli.netinput import options
        from netcompile.pipeline import analyse

        chosen = replace(options(arguments), with_loss=False)
        bare = analyse(source, chosen, arguments.crop_offsets, arguments.round_crops).require()
    if arguments.output:
        from netcompile.cli.run import wanted

        return analysed, tuple(wanted(arguments.output, analysed) or ())
    maps = tuple(name for name in bare.graph.outputs if len(bare.shapes.get(bare.graph.blobs[name], ())) == 4)
    if not maps:
        names = ", ".join(bare.graph.outputs)
        raise NetError(
            Diagnostic(
                "score-map",
                f"no output of the net is a map (N×C×H×W): it has {names}",
                why="a net that classifies whole images gives no label per pixel",
                remedy="netcompile surgery convolutionalise makes a map of it; --output names another blob",
            )
        )
    return analysed, maps


def _chosen(outputs: tuple[str, ...], asked: list[str] | None) -> tuple[str, ...]:
    unknown = [name for name in asked or () if name not in outputs]
    if unknown:
        raise NetError(
            Diagnostic(
                "unknown-blob",
                f"the build has no output '{unknown[0]}'",
                why=f"it has {', '.join(outputs)}",
                remedy="give the prototxt and the caffemodel instead: any blob can be asked for there",
            )
        )
    return tuple(asked or outputs)
