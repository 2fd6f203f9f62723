"""Compile a net: a standalone PyTorch module, its weights, a report and a manifest, all in one folder.

Writes NAME.py, NAME.safetensors (with --weights), NAME.onnx (with --onnx), offsets.json, report.html and
manifest.json, all or nothing: where anything fails, the folder is as it was. Other files in it are left alone.
-v says also where an optimisation did not apply, and why.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from netcompile.analyser import Analysed
from netcompile.analysis.outputs import described
from netcompile.cli.exit_codes import DONE
from netcompile.cli.messages import show, show_notes
from netcompile.cli.net_options import add_net, add_output
from netcompile.cli.netinput import analyse_net, image_inputs
from netcompile.cli.options import add_max_memory, add_optimise, add_style, add_weights, weights_of
from netcompile.cli.output import write_done, write_lines
from netcompile.compiler import emit_net, legal_sizes, optimise_net
from netcompile.data.preprocessing import Preprocessing, as_json, of_input
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.diagnostics.json_text import json_text
from netcompile.diagnostics.text import bytes_text, listed
from netcompile.emit.docstring import About
from netcompile.emit.module import EmittedModule, Manner
from netcompile.emit.names import file_stem
from netcompile.emit.weights import blob_keys
from netcompile.export.onnx_file import (
    OPSET,
    STEPS,
    class_metadata,
    image_metadata,
    require_onnx,
    require_opset,
    write_onnx,
)
from netcompile.export.portable import Portable, portable_net
from netcompile.export.sizes import refuse_training
from netcompile.files.hashes import hashes
from netcompile.files.named import below
from netcompile.files.reading import read_json
from netcompile.files.whole import Staged, whole_folder
from netcompile.ir.graph import Input
from netcompile.layers.images import NO_DATA_LAYER
from netcompile.progress import Progress
from netcompile.report.as_html import MOST_LAYERS, html_report
from netcompile.report.as_json import offsets_as_json
from netcompile.report.as_text import offsets_as_text
from netcompile.report.layer_model import Report
from netcompile.report.layers import layers_report
from netcompile.report.offsets import offsets_report
from netcompile.version import __version__

SHOWN = frozenset({"assumed-shape", "export", "label-dropped", "usage"})


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_weights(parser, " to convert")
    add_output(parser, "a blob that counts as an output; layers that none needs are left out")
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="an ONNX file too, for any legal H and W (at -O 2 maybe one), checked with ONNX Runtime",
    )
    parser.add_argument("--opset", type=int, metavar="N", help="operator set of the ONNX file, 18 to 23, default 20")
    parser.add_argument(
        "--classes", metavar="C", help="names of classes, for manifest and ONNX file: pascal, nyud, …, or a file"
    )
    parser.add_argument("-o", dest="out", metavar="DIR", help="the folder to write to, default ./NAME")
    add_optimise(parser)
    add_style(parser)
    parser.add_argument(
        "--runtime",
        choices=("copy", "import"),
        default="copy",
        help="functions that the net calls: contained in the module (default), or imported from netcompile",
    )
    add_max_memory(parser)
    parser.add_argument("--allow-missing", action="store_true", help="weights that the file lacks become zeros")


def run(arguments: argparse.Namespace) -> int:
    """Everything that can be refused is refused before the first file is written."""
    if arguments.opset is not None and not arguments.onnx:
        refuse("usage", "--opset is about the ONNX file", remedy="--onnx writes one")
    analysed = analyse_net(arguments, outputs=arguments.output)
    weights = weights_of(arguments)
    found = optimise_net(analysed, arguments.optimise, weights=weights)
    stem = file_stem(analysed.name)
    prepared = [
        (entry, *of_input(entry, os.path.dirname(arguments.net))) for entry in image_inputs(arguments, analysed)
    ]
    images = {entry.value.blob: made.told() for entry, made, _ in prepared}
    about = About(sizes=legal_sizes(analysed), images=images, module=stem, weights=weights is not None)
    manner = Manner(arguments.style, imported=arguments.runtime == "import", about=about)
    module = emit_net(analysed, found, arguments.optimise, manner=manner)
    convert = None if weights is None else _convert(weights, analysed, module, arguments.allow_missing)
    classes = _classes(arguments)
    write_onnx = _onnx(arguments, analysed, module, classes) if arguments.onnx else None
    report = Report(offsets_report(analysed), layers_report(analysed, MOST_LAYERS))
    texts = {
        f"{stem}.py": module.source,
        "offsets.json": json_text(offsets_as_json(report.offsets)),
        "report.html": html_report(analysed, report, module, found.skipped),
    }
    folder = arguments.out or _folder(stem)
    earlier = _earlier(folder)
    notes = [*analysed.notes, *_style_told(arguments, module)]
    told: list[Diagnostic] = []
    with whole_folder(folder) as staged:
        for name, text in texts.items():
            staged.write(name, text.encode("utf-8", "backslashreplace"))
        if convert is not None:
            told += convert(staged.add(f"{stem}.safetensors"))
        images, said = _images(prepared, staged, stem)
        notes += said
        if write_onnx is not None:
            notes += write_onnx(staged.add(f"{stem}.onnx"), images)
        manifest = _manifest(arguments, analysed, module, stem, images, classes, hashes(staged))
        staged.write("manifest.json", json_text(manifest).encode("utf-8", "backslashreplace"))
        sizes = staged.sizes()
    lines = [f"wrote {folder}/{name} ({bytes_text(size)})" for name, size in sizes.items()]
    write_done(*lines, "", *offsets_as_text(report.offsets).splitlines())
    if arguments.verbose:
        write_lines("", "Not optimised:", *(f"  {site}" for site in found.skipped or ("nothing",)))
    show_notes(notes, SHOWN)
    show(told)
    show(_left_over(folder, earlier - sizes.keys()))
    show(analysed.crops.findings())
    return DONE


def _convert(
    weights: str, analysed: Analysed, module: EmittedModule, allow_missing: bool
) -> Callable[[str], list[Diagnostic]]:
    """What writes the weights to a path, and says what it noticed. Raises NetError where they do not fit; OSError."""
    from netcompile.caffemodel.remarks import remarks
    from netcompile.cli.net_weights import converter

    write = converter(weights, analysed, module, allow_missing)
    return lambda path: remarks(write(path), weights)


def _style_told(arguments: argparse.Namespace, module: EmittedModule) -> list[Diagnostic]:
    """A note where blocks were asked for and there are none."""
    if arguments.style != "blocks" or module.style == "blocks":
        return []
    windows = arguments.optimise == 2 and "def windowed(" in module.source
    why = "no part of it repeats so that a class would make it shorter"
    why = "at -O2 it computes windows of blobs, by layers that two methods share" if windows else why
    why = "the net of -O0 is literal" if arguments.optimise == 0 else why
    return [Diagnostic("usage", "the module is flat", why=why, severity="note")]


def _folder(stem: str) -> str:
    """The folder that the net's name names. Raises NetError where a link of that name leads elsewhere."""
    try:
        below(os.curdir, os.path.join(stem, "manifest.json"))
    except ValueError:
        why = "the net's name chose it; what a file names is written below the current folder alone"
        refuse("path-outside", f"'{stem}' is a link that leads elsewhere", why=why, remedy="-o DIR says where")
    return stem


