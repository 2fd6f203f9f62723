"""Compute no pixel that a stride leaves out: what a strided convolution with kernels of one pixel does not read.

Algebra. Such a convolution reads rows 0, s, 2s … of its bottom, ``(n - 1) // s + 1`` of n. A layer that treats each
pixel by itself gives these rows for these rows of its bottoms; a convolution with stride t gives them with stride
``t · s``, since ``((n + 2p - e) // t) // s = (n + 2p - e) // (t · s)``: for every size, and both axes by themselves.
Then the reader's own stride is 1. ResNets begin their stages so, and compute three of four pixels in vain before.

Every use of the value must leave the same rows out. What else reads a bottom of a layer of pixels gets it whole, and
the layer every so many of its rows and columns. Bitwise but for the way that a convolution is computed. A net built
for training stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netcompile.ir.graph import Node, Value
from netcompile.layers.base import Layer
from netcompile.passes.base import TRAINED, Pass, Program, Site
from netcompile.passes.nodes.convolution import FusedConvolution
from netcompile.passes.nodes.strides import Strided

Strides = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class Region:
    """The layers that compute a value which strided convolutions read, as far as they can leave pixels out.

    `cut` are bottoms of these layers, by place, that others need whole.
    """

    strides: Strides
    readers: tuple[Node, ...]
    inside: list[Node] = field(default_factory=list)
    cut: list[tuple[Node, int]] = field(default_factory=list)

    @property
    def convolutions(self) -> list[Node]:
        return [node for node in self.inside if isinstance(node.layer, FusedConvolution)]


def match(program: Program) -> Iterator[Site[Region]]:
    """For each value that strided convolutions with kernels of one pixel read, what computes it, if that convolves."""
    makers, taken = program.graph.producers() if program.legal else {}, set[int]()
    for value, readers in _read(program).items():
        strides = _strides(program, readers[0])
        region = Region(strides, tuple(node for node in readers if _strides(program, node) == strides))
        _grow(program, makers, value, region)
        nodes = {id(node) for node in (*region.readers, *region.inside)}
        if region.convolutions and taken.isdisjoint(nodes):
            taken |= nodes
            yield Site(readers[0], region)


def _read(program: Program) -> Mapping[Value, list[Node]]:
    """The values that strided convolutions with kernels of one pixel read, and these."""
    found: dict[Value, list[Node]] = {}
    for node in program.graph.nodes if program.legal else ():
        if max(_strides(program, node)) > 1:
            found.setdefault(node.bottoms[0], []).append(node)
    return found


def _strides(program: Program, node: Node) -> Strides:
    """The strides of a convolution whose kernels are one pixel and meet no padding; 1 of any other layer."""
    if isinstance(node.layer, FusedConvolution):
        (down, across) = node.layer.windows(program.shapes[node.bottoms[0]])[1]
        if down[::2] == across[::2] == (1, 0):
            return down[1], across[1]
    return 1, 1


def _grow(program: Program, makers: Mapping[Value, Node], value: Value, region: Region) -> bool:
    """Takes what makes a value into the region, and what that needs; whether it can leave pixels out."""
    maker = makers.get(value)
    if maker is None or len(maker.tops) > 1:
        return False
    if isinstance(maker.layer, FusedConvolution):
        region.inside.append(maker)
        return True
    if not _is_pixelwise(program, maker):
        return False
    region.inside.append(maker)
    for place, bottom in enumerate(maker.bottoms):
        alone = program.uses[bottom] == maker.bottoms.count(bottom)
        if not alone or not _grow(program, makers, bottom, region):
            region.cut.append((maker, place))
    return True


def _is_pixelwise(program: Program, node: Node) -> bool:
    """Whether a layer treats each pixel by itself, and all its blobs have as many."""
    shapes, symbolic = program.shapes, program.symbolic.shapes
    if not node.layer.pixelwise(*(shapes[bottom] for bottom in node.bottoms)):
        return False
    top = symbolic[node.tops[0]]
    found = [symbolic[bottom] for bottom in node.bottoms]
    return top is not None and all(each is not None and each[2:] == top[2:] for each in found)


def check(program: Program, site: Site[Region]) -> str:
    if program.graph.train:
        return TRAINED
    region, value = site.found, site.node.bottoms[0]
    if program.uses[value] > len(region.readers):
        return f"'{value.blob}' has another use"
    changed = [node.tops[0] for node in region.inside] + [node.bottoms[place] for node, place in region.cut]
    taken = [name for value in changed if (name := _some_of(value, region.strides).blob) in program.graph.blobs]
    return f"there is a blob '{taken[0]}' already" if taken else ""


def rewrite(program: Program, sites: Sequence[Site[Region]]) -> Program:
    regions = [site.found for site in sites]
    layers = {id(node): _dense(node.layer) for region in regions for node in region.readers}
    renamed: dict[Value, Value] = {}
    cut: dict[int, list[tuple[int, Strides]]] = {}
    for region in regions:
        layers |= {id(node): _strided(program, node, region.strides) for node in region.convolutions}
        renamed |= {node.tops[0]: _some_of(node.tops[0], region.strides) for node in region.inside}
        for node, place in region.cut:
            cut.setdefault(id(node), []).append((place, region.strides))
    nodes, made = list[Node](), set[Value]()
    for node in program.graph.nodes:
        bottoms = [renamed.get(bottom, bottom) for bottom in node.bottoms]
        for place, strides in cut.get(id(node), ()):
            value = _some_of(bottoms[place], strides)
            if value not in made:
                nodes.append(Node("", Strided(strides), (bottoms[place],), (value,), node.message))
                made.add(value)
            bottoms[place] = value
        tops = tuple(renamed.get(top, top) for top in node.tops)
        nodes.append(replace(node, layer=layers.get(id(node), node.layer), bottoms=tuple(bottoms), tops=tops))
    return EARLY_STRIDES.run(program.with_nodes(nodes)).program  # kernels of one pixel pass strides on


def _some_of(value: Value, strides: Strides) -> Value:
    """What a value is called of which so many rows and columns are left."""
    down, across = strides
    return Value(f"{value.blob} stride {down if down == across else f'{down} {across}'}", value.version)


def _dense(layer: Layer) -> Layer:
    """A convolution with stride 1."""
    assert isinstance(layer, FusedConvolution)
    return replace(layer, stride=(1,))


def _strided(program: Program, node: Node, strides: Strides) -> Layer:
    """A convolution that leaves more pixels out."""
    assert isinstance(node.layer, FusedConvolution)
    own = [window[1] for window in node.layer.windows(program.shapes[node.bottoms[0]])[1]]
    return replace(node.layer, stride=tuple(n * s for n, s in zip(own, strides, strict=True)))


EARLY_STRIDES = Pass("early-strides", 1e-5, match, rewrite, check)
