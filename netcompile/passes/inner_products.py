"""Let oneDNN compute an InnerProduct, from the weights as they lie.

Algebra: none; sums are in another order. The library that torch takes for products of matrices is its CPU maker's: on
an AMD EPYC it took two and three times as long, which is most of what the last layers of AlexNet and VGG take.
Within 1e-5. A net built for training stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netcompile.layers.dense import InnerProduct
from netcompile.passes.base import TRAINED, Pass, Program, Site, as_kind
from netcompile.passes.nodes.dense import FastInnerProduct

Product = Site[InnerProduct]


def match(program: Program) -> Iterator[Product]:
    """Every InnerProduct whose matrix is outputs × inputs, and not changed before it is used."""
    for node in program.graph.nodes:
        if type(node.layer) is InnerProduct:
            yield Site(node, node.layer)


def check(program: Program, site: Product) -> str:
    if program.graph.train:
        return TRAINED
    return "its blobs are shared" if any(spec.name for spec in site.node.params) else ""


def rewrite(program: Program, sites: Sequence[Product]) -> Program:
    return program.with_layers((site.node, as_kind(FastInnerProduct, site.found)) for site in sites)


INNER_PRODUCTS = Pass("inner-products", 1e-5, match, rewrite, check)
