"""The proofs about sizes against brute force: every layer's rule, on plain numbers, for every input size up to N.

    python -m tests.analysis.brute_force [N] [FILE ...]

goes through every net of the corpus beside the checkout whose shapes depend on its input's size, and through the
bundled ones: heights 1 … N with the declared width, then widths with the declared height. For each it is compared

- for which sizes the net is legal, and for which each crop is (`NSet`s against the rules' refusals),
- the extents of every blob (`Size`s against the rules' numbers),
- what each crop leaves over, with its bounds, and which sizes an upsampling cannot tell apart.

The windows of convolutions, poolings and deconvolutions are reckoned here once more, with whole columns of sizes; all
other layers are asked with numbers, once for each distinct shape of their bottoms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.analyser import Analysed, analyse
from netcompile.analysis.proof import slacks, ties
from netcompile.analysis.upsampling import upsamplings
from netcompile.diagnostics.diagnostic import NetError
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape, Refused
from netcompile.layers.convolution import Convolution, Deconvolution
from netcompile.layers.crop import Crop
from netcompile.layers.pooling import Pooling
from netcompile.prototxt.recognise import open_source

Column = np.ndarray  # of int64, one entry for each size; 0 where it does not exist
Columns = tuple[Column, ...]

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


@dataclass
class Brute:
    """What the rules say: per value its extents, for which sizes all is legal, which sizes each crop saw and kept."""

    extents: dict[Value, Columns]
    legal: Column
    crops: dict[int, tuple[Column, Column]] = field(default_factory=dict)  # by node: reached, kept


def brute_force(analysed: Analysed, axis: int, upto: int) -> Brute:
    """Heights (axis 0) or widths (1) 1 … `upto` through every layer."""
    graph, known = analysed.graph, analysed.shapes
    sizes = np.arange(1, upto + 1)
    extents: dict[Value, Columns] = {}
    for entry in graph.inputs:
        columns = [np.full(upto, n) for n in entry.shape]
        if entry.value in analysed.symbolic.spatial:
            columns[axis + 2] = sizes
        extents[entry.value] = tuple(columns)
    found = Brute(extents, np.ones(upto, bool))
    for index, node in enumerate(graph.nodes):
        bottoms = [extents[b] for b in node.bottoms]
        if isinstance(node.layer, Crop):
            kept = _crop(node.layer, bottoms, axis)
            found.crops[index] = (found.legal.copy(), kept)
            found.legal &= kept
            first = node.layer.first(len(bottoms[0]))
            tops = [(*bottoms[0][:first], *bottoms[1][first:])]
        else:
            tops, ok = _windows(node, bottoms) or _rule(node, bottoms, found.legal, known)
            found.legal &= ok
        for top, columns in zip(node.tops, tops, strict=True):
            for column in columns:
                found.legal &= column >= 1
            extents[top] = columns
    return found


def _crop(crop: Crop, bottoms: Sequence[Columns], axis: int) -> Column:
    """Where the window lies inside the blob, on every cropped axis."""
    x, reference = bottoms
    offsets = crop.full(len(x))
    assert offsets is not None
    first = crop.first(len(x))
    kept = np.ones(len(x[0]), bool)
    for position, offset in zip(range(first, len(x)), offsets, strict=True):
        kept &= (offset >= 0) & (x[position] - reference[position] >= offset)
    return kept


def _windows(node: Node, bottoms: Sequence[Columns]) -> tuple[list[Columns], Column] | None:
    """Caffe's rules for the three kinds of windows, over columns of sizes; None for any other layer."""
    layer, x = node.layer, bottoms[0] if bottoms else ()
    always = np.ones(len(x[0]), bool) if x else np.ones(0, bool)
    if type(layer) is Pooling and layer.kernel is not None and len(x) == 4:
        planes = [
            _pooled(n, *window, layer.round_mode == "CEIL", max(layer.pad) > 0)
            for n, *window in zip(x[2:], layer.kernel, layer.stride, layer.pad, strict=True)
        ]
        return [(x[0], x[1], *planes)] * len(node.tops), always
    if type(layer) not in (Convolution, Deconvolution) or len(bottoms) != 1 or len(x) != 4 or layer.axis != 1:
        return None
    assert isinstance(layer, Convolution | Deconvolution)
    planes = []
    for position, n in enumerate(x[2:]):
        kernel, stride, pad, dilation = (
            values[position if len(values) > 1 else 0]
            for values in (layer.kernel, layer.stride, layer.pad, layer.dilation)
        )
        reach = dilation * (kernel - 1) + 1
        if type(layer) is Convolution:
            planes.append(np.trunc((n + 2 * pad - reach) / stride).astype(np.int64) + 1)
        else:
            planes.append(stride * (n - 1) + reach - 2 * pad)
    return [(x[0], np.full_like(x[0], layer.outputs), *planes)], always


