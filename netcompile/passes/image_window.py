"""Compute of every blob only the window that is needed and that depends on the image.

Algebra. Pixels of a blob that see no pixel of the image (through all layers, `windows.forward` from the image's own
[0, H)) have values that depend on the weights alone: they are its *border*. FCN's ``pad: 100`` makes half of a first
layer's pixels border at 500 × 500. From the outputs back, `windows.backward` says which window of each blob is needed.
A layer computes its needed window from its bottoms' windows, without padding, so that no pixel changes; where the need
exceeds the image's window by more than a few pixels, or behind a pooling, only the image's window is computed and the
border is put around it (see `borders`).

A Crop becomes the window that it asks of its bottom, and a Deconvolution computes the window that is asked of it.
Where no border is worth leaving out, `NEEDED_WINDOW` leaves out what a Crop cuts away, borders included.
Within 1e-5, since a smaller blob may be convolved by another algorithm. Not in training: there the border has a
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from netcompile.algebra.effort import unbounded
from netcompile.algebra.nset import SizeTooComplex
from netcompile.analysis.cost import costs
from netcompile.ir.graph import Graph
from netcompile.layers.convolution import Deconvolution
from netcompile.passes.base import Pass, Program, Site, with_nodes
from netcompile.passes.borders import NO_BORDERS, Borders, find_borders
from netcompile.passes.image_net import ImageNet, read_image_net
from netcompile.passes.nodes.windows import CutWindow, DeconvolutionWindow
from netcompile.passes.window_plan import Plan, make_plan
from netcompile.passes.windowed import movable, windowed_graph

GAIN = 0.05  # share of the multiplications that must be saved where borders are put around windows
NEEDED_GAIN = 0.001  # and where they are not
NOT_FOLLOWED = "the windows are not followed: {}"


class Windows(Site[Plan | str]):
    """The windows of a net, or why there are none."""

    __slots__ = ()
    where = "the net"


def _find(program: Program, plan: Callable[[Program], Plan | str]) -> Iterator[Windows]:
    if program.graph.nodes and program.windowed is None:
        yield Windows(program.graph.nodes[0], program.once(plan))


def _followed(net: ImageNet | str, borders: Callable[[ImageNet], Borders]) -> Plan | str:
    """The windows of a net, or why there are none."""
    try:
        return net if isinstance(net, str) else make_plan(net, borders(net))
    except SizeTooComplex as reason:
        return NOT_FOLLOWED.format(reason)


def _net(program: Program) -> ImageNet | str:
    try:
        return read_image_net(program)
    except SizeTooComplex as reason:
        return NOT_FOLLOWED.format(reason)


def _plan(program: Program) -> Plan | str:
    """The windows, with borders around them where that pays."""
    return _followed(program.once(_net), find_borders)


def _plan_without_borders(program: Program) -> Plan | str:
    plan = program.once(_plan)
    if isinstance(plan, Plan) and not plan.bordered:
        return replace(plan, borders=NO_BORDERS)
    return _followed(program.once(_net), lambda net: NO_BORDERS)


def _graph(sites: Sequence[Windows]) -> Graph:
    (site,) = sites
    assert isinstance(site.found, Plan)
    with unbounded():  # the plan has taken what steps it takes to know the windows
        return windowed_graph(site.found)


def _too_little(program: Program, site: Windows, least: float, what: str) -> str:
    """What is said where the windows save less than this share of the net's multiplications."""
    saved = 0.0
    if isinstance(site.found, Plan) and len(site.found.literal) < len(program.graph.nodes):
        smaller = Program(_graph([site]))
        before, after = (sum(cost.macs for cost in costs(p.graph, p.shapes)) for p in (program, smaller))
        saved = 1 - after / before if before else 0.0
    return "" if saved >= least else f"{what} {saved:.1%} of the multiplications"


def match(program: Program) -> Iterator[Windows]:
    return _find(program, _plan)


def check(program: Program, site: Windows) -> str:
    if isinstance(site.found, str):
        return site.found
    if not site.found.bordered:
        return "no blob has pixels that see nothing of the image"
    return _too_little(program, site, GAIN, "its windows save")


def rewrite(program: Program, sites: Sequence[Windows]) -> Program:
    windowed = _graph(sites)
    moved = {(n.name, n.occurrence) for n in windowed.nodes if isinstance(n.layer, DeconvolutionWindow)}
    layers = [(n, n.layer) for n in program.graph.nodes if isinstance(n.layer, Deconvolution)]
    same = {id(n): replace(n, layer=movable(layer)) for n, layer in layers if (n.name, n.occurrence) in moved}
    graph = with_nodes(program.graph, (same.get(id(node), node) for node in program.graph.nodes))
    return replace(program, graph=graph, windowed=windowed)


IMAGE_WINDOW = Pass("image-window", 1e-5, match, rewrite, check)


def match_needed(program: Program) -> Iterator[Windows]:
    done = any(isinstance(node.layer, (CutWindow, DeconvolutionWindow)) for node in program.graph.nodes)
    return iter(()) if done else _find(program, _plan_without_borders)


def check_needed(program: Program, site: Windows) -> str:
    if isinstance(site.found, str):
        return site.found
    return _too_little(program, site, NEEDED_GAIN, "what no output needs is")


def rewrite_needed(program: Program, sites: Sequence[Windows]) -> Program:
    return replace(program, graph=_graph(sites))


NEEDED_WINDOW = Pass("needed-window", 1e-5, match_needed, rewrite_needed, check_needed)
