"""What the page's script reads: sizes, maps and places in the two sources, as plain JSON values.

Shorter than the JSON report and no part of any contract: page and script are written together.

- *size*: an index into `sizes`, whose entries are ``[text, pieces, axis]``; a piece is ``[from]`` where undefined,
  ``[from, a, q, b, m, d]`` for a·n + q·⌊(n + b)/m⌋ + d, ``[from, rise, [values]]`` for values[n mod p] + rise·⌊n/p⌋
- *dimension*: a number, ``[size]``, or ``{"text", "terms": [[factor, dimensions], …]}``, a sum of products
- *fraction*: ``[numerator, denominator]``; *map*: ``[stride, offset]``, *maps*: one for height, one for width
- *fold*: ``[name, structure, count, first, last, folds]``, layers that repeat, by their indices (see `folds.py`)
- *set* of n: ``[runs, start, period, residues]``: intervals ``[lo, hi)`` below `start`, and of residues from there on;
  None where it is too long to write down
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from netcompile.algebra.nset import NSet
from netcompile.algebra.pieces import UNDEFINED, Pieces, Staircase
from netcompile.algebra.residues import periodic_runs
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume, by_name
from netcompile.analyser import Analysed
from netcompile.analysis.crops import CropReport
from netcompile.emit.module import EmittedModule
from netcompile.ir.graph import Node, Value
from netcompile.layers.base import Axes
from netcompile.layers.memory import SharedMemory
from netcompile.prototxt.message import Message
from netcompile.report.folds import Fold, folds
from netcompile.report.layer_model import LayerLine, Report
from netcompile.report.layers import in_file_order
from netcompile.report.model import ReceptiveField
from netcompile.report.offsets import coordinates_of

MOST_TEXT = 4_000_000  # characters of each source that the page has
LONGEST = 4096  # values of a table, or runs of a set: what is longer is left out, and the page says so


def page_data(analysed: Analysed, report: Report, module: EmittedModule | None, sources: bool = True) -> dict[str, Any]:
    """Everything that the script of the page needs; without `sources` neither the net's text nor the module's."""
    data = _Data(analysed, report, module).all()
    return data if sources else data | {"source": "", "module": None}


class _Data:
    def __init__(self, analysed: Analysed, report: Report, module: EmittedModule | None) -> None:
        self.analysed, self.report, self.module = analysed, report, module
        self.sizes: dict[tuple[str, Pieces], int | None] = {}
        self.size_list: list[Any] = []
        self.values: dict[Value, int] = {}
        self.value_list: list[Any] = []
        self.memory: dict[int, list[Value]] = {}  # a layer's place → blobs whose memory it changes
        for node in analysed.graph.nodes:
            if isinstance(node.layer, SharedMemory):
                self.memory.setdefault(node.message.start, []).extend(node.tops)
        self.source_lines = analysed.source.text.count("\n", 0, MOST_TEXT) + 1
        self.generated_lines = 0 if module is None else module.source.count("\n", 0, MOST_TEXT) + 1
        self.generated = {} if module is None else generated_lines(module)

    def all(self) -> dict[str, Any]:
        analysed, offsets = self.analysed, self.report.offsets
        layers = []
        entries = in_file_order(analysed.graph)
        for line, entry in zip(self.report.layers.layers, entries, strict=False):
            if isinstance(entry, tuple):
                tops = tuple(source.value for source in entry)
                layers.append(self.layer(line, (), tops, entry[0].message, None))
            else:
                layers.append(self.layer(line, entry.bottoms, entry.tops, entry.message, entry))
        return {
            "net": analysed.name,
            "file": offsets.file,
            "extents": list(analysed.symbolic.declared) if analysed.symbolic.spatial else None,
            "inputs": [self.values[entry.value] for entry in analysed.graph.inputs if entry.value in self.values],
            "outputs": list(analysed.graph.outputs),
            "padding": self.padding(),
            "layers": layers,
            "folds": folds_(folds(analysed, self.module, entries), len(layers)),
            "values": self.value_list,
            "crops": [self.crop(crop) for crop in offsets.crops],
            "valid": None if offsets.valid is None else [set_(s) for s in offsets.valid],
            "sizes": self.size_list,
            "source": _lines(analysed.source.text[:MOST_TEXT]),
            "module": None if self.module is None else self.module.source[:MOST_TEXT],
        }

    def layer(
        self, line: LayerLine, bottoms: tuple[Value, ...], tops: tuple[Value, ...], message: Message, node: Node | None
    ) -> dict[str, Any]:
        for top, shown in zip(tops, line.tops, strict=True):
            self.value(top, shown.field)
        shared = self.memory.get(message.start, ()) if node is not None else ()
        for top in shared:
            self.value(top, None)
        span = message.span
        last = min(span.source.position(max(span.end - 1, span.start))[0], self.source_lines)
        made: dict[str, Any] = {
            "name": line.name,
            "type": line.type,
            "lines": [min(span.line, last), last],
            "bottoms": [self.values[b] for b in bottoms if b in self.values],
            "tops": [self.values[t] for t in (*tops, *shared)],
            "cost": [line.parameters, line.macs, line.activations],
        }
        if node is None:
            made["input"] = 1
        else:
            made["family"] = node.layer.family
            code = self.generated.get((node.name, node.occurrence), [])
            made["code"] = [place for place in code if place[1] <= self.generated_lines]
            kernel = _window(node)
            if kernel:
                made["window"] = kernel
        return made

    def value(self, value: Value, field: ReceptiveField | None) -> None:
        shape = self.analysed.symbolic.shapes.get(value) or self.analysed.shapes.get(value)
        self.values[value] = len(self.value_list)
        self.value_list.append(
            {
                "blob": value.blob,
                "dims": None if shape is None else [self.dim(dim) for dim in shape],
                "maps": maps(coordinates_of(self.analysed, value)),
                "field": None
                if field is None
                else [list(field.size), [fraction(v) for v in field.stride], [fraction(v) for v in field.centre]],
            }
        )

    def dim(self, dim: int | Size | Volume) -> int | list[int] | dict[str, Any] | None:
        """A number, ``[place in sizes]``, or a sum of products ``{"text", "terms": [[factor, places], …]}``."""
        if isinstance(dim, int):
            return dim
        if isinstance(dim, Volume):
            return self.product(dim)
        number = dim.as_int()
        if number is not None:
            return number
        key = (dim.name, dim.pieces)
        if key not in self.sizes:
            self.sizes[key] = self.size(dim)
        place = self.sizes[key]
        return None if place is None else [place]

    def size(self, size: Size) -> int | None:
        """Put a size into the list: its place there; None where it is too long."""
        pieces = size_pieces(size)
        if pieces is None:
            return None
        self.size_list.append([str(size), pieces, 0 if size.name == "H" else 1])
        return len(self.size_list) - 1

    def product(self, volume: Volume) -> dict[str, Any] | None:
        """A sum of products of sizes, a power as its size several times; None where one of them is too long."""
        terms = []
        for term, factor in (volume.terms or {}).items():
            places = [(self.dim(size), power) for size, power in sorted(term, key=by_name)]
            if any(not isinstance(place, list) for place, _ in places):
                return None
            terms.append([factor, [place for place, power in places for _ in range(power)]])
        return {"text": str(volume), "terms": terms} if volume.known else None

    def padding(self) -> list[Any]:
        """The widest pad among the layers that read the first input: [pad, layer] for height and width."""
        graph = self.analysed.graph
        found: list[Any] = [[0, ""], [0, ""]]
        for node in graph.nodes:
            pad = _pair(node, "pad")
            if graph.inputs and graph.inputs[0].value in node.bottoms and pad:
                found = [[p, node.name] if p > old[0] else old for p, old in zip(pad, found, strict=True)]
        return found

    def crop(self, crop: CropReport) -> dict[str, Any]:
        frame, maps_ = self.frame(crop)
        skipped = max(crop.axis - 2, 0)
        return {
            "layer": crop.node.name,
            "line": crop.node.line,
            "bottoms": [self.values[b] for b in crop.node.bottoms],
            "frame": frame,
            "maps": maps_,
            "declared": _of_plane(crop.declared, crop.axis),
            "needed": None
            if crop.inferred is None
            else [None] * skipped + [fraction(v) for v in crop.inferred[-(2 - skipped) :]],
            "used": _of_plane(crop.used, crop.axis),
            "status": crop.status,
            "why": crop.why,
            "valid": [set_(s) for s in crop.valid],
        }

    def frame(self, crop: CropReport) -> tuple[str, Any]:
        """The blob in whose pixels both bottoms are placed, and the bottoms' maps to it."""
        graph, frames = self.analysed.graph, self.analysed.crops.coordinates.frames
        found = [frames.get(bottom) for bottom in crop.node.bottoms]
        a, b = found
        if a is None or b is None or a[0] != b[0] or crop.inferred is None:
            return "", None
        first = graph.inputs[0].value if graph.inputs else None
        return ("" if a[0] == first else a[0].blob), [maps(a[1]), maps(b[1])]


