"""What a conversion is to do, as data, and Caffe's rules for which blob of a file goes where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import prod

from netcompile.caffemodel.blob import CaffeModel, StoredBlob, StoredLayer, shown
from netcompile.caffemodel.recipe import Recipe, Shape, Take
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
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
    ``occurrence``: how many layers of that name the net has before it.
    """

    name: str
    blobs: tuple[Shape, ...] = ()
    shared: tuple[tuple[int, Take], ...] = ()
    span: Span | None = field(default=None, compare=False)
    roles: tuple[str, ...] = ()
    cut: bool = False
    unread: frozenset[int] = frozenset()
    occurrence: int = 0

    def takes(self) -> tuple[Take, ...]:
        """Its blobs; as text they are the names in files."""
        return tuple(Take(self.name, index, self.occurrence) for index in range(len(self.blobs)))

    def owners(self) -> tuple[Take, ...]:
        """For each blob the one whose numbers it has: itself, or another layer's."""
        shared = dict(self.shared)
        return tuple(shared.get(take.index, take) for take in self.takes())


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
    ``coerced``: blobs that are to be read in another shape, as text.
    """

    blobs: dict[Take, StoredBlob]
    shapes: dict[Take, Shape]
    missing: tuple[Take, ...]
    unused: tuple[str, ...]
    problems: tuple[Diagnostic, ...]
    coerced: tuple[str, ...] = ()

    def require(self) -> Match:
        """This match. Raises NetError with every error of its problems."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            raise NetError(errors)
        return self


def same_shape(have: Shape, want: Shape) -> bool:
    """Whether a file's blob is one of the net's: equal shapes, axes of extent 1 left aside.

    Wider than Caffe's Blob::ShapeEquals (four legacy axes, else exactly): forks differ in the 1s that they
    write round a vector (PSPNet's BN 1xCx1x1, C3D's biases 1x1x1x1xN), and 1s move no number.
    """
    return [extent for extent in have if extent != 1] == [extent for extent in want if extent != 1]


def _coercible(have: Shape, want: Shape) -> bool:
    """Whether one is a matrix and the other its rows folded into windows: as many outputs, as many numbers."""
    short, long = sorted((unpadded(have), want), key=len)
    return prod(have) == prod(want) and len(short) == 2 < len(long) and short[0] == long[0]


