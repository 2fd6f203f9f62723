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


def best_first(scores: list[float], most: int | None = None) -> list[int]:
    """Indices of the `most` best scores in descending order, as C++'s std::sort does.

    It partitions around medians of three down to 16 scores and then inserts, so equal
    scores come in an order of their own, which decides what a limit keeps of them.
    """
    most = len(scores) if most is None else most
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    top = {scores[i] for i in order[: most + 1]}
    if len(top) == len(order[: most + 1]):
        return order[:most]
    order, spans = list(range(len(scores))), [(0, len(scores))]
    while spans:
        first, last = spans.pop()
        span = {scores[i] for i in order[first:last]}
        if last - first <= 16 or first >= most or len(span) == last - first:
            continue  # how these are put shows nowhere
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
    return sorted(order, key=lambda i: -scores[i])[:most]


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


def highest(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` highest scores of each row, highest first.

    Equal scores come in their order, also those that `count` cuts between; none is NaN.
    """
    if not 0 < count < scores.shape[1]:
        order = scores.sort(dim=1, descending=True, stable=True).indices
        return order[:, :count]
    least = scores.topk(count, dim=1).values[:, -1:]
    above, level = scores > least, scores == least
    room = count - above.sum(dim=1, keepdim=True)
    chosen = above | (level & (level.cumsum(dim=1) <= room))
    place = torch.arange(scores.shape[1], 0, -1, device=scores.device)
    first = scores.shape[1] - (place * chosen).topk(count, dim=1).values
    order = scores.gather(1, first).sort(dim=1, descending=True, stable=True).indices
    return first.gather(1, order)


def box_overlap(a: Tensor, b: Tensor, border: int = 0) -> Tensor:
    """Intersection over union of boxes (xmin, ymin, xmax, ymax), 0 if they are apart.

    A box whose corners are swapped has no area. `border` 1: corners are whole pixels,
    and both belong to the box.
    """
    sides, areas = [], []
    for low, high in ((0, 2), (1, 3)):
        start = torch.maximum(a[..., low], b[..., low])
        end = torch.minimum(a[..., high] + border, b[..., high] + border)
        sides.append(end.sub_(start).clamp_min_(0))
    for box in (a, b):
        width, height = (box[..., i + 2] - box[..., i] + border for i in (0, 1))
        area = width.clamp_min(0) * height.clamp_min(0)
        # No area, nothing shared: 0 of something, since 0 / 0 would be no number.
        areas.append(torch.where(area > 0, area, torch.inf))
    shared = sides[0].mul_(sides[1]).nan_to_num_(0, torch.inf)
    return shared.div_((areas[0] + areas[1]).sub_(shared))


def undisputed(worst: Tensor, valid: Tensor, overlap: float, strict: bool) -> Tensor:
    """Which of a few boxes stay (lists × K), of their overlaps, lists × K × K.

    A box goes if one before it that stays overlaps it too much: every round settles at
    least one more, most rounds many.
    """
    apart = worst < overlap if strict else worst <= overlap
    before = (~apart).triu(1).to(torch.float32)
    stay = valid
    while True:
        found = valid & (stay[:, None].to(torch.float32) @ before == 0)[:, 0]
        if torch.equal(found, stay):
            return stay
        stay = found


def suppress(
    boxes: Tensor,
    overlap: float,
    valid: Tensor | None = None,
    border: int = 0,
    most: int | None = None,
    strict: bool = False,
) -> Tensor:
    """Greedy suppression in lists of boxes sorted by score: a mask of those that stay.

    Boxes are lists × K × 4. A box goes if its intersection over union with one of its
    list that stays exceeds `overlap`, or with `strict` reaches it. At most `most` of a
    list stay. Boxes that are not `valid` neither stay nor suppress. Every step depends
    on what stayed before, so the boxes of a device are brought to the processor once.
    """
    device, boxes = boxes.device, boxes.detach().cpu()
    stays = boxes.new_zeros(boxes.shape[:2], dtype=torch.bool)
    valid = ~stays if valid is None else valid.cpu()
    place = torch.arange(stays.numel()).reshape(stays.shape)
    planes = boxes.permute(2, 0, 1)  # each coordinate in one piece: faster
    while valid.any():
        lists = valid.any(dim=1)
        order = valid[lists].sort(dim=1, descending=True, stable=True).indices
        order = order[:, : int(valid.sum(dim=1).max())]
        place, valid = place[lists].gather(1, order), valid[lists].gather(1, order)
        planes = planes[:, lists].gather(2, order.expand(4, -1, -1))
        step = max(16, 2**17 // order.numel())  # pairs that stay in a cache
        first, every = planes[:, :, :step, None], planes[:, :, None]
        worst = box_overlap(first.movedim(0, -1), every.movedim(0, -1), border)
        stay = undisputed(worst[:, :, :step], valid[:, :step], overlap, strict)
        stays.view(-1)[place[:, :step]] = stay
        # The first of a list stays: it takes the place of those that do not.
        rank = torch.arange(stay.shape[1]).where(stay, 0)
        lists = torch.arange(len(stay))[:, None]
        worst = worst[lists, rank, step:].amax(dim=1)
        place, planes = place[:, step:], planes[:, :, step:]
        valid = valid[:, step:] & (worst < overlap if strict else worst <= overlap)
        if most is not None:
            valid &= (stays.sum(dim=1) < most)[place // stays.shape[1]]
    if most is not None:
        stays &= stays.cumsum(dim=1) <= most
    return stays.to(device)


def suppress_easing(boxes: Tensor, overlap: float, valid: Tensor, eta: float) -> Tensor:
    """As `suppress`, but `eta` shrinks a list's `overlap` with every box of it that
    stays, down to a half.
    """
    boxes, stays = boxes.detach(), torch.zeros_like(valid)
    worst = boxes.new_full(valid.shape, -1)
    limit = boxes.new_full(valid.shape[:1], overlap, dtype=torch.float64)
    for rank in range(valid.shape[1]):
        stay = valid[:, rank] & (worst[:, rank] <= limit.to(worst.dtype))
        stays[:, rank] = stay
        found = torch.maximum(worst, box_overlap(boxes[:, rank, None], boxes))
        worst = torch.where(stay[:, None], found, worst)
        limit = torch.where(stay & (limit > 0.5), limit * eta, limit)
    return stays


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
    corners, variances = priors[0].reshape(2, count, 4)
    spread = torch.ones_like(variances) if encoded else variances
    offsets = location.reshape(n, count, 1 if shared else classes, 4).transpose(1, 2)
    boxes = decode_boxes(offsets, corners[None], spread, code).flatten(1, 2)
    scores = scores.detach().reshape(n, count, classes)
    asked = torch.arange(classes, device=scores.device) != background
    scores = torch.where((scores > threshold) & asked, scores, -torch.inf)
    scores = scores.transpose(1, 2).flatten(0, 1)
    order = highest(scores, min(most, count) if most > -1 else count)
    size, score = order.shape[1], scores.gather(1, order)
    first = torch.arange(classes, device=order.device)[:, None] * count
    place = order.reshape(n, classes, size) + (0 if shared else first)
    boxes = boxes.gather(1, place.reshape(n, -1, 1).expand(-1, -1, 4))
    # What follows depends on the numbers: it asks a device for them once.
    found = torch.cat((score.reshape(n, -1, 1), boxes), dim=2).cpu()
    values, boxes = found[..., 0], found[..., 1:].reshape(n * classes, size, 4)
    valid = (values > -torch.inf).reshape(n * classes, size)
    if eta < 1 and overlap > 0.5:
        stays = suppress_easing(boxes, overlap, valid, eta)
    else:
        stays = suppress(boxes, overlap, valid)
    rows = [location.new_empty(0, 7, device="cpu")]
    for image, stay in enumerate(stays.reshape(n, classes * size)):
        at = stay.nonzero()[:, 0]
        if -1 < keep < len(at):
            at = at[best_first(values[image, at].tolist(), keep)]
            at = at[(at // size).sort(stable=True).indices]
        head = torch.stack((torch.full_like(at, image), at // max(size, 1)), dim=1)
        rows.append(torch.cat((head.to(found.dtype), found[image, at]), dim=1))
    result = torch.cat(rows)
    if len(result) == 0:
        result = location.new_full((n, 7), -1)
        result[:, 0] = torch.arange(n, device=location.device)
    return result[None, None].to(location.device)


# endregion
