"""Classifiers of ImageNet and what was made of them, as their caffemodels want them: the names of layers are theirs.

Each has an input of one image, and no learning rates: these nets are for weights that are there already.
"""

from __future__ import annotations

from typing import Any

from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P
from netcompile.zoo import trunks

IMAGENET = 1000

# Inception modules of GoogLeNet: 1×1; 3×3 and what reduces it; 5×5 and what reduces it; the projection of the pooling.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# Convolutions in each of VGG-19's stages; trunks.VGG16 has the other's.
VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))

# Blocks in each of the four stages of a residual net.
RESNETS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def alexnet() -> NetSpec:
    """AlexNet as BVLC trained it: normalised before it is pooled."""
    n = _image(227)
    return _scored(n, _alexnet(n, normalise_first=True), "fc8", IMAGENET)


def caffenet(score: str = "fc8", classes: int = IMAGENET, softmax: bool = True) -> NetSpec:
    """CaffeNet: pooled before it is normalised. Nets that were tuned from it have another last layer."""
    n = _image(227)
    return _scored(n, _alexnet(n, normalise_first=False), score, classes, softmax)


def vgg(stages: tuple[tuple[int, int], ...]) -> NetSpec:
    """VGG-16 or VGG-19."""
    n = _image(224)
    below = n.data
    for stage, (convolutions, channels) in enumerate(stages, start=1):
        for index in range(1, convolutions + 1):
            conv = n[f"conv{stage}_{index}"] = L.Convolution(below, num_output=channels, kernel_size=3, pad=1)
            below = n[f"relu{stage}_{index}"] = L.ReLU(conv, in_place=True)
        below = n[f"pool{stage}"] = _max_pool(below, 2)
    return _scored(n, _connected(n, below), "fc8", IMAGENET)


def googlenet() -> NetSpec:
    """GoogLeNet (Inception v1) without the two classifiers that only helped to train it."""
    n = _image(224)
    _convolved(n, n.data, "conv1", "7x7_s2", num_output=64, kernel_size=7, stride=2, pad=3)
    n["pool1/3x3_s2"] = _max_pool(n["conv1/relu_7x7"], 3)
    n["pool1/norm1"] = _normalised(n["pool1/3x3_s2"])
    _convolved(n, n["pool1/norm1"], "conv2", "3x3_reduce", num_output=64, kernel_size=1)
    below = _convolved(n, n["conv2/relu_3x3_reduce"], "conv2", "3x3", num_output=192, kernel_size=3, pad=1)
    n["conv2/norm2"] = _normalised(below)
    below = n["pool2/3x3_s2"] = _max_pool(n["conv2/norm2"], 3)
    for name, outputs in INCEPTIONS.items():
        below = _inception(n, below, f"inception_{name}", outputs)
        if name in ("3b", "4e"):
            below = n[f"pool{int(name[0])}/3x3_s2"] = _max_pool(below, 3)
    n["pool5/7x7_s1"] = L.Pooling(below, pool=P.Pooling.AVE, kernel_size=7, stride=1)
    below = n["pool5/drop_7x7_s1"] = L.Dropout(n["pool5/7x7_s1"], dropout_ratio=0.4, in_place=True)
    return _scored(n, below, "loss3/classifier", IMAGENET)


def squeezenet(version: str) -> NetSpec:
    """SqueezeNet v1.0 or v1.1, which has a smaller first kernel and pools earlier."""
    n = _image(227)
    first, pooled, pad = ((96, 7), (4, 8), 1) if version == "1.0" else ((64, 3), (3, 5), 0)
    n.conv1 = L.Convolution(n.data, num_output=first[0], kernel_size=first[1], stride=2)
    n.relu_conv1 = L.ReLU(n.conv1, in_place=True)
    below = n.pool1 = _max_pool(n.relu_conv1, 3)
    for number in range(2, 10):
        squeezed = 16 * (number // 2)
        below = _fire(n, below, f"fire{number}", squeezed)
        if number in pooled:
            below = n[f"pool{number}"] = _max_pool(below, 3)
    n.drop9 = L.Dropout(below, dropout_ratio=0.5, in_place=True)
    n.conv10 = L.Convolution(n.drop9, num_output=IMAGENET, kernel_size=1, pad=pad)
    n.relu_conv10 = L.ReLU(n.conv10, in_place=True)
    n.pool10 = L.Pooling(n.relu_conv10, pool=P.Pooling.AVE, global_pooling=True)
    n.prob = L.Softmax(n.pool10)
    return n


def resnet(depth: int) -> NetSpec:
    """ResNet-50, 101 or 152 as their authors published them: the stride of a stage is in its first 1×1 kernels.

    Normalised with the statistics of the file in every phase. Only ResNet-50's first convolution has a bias.
    """
    n = _image(224)
    n.conv1 = L.Convolution(n.data, num_output=64, kernel_size=7, stride=2, pad=3, **_BARE if depth > 50 else {})
    n.conv1_relu = L.ReLU(_normed(n, n.conv1, "_conv1"), in_place=True)
    below = n.pool1 = _max_pool(n.conv1_relu, 3)
    for stage, blocks in enumerate(RESNETS[depth], start=2):
        for block in range(blocks):
            name = f"{stage}{_block(depth, blocks, block)}"
            below = _residual(n, below, name, 64 << (stage - 2), 2 if block == 0 and stage > 2 else 1, block == 0)
    n.pool5 = L.Pooling(below, pool=P.Pooling.AVE, kernel_size=7, stride=1)
    return _scored(n, n.pool5, "fc1000", IMAGENET)


_BARE = {"bias_term": False}


def _image(size: int) -> NetSpec:
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, size, size]})
    return n


