"""Compute of every blob only the window that is needed and that depends on the image.

Algebra. Pixels of a blob that see no pixel of the image (through all layers, `windows.forward` from the image's own
[0, H)) have values that depend on the weights alone: they are its *border*. FCN's ``pad: 100`` makes half of a first
layer's pixels border at 500 × 500. From the outputs back, `windows.backward` says which window of each blob is needed.
A layer computes its needed window from its bottoms' windows, without padding, so that no pixel changes; where the need
exceeds the image's window by more than a few pixels, or behind a pooling, only the image's window is computed and the
border is put around it (see `borders`).

A Crop becomes the window that it asks of its bottom, and a Deconvolution computes the window that is asked of it.
Within 1e-5, since a smaller blob may be convolved by another algorithm. Not in training: there the border has a
gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from netcompile.algebra.nset import SizeTooComplex
from netcompile.analysis.cost import costs
from netcompile.ir.graph import Graph
from netcompile.passes.base import Pass, Program, Site
from netcompile.passes.borders import NO_BORDERS, find_borders
from netcompile.passes.image_net import read_image_net
from netcompile.passes.window_plan import Plan, make_plan
from netcompile.passes.windowed import windowed_graph

GAIN = 0.05  # share of the multiplications that must be saved


@dataclass(frozen=True, slots=True)
class Windows(Site):
    """The windows of a net, or why there are none."""

    plan: Plan | str
    where = "the net"


def find_plan(program: Program, with_borders: bool) -> Plan | str:
    """The windows of a net, or why there are none."""
    try:
        net = read_image_net(program)
        return net if isinstance(net, str) else make_plan(net, find_borders(net) if with_borders else NO_BORDERS)
    except SizeTooComplex as reason:
        return f"the windows are not followed: {reason}"


def saving(program: Program, graph: Graph) -> float:
    """The share of a net's multiplications that another graph of it saves."""
    before, after = (sum(cost.macs for cost in costs(p.graph, p.shapes)) for p in (program, Program(graph)))
    return 1 - after / before if before else 0.0


def match(program: Program) -> Iterator[Windows]:
    if program.graph.nodes and program.windowed is None:
        yield Windows(program.graph.nodes[0], find_plan(program, with_borders=True))


def check(program: Program, site: Windows) -> str:
    if isinstance(site.plan, str):
        return site.plan
    if not site.plan.bordered:
        return "no blob has pixels that see nothing of the image"
    saved = saving(program, windowed_graph(site.plan))
    return "" if saved >= GAIN else f"its windows save {saved:.1%} of the multiplications"


def rewrite(program: Program, sites: Sequence[Windows]) -> Program:
    (site,) = sites
    assert isinstance(site.plan, Plan)
    return replace(program, windowed=windowed_graph(site.plan))


IMAGE_WINDOW = Pass("image-window", 1e-5, match, rewrite, check)
