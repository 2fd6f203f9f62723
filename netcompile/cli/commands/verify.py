"""Compare a net blob by blob with a reference, and name the first layer that differs.

The reference is an .npz of arrays by blob name (NAME or blob:NAME for final values, top:LAYER:NAME for the value right
after a layer: a dump of Caffe's, or ONNX Runtime's outputs), or the folder of another build. Inputs come from --inputs,
else from the reference, which has them by name. --self compares -O0 with the other levels; without --weights it draws
them. A build's module is Python code, and is run. Exit code 1 where something differs, or is NaN on both sides
throughout; 2 where nothing that the net computes could be compared.
"""

from __future__ import annotations

import argparse
from math import prod
from typing import TYPE_CHECKING, Any

from netcompile.analyser import Analysed
from netcompile.analysis.footprint import require_room
from netcompile.cli.arrays import analyse_fed, labels_told, other_order
from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.messages import show, show_notes
from netcompile.cli.net_options import NET_HELP, add_options
from netcompile.cli.netinput import analyse_net, read_source
from netcompile.cli.options import (
    add_max_memory,
    add_optimise,
    add_trust_edits,
    add_weights,
    edits_told,
    seed_number,
    weights_of,
)  # fmt: skip
from netcompile.cli.output import write_json, write_text
from netcompile.cli.weights import require_other, shown
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.source import Source
from netcompile.diagnostics.text import listed, shape_text
from netcompile.files.look import is_folder, is_there
from netcompile.files.npz import read_npz
from netcompile.files.whole import whole_file

if TYPE_CHECKING:
    from netcompile.runtime.blobs import Activations
    from netcompile.runtime.verify import Verification

    Arrays = dict[str, Any]
    Result = tuple[str, Verification, Activations, Arrays]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", metavar="NET|BUILD", help=f"{NET_HELP}; or the folder of a build")
    add_weights(parser, " (a build has its own)")
    parser.add_argument("--reference", metavar="REF", help="an .npz of blobs, or the folder of a build")
    parser.add_argument("--inputs", metavar="IN.npz", help="one array per input, by blob name")
    parser.add_argument("--self", dest="own", action="store_true", help="compare -O0 with -O1 and -O2")
    parser.add_argument("--seed", type=seed_number, default=1, help="of drawn inputs and weights (--self), default 1")
    add_trust_edits(parser)
    parser.add_argument("--tolerance", type=float, default=1e-4, metavar="T", help="relative error, default 1e-4")
    add_optimise(parser)
    add_max_memory(parser)
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")
    parser.add_argument("--html", metavar="PAGE.html", help="write a page with heat maps")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.own == (arguments.reference is not None):
        refuse("usage", "give --reference REF, or --self")
    if not 0 <= arguments.tolerance < float("inf"):
        refuse("usage", f"--tolerance {arguments.tolerance:g} is no tolerance")
    if arguments.html is not None:
        require_other(arguments.html, arguments.net, arguments.weights, arguments.inputs, arguments.reference)
    from netcompile.runtime.verify_report import verification_as_json, verification_as_text, verification_page

    name, results = _with_itself(arguments) if arguments.own else _with_reference(arguments)
    if arguments.json:
        parts = [verification_as_json(found, name, title) for title, found, _, _ in results]
        write_json(parts[0] if not arguments.own else {"version": 1, "net": name, "levels": parts})
    else:
        texts = [verification_as_text(found, f"{name}: {title}") for title, found, _, _ in results]
        write_text("\n".join(texts))
    for title, found, blobs, _ in results:
        show([*_empty(found, title), *_left_out(found, blobs, title)])
    if arguments.html is not None:
        with whole_file(arguments.html) as file:
            file.write(verification_page(results, name).encode())
    return DONE if all(found.first is None for _, found, _, _ in results) else FINDINGS


