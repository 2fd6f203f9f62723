"""The results of many images, a few files for each; safe against being stopped at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from netcompile.data.extra_inputs import ExtraInputs
from netcompile.data.image_file import reason_of
from netcompile.data.pictures import Picture
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.files.named import LONGEST, is_long
from netcompile.files.reading import read_json
from netcompile.files.whole import claimed
from netcompile.runtime.outputs import MADE_BY, Outputs
from netcompile.runtime.processes import Processes
from netcompile.tasks.inference import Done, Job, each, infer_images, read_all
from netcompile.tasks.task import Task

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a run did, over all processes: images done now, done before, and broken; the leading process alone knows
    the files about all images (`collected`), and what is to be printed of the results."""

    made: int
    found: int
    broken: int
    collected: tuple[str, ...] = ()
    summary: str = ""


def predict(
    job: Job, images: Sequence[Picture], folder: str, group: Processes, report: Callable[[Diagnostic], None], *,
    batch: int = 4,
) -> Predicted:  # fmt: skip
    """Write the task's files for every image; `report` is told of every broken one.

    An image whose files are whole, made by the same net with the same settings and not older than it, is left alone.
    Raises NetError, OSError.
    """
    out = Outputs(folder, settings(job))
    with claimed(folder, group.leads, group.wait):
        mine = [images[index] for index in group.share(len(images))]
        long = [p for p in mine if is_long(p.name)]
        for picture in long:
            why = f"outputs are named after it, and its name has more than {LONGEST} bytes"
            report(Diagnostic("image-names", f"{picture.path} is skipped", why=why, severity="warning"))
        fit = [p for p in mine if not is_long(p.name)]
        todo = [p for p in fit if not _is_done(out, job.task, p, job.extra_inputs)]
        results = infer_images(read_all(((picture, picture.path) for picture in todo), job), job, batch)
        counts = each(
            results, len(todo), group.leads, lambda picture: str(picture.path), report,
            lambda done: write(out, job.task, done),
        )  # fmt: skip
        total = group.sum(np.array([counts[0], len(fit) - len(todo), counts[1] + len(long)]))
        collected, summary = _together(out, job.task, images) if group.leads else ((), "")
    made, found, broken = (int(count) for count in total)
    return Predicted(made, found, broken, collected, summary)


def _is_done(out: Outputs, task: Task, picture: Picture, extra_inputs: ExtraInputs) -> bool:
    made, sources = paths(out, task, picture), (picture.path, *extra_inputs.paths(picture.path))
    if not all(out.is_done(path, source) for source in sources for path in made):
        return False
    try:
        return not _has_record(task) or _record(out, task, made[-1]) is not None
    except OSError:
        return False


def _has_record(task: Task) -> bool:
    return task.places()[-1].extension == "json"


def _together(out: Outputs, task: Task, images: Sequence[Picture]) -> tuple[tuple[str, ...], str]:
    """The files about all images, from what was written for each."""
    if not _has_record(task):
        return (), ""
    records = [None if is_long(p.name) else _record(out, task, paths(out, task, p)[-1]) for p in images]
    return tuple(task.collect(out.folder, images, records)), task.summary(images, records)


def _record(out: Outputs, task: Task, path: str) -> Record | None:
    """What was written for an image in this run or one like it; None where nothing was. Raises OSError: a record that
    cannot be read is none that is not there."""
    try:
        record = read_json(path)
    except (FileNotFoundError, ValueError, NetError):
        return None
    if not isinstance(record, dict) or record.pop(MADE_BY, None) != out.settings:
        return None
    return record if task.knows(record) else None


def settings(job: Job) -> str:
    """A short text that differs whenever the files could: net, weights, preparation, task."""
    net, made, task = job.loaded, job.preprocessing, job.task
    lines = (
        net.identity, made.text(), job.preparation.text(), task.name, task.blobs, task.settings(),
        job.extra_inputs.text(),
    )  # fmt: skip
    digest = sha256("".join(f"{line}\n" for line in lines).encode())
    if made.image is not None:
        digest.update(made.image.tobytes())
    return digest.hexdigest()[:32]


def paths(out: Outputs, task: Task, picture: Picture) -> list[str]:
    """Every file that belongs to an image."""
    return [out.path(place.folder, f"{picture.name}.{place.extension}") for place in task.places()]


def write(out: Outputs, task: Task, done: Done) -> str:
    """Write the files of one image; why that cannot be, or "". The last file comes last: it stands for the whole."""
    try:
        result = task.result(done.arrays, done.seen)
    except ValueError as error:
        return reason_of(error)
    contents = task.contents(result, done.seen, out.settings)
    for path, content in zip(paths(out, task, done.key), contents, strict=True):
        out.write(path, content)
    return ""