def _earlier(folder: str) -> set[str]:
    """The files of the build that is in the folder now, as its manifest lists them; none without one."""
    try:
        return {str(name) for name in read_json(os.path.join(folder, "manifest.json"))["sha256"]}
    except (NetError, OSError, ValueError, KeyError, TypeError):
        return set()


def _left_over(folder: str, names: set[str]) -> list[Diagnostic]:
    """A warning for files of an earlier build that this one does not replace."""
    left = sorted(name for name in names if os.path.basename(name) == name and os.path.isfile(f"{folder}/{name}"))
    if not left:
        return []
    names_of = listed([f"'{name}'" for name in left])
    what = f"{folder}: {names_of} {'is' if len(left) == 1 else 'are'} of an earlier build"
    remedy = "remove what you do not need: it does not belong to this module"
    return [Diagnostic("build-folder", what, remedy=remedy, severity="warning")]


def _classes(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The names of the classes, none without --classes. Raises NetError for a list that there is not."""
    if arguments.classes is None:
        return ()
    from netcompile.data.class_names import class_names

    return class_names(arguments.classes)


def _onnx(arguments: argparse.Namespace, analysed: Analysed, module: EmittedModule, classes: tuple[str, ...]) -> Any:
    """What writes the ONNX file to a path, told what images go through; it returns what is worth saying.

    Raises NetError where packages or the weights are missing.
    """
    opset = OPSET if arguments.opset is None else arguments.opset
    require_opset(opset)
    require_onnx()
    refuse_training(analysed)
    from netcompile.runtime.execute import with_weights

    weights = weights_of(arguments)
    emitted = with_weights(analysed, module, weights, arguments.allow_missing)
    plain, made = Portable(module), emitted
    if arguments.optimise > 1 or module.style == "blocks" or arguments.runtime == "import":
        plain = portable_net(analysed, arguments.optimise, weights=weights)
        made = with_weights(analysed, plain.module, weights, arguments.allow_missing)

    def write(path: str, images: dict[str, Any]) -> list[Diagnostic]:
        metadata = image_metadata(images) | class_metadata(classes)
        with Progress(STEPS, "steps to the ONNX file") as progress:
            found = write_onnx(analysed, plain, made, path, emitted, metadata, opset, progress.step)
        return list(found.limits)

    return write


Prepared = Sequence[tuple[Input, Preprocessing, Sequence[Diagnostic]]]  # inputs, and what becomes of their images


def _images(prepared: Prepared, staged: Staged, stem: str) -> tuple[dict[str, Any], list[Diagnostic]]:
    """For each input that takes an image, what the net's data layer does to it: null without one; and remarks.

    A mean image becomes a file of the build.
    """
    found: dict[str, Any] = {}
    notes: list[Diagnostic] = []
    for entry, made, said in prepared:
        name = entry.value.blob
        notes += said
        file = None
        if made.image is not None:
            from numpy import save

            file = f"{stem}.{len(found)}.mean.npy"
            save(staged.add(file), made.image)
        found[name] = None if made.unsaid == NO_DATA_LAYER else as_json(made, file)
    return found, notes


def _manifest(
    arguments: argparse.Namespace, analysed: Analysed, module: EmittedModule, stem: str, images: dict[str, Any],
    classes: tuple[str, ...], hashes: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    outputs = described(analysed.graph, analysed.shapes, tuple(module.outputs))
    kinds = {output.name: output.holds for output in outputs if output.holds}
    fixed = analysed.fixed
    variables = {blob: name for blob, name in module.variables.items() if blob != name}
    return {
        "net": analysed.name,
        "module": f"{stem}.py",
        "class": module.class_name,
        "weights": f"{stem}.safetensors" if arguments.weights is not None else None,
        **({"onnx": f"{stem}.onnx"} if arguments.onnx else {}),
        "inputs": [{"name": v.blob, "shape": list(analysed.shapes[v])} for v in module.inputs],
        "outputs": list(module.outputs),
        **({"images": images} if any(images.values()) or len(images) < len(module.inputs) else {}),
        **({"kinds": kinds} if kinds else {}),
        "shapes": {output.name: list(output.shape) for output in outputs},
        "upsampled": [output.name for output in outputs if output.upsampled],
        **({"rows": rows} if (rows := {o.name: asdict(o.rows) for o in outputs if o.rows is not None}) else {}),
        **({"fixed": list(fixed)} if fixed is not None else {}),
        **({"variables": variables} if variables else {}),
        **({"classes": list(classes)} if classes else {}),
        "phase": "train" if analysed.graph.train else "test",
        "optimisation": arguments.optimise,
        "style": module.style,
        "keys": blob_keys(module),
        "tool": __version__,
        "sha256": hashes,
    }
