"""Lints about where pixels lie: fused blobs that do not coincide, outputs between pixels, crops that cut nothing,
bilinear kernels that do not fit their stride."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from netcompile.analysis.bilinear import Kernel
from netcompile.analysis.coordinates import Coordinates, compose
from netcompile.analysis.crops import CropReport, shift_text
from netcompile.analysis.proof import slacks
from netcompile.analysis.shapes import Shapes
from netcompile.analysis.symbolic import Symbolic
from netcompile.analysis.windows import KernelWindows, windows
from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import IDENTITY, Axes
from netcompile.layers.convolution import Deconvolution
from netcompile.layers.params import locate

LISTED = 6


def misalignments(
    graph: Graph, shapes: Shapes, sym: Symbolic, coordinates: Coordinates, reports: Sequence[CropReport]
) -> list[Diagnostic]:
    """All of them, in no order."""
    producers = graph.producers()
    return [
        *_joins(coordinates, producers),
        *_outputs(graph, shapes, coordinates, producers),
        *_needless(reports, sym),
        *_kernels(graph, shapes),
    ]


def _joins(coordinates: Coordinates, producers: dict[Value, Node]) -> Iterator[Diagnostic]:
    """Bottoms of one layer whose equal indices are not equal places, along all paths; Caffe looks at one."""
    for conflict in coordinates.conflicts:
        node = conflict.node
        names = [node.bottoms[i].blob for i in conflict.bottoms]
        first, second = conflict.maps
        apart = [(b.offset - a.offset) / a.stride for a, b in zip(first, second, strict=True)]
        if any(a.stride != b.stride for a, b in zip(first, second, strict=True)):
            strides = [m[0].stride for m in conflict.maps]
            which = [f"'{name}' of stride {stride}" for name, stride in zip(names, strides, strict=True)]
            what = f"layer '{node.name}' joins {which[0]} and {which[1]}"
        else:
            what = f"layer '{node.name}' joins '{names[0]}' and '{names[1]}', which lie {_pixels(apart)} apart"
        causes = []
        for position in conflict.bottoms:
            chain = coordinates.path(node.bottoms[position])
            causes.append(f"'{node.bottoms[position].blob}': {_shifts(chain, producers, False) or 'no shift'}")
        yield Diagnostic(
            "join-shift",
            what,
            locate(node.message, f"bottom[{conflict.bottoms[1]}]"),
            why="shifts on the way, in pixels of the input: " + "; ".join(causes),
            remedy="kernel minus stride minus twice the pad must come to the same on both ways; "
            "a trained net expects it as it is",
            severity="warning",
        )


def _pixels(apart: Sequence[Fraction]) -> str:
    sizes = sorted({abs(value) for value in apart})
    numbers = " and ".join(map(str, sizes))
    return f"{numbers} pixel{'' if sizes[-1] <= 1 else 's'}"


def _shifts(chain: Sequence[tuple[Value, Axes]], producers: dict[Value, Node], fractions: bool) -> str:
    """The layers that do not keep the middle where it is, S·P′ each; with `fractions` those of part of a pixel only."""
    total, found = IDENTITY, []
    for value, axes in chain:
        own = total[0].stride * axes[0].filter_pair()[1]
        total = compose(total, axes)
        if own and not (fractions and own.denominator == 1):
            found.append(shift_text(producers[value], own))
    return ", ".join(found[-LISTED:]) if len(found) <= LISTED else "…, " + ", ".join(found[-LISTED:])


def _outputs(
    graph: Graph, shapes: Shapes, coordinates: Coordinates, producers: dict[Value, Node]
) -> Iterator[Diagnostic]:
    """Outputs that are upsampled to the input's stride and lie between its pixels."""
    if not graph.inputs:
        return
    for name in graph.outputs:
        value = graph.blobs[name]
        root, axes = coordinates.frames.get(value, (value, IDENTITY))
        if root != graph.inputs[0].value or value not in producers or len(shapes.get(value, ())) != 4:
            continue
        if any(m.stride != 1 for m in axes) or all(m.offset.denominator == 1 for m in axes):
            continue
        if all(step[0].stride == 1 for _, step in coordinates.path(value)):
            continue  # even windows alone: nothing was brought back to the input's grid
        node = producers[value]
        yield Diagnostic(
            "half-pixel",
            f"output '{name}' has the input's stride, and its pixels lie {axes[0].offset} pixels off the input's",
            locate(node.message, "top"),
            why=f"fractions come from {_shifts(coordinates.path(value), producers, True)}",
            remedy="give those layers kernels that are even where their stride is even, odd where it is odd",
            severity="warning",
        )


def _needless(reports: Sequence[CropReport], sym: Symbolic) -> Iterator[Diagnostic]:
    """Crops between blobs of one size, for every input."""
    for report in reports:
        pair = [slack for slack in slacks(report, sym, None) if slack is not None]
        if pair and all(slack.needless for slack in pair) and not any(report.used or (1,)):
            a, b = (bottom.blob for bottom in report.node.bottoms)
            yield Diagnostic(
                "crop-needless",
                f"crop '{report.node.name}' cuts nothing, for any input",
                locate(report.node.message, "type"),
                why=f"'{a}' and '{b}' always have the same size",
                remedy=f"remove it, and read '{a}' in its place",
                severity="note",
            )


def _kernels(graph: Graph, shapes: Shapes) -> Iterator[Diagnostic]:
    """Deconvolutions that are to be bilinear, by their filler or because they are frozen, and cannot be."""
    for node in graph.nodes:
        layer = node.layer
        pair = windows(node, shapes) if isinstance(layer, Deconvolution) else None
        if pair is None or max(w.stride for w in pair) == 1:
            continue
        assert isinstance(layer, Deconvolution)
        filler = layer.weight_filler is not None and layer.weight_filler.get("type") == "bilinear"
        frozen = bool(node.params) and node.params[0].lr_mult == 0
        bad = _misfit(pair, filler, frozen)
        if bad is not None:
            yield _kernel(node, bad, filler)
        channels = shapes[node.bottoms[0]][1]
        if filler and layer.group == 1 and channels > 1:
            yield _mixed(node, channels)


def _misfit(pair: KernelWindows, filler: bool, frozen: bool) -> Kernel | None:
    for window in pair:
        kernel = Kernel(window.extent, window.stride)
        if window.dilation > 1 or kernel.exact:
            continue
        if filler or (frozen and not kernel.centred and kernel.size > kernel.factor):
            return kernel
    return None


def _kernel(node: Node, kernel: Kernel, filler: bool) -> Diagnostic:
    what = "is filled bilinearly" if filler else "is frozen"
    return Diagnostic(
        "bilinear-kernel",
        f"deconvolution '{node.name}' {what}, and its kernel {kernel.size} does not fit its stride {kernel.factor}",
        locate(node.message, "convolution_param.kernel_size"),
        why=str(kernel),
        remedy=f"kernel_size: {kernel.wanted}",
        severity="warning" if filler else "note",
    )


def _mixed(node: Node, channels: int) -> Diagnostic:
    return Diagnostic(
        "bilinear-group",
        f"deconvolution '{node.name}' is filled bilinearly between all its channels",
        locate(node.message, "convolution_param.weight_filler"),
        why="without group the filler draws its triangle for every pair of channels: "
        f"each output sums all {channels} inputs",
        remedy=f"num_output: {channels} group: {channels}, if each channel is to be upsampled by itself",
        severity="note",
    )
