"""Shapes of inputs that the file does not give: shapes for which the net is legal, where there are any.

A data layer that reads a data base does not give the shapes of its tops. At first they are taken to be common ones: an
image of 1×3×500×500, and planes of its size. Where a layer then refuses its bottoms, it says which shapes it wants
(`Layer.wants`), and the wish is traced back to the inputs: axis by axis, by solving the exact function that the extent
is of the input's, or, where a layer only reshapes, by the number of elements. Heights and widths that no wish fixes are
taken from the sizes for which the net is legal. A new shape is kept only if more of the net is legal with it. So a net
that is legal at first keeps the common shapes, and the same file always gets the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import isqrt, prod

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analysis import follow
from netcompile.analysis.follow import Unfollowed
from netcompile.analysis.shapes import refusals_of
from netcompile.analysis.symbolic import followed_sizes, symbolic
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.text import shape_text
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IntShape, Shape

USUAL = (500, 224, 227, 256, 300, 320, 321, 368, 384, 448, 512, 513, 299, 128, 112, 96, 64, 48, 40, 32, 28, 24, 20, 16)
ROUNDS = 24  # wishes that are granted one after another
HALVES = 4  # candidates that are no help alone, for which the layer's other bottoms are tried as well
SMALL = 224  # an image's size where there are many
# By number of axes: images, and videos as C3D has them. What has fewer axes is a list of items.
USUAL_SHAPES = {4: (1, 3, 500, 500), 5: (1, 3, 16, 112, 112)}

MOST_LAYERS, LEAST_TRIED = 40_000, 24  # layers that are inferred for candidates, and candidates in any case
MOST_INPUTS = 64  # inputs that are told apart; the last stands for all further ones
MOST_TOLD = 8  # inputs that a message names

WHATEVER_SHAPE = frozenset(["unsupported", "unknown-layer", "param-count", "param-missing", "param-conflict"])

Shapes = dict[Value, IntShape]


@dataclass(frozen=True, slots=True)
class Settled:
    """A graph with its assumed shapes, all values' shapes, and the layers that are refused nevertheless."""

    graph: Graph
    known: Shapes
    refused: tuple[tuple[Node, Diagnostic], ...]
    missing: int  # values without a shape

    @property
    def badness(self) -> tuple[int, int]:
        """Less is better: values that have no shape, then refusals."""
        return self.missing, len(self.refused)


@dataclass(slots=True)
class Patience:
    """How many more candidates are tried, each of which takes a look at the whole net."""

    left: int


