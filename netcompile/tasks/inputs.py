"""Which inputs of a net take images, and which of a build's outputs are wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from netcompile.analyser import Analysed
from netcompile.diagnostics.diagnostic import refuse
from netcompile.ir.graph import Input
from netcompile.ir.prune import needed
from netcompile.layers.base import IntShape


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


def image_inputs(
    inputs: Sequence[tuple[str, IntShape]], fed: Collection[str], folders: Mapping[str, str], asked: Sequence[str]
) -> tuple[str, ...]:
    """The inputs that take images, of those that the outputs need: all but what the task feeds (`fed`).

    Raises NetError unless the net takes an image, and there is a folder for every further one. `folders` are those,
    `asked` what ``--also`` said.
    """
    names = [name for name, _ in inputs if name not in fed]
    if not names:
        refuse("image-input", "the net takes no image: it has no inputs", remedy="netcompile run computes it")
    for name, shape in inputs:
        if name in names and len(shape) != 4:
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
    return tuple(names)
