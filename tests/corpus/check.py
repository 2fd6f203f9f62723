"""What netcompile makes of one net of the corpus, held against real Caffe's shapes and outputs."""

from __future__ import annotations

import gc
import json
import os
import runpy
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from netcompile.analyser import Analysed, analyse
from netcompile.analysis.shapes import infer
from netcompile.diagnostics.diagnostic import NetError
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source

SHARED = Path(__file__).resolve().parents[3] / "shared"
TOLERANCE = 1e-4  # of max|reference| over an output's samples


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: each verdict is "yes", "no", "-" (no reference) or "kept out"."""

    file: str
    loads: str
    shapes: str = "-"
    values: str = "-"
    why: str = ""
    error: float = 0.0
    original: str = ""  # of a net that does not load: whether real Caffe, or the fork it was written for, loads it


@cache
def index() -> tuple[dict[str, str], ...]:
    """The corpus's INDEX.tsv as dicts."""
    lines = (SHARED / "corpus" / "INDEX.tsv").read_text().splitlines()
    head = lines[0].split("\t")
    return tuple(dict(zip(head, line.split("\t"), strict=False)) for line in lines[1:])


@cache
def _tools() -> dict[str, Any]:
    return runpy.run_path(str(SHARED / "tools" / "make_caffemodel.py"))


def truth(file: str, inferred: bool = False) -> dict[str, Any] | None:
    """Real Caffe's answer for a net of the corpus, or None; for one of a fork's layers, with that fork's own code."""
    folders = ["truth/inferred"] if inferred else ["truth", "truth-forks"]
    found = [path for folder in folders if (path := SHARED / folder / f"{file}.json").exists()]
    answers = [json.loads(path.read_text()) for path in found]
    for path, answer in zip(found, answers, strict=True):
        if SHARED / "truth-forks" in path.parents:
            answer["note"] = "undeclared crops at 0"  # the layers were built into BVLC Caffe
    return next((a for a in answers if "blobs" in a), answers[0] if answers else None)


