"""Compile a net in memory, run it once on arrays from an .npz file, and save blobs to another."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from netcompile.analyser import Analysed
from netcompile.cli.arrays import analyse_fed, labels_told
from netcompile.cli.exit_codes import DONE, IO_FAILED
from netcompile.cli.messages import say, show_notes
from netcompile.cli.net_options import add_net, add_output
from netcompile.cli.netinput import named_blobs, read_source
from netcompile.cli.options import (
    add_device,
    add_engine,
    add_max_memory,
    add_optimise,
    add_tune,
    add_weights,
    device,
    level_of,
    seconds_of,
    weights_of,
)
from netcompile.cli.output import write_done
from netcompile.cli.weights import require_other, shown
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import bytes_text, shape_text
from netcompile.files.limits import require_disk
from netcompile.files.npz import members_npz, read_npz, write_npz
from netcompile.files.whole import whole_file

Arrays = dict[str, Any]  # of numpy.ndarray


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_weights(parser)
    parser.add_argument("--inputs", metavar="IN.npz", required=True, help="one array per input, by blob name")
    parser.add_argument("--out", metavar="OUT.npz", required=True, help="where the blobs are saved, by name")
    parser.add_argument(
        "--blobs",
        action="append",
        metavar="A,B|all",
        help="which blobs: names, or all for every blob's final value; default: the net's outputs",
    )
    add_output(parser, "a blob that counts as an output, and is saved; layers that none needs do not run")
    add_optimise(parser)
    add_engine(parser)
    add_tune(parser)
    add_device(parser)
    add_max_memory(parser)


def run(arguments: argparse.Namespace) -> int:
    """Labels that the inputs file holds keep the layers that need them; real shapes replace declared ones."""
    if arguments.blobs and arguments.output:
        what = "--output says what the net's outputs are, --blobs what is saved besides: both together say it twice"
        refuse("usage", what, remedy="--output BLOB alone; or --blobs A,B, which keeps the whole net")
    require_other(arguments.out, arguments.net, arguments.weights, arguments.inputs)
    source = read_source(arguments.net)
    weights = weights_of(arguments)
    members = members_npz(arguments.inputs)
    analysed = analyse_fed(arguments, source, members, arguments.inputs, arguments.output).require()
    show_notes([*analysed.notes, *_unused(analysed, members, arguments.inputs)], frozenset({"label-dropped"}))
    wanted = {entry.value.blob for entry in analysed.graph.inputs}
    arrays = read_npz(arguments.inputs, arguments.dtype, wanted)
    try:
        from netcompile.engines import compiled

        with labels_told(analysed, arrays):
            found, said = compiled.run(
                analysed,
                weights,
                arrays,
                compiled.Wanted(
                    arguments.engine,
                    level_of(arguments),
                    named_blobs(arguments.blobs, analysed),
                    weights,
                    arguments.dtype,
                    device(arguments.device),
                    tune=seconds_of(arguments),
                ),
                noticed=shown(weights),
            )
    except NotImplementedError as error:  # the stub of an unknown layer was reached
        refuse("unknown-layer", str(error), remedy="ask for blobs before it: --blobs")
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        say(f"error: not enough memory on {arguments.device} for these inputs")
        return IO_FAILED
    show_notes(said, frozenset({"engine", "plan-busy"}))
    require_disk(arguments.out, sum(array.nbytes for array in found.values()))
    with whole_file(arguments.out) as file:
        write_npz(file, found)
        size = file.tell()
    count = "1 array" if len(found) == 1 else f"{len(found)} arrays"
    write_done(f"wrote {arguments.out} ({count}, {bytes_text(size)})")
    write_done(*(f"  {name}: {shape_text(array.shape)}, {array.dtype}" for name, array in found.items()))
    return DONE


def _unused(analysed: Analysed, arrays: Mapping[str, Any], path: str) -> list[Diagnostic]:
    inputs = [entry.value.blob for entry in analysed.graph.inputs]
    why = f"inputs are: {', '.join(inputs) or 'none'}"
    return [
        Diagnostic("unused-array", f"array '{name}' of {path} is no input of the net", why=why, severity="warning")
        for name in arrays
        if name not in inputs and (analysed.graph.cut is None or name not in analysed.graph.cut.inputs)
    ]
