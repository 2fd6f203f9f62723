"""What a conversion is to do, as data, and Caffe's rules for which blob of a file goes where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from netcompile.caffemodel.blob import Blob, CaffeModel, LayerBlobs
from netcompile.caffemodel.describe import shown
from netcompile.caffemodel.recipe import Recipe, Shape, Take
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import nearest
from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import shape_text

DTYPES = ("float16", "bfloat16", "float32", "float64", "int64")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the output: its key, shape, type (one of DTYPES) and how it is made."""

    key: str
    shape: Shape
    dtype: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer of the net, with the shapes that its blobs have in Caffe; most layers have none.

    ``shared``: which of the blobs are another layer's (``param.name``), as (index, the owner's blob).
    ``roles``: what each blob is to the layer, as `BlobSpec.meaning` says.
    ``span``: the layer's place in the prototxt, for messages. ``cut``: of its blobs in the file nothing is wanted.
    ``unread``: which of the blobs may have any shape, as the layer computes nothing from them.
    """

    name: str
    blobs: tuple[Shape, ...] = ()
    shared: tuple[tuple[int, Take], ...] = ()
    span: Span | None = field(default=None, compare=False)
    roles: tuple[str, ...] = ()
    cut: bool = False
    unread: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """The tensors to write, and every layer of the net in its order; without a net ``layers`` is None."""

    tensors: tuple[Tensor, ...]
    layers: tuple[LayerSpec, ...] | None
    notes: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Which blob of the file each source of a plan is.

    ``shapes``: the shape of every source in the net. ``missing``: sources that the file lacks, in net order.
    ``unused``: layers with blobs that the net lacks (Caffe ignores them). ``problems``: errors, and notes.
    """

    blobs: dict[Take, Blob]
    shapes: dict[Take, Shape]
    missing: tuple[Take, ...]
    unused: tuple[str, ...]
    problems: tuple[Diagnostic, ...]


def same_shape(have: Shape, want: Shape) -> bool:
    """Whether a file's blob is one of the net's: equal shapes, axes of extent 1 left aside.

    Wider than Caffe's Blob::ShapeEquals (four legacy axes, else exactly): forks differ in the 1s that they
    write round a vector (PSPNet's BN 1xCx1x1, C3D's biases 1x1x1x1xN), and 1s move no number.
    """
    return _extents(have) == _extents(want)


