"""All mistakes of a net at once: those of one stage, and those of the next ones over what is well so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from netcompile.analysis.assume import explained, settle
from netcompile.analysis.shapes import input_problems
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph
from netcompile.prototxt.message import Message
from netcompile.prototxt.upgrade import Upgraded


def with_later_mistakes(error: NetError, options: Options) -> NetError:
    """The mistakes of one stage together with those of the next ones, over what is well so far."""
    found, partial = list(error.diagnostics), error.partial
    if isinstance(partial, Upgraded):
        net = partial.net
        places = sorted(d.span.start for d in found if d.span)

        def faulty(start: int, end: int) -> bool:
            at = bisect_left(places, start)
            return at < len(places) and places[at] < end

        try:
            partial = build(net, options, faulty=faulty).graph
        except NetError as more:
            # What comes out of a net is not known where a layer of it could not be read, nor what goes into it where
            # an input could not.
            untold = {"no-outputs", "unknown-bottom"} if _lost_input(found, net) else {"no-outputs"}
            found += [mistake for mistake in more.diagnostics if mistake.code not in untold]
            partial = more.partial
    if isinstance(partial, Graph):
        settled = settle(partial)
        found += input_problems(settled.graph) + explained(settled.graph, settled.refused)
    return NetError(dict.fromkeys(found))


_OF_TEXTS = frozenset(["bad-escape", "missing-quotes", "smart-quotes", "template", "wrong-type"])


def _lost_input(found: Sequence[Diagnostic], net: Message) -> bool:
    """Whether a text outside of all layers could not be read: it may name an input."""
    layers = sorted((layer.start, layer.end) for layer in net.all("layer"))
    for at in (d.span.start for d in found if d.span and d.code in _OF_TEXTS):
        before = bisect_right(layers, at, key=lambda layer: layer[0])
        if not before or at >= layers[before - 1][1]:
            return True
    return False


def once(notes: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Notes without repetitions of how a fork's layer is read: said of the first such layer, it holds for all."""
    found, said = list[Diagnostic](), set[str]()
    for note in notes:
        if note.code == "fork-reading" and note.what in said:
            continue
        said.add(note.what)
        found.append(note)
    return found
