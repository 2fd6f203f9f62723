"""SSD's loss."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netcompile.prelude.activation import softmax_in_order
from netcompile.prelude.boxes import (
    best_first,
    decode_boxes,
    encode_boxes,
    match_boxes,
    suppress,
)
from netcompile.prelude.losses import caffe_softmax_loss, smooth_l1


def hard_examples(
    loss: Tensor,
    matched: Tensor,
    most: Tensor,
    boxes: Tensor,
    ratio: float = 3.0,
    limit: float = 0.5,
    size: int | None = None,
    overlap: float | None = None,
    kept: int = 0,
) -> Tensor:
    """A mask of the examples to train on: of all, the `size` of most loss.

    Without `size`: of the unmatched whose overlap is below `limit`, `ratio` for every
    match. With `overlap`, examples whose boxes overlap more than that count once.
    """
    if size is None:
        eligible = ((matched == -1) & (most < limit)).nonzero()[:, 0]
        size = int((matched > -1).sum() * loss.new_tensor(ratio))
    else:
        eligible = torch.arange(len(loss), device=loss.device)
    if overlap is None:
        order = best_first(loss[eligible].tolist())
    else:
        sizes = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1)
        best = loss[eligible].sort(descending=True, stable=True).indices
        best = best[:kept] if kept > -1 else best
        best = best[sizes[eligible][best] >= 1e-5]
        order = best[suppress(boxes[eligible][best][None], overlap)[0]].tolist()
    chosen = torch.zeros_like(matched, dtype=torch.bool)
    chosen[eligible[order[:size]]] = True
    return chosen


class BoxLoss(nn.Module):
    """SSD's loss: of offsets to matched true boxes, and of the classes of boxes.

    Bottoms: offsets, scores, priors, and true boxes (image, class, instance, xmin,
    ymin, xmax, ymax, difficult). Options are those of multibox_loss_param.
    """

    def __init__(
        self,
        classes: int,
        code: str,
        shared: bool = True,
        background: int = 0,
        difficult: bool = True,
        threshold: float = 0.5,
        one_each: bool = False,
        by_prior: bool = True,
        inside: bool = False,
        encoded: bool = False,
        clipped: bool = False,
        agnostic: bool = False,
        mining: str = "MAX_NEGATIVE",
        squared: bool = False,
        logistic: bool = False,
        weight: float = 1.0,
        normalization: str = "VALID",
        locate: bool = True,
        classify: bool = True,
        nms_by_prior: bool = False,
        **hard: Any,
    ) -> None:
        super().__init__()
        self.classes, self.code, self.shared = classes, code, shared
        self.background, self.difficult, self.agnostic = background, difficult, agnostic
        self.matching = (threshold, one_each, inside)
        self.by_prior, self.encoded, self.clipped = by_prior, encoded, clipped
        self.mining, self.hard, self.nms_by_prior = mining, hard, nms_by_prior
        self.squared, self.logistic, self.weight = squared, logistic, weight
        self.normalization, self.locate, self.classify = normalization, locate, classify

    def forward(
        self, location: Tensor, scores: Tensor, priors: Tensor, truth: Tensor
    ) -> Tensor:
        n, count = location.shape[0], priors.shape[2] // 4
        priors = priors[0].detach().reshape(2, count, 4)
        location = location.reshape(n, count, -1, 4)
        scores = scores.reshape(n, count, self.classes)
        truth = truth.detach().reshape(-1, 8)
        truth = truth if self.difficult else truth[truth[:, 7] == 0]
        differences: list[Tensor] = []
        positive: list[tuple[int, int, int]] = []
        negative: list[tuple[int, int]] = []
        for image in range(n):
            own = truth[truth[:, 0].long() == image]
            example = (location[image], scores[image], priors, own)
            for slot, matched, missed in self.examples(*example):
                offsets = location[image, :, slot]
                differences.append(self.difference(offsets, priors, own, matched))
                negative += [(image, box) for box in missed]
                positive += [(image, *pair) for pair in self.labels(own, matched)]
        total = location[:0].sum()
        if self.locate and differences:
            total = total + self.weight * self.offset_loss(torch.cat(differences))
        if self.classify:
            total = total + self.class_loss(scores, positive, negative)
        divisors = {"VALID": max(len(positive), 1), "FULL": n * count, "BATCH_SIZE": n}
        return total / divisors.get(self.normalization, 1)

    def labels(self, own: Tensor, matched: Tensor) -> Iterator[tuple[int, int]]:
        """(box, class) of every match."""
        boxes = (matched > -1).nonzero()[:, 0]
        label = own[matched[boxes], 1].long()
        label = torch.full_like(label, self.background + 1) if self.agnostic else label
        return zip(boxes.tolist(), label.tolist())

    def examples(
        self, location: Tensor, scores: Tensor, priors: Tensor, own: Tensor
    ) -> Iterator[tuple[int, Tensor, list[int]]]:
        """For each class with offsets of its own: (class, matches, background boxes).

        None without true boxes. Nothing in here takes part in the gradient.
        """
        location, scores = location.detach(), scores.detach()
        if len(own) == 0:
            return
        for slot, matched, most in self.match(location, priors, own):
            missed: list[int] = []
            if self.mining != "NONE":
                loss = self.hardness(location, scores, priors, own, matched)
                boxes = priors[0]
                if not self.nms_by_prior:
                    boxes = self.decode(location[:, 0], priors)
                hard = hard_examples(loss, matched, most, boxes, **self.hard)
                missed = (hard & (matched == -1)).nonzero()[:, 0].tolist()
                if self.mining == "HARD_EXAMPLE":
                    matched = matched.where(hard | (matched < 0), -1)
            yield slot, matched, missed

    def match(
        self, location: Tensor, priors: Tensor, own: Tensor
    ) -> list[tuple[int, Tensor, Tensor]]:
        """(class whose offsets count, matches, overlaps) for one image."""
        labels = own[:, 1].long()
        slots = [c for c in range(self.classes) if c != self.background]
        if self.by_prior:
            matched, most = match_boxes(priors[0], own[:, 3:7], *self.matching)
            if self.shared:
                return [(0, matched, most)]
            label = labels[matched.clamp_min(0)].where(matched > -1, -1)
            return [(c, matched.where(label == c, -1), most) for c in slots]
        found = []
        for slot in [0] if self.shared else slots:
            mine = torch.ones_like(labels) if self.shared else labels == slot
            mine = mine.nonzero()[:, 0]
            boxes = self.decode(location[:, slot], priors)
            matched, most = match_boxes(boxes, own[mine, 3:7], *self.matching)
            if len(mine):
                matched = torch.where(matched > -1, mine[matched.clamp_min(0)], matched)
            found.append((slot, matched, most))
        return found

    def spread(self, priors: Tensor) -> Tensor:
        return torch.ones_like(priors[1]) if self.encoded else priors[1]

    def decode(self, offsets: Tensor, priors: Tensor) -> Tensor:
        return decode_boxes(offsets, priors[0], self.spread(priors), self.code)

    def difference(
        self, offsets: Tensor, priors: Tensor, own: Tensor, matched: Tensor
    ) -> Tensor:
        """Offsets of matched boxes minus those of their true boxes: matches × 4."""
        at = (matched > -1).nonzero()[:, 0]
        offsets, priors = offsets[at], priors[:, at]
        spread, boxes = self.spread(priors), own[matched[at], 3:7]
        goal = encode_boxes(boxes, priors[0], spread, self.code)
        if self.clipped:
            boxes = priors[0]
            if not self.by_prior:
                boxes = self.decode(offsets.detach(), priors)
            offsets = torch.where((boxes < 0) | (boxes > 1), goal, offsets)
        if not self.encoded:
            return offsets - goal
        # SSD divides the numbers by the variances, but not the gradient.
        scaled = offsets + (offsets / priors[1] - offsets).detach()
        return scaled - goal / priors[1]

    def hardness(
        self,
        location: Tensor,
        scores: Tensor,
        priors: Tensor,
        own: Tensor,
        matched: Tensor,
    ) -> Tensor:
        """The loss of each box, by which hard ones are chosen."""
        label = own[matched.clamp_min(0), 1].long().where(matched > -1, self.background)
        if self.logistic:
            target = F.one_hot(label, self.classes).to(scores.dtype)
            loss = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
            loss = loss.sum(dim=1)
        else:
            chance = softmax_in_order(scores[None])[0].gather(1, label[:, None])[:, 0]
            loss = -chance.clamp_min(1.1754944e-38).log()
        if self.mining == "HARD_EXAMPLE":
            size = self.difference(location[:, 0], priors, own, matched).abs()
            near = (size < 1) | self.squared
            each = torch.where(near, 0.5 * size.square(), size - 0.5)
            loss[matched > -1] += each.sum(dim=1)
        return loss

    def offset_loss(self, d: Tensor) -> Tensor:
        if self.squared:
            return 0.5 * d.square().sum()
        return smooth_l1(d.reshape(1, -1), 1.0)

    def class_loss(
        self,
        scores: Tensor,
        positive: list[tuple[int, int, int]],
        negative: list[tuple[int, int]],
    ) -> Tensor:
        """The summed loss of the chosen boxes' classes, of all boxes without mining."""
        count, every = scores.shape[1], scores.reshape(-1, self.classes)
        places = [image * count + box for image, box, _ in positive]
        if self.mining != "NONE":
            places += [image * count + box for image, box in negative]
            every = every[torch.tensor(places, dtype=torch.long, device=every.device)]
            places = list(range(len(positive)))
        if self.logistic:
            return self.logistic_loss(every, count, positive, len(negative))
        target = torch.full((len(every),), self.background, device=every.device)
        labels = [label for _, _, label in positive]
        target[places] = torch.tensor(labels, dtype=torch.long, device=every.device)
        return caffe_softmax_loss(every, target, normalization="NONE")

    def logistic_loss(
        self,
        scores: Tensor,
        count: int,
        positive: list[tuple[int, int, int]],
        negatives: int,
    ) -> Tensor:
        """As SSD has it: targets start as the background's number, and without mining
        an image's begin `count` numbers after those of the image before.
        """
        ones = [i * self.classes + row[2] for i, row in enumerate(positive)]
        if self.mining == "NONE":
            ones = [n * count + i * self.classes + label for n, i, label in positive]
        first = len(positive) * self.classes + self.background
        ones += [first + i * self.classes for i in range(negatives)]
        target = torch.full_like(scores, self.background).flatten()
        target[ones] = 1
        target = target.reshape(scores.shape)
        return F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
