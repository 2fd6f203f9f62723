"""Measure which way computes each convolution of a net fastest on this machine, and keep that as the net's plan.

The net is compiled at -O 2, where a convolution can be computed in several ways. The costly ones are timed in each way
where they are in the net; then the whole net is timed by the ways that rules choose and by the plan, in turn, and a
plan that is no faster is dropped. It is kept as a JSON file in the user's cache folder, for this CPU, torch, type of
numbers, number of threads and about this size. --tune of run, predict and evaluate computes by it, and
netcompile.load(…, tune=True). A build's module is Python code, and is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netcompile.cli.exit_codes import DONE
from netcompile.cli.messages import show, show_notes
from netcompile.cli.net_options import NET_HELP, add_options
from netcompile.cli.netinput import analyse_net, read_source
from netcompile.cli.options import add_max_memory, add_trust_edits, add_weights, edits_told, positive, weights_of
from netcompile.cli.output import write_done, write_json, write_text
from netcompile.data.preparation import crop_option
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.diagnostics.visible import visible
from netcompile.report.table import table

if TYPE_CHECKING:
    from netcompile.engines.plans import Planned
    from netcompile.runtime.tuning import Choice

Shape = tuple[int, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", metavar="NET|BUILD", help=f"{NET_HELP}; or the folder of a build, whose module is run")
    add_weights(parser, " (a build has its own); default: drawn numbers, for which the ways take as long")
    parser.add_argument("--size", type=size, metavar="HxW", help="of the images; default: as declared")
    parser.add_argument("--batch", type=positive, metavar="N", help="images at a time; default: as declared")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=positive, metavar="N", help="of torch; default: as many as it takes")
    what = "for timing convolutions, default 2; some passes of the whole net come on top"
    parser.add_argument("--seconds", type=seconds, default=2.0, metavar="S", help=what)
    add_trust_edits(parser)
    add_max_memory(parser)
    parser.add_argument("--json", action="store_true", help="what was measured as JSON")
    add_options(parser)


def size(text: str) -> tuple[int, int]:
    """``500x375`` as height and width."""
    if not set("x×") & set(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form HxW")
    return crop_option(text)


def seconds(text: str) -> float:
    """A number of seconds."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return found


def run(arguments: argparse.Namespace) -> int:
    import torch

    from netcompile.runtime.loaded import is_build

    threads = torch.get_num_threads()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        name, found = _of_build(arguments) if is_build(arguments.net) else _of_net(arguments)
    finally:
        torch.set_num_threads(threads)
    show_notes(found.notes, frozenset({"plan-busy"}))
    if arguments.json:
        write_json(as_json(name, found))
        return DONE
    write_text(as_text(name, found))
    if found.path:
        write_done(f"kept in {found.path}")
    return DONE


def _of_build(arguments: argparse.Namespace) -> tuple[str, Planned]:
    from netcompile.engines.builds import plannable
    from netcompile.engines.plans import planned
    from netcompile.runtime.loaded import load_build

    if arguments.weights is not None:
        refuse("usage", "a build has its own weights: leave --weights out, or give the prototxt")
    loaded = load_build(arguments.net, arguments.trust_edits)
    show(edits_told(arguments.net, loaded.edited))
    shapes = _shapes(arguments, loaded.inputs)
    net, inputs = plannable(replace(loaded, inputs=tuple(shapes.items())), arguments.dtype)
    return loaded.name, planned(net, loaded.name, inputs, arguments.seconds, anew=True)


def _of_net(arguments: argparse.Namespace) -> tuple[str, Planned]:
    source = read_source(arguments.net)
    weights = weights_of(arguments)
    analysed = analyse_net(arguments, source).require()
    shapes = _shapes(arguments, [(entry.value.blob, entry.shape) for entry in analysed.graph.inputs])
    analysed = analyse_net(arguments, source, shapes).require()
    show_notes(analysed.notes, frozenset({"assumed-shape"}))
    from netcompile.engines.compiled import Wanted, tune

    return analysed.name, tune(analysed, Wanted(level=2, weights=weights, dtype=arguments.dtype), arguments.seconds)


def _shapes(arguments: argparse.Namespace, inputs: Iterable[tuple[str, Shape]]) -> dict[str, Shape]:
    """Shapes of the inputs, those of images as --size and --batch say."""
    found = {}
    for name, shape in inputs:
        if len(shape) == 4:
            shape = arguments.batch or shape[0], shape[1], *(arguments.size or shape[2:])
        found[name] = shape
    return found


def as_text(name: str, found: Planned) -> str:
    """A table of the layers that were timed, those that cost most first; then the whole net."""
    from netcompile.engines.plans import gain

    tuning = found.tuning
    timed = [choice for choice in tuning.choices if len(choice.milliseconds) > 1]
    ways = list(dict.fromkeys(way for choice in timed for way in choice.milliseconds))
    header = ("layer", "output", "by rule", "measured", *(f"{way} ms" for way in ways), "gain")
    rows = [
        (choice.layer, shape_text(choice.shape), choice.rule, choice.way,
         *(f"{choice.milliseconds[way]:.3f}" if way in choice.milliseconds else "" for way in ways), _gain(choice))
        for choice in timed
    ]  # fmt: skip
    lines = [table(header, rows, right=range(4, len(header))), ""] if timed else []
    untimed = len(tuning.choices) - len(timed)
    rest = f", {untimed} others were not: they have one way, or would have taken too long" if untimed else ""
    lines += [f"{_count(timed)} timed in {tuning.seconds:.1f} s{rest}", f"{visible(name)}: {gain(tuning)}"]
    return "\n".join(lines) + "\n"


def _count(timed: Sequence[Choice]) -> str:
    return "1 convolution was" if len(timed) == 1 else f"{len(timed)} convolutions were"


def _gain(choice: Choice) -> str:
    if choice.way == choice.rule:
        return ""
    return f"{choice.milliseconds[choice.rule] / choice.milliseconds[choice.way]:.2f} ×"


def as_json(name: str, found: Planned) -> Mapping[str, Any]:
    """All that was measured; milliseconds are medians, of a layer those of one call."""
    tuning, case = found.tuning, found.case
    return {
        "version": 1,
        "net": name,
        "cpu": case.cpu,
        "instructions": case.instructions,
        "dtype": case.dtype,
        "threads": case.threads,
        "by_rule": tuning.by_rule,
        "by_plan": tuning.by_plan,
        "faster": tuning.faster,
        "seconds": tuning.seconds,
        "kept": found.path or None,
        "layers": [
            {
                "name": choice.layer, "shape": list(choice.shape), "calls": choice.calls, "rule": choice.rule,
                "way": choice.way, "milliseconds": dict(choice.milliseconds),
            }
            for choice in tuning.choices
        ],
    }  # fmt: skip
