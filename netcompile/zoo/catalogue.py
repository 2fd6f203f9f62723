"""Every bundled network that is written from a specification, and the files that hold it.

The FCN family is in the files in which it was published; of other nets there is what their weights are used with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from netcompile.prototxt.message import Message
from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P
from netcompile.zoo import classifiers, detectors, edges, heads, inputs, trunks

FCN32S: tuple[str, ...] = ()
FCN16S = ("pool4",)
FCN8S = ("pool4", "pool3")

# FCN-8s at once is trained in one stage: its skips start small, and grow with their learning rate.
AT_ONCE = {"pool4": 0.01, "pool3": 0.0001}

VOC, NYUD, CONTEXT, SIFT_SEMANTIC, SIFT_GEOMETRIC = 21, 40, 60, 33, 3


def voc(
    split: str, skips: tuple[str, ...], data: str = "../data", scales: Mapping[str, float] | None = None
) -> NetSpec:
    """PASCAL VOC; for split "deploy" a plain input, no dropout and no loss."""
    n = NetSpec()
    deployed = split == "deploy"
    if deployed:
        n.data = inputs.image()
    else:
        n.data, n.label = inputs.voc(split, data)
    trunks.vgg16(n, n.data, dropout=not deployed)
    return _scored(n, VOC, n.data, None if deployed else n.label, skips, scales=scales)


def voc_alexnet(split: str) -> NetSpec:
    """PASCAL VOC on AlexNet; its upsampling kernel is 63 wide, and its loss an average."""
    n = NetSpec()
    n.data, n.label = inputs.voc(split, "../data")
    trunks.alexnet(n, n.data)
    return _scored(n, VOC, n.data, n.label, normalize=True, kernel=63)


def pascalcontext(split: str, skips: tuple[str, ...]) -> NetSpec:
    n = NetSpec()
    n.data, n.label = inputs.pascalcontext(split)
    trunks.vgg16(n, n.data)
    return _scored(n, CONTEXT, n.data, n.label, skips)


def siftflow(split: str, skips: tuple[str, ...]) -> NetSpec:
    """SIFT Flow: one trunk, two heads, of semantic and of geometric classes."""
    n = NetSpec()
    n.data, n.sem, n.geo = inputs.siftflow(split)
    trunks.vgg16(n, n.data)
    for suffix, classes, label, loss in (
        ("_sem", SIFT_SEMANTIC, n.sem, "loss"),
        ("_geo", SIFT_GEOMETRIC, n.geo, "loss_geo"),
    ):
        coarse = n[f"score_fr{suffix}"] = heads.score(_features(n), classes)
        n[loss] = heads.loss(heads.skip_scores(n, coarse, classes, n.data, skips, suffix), label)
    return n


def nyud(split: str, modality: str) -> NetSpec:
    """NYUDv2 on one modality: color, or hha (depth as height, angle and disparity)."""
    n = NetSpec()
    n.data, n.label = inputs.nyud(split, modality)
    trunks.vgg16(n, n.data)
    return _scored(n, NYUD, n.data, n.label)


def nyud_color_d(split: str) -> NetSpec:
    """NYUDv2, early fusion: depth as a fourth channel, which asks for another first convolution."""
    n = NetSpec()
    n.color, n.depth, n.label = inputs.nyud(split, "color", "depth")
    n.data = L.Concat(n.color, n.depth)
    trunks.vgg16(n, n.data, first="conv1_1_bgrd")
    return _scored(n, NYUD, n.data, n.label)


def nyud_color_hha(split: str) -> NetSpec:
    """NYUDv2, late fusion: a network for each modality, their coarse scores averaged."""
    n = NetSpec()
    n.color, n.hha, n.label = inputs.nyud(split, "color", "hha")
    for modality in ("color", "hha"):
        trunks.vgg16(n, n[modality], suffix=modality)
        n[f"score_fr{modality}"] = heads.score(_features(n, modality), NYUD)
    n.score_fused = L.Eltwise(n.score_frcolor, n.score_frhha, operation=P.Eltwise.SUM, coeff=[0.5, 0.5])
    n.loss = heads.loss(heads.skip_scores(n, n.score_fused, NYUD, n.color), n.label)
    return n


def _scored(
    n: NetSpec,
    classes: int,
    image: Top,
    label: Top | None,
    skips: tuple[str, ...] = (),
    normalize: bool = False,
    **options: Any,
) -> NetSpec:
    """The network with scores of its trunk, and a loss where there is a label; `options` are `skip_scores`'s."""
    n.score_fr = heads.score(_features(n), classes)
    scores = heads.skip_scores(n, n.score_fr, classes, image, skips, **options)
    if label is not None:
        n.loss = heads.loss(scores, label, normalize)
    return n


