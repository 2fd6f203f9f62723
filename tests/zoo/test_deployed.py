"""Nets beside the FCN family: their weights are published, so names of layers and shapes of blobs have to be theirs."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from math import prod
from pathlib import Path

import pytest

from netcompile.analyser import Analysed, analyse
from netcompile.ir.build import Options
from netcompile.layers.base import Layer
from netcompile.prototxt.recognise import open_source
from netcompile.zoo import catalogue
from netcompile.zoo.find import find_definition

ORIGINALS = {
    "alexnet": "BVLC__caffe/models/bvlc_alexnet/deploy.prototxt",
    "googlenet": "BVLC__caffe/models/bvlc_googlenet/deploy.prototxt",
    "flickr-style": "BVLC__caffe/models/finetune_flickr_style/deploy.prototxt",
    "ssd300-voc": "BVLC__caffe/examples/ssd/VGGNet/VOC0712/SSD_300x300_webcam/test@5f5c080b.prototxt",
    "vgg19": "crowsonkb__style_transfer/VGG_ILSVRC_19_layers_deploy@d17dd167.prototxt",
}

# Learnable numbers, as the papers and torchvision's documentation count them: statistics are not, and the two helping
# classifiers of GoogLeNet are left out. By hand: the others' last layers, the 64 biases that only ResNet-50 has, HED.
LEARNT = {
    "alexnet": 60_965_224,
    "caffenet": 60_965_224,
    "rcnn-ilsvrc13": 60_965_224 - 4097 * 1000 + 4097 * 200,
    "flickr-style": 60_965_224 - 4097 * 1000 + 4097 * 20,
    "googlenet": 6_998_552,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "squeezenet-v1.0": 1_248_424,
    "squeezenet-v1.1": 1_235_496,
    "resnet-50": 25_557_032 + 64,
    "resnet-101": 44_549_160,
    "resnet-152": 60_192_808,
    "hed": 14_714_688 + (65 + 129 + 257 + 513 + 513) + (17 + 65 + 257 + 1025) + 6,
    "ssd300-voc": 14_714_688
    + (4609 * 1024 + 1025 * 1024)
    + (1025 * 256 + 2305 * 512)
    + (513 * 128 + 1153 * 256)
    + 2 * (257 * 128 + 1153 * 256)
    + 512
    + 25 * (4609 * 4 + 9217 * 6 + 4609 * 6 + 2305 * 6 + 2305 * 4 + 2305 * 4),
}

# MiB of the published file as its publisher or mirrors state it, where it holds what the deployed net does.
FILES = {
    "alexnet": 232,
    "caffenet": 232,
    "vgg16": 527,
    "squeezenet-v1.0": 4.76,
    "squeezenet-v1.1": 4.72,
    "resnet-50": 97.7,
    "hed": 56,
}

SHAPES = {
    "alexnet": {"norm1": (1, 96, 55, 55), "pool5": (1, 256, 6, 6), "fc6": (1, 4096), "prob": (1, 1000)},
    "caffenet": {"norm1": (1, 96, 27, 27), "pool5": (1, 256, 6, 6), "fc8": (1, 1000), "prob": (1, 1000)},
    "rcnn-ilsvrc13": {"norm2": (1, 256, 13, 13), "fc-rcnn": (1, 200)},
    "flickr-style": {"fc8_flickr": (1, 20), "prob": (1, 20)},
    "googlenet": {
        "conv2/norm2": (1, 192, 56, 56),
        "inception_3b/output": (1, 480, 28, 28),
        "inception_4e/output": (1, 832, 14, 14),
        "inception_5b/output": (1, 1024, 7, 7),
        "pool5/7x7_s1": (1, 1024, 1, 1),
        "prob": (1, 1000),
    },
    "vgg16": {"pool5": (1, 512, 7, 7), "fc7": (1, 4096), "prob": (1, 1000)},
    "vgg19": {"conv5_4": (1, 512, 14, 14), "pool5": (1, 512, 7, 7), "prob": (1, 1000)},
    "squeezenet-v1.0": {"pool4": (1, 256, 27, 27), "conv10": (1, 1000, 15, 15), "prob": (1, 1000, 1, 1)},
    "squeezenet-v1.1": {"pool3": (1, 128, 28, 28), "conv10": (1, 1000, 14, 14), "prob": (1, 1000, 1, 1)},
    "resnet-50": {"pool1": (1, 64, 56, 56), "res3d": (1, 512, 28, 28), "res5c": (1, 2048, 7, 7), "prob": (1, 1000)},
    "resnet-101": {"res3b3": (1, 512, 28, 28), "res4b22": (1, 1024, 14, 14), "prob": (1, 1000)},
    "resnet-152": {"res3b7": (1, 512, 28, 28), "res4b35": (1, 1024, 14, 14), "prob": (1, 1000)},
    "hed": {"conv1_2": (1, 64, 568, 568), "score-dsn5": (1, 1, 36, 36), "sigmoid-fuse": (1, 1, 500, 500)},
    "ssd300-voc": {"mbox_priorbox": (1, 2, 4 * 8732), "mbox_conf_softmax": (1, 8732, 21), "fc7": (1, 1024, 19, 19)},
}

# A layer with blobs of each kind, and their shapes in the caffemodel.
BLOBS = {
    "alexnet": {"conv2": [(256, 48, 5, 5), (256,)], "fc6": [(4096, 9216), (4096,)], "fc8": [(1000, 4096), (1000,)]},
    "googlenet": {"inception_4a/5x5": [(48, 16, 5, 5), (48,)], "loss3/classifier": [(1000, 1024), (1000,)]},
    "squeezenet-v1.1": {"fire9/expand3x3": [(256, 64, 3, 3), (256,)], "conv1": [(64, 3, 3, 3), (64,)]},
    "resnet-50": {"conv1": [(64, 3, 7, 7), (64,)], "bn2a_branch1": [(256,), (256,), (1,)]},
    "resnet-101": {"conv1": [(64, 3, 7, 7)], "scale4b22_branch2c": [(1024,), (1024,)]},
    "resnet-152": {"res4b35_branch2b": [(256, 256, 3, 3)], "fc1000": [(1000, 2048), (1000,)]},
    "hed": {"upsample_16": [(1, 1, 32, 32), (1,)], "new-score-weighting": [(1, 5, 1, 1), (1,)]},
}


@cache
def analysed(name: str) -> Analysed:
    found = find_definition(f"{name}/{catalogue.DEPLOY}")
    assert found is not None
    return analyse(open_source(found), Options())


def blobs(net: Analysed) -> dict[str, list[tuple[int, ...]]]:
    found = {}
    for node in net.graph.nodes:
        shapes = [net.shapes[value] for value in node.bottoms]
        if specs := node.layer.blobs(*shapes):
            found[node.name] = [tuple(spec.shape) for spec in specs]
    return found


def numbers(net: Analysed, but: str = "") -> int:
    types = {node.name: node.type for node in net.graph.nodes}
    return sum(sum(map(prod, shapes)) for name, shapes in blobs(net).items() if types[name] != but)


def test_all_of_them_are_here() -> None:
    assert set(catalogue.DEPLOYED) == set(LEARNT) == set(SHAPES)
    assert set(FILES) | set(BLOBS) <= set(LEARNT)


@pytest.mark.parametrize("name", LEARNT)
def test_as_many_numbers_as_were_published(name: str) -> None:
    assert numbers(analysed(name), but="BatchNorm") == LEARNT[name]


@pytest.mark.parametrize("name", FILES)
def test_as_large_as_the_published_file(name: str) -> None:
    """To the digits in which its size is stated; names and lengths take some kilobytes."""
    size = numbers(analysed(name)) * 4 / 2**20
    assert size == pytest.approx(FILES[name], abs=1 if FILES[name] > 100 else 0.15)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_blobs(name: str) -> None:
    net = analysed(name)
    found = {value.blob: tuple(net.shapes[value]) for value in net.graph.values()}
    assert {blob: found[blob] for blob in SHAPES[name]} == SHAPES[name]
    assert not net.problems


@pytest.mark.parametrize("name", BLOBS)
def test_shapes_of_weights(name: str) -> None:
    found = blobs(analysed(name))
    assert {layer: found[layer] for layer in BLOBS[name]} == BLOBS[name]


def test_the_crops_of_hed() -> None:
    """By hand: the border of 35 less the kernel's radius, and half of what each upsampling kernel overhangs."""
    net = catalogue.network("hed/deploy.prototxt")
    crops = [layer for layer in net.all("layer") if layer.get("type") == "Crop"]
    offsets = [layer.get("crop_param").all("offset") for layer in crops]
    assert offsets == [(34,), (35,), (36,), (38,), (42,)]
    assert all(report.status == "ok" for report in analysed("hed").reports)


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_same_layers_as_the_published_definition(name: str, shared: Path) -> None:
    """The file that has VGG-19 ends before its connected layers; SSD's draws on its image, which is a bottom there."""
    ours = analysed(name)
    shape = tuple(ours.shapes[ours.graph.inputs[0].value])
    published = layers(analyse(open_source(shared / "corpus" / ORIGINALS[name]), Options(shapes={"data": shape})))
    assert layers(ours)[: len(published)] == published
    assert len(published) == len(layers(ours)) or (name, published[-1][0]) == ("vgg19", "pool5")


def layers(net: Analysed) -> list[tuple[object, ...]]:
    """Names, types, parameters but for how weights begin, and the blobs with their shapes."""
    return [
        (
            node.name,
            node.type,
            {key: value for key, value in parameters(node.layer) if not key.endswith("_filler")},
            [value.blob for value in node.bottoms[: 3 if node.type == "DetectionOutput" else None]],
            [(value.blob, tuple(net.shapes[value])) for value in node.tops],
        )
        for node in net.graph.nodes
        if node.type != "Silence"
    ]


def parameters(layer: Layer) -> list[tuple[str, object]]:
    return [(field.name, getattr(layer, field.name)) for field in fields(layer)]
