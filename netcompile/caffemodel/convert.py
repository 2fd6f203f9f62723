"""Carries out a plan: blobs of a caffemodel in, named tensors out, to a .safetensors file or to memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from math import prod

from netcompile.caffemodel import computing, plain_arrays
from netcompile.caffemodel.blob import CHUNK, CaffeModel, StoredBlob
from netcompile.caffemodel.numbers import Numbers, looked_at, watched
from netcompile.caffemodel.plan import Match, Plan, Tensor, match
from netcompile.caffemodel.recipe import Take
from netcompile.caffemodel.suspicious import Roles, findings, no_roles
from netcompile.caffemodel.tensorfile import TYPES, Entry, write
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.files.look import is_file, is_there

_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did. ``bytes`` is the size of the file written, 0 for ``stream_tensors``.

    ``copied``: keys whose numbers went from file to file untouched. ``missing``: keys filled with zeros,
    because a blob that they are made of is not in the file (only with ``allow_missing``). ``unused``: layers
    of the file that have blobs and are not in the net; Caffe ignores them too. ``without_weights``: layers of
    the net that should have weights and got none. ``notes``: worth showing, nothing is wrong. ``suspicious``:
    warnings about the numbers themselves, as `suspicious.findings` gives them where they were looked at.
    """

    path: str
    tensors: int
    bytes: int
    copied: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    without_weights: tuple[str, ...]
    notes: tuple[Diagnostic, ...]
    suspicious: tuple[Diagnostic, ...] = ()


def convert(
    model: CaffeModel,
    plan: Plan,
    out_path: str | os.PathLike[str],
    *,
    allow_missing: bool = False,
    dtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
    roles: Roles | None = None,
) -> ConversionReport:
    """Writes the tensors of ``plan`` as .safetensors to ``out_path``, whole or not at all.

    ``dtype`` ('float16', 'bfloat16', 'float32', 'float64') replaces that of the plan's floating-point
    tensors. ``metadata`` is kept in the file beside ``format: pt``. Where nothing is computed the numbers are
    copied in pieces of 4 MB, so the memory needed does not grow with the file.

    With ``allow_missing`` a tensor that needs a blob which the file lacks is written as zeros. With ``roles``, which
    tells what the blobs of a layer type are to a plan without a net, the numbers are looked at as they pass.

    Raises NetError with every missing, superfluous and misshapen blob, before anything is written; OSError.
    """
    path = os.fspath(out_path)
    _check_output(model, path)
    work = prepare(model, plan, allow_missing, dtype, roles)
    entries = [Entry(t.key, t.dtype, t.shape, partial(chunks, work, t)) for t in work.tensors]
    size = write(path, entries, {"format": "pt", **(metadata or {})})
    return work.report(path, size)


def stream_tensors(
    model: CaffeModel,
    plan: Plan,
    *,
    allow_missing: bool = False,
    dtype: str | None = None,
    done: Callable[[ConversionReport], None] | None = None,
) -> Iterator[tuple[Tensor, Iterator[memoryview]]]:
    """The tensors of ``plan`` one by one, each as little-endian bytes in pieces; a piece dies with the next.

    As ``convert``, all types included; after the last one ``done`` takes the report, the numbers having been looked at.
    Raises NetError before the first tensor.
    """
    work = prepare(model, plan, allow_missing, dtype, None if done is None else no_roles)
    for tensor in work.tensors:
        yield tensor, chunks(work, tensor)
    if done is not None:
        done(work.report("", 0))