def _scored(n: NetSpec, below: Top, name: str, classes: int, softmax: bool = True) -> NetSpec:
    n[name] = L.InnerProduct(below, num_output=classes)
    if softmax:
        n.prob = L.Softmax(n[name])
    return n


def _max_pool(below: Top, kernel: int) -> Top:
    top: Top = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=kernel, stride=2)
    return top


def _normalised(below: Top) -> Top:
    top: Top = L.LRN(below, local_size=5, alpha=1e-4, beta=0.75)
    return top


def _connected(n: NetSpec, below: Top) -> Top:
    """fc6 and fc7, which see an image of one size alone."""
    for number in (6, 7):
        full = n[f"fc{number}"] = L.InnerProduct(below, num_output=4096)
        n[f"relu{number}"] = L.ReLU(full, in_place=True)
        below = n[f"drop{number}"] = L.Dropout(n[f"relu{number}"], dropout_ratio=0.5, in_place=True)
    return below


def _alexnet(n: NetSpec, normalise_first: bool) -> Top:
    below = n.data
    for stage, (outputs, kernel, stride, pad, group, then) in enumerate(trunks.ALEXNET, start=1):
        conv = n[f"conv{stage}"] = L.Convolution(
            below, num_output=outputs, kernel_size=kernel, stride=stride, pad=0 if stage == 1 else pad, group=group
        )
        below = n[f"relu{stage}"] = L.ReLU(conv, in_place=True)
        for what in reversed(then) if normalise_first else then:
            below = n[f"{what}{stage}"] = _max_pool(below, 3) if what == "pool" else _normalised(below)
    return _connected(n, below)


def _convolved(n: NetSpec, below: Top, group: str, name: str, **convolution: Any) -> Top:
    """A convolution and its ReLU, "GROUP/NAME" and "GROUP/relu_NAME" without what follows "_s" in it."""
    conv = n[f"{group}/{name}"] = L.Convolution(below, **convolution)
    relu: Top = L.ReLU(conv, in_place=True)
    n[f"{group}/relu_{name.partition('_s')[0]}"] = relu
    return relu


def _inception(n: NetSpec, below: Top, group: str, outputs: tuple[int, ...]) -> Top:
    one, reduce3, three, reduce5, five, projection = outputs
    _convolved(n, below, group, "1x1", num_output=one, kernel_size=1)
    for name, reduced, size, kernel in (("3x3", reduce3, three, 3), ("5x5", reduce5, five, 5)):
        less = _convolved(n, below, group, f"{name}_reduce", num_output=reduced, kernel_size=1)
        _convolved(n, less, group, name, num_output=size, kernel_size=kernel, pad=kernel // 2)
    pooled = n[f"{group}/pool"] = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=3, stride=1, pad=1)
    _convolved(n, pooled, group, "pool_proj", num_output=projection, kernel_size=1)
    parts = [n[f"{group}/relu_{name}"] for name in ("1x1", "3x3", "5x5", "pool_proj")]
    top: Top = L.Concat(*parts)
    n[f"{group}/output"] = top
    return top


def _fire(n: NetSpec, below: Top, group: str, squeezed: int) -> Top:
    less = _convolved(n, below, group, "squeeze1x1", num_output=squeezed, kernel_size=1)
    expanded = [
        _convolved(n, less, group, "expand1x1", num_output=4 * squeezed, kernel_size=1),
        _convolved(n, less, group, "expand3x3", num_output=4 * squeezed, kernel_size=3, pad=1),
    ]
    top: Top = L.Concat(*expanded)
    n[f"{group}/concat"] = top
    return top


def _block(depth: int, blocks: int, block: int) -> str:
    """a, b, c, …; in the stages that the deeper nets have more blocks in: a, b1, b2, …"""
    return "abcdef"[block] if depth == 50 or blocks == 3 or block == 0 else f"b{block}"


def _normed(n: NetSpec, below: Top, name: str) -> Top:
    """Caffe's BatchNorm and the Scale that it lacks, in place."""
    n[f"bn{name}"] = L.BatchNorm(below, use_global_stats=True, in_place=True)
    top: Top = L.Scale(n[f"bn{name}"], bias_term=True, in_place=True)
    n[f"scale{name}"] = top
    return top


def _residual(n: NetSpec, below: Top, name: str, channels: int, stride: int, projected: bool) -> Top:
    """A bottleneck of 1×1, 3×3 and 1×1 kernels, added to what it began with, projected where the sizes differ."""
    shortcut = below
    if projected:
        shortcut = _branch(n, below, name, "1", 4 * channels, 1, stride)
    for part, outputs, kernel in (("2a", channels, 1), ("2b", channels, 3), ("2c", 4 * channels, 1)):
        below = _branch(n, below, name, part, outputs, kernel, stride if part == "2a" else 1)
        if part != "2c":
            below = n[f"res{name}_branch{part}_relu"] = L.ReLU(below, in_place=True)
    total = n[f"res{name}"] = L.Eltwise(shortcut, below)
    top: Top = L.ReLU(total, in_place=True)
    n[f"res{name}_relu"] = top
    return top


def _branch(n: NetSpec, below: Top, name: str, part: str, outputs: int, kernel: int, stride: int) -> Top:
    conv = n[f"res{name}_branch{part}"] = L.Convolution(
        below, num_output=outputs, kernel_size=kernel, stride=stride, pad=kernel // 2, **_BARE
    )
    return _normed(n, conv, f"{name}_branch{part}")
