"""The classification networks that FCNs grow on, their fully connected layers turned into convolutions."""

from __future__ import annotations

from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P

# Learning rate and weight decay of weights, then of biases: Caffe's custom of twice the rate and no decay for biases.
LEARNT = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]

# FCN pads its first convolution by this much, so that even a one-pixel image leaves the trunk with a pixel.
BORDER = 100

# VGG-16's five stages: (convolutions, channels), a pooling after each.
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# AlexNet's convolutions as Caffe has them: outputs, kernel, stride, pad, groups, and what follows the ReLU.
ALEXNET = (
    (96, 11, 4, BORDER, 1, ("pool", "norm")),
    (256, 5, 1, 2, 2, ("pool", "norm")),
    (384, 3, 1, 1, 1, ()),
    (384, 3, 1, 1, 2, ()),
    (256, 3, 1, 1, 2, ("pool",)),
)


def vgg16(n: NetSpec, image: Top, suffix: str = "", first: str = "conv1_1", dropout: bool = True) -> None:
    """conv1_1 … pool5, fc6, fc7; every name ends in `suffix`, and the first convolution is called `first`."""
    below = image
    for stage, (convolutions, channels) in enumerate(VGG16, start=1):
        for index in range(1, convolutions + 1):
            begins = (stage, index) == (1, 1)
            name = first if begins else f"conv{stage}_{index}"
            conv = n[name + suffix] = L.Convolution(
                below, num_output=channels, kernel_size=3, stride=1, pad=BORDER if begins else 1, param=LEARNT
            )
            below = n[f"relu{stage}_{index}{suffix}"] = L.ReLU(conv, in_place=True)
        below = n[f"pool{stage}{suffix}"] = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    _classifier(n, below, 7, suffix, dropout, param=LEARNT)


def alexnet(n: NetSpec, image: Top) -> None:
    """conv1 … pool5, fc6, fc7, with fixed learning rates of one."""
    below = image
    for stage, (outputs, kernel, stride, pad, group, then) in enumerate(ALEXNET, start=1):
        conv = n[f"conv{stage}"] = L.Convolution(
            below, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad, group=group
        )
        below = n[f"relu{stage}"] = L.ReLU(conv, in_place=True)
        if "pool" in then:
            below = n[f"pool{stage}"] = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        if "norm" in then:
            below = n[f"norm{stage}"] = L.LRN(below, local_size=5, alpha=1e-4, beta=0.75)
    _classifier(n, below, 6, group=1)


def _classifier(
    n: NetSpec, below: Top, kernel: int, suffix: str = "", dropout: bool = True, **convolution: object
) -> None:
    """fc6 and fc7 as convolutions: fc6 sees the `kernel` × `kernel` pixels that the classifier saw."""
    for number, size in ((6, kernel), (7, 1)):
        conv = n[f"fc{number}{suffix}"] = L.Convolution(
            below, num_output=4096, kernel_size=size, stride=1, pad=0, **convolution
        )
        below = n[f"relu{number}{suffix}"] = L.ReLU(conv, in_place=True)
        if dropout:
            below = n[f"drop{number}{suffix}"] = L.Dropout(below, dropout_ratio=0.5, in_place=True)