def generated_lines(module: EmittedModule) -> dict[tuple[str, int], list[list[int]]]:
    """Per layer (name, occurrence) the line ranges of the generated source that are its own: `forward` first."""
    found: dict[tuple[str, int], list[list[int]]] = {}
    for index, span in sorted(module.lines.items()):
        node = module.nodes[index]
        found.setdefault((node.name, node.occurrence), []).append(list(span))
    places, classes = _attribute_lines(module.source)
    for weight in module.weights:
        spans = found.setdefault((weight.layer, 0), [])
        inside = classes[spans[0][0]] if spans else module.class_name
        lines = (places[inside, part] for part in reversed(weight.key.split(".")) if (inside, part) in places)
        if (line := next(lines, None)) is not None and [line, line] not in spans:
            spans.append([line, line])
    for weight in module.weights:  # a layer that became part of another one has its code
        if (weight.layer, 0) in found:
            for take in weight.recipe.sources():
                found.setdefault((take.layer, take.occurrence), found[weight.layer, 0])
    return found


def _attribute_lines(source: str) -> tuple[dict[tuple[str, str], int], list[str]]:
    """Where each class makes each of its attributes, by their names; and, for each line from 1, the class it is in."""
    places: dict[tuple[str, str], int] = {}
    classes = [""]
    for number, text in enumerate(source.split("\n"), 1):
        begun = text.startswith("class ")
        classes.append(re.split(r"\W", text[6:], maxsplit=1)[0] if begun else classes[-1])
        if text.startswith("        self."):
            places.setdefault((classes[-1], re.split(r"\W", text[13:], maxsplit=1)[0]), number)
    return places, classes