def _pooled(n: Column, kernel: int, stride: int, pad: int, up: bool, clip: bool) -> Column:
    rounded = (np.ceil if up else np.floor)((n + 2 * pad - kernel) / stride).astype(np.int64) + 1
    if clip:
        rounded = np.where((rounded - 1) * stride >= n + pad, rounded - 1, rounded)
    return rounded


def _rule(
    node: Node, bottoms: Sequence[Columns], legal: Column, known: dict[Value, IntShape]
) -> tuple[list[Columns], Column]:
    """The layer's own rule on numbers. Weights must keep the shapes that they have at the declared size."""
    upto = len(legal)
    if not bottoms:
        tops = [tuple(np.full(upto, n) for n in known[top]) for top in node.tops]
        return tops, np.ones(upto, bool)
    ranks = [len(bottom) for bottom in bottoms]
    rows, inverse = np.unique(
        np.stack([c for b in bottoms for c in b] or [legal], 1)[legal], axis=0, return_inverse=True
    )
    weights = [blob.shape for blob in node.layer.blobs(*(known[b] for b in node.bottoms))]
    answers = [_answer(node, _split(row.tolist(), ranks), weights) for row in rows]
    ok = np.zeros(upto, bool)
    ok[legal] = np.array([answer is not None for answer in answers], bool)[inverse.ravel()]
    tops = []
    for index, top in enumerate(node.tops):
        blank = (0,) * len(known[top])
        values = [blank if answer is None else answer[index] for answer in answers] or [blank]
        table = np.array(values, np.int64).reshape(len(values), len(blank))
        whole = np.zeros((upto, len(blank)), np.int64)
        if legal.any():
            whole[legal] = table[inverse.ravel()]
        tops.append(tuple(whole.T))
    return tops, ok


def _split(row: list[int], ranks: Sequence[int]) -> list[IntShape]:
    shapes, at = [], 0
    for rank in ranks:
        shapes.append(tuple(row[at : at + rank]))
        at += rank
    return shapes


def _answer(node: Node, bottoms: list[IntShape], weights: list[IntShape]) -> list[IntShape] | None:
    try:
        if not all(condition.holds() for condition in node.layer.conditions(*bottoms)):
            return None
        tops = node.layer.shapes(*bottoms)
        if [blob.shape for blob in node.layer.blobs(*bottoms)] != weights:
            return None
    except Refused:
        return None
    return [tuple(int(dim) for dim in top) for top in tops]  # type: ignore[arg-type]


# comparison ----------------------------------------------------------------------------------------------------


def disagreements(analysed: Analysed, upto: int) -> Iterator[str]:
    """Where proof and brute force differ, in words."""
    valid = analysed.valid
    for axis in (0, 1):
        brute, name = brute_force(analysed, axis, upto), "HW"[axis]
        claimed = members(valid[axis], upto)
        if numbers_needed(analysed):  # what is claimed must be so; of other sizes nothing is claimed
            brute.legal &= claimed
        yield from _sets("the net", claimed, brute.legal, name)
        yield from _crops(analysed, brute, axis, name)
        yield from _extents(analysed, brute, name)
        yield from _fibres(analysed, valid, brute, axis, name)


def members(these: NSet, upto: int) -> Column:
    """The set as a column of truth values."""
    found = np.zeros(upto, bool)
    for lo, hi in these.runs_below(upto + 1):
        found[lo - 1 : hi - 1] = True
    return found


def column(size: Size | int, upto: int, cache: dict[object, Column]) -> Column:
    """A size's values for 1 … upto, 0 where it is undefined."""
    if isinstance(size, int):
        return np.full(upto, size)
    if size.pieces not in cache:
        cache[size.pieces] = np.array([size.at(n) or 0 for n in range(1, upto + 1)])
    return cache[size.pieces]


def surface(analysed: Analysed, dim: Volume, name: str, upto: int) -> Column | None:
    """The values of an extent of both axes for 1 … upto of one, the other as declared; None where it is not known."""
    if not dim.known:
        return None
    at = dict(zip("HW", analysed.symbolic.declared, strict=True))
    return np.array([dim.at({**at, name: n}) or 0 for n in range(1, upto + 1)])


def _sets(what: str, claimed: Column, real: Column, name: str) -> Iterator[str]:
    wrong = np.flatnonzero(claimed != real)
    if len(wrong):
        n = int(wrong[0]) + 1
        verdict = "legal" if real[n - 1] else "not legal"
        yield f"{what}: {name} = {n} is {verdict}, the proof says otherwise ({len(wrong)} sizes)"