def _with_reference(arguments: argparse.Namespace) -> tuple[str, list[Result]]:
    from netcompile.runtime.blobs import blobs_of_build, blobs_of_net
    from netcompile.runtime.loaded import is_build, load_build
    from netcompile.runtime.verify import verify

    given, trust = _given(arguments), arguments.trust_edits
    reference: Arrays = {}
    if not is_build(arguments.reference):
        _check_reference(arguments.reference)
        reference = read_npz(arguments.reference, "float64")
    feed = {**{key.removeprefix("blob:"): array.astype("float32") for key, array in reference.items()}, **given}
    if is_build(arguments.net):
        loaded = load_build(arguments.net, trust)
        show(edits_told(arguments.net, loaded.edited))
        _check_orders(loaded.inputs, feed)
        name, feed = loaded.name, _feed(loaded.inputs, feed, arguments)
        # Values right after layers are not kept there; but a blob may be called as if it were one.
        blobs = {*loaded.outputs, *loaded.variables}
        reference = {key: array for key, array in reference.items() if not key.startswith("top:") or key in blobs}
        found = blobs_of_build(arguments.net, feed, [key.removeprefix("blob:") for key in reference], trust)
    else:
        analysed, feed = _analysed(arguments, read_source(arguments.net), feed)
        name = analysed.name
        weights = weights_of(arguments)
        with labels_told(analysed, feed):
            found = blobs_of_net(analysed, weights, feed, arguments.optimise, noticed=shown(weights))
    if is_build(arguments.reference):
        other = load_build(arguments.reference, trust)
        show(edits_told(arguments.reference, other.edited))
        _feed(other.inputs, feed, arguments)
        reference = blobs_of_build(arguments.reference, feed, tuple(found.arrays), trust).arrays
    result = verify(found, reference, arguments.tolerance)
    _remarks(result, arguments.reference)
    return name, [(f"against {arguments.reference}", result, found, reference)]


def _check_orders(inputs: tuple[tuple[str, tuple[int, ...]], ...], feed: Arrays) -> None:
    """Raises NetError for an array whose axes are in another order than the build's."""
    for name, shape in inputs:
        why, change = other_order(feed[name].shape, shape) if name in feed else ("", "")
        if why:
            what = f"input '{name}' is {shape_text(feed[name].shape)}: its axes are in another order than the build's"
            why, remedy = f"the build takes {shape_text(shape)}{why}", f"save it as x{change}, with NumPy"
            refuse("input-shape", what, why=why, remedy=remedy)


def _given(arguments: argparse.Namespace) -> Arrays:
    """The arrays of ``--inputs``."""
    return read_npz(arguments.inputs, "float32") if arguments.inputs is not None else {}


def _check_reference(path: str) -> None:
    """Raises NetError where there is no such file, or a folder that is no build."""
    if is_folder(path):
        what = f"the folder '{path}' is no build: it has no manifest.json"
        refuse("reference", what, remedy="netcompile build … -o DIR makes one")
    if not is_there(path):
        remedy = "--reference takes an .npz of blobs, or the folder of a build"
        refuse("no-such-file", f"there is no file '{path}'", remedy=remedy)


def _remarks(result: Verification, path: str) -> None:
    """What could not be compared; NetError where nothing that the net computes could."""
    unknown = listed(result.unknown)
    if not result.compared:
        refuse(
            "reference",
            f"the net has none of the blobs of {path}",
            why=f"the reference has {unknown}" if unknown else "it is empty",
            remedy="name its arrays after the net's blobs",
        )
    _require_proof(result, path)
    if result.unknown:
        count = f"{len(result.unknown)} arrays" if len(result.unknown) > 1 else "1 array"
        what = f"{count} of {path} {'are' if len(result.unknown) > 1 else 'is'} no blob of the net: {unknown}"
        show([Diagnostic("reference", what, severity="note")])


def _require_proof(result: Verification, path: str) -> None:
    """Raises NetError where nothing differs because nothing that the net computes was compared."""
    if result.proves or result.first is not None:
        return
    empty = [entry.key for entry in result.compared if entry.place.position >= 0]
    fed = [entry.key for entry in result.compared if entry.place.position < 0]
    reasons = [f"{listed(fed)} {'are' if len(fed) > 1 else 'is'} fed to the net, not computed"] if fed else []
    reasons += [f"{listed(empty)} {'have' if len(empty) > 1 else 'has'} no numbers"] if empty else []
    reasons += [f"the net has no blob {listed(result.unknown)}"] if result.unknown else []
    refuse(
        "reference",
        f"nothing that the net computes can be compared with {path}",
        why="; ".join(reasons),
        remedy="a reference with the net's outputs, or with all its blobs",
    )


