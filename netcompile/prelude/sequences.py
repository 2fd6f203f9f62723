"""Sequences read off scores (CTC), and how they are compared."""

import torch
from torch import Tensor


def ctc_decode(
    x: Tensor, blank: int, marks: Tensor | None = None, merge: bool = True
) -> tuple[Tensor, Tensor]:
    """The classes of each stream, streams × steps × 1 × 1, and minus the scores' sum.

    Of equal scores the first class counts; -1 stands behind the end.
    """
    steps, streams = x.shape[:2]
    score, best = x.max(dim=2)
    alive = torch.ones_like(best, dtype=torch.bool)
    if marks is not None:
        alive[1:] = (marks.reshape(steps, streams)[1:] != 0).cumprod(0).bool()
    kept = alive & (best != blank)
    if merge:
        kept[1:] &= best[1:] != best[:-1]
    place = torch.where(kept, kept.cumsum(0) - 1, steps)
    found = best.new_full((steps + 1, streams), -1).scatter(0, place, best)
    total = -torch.where(alive, score, 0).sum(dim=0)
    return found[:steps].T[:, :, None, None], total[:, None, None, None]


def edit_distance(a: list[int], b: list[int]) -> int:
    """How many insertions, deletions and replacements lead from list a to list b."""
    row = list(range(len(b) + 1))
    for i, p in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, q in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (p != q))
    return row[-1]


def ctc_accuracy(found: Tensor, labels: Tensor, x: Tensor) -> Tensor:
    """1 less the mean edit distance, in parts of the longer of both sequences."""
    wrong = 0.0
    rows = labels.reshape(x.shape[:2]).T.tolist()
    for own, row in zip(found[:, :, 0, 0].tolist(), rows):
        own = [v for v in own if v >= 0]
        end = next((i for i, v in enumerate(row) if v < 0), len(row))
        wanted = [int(v + 0.5) for v in row[:end]]
        longer = max(len(own), len(wanted))
        wrong += edit_distance(wanted, own) / longer if longer else 0
    return x.new_full((1, 1, 1, 1), 1 - wrong / len(rows))