def fork_nets() -> list[str]:
    """The nets of the corpus whose layers a fork's own code has computed; none where the material is absent."""
    folder = SHARED / "truth-forks"
    return sorted(path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*.json"))


def load(file: str, shapes: dict[str, tuple[int, ...]] | None = None, **options: Any) -> Analysed:
    source = open_source(SHARED / "corpus" / file)
    crop_offsets = options.pop("crop_offsets", "auto")
    return analyse(source, Options(shapes=shapes or {}, **options), crop_offsets)


def load_as_meant(file: str, shapes: dict[str, tuple[int, ...]] | None = None) -> tuple[Analysed, str]:
    """The net in the phase and stage that the messages name, and these options in words. Raises NetError."""
    options: dict[str, Any] = {}
    for _ in range(4):
        try:
            return load(file, shapes, **options), _words(options)
        except NetError as error:
            flags = next((d.remedy for d in error.diagnostics if d.code == "unknown-bottom"), "")
            if not flags.startswith("--"):
                raise
            words = flags.split()
            given = list(zip(words[::2], words[1::2], strict=True))
            options["train"] = options.get("train", False) or ("--phase", "train") in given
            options["stages"] = (*options.get("stages", ()), *(value for key, value in given if key == "--stage"))
            options["level"] = max([options.get("level", 0), *(int(v) for key, v in given if key == "--level")])
    return load(file, shapes, **options), _words(options)


def _words(options: dict[str, Any]) -> str:
    phase = ["--phase train"] if options.get("train") else []
    level = [f"--level {options['level']}"] if options.get("level") else []
    return " ".join([*phase, *(f"--stage {stage}" for stage in options.get("stages", ())), *level])


def draw_inputs(reference: dict[str, Any]) -> dict[str, np.ndarray]:
    """The inputs that the reference was computed from."""
    random = np.random.RandomState(reference["seed"])
    made = {}
    for name in sorted(reference["inputs"]):
        shape = reference["inputs"][name]
        made[name] = (random.standard_normal(shape) * (30 if len(shape) == 4 else 1)).astype(np.float32)
    return made


def part(net: Analysed, reference: dict[str, Any]) -> Analysed:
    """The net, or what of it the reference has, where it ran without the labels and what needs them."""
    if not set(reference["blobs"]) < set(net.graph.blobs):
        return net
    wanted = {net.graph.blobs[blob] for blob in reference["blobs"]}
    nodes = []
    for node in reversed(net.graph.nodes):
        if not wanted.isdisjoint(node.tops):
            nodes.append(node)
            wanted.update(node.bottoms)
    inputs = tuple(entry for entry in net.graph.inputs if entry.value in wanted)
    blobs = {blob: value for blob, value in net.graph.blobs.items() if value in wanted}
    outputs = tuple(reference.get("outputs") or blobs)
    graph = net.graph.replace(nodes=tuple(reversed(nodes)), inputs=inputs, blobs=blobs, outputs=outputs)
    shapes, problems = infer(graph)
    return Analysed(net.name, net.source, graph, shapes, net.crops, net.notes, tuple(problems))


def shape_differences(net: Analysed, reference: dict[str, Any]) -> list[str]:
    """Blobs whose shape is not real Caffe's, or that only one side has."""
    found = {blob: list(net.shapes[value]) for blob, value in net.graph.blobs.items()}
    wanted = reference["blobs"]
    differing = [f"{b}: {found[b]}, not {s}" for b, s in wanted.items() if b in found and found[b] != s]
    return differing + [f"{b} is missing" for b in wanted if b not in found]


def worst_error(net: Analysed, reference: dict[str, Any], level: int = 1) -> tuple[float, str]:
    """The largest difference to the reference's samples, relative to each output's max|reference|."""
    from netcompile.runtime.execute import run

    descriptor, path = tempfile.mkstemp(suffix=".caffemodel")
    os.close(descriptor)
    try:
        _tools()["write"](reference["params"], reference["seed"], path)
        names = list(reference["outputs"])
        found = run(net, path if reference["params"] else None, draw_inputs(reference), level=level, blobs=names)
    finally:
        os.unlink(path)
    worst, where = 0.0, ""
    for name, entry in reference["outputs"].items():
        places, values = (np.array(column) for column in zip(*entry["samples"], strict=True))
        got = found[name].ravel()[places.astype(np.int64)]
        # Drawn statistics can be negative, and their root NaN on both sides; all else must be a number.
        same = np.isnan(got) & np.isnan(values)
        got, values = np.where(same, 0, got), np.where(same, 0, values)
        error = float(np.abs(got - values).max() / max(np.abs(values).max(), 1e-30))
        error = error if np.isfinite(error) else float("inf")
        if error >= worst:
            worst, where = error, name
    gc.collect()
    return worst, where


def check(file: str, values: bool = True, level: int = 1) -> Row:
    """Load one net, compare its shapes, and (with `values`) its outputs where the reference has them."""
    reference = truth(file)
    given = {name: tuple(shape) for name, shape in (reference or {}).get("inputs", {}).items()}
    try:
        net, flags = load_as_meant(file, given)
    except NetError as error:
        return Row(file, "no", why=_first(error), original=original(file, error))
    crops = "declared" if reference and "undeclared" in reference.get("note", "") else "auto"
    try:
        if crops == "declared":
            net = load(file, given, crop_offsets="declared")
        net = net.require() if reference is None or "blobs" not in reference else part(net, reference).require()
    except NetError as error:
        return Row(file, "no", why=_first(error), original=original(file, error))
    if reference is None or "blobs" not in reference:
        why = (reference or {}).get("error", "")
        return Row(file, "yes", why=flags or (f"real Caffe: {why}" if why else ""))
    differing = shape_differences(net, reference)
    if differing:
        return Row(file, "yes", "no", why="; ".join(differing[:3]))
    aligned = truth(file, inferred=True)
    if aligned is not None:
        reference, net = aligned, load(file, given).require()
        differing = shape_differences(net, reference)
        if differing:
            return Row(file, "yes", "no", why="aligned: " + "; ".join(differing[:3]))
    if not values or not reference.get("outputs"):
        return Row(file, "yes", "yes", "-", reference.get("note", ""))
    if not any(np.isfinite(value) for entry in reference["outputs"].values() for _, value in entry["samples"]):
        return Row(file, "yes", "yes", "-", "the reference is NaN: its drawn variances are negative")
    error, where = worst_error(net, reference, level)
    verdict = "yes" if error <= TOLERANCE else "no"
    return Row(file, "yes", "yes", verdict, "" if verdict == "yes" else f"{where} differs by {error:.2g}", error)


def original(file: str, error: NetError) -> str:
    """Whether the Caffe that a net was written for loads it, as far as the material tells."""
    entry = next(entry for entry in index() if entry["file"] == file)
    reference = truth(file) or {}
    if reference.get("error"):
        return f"real Caffe does not: {reference['error']}"
    if any(word in entry["protoc_bvlc"] for word in NO_TEXT) or any(d.code in NO_NET for d in error.diagnostics):
        return "no Caffe does: protobuf's own reader refuses the text"
    if entry["fork_only"]:
        return "its fork does"
    return "real Caffe does, with the code that the file names" if "python" in entry["oddities"].lower() else "unknown"


# mistakes of the text that no schema makes right
NO_NET = ("template", "merge-conflict", "unclosed-string", "duplicate-field", "wrong-type")
# what protobuf's reader says of a text that no schema makes right
NO_TEXT = ("Expected", "Non-repeated", "String literals", "Interpreting", "Invalid", "unterminated")


def _first(error: NetError) -> str:
    first = error.diagnostics[0]
    place = f"{first.span.line}:{first.span.column}: " if first.span else ""
    more = f" (and {len(error.diagnostics) - 1} more)" if len(error.diagnostics) > 1 else ""
    return f"{place}{first.code}: {first.what}{more}"
