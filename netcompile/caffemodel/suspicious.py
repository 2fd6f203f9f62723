"""Weights that are read without complaint and make results worthless: what is worth a warning, and what it leads to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netcompile.caffemodel.blob import CaffeModel, StoredBlob, StoredLayer, shown
from netcompile.caffemodel.numbers import Numbers, least
from netcompile.caffemodel.plan import Plan
from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.source import Span

FULL = 6  # findings of one code that are told in full; the rest is listed in one more

Roles = Callable[[str], Sequence[str]]  # the roles of the blobs of a layer type, as far as the type alone tells them


def no_roles(layer_type: str) -> Sequence[str]:
    """Of no type is known what its blobs are."""
    return ()


@dataclass(frozen=True, slots=True)
class _Place:
    """A blob for messages: whose it is, what it is to its layer, and where the layer stands."""

    layer: str
    index: int
    role: str
    span: Span | None
    path: str

    def __str__(self) -> str:
        role = f" ({self.role})" if self.role else ""
        return f"layer {shown(self.layer)} blob {self.index}{role}"


def findings(
    model: CaffeModel,
    plan: Plan,
    blobs: Mapping[Take, StoredBlob],
    numbers: Mapping[Take, Numbers],
    roles: Roles = no_roles,
) -> tuple[Diagnostic, ...]:
    """Warnings about the blobs that were looked at, in the order of the net, or of the file where there is no net.

    What a blob is to its layer the net's layers say (`LayerSpec.roles`); without a net `roles` says it of the types
    in the file, and where it does not, a blob of two axes or more is taken as a kernel when it comes to zeros.
    """
    found = [finding for _, finding in of_each(model, plan, blobs, numbers, roles)]
    return (*_shortened(found), *twice(model, plan))


def of_each(
    model: CaffeModel,
    plan: Plan,
    blobs: Mapping[Take, StoredBlob],
    numbers: Mapping[Take, Numbers],
    roles: Roles = no_roles,
) -> Iterator[tuple[Take, Diagnostic]]:
    """The warnings about blobs that `findings` gives, all of them, each with the blob that it is about."""
    for take, place in _places(model, plan, roles):
        if take in numbers and take in blobs:
            for finding in _of_blob(place, blobs[take], numbers[take], plan.layers is None):
                yield take, finding


def _places(model: CaffeModel, plan: Plan, roles: Roles) -> Iterator[tuple[Take, _Place]]:
    if plan.layers is not None:
        for spec in plan.layers:
            for take, owner in zip(spec.takes(), spec.owners(), strict=True):
                role = spec.roles[take.index] if take.index < len(spec.roles) else ""
                if take == owner:
                    yield take, _Place(spec.name, take.index, role, spec.span, model.path)
        return
    seen: Counter[str] = Counter()
    for layer in model.layers:
        known = roles(layer.type)
        for index in range(len(layer.blobs)):
            role = known[index] if index < len(known) else ""
            yield Take(layer.name, index, seen[layer.name]), _Place(layer.name, index, role, None, model.path)
        seen[layer.name] += 1


def _of_blob(place: _Place, blob: StoredBlob, numbers: Numbers, alone: bool) -> Iterator[Diagnostic]:
    """What is odd about one blob; `alone`: there is no net."""
    if not numbers.finite:
        counts = [f"{n} {word}" for n, word in ((numbers.nan, "NaN"), (numbers.infinite, "infinite")) if n]
        yield _warning(
            "weights-not-finite",
            place,
            f"has numbers that are not finite: {' and '.join(counts)} of {numbers.count}",
            "every result that they take part in is NaN or infinite, and so is what follows from it",
            "the training that wrote the file has diverged, or the file is damaged: take an earlier snapshot",
        )
    kernel = place.role == "kernel" or (alone and not place.role and sum(n != 1 for n in blob.shape) > 1)
    if kernel and numbers.zero:
        yield _warning(
            "weights-all-zero",
            place,
            "is zero throughout",
            "whatever the layer reads, it gives its bias or zero everywhere, and no gradient passes through it",
            "weights of a net that was never trained or filled; a deconvolution that upsamples wants bilinear kernels: "
            "netcompile surgery interp",
        )
    lowest = least(blob) if place.role in ("variance", "factor") else 0.0
    if place.role == "variance" and lowest < 0:
        yield _warning(
            "weights-variance",
            place,
            f"has negative numbers, the least {lowest:g}",
            "a variance is never negative: where it and eps come to less than 0, the root and all that follows is NaN",
            "the file is damaged, or its blobs are in another order than this layer's mean, variance and factor",
        )
    if place.role == "factor" and numbers.finite and numbers.count and lowest <= 0:
        zero = numbers.zero
        yield _warning(
            "weights-factor",
            place,
            f"is {lowest:g}",
            "Caffe takes mean and variance as 0 then: the layer divides by the root of eps, 1/√1e-5 is about 316"
            if zero
            else "mean and variance are divided by it: a negative factor turns the signs of both",
            "statistics that were never gathered: train the net, or take weights that were saved after training"
            if zero
            else "the file is damaged, or its blobs are in another order",
        )


def _warning(code: str, place: _Place, what: str, why: str, remedy: str) -> Diagnostic:
    text = f"{place} of {place.path} {what}"
    return Diagnostic(code, text, place.span, why=why, remedy=remedy, severity="warning")


def _shortened(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The first few findings of each code, and one more that counts the rest."""
    counts = Counter(entry.code for entry in found)
    shown_of: Counter[str] = Counter()
    for entry in found:
        shown_of[entry.code] += 1
        if shown_of[entry.code] <= FULL:
            yield entry
        elif shown_of[entry.code] == FULL + 1:
            rest = counts[entry.code] - FULL
            what = f"{rest} more blobs like these" if rest > 1 else "one more blob like these"
            yield Diagnostic(entry.code, f"{what}, from: {entry.what}", entry.span, entry.why, severity="warning")


# --- one name twice


def twice(model: CaffeModel, plan: Plan) -> Iterator[Diagnostic]:
    """A warning for every name that the file has more than once, with different numbers."""
    names = Counter(layer.name for layer in model.layers if any(layer.blobs))
    wanted = None if plan.layers is None else {spec.name: spec for spec in plan.layers}
    for name, count in names.items():
        if count < 2 or (wanted is not None and name not in wanted):
            continue
        first, *others = (layer for layer in model.layers if layer.name == name and any(layer.blobs))
        if all(_equal(first, other) for other in others):
            continue
        why = "Caffe copies layers in the order of the file, so the last one counts"
        if wanted is None:
            why = f"both are kept here, under keys of their own; into a net, {why}"
        yield Diagnostic(
            "weights-duplicate",
            f"{model.path} has layer {shown(name)} {count} times, with different numbers",
            None if wanted is None else wanted[name].span,
            why=why,
            remedy="find out which one is meant, and remove the other",
            severity="warning",
        )


def _equal(a: StoredLayer, b: StoredLayer) -> bool:
    return len(a.blobs) == len(b.blobs) and all(map(_same, a.blobs, b.blobs))


def _same(a: StoredBlob | None, b: StoredBlob | None) -> bool:
    if a is None or b is None:
        return a is b
    if (a.count, a.dtype) != (b.count, b.dtype):
        return False
    return all(x == y for x, y in zip(a.chunks(), b.chunks(), strict=True))