def _features(n: NetSpec, suffix: str = "") -> Top:
    """The trunk's last top: behind dropout where there is one."""
    name = f"drop7{suffix}" if f"drop7{suffix}" in n else f"relu7{suffix}"
    top: Top = n[name]
    return top


# Folder: the files in it, and the network for each. Those of VOC's FCN-16s keep their data one folder further up.
NETS: dict[str, tuple[tuple[str, ...], Callable[[str], NetSpec]]] = {
    "voc-fcn32s": (("train", "val"), partial(voc, skips=FCN32S)),
    "voc-fcn16s": (("train", "val"), partial(voc, skips=FCN16S, data="../../data")),
    "voc-fcn8s": (("train", "val", "deploy"), partial(voc, skips=FCN8S)),
    "voc-fcn8s-atonce": (("train", "val"), partial(voc, skips=FCN8S, scales=AT_ONCE)),
    "voc-fcn-alexnet": (("train", "val"), voc_alexnet),
    "nyud-fcn32s-color": (("trainval", "test"), partial(nyud, modality="color")),
    "nyud-fcn32s-hha": (("trainval", "test"), partial(nyud, modality="hha")),
    "nyud-fcn32s-color-d": (("trainval", "test"), nyud_color_d),
    "nyud-fcn32s-color-hha": (("trainval", "test"), nyud_color_hha),
    "siftflow-fcn32s": (("trainval", "test"), partial(siftflow, skips=FCN32S)),
    "siftflow-fcn16s": (("trainval", "test"), partial(siftflow, skips=FCN16S)),
    "siftflow-fcn8s": (("trainval", "test"), partial(siftflow, skips=FCN8S)),
    "pascalcontext-fcn32s": (("train", "val"), partial(pascalcontext, skips=FCN32S)),
    "pascalcontext-fcn16s": (("train", "val"), partial(pascalcontext, skips=FCN16S)),
    "pascalcontext-fcn8s": (("train", "val"), partial(pascalcontext, skips=FCN8S)),
}


# Nets of one file each, deploy.prototxt.
DEPLOYED: dict[str, Callable[[], NetSpec]] = {
    "alexnet": classifiers.alexnet,
    "caffenet": classifiers.caffenet,
    "rcnn-ilsvrc13": partial(classifiers.caffenet, "fc-rcnn", 200, softmax=False),
    "flickr-style": partial(classifiers.caffenet, "fc8_flickr", 20),
    "googlenet": classifiers.googlenet,
    "vgg16": partial(classifiers.vgg, trunks.VGG16),
    "vgg19": partial(classifiers.vgg, classifiers.VGG19),
    "squeezenet-v1.0": partial(classifiers.squeezenet, "1.0"),
    "squeezenet-v1.1": partial(classifiers.squeezenet, "1.1"),
    "resnet-50": partial(classifiers.resnet, 50),
    "resnet-101": partial(classifiers.resnet, 101),
    "resnet-152": partial(classifiers.resnet, 152),
    "hed": edges.hed,
    "ssd300-voc": partial(detectors.ssd300, VOC),
}
DEPLOY = "deploy.prototxt"


def family() -> tuple[str, ...]:
    """Every file of the FCN family: "voc-fcn8s/val.prototxt" and so on."""
    return tuple(f"{name}/{split}.prototxt" for name, (splits, _) in NETS.items() for split in splits)


def names() -> tuple[str, ...]:
    """Every file that a specification writes: the family's, "alexnet/deploy.prototxt" and so on."""
    return family() + tuple(f"{name}/{DEPLOY}" for name in DEPLOYED)


def network(name: str) -> Message:
    """The network of one file. Raises KeyError for a name that `names` does not list."""
    folder, _, file = name.partition("/")
    if folder in DEPLOYED and file == DEPLOY:
        return DEPLOYED[folder]().to_proto().message
    splits, build = NETS[folder]
    split = file.removesuffix(".prototxt")
    if split not in splits:
        raise KeyError(name)
    return build(split).to_proto().message
