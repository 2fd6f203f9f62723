"""Compute of every blob only the window that an output needs, borders included.

Algebra. As `image_window`, where there is no border that is worth leaving out: what a Crop cuts away is not computed.
Within 1e-5, since a smaller blob may be convolved by another algorithm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netcompile.passes.base import Pass, Program
from netcompile.passes.image_window import Windows, find_plan, saving
from netcompile.passes.nodes.windows import CutWindow, DeconvolutionWindow
from netcompile.passes.window_plan import Plan
from netcompile.passes.windowed import windowed_graph

GAIN = 0.001  # share of the multiplications that must be saved


def match(program: Program) -> Iterator[Windows]:
    nodes = program.graph.nodes
    done = any(isinstance(node.layer, (CutWindow, DeconvolutionWindow)) for node in nodes)
    if nodes and program.windowed is None and not done:
        yield Windows(nodes[0], find_plan(program, with_borders=False))


def check(program: Program, site: Windows) -> str:
    if isinstance(site.plan, str):
        return site.plan
    saved = saving(program, windowed_graph(site.plan))
    return "" if saved >= GAIN else f"what no output needs is {saved:.1%} of the multiplications"


def rewrite(program: Program, sites: Sequence[Windows]) -> Program:
    (site,) = sites
    assert isinstance(site.plan, Plan)
    return replace(program, graph=windowed_graph(site.plan))


NEEDED_WINDOW = Pass("needed-window", 1e-5, match, rewrite, check)
