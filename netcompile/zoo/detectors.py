"""SSD with 300 × 300 images: VGG-16 made convolutional, four smaller stages, and boxes from six of its maps."""

from __future__ import annotations

from typing import Any

from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P
from netcompile.zoo.trunks import VGG16

SIZE = 300

# The stages behind fc7: outputs of a 1×1 convolution, of the 3×3 one behind it, and that one's stride and pad.
SMALLER = {6: (256, 512, 2, 1), 7: (128, 256, 2, 1), 8: (128, 256, 1, 0), 9: (128, 256, 1, 0)}

# Where boxes are predicted: the map, its stride in pixels, the smallest and largest box, and ratios of their sides.
MAPS = (
    ("conv4_3_norm", 8, 30, 60, (2,)),
    ("fc7", 16, 60, 111, (2, 3)),
    ("conv6_2", 32, 111, 162, (2, 3)),
    ("conv7_2", 64, 162, 213, (2, 3)),
    ("conv8_2", 100, 213, 264, (2,)),
    ("conv9_2", 300, 264, 315, (2,)),
)
VARIANCES = [0.1, 0.1, 0.2, 0.2]


def ssd300(classes: int) -> NetSpec:
    """Up to 200 boxes an image, of `classes` with the background among them."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, SIZE, SIZE]})
    _trunk(n)
    norm = {"across_spatial": False, "scale_filler": {"type": "constant", "value": 20}, "channel_shared": False}
    n.conv4_3_norm = L.Normalize(n.relu4_3, norm_param=norm)
    ends = {"conv4_3_norm": n.conv4_3_norm, "fc7": n.relu7}
    ends |= {f"conv{stage}_2": n[f"conv{stage}_2_relu"] for stage in SMALLER}
    for name, stride, smallest, largest, ratios in MAPS:
        boxes = 2 + 2 * len(ratios)  # squares of two sizes, and each ratio lying and standing
        _predicted(n, ends[name], f"{name}_mbox_loc", 4 * boxes)
        _predicted(n, ends[name], f"{name}_mbox_conf", classes * boxes)
        prior: dict[str, Any] = {"min_size": smallest, "max_size": largest, "aspect_ratio": list(ratios), "flip": True}
        prior |= {"clip": False, "variance": VARIANCES, "step": stride, "offset": 0.5}
        n[f"{name}_mbox_priorbox"] = L.PriorBox(ends[name], n.data, prior_box_param=prior)
    for what, axis in (("loc_flat", 1), ("conf_flat", 1), ("priorbox", 2)):
        parts = [n[f"{name}_mbox_{what}"] for name, *_ in MAPS]
        n[f"mbox_{what.removesuffix('_flat')}"] = L.Concat(*parts, axis=axis)
    n.mbox_conf_reshape = L.Reshape(n.mbox_conf, shape={"dim": [0, -1, classes]})
    n.mbox_conf_softmax = L.Softmax(n.mbox_conf_reshape, axis=2)
    n.mbox_conf_flatten = L.Flatten(n.mbox_conf_softmax, axis=1)
    found = {"num_classes": classes, "share_location": True, "background_label_id": 0, "code_type": "CENTER_SIZE"}
    found |= {"nms_param": {"nms_threshold": 0.45, "top_k": 400}, "keep_top_k": 200, "confidence_threshold": 0.01}
    n.detection_out = L.DetectionOutput(n.mbox_loc, n.mbox_conf_flatten, n.mbox_priorbox, detection_output_param=found)
    return n


def _trunk(n: NetSpec) -> None:
    """VGG-16 to fc7, whose fc6 has holes in place of the last pooling's stride, and the smaller stages."""
    below = n.data
    for stage, (convolutions, channels) in enumerate(VGG16, start=1):
        for index in range(1, convolutions + 1):
            conv = n[f"conv{stage}_{index}"] = L.Convolution(below, num_output=channels, kernel_size=3, pad=1)
            below = n[f"relu{stage}_{index}"] = L.ReLU(conv, in_place=True)
        last = stage == len(VGG16)
        window = {"kernel_size": 3, "stride": 1, "pad": 1} if last else {"kernel_size": 2, "stride": 2}
        below = n[f"pool{stage}"] = L.Pooling(below, pool=P.Pooling.MAX, **window)
    n.fc6 = L.Convolution(below, num_output=1024, kernel_size=3, pad=6, dilation=6)
    n.relu6 = L.ReLU(n.fc6, in_place=True)
    n.fc7 = L.Convolution(n.relu6, num_output=1024, kernel_size=1)
    below = n.relu7 = L.ReLU(n.fc7, in_place=True)
    for stage, (less, outputs, stride, pad) in SMALLER.items():
        for index, layer in (
            (1, {"num_output": less, "kernel_size": 1}),
            (2, {"num_output": outputs, "kernel_size": 3}),
        ):
            shape = {"stride": stride, "pad": pad} if index == 2 else {}
            conv = n[f"conv{stage}_{index}"] = L.Convolution(below, **layer, **shape)
            below = n[f"conv{stage}_{index}_relu"] = L.ReLU(conv, in_place=True)


def _predicted(n: NetSpec, below: Top, name: str, outputs: int) -> None:
    """What a 3×3 convolution says of each position, its numbers in the order of positions."""
    n[name] = L.Convolution(below, num_output=outputs, kernel_size=3, pad=1)
    n[f"{name}_perm"] = L.Permute(n[name], order=[0, 2, 3, 1])
    n[f"{name}_flat"] = L.Flatten(n[f"{name}_perm"], axis=1)
