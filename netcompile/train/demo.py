"""``make train-demo``: train the bundled shapes net from scratch, and score it.

The net learns from drawn scenes (`shapes`), one in each step and never the same twice, with the bundled solver. None of
them is among the 32 images that it is scored on. ``python -m netcompile.train.demo N`` takes N steps, the learning rate
falling accordingly, and only shows how far that gets; without a number the mean IU must come as near to that of the
reference as `WITHIN`, or the exit code is 1. ``python -m netcompile.train.demo classifier`` and ``detector`` train the
two small nets (`demo_nets`) in its place, and a number of steps may follow there too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from netcompile.data.datasets import labels_of, open_data
from netcompile.data.images import read_image, to_blob
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.tasks.detection.average_precision import mean
from netcompile.tasks.segmentation.metrics import Scores, confusion, score_lines, scores
from netcompile.train import demo_nets
from netcompile.train.loop import Training
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.shapes import CLASSES, Scenes
from netcompile.train.snapshot import caffe_blobs, write_tensors
from netcompile.train.solver import Solver, read_solver
from netcompile.zoo.find import bundled_folder, find_definition

NET = "shapes-fcn8s"
DATA = Path(bundled_folder(), "tests", "data", "shapes")
OUT = "train-demo-out"
LEAST = {"classifier": 0.95, "detector": 0.85}  # what they must reach: top-1, and mean AP
WITHIN = 0.03  # of the reference's mean IU
EVERY = 250  # steps between lines about the loss


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train, on scenes of which size, and how fast."""

    iterations: int = 4500
    height: int = 144  # larger than the test images: the pad of 100 pixels costs as much around a small one
    width: int = 192
    rate: float = 0.001
    shapes: tuple[int, int] = (2, 5)  # least and most of a scene of 96×128
    seed: int = 3
    gain: float = 0.76  # of every layer's weights


def bundled(name: str) -> Source:
    """A definition of the bundled net, under its real path."""
    path = find_definition(f"{NET}/{name}.prototxt")
    assert path is not None
    return open_source(path)


def solver_for(plan: Plan) -> Solver:
    """The bundled solver with the plan's length and rate."""
    solver = read_solver(bundled("solver"))
    rate = replace(solver.rate, base=plan.rate, max_iter=plan.iterations)
    return replace(solver, rate=rate, max_iter=plan.iterations, snapshot_prefix="", average_loss=50)


def start(plan: Plan, say: Callable[[str], None]) -> Training:
    """The training, ready to run.

    The fillers (msra) keep the variance of their input, which here are colours of ±128: scores start near ±100, and a
    step of Adam, which is as large whatever the weights do, throws them about. A gain g brings what 15 layers make of
    the colours down by g^15, here 1/60. Convolutions are faster with channels last.
    """
    scenes = Scenes(plan.seed, plan.height, plan.width, plan.shapes)
    wishes = Wishes(batches=scenes, interp=True, seed=plan.seed)
    training = prepare(solver_for(plan), wishes, say, lambda found: None)
    blobs = {take: blob.detach().clone() for take, blob in training.blobs.items()}
    for info in training.learned:
        if info.take.index == 0:
            blobs[info.take].mul_(plan.gain)
    last = torch.channels_last
    blobs = {k: blob.contiguous(memory_format=last) if blob.dim() == 4 else blob for k, blob in blobs.items()}
    return replace(training, blobs=blobs)


def score(training: Training, folder: str, limit: int | None = None) -> Scores:
    """The scores of the net as it stands, on the images of a folder in the layout of PASCAL VOC."""
    net = demo_nets.deployed(training, bundled("deploy"))
    matrix = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for sample in open_data(folder, "val").samples[:limit]:
        predicted = net(to_blob(read_image(sample.image)))[0].argmax(0).numpy()
        matrix += confusion(labels_of(sample)[0], predicted, len(CLASSES))
    return scores(matrix)


def clock() -> Callable[[str], None]:
    """What says a line with the seconds since now in front."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    return say


def train(training: Training, every: int, say: Callable[[str], None]) -> None:
    """Train to the end, with a line about the loss every so many steps; the folder `OUT` is there then."""

    def look() -> bool:
        if training.iteration % every == 0:
            recent = training.losses[-every:]
            done = f"iteration {training.iteration} of {training.solver.max_iter}"
            say(f"{done}, loss {sum(recent) / len(recent):.4f}")
        return False

    training.run(look)
    os.makedirs(OUT, exist_ok=True)


def main(plan: Plan) -> Scores:
    """Train, with a line now and then; write the weights and score them."""
    say = clock()
    training = start(plan, say)
    train(training, EVERY, say)
    path = os.path.join(OUT, "final.safetensors")
    write_tensors(path, caffe_blobs(training.layers, training.blobs))
    say(f"wrote {path}")
    found = score(training, str(DATA / "VOC"))
    print(score_lines(found, datetime.now(), training.iteration), end="")
    for name, iu in zip(CLASSES, found.iu, strict=True):
        print(f"{name:<10} IU {iu:.4f}")
    return found


def learn(name: str, iterations: int | None) -> int:
    """Train the classifier or the detector, write its caffemodel, and say how good it is; the exit code."""
    say = clock()
    lesson = demo_nets.LESSONS[name]
    training = demo_nets.start(lesson, iterations, say)
    train(training, EVERY // 5, say)
    path = Path(OUT, f"{lesson.net}.caffemodel")
    demo_nets.write_weights(path, training)
    say(f"wrote {path}")
    if name == "classifier":
        known, count = demo_nets.right(training, DATA.with_name("shapes-classes") / "val.txt")
        reached = known / count
        print(f"top-1: {known} of {count} ({reached:.1%})")
    else:
        classes = demo_nets.precisions(training, DATA.with_name("shapes-detection") / "VOC")
        for row in classes:
            print(f"{row.name:<10} AP {row.eleven_point:.4f}")
        reached = mean(row.eleven_point for row in classes)
        print(f"mean AP (11 points): {reached:.4f}")
    return 0 if iterations is not None or reached >= LEAST[name] else 1


def run(arguments: list[str]) -> int:
    """The command; the exit code."""
    if arguments and arguments[0] in demo_nets.LESSONS:
        return learn(arguments[0], int(arguments[1]) if arguments[1:] else None)
    if arguments:
        main(Plan(iterations=int(arguments[0])))
        return 0
    wanted = json.loads((DATA / "expected.json").read_text())["mean_iu"] - WITHIN
    found = main(Plan()).mean_iu
    if not found >= wanted:
        print(f"the mean IU is {found:.4f}, and should be {wanted:.4f} at least", file=sys.stderr)
        return 1
    print(f"(at least {wanted:.4f} is wanted: the reference's mean IU less {WITHIN})")
    return 0


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
