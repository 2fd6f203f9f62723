"""Rework nets and weights between two trainings, as the FCN code's surgery.py does.

convolutionalise  every InnerProduct becomes a Convolution with the right kernel and reshaped weights: a classifier
                  gives its scores at its own size, and a map of scores on larger images
transplant        weights of one net into another by layer name; blobs of fully connected layers are read as kernels
interp            bilinear kernels in upsampling layers
expand-score      more classes: the old ones become the first in every score layer, upsampling stays bilinear; NET has
                  the new number of classes, or the old one and --classes N writes the new net too

Weights are read from .caffemodel, .caffemodel.h5 or .safetensors (keys LAYER.INDEX), and written as .caffemodel or
.safetensors, by the name given.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netcompile.analysis.footprint import require_weights
from netcompile.analysis.shapes import infer
from netcompile.cli.exit_codes import DONE, USAGE
from netcompile.cli.messages import say, show
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import options, read_source
from netcompile.cli.options import add_max_memory, add_weights, positive, torch_seed, weights_of
from netcompile.cli.output import write_done
from netcompile.cli.weights import require_other
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import bytes_text, listed
from netcompile.files.whole import whole_file, whole_folder
from netcompile.prototxt.printer import to_text

if TYPE_CHECKING:
    from netcompile.surgery import Net, Weights


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="operation", metavar="OPERATION")
    one = kinds.add_parser("convolutionalise", aliases=["convolutionalize"], help="InnerProduct → Convolution")
    one.add_argument("-o", dest="out", metavar="OUT.prototxt", required=True, help="the new net")
    one.add_argument("--out-weights", metavar="W", help="the new weights; default: OUT.caffemodel, with --weights")
    one.add_argument("--pad", type=int, metavar="N", help="padding of the first convolution; 100 in the FCN nets")
    one.add_argument("--suffix", default="", help='put behind the names of converted layers, such as "-conv"')
    two = kinds.add_parser("transplant", help="weights of another net, by name")
    two.add_argument("--suffix", default="", help="what new names have behind the old ones; same names count too")
    three = kinds.add_parser("interp", help="bilinear kernels in upsampling layers")
    three.add_argument("--layers", action="append", metavar="A,B", help='default: Deconvolutions with "up" in the name')
    four = kinds.add_parser("expand-score", help="score layers with more classes")
    four.add_argument("--classes", type=positive, metavar="N", help="NET is the old net: write one with N classes")
    four.add_argument("--out-net", metavar="NEW.prototxt", help="that net; default: named after OUT, with --classes")
    what = "a score layer that is found in no other way, in the old and the new net; which head, with --classes"
    four.add_argument("--layer", action="append", default=[], metavar="OLD[:NEW]", help=f"{what} (repeatable)")
    for kind in (one, two, three, four):
        required = kind in (two, four)
        add_weights(kind, " with the old weights", required)
        add_net(kind)
        add_max_memory(kind)
    for kind in (two, three, four):
        kind.add_argument("-o", dest="out", metavar="OUT", required=True, help="OUT.caffemodel or OUT.safetensors")
        kind.add_argument("--seed", type=torch_seed, default=1, help="of the fillers, default 1")


def run(arguments: argparse.Namespace) -> int:
    if arguments.operation is None:
        say("error: which operation? convolutionalise, transplant, interp or expand-score")
        return USAGE
    from netcompile.surgery import read_weights
    from netcompile.surgery.net import open_net

    net = open_net(read_source(arguments.net), options(arguments))
    require_weights(net.name, net.graph, infer(net.graph)[0])
    path = weights_of(arguments)
    old = None if path is None else read_weights(path)
    operation = {"transplant": _transplant, "interp": _interp}.get(arguments.operation)
    if operation is not None:
        _save(arguments.out, operation(arguments, net, old or {}), net)
        return DONE
    return (_expand if arguments.operation == "expand-score" else _convolutionalise)(arguments, net, old or {})


def _convolutionalise(arguments: argparse.Namespace, net: Net, weights: Weights) -> int:
    from netcompile.surgery import convolutionalise

    old = None if arguments.weights is None else weights
    if arguments.out_weights is not None and old is None:
        refuse("usage", "--out-weights needs --weights")
    done = convolutionalise(net, old, pad=arguments.pad, suffix=arguments.suffix, options=options(arguments))
    text = to_text(done.net.message).encode("utf-8", "surrogateescape")
    if done.weights is None:
        with whole_file(arguments.out) as file:
            file.write(text)
    else:
        path = arguments.out_weights or f"{arguments.out.removesuffix('.prototxt')}.caffemodel"
        _save_both(path, done.weights, arguments.out, text, done.net)
    write_done(*done.changes, f"wrote {arguments.out}")
    return DONE


def _save_both(path: str, weights: Weights, out: str, text: bytes, net: Net) -> None:
    """The new weights and the new net: together where they lie in one folder, else at once after both are written."""
    places = [os.path.split(os.path.realpath(name)) for name in (path, out)]
    known = path.endswith((".caffemodel", ".safetensors"))
    if places[0] == places[1] or not known:  # `_save` refuses other names
        _save(path, weights, net)
        with whole_file(out) as file:
            file.write(text)
        return
    with ExitStack() as stack:
        first = stack.enter_context(whole_folder(places[0][0], "-surgery"))
        other = places[0][0] != places[1][0]
        second = stack.enter_context(whole_folder(places[1][0], "-surgery")) if other else first
        size = _write(first.add(places[0][1]), weights, net)
        second.write(places[1][1], text)
    _tell(path, weights, size)


def _transplant(arguments: argparse.Namespace, net: Net, old: Weights) -> Weights:
    from netcompile.surgery import transplant

    found = transplant(net, old, suffix=arguments.suffix, seed=arguments.seed)
    for what, names in (
        ("copied", found.copied), ("read in another shape", found.coerced), ("drawn by their fillers", found.filled),
    ):  # fmt: skip
        if names:
            write_done(f"{what}: {', '.join(names)}")
    if found.dropped:
        what = f"{arguments.weights} has blobs that the net has no place for: {listed(found.dropped)}"
        show([Diagnostic("weights-unused", what, severity="warning")])
    if not found.copied and not found.coerced:
        refuse("surgery", f"no layer of {arguments.weights} has its name in the net", remedy="--suffix")
    return found.weights


def _interp(arguments: argparse.Namespace, net: Net, old: Weights) -> Weights:
    from netcompile.surgery import interp, transplant
    from netcompile.surgery.transplant import upsampling

    names = [name for text in arguments.layers or () for name in text.split(",")] or list(upsampling(net))
    if not names:
        refuse("surgery", 'the net has no Deconvolution with "up" in its name', remedy="--layers A,B")
    found = transplant(net, old, seed=arguments.seed)
    made = interp(found.weights, names)
    write_done(f"bilinear: {', '.join(names)}")
    return made


def _expand(arguments: argparse.Namespace, net: Net, old: Weights) -> int:
    from netcompile.surgery import expand_classes, with_classes

    if arguments.out_net is not None and arguments.classes is None:
        refuse("usage", "--out-net needs --classes N: without it NET is the new net")
    renamed = {}
    if arguments.classes is not None:
        net, _ = with_classes(net, arguments.classes, "".join(arguments.layer[:1]), options(arguments))
    else:
        pairs = [text.partition(":") for text in arguments.layer]
        renamed = {after or before: before for before, _, after in pairs}
    for after, before in renamed.items():
        if before not in old:
            refuse("surgery", f"the old weights have no layer '{before}'")
        if after not in [node.name for node in net.graph.nodes]:
            refuse("surgery", f"the net has no layer '{after}' with weights")
    found = expand_classes(net, old, renamed=renamed, seed=arguments.seed)
    if not found.counts:
        what = f"no score layer of the net has more classes than in {arguments.weights}"
        refuse("surgery", what, remedy="give a net with more, or --classes N, which writes one")
    for name, (count, total) in found.counts.items():
        write_done(f"{name}: {count} old classes, {total - count} new ones")
    for what, names in (("bilinear", found.bilinear), ("drawn by their fillers", found.filled)):
        if names:
            write_done(f"{what}: {', '.join(names)}")
    if arguments.classes is None:
        _save(arguments.out, found.weights, net)
        return DONE
    out = arguments.out_net or f"{arguments.out.removesuffix('.caffemodel').removesuffix('.safetensors')}.prototxt"
    require_other(out, arguments.net, arguments.weights)
    _save_both(arguments.out, found.weights, out, to_text(net.message).encode("utf-8", "surrogateescape"), net)
    write_done(f"wrote {out}")
    return DONE


def _save(path: str, weights: Weights, net: Net) -> None:
    _tell(path, weights, _write(path, weights, net))


def _write(path: str, weights: Weights, net: Net) -> int:
    from netcompile.surgery import write_weights

    return write_weights(path, weights, net.name, {node.name: node.type for node in net.graph.nodes})


def _tell(path: str, weights: Weights, size: int) -> None:
    write_done(f"wrote {path} ({len(weights)} layers, {bytes_text(size)})")