def _extents(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


def match(model: CaffeModel, plan: Plan, allow_missing: bool = False) -> Match:
    """Finds the file's blob for every blob of the net, by Caffe's rules (Net::CopyTrainedLayersFrom).

    Names alone decide, types do not. In a binary file a layer goes to the net's first layer of its name, in
    HDF5 to the last. A layer must have as many blobs as the net's, of equal shapes (see `same_shape`); all
    layers of the file are checked. Blobs are copied in file order, so the last of several layers of one name
    wins, and of layers that share a blob. In HDF5 a shared blob may be absent.

    ``allow_missing`` lets layers be absent and have fewer or more blobs than the net's; shapes must be equal.
    """
    if plan.layers is None:
        return _match_by_position(model)
    places: dict[str, list[LayerSpec]] = {}
    for spec in plan.layers:
        places.setdefault(spec.name, []).append(spec)
    hdf5 = model.format == "HDF5"
    blobs: dict[Take, Blob] = {}
    problems: list[Diagnostic] = []
    copies = Counter(layer.name for layer in model.layers)
    for layer in model.layers:
        if layer.name not in places:
            continue
        specs = places[layer.name]
        occurrence = len(specs) - 1 if hdf5 else 0
        spec = specs[occurrence]
        if spec.cut:
            continue
        problems += _compare(model, layer, spec, copies[layer.name], allow_missing)
        owners = dict(spec.shared)
        for index, blob in enumerate(layer.blobs[: len(spec.blobs)]):
            if blob is not None:
                blobs[owners.get(index, Take(layer.name, index, occurrence))] = blob

    shapes: dict[Take, Shape] = {}
    missing: list[Take] = []
    for name, specs in places.items():
        for occurrence, spec in enumerate(specs):
            owners = dict(spec.shared)
            takes = {Take(name, index, occurrence): shape for index, shape in enumerate(spec.blobs)}
            shapes.update(takes)
            lacking = [take for take in takes if take not in blobs and take.index not in owners]
            present = name in copies and occurrence == (len(specs) - 1 if hdf5 else 0)
            if lacking and (hdf5 or not present) and not allow_missing:
                problems.append(_absent(model, spec, lacking, present, len(specs), occurrence))
            missing += lacking
    unused = tuple(dict.fromkeys(layer.name for layer in model.layers if layer.name not in places and any(layer.blobs)))
    return Match(blobs, shapes, tuple(missing), unused, tuple(problems))


def _match_by_position(model: CaffeModel) -> Match:
    found = dict(_all_blobs(model))
    return Match(found, {take: blob.shape for take, blob in found.items()}, (), (), ())


def _compare(
    model: CaffeModel, copy: LayerBlobs, spec: LayerSpec, copies: int, allow_missing: bool
) -> Iterator[Diagnostic]:
    """Caffe's checks on one layer of the file against the net's layer."""
    have, need = len(copy.blobs), len(spec.blobs)
    whole = model.format == "HDF5" and have < need  # which ones are absent is said elsewhere
    if have != need and not whole and not allow_missing:
        yield Diagnostic(
            "weights-count",
            f"layer {shown(spec.name)} has {need} blob{'s' * (need != 1)} in the net, {have} in {model.path}",
            spec.span,
            why="a file and a net that belong together have as many blobs in every layer"
            + (f"; the file has {copies} layers of this name" if copies > 1 else ""),
            remedy=_COUNT_REMEDY if have > need else _MISSING_REMEDY,
        )
    for index, (blob, shape) in enumerate(zip(copy.blobs, spec.blobs, strict=False)):
        if blob is not None and index not in spec.unread and not same_shape(blob.shape, shape):
            yield Diagnostic(
                "weights-shape",
                f"layer {shown(spec.name)} blob {index} is {shape_text(shape)} in the net, "
                f"{shape_text(blob.shape)} in {model.path}",
                spec.span,
                why=_shape_reason(blob, shape),
                remedy="use the weights of this net, or rename the layer if it is to be trained anew",
            )


_MISSING_REMEDY = "use the weights of this net; --allow-missing fills what is missing with zeros"
_COUNT_REMEDY = "use the weights of this net; --allow-missing drops the blobs that the net lacks"


def _shape_reason(blob: Blob, shape: Shape) -> str:

    if blob.count != prod(shape):
        return f"the net needs {prod(shape)} numbers, the file has {blob.count}"
    return "as many numbers, but in another arrangement"


def _absent(
    model: CaffeModel, spec: LayerSpec, lacking: list[Take], present: bool, specs: int, occurrence: int
) -> Diagnostic:
    if specs > 1 and not present:
        place = "the last" if model.format == "HDF5" else "the first"
        return Diagnostic(
            "weights-missing",
            f"layer {shown(spec.name)} gets no weights: the net has {specs} layers of this name",
            spec.span,
            why=f"Caffe gives the weights to {place} layer of a name; this is number {occurrence + 1}",
            remedy="give every layer with weights its own name, or --allow-missing to fill it with zeros",
        )
    which = ", ".join(str(take.index) for take in lacking)
    what = f"layer {shown(spec.name)} has no blob {which}" if present else f"layer {shown(spec.name)} is missing"
    names = [] if present else _similar(spec.name, model)
    why = "layers of the file and of the net are matched by name"
    if names:
        why += f"; the file has {', '.join(map(shown, names))}"
    return Diagnostic("weights-missing", f"{what} in {model.path}", spec.span, why=why, remedy=_MISSING_REMEDY)


def _similar(name: str, model: CaffeModel) -> list[str]:
    return nearest(name, (layer.name for layer in model.layers if layer.blobs), 2, 0.75)


# --- conversion without a net


def convert_plain(model: CaffeModel) -> Plan:
    """Every blob of the file under the key ``<layer>.<index>``, in the shape and type that it has there.

    Legacy blobs keep their four axes: without the net nobody knows which of the 1s are meant. Where a name
    occurs again in the file, '#2', '#3' ... is put behind it (once more if that is taken), with a note.
    """
    tensors: list[Tensor] = []
    notes: list[Diagnostic] = []
    keys: dict[tuple[str, int], str] = {}
    taken = {layer.name for layer in model.layers}
    used: Counter[str] = Counter()
    for take, blob in _all_blobs(model):
        place = (take.layer, take.occurrence)
        if place not in keys:
            name = take.layer
            if used[take.layer]:
                number = used[take.layer] + 1
                name = f"{take.layer}#{number}"
                while name in taken:
                    number += 1
                    name = f"{take.layer}#{number}"
                taken.add(name)
                what = f"{model.path}: layer {shown(take.layer)} again: its keys start with {shown(name)}"
                why = "names may repeat in a caffemodel; with a net, Caffe's rules decide which one counts"
                notes.append(Diagnostic("weights-duplicate", what, why=why, severity="note"))
            used[take.layer] += 1
            keys[place] = name
        tensors.append(Tensor(f"{keys[place]}.{take.index}", blob.shape, blob.dtype, take))
    return Plan(tuple(tensors), None, tuple(notes))


def _all_blobs(model: CaffeModel) -> Iterator[tuple[Take, Blob]]:
    """Every blob of the file; occurrences count the layers of the file, not of a net."""
    seen: Counter[str] = Counter()
    for layer in model.layers:
        for index, blob in enumerate(layer.blobs):
            if blob is not None:
                yield Take(layer.name, index, seen[layer.name]), blob
        seen[layer.name] += 1
