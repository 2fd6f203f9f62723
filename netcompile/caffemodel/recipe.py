"""How one tensor is made from blobs of a caffemodel: expressions as plain data, evaluated in one place.

Passes build and rewrite recipes; they never touch arrays. A recipe sees every blob in the shape that Caffe
gives it in the net (a legacy 1x1x1xN bias is N), and computes in the blobs' float type, float32 unless asked
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Blob ``index`` of the net's first layer named ``layer``, or of a later ``occurrence`` of that name."""

    layer: str
    index: int
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Constant:
    """``value`` everywhere. ``dtype``: 'float32', 'float64', 'int64'."""

    value: float
    shape: Shape
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Reshape:
    """The same numbers in order, in another shape (no -1)."""

    of: Recipe
    shape: Shape


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axis i of the result is axis ``axes[i]`` of the operand."""

    of: Recipe
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flip:
    """Reversed along ``axes``."""

    of: Recipe
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Elements ``start`` to ``stop`` (exclusive) along ``axis``."""

    of: Recipe
    axis: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Concat:
    """Joined along ``axis``."""

    parts: tuple[Recipe, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class Add:
    """Elementwise, broadcast as NumPy does; so are Subtract, Multiply and Divide."""

    left: Recipe
    right: Recipe


@dataclass(frozen=True, slots=True)
class Subtract:
    left: Recipe
    right: Recipe


@dataclass(frozen=True, slots=True)
class Multiply:
    left: Recipe
    right: Recipe


@dataclass(frozen=True, slots=True)
class Divide:
    left: Recipe
    right: Recipe


@dataclass(frozen=True, slots=True)
class ScaledByFactor:
    """A running statistic of Caffe's BatchNorm: ``of`` · (1/factor), and 0 where the factor (one number) is
    0.

    The reciprocal is rounded first, as Caffe does, so the result is Caffe's to the last bit.
    """

    of: Recipe
    factor: Recipe


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Of shape (C, C, …) the elements [i, i], as (C, 1, …)."""

    of: Recipe


@dataclass(frozen=True, slots=True)
class Combined:
    """The sum of the slices along ``axis``, times ``factors``; that axis is gone. Summed in float64."""

    of: Recipe
    axis: int
    factors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rsqrt:
    """1 / sqrt(of + eps)."""

    of: Recipe
    eps: float


Recipe: TypeAlias = (
    Take
    | Constant
    | Reshape
    | Transpose
    | Flip
    | Slice
    | Concat
    | Add
    | Subtract
    | Multiply
    | Divide
    | ScaledByFactor
    | Diagonal
    | Combined
    | Rsqrt
)

_SIGNS: dict[type, str] = {Add: "+", Subtract: "-", Multiply: "*", Divide: "/", ScaledByFactor: "/"}


def operands(recipe: Recipe) -> tuple[Recipe, ...]:
    """The recipes that ``recipe`` is made of, in order; none for a leaf."""
    match recipe:
        case Take() | Constant():
            return ()
        case Concat(parts):
            return parts
        case Add(a, b) | Subtract(a, b) | Multiply(a, b) | Divide(a, b) | ScaledByFactor(a, b):
            return (a, b)
        case _:
            return (recipe.of,)


def sources(recipe: Recipe) -> tuple[Take, ...]:
    """Every blob that is used, each once, in order of first use."""
    found: dict[Take, None] = {}
    stack = [recipe]
    while stack:
        node = stack.pop()
        if isinstance(node, Take):
            found[node] = None
        stack += reversed(operands(node))
    return tuple(found)


def plain_source(recipe: Recipe) -> Take | None:
    """The blob whose numbers are, in their order, the whole result: for Take and reshapes of it; else
    None."""
    while isinstance(recipe, Reshape):
        recipe = recipe.of
    return recipe if isinstance(recipe, Take) else None


def describe(recipe: Recipe) -> str:
    """One line for people.

    >>> describe(Reshape(ScaledByFactor(Take("bn", 0), Take("bn", 2)), (1, 8)))
    '(bn.0 / bn.2) as 1x8'
    """
    match recipe:
        case Take(layer, index, occurrence):
            return f"{layer}.{index}" if occurrence == 0 else f"{layer}#{occurrence + 1}.{index}"
        case Constant(value, shape):
            return f"{value:g}" if not shape else f"{value:g} as {_dims(shape)}"
        case Reshape(of, shape):
            return f"{_inner(of)} as {_dims(shape)}"
        case Transpose(of, axes):
            return f"{_inner(of)} axes {','.join(map(str, axes))}"
        case Flip(of, axes):
            return f"{_inner(of)} flipped {','.join(map(str, axes))}"
        case Slice(of, axis, start, stop):
            return f"{_inner(of)}[{start}:{stop} on axis {axis}]"
        case Concat(parts, axis):
            return f"concat({', '.join(map(describe, parts))}; axis {axis})"
        case Diagonal(of):
            return f"diagonal({describe(of)})"
        case Rsqrt(of, eps):
            return f"1/sqrt({describe(of)} + {eps:g})"
        case Combined(of, axis, factors):
            return f"{_inner(of)} · ({', '.join(f'{f:g}' for f in factors)}) on axis {axis}"
        case Add(a, b) | Subtract(a, b) | Multiply(a, b) | Divide(a, b) | ScaledByFactor(a, b):
            return f"{_inner(a)} {_SIGNS[type(recipe)]} {_inner(b)}"


def _inner(recipe: Recipe) -> str:
    text = describe(recipe)
    return text if isinstance(recipe, (Take, Concat, Diagonal, Rsqrt)) else f"({text})"


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "()"


def shape_of(recipe: Recipe, blob_shape: Callable[[Take], Shape]) -> Shape:
    """The shape of the result. Raises ValueError where its parts do not fit together."""
    match recipe:
        case Take():
            return blob_shape(recipe)
        case Constant(_, shape):
            return shape
        case Concat(parts, axis):
            shapes = [shape_of(part, blob_shape) for part in parts]
            first = shapes[0]
            if any(s[:axis] != first[:axis] or s[axis + 1 :] != first[axis + 1 :] for s in shapes):
                raise ValueError(f"shapes {shapes} cannot be joined along axis {axis}")
            return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])
        case Add(a, b) | Subtract(a, b) | Multiply(a, b) | Divide(a, b):
            return _broadcast(shape_of(a, blob_shape), shape_of(b, blob_shape))
        case _:
            inner = shape_of(recipe.of, blob_shape)
    match recipe:
        case Reshape(_, shape):
            if prod(shape) != prod(inner):
                raise ValueError(f"shape {inner} does not reshape to {shape}")
            return shape
        case Transpose(_, axes):
            if sorted(axes) != list(range(len(inner))):
                raise ValueError(f"axes {axes} do not permute shape {inner}")
            return tuple(inner[axis] for axis in axes)
        case Slice(_, axis, start, stop):
            if not 0 <= start <= stop <= inner[axis]:
                raise ValueError(f"slice {start}:{stop} is out of axis {axis} of shape {inner}")
            return (*inner[:axis], stop - start, *inner[axis + 1 :])
        case Combined(_, axis, factors):
            if not axis < len(inner) or inner[axis] != len(factors):
                raise ValueError(f"axis {axis} of shape {inner} does not have {len(factors)} slices")
            return (*inner[:axis], *inner[axis + 1 :])
        case Diagonal():
            if len(inner) < 2 or inner[0] != inner[1]:
                raise ValueError(f"shape {inner} has no diagonal")
            return (inner[0], 1, *inner[2:])
        case ScaledByFactor(_, factor):
            if prod(shape_of(factor, blob_shape)) != 1:
                raise ValueError("the factor must be one number")
            return inner
        case _:
            return inner


def _broadcast(a: Shape, b: Shape) -> Shape:
    width = max(len(a), len(b))
    pairs = list(zip((1,) * (width - len(a)) + a, (1,) * (width - len(b)) + b, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise ValueError(f"shapes {a} and {b} do not broadcast")
    return tuple(y if x == 1 else x for x, y in pairs)


def rows(recipe: Recipe, start: int, stop: int, blob_shape: Callable[[Take], Shape]) -> Recipe:
    """Elements ``start`` to ``stop`` (exclusive) along the first axis of the result, from as little as they need.

    What computes is asked for those rows alone; what only moves numbers about may be a slice of the whole, which is a
    view.
    """

    def part(of: Recipe) -> Recipe:
        return rows(of, start, stop, blob_shape)

    def broadcast(of: Recipe) -> Recipe:
        shape = shape_of(of, blob_shape)
        return of if len(shape) < len(whole) or shape[0] == 1 != whole[0] else part(of)

    match recipe:
        case Concat(parts, 0):
            kept, at = [], 0
            for one in parts:
                count = shape_of(one, blob_shape)[0]
                first, last = max(start - at, 0), min(stop - at, count)
                kept += [rows(one, first, last, blob_shape)] if first < last else []
                at += count
            return kept[0] if len(kept) == 1 else Concat(tuple(kept), 0)
        case Concat(parts, axis):
            return Concat(tuple(map(part, parts)), axis)
        case Add(a, b) | Subtract(a, b) | Multiply(a, b) | Divide(a, b):
            whole = shape_of(recipe, blob_shape)
            return type(recipe)(broadcast(a), broadcast(b))
        case ScaledByFactor(of, factor):
            return ScaledByFactor(part(of), factor)
        case Rsqrt(of, eps):
            return Rsqrt(part(of), eps)
        case Combined(of, axis, factors) if axis > 0:
            return Combined(part(of), axis, factors)
        case Transpose(of, axes) if axes[0] == 0:
            return Transpose(part(of), axes)
        case Reshape(of, shape) if shape and shape_of(of, blob_shape)[:1] == shape[:1]:
            return Reshape(part(of), (stop - start, *shape[1:]))
        case _:
            return Slice(recipe, 0, start, stop)


def evaluate(recipe: Recipe, blob: Callable[[Take], Array]) -> Array:
    """The result as an array: a view where the recipe only moves numbers about, so it may be read-only.

    ``blob`` gives a source in the net's shape and the type to compute in. Overflow gives inf and 0/0 nan,
    silently.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        return _evaluate(recipe, blob)


def _evaluate(recipe: Recipe, blob: Callable[[Take], Array]) -> Array:
    import numpy as np

    match recipe:
        case Take():
            return blob(recipe)
        case Constant(value, shape, dtype):
            return np.full(shape, value, dtype)
        case Concat(parts, axis):
            return np.concatenate([_evaluate(part, blob) for part in parts], axis)
        case Add(a, b):
            return np.asarray(_evaluate(a, blob) + _evaluate(b, blob))
        case Subtract(a, b):
            return np.asarray(_evaluate(a, blob) - _evaluate(b, blob))
        case Multiply(a, b):
            return np.asarray(_evaluate(a, blob) * _evaluate(b, blob))
        case Divide(a, b):
            return np.asarray(_evaluate(a, blob) / _evaluate(b, blob))
        case ScaledByFactor(of, factor):
            values, number = _evaluate(of, blob), _evaluate(factor, blob).reshape(())
            scale = number.dtype.type(0) if number == 0 else number.dtype.type(1) / number
            return np.asarray(values * scale)
    values = _evaluate(recipe.of, blob)
    match recipe:
        case Reshape(_, shape):
            return values.reshape(shape)
        case Transpose(_, axes):
            return values.transpose(axes)
        case Flip(_, axes):
            return np.flip(values, axes)
        case Slice(_, axis, start, stop):
            return values[(slice(None),) * axis + (slice(start, stop),)]
        case Combined(_, axis, factors):
            total = np.zeros((*values.shape[:axis], *values.shape[axis + 1 :]))
            for place, times in enumerate(factors):
                if times:
                    total += values[(slice(None),) * axis + (place,)] * np.float64(times)
            return total.astype(values.dtype)
        case Rsqrt(_, eps):
            return np.asarray(values.dtype.type(1) / np.sqrt(values + values.dtype.type(eps)))
        case Diagonal():
            index = np.arange(len(values))
            return values[index, index][:, None]
