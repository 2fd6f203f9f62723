"""Shapes of every value as numbers, for the declared inputs, and what refuses them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from math import prod

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.text import shape_text
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import BlobSpec, IntShape, Refused
from netcompile.layers.params import filler_mistake, locate
from netcompile.layers.shapes import number

Shapes = Mapping[Value, IntShape]

MOST_AXES = 32  # Caffe's kMaxBlobAxes
MOST_ELEMENTS = 2**31 - 1  # its counts are C's int
_RESHAPE = "Caffe's Blob::Reshape checks both"


def diagnose(node: Node, refused: Refused) -> Diagnostic:
    """A layer's refusal, placed in the file."""
    return Diagnostic(
        refused.code,
        f"layer '{node.name}': {refused.what}",
        locate(node.message, refused.at),
        why=refused.why,
        remedy=refused.remedy,
    )


def infer(graph: Graph) -> tuple[dict[Value, IntShape], list[Diagnostic]]:
    """Shapes for the declared inputs, and every refusal; a layer that fails leaves its tops without a shape."""
    known, refused = refusals_of(graph)
    return known, [*input_problems(graph), *(problem for _, problem in refused)]


def input_problems(graph: Graph) -> list[Diagnostic]:
    """Inputs that no blob of Caffe can be."""
    return [
        Diagnostic(
            "shape",
            f"input '{entry.value.blob}' is {large}",
            locate(entry.message, "input_param.shape" if entry.message.has("input_param") else "top"),
            why=_RESHAPE,
            remedy=f"--input {entry.value.blob}=… with a smaller shape",
        )
        for entry in graph.inputs
        if (large := too_large(entry.shape)) is not None
    ]


def refusals_of(graph: Graph) -> tuple[dict[Value, IntShape], list[tuple[Node, Diagnostic]]]:
    """As `infer`, each refusal with the layer that it is of; inputs that no blob can be are left out."""
    known: dict[Value, IntShape] = {}
    return known, list(each_refusal(graph, known))


def each_refusal(graph: Graph, known: dict[Value, IntShape]) -> Iterator[tuple[Node, Diagnostic]]:
    """The same one after the other, for who needs the first alone; puts shapes into `known` up to there."""
    known.update((entry.value, entry.shape) for entry in graph.inputs if too_large(entry.shape) is None)
    shared: dict[str, tuple[Node, BlobSpec]] = {}
    legal: dict[Hashable, list[IntShape | None]] = {}  # tops of a layer that is well, by what was asked
    for node in graph.nodes:
        bottoms = [known[b] for b in node.bottoms if b in known]
        if len(bottoms) < len(node.bottoms):
            continue
        asked = id(node.layer), len(node.tops), node.params, *bottoms
        made = legal.get(asked)
        if made is not None:
            known.update((top, shape) for top, shape in zip(node.tops, made, strict=True) if shape is not None)
            continue
        problems = _infer_node(node, bottoms, known, shared)
        if not problems and not any(spec.name for spec in node.params):
            legal[asked] = [known.get(top) for top in node.tops]
        for problem in problems:
            yield node, problem


def recheck(
    before: Graph, after: Graph, known: Shapes, refused: Iterable[tuple[Node, Diagnostic]]
) -> list[tuple[Node, Diagnostic]]:
    """The refusals of `after`, given those of `before`: the same layers, some with other parameters.

    These must not make tops of other shapes. `known` has the shapes of all their bottoms.
    """
    problems: dict[int, list[Diagnostic]] = {}
    for node, problem in refused:
        problems.setdefault(id(node), []).append(problem)
    found = []
    for old, new in zip(before.nodes, after.nodes, strict=True):
        same = problems.get(id(old), []) if new is old else _infer_node(new, [known[b] for b in new.bottoms], {}, {})
        found += [(new, problem) for problem in same]
    return found