def settle(graph: Graph) -> Settled:
    """The graph, its undeclared inputs given shapes for which it is legal, as far as such are found.

    With the shapes of all values, and what is refused all the same.
    """
    state = _state(graph)
    if not state.refused or all(entry.declared for entry in graph.inputs):
        return state
    assumed = _assumed(graph)
    patience = Patience(max(LEAST_TRIED, MOST_LAYERS // max(len(graph.nodes), 1)))
    hopeless: set[int] = set()
    for _ in range(ROUNDS):
        blamed = next(
            (pair for pair in state.refused if id(pair[0]) not in hopeless and _depends(assumed, *pair)), None
        )
        if blamed is None or patience.left <= 0:
            break
        better = _better(state, blamed[0], blamed[1], patience)
        if better is None:
            hopeless.add(id(blamed[0]))
        else:
            state = better
    return state


def _state(graph: Graph) -> Settled:
    known, refused = refusals_of(graph)
    return Settled(graph, known, tuple(refused), sum(value not in known for value in graph.values()))


def _assumed(graph: Graph) -> dict[Value, int]:
    """Which inputs of assumed shape each value depends on: bit i stands for the i-th of the first `MOST_INPUTS`."""
    inputs = [entry.value for entry in graph.inputs if not entry.declared]
    found = {value: 1 << min(index, MOST_INPUTS - 1) for index, value in enumerate(inputs)}
    for node in graph.nodes:
        above = 0
        for bottom in node.bottoms:
            above |= found.get(bottom, 0)
        if above:
            found.update(dict.fromkeys(node.tops, above))
    return found


def _free(graph: Graph, assumed: Mapping[Value, int], node: Node) -> tuple[Value, ...]:
    """The inputs of assumed shape that a layer depends on, as far as they are told apart."""
    above = 0
    for bottom in node.bottoms:
        above |= assumed.get(bottom, 0)
    inputs = islice((entry.value for entry in graph.inputs if not entry.declared), MOST_INPUTS)
    return tuple(value for index, value in enumerate(inputs) if above >> index & 1)


def _depends(assumed: Mapping[Value, int], node: Node, problem: Diagnostic) -> bool:
    """Whether a refusal may follow from an assumed shape."""
    return problem.code not in WHATEVER_SHAPE and any(assumed.get(bottom, 0) for bottom in node.bottoms)


def _better(state: Settled, node: Node, problem: Diagnostic, patience: Patience) -> Settled | None:
    """A state in which the layer is no longer refused and more of the net is legal; the first one that is found.

    A layer that wants several of its bottoms otherwise is granted one wish after another.
    """
    tried = {tuple(entry.shape for entry in state.graph.inputs)}
    partial: list[tuple[Settled, Diagnostic]] = []
    for made in _tried(state, node, problem, tried, patience):
        still = next((found for refused, found in made.refused if refused is node), None)
        if still is None and made.badness < state.badness:
            return made
        if still is not None and made.missing <= state.missing and not _resizes_alone(state.graph, made.graph):
            partial.append((made, still))
    for half, still in partial[:HALVES]:
        for made in _tried(half, node, still, tried, patience):
            if made.badness < state.badness and all(refused is not node for refused, _ in made.refused):
                return made
    return None


def _resizes_alone(before: Graph, after: Graph) -> bool:
    """Whether nothing but heights and widths of inputs differ."""
    pairs = zip(before.inputs, after.inputs, strict=True)
    return all(len(old.shape) == len(new.shape) and old.shape[:2] == new.shape[:2] for old, new in pairs)


def _tried(
    state: Settled, node: Node, problem: Diagnostic, tried: set[tuple[IntShape, ...]], patience: Patience
) -> Iterator[Settled]:
    """The states of all candidates that were not tried before."""
    for shapes in _candidates(state, node, problem, patience):
        changed = state.graph.with_inputs(shapes)
        key = tuple(entry.shape for entry in changed.inputs)
        if patience.left <= 0:
            return
        if key not in tried:
            patience.left -= 1
            tried.add(key)
            yield _state(changed)


def _candidates(state: Settled, node: Node, problem: Diagnostic, patience: Patience) -> Iterator[Shapes]:
    free = _free(state.graph, _assumed(state.graph), node)
    bottoms = [state.known[b] for b in node.bottoms if b in state.known]
    if len(bottoms) < len(node.bottoms):
        return
    planes = [v for v in free if len(state.known.get(v, ())) == 4 and min(state.known[v][2:]) > 1]
    sym = symbolic(state.graph, state.known) if planes else None
    sets = followed_sizes(sym) if sym is not None and sym.spatial else None
    if sets is not None:
        square = follow.both(*sets)
        usual = () if isinstance(square, Unfollowed) else [n for n in USUAL if n in square]
        yield from (_resized(state, planes, n, n) for n in usual[:4])
    for index, value in reversed(list(enumerate(node.bottoms))):
        for wish in _wishes(state, node, problem, index, bottoms):
            for source in free:
                for shape in _granted(state, source, value, wish, patience):
                    yield {source: shape}
                    if len(shape) == 4 and min(shape[2:]) > SMALL and shape[:2] != state.known[source][:2]:
                        yield {source: (*shape[:2], SMALL, SMALL)}  # more images or channels, within Caffe's counts
    if sets is not None:
        square = follow.both(*sets)
        n = None if isinstance(square, Unfollowed) else _nearest(square, USUAL[0])
        high, wide = (n, n) if n is not None else (_nearest(these, USUAL[0]) for these in sets)
        if high is not None and wide is not None:
            yield _resized(state, planes, high, wide)
    yield from (_resized(state, planes, n, n) for n in (USUAL if planes else ()))


def _wishes(
    state: Settled, node: Node, problem: Diagnostic, index: int, bottoms: Sequence[IntShape]
) -> Iterator[Sequence[int | None]]:
    """Shapes that the layer would take as its bottom `index`, None for an extent that may stay."""
    if problem.code == "param-share":
        names = {spec.name for spec in node.params if spec.name}
        owner = next(n for n in state.graph.nodes if any(spec.name in names for spec in n.params))
        if index < len(owner.bottoms) and owner.bottoms[index] in state.known:
            yield (None, *state.known[owner.bottoms[index]][1:])
            yield (None, *state.known[owner.bottoms[index]][1:2], *(None,) * (len(bottoms[index]) - 2))
        return
    wishes = follow.wants(node, index, bottoms)
    if not isinstance(wishes, Unfollowed):
        yield from wishes


# from a wish to an input ---------------------------------------------------------------------------------------


def _granted(
    state: Settled, source: Value, value: Value, wish: Sequence[int | None], patience: Patience
) -> Iterator[IntShape]:
    """Shapes of an input for which a value has the shape that is wished for."""
    old, now = state.known[source], state.known[value]
    if source == value or (old == now and len(wish) == len(now)):
        yield _filled(wish, old)
        return
    if len(wish) <= len(now):  # axes of one element make no difference to a count
        ones = (1,) * (len(now) - len(wish))
        for whole in dict.fromkeys([(*wish, *ones), (*wish[:-1], *ones, *wish[-1:])]):
            traced = _traced(state, source, value, whole, patience)
            if traced is not None:
                yield traced
    if None not in wish and prod(old) == prod(now):
        yield from _dealt(prod(extent or 1 for extent in wish), old)


def _filled(wish: Sequence[int | None], old: IntShape) -> IntShape:
    """The wish, with extents that may stay as they are, or usual ones where the input gets other axes."""
    usual = old if len(wish) == len(old) else USUAL_SHAPES.get(len(wish), (1,) * len(wish))
    return tuple(u if w is None else w for w, u in zip(wish, usual, strict=True))


def _traced(
    state: Settled, source: Value, value: Value, wish: Sequence[int | None], patience: Patience
) -> IntShape | None:
    """The input's shape for which every extent that is wished for comes out, each by one axis of the input."""
    shape, now = list(state.known[source]), state.known[value]
    for axis, wanted in enumerate(wish):
        if wanted is None or wanted == now[axis]:
            continue
        for position, extent in enumerate(state.known[source]):
            patience.left -= 1
            reached = _reached(state, source, position, value) if patience.left > 0 else None
            members = None if reached is None else follow.fibre(reached[axis], wanted)
            n = None if members is None or isinstance(members, Unfollowed) else _nearest(members, extent)
            if n is not None:
                shape[position] = n
                break
        else:
            return None
    return tuple(shape)


def _reached(state: Settled, source: Value, position: int, value: Value) -> Shape | None:
    """A value's shape as a function of one axis of an input, all else as it is; None where that is not followed."""
    shapes: dict[Value, Shape] = dict(state.known)
    start = list[int | Size](state.known[source])
    start[position] = Size.variable("n")
    shapes[source] = tuple(start)
    changed = {source}
    for node in state.graph.nodes:
        if changed.isdisjoint(node.bottoms) or any(b not in shapes for b in node.bottoms):
            continue
        bottoms = [shapes[b] for b in node.bottoms]
        refused = isinstance(follow.conditions(node, bottoms), Unfollowed)
        tops = Unfollowed("") if refused else follow.tops(node, bottoms)
        if isinstance(tops, Unfollowed):
            continue
        shapes.update(zip(node.tops, tops, strict=False))
        changed.update(node.tops)
        if value in node.tops:
            return shapes[value]
    return None


def _dealt(total: int, old: IntShape) -> Iterator[IntShape]:
    """Shapes of so many elements: square planes first, grey ones where the channels do not divide them."""
    batch = old[0] if old and total % old[0] == 0 else 1
    if len(old) == 4:
        for channels in dict.fromkeys((old[1], 3, 1)):
            side = isqrt(total // (batch * channels))
            if side > 1 and batch * channels * side * side == total:
                yield (batch, channels, side, side)
    yield (batch, total // batch, *(1,) * (len(old) - 2))[: max(len(old), 2)]


def _nearest(these: NSet, extent: int) -> int | None:
    """A usual size, else the member nearest to the extent."""
    for n in USUAL[1:]:
        if n in these:
            return n
    near = (n for step in range(4 * USUAL[0]) for n in (extent + step, extent - step))
    return next((n for n in near if n in these), these.first())


# heights and widths --------------------------------------------------------------------------------------------


def _resized(state: Settled, planes: Sequence[Value], high: int, wide: int) -> Shapes:
    return {value: (*state.known[value][:2], high, wide) for value in planes}


# words ---------------------------------------------------------------------------------------------------------


def notes(graph: Graph) -> list[Diagnostic]:
    """One note for each input whose shape is assumed."""
    return [
        Diagnostic(
            "assumed-shape",
            f"the file does not say the shape of input '{entry.value.blob}': {shape_text(entry.shape)} is assumed",
            entry.message.span_of("type"),
            severity="note",
            remedy=f"--input {_option(entry.value, entry.shape)} with the numbers you want",
        )
        for entry in graph.inputs
        if not entry.declared
    ]


def explained(graph: Graph, refused: Sequence[tuple[Node, Diagnostic]]) -> list[Diagnostic]:
    """Refusals, those that depend on an assumed shape telling that, and how to give the right one."""
    shapes = {entry.value: entry.shape for entry in graph.inputs}
    assumed = _assumed(graph) if refused else {}
    found = []
    for node, problem in refused:
        if _depends(assumed, node, problem):
            free = _free(graph, assumed, node)[:MOST_TOLD]
            told = " and ".join(f"'{value.blob}' ({shape_text(shapes[value])})" for value in free)
            why = f"the file does not say the shape of {told}: it is assumed"
            give = " ".join(f"--input {_option(value, shapes[value])}" for value in free)
            remedy = f"{give} with the right numbers"
            problem = replace(
                problem,
                why=f"{problem.why}; {why}" if problem.why else why,
                remedy=f"{problem.remedy}; or {remedy}" if problem.remedy else remedy,
            )
        found.append(problem)
    return found


def _option(value: Value, shape: IntShape) -> str:
    """``data=1x3xHxW``: what to give with --input."""
    text = f"{shape[0]}x{shape[1]}xHxW" if len(shape) == 4 and min(shape[2:]) > 1 else "x".join(map(str, shape))
    return f"{value.blob}={text}"