@dataclass(frozen=True, slots=True)
class Conversion:
    """A plan that fits its file."""

    model: CaffeModel
    plan: Plan
    found: Match
    tensors: tuple[Tensor, ...]
    missing: frozenset[Take]
    roles: Roles | None = None  # None: numbers are not looked at
    numbers: dict[Take, Numbers] = field(default_factory=dict)  # of blobs that were looked at

    def lacks(self, tensor: Tensor) -> bool:
        return not self.missing.isdisjoint(tensor.recipe.sources())

    def plain(self, tensor: Tensor) -> StoredBlob | None:
        """The blob whose numbers are the tensor's, in their order; their type may differ."""
        source = tensor.recipe.plain_source()
        return None if source is None else self.found.blobs.get(source)

    def watched(self, tensor: Tensor) -> Iterator[memoryview]:
        """The pieces of a plain tensor's blob; what passes for the first time is looked at."""
        source = tensor.recipe.plain_source()
        assert source is not None
        blob = self.found.blobs[source]
        if self.roles is None or source in self.numbers:
            return blob.chunks()
        self.numbers[source] = Numbers()
        return watched(blob, self.numbers[source])

    def suspicious(self) -> tuple[Diagnostic, ...]:
        """Warnings about the numbers of all blobs that the net has, those included that no tensor copies."""
        if self.roles is None:
            return ()
        for take, blob in self.found.blobs.items():
            if take not in self.numbers:
                self.numbers[take] = looked_at(blob)
        return findings(self.model, self.plan, self.found.blobs, self.numbers, self.roles)

    def report(self, path: str, size: int) -> ConversionReport:
        copied = tuple(t.key for t in self.tensors if (b := self.plain(t)) is not None and b.dtype == t.dtype)
        bare = dict.fromkeys(take.layer for take in self.found.missing)
        return ConversionReport(
            path=path,
            tensors=len(self.tensors),
            bytes=size,
            copied=copied,
            missing=tuple(t.key for t in self.tensors if self.lacks(t)),
            unused=self.found.unused,
            without_weights=tuple(bare),
            notes=(*self.model.notes, *self.plan.notes, *self.found.problems),
            suspicious=self.suspicious(),
        )


def prepare(
    model: CaffeModel, plan: Plan, allow_missing: bool, dtype: str | None, roles: Roles | None = None
) -> Conversion:
    """What `convert` has found out before the first byte is written; the arguments are its own. Raises NetError."""
    if dtype is not None and dtype not in _FLOATS:
        raise ValueError(f"dtype must be one of {', '.join(_FLOATS)}")
    found = match(model, plan, allow_missing).require()
    tensors = []
    for tensor in plan.tensors:
        shape = tensor.recipe.shape_of(found.shapes.__getitem__)
        if shape != tensor.shape:
            raise ValueError(f"tensor {tensor.key!r} is to be {tensor.shape}, its recipe gives {shape}")
        kind = dtype if dtype is not None and tensor.dtype in _FLOATS else tensor.dtype
        tensors.append(Tensor(tensor.key, shape, kind, tensor.recipe))
    return Conversion(model, plan, found, tuple(tensors), frozenset(found.missing), roles)


def _check_output(model: CaffeModel, path: str) -> None:
    if not is_there(os.path.realpath(path)):
        return
    if is_there(model.path) and os.path.samefile(model.path, path):
        refuse("output-path", f"{path}: the output is the caffemodel itself", remedy="write to another path")
    if not is_file(path):
        what, remedy = f"{path}: the output is a folder or a device", "give the path of a .safetensors file"
        refuse("output-path", what, remedy=remedy)


# --- bytes of one tensor


def chunks(work: Conversion, tensor: Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor, little-endian, in pieces; a piece dies with the next."""
    if work.lacks(tensor):
        return _zeros(prod(tensor.shape) * TYPES[tensor.dtype][1])
    blob = work.plain(tensor)
    if blob is not None and blob.dtype == tensor.dtype:
        return work.watched(tensor)
    has_numpy = find_spec("numpy") is not None
    if blob is None:
        compute = computing.computed if has_numpy else plain_arrays.computed
        return compute(work.found, tensor)
    cast = computing.cast_chunks if has_numpy else plain_arrays.cast_chunks
    return cast(work.watched(tensor), blob.dtype, tensor.dtype)


def _zeros(size: int) -> Iterator[memoryview]:
    zeros = memoryview(bytes(min(size, CHUNK)))
    for offset in range(0, size, CHUNK):
        yield zeros[: min(CHUNK, size - offset)]
