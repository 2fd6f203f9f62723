"""ssd300-voc: PyTorch, compiled from a Caffe net by netcompile.

From ssd300-voc/deploy.prototxt, phase TEST. 26.3 M parameters, 31.4 GMACs at 300 × 300.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: every H and W >= 257
Output detection_out: 1 × 1 × 1 × 7, or larger: its size depends on the numbers

    >>> import torch
    >>> net = Ssd300Voc().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("ssd300_voc.safetensors"))  # doctest: +SKIP
    >>> result = net(torch.zeros(1, 3, 300, 300))
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ssd300Voc(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1_1 = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.conv1_2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv2_1 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.conv2_2 = nn.Conv2d(128, 128, kernel_size=3, padding=1)
        self.conv3_1 = nn.Conv2d(128, 256, kernel_size=3, padding=1)
        self.conv3_2 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv3_3 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv4_1 = nn.Conv2d(256, 512, kernel_size=3, padding=1)
        self.conv4_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv4_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_1 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.fc6 = nn.Conv2d(512, 1024, kernel_size=3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, kernel_size=1)
        self.conv6_1 = nn.Conv2d(1024, 256, kernel_size=1)
        self.conv6_2 = nn.Conv2d(256, 512, kernel_size=3, stride=2, padding=1)
        self.conv7_1 = nn.Conv2d(512, 128, kernel_size=1)
        self.conv7_2 = nn.Conv2d(128, 256, kernel_size=3, stride=2, padding=1)
        self.conv8_1 = nn.Conv2d(256, 128, kernel_size=1)
        self.conv8_2 = nn.Conv2d(128, 256, kernel_size=3)
        self.conv9_1 = nn.Conv2d(256, 128, kernel_size=1)
        self.conv9_2 = nn.Conv2d(128, 256, kernel_size=3)
        self.conv4_3_norm_scale = nn.Parameter(torch.ones(512))
        self.conv4_3_norm_mbox_loc = nn.Conv2d(512, 16, kernel_size=3, padding=1)
        self.conv4_3_norm_mbox_conf = nn.Conv2d(512, 84, kernel_size=3, padding=1)
        self.fc7_mbox_loc = nn.Conv2d(1024, 24, kernel_size=3, padding=1)
        self.fc7_mbox_conf = nn.Conv2d(1024, 126, kernel_size=3, padding=1)
        self.conv6_2_mbox_loc = nn.Conv2d(512, 24, kernel_size=3, padding=1)
        self.conv6_2_mbox_conf = nn.Conv2d(512, 126, kernel_size=3, padding=1)
        self.conv7_2_mbox_loc = nn.Conv2d(256, 24, kernel_size=3, padding=1)
        self.conv7_2_mbox_conf = nn.Conv2d(256, 126, kernel_size=3, padding=1)
        self.conv8_2_mbox_loc = nn.Conv2d(256, 16, kernel_size=3, padding=1)
        self.conv8_2_mbox_conf = nn.Conv2d(256, 84, kernel_size=3, padding=1)
        self.conv9_2_mbox_loc = nn.Conv2d(256, 16, kernel_size=3, padding=1)
        self.conv9_2_mbox_conf = nn.Conv2d(256, 84, kernel_size=3, padding=1)

    def forward(self, data: Tensor) -> Tensor:
        # conv1
        conv1_1 = F.relu(self.conv1_1(data))
        conv1_2 = F.relu(self.conv1_2(conv1_1))
        pool1 = F.max_pool2d(conv1_2, 2, stride=2, ceil_mode=True)  # 64 × ⌈H/2⌉ × ⌈W/2⌉
        # conv2
        conv2_1 = F.relu(self.conv2_1(pool1))
        conv2_2 = F.relu(self.conv2_2(conv2_1))
        pool2 = F.max_pool2d(conv2_2, 2, stride=2, ceil_mode=True)
        # conv3: 256 × ⌈H/4⌉ × ⌈W/4⌉
        conv3_1 = F.relu(self.conv3_1(pool2))
        conv3_2 = F.relu(self.conv3_2(conv3_1))
        conv3_3 = F.relu(self.conv3_3(conv3_2))
        pool3 = F.max_pool2d(conv3_3, 2, stride=2, ceil_mode=True)
        # conv4: 512 × ⌈H/8⌉ × ⌈W/8⌉
        conv4_1 = F.relu(self.conv4_1(pool3))
        conv4_2 = F.relu(self.conv4_2(conv4_1))
        conv4_3 = F.relu(self.conv4_3(conv4_2))
        pool4 = F.max_pool2d(conv4_3, 2, stride=2, ceil_mode=True)
        # conv5: 512 × ⌈H/16⌉ × ⌈W/16⌉
        conv5_1 = F.relu(self.conv5_1(pool4))
        conv5_2 = F.relu(self.conv5_2(conv5_1))
        conv5_3 = F.relu(self.conv5_3(conv5_2))
        pool5 = F.max_pool2d(conv5_3, 3, stride=1, padding=1)
        fc6 = F.relu(self.fc6(pool5))
        # fc7
        fc7 = F.relu(self.fc7(fc6))
        conv6_1 = F.relu(self.conv6_1(fc7))
        conv6_2 = F.relu(self.conv6_2(conv6_1))  # 512 × ⌈H/32⌉ × ⌈W/32⌉
        conv7_1 = F.relu(self.conv7_1(conv6_2))
        conv7_2 = F.relu(self.conv7_2(conv7_1))  # 256 × ⌈H/64⌉ × ⌈W/64⌉
        conv8_1 = F.relu(self.conv8_1(conv7_2))
        conv8_2 = F.relu(self.conv8_2(conv8_1))  # 256 × ⌈(H-128)/64⌉ × ⌈(W-128)/64⌉
        # conv9
        conv9_1 = F.relu(self.conv9_1(conv8_2))
        conv9_2 = F.relu(self.conv9_2(conv9_1))  # 256 × ⌈(H-256)/64⌉ × ⌈(W-256)/64⌉
        conv4_3_norm = (
            conv4_3
            / (conv4_3.pow(2).sum(dim=1, keepdim=True) + 1e-10).sqrt()
            * self.conv4_3_norm_scale.view(-1, 1, 1)
        )
        conv4_3_norm_mbox_loc = self.conv4_3_norm_mbox_loc(conv4_3_norm)
        conv4_3_norm_mbox_loc_perm = conv4_3_norm_mbox_loc.permute(0, 2, 3, 1)
        conv4_3_norm_mbox_loc_flat = conv4_3_norm_mbox_loc_perm.flatten(1)
        conv4_3_norm_mbox_conf = self.conv4_3_norm_mbox_conf(conv4_3_norm)
        conv4_3_norm_mbox_conf_perm = conv4_3_norm_mbox_conf.permute(0, 2, 3, 1)
        conv4_3_norm_mbox_conf_flat = conv4_3_norm_mbox_conf_perm.flatten(1)
        conv4_3_norm_mbox_priorbox = prior_boxes(
            conv4_3_norm, data, box_sizes([30], [60], [2]), step=(8, 8)
        )
        fc7_mbox_loc_flat = self.fc7_mbox_loc(fc7).permute(0, 2, 3, 1).flatten(1)
        fc7_mbox_conf_flat = self.fc7_mbox_conf(fc7).permute(0, 2, 3, 1).flatten(1)
        fc7_mbox_priorbox = prior_boxes(
            fc7, data, box_sizes([60], [111], [2, 3]), step=(16, 16)
        )
        conv6_2_mbox_loc_perm = self.conv6_2_mbox_loc(conv6_2).permute(0, 2, 3, 1)
        conv6_2_mbox_loc_flat = conv6_2_mbox_loc_perm.flatten(1)  # 1 × 24·⌈H/32⌉·⌈W/32⌉
        conv6_2_mbox_conf_perm = self.conv6_2_mbox_conf(conv6_2).permute(0, 2, 3, 1)
        conv6_2_mbox_conf_flat = conv6_2_mbox_conf_perm.flatten(1)
        conv6_2_mbox_priorbox = prior_boxes(
            conv6_2, data, box_sizes([111], [162], [2, 3]), step=(32, 32)
        )
        conv7_2_mbox_loc_perm = self.conv7_2_mbox_loc(conv7_2).permute(0, 2, 3, 1)
        conv7_2_mbox_loc_flat = conv7_2_mbox_loc_perm.flatten(1)  # 1 × 24·⌈H/64⌉·⌈W/64⌉
        conv7_2_mbox_conf_perm = self.conv7_2_mbox_conf(conv7_2).permute(0, 2, 3, 1)
        conv7_2_mbox_conf_flat = conv7_2_mbox_conf_perm.flatten(1)
        conv7_2_mbox_priorbox = prior_boxes(
            conv7_2, data, box_sizes([162], [213], [2, 3]), step=(64, 64)
        )
        conv8_2_mbox_loc_perm = self.conv8_2_mbox_loc(conv8_2).permute(0, 2, 3, 1)
        conv8_2_mbox_loc_flat = conv8_2_mbox_loc_perm.flatten(1)
        conv8_2_mbox_conf_perm = self.conv8_2_mbox_conf(conv8_2).permute(0, 2, 3, 1)
        conv8_2_mbox_conf_flat = conv8_2_mbox_conf_perm.flatten(1)
        conv8_2_mbox_priorbox = prior_boxes(
            conv8_2, data, box_sizes([213], [264], [2]), step=(100, 100)
        )
        conv9_2_mbox_loc_perm = self.conv9_2_mbox_loc(conv9_2).permute(0, 2, 3, 1)
        conv9_2_mbox_loc_flat = conv9_2_mbox_loc_perm.flatten(1)
        conv9_2_mbox_conf_perm = self.conv9_2_mbox_conf(conv9_2).permute(0, 2, 3, 1)
        conv9_2_mbox_conf_flat = conv9_2_mbox_conf_perm.flatten(1)
        conv9_2_mbox_priorbox = prior_boxes(
            conv9_2, data, box_sizes([264], [315], [2]), step=(300, 300)
        )
        mbox_loc = torch.cat(
            (
                conv4_3_norm_mbox_loc_flat,
                fc7_mbox_loc_flat,
                conv6_2_mbox_loc_flat,
                conv7_2_mbox_loc_flat,
                conv8_2_mbox_loc_flat,
                conv9_2_mbox_loc_flat,
            ),
            dim=1,
        )
        mbox_conf = torch.cat(
            (
                conv4_3_norm_mbox_conf_flat,
                fc7_mbox_conf_flat,
                conv6_2_mbox_conf_flat,
                conv7_2_mbox_conf_flat,
                conv8_2_mbox_conf_flat,
                conv9_2_mbox_conf_flat,
            ),
            dim=1,
        )
        mbox_priorbox = torch.cat(
            (
                conv4_3_norm_mbox_priorbox,
                fc7_mbox_priorbox,
                conv6_2_mbox_priorbox,
                conv7_2_mbox_priorbox,
                conv8_2_mbox_priorbox,
                conv9_2_mbox_priorbox,
            ),
            dim=2,
        )
        mbox_conf_reshape = mbox_conf.reshape(mbox_conf.shape[0], -1, 21)
        mbox_conf_flatten = softmax_in_order(mbox_conf_reshape).flatten(1)
        # 1 × 1 × 7
        detection_out: Tensor = detect(
            mbox_loc,
            mbox_conf_flatten,
            mbox_priorbox,
            classes=21,
            code="CENTER_SIZE",
            overlap=0.45,
            threshold=0.01,
            most=400,
            keep=200,
        )
        return detection_out


# region functions that the net calls (netcompile 0.1.0)


def box_sizes(
    least: list[int], most: list[int], ratios: list[float], flip: bool = True
) -> list[tuple[float, float]]:
    """Width and height of SSD's default boxes of one cell, in float32's digits.

    Squares of each `least` and of √(least · most), and for each ratio, and its inverse
    if `flip`, a box of the least one's area.
    """
    turned: list[float] = torch.tensor(
        [1 / r for r in ratios], dtype=torch.float32
    ).tolist()
    every = [each for pair in zip(ratios, turned) for each in pair] if flip else ratios
    sizes: list[tuple[float, float]] = []
    for index, size in enumerate(least):
        sizes.append((size, size))
        if most:
            sizes.append((math.sqrt(size * most[index]),) * 2)
        sizes += [(size * math.sqrt(r), size / math.sqrt(r)) for r in every]
    return [(w, h) for w, h in torch.tensor(sizes, dtype=torch.float32).tolist()]


def prior_boxes(
    x: Tensor,
    image: Tensor | tuple[float, ...],
    sizes: list[tuple[float, float]],
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    step: tuple[float, ...] | None = None,
    offset: float = 0.5,
    clip: bool = False,
) -> Tensor:
    """SSD's default boxes: for every cell of x one of each size (width, height).

    `image`, or its height and width, and `step` (height, width) are in pixels. Returns
    1 × 2 × n: the corners as parts of the image, and their variances. Corners are
    computed in float64, as in SSD.
    """
    image = tuple(image.shape[2:]) if isinstance(image, Tensor) else image
    device, dtype = x.device, torch.promote_types(x.dtype, torch.float32)
    step = step or tuple(whole / n for whole, n in zip(image, x.shape[2:]))
    cy, cx = (
        (torch.arange(n, device=device, dtype=dtype) + offset) * s
        for n, s in zip(x.shape[2:], step)
    )
    centre = torch.stack(torch.meshgrid(cx, cy, indexing="xy"), dim=-1)[:, :, None]
    half = torch.tensor(sizes, device=device, dtype=torch.float64) / 2
    corners = torch.cat((centre.double() - half, centre.double() + half), dim=-1)
    boxes = corners / half.new_tensor([image[1], image[0]] * 2)
    boxes = boxes.clamp(0, 1) if clip else boxes
    spread = half.new_tensor(list(variances)).expand_as(boxes)
    return torch.stack((boxes.flatten(), spread.flatten()))[None].to(x.dtype)


def softmax_in_order(x: Tensor) -> Tensor:
    """Softmax along the last axis, its sum taken class by class as Caffe takes it.

    Where scores come close to 1, the order decides which of them are 1, and so which
    detections tie. PyTorch sums in that order along any axis but the last.
    """
    return F.softmax(x.transpose(1, -1), dim=1).transpose(1, -1)


def best_first(scores: list[float]) -> list[int]:
    """Indices of a list of scores in descending order, as C++'s std::sort puts them.

    It partitions around medians of three down to 16 scores and then inserts, so equal
    scores come in an order of their own, which decides what a limit keeps of them.
    """
    order = list(range(len(scores)))
    spans = [(0, len(order))] if len(set(scores)) < len(scores) else []
    while spans:
        first, last = spans.pop()
        if last - first <= 16:
            continue
        a, b, c = first + 1, (first + last) // 2, last - 1
        median = sorted((scores[order[i]], i) for i in (a, b, c))[1][1]
        order[first], order[median] = order[median], order[first]
        pivot, low, high = scores[order[first]], first + 1, last - 1
        while True:
            while scores[order[low]] > pivot:
                low += 1
            while pivot > scores[order[high]]:
                high -= 1
            if low >= high:
                break
            order[low], order[high] = order[high], order[low]
            low, high = low + 1, high - 1
        spans += [(first, low), (low, last)]
    return sorted(order, key=lambda i: -scores[i])


def decode_boxes(
    offsets: Tensor, priors: Tensor, variances: Tensor, code: str
) -> Tensor:
    """Boxes (xmin, ymin, xmax, ymax) from offsets to prior boxes; all are … × 4."""
    offsets = offsets * variances
    low, high = priors[..., :2], priors[..., 2:]
    if code == "CORNER":
        return priors + offsets
    if code == "CORNER_SIZE":
        return priors + offsets * (high - low).repeat(1, 1, 2)
    centre = offsets[..., :2] * (high - low) + (low + high) / 2
    half = offsets[..., 2:].exp() * (high - low) / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def box_overlap(a: Tensor, b: Tensor, border: int = 0) -> Tensor:
    """Intersection over union of boxes (xmin, ymin, xmax, ymax), 0 if they are apart.

    A box whose corners are swapped has no area. `border` 1: corners are whole pixels,
    and both belong to the box.
    """
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:]) + border
    shared = (high - low).clamp_min(0).prod(dim=-1)
    sizes = [box[..., 2:] - box[..., :2] + border for box in (a, b)]
    one, two = (size.clamp_min(0).prod(dim=-1) for size in sizes)
    return torch.where(shared > 0, shared / (one + two - shared), 0)


def suppress(
    boxes: Tensor,
    overlap: float,
    eta: float = 1.0,
    border: int = 0,
    most: int | None = None,
    strict: bool = False,
) -> list[int]:
    """Greedy suppression of boxes sorted by score: which stay, as indices.

    A box goes if its intersection over union with one that stays exceeds `overlap`, or
    with `strict` reaches it; `eta` shrinks `overlap` with every box that stays, down to
    a half. At most `most` stay.
    """
    worst, index = boxes.new_full((len(boxes),), -1), 0
    kept: list[int] = []
    while most is None or len(kept) < most:
        rest = worst[index:]
        free = (rest < overlap if strict else rest <= overlap).nonzero()
        if len(free) == 0:
            break
        index += int(free[0])
        kept.append(index)
        worst = torch.maximum(worst, box_overlap(boxes[index], boxes, border))
        if eta < 1 and overlap > 0.5:
            overlap *= eta
        index += 1
    return kept


def detect(
    location: Tensor,
    scores: Tensor,
    priors: Tensor,
    classes: int,
    code: str,
    overlap: float,
    shared: bool = True,
    background: int = 0,
    encoded: bool = False,
    threshold: float = -3.4028235e38,
    most: int = -1,
    keep: int = -1,
    eta: float = 1.0,
) -> Tensor:
    """SSD's detections, 1 × 1 × K × 7: image, class, score, xmin, ymin, xmax, ymax.

    For each class the boxes above `threshold`, at most the `most` best, are suppressed
    where they overlap; of an image the `keep` best stay. K depends on the numbers.
    """
    n, count = location.shape[0], priors.shape[2] // 4
    corners, variances = priors[0].reshape(2, 1, count, 4)
    offsets = location.reshape(n, count, 1 if shared else classes, 4).transpose(1, 2)
    scores = scores.reshape(n, count, classes)
    rows = []
    for image in range(n):
        spread = torch.ones_like(variances) if encoded else variances
        boxes = decode_boxes(offsets[image], corners, spread, code)
        found = []
        for label in range(classes):
            if label == background:
                continue
            score = scores[image, :, label]
            order = score.sort(descending=True, stable=True).indices
            order = order[score[order] > threshold]
            order = order[:most] if most > -1 else order
            candidates = boxes[0 if shared else label][order]
            stay = suppress(candidates, overlap, eta)
            values = score[order].tolist()
            found += [(values[i], label, candidates[i]) for i in stay]
        if -1 < keep < len(found):
            best = best_first([score for score, _, _ in found])[:keep]
            found = sorted((found[i] for i in best), key=lambda row: row[1])
        for score, label, box in found:
            rows.append(torch.cat((box.new_tensor([image, label, score]), box)))
    if not rows:
        none = location.new_full((n, 7), -1)
        none[:, 0] = torch.arange(n, device=none.device)
        return none[None, None]
    return torch.stack(rows)[None, None]


# endregion