def _crops(analysed: Analysed, brute: Brute, axis: int, name: str) -> Iterator[str]:
    by_node = {id(report.node.message): report for report in analysed.reports}
    upto = len(brute.legal)
    for index, (reached, kept) in brute.crops.items():
        report = by_node[id(analysed.graph.nodes[index].message)]
        if report.used is None:
            continue
        claimed = members(report.valid[axis], upto)
        yield from _sets(f"crop '{report.node.name}'", claimed & reached, kept & reached, name)
        room = slacks(report, analysed.symbolic, analysed.valid)[axis]
        if room is None or not brute.legal.any():
            continue
        x, reference = (brute.extents[b][axis + 2] for b in report.node.bottoms)
        after = (x - reference - room.before)[brute.legal]
        claim = column(room.after + 1, upto, {})[brute.legal] - 1
        if not np.array_equal(after, claim):
            yield f"crop '{report.node.name}': the slack after it is not {room.after}"
        low, high = int(after.min()), int(after.max())
        if (room.least is not None and low < room.least) or (room.greatest is not None and high > room.greatest):
            yield f"crop '{report.node.name}': slack {low} to {high} lies beyond {room.least} to {room.greatest}"
        s = room.smallest
        first = int(np.argmax(brute.legal))
        if s is not None and (s.n, s.cropped, s.reference) != (first + 1, int(x[first]), int(reference[first])):
            yield f"crop '{report.node.name}': the smallest legal {name} is {first + 1}, not {s.n}"


def _extents(analysed: Analysed, brute: Brute, name: str) -> Iterator[str]:
    cache: dict[object, Column] = {}
    upto = len(brute.legal)
    for value, columns in brute.extents.items():
        shape = analysed.symbolic.shapes.get(value)
        if shape is None:
            continue
        for position, (dim, real) in enumerate(zip(shape, columns, strict=True)):
            if isinstance(dim, Size) and dim.name not in ("", name):
                continue
            claimed = surface(analysed, dim, name, upto) if isinstance(dim, Volume) else column(dim, upto, cache)
            if claimed is None:
                continue
            wrong = np.flatnonzero((claimed != real) & brute.legal)
            if len(wrong):
                n = int(wrong[0]) + 1
                yield f"{value}, axis {position}: {real[n - 1]} at {name} = {n}, the proof says {claimed[n - 1]}"


def _fibres(analysed: Analysed, valid: tuple[NSet, NSet], brute: Brute, axis: int, name: str) -> Iterator[str]:
    found = upsamplings(analysed.graph, analysed.shapes, analysed.symbolic, analysed.crops.coordinates, valid)
    for upsampling in found:
        fibre = upsampling.fibres[axis]
        if fibre is None:
            continue
        real = brute.extents[upsampling.node.tops[0]][axis + 2]
        yield from _sets(
            f"the fibre of '{upsampling.node.name}'",
            members(fibre.members, len(real)),
            (real == fibre.value) & brute.legal,
            name,
        )
        counts = np.unique(real[brute.legal], return_counts=True)[1]
        if fibre.most is not None and len(counts) and counts.max() > fibre.most:
            yield f"'{upsampling.node.name}': {counts.max()} sizes share one, the proof says {fibre.most} at most"


def numbers_needed(analysed: Analysed) -> bool:
    """Whether a layer is not followed, or fixes a number of elements: of sizes beyond, nothing is claimed."""
    return bool(analysed.legal.gaps) or any(not tie.by_weights for tie in ties(analysed.symbolic))


# nets ----------------------------------------------------------------------------------------------------------


def spatial(analysed: Analysed) -> bool:
    """Whether the net is legal as it stands, and a blob depends on the input's size."""
    return bool(analysed.symbolic.spatial) and not analysed.problems and not _unsized(analysed.graph, analysed)


def _unsized(graph: Graph, analysed: Analysed) -> bool:
    return any(value not in analysed.shapes for value in graph.values())


def corpus() -> Iterator[tuple[str, Path]]:
    """Every net of the corpus beside the checkout, and the bundled ones."""
    for path in sorted(ROOT.glob("prototxt/*/*.prototxt")):
        yield f"{path.parent.name}/{path.name}", path
    if (SHARED / "corpus").is_dir():
        lines = (SHARED / "corpus" / "INDEX.tsv").read_text().splitlines()
        for name in (line.split("\t")[0] for line in lines[1:]):
            yield name, SHARED / "corpus" / name


def load(path: Path) -> Analysed | None:
    """The net if it has to do with sizes; rounded where crops fall between pixels, so that more nets take part."""
    try:
        analysed = analyse(open_source(path), round_crops=True)
    except NetError:
        return None
    return analysed if spatial(analysed) else None


def main(arguments: list[str]) -> int:
    upto = int(arguments[0]) if arguments else 4096
    wanted = arguments[1:]
    nets = tied = wrong = 0
    begin = time.perf_counter()
    for name, path in corpus():
        if wanted and not any(part in name for part in wanted):
            continue
        analysed = load(path)
        if analysed is None:
            continue
        nets += 1
        tied += numbers_needed(analysed)
        start = time.perf_counter()
        found = list(disagreements(analysed, upto))
        wrong += len(found)
        print(f"{time.perf_counter() - start:6.2f} s  {len(analysed.graph.nodes):4} layers  {name}", flush=True)
        for text in found[:5]:
            print(f"          {text}")
    print(
        f"{nets} nets, every H and W from 1 to {upto}: {wrong} disagreements, {time.perf_counter() - begin:.0f} s "
        f"({tied} of the nets are tied to their declared size by a layer whose rule needs numbers)"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
