"""Nets of other shapes than FCN's, written out from their papers: what -O2 must not slow down.

VGG-16 (Simonyan and Zisserman, 2015), ResNet-50 (He et al., 2016), GoogLeNet (Szegedy et al., 2015), HED (Xie and Tu,
2015), U-Net (Ronneberger et al., 2015, with the padding that most who use it add), SegNet (Badrinarayanan et al., 2017,
its VGG-16 encoder and decoder with Deconvolutions in place of the fork's Upsample).
"""

from __future__ import annotations

from collections.abc import Callable

from bench.branching import densenet121, inception_v4, squeezenet, xception
from netcompile.spec import NetSpec, Top, coord_map
from netcompile.spec import layers as L
from netcompile.spec import params as P


def start(height: int, width: int) -> NetSpec:
    net = NetSpec()
    net.data = L.Input(input_param={"shape": {"dim": [1, 3, height, width]}})
    return net


def relu(x: Top) -> Top:
    return L.ReLU(x, in_place=True)


def conv(net: NetSpec, name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> Top:
    net[name] = L.Convolution(x, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad)
    net[name + "_relu"] = relu(net[name])
    return net[name + "_relu"]


def pool(net: NetSpec, name: str, x: Top, kernel: int = 2, stride: int = 2, pad: int = 0) -> Top:
    net[name] = L.Pooling(x, pool=P.Pooling.MAX, kernel_size=kernel, stride=stride, pad=pad)
    return net[name]


def vgg(net: NetSpec, x: Top, first_pad: int = 1) -> list[Top]:
    """VGG-16's thirteen convolutions; the last top of each of the five stages."""
    ends = []
    for stage, (outputs, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for layer in range(1, count + 1):
            pad = first_pad if (stage, layer) == (1, 1) else 1
            x = conv(net, f"conv{stage}_{layer}", x, outputs, 3, 1, pad)
        ends.append(x)
        x = pool(net, f"pool{stage}", x) if stage < 5 else x
    return ends


def vgg16() -> NetSpec:
    net = start(224, 224)
    x = pool(net, "pool5", vgg(net, net.data)[-1])
    for name, outputs in (("fc6", 4096), ("fc7", 4096)):
        net[name] = L.InnerProduct(x, num_output=outputs)
        x = net[name + "_relu"] = relu(net[name])
    net.fc8 = L.InnerProduct(x, num_output=1000)
    return net


def hed() -> NetSpec:
    net = start(321, 481)
    sides = []
    for stage, x in enumerate(vgg(net, net.data, first_pad=35), 1):
        factor = 2 ** (stage - 1)
        net[f"score{stage}"] = L.Convolution(x, num_output=1, kernel_size=1)
        up = net[f"score{stage}"]
        if factor > 1:
            up = net[f"up{stage}"] = L.Deconvolution(
                up, convolution_param={"num_output": 1, "kernel_size": 2 * factor, "stride": factor}
            )
        net[f"side{stage}"] = coord_map.crop(up, net.data)
        sides.append(net[f"side{stage}"])
    net.joined = L.Concat(*sides)
    net.fused = L.Convolution(net.joined, num_output=1, kernel_size=1)
    net.edges = L.Sigmoid(net.fused)
    return net


def resnet50() -> NetSpec:
    net = start(224, 224)

    def unit(name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0, last: bool = False) -> Top:
        net[name] = L.Convolution(x, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad, bias_term=False)
        net[name + "_bn"] = L.BatchNorm(net[name], in_place=True)
        x = net[name + "_scale"] = L.Scale(net[name + "_bn"], scale_param={"bias_term": True}, in_place=True)
        if not last:
            x = net[name + "_relu"] = relu(x)
        return x

    x = pool(net, "pool1", unit("conv1", net.data, 64, 7, 2, 3), 3, 2)
    for stage, (outputs, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for block in range(count):
            name, stride = f"res{stage}{'abcdef'[block]}", 2 if block == 0 and stage > 2 else 1
            way = unit(name + "_branch1", x, 4 * outputs, 1, stride, last=True) if block == 0 else x
            y = unit(name + "_branch2a", x, outputs, 1, stride)
            y = unit(name + "_branch2b", y, outputs, 3, 1, 1)
            y = unit(name + "_branch2c", y, 4 * outputs, 1, last=True)
            net[name] = L.Eltwise(way, y)
            x = net[name + "_relu"] = relu(net[name])
    net.pool5 = L.Pooling(x, pool=P.Pooling.AVE, global_pooling=True)
    net.fc1000 = L.InnerProduct(net.pool5, num_output=1000)
    return net


def googlenet() -> NetSpec:
    net = start(224, 224)
    x = pool(net, "pool1", conv(net, "conv1", net.data, 64, 7, 2, 3), 3)
    net.norm1 = L.LRN(x, local_size=5, alpha=1e-4, beta=0.75)
    x = conv(net, "conv2", conv(net, "conv2_reduce", net.norm1, 64, 1), 192, 3, 1, 1)
    net.norm2 = L.LRN(x, local_size=5, alpha=1e-4, beta=0.75)
    x = pool(net, "pool2", net.norm2, 3)
    sizes = {
        "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
    }  # fmt: skip
    for name, (one, three_in, three, five_in, five, projected) in sizes.items():
        ways = (
            conv(net, f"i{name}_1", x, one, 1),
            conv(net, f"i{name}_3", conv(net, f"i{name}_3r", x, three_in, 1), three, 3, 1, 1),
            conv(net, f"i{name}_5", conv(net, f"i{name}_5r", x, five_in, 1), five, 5, 1, 2),
            conv(net, f"i{name}_p", pool(net, f"i{name}_pool", x, 3, 1, 1), projected, 1),
        )
        x = net[f"i{name}"] = L.Concat(*ways)
        if name in ("3b", "4e"):
            x = pool(net, f"pool_{name}", x, 3)
    net.pool5 = L.Pooling(x, pool=P.Pooling.AVE, global_pooling=True)
    net.fc = L.InnerProduct(net.pool5, num_output=1000)
    return net


def unet() -> NetSpec:
    net = start(256, 256)
    x, skips = net.data, []
    for depth, outputs in enumerate((64, 128, 256, 512, 1024), 1):
        for half in "ab":
            x = conv(net, f"down{depth}{half}", x, outputs, 3, 1, 1)
        if depth < 5:
            skips.append(x)
            x = pool(net, f"pool{depth}", x)
    for depth, outputs in enumerate((512, 256, 128, 64), 1):
        net[f"up{depth}"] = L.Deconvolution(x, convolution_param={"num_output": outputs, "kernel_size": 2, "stride": 2})
        x = net[f"joined{depth}"] = L.Concat(skips.pop(), net[f"up{depth}"])
        for half in "ab":
            x = conv(net, f"up{depth}{half}", x, outputs, 3, 1, 1)
    net.score = L.Convolution(x, num_output=2, kernel_size=1)
    return net


def segnet() -> NetSpec:
    net = start(224, 224)
    x = pool(net, "pool5", vgg(net, net.data)[-1])
    for stage, (outputs, count) in enumerate(((512, 3), (256, 3), (128, 3), (64, 2), (64, 1)), 1):
        channels = (512, 512, 256, 128, 64)[stage - 1]
        net[f"up{stage}"] = L.Deconvolution(
            x,
            convolution_param={
                "num_output": channels, "group": channels, "kernel_size": 2, "stride": 2, "bias_term": False,
            },
        )  # fmt: skip
        x = net[f"up{stage}"]
        for layer in range(1, count + 1):
            name, last = f"decoder{stage}_{layer}", layer == count
            x = conv(net, name, x, outputs if last else channels, 3, 1, 1)
    net.score = L.Convolution(x, num_output=11, kernel_size=3, pad=1)
    return net


# How each is made, and the height and width of its input.
NETS: dict[str, tuple[Callable[[], NetSpec], str]] = {
    "VGG-16": (vgg16, "224x224"),
    "ResNet-50": (resnet50, "224x224"),
    "GoogLeNet": (googlenet, "224x224"),
    "HED": (hed, "321x481"),
    "U-Net": (unet, "256x256"),
    "SegNet": (segnet, "224x224"),
    "SqueezeNet 1.1": (squeezenet, "227x227"),
    "DenseNet-121": (densenet121, "224x224"),
    "Inception-v4": (inception_v4, "299x299"),
    "Xception": (xception, "299x299"),
}