def _infer_node(
    node: Node, bottoms: list[IntShape], known: dict[Value, IntShape], shared: dict[str, tuple[Node, BlobSpec]]
) -> list[Diagnostic]:
    """What is wrong with a layer; puts its tops' shapes into `known` where they are known."""
    problems: list[Diagnostic] = []
    broken = False
    try:
        for condition in node.layer.conditions(*bottoms):
            if not condition.holds():
                why = condition.refused()
                problems.append(diagnose(node, why))
                if why.code != "crop-bounds":
                    broken = True
                    break
        tops = node.layer.shapes(*bottoms)
        if not broken:
            blobs = node.layer.blobs(*bottoms)
            if blobs or node.params:
                problems += [*_params(node, blobs, shared), *_fillers(node, blobs)]
    except Refused as refused:
        return problems if broken else [*problems, diagnose(node, refused)]
    numbers = tuple(tuple(number(d) for d in top) for top in tops)
    refusal = _blob_refused(numbers, bottoms)
    if refusal is None:
        known.update(zip(node.tops, numbers, strict=False))
    elif not broken:
        problems.append(diagnose(node, refusal))
    return problems


def too_large(shape: IntShape) -> str | None:
    """What Caffe's Blob::Reshape refuses in a shape: more than 32 axes, or more elements than an int counts."""
    if len(shape) > MOST_AXES:
        return f"a blob of {len(shape)} axes, and Caffe takes {MOST_AXES} at most"
    if prod(shape) > MOST_ELEMENTS:
        return f"a blob of {shape_text(shape)} elements, and Caffe counts up to {MOST_ELEMENTS}"
    return None


def _blob_refused(numbers: Sequence[IntShape], bottoms: Sequence[IntShape]) -> Refused | None:
    """What no blob of Caffe can be: empty, of too many axes, or too large."""
    for index, shape in enumerate(numbers):
        if any(extent < 1 for extent in shape):
            return _empty(index, shape, bottoms)
        large = too_large(shape)
        if large is not None:
            return Refused(f"top {index} would be {large}", at=f"top[{index}]", why=_RESHAPE)
    return None


def _empty(index: int, shape: IntShape, bottoms: Sequence[IntShape]) -> Refused:
    return Refused(
        f"output size is not positive: {shape_text(shape)}",
        code="empty-output",
        at=f"bottom[{min(index, len(bottoms) - 1)}]" if bottoms else "",
        why=f"from {' and '.join(shape_text(b) for b in bottoms)}: the window does not fit into its bottom",
        remedy="a larger input (--input), a smaller kernel, or more pad",
    )


def _params(node: Node, blobs: Sequence[BlobSpec], shared: dict[str, tuple[Node, BlobSpec]]) -> list[Diagnostic]:
    """Check the layer's blobs, the param specs of them, and shared ones against their owner's (Net::AppendParam)."""
    for made in blobs:
        large = too_large(made.shape)
        if large is not None:
            return [diagnose(node, Refused(f"its {made.name} would be {large}", why=_RESHAPE))]
    if not node.params:
        return []
    if len(node.params) > len(blobs):
        what = f"{len(node.params)} param specs for {len(blobs)} blobs"
        return [diagnose(node, Refused(what, code="param-count", at=f"param[{len(blobs)}]"))]
    problems = []
    for index, (spec, blob) in enumerate(zip(node.params, blobs, strict=False)):
        if not spec.name:
            continue
        owner, first = shared.setdefault(spec.name, (node, blob))
        same = prod(first.shape) == prod(blob.shape) if spec.permissive else first.shape == blob.shape
        if not same:
            refused = Refused(
                f"shared param '{spec.name}' has two shapes: {shape_text(first.shape)} and {shape_text(blob.shape)}",
                code="param-share",
                at=f"param[{index}].name",
                why=f"layer '{owner.name}' owns it",
                remedy="" if spec.permissive else "share_mode: PERMISSIVE allows equal counts",
            )
            problems.append(diagnose(node, refused))
    return problems


def _fillers(node: Node, blobs: Sequence[BlobSpec]) -> list[Diagnostic]:
    """Fillers that cannot fill their blobs, at which Caffe stops before it copies trained weights."""
    problems = []
    for blob in blobs:
        mistake = None if blob.filler is None else filler_mistake(blob.filler, blob.shape)
        if blob.filler is not None and mistake is not None:
            at, what, why = mistake
            problems.append(Diagnostic("filler", f"layer '{node.name}': {what}", blob.filler.span_of(at), why=why))
    return problems
