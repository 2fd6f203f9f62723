"""Deconvolutions whose weights, by their values, are something cheaper.

Algebra. Where channel i of the top sees channel i of the bottom alone (weights zero off the diagonal) it is a
deconvolution for each channel, with 1/C of the multiplications. If moreover each kernel is that of bilinear
interpolation by a power of two f (size 2f, stride f, weights 1 - |t - f + 1/2| / f along each axis), it is that
interpolation of the bottom with one row of zeros around it: pixel o of the top lies where pixel o + f/2 of the
interpolation does.
Both are found from the weights' values, never from names; without weights nothing is known and nothing is changed.
Preserves: within(1e-5); only zeros are left out, but sums are taken in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from netcompile.caffemodel.recipe import Diagonal
from netcompile.ir.graph import Graph, Node
from netcompile.layers.base import BlobSpec, Dim, Emission, Emitted, IntShape, Shape
from netcompile.layers.convolution import Deconvolution
from netcompile.layers.source import extent as text
from netcompile.passes.base import Facts, Pass, Rewritten, Skipped
from netcompile.passes.window_layers import Windowable


@dataclass(frozen=True)
class DepthwiseDeconvolution(Deconvolution):
    """A Deconvolution with weights on the diagonal alone: one group for each channel."""

    def emit(self, e: Emission) -> Emitted:
        made = super().emit(e)
        (key, recipe), *rest = made.tensors
        return replace(made, tensors=((key, Diagonal(recipe)), *rest))


@dataclass(frozen=True, slots=True)
class BilinearDeconvolution(Deconvolution, Windowable):
    """A Deconvolution that is bilinear interpolation: it has no weights left."""

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        return ()

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        return 4 * sum(top[0] * top[1] * top[2] * top[3] for top in tops)

    def emit(self, e: Emission) -> Emitted:
        x, factor, (top, left) = e.x[0], self.factor, (self.pad * 2)[:2]
        # For whatever size: the top is f(n - 1) + 2f - 2p long.
        sizes = [f"{factor} * {x}.shape[{axis}] + {factor - 2 * p}" for axis, p in ((2, top), (3, left))]
        return self.interpolated(e, (top, left), sizes)

    def emit_window(self, e: Emission, start: tuple[int, int], extent: tuple[Dim, Dim]) -> Emitted:
        return self.interpolated(e, start, [text(d) for d in extent])

    def interpolated(self, e: Emission, start: tuple[int, int], sizes: Sequence[str]) -> Emitted:
        begin = ", ".join(str(s + self.factor // 2) for s in start)
        line = f"{e.y[0]} = bilinear({e.x[0]}, {self.factor}, {begin}, {', '.join(sizes)})"
        return Emitted((line,), functions=(BILINEAR,))

    @property
    def factor(self) -> int:
        return self.stride[0]


def _as(cls: type[Deconvolution], layer: Deconvolution, **changes: object) -> Deconvolution:
    return replace(cls(*(getattr(layer, f.name) for f in fields(Deconvolution))), **changes)  # type: ignore[arg-type]


def bilinear_factor(layer: Deconvolution) -> int:
    """The factor of interpolation that the windows would fit; 0 if none."""
    f = layer.stride[0]
    fits = {*layer.stride} == {f} and {*layer.kernel} == {2 * f} and {*layer.dilation} == {1}
    return f if fits and f > 1 and f & (f - 1) == 0 and not layer.bias else 0


def rewrite(graph: Graph, facts: Facts) -> Rewritten:
    nodes: list[Node] = []
    skipped: list[Skipped] = []
    for node in graph.nodes:
        layer, key = node.layer, (node.name, node.occurrence)
        if type(layer) is not Deconvolution:
            nodes.append(node)
            continue
        why = ""
        if graph.train:
            why = "the net is built for phase TRAIN"
        elif not facts.known:
            why = "the weights are not given"
        elif any(spec.name for spec in node.params):
            why = "its blobs are shared"
        elif key not in facts.diagonal:
            why = "its weights are not diagonal"
        if why:
            skipped.append(Skipped(node, why))
        elif key in facts.bilinear and bilinear_factor(layer) and len(node.bottoms) == 1:
            node = replace(node, layer=_as(BilinearDeconvolution, layer), params=())
        elif layer.group == 1:
            node = replace(node, layer=_as(DepthwiseDeconvolution, layer, group=layer.outputs), params=())
        nodes.append(node)
    changed = tuple(nodes)
    return (graph if changed == graph.nodes else graph.replace(nodes=changed)), tuple(skipped)


UPSAMPLING = Pass("upsampling", "within(0, 1e-5)", rewrite)

BILINEAR = '''
def bilinear(x, factor, top, left, height, width):
    """A window of `x` enlarged by bilinear interpolation, with zeros around `x`.

    The transposed convolution whose kernel is that of this interpolation gives the same.
    """
    y = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=factor, mode="bilinear")
    return y[:, :, top : top + height, left : left + width]
'''