def _empty(found: Verification, title: str) -> list[Diagnostic]:
    """A warning where numbers are NaN on both sides: they agree with each other and prove nothing."""
    blobs = [f"'{c.key}' ({c.empty} of {prod(c.shape)})" for c in found.compared if c.empty]
    if not blobs:
        return []
    what = f"{title}: numbers that are NaN on both sides were not compared, in {listed(blobs)}"
    why = "NaN is the result of whatever went wrong before it: two of them need not mean the same"
    remedy = "look at the first of these blobs: at its inputs and weights"
    return [Diagnostic("verify-nan", what, why=why, remedy=remedy, severity="warning")]


def _left_out(found: Verification, blobs: Activations, title: str) -> list[Diagnostic]:
    """A note with the computed blobs that the reference lacks."""
    names = [name for name in found.uncompared if blobs.places[name].position >= 0]
    if not names:
        return []
    count = f"{len(names)} blobs of the net are" if len(names) > 1 else "1 blob of the net is"
    what = f"{title}: {count} not compared, the reference lacks {listed(names)}"
    return [Diagnostic("reference", what, severity="note")]


def _with_itself(arguments: argparse.Namespace) -> tuple[str, list[Result]]:
    import numpy as np

    from netcompile.passes.base import Program
    from netcompile.runtime.blobs import blobs_as_compiled, blobs_of_net
    from netcompile.runtime.loaded import is_build
    from netcompile.runtime.verify import verify
    from netcompile.train.labels import fed_labels

    if is_build(arguments.net):
        refuse("usage", "--self needs the prototxt: a build has one level only")
    given = _given(arguments)
    source = read_source(arguments.net)
    analysed = analyse_net(arguments, source, fed=frozenset(given)).require()
    classes = {value: check.labels.classes for value, check in fed_labels(Program(analysed.graph))}
    require_room(analysed.source.name, analysed.graph, analysed.shapes, weights=2, blobs=2)
    random = np.random.RandomState(arguments.seed)
    for entry in sorted(analysed.graph.inputs, key=lambda entry: entry.value.blob):
        if entry.value.blob not in given:
            given[entry.value.blob] = 30 * random.standard_normal(entry.shape).astype(np.float32)
            if entry.value in classes:
                given[entry.value.blob] = np.floor(np.abs(given[entry.value.blob])) % classes[entry.value]
    analysed, feed = _analysed(arguments, source, given)
    weights = weights_of(arguments)
    seed = arguments.seed if weights is None else None
    with labels_told(analysed, feed):
        literal = blobs_of_net(analysed, weights, feed, 0, seed, shown(weights))
    results = []
    for level in (1, 2):
        found = blobs_as_compiled(analysed, weights, feed, level, seed)
        result = verify(found, literal.arrays, arguments.tolerance)
        _require_proof(result, "-O0")
        results.append((f"-O{level} against -O0", result, found, literal.arrays))
    return analysed.name, results


def _analysed(arguments: argparse.Namespace, source: Source, feed: Arrays) -> tuple[Analysed, Arrays]:
    """The net at the sizes of its inputs, and what feeds them."""
    analysed = analyse_fed(arguments, source, feed, arguments.inputs or arguments.reference or "")
    inputs = tuple((entry.value.blob, entry.shape) for entry in analysed.graph.inputs)
    feed = _feed(inputs, feed, arguments)
    show_notes(analysed.notes, frozenset())
    return analysed.require(), feed


def _feed(inputs: tuple[tuple[str, tuple[int, ...]], ...], feed: Arrays, arguments: argparse.Namespace) -> Arrays:
    missing = [name for name, _ in inputs if name not in feed]
    if missing:
        refuse(
            "missing-input",
            f"there is no array for input '{missing[0]}'",
            why=f"neither --inputs nor {arguments.reference} has it",
            remedy="--inputs IN.npz",
        )
    return {name: feed[name] for name, _ in inputs}