def unpadded(shape: Shape) -> Shape:
    """A legacy shape without the 1s that fill it up to four axes."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def match(model: CaffeModel, plan: Plan, allow_missing: bool = False, pretrained: bool = False) -> Match:
    """Finds the file's blob for every blob of the net, by Caffe's rules (Net::CopyTrainedLayersFrom).

    Names alone decide, types do not. In a binary file a layer goes to the net's first layer of its name, in HDF5 to the
    last. A layer must have as many blobs as the net's, of equal shapes (see `same_shape`); all layers of the file are
    checked. Blobs are copied in file order, so the last of several layers of one name wins, and of layers that share a
    blob. In HDF5 a shared blob may be absent.

    ``allow_missing`` lets layers be absent and have fewer or more blobs than the net's; shapes must be equal.
    ``pretrained`` is what training begins with: layers may be absent, and where a fully connected layer became a
    convolution (or the reverse) the same numbers are meant in the same order.
    """
    if plan.layers is None:
        return _match_by_position(model)
    places: defaultdict[str, list[LayerSpec]] = defaultdict(list)
    for spec in plan.layers:
        places[spec.name].append(spec)
    blobs: dict[Take, StoredBlob] = {}
    problems: list[Diagnostic] = []
    coerced: list[str] = []
    given: set[tuple[str, int]] = set()
    copies = Counter(layer.name for layer in model.layers)
    for layer in model.layers:
        specs = places.get(layer.name, [])
        if model.format == "HDF5":
            specs = specs[-1:]
        else:
            specs = [spec for spec in specs if spec.occurrence == layer.occurrence]
        if not specs or specs[0].cut or (pretrained and not layer.blobs):
            continue
        (spec,) = specs
        given.add((spec.name, spec.occurrence))
        if pretrained:
            spec, texts = _coerced(layer, spec)
            coerced += texts
        problems += _compare(model, layer, spec, copies[layer.name], allow_missing, pretrained)
        blobs.update((o, blob) for o, blob in zip(spec.owners(), layer.blobs, strict=False) if blob is not None)

    shapes: dict[Take, Shape] = {}
    missing: list[Take] = []
    for specs in places.values():
        for spec in specs:
            shapes.update(zip(spec.takes(), spec.blobs, strict=True))
            lacking = [
                take for take, owner in zip(spec.takes(), spec.owners(), strict=True) if take == owner not in blobs
            ]
            present = (spec.name, spec.occurrence) in given
            told = (not present and not pretrained) or (present and model.format == "HDF5")
            if lacking and told and not allow_missing:
                problems.append(_absent(model, spec, lacking, present, len(specs), pretrained))
            missing += lacking
    unused = tuple(dict.fromkeys(layer.name for layer in model.layers if layer.name not in places and any(layer.blobs)))
    return Match(blobs, shapes, tuple(missing), unused, tuple(problems), tuple(coerced))


def _match_by_position(model: CaffeModel) -> Match:
    found = dict(_all_blobs(model))
    return Match(found, {take: blob.shape for take, blob in found.items()}, missing=(), unused=(), problems=())


def _coerced(layer: StoredLayer, spec: LayerSpec) -> tuple[LayerSpec, list[str]]:
    """The net's layer with the file's shapes where these are the same weights in another form; what those are."""
    shapes, texts = list(spec.blobs), []
    for index, (blob, shape) in enumerate(zip(layer.blobs, spec.blobs, strict=False)):
        if blob is not None and _coercible(blob.shape, shape):
            shapes[index] = blob.shape
            have = shape_text(unpadded(blob.shape))
            texts.append(f"{spec.takes()[index]}: {have} taken over as {shape_text(shape)}")
    return replace(spec, blobs=tuple(shapes)), texts


def _compare(
    model: CaffeModel, copy: StoredLayer, spec: LayerSpec, copies: int, allow_missing: bool, pretrained: bool
) -> Iterator[Diagnostic]:
    """Caffe's checks on one layer of the file against the net's layer."""
    hdf5, need = model.format == "HDF5", len(spec.blobs)
    have = len(copy.blobs) if hdf5 else sum(blob is not None for blob in copy.blobs)
    whole = hdf5 and have < need  # which ones are absent is said elsewhere
    if have != need and not whole and not allow_missing:
        remedy = _COUNT_REMEDY if have > need else _MISSING_REMEDY
        yield Diagnostic(
            "weights-count",
            f"layer {shown(spec.name)} has {need} blob{'s' * (need != 1)} in the net, {have} in {model.path}",
            spec.span,
            why="a file and a net that belong together have as many blobs in every layer"
            + (f"; the file has {copies} layers of this name" if copies > 1 else ""),
            remedy=_OTHER_REMEDY if pretrained else remedy,
        )
    for index, (blob, shape) in enumerate(zip(copy.blobs, spec.blobs, strict=False)):
        if blob is not None and index not in spec.unread and not same_shape(blob.shape, shape):
            yield Diagnostic(
                "weights-shape",
                f"layer {shown(spec.name)} blob {index} is {shape_text(shape)} in the net, "
                f"{shape_text(blob.shape)} in {model.path}",
                spec.span,
                why=_shape_reason(blob, shape),
                remedy=_OTHER_REMEDY,
            )


_OTHER_REMEDY = "use the weights of this net, or rename the layer if it is to be trained anew"
_MISSING_REMEDY = "use the weights of this net; --allow-missing fills what is missing with zeros"
_COUNT_REMEDY = "use the weights of this net; --allow-missing drops the blobs that the net lacks"


def _shape_reason(blob: StoredBlob, shape: Shape) -> str:
    if blob.count != prod(shape):
        return f"the net needs {prod(shape)} numbers, the file has {blob.count}"
    return "as many numbers, but in another arrangement"


def _absent(
    model: CaffeModel, spec: LayerSpec, lacking: list[Take], present: bool, specs: int, pretrained: bool
) -> Diagnostic:
    if specs > 1 and not present:
        place = "the last" if model.format == "HDF5" else "the first"
        return Diagnostic(
            "weights-missing",
            f"layer {shown(spec.name)} gets no weights: the net has {specs} layers of this name",
            spec.span,
            why=f"Caffe gives the weights to {place} layer of a name; this is number {spec.occurrence + 1}",
            remedy="give every layer with weights its own name, or --allow-missing to fill it with zeros",
        )
    which = ", ".join(str(take.index) for take in lacking)
    what = f"layer {shown(spec.name)} has no blob {which}" if present else f"layer {shown(spec.name)} is missing"
    names = [] if present else _similar(spec.name, model)
    why = "layers of the file and of the net are matched by name"
    if names:
        why += f"; the file has {', '.join(map(shown, names))}"
    return Diagnostic(
        "weights-missing",
        f"{what} in {model.path}",
        spec.span,
        why=why,
        remedy=_OTHER_REMEDY if pretrained else _MISSING_REMEDY,
    )


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
                numbered = (f"{take.layer}#{number}" for number in count(used[take.layer] + 1))
                name = next(other for other in numbered if other not in taken)
                taken.add(name)
                what = f"{model.path}: layer {shown(take.layer)} again: its keys start with {shown(name)}"
                why = "names may repeat in a caffemodel; with a net, Caffe's rules decide which one counts"
                notes.append(Diagnostic("weights-duplicate", what, why=why, severity="note"))
            used[take.layer] += 1
            keys[place] = name
        tensors.append(Tensor(f"{keys[place]}.{take.index}", blob.shape, blob.dtype, take))
    return Plan(tuple(tensors), None, tuple(notes))


def _all_blobs(model: CaffeModel) -> Iterator[tuple[Take, StoredBlob]]:
    """Every blob of the file; occurrences count the layers of the file, not of a net."""
    seen: Counter[str] = Counter()
    for layer in model.layers:
        for index, blob in enumerate(layer.blobs):
            if blob is not None:
                yield Take(layer.name, index, seen[layer.name]), blob
        seen[layer.name] += 1
