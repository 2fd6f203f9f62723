"""The page of an evaluation: scores, bars per class, confusions, and the images of which least is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array
from netcompile.data.images import data_uri
from netcompile.report.page import PICTURES, Card, Picture, page
from netcompile.tasks.segmentation.evaluation_text import percent
from netcompile.tasks.segmentation.results import Head, Results, Worst

WRONG, IGNORED = (214, 51, 32), (128, 128, 128)  # colours of pixels in maps of errors
OUTSIDE = 255  # the label of pixels that do not count
CONFUSIONS = 12  # that are shown of a head


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many pixels of one class were taken for another, and what share of the class they are."""

    truth: str
    predicted: str
    pixels: int
    share: float


def evaluation_page(found: Results, net: str, data: str, palette: Array) -> str:
    """One self-contained HTML page."""
    return page(
        "evaluation.html",
        *PICTURES,
        net=net,
        data=data,
        found=found,
        percent=percent,
        colours=[_colour(row) for row in palette],
        order={head.blob: by_iu(head) for head in found.heads},
        predicted={head.blob: head.matrix.sum(0).tolist() for head in found.heads},
        confusions={head.blob: confusions(head) for head in found.heads},
        cards={head.blob: [_card(image, head.classes, palette) for image in head.worst] for head in found.heads},
    )


def by_iu(head: Head) -> list[int]:
    """Classes from the best IU to the worst; those without pixels come last."""
    return sorted(range(len(head.classes)), key=lambda i: (np.isnan(head.scores.iu[i]), -head.scores.iu[i], i))


def confusions(head: Head) -> list[Confusion]:
    """The most frequent mistakes, at most `CONFUSIONS`."""
    wrong = head.matrix - np.diag(np.diag(head.matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [(int(i) // len(wrong), int(i) % len(wrong)) for i in order]
    totals = head.matrix.sum(1)
    return [
        Confusion(head.classes[t], head.classes[p], int(wrong[t, p]), float(wrong[t, p] / totals[t]))
        for t, p in pairs
        if wrong[t, p]
    ]


def _card(image: Worst, classes: Sequence[str], palette: Array) -> Card:
    """An image, its truth, what was predicted, and what is wrong; the legend has the classes that are in it."""
    pictures = {
        "image": data_uri(image.rgb),
        "truth": data_uri(image.truth, palette),
        "prediction": data_uri(image.predicted, palette),
        "errors": data_uri(error_map(image.rgb, image.truth, image.predicted)),
    }
    present = sorted({*np.unique(image.truth).tolist(), *np.unique(image.predicted).tolist()})
    legend = [(_colour(palette[index]), classes[index]) for index in present if index < len(classes)]
    legend += [(_colour(WRONG), "wrong")] if (image.truth != image.predicted).any() else []
    legend += [(_colour(IGNORED), "does not count")] if (image.truth == OUTSIDE).any() else []
    return Card(
        image.name,
        f"mean IU {percent(image.iu)} %, {percent(image.accuracy)} % of the pixels right",
        tuple(Picture(title, uri, f"{title} of {image.name}") for title, uri in pictures.items()),
        tuple(legend),
    )


def _colour(row: Iterable[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, row))


def error_map(rgb: Array, truth: Array, predicted: Array) -> Array:
    """The image in dim grey, wrong pixels red, pixels that do not count grey."""
    dim = (64 + rgb.astype(np.float32).mean(2, keepdims=True) / 2).repeat(3, axis=2)
    dim[truth != predicted] = WRONG
    dim[truth == OUTSIDE] = IGNORED
    return np.asarray(dim, np.uint8)
