"""Compile a net in memory, run it once on arrays from an .npz file, and save blobs to another."""

from __future__ import annotations

import argparse
from typing import Any

from netcompile.cli.arrays import read_npz, write_npz
from netcompile.cli.codes import DONE, IO_FAILED
from netcompile.cli.messages import show, show_notes
from netcompile.cli.netinput import add_net, add_output, analyse_net, read_source, read_weights_path
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.pipeline import Analysed

Arrays = dict[str, Any]  # of numpy.ndarray


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    parser.add_argument("--weights", metavar="F", help="the .caffemodel or .caffemodel.h5")
    parser.add_argument("--inputs", metavar="IN.npz", required=True, help="one array per input, by blob name")
    parser.add_argument("--out", metavar="OUT.npz", required=True, help="where the blobs are saved, by name")
    parser.add_argument(
        "--blobs",
        action="append",
        metavar="A,B|all",
        help="which blobs: names, or all for every blob's final value; default: the net's outputs",
    )
    add_output(parser, "a blob that counts as an output, and is saved; layers that none needs do not run")
    parser.add_argument("-O", dest="optimise", type=int, choices=(0, 1, 2), default=1, help="optimisation, default 1")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float64"), default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def run(arguments: argparse.Namespace) -> int:
    """Labels that the inputs file holds keep the layers that need them; real shapes replace declared ones."""

    if arguments.blobs and arguments.output:
        what = "--output says what the net's outputs are, --blobs what is saved besides: both together say it twice"
        refuse("usage", what, remedy="--output BLOB alone; or --blobs A,B, which keeps the whole net")
    source = read_source(arguments.net)
    weights = read_weights_path(arguments.weights) if arguments.weights is not None else None
    arrays = read_npz(arguments.inputs, arguments.dtype)
    analysed = analyse_net(arguments, source, fed=frozenset(arrays), outputs=arguments.output)
    shapes = shapes_of(analysed, arrays, arguments.inputs)
    if any(entry.shape != shapes.get(entry.value.blob, entry.shape) for entry in analysed.graph.inputs):
        analysed = analyse_net(arguments, source, shapes, frozenset(arrays), arguments.output)
    analysed.require()
    show_notes([*analysed.notes, *_unused(analysed, arrays, arguments.inputs)], frozenset({"label-dropped"}))
    try:
        from netcompile.cli.weights import remarks
        from netcompile.runtime import execute

        found = execute.run(
            analysed,
            weights,
            arrays,
            level=arguments.optimise,
            blobs=wanted(arguments.blobs, analysed),
            dtype=arguments.dtype,
            device=device(arguments.device),
            noticed=lambda report: show(remarks(report, weights or "")),
        )
    except NotImplementedError as error:  # the stub of an unknown layer was reached
        refuse("unknown-layer", str(error), remedy="ask for blobs before it: --blobs")
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        from netcompile.cli.main import say

        say(f"error: not enough memory on {arguments.device} for these inputs")
        return IO_FAILED
    write_npz(arguments.out, found)
    return DONE


def wanted(asked: list[str] | None, analysed: Analysed) -> list[str] | None:
    """The blobs asked for; a name with commas in it counts whole if the net has it."""
    if asked is None:
        return None
    names: list[str] = []
    for text in asked:
        names += [text] if text in analysed.graph.blobs else [name for name in text.split(",") if name]
    if "all" in names and "all" not in analysed.graph.blobs:
        return ["all"]
    return list(dict.fromkeys(names))


def shapes_of(analysed: Analysed, arrays: Arrays, path: str) -> dict[str, tuple[int, ...]]:
    """The real shapes of the inputs. Raises NetError where one cannot be the input's."""
    problems, shapes = [], {}
    for entry in analysed.graph.inputs:
        blob = entry.value.blob
        if blob not in arrays:
            continue
        shape = tuple(int(extent) for extent in arrays[blob].shape)
        shapes[blob] = shape
        here = "x".join(map(str, shape)) or "()"
        if 0 in shape:
            what, why = f"input '{blob}' is empty: {here} in {path}", "every extent must be at least 1"
        elif entry.declared and len(shape) != len(entry.shape):
            what = f"input '{blob}' has {len(shape)} axes in {path}, {len(entry.shape)} in the net"
            why = f"{here} against {'x'.join(map(str, entry.shape))}"
        else:
            continue
        problems.append(Diagnostic("input-shape", what, entry.message.span, why=why))
    if problems:
        raise NetError(problems)
    return shapes


def _unused(analysed: Analysed, arrays: Arrays, path: str) -> list[Diagnostic]:
    inputs = [entry.value.blob for entry in analysed.graph.inputs]
    return [
        Diagnostic(
            "unused-array",
            f"array '{name}' of {path} is no input of the net",
            why=f"inputs are: {', '.join(inputs) or 'none'}",
            severity="warning",
        )
        for name in arrays
        if name not in inputs and (analysed.graph.cut is None or name not in analysed.graph.cut.inputs)
    ]


def device(name: str) -> str:
    """The device, if there is one of its kind."""
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            refuse("no-device", "no CUDA device can be used here", remedy="--device cpu")
    return name
