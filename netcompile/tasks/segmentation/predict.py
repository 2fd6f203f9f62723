"""Label maps, overlays and probabilities of many images, safe against being stopped at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import numpy as np

from netcompile.array import Array
from netcompile.data.extra_inputs import ExtraInputs
from netcompile.data.images import overlay, png, tinted
from netcompile.data.pictures import Picture
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.emit.names import distinct
from netcompile.files.named import LONGEST, is_long
from netcompile.files.npz import write_npz
from netcompile.files.whole import claimed
from netcompile.runtime.loaded import Loaded
from netcompile.runtime.outputs import Outputs
from netcompile.runtime.processes import Processes
from netcompile.tasks.segmentation.score_maps import grey, is_grey, labels_of, probabilities
from netcompile.tasks.segmentation.segment import Job, Segmented, each, read_all, segment


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written for each image: label maps always, overlays and probabilities on request."""

    palette: Array
    overlays: bool = True
    softmax: bool = False
    opacity: float = 0.6


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run did, over all processes: images done now, done before, and broken."""

    made: int
    found: int
    broken: int


def predict(
    job: Job, images: Sequence[Picture], folder: str, wanted: Wanted, group: Processes,
    report: Callable[[Diagnostic], None], *, batch: int = 4,
) -> Counts:  # fmt: skip
    """Write ``DIR/labels/NAME.png`` and so on for every image; `report` is told of every broken one.

    With several outputs there is a folder for each: ``DIR/labels/BLOB/NAME.png``. An image whose outputs are whole,
    made by the same net with the same settings and not older than it, is left alone. Raises NetError, OSError.
    """
    out = Outputs(folder, settings(job, wanted))
    with claimed(folder, group.leads, group.wait):
        mine = [images[index] for index in group.share(len(images))]
        long = [p for p in mine if is_long(p.name)]
        for picture in long:
            why = f"outputs are named after it, and its name has more than {LONGEST} bytes"
            report(Diagnostic("image-names", f"{picture.path} is skipped", why=why, severity="warning"))
        fit = [p for p in mine if not is_long(p.name)]
        todo = [p for p in fit if not _is_done(out, p, paths(out, job.loaded, p, wanted), job.extra_inputs)]
        results = segment(read_all(((picture, picture.path) for picture in todo), job.extra_inputs), job, batch)

        def written(result: Segmented) -> str:
            write(out, job.loaded, result, wanted)
            return ""

        made, broken = each(results, len(todo), group.leads, lambda picture: str(picture.path), report, written)
    total = group.sum(np.array([made, len(fit) - len(todo), broken + len(long)]))
    return Counts(*(int(count) for count in total))


def _is_done(out: Outputs, picture: Picture, made: Sequence[str], extra_inputs: ExtraInputs) -> bool:
    return all(
        out.is_done(path, source) for source in (picture.path, *extra_inputs.paths(picture.path)) for path in made
    )


def settings(job: Job, wanted: Wanted) -> str:
    """A short text that differs whenever the outputs could: net, weights, preprocessing, colours."""
    net, made = job.loaded, job.preprocessing
    lines = (net.identity, made.text(), wanted.opacity, net.outputs, job.extra_inputs.text())
    digest = sha256("".join(f"{line}\n" for line in lines).encode())
    digest.update(wanted.palette.tobytes())
    if made.image is not None:
        digest.update(made.image.tobytes())
    return digest.hexdigest()[:32]


def paths(out: Outputs, loaded: Loaded, picture: Picture, wanted: Wanted) -> list[str]:
    """Every file that belongs to an image."""
    kinds = [("labels", "png"), *([("overlays", "png")] if wanted.overlays else [])]
    known = [("softmax", "npz")] if wanted.softmax else []
    return [
        out.path(kind, f"{blob_folder(loaded, blob)}{picture.name}.{extension}")
        for blob in loaded.outputs
        for kind, extension in (*kinds, *(known if loaded.kinds.get(blob) != "labels" else ()))
    ]


def blob_folder(loaded: Loaded, blob: str) -> str:
    """ "" for the only output; of several, a folder name for each."""
    if len(loaded.outputs) == 1:
        return ""
    return f"{distinct(loaded.outputs)[blob]}/"


def write(out: Outputs, loaded: Loaded, result: Segmented, wanted: Wanted) -> None:
    """The files of one image. The label map comes last, so that it stands for the whole set."""
    for blob in loaded.outputs:
        score, kind = result.scores[blob], loaded.kinds.get(blob, "")
        labels = labels_of(score, kind)
        stem = f"{blob_folder(loaded, blob)}{result.key.name}"
        if wanted.softmax and kind != "labels":
            if score.ndim != 3:
                refuse("score-map", f"output '{blob}' holds labels: there are no probabilities")
            known = probabilities(score, kind)
            out.write(
                out.path("softmax", f"{stem}.npz"),
                partial(write_npz, arrays={"prob": known}, made_by=out.settings, compressed=True),
            )
        levels = grey(score, kind) if is_grey(score, kind) else None
        if wanted.overlays:
            if levels is None:
                mixed = overlay(result.rgb, fitted(labels, result.rgb.shape), wanted.palette, wanted.opacity)
            else:
                share = fitted(levels, result.rgb.shape) / 255 * wanted.opacity
                mixed = tinted(result.rgb, share, wanted.palette[1])
            out.write(out.path("overlays", f"{stem}.png"), partial(png, pixels=mixed, made_by=out.settings))
        palette, pixels = (wanted.palette, labels) if levels is None else (None, levels)
        made = partial(png, pixels=pixels, palette=palette, made_by=out.settings)
        out.write(out.path("labels", f"{stem}.png"), made)


def fitted(labels: Array, shape: tuple[int, ...]) -> Array:
    """Labels of a coarser map at the image's size, by the nearest pixel."""
    if labels.shape == shape[:2]:
        return labels
    rows = np.arange(shape[0]) * labels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * labels.shape[1] // shape[1]
    return np.asarray(labels[rows[:, None], columns[None, :]])
