"""One training from its first line to its files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from netcompile.files.whole import whole_file
from netcompile.runtime.processes import leave
from netcompile.train.loop import Training
from netcompile.train.snapshot import caffe_blobs, json_bytes, write_tensors


def train(prepare: Callable[[], Training], out: str, resume: str | None = None) -> bool:
    """Run a training; write OUT/final.safetensors and OUT/log.json. False where the user stopped it.

    Raises NetError, OSError (WorkerLost where another process of the training has ended).
    """
    try:
        training = prepare()
        if resume is not None:
            training.resume(resume)
        if training.group.leads:
            os.makedirs(out, exist_ok=True)
        with interruptible() as stopped:
            training.run(stopped)
            if stopped() and training.iteration < training.solver.max_iter:
                return False
        if training.group.leads:
            # Staged in `out` itself: a link of that name is replaced, not followed.
            write_tensors(os.path.join(out, "final.safetensors"), caffe_blobs(training.layers, training.blobs), out)
            with whole_file(os.path.join(out, "log.json"), out) as file:
                file.write(json_bytes({"loss": training.losses}))
        return True
    finally:
        leave()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C was pressed; pressed twice, it interrupts at once."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: no signals here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
