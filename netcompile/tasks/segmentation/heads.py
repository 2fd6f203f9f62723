"""Which outputs of a net are maps of scores, and which of its inputs take images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import refuse
from netcompile.ir.graph import Input
from netcompile.ir.prune import needed


def score_maps(net: Analysed) -> tuple[str, ...]:
    """The outputs of four axes; else the maps that the net's losses are of. Raises NetError where it has none."""
    losses = [node.bottoms[0] for node in net.graph.nodes if node.layer.auto_top]
    scored = dict.fromkeys(value.blob for value in losses if net.graph.blobs[value.blob] == value)
    for blobs in (net.graph.outputs, scored):
        maps = tuple(name for name in blobs if len(net.shapes.get(net.graph.blobs[name], ())) == 4)
        if maps:
            return maps
    refuse(
        "score-map",
        f"no output of the net is a map (N×C×H×W): it has {', '.join(net.graph.outputs)}",
        why="a net that classifies whole images gives no label per pixel",
        remedy="netcompile surgery convolutionalise makes a map of it; --output names another blob",
    )


def outputs_of_build(outputs: tuple[str, ...], asked: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs asked for, all where none is. Raises NetError where the build lacks one."""
    unknown = [name for name in asked or () if name not in outputs]
    if unknown:
        refuse(
            "unknown-blob",
            f"the build has no output '{unknown[0]}'",
            why=f"it has {', '.join(outputs)}",
            remedy="give the prototxt and the caffemodel instead: any blob can be asked for there",
        )
    return tuple(asked or outputs)


def inputs_behind(net: Analysed, entries: Iterable[Input], blobs: Iterable[str]) -> tuple[Input, ...]:
    """Those of the inputs that these blobs are computed from."""
    taken = needed(net.graph.nodes, (net.graph.blobs[name] for name in blobs if name in net.graph.blobs))
    return tuple(entry for entry in entries if entry.value in taken)


def require_images(
    inputs: Sequence[tuple[str, tuple[int, ...]]], folders: Mapping[str, str], asked: Sequence[str]
) -> None:
    """Raises NetError unless the net takes an image, and there is a folder for every further one.

    `inputs` are names and shapes, `folders` those for further inputs, `asked` what ``--also`` said.
    """
    names = [name for name, _ in inputs]
    if not names:
        refuse("image-input", "the net takes no image: it has no inputs", remedy="netcompile run computes it")
    for name, shape in inputs:
        if len(shape) != 4:
            refuse("image-input", f"input '{name}' has {len(shape)} axes, an image 4")
    lacking = [name for name in names[1:] if name not in folders]
    if lacking:
        refuse(
            "image-input",
            f"the net takes {len(names)} images ({', '.join(names)}), IMAGES are for '{names[0]}' alone",
            remedy=f"{' '.join(f'--also {name}=DIR' for name in lacking)}: images of the same names; "
            "netcompile run feeds any number of arrays",
        )
    for text in asked:
        name = text.partition("=")[0]
        if name not in names[1:]:
            others = f": it has {', '.join(names)}" if name not in names else ": IMAGES are for it"
            refuse("image-input", f"--also {text}: the net has no further input '{name}'{others}")
