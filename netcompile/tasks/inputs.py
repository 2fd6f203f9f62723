"""What is known of a net's inputs and outputs, which inputs take images, and what happens to these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from netcompile.analyser import Analysed
from netcompile.analysis.outputs import described, output_kinds
from netcompile.data.preparation import NONE, Preparation, Resize, Size
from netcompile.diagnostics.diagnostic import refuse
from netcompile.ir.graph import Graph, Input
from netcompile.ir.prune import needed
from netcompile.layers.base import IntShape
from netcompile.tasks.task import Net, Task


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


CLASSIC = Resize("exact", 256, 256)  # what ten crops are taken of where nobody says: classify.py's --images_dim


def prepared(
    net: Net, task: Task, resize: Resize | None = None, crop: Size | None = None, oversample: bool = False
) -> Preparation:
    """What is done to an image: as asked for; what is left open the net and its task say. Raises NetError."""
    usual = task.preparation(net)
    if resize is None:
        chosen = usual.resize if crop is None or usual.crop is not None else NONE
        crop = crop or usual.crop
    elif resize.how == "fit" and not resize.height:
        chosen = replace(resize, height=net.declared[0], width=net.declared[1])
    else:
        chosen = resize
        if crop is None and resize.how != "fit" and net.fixed is not None and resize != Resize("exact", *net.fixed):
            crop = net.fixed
    if oversample:
        if not task.averages:
            refuse("usage", f"--oversample is a mean over crops, and no use for {task.title}")
        crop = crop or net.declared
        if resize is None and usual.crop is None:
            chosen = CLASSIC if max(crop) <= CLASSIC.height else Resize("short", max(crop), max(crop))
    return Preparation(chosen, crop, oversample)


def described_net(analysed: Analysed, outputs: tuple[str, ...] | None = None) -> Net:
    """What is known of a net before it runs; `outputs` are its own where none are named."""
    graph, shapes = analysed.graph, analysed.shapes
    known = [blob for blob in output_kinds(graph) if blob not in graph.outputs]
    outputs = outputs or _outputs(graph)
    inputs = tuple((entry.value.blob, entry.shape) for entry in graph.inputs)
    return Net(
        inputs, described(graph, shapes, outputs), described(graph, shapes, tuple(known)), analysed.fixed
    )  # fmt: skip


def _outputs(graph: Graph) -> tuple[str, ...]:
    """The net's outputs; of a net that gives nothing but losses, what these are of."""
    makers = graph.producers()
    made = [makers.get(graph.blobs[name]) for name in graph.outputs]
    if any(node is None or not node.layer.is_measure for node in made):
        return graph.outputs
    scored = dict.fromkeys(node.bottoms[0] for node in made if node is not None and node.bottoms)
    return tuple(value.blob for value in scored if graph.blobs[value.blob] == value) or graph.outputs
