"""``python -m netcompile.train.demo``: train the bundled shapes net from scratch, and score it.

The net learns from drawn scenes (`shapes`), one in each step and never the same twice, with the bundled solver as it
stands. None of them is among the 32 images that it is scored on. ``python -m netcompile.train.demo N`` takes N steps
instead of the solver's, the learning rate falling accordingly.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from netcompile.prototxt.diagnostic import Diagnostic
from netcompile.prototxt.source import Source
from netcompile.runtime.metrics import Scores, confusion, scores
from netcompile.train.blobs import blobs_of
from netcompile.train.data.folders import FCN_MEAN_BGR, read_labels, voc_items
from netcompile.train.data.images import read_bgr
from netcompile.train.loop import Training
from netcompile.train.net import compiled, read_net
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.shapes import CLASSES, Scenes
from netcompile.train.snapshot import caffe_blobs, write_tensors
from netcompile.train.solver import Solver, read_solver
from netcompile.zoo.find import find_definition

NET = "shapes-fcn8s"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train, on scenes of which size, and how fast."""

    iterations: int = 8000
    height: int = 96
    width: int = 128
    rate: float = 0.001
    shapes: tuple[int, int] = (2, 5)  # least and most of a scene
    seed: int = 3


def bundled(name: str) -> Source:
    """A definition of the bundled net, under its real path."""
    path = find_definition(f"{NET}/{name}.prototxt")
    assert path is not None
    return Source.read(path)


def solver_for(plan: Plan) -> Solver:
    """The bundled solver with the plan's length and rate."""
    solver = read_solver(bundled("solver"))
    rate = replace(solver.rate, base=plan.rate, max_iter=plan.iterations)
    return replace(solver, rate=rate, max_iter=plan.iterations, snapshot_prefix="", average_loss=50)


def start(plan: Plan, say: Callable[[str], None]) -> Training:
    """The training, ready to run."""
    scenes = Scenes(plan.seed, plan.height, plan.width, plan.shapes)
    wishes = Wishes(batches=scenes, interp=True, seed=plan.seed)

    def note(found: object) -> None:
        assert isinstance(found, list)
        for diagnostic in found:
            assert isinstance(diagnostic, Diagnostic)

    return prepare(solver_for(plan), wishes, say, note)


@torch.no_grad()
def score(training: Training, folder: str, split: str = "val", limit: int | None = None) -> Scores:
    """The scores of the net as it stands, on the images of a folder in the layout of PASCAL VOC."""
    ref = replace(training.solver.train_net, level=0, stages=())
    net = compiled(read_net(bundled("deploy"), ref, False, {}))
    by_name = {(take.layer, take.index): tensor for take, tensor in training.blobs.items()}
    blobs = {info.take: by_name[info.take.layer, info.take.index] for info in blobs_of(net.module)}
    matrix = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for image, labels in voc_items(folder, split)[:limit]:
        values = read_bgr(image).astype(np.float32) - np.asarray(FCN_MEAN_BGR, np.float32)[:, None, None]
        tops = net(blobs, {net.inputs[0]: torch.from_numpy(values[None])}, torch.device("cpu"))
        predicted = tops[net.outputs[0]][0].argmax(0).numpy()
        matrix += confusion(read_labels(labels)[0], predicted, len(CLASSES))
    return scores(matrix)


def main(folder: str, plan: Plan, every: int = 100) -> Scores:
    """Train, with a line now and then, and score."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    training = start(plan, say)

    def look() -> bool:
        if training.iteration % every == 0:
            recent = training.losses[-every:]
            say(f"iteration {training.iteration}, loss {sum(recent) / len(recent):.4f}")
        return False

    training.run(look)
    found = score(training, folder)
    path = os.path.join("train-demo-out", "final.safetensors")
    write_tensors(path, caffe_blobs(training.layers, training.blobs))
    say(f"wrote {path}")
    say(f"mean IU {found.mean_iu:.4f}, overall accuracy {found.overall_accuracy:.4f}")
    for name, iu in zip(CLASSES, found.iu, strict=True):
        say(f"  {name:<12} IU {iu:.3f}")
    return found


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[2] / "tests" / "data" / "shapes" / "VOC"
    images = os.environ.get("SHAPES", str(here))
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else Plan().iterations
    main(images, Plan(iterations=iterations))