def folds_(found: Sequence[Fold], layers: int) -> list[list[Any]]:
    """Folds as lists, those of the layers that are shown."""
    return [
        [fold.name, fold.structure, fold.count, fold.first, fold.last, folds_(fold.folds, layers)]
        for fold in found
        if fold.last < layers
    ]


def set_(numbers: NSet) -> Any:
    """A set of n as lists; None where it is too long."""
    residues = [list(run) for run in periodic_runs(numbers.mask, numbers.period)]
    if len(residues) + len(numbers.runs) > LONGEST:
        return None
    return [[list(run) for run in numbers.runs], numbers.start, numbers.period, residues]


def size_pieces(size: Size) -> list[list[Any]] | None:
    """The pieces of a size as lists; None where a table is too long."""
    found: list[list[Any]] = []
    for start, f in size.pieces:
        if f == UNDEFINED:
            found.append([start])
        elif isinstance(f, Staircase):
            found.append([start, f.a, f.q, f.b, f.m, f.d])
        elif len(f.values) > LONGEST:
            return None
        else:
            found.append([start, f.rise, list(f.values)])
    return found


def maps(axes: Axes | None) -> Any:
    """``[[stride, offset], [stride, offset]]`` for height and width."""
    return None if axes is None else [[fraction(m.stride), fraction(m.offset)] for m in axes]


def fraction(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def _of_plane(offsets: tuple[int, ...] | None, axis: int) -> list[int | None] | None:
    """Of a crop's offsets, which begin at `axis`, those for height and width; None for one that is left alone."""
    if offsets is None:
        return None
    return [offsets[plane - axis] if 0 <= plane - axis < len(offsets) else None for plane in (2, 3)]


def _pair(node: Node, name: str) -> tuple[int, int] | None:
    """A window's field for height and width; None for a layer that has no such window."""
    field = getattr(node.layer, name, None)
    if not isinstance(field, tuple) or not 1 <= len(field) <= 2:
        return None
    return field[0], field[-1]


def _window(node: Node) -> str:
    """``7×7, stride 2, pad 3`` for a layer that slides a window."""
    parts = []
    for name, plain in (("kernel", None), ("stride", (1, 1)), ("pad", (0, 0)), ("dilation", (1, 1))):
        pair = _pair(node, name)
        if pair is None or pair == plain:
            continue
        text = f"{pair[0]}×{pair[1]}" if name == "kernel" or pair[0] != pair[1] else str(pair[0])
        parts.append(text if name == "kernel" else f"{name} {text}")
    return ", ".join(parts)


def _lines(text: str) -> str:
    """With line ends that a browser counts as the parser does: a lone CR is a character, not a line."""
    return text.replace("\r\n", "\n").replace("\r", " ")
