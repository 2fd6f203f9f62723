"""Train a net as Caffe's solvers do, of all six types and with all learning-rate policies.

Writes DIR/final.safetensors (Caffe's blobs as <layer>.<index>) and DIR/log.json ({"loss": [one per step]}),
and snapshots where the solver asks for them. Lines of progress go to stderr, as Caffe writes them. An
interrupt (Ctrl-C) writes a snapshot first. Under torchrun several processes train as one, with the same
result:

  torchrun --nproc-per-node 2 -m netcompile train solver.prototxt --data batches.npz -o DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from netcompile.cli.exit_codes import DONE, INTERRUPTED
from netcompile.cli.messages import show_notes, tell_lines
from netcompile.cli.netinput import read_source
from netcompile.cli.options import add_device, add_max_memory, device, torch_seed
from netcompile.cli.weights_path import read_weights_path
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.source import Source
from netcompile.files.look import is_there
from netcompile.train.solver import read_solver
from netcompile.zoo.find import find_definition

SHOWN = frozenset({"solver-elsewhere", "weights-drawn", "weights-unused"})


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("solver", metavar="SOLVER", help="a solver prototxt; its net is looked for beside it first")
    parser.add_argument(
        "-o", dest="out", metavar="DIR", default="train-out", help="the folder to write to, default ./train-out"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="F",
        help="weights to start from, by layer name: .caffemodel, .caffemodel.h5, .safetensors (repeatable)",
    )
    parser.add_argument(
        "--data",
        metavar="D",
        help="batches.npz (one array per data top, first axis the step), the folder of a data set, or a "
        "list of images and label maps; default: what the net's data layers say",
    )
    parser.add_argument(
        "--split", default="train", metavar="S", help="list of the --data folder to train on, default train"
    )
    parser.add_argument(
        "--mean",
        type=numbers,
        metavar="B,G,R",
        help="mean of --data images, default: what the net's data layer says, else FCN's",
    )
    parser.add_argument(
        "--interp",
        action="store_true",
        help="bilinear kernels in every Deconvolution without a filler, as the FCN reference code sets them",
    )
    parser.add_argument(
        "--snapshot-prefix",
        metavar="PREFIX",
        help="what paths of snapshots begin with, instead of the solver's snapshot_prefix, which must stay below DIR",
    )
    parser.add_argument("--resume", metavar="SNAPSHOT.json", help="go on where a snapshot was taken")
    parser.add_argument("--seed", type=torch_seed, metavar="N", help="instead of the solver's random_seed")
    add_device(parser, ("float32", "bfloat16"), "bfloat16: autocast")
    add_max_memory(parser)


def numbers(text: str) -> tuple[float, ...]:
    """``104,117,123`` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form B,G,R") from None


def run(arguments: argparse.Namespace) -> int:
    """The solver and its nets are checked before anything is computed or written."""
    source = read_source(arguments.solver)
    if arguments.solver != "-" and not is_there(arguments.solver):
        bundled = find_definition(arguments.solver)
        assert bundled is not None
        source = Source(source.text, str(bundled))
    solver = read_solver(source)
    if arguments.resume is not None:
        refuse_beside_resume(arguments)
    weights = tuple(read_weights_path(name) for name in arguments.weights)

    from netcompile.train.prepare import Wishes, prepare
    from netcompile.train.session import train

    wishes = Wishes(
        weights, arguments.data, arguments.out, arguments.split, arguments.mean, device(arguments.device),
        arguments.dtype, arguments.seed, arguments.interp, resume=arguments.resume,
        snapshots=arguments.snapshot_prefix,
    )  # fmt: skip
    finished = train(lambda: prepare(solver, wishes, say, note), arguments.out, arguments.resume)
    return DONE if finished else INTERRUPTED


def refuse_beside_resume(arguments: argparse.Namespace) -> None:
    """Raises NetError for options whose values a snapshot has itself."""
    reasons = {
        "weights": (bool(arguments.weights), "a snapshot has its own weights, and Caffe refuses both too"),
        "seed": (arguments.seed is not None, "a snapshot has its own seed, which chose the order of its data"),
    }
    for option, (given, why) in reasons.items():
        if given:
            refuse("usage", f"--resume and --{option} together", why=why, remedy="give one of them")


def say(text: str) -> None:
    """A line of progress."""
    tell_lines(text)


def note(found: Sequence[Diagnostic]) -> None:
    show_notes(found, SHOWN)
