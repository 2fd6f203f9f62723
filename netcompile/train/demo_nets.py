"""``python -m netcompile.train.demo classifier`` and ``detector``: train the two small bundled nets from scratch.

They learn from drawn pictures (`demo_sets`) with the bundled solvers, never from the same twice and from none that they
are tested on. What is learned is written as a caffemodel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netcompile.array import Array
from netcompile.caffemodel.writer import Blob, Layer, write_caffemodel
from netcompile.data.box_sets import open_boxes
from netcompile.data.boxes_voc import read_annotation
from netcompile.data.images import read_image, to_blob
from netcompile.data.paths import read_lines
from netcompile.data.sources.base import Batches
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.tasks.detection.average_precision import ClassScore, class_scores, matched, together
from netcompile.tasks.detection.rows import detections_of_rows
from netcompile.train.blobs import learned_blobs
from netcompile.train.demo_sets import CROP, MEAN_BGR, Boxes, SingleShapes
from netcompile.train.drawing import KINDS
from netcompile.train.loop import Training
from netcompile.train.net import compiled, read_net
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.snapshot import caffe_blobs
from netcompile.train.solver import read_solver
from netcompile.zoo.find import find_definition


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned: a bundled net, and what its batches are drawn by, from a seed and their size."""

    net: str
    batches: Callable[[int, int], Batches]
    size: int  # of a batch, as the net's data layer says


LESSONS = {
    "classifier": Lesson("shapes-classifier", SingleShapes, 32),
    "detector": Lesson("shapes-ssd", Boxes, 16),
}


def definition(net: str, name: str) -> Source:
    """A definition of a bundled net, under its real path."""
    path = find_definition(f"{net}/{name}.prototxt")
    assert path is not None
    return open_source(path)


def start(lesson: Lesson, iterations: int | None, say: Callable[[str], None]) -> Training:
    """The training, ready to run: the bundled solver's iterations, or so many, the rate falling accordingly."""
    solver = read_solver(definition(lesson.net, "solver"))
    count = solver.max_iter if iterations is None else iterations
    rate = replace(solver.rate, max_iter=count)
    solver = replace(solver, rate=rate, max_iter=count, snapshot_prefix="", test_nets=(), test_iter=())
    batches = lesson.batches(solver.random_seed, lesson.size)
    return prepare(solver, Wishes(batches=batches), say, lambda found: None)


def write_weights(path: Path, training: Training) -> None:
    """The net's blobs as they stand, as Caffe's own snapshot holds them. Raises OSError."""
    tensors = caffe_blobs(training.layers, training.blobs)
    types = {node.name: str(node.message.get("type")) for node in training.net.analysed.graph.nodes}
    layers = []
    for layer in training.layers:
        blobs = [tensors[str(take)] for take in layer.takes()]
        stored = [Blob(tuple(b.shape), b.contiguous().numpy().astype("<f4", copy=False).tobytes()) for b in blobs]
        layers.append(Layer(layer.name, types[layer.name], stored))
    write_caffemodel(path, training.net.analysed.name, layers)


def deployed(training: Training, source: Source) -> Callable[[Array], Tensor]:
    """The net of another definition with what was learned: from a batch to its first output."""
    net = compiled(read_net(source, replace(training.solver.train_net, level=None, stages=()), False, {}))
    by_name = {(take.layer, take.index): tensor for take, tensor in training.blobs.items()}
    blobs = {info.take: by_name[info.take.layer, info.take.index] for info in learned_blobs(net.module)}

    @torch.no_grad()
    def run(batch: Array) -> Tensor:
        return net(blobs, {net.inputs[0]: torch.from_numpy(batch)}, torch.device("cpu"))[net.outputs[0]]

    return run


def right(training: Training, listed: Path) -> tuple[int, int]:
    """How many pictures of a list the trained classifier knows, and how many there are."""
    net, known = deployed(training, definition("shapes-classifier", "deploy")), 0
    lines = read_lines(str(listed))
    for line in lines:
        name, label = line.rsplit(maxsplit=1)
        image = read_image(str(listed.parent / name))
        top, left = ((size - CROP) // 2 for size in image.shape[:2])
        batch = to_blob(image[top : top + CROP, left : left + CROP], MEAN_BGR)
        known += int(net(batch)[0].argmax()) == int(label)
    return known, len(lines)


def precisions(training: Training, root: Path) -> tuple[ClassScore, ...]:
    """The trained detector's average precisions on the test split of a folder in VOC's layout, class by class."""
    net = deployed(training, definition("shapes-ssd", "deploy"))
    parts = []
    for sample in open_boxes(str(root), "test").samples:
        image = read_image(sample.image)
        found = detections_of_rows(net(to_blob(image, MEAN_BGR)).numpy()).moved((image.shape[1], image.shape[0]))
        truth = read_annotation(str(root / "Annotations" / f"{sample.name}.xml"))
        labels = np.array([KINDS.index(name) + 1 for name in truth.names])
        boxes = truth.boxes + 1  # VOC's numbers, from 1, are what the net learned
        parts.append(
            matched(
                found.classes, found.scores, found.boxes, labels, boxes, truth.difficult,
                count=len(KINDS) + 1, border=1,
            )
        )  # fmt: skip
    return class_scores(together(parts, len(KINDS) + 1), ("background", *KINDS))
