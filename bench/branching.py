"""Nets of many branches, written out from their papers: SqueezeNet 1.1 (Iandola et al., 2016), DenseNet-121 (Huang et
al., 2017), Inception-v4 (Szegedy et al., 2017), Xception (Chollet, 2017)."""

from __future__ import annotations

from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P


def start(height: int, width: int) -> NetSpec:
    net = NetSpec()
    net.data = L.Input(input_param={"shape": {"dim": [1, 3, height, width]}})
    return net


def scaled(net: NetSpec, name: str, x: Top, in_place: bool) -> Top:
    """BatchNorm and Scale."""
    net[name + "_bn"] = L.BatchNorm(x, in_place=in_place)
    net[name + "_scale"] = L.Scale(net[name + "_bn"], scale_param={"bias_term": True}, in_place=True)
    return net[name + "_scale"]


def relu(net: NetSpec, name: str, x: Top) -> Top:
    net[name + "_relu"] = L.ReLU(x, in_place=True)
    return net[name + "_relu"]


def pool(net: NetSpec, name: str, x: Top, kernel: int = 3, stride: int = 2, pad: int = 0, mean: bool = False) -> Top:
    method = P.Pooling.AVE if mean else P.Pooling.MAX
    net[name] = L.Pooling(x, pool=method, kernel_size=kernel, stride=stride, pad=pad)
    return net[name]


def mean_of_all(net: NetSpec, x: Top) -> Top:
    net.pool = L.Pooling(x, pool=P.Pooling.AVE, global_pooling=True)
    return net.pool


def squeezenet() -> NetSpec:
    net = start(227, 227)

    def conv(name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> Top:
        net[name] = L.Convolution(x, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad)
        return relu(net, name, net[name])

    x = pool(net, "pool1", conv("conv1", net.data, 64, 3, 2))
    for index, (squeezed, expanded) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)), 2
    ):
        name = f"fire{index}"
        x = conv(f"{name}_squeeze", x, squeezed, 1)
        ways = conv(f"{name}_1x1", x, expanded, 1), conv(f"{name}_3x3", x, expanded, 3, 1, 1)
        x = net[f"{name}_concat"] = L.Concat(*ways)
        if index in (3, 5):
            x = pool(net, f"pool{index}", x)
    mean_of_all(net, conv("conv10", x, 1000, 1))
    return net


def densenet121() -> NetSpec:
    net = start(224, 224)

    def conv(name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> Top:
        net[name] = L.Convolution(x, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad, bias_term=False)
        return net[name]

    def normalised(name: str, x: Top) -> Top:
        return relu(net, name, scaled(net, name, x, in_place=False))

    x = normalised("conv1", conv("conv1", net.data, 64, 7, 2, 3))
    x, channels = pool(net, "pool1", x, 3, 2, 1), 64
    for stage, count in enumerate((6, 12, 24, 16), 2):
        for layer in range(1, count + 1):
            name = f"conv{stage}_{layer}"
            y = conv(f"{name}_x1", normalised(f"{name}_x1", x), 128, 1)
            y = conv(f"{name}_x2", normalised(f"{name}_x2", y), 32, 3, 1, 1)
            x = net[f"concat_{stage}_{layer}"] = L.Concat(x, y)
            channels += 32
        x = normalised(f"conv{stage}_blk", x)
        if stage < 5:
            channels //= 2
            x = pool(net, f"pool{stage}", conv(f"conv{stage}_blk", x, channels, 1), 2, 2, mean=True)
    net.fc6 = L.Convolution(mean_of_all(net, x), num_output=1000, kernel_size=1)
    return net


def inception_v4() -> NetSpec:
    net = start(299, 299)
    made = iter(range(1000))

    def conv(x: Top, outputs: int, kernel: int | tuple[int, int], stride: int = 1, same: bool = True) -> Top:
        name = f"conv{next(made)}"
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = (height // 2, width // 2) if same else (0, 0)
        size = {"kernel_h": height, "kernel_w": width, "pad_h": pads[0], "pad_w": pads[1]}
        net[name] = L.Convolution(x, num_output=outputs, stride=stride, bias_term=False, **size)
        return relu(net, name, scaled(net, name, net[name], in_place=True))

    def mean(x: Top) -> Top:
        return pool(net, f"pool{next(made)}", x, 3, 1, 1, mean=True)

    def reduced(x: Top) -> Top:
        return pool(net, f"pool{next(made)}", x, 3, 2)

    def joined(*ways: Top) -> Top:
        name = f"concat{next(made)}"
        net[name] = L.Concat(*ways)
        return net[name]

    x = conv(conv(conv(net.data, 32, 3, 2, False), 32, 3, 1, False), 64, 3)
    x = joined(reduced(x), conv(x, 96, 3, 2, False))
    x = joined(
        conv(conv(x, 64, 1), 96, 3, 1, False),
        conv(conv(conv(conv(x, 64, 1), 64, (1, 7)), 64, (7, 1)), 96, 3, 1, False),
    )
    x = joined(conv(x, 192, 3, 2, False), reduced(x))
    for _ in range(4):
        x = joined(
            conv(mean(x), 96, 1), conv(x, 96, 1), conv(conv(x, 64, 1), 96, 3), conv(conv(conv(x, 64, 1), 96, 3), 96, 3)
        )
    x = joined(reduced(x), conv(x, 384, 3, 2, False), conv(conv(conv(x, 192, 1), 224, 3), 256, 3, 2, False))
    for _ in range(7):
        double = conv(conv(conv(x, 192, 1), 192, (7, 1)), 224, (1, 7))
        x = joined(
            conv(mean(x), 128, 1),
            conv(x, 384, 1),
            conv(conv(conv(x, 192, 1), 224, (1, 7)), 256, (7, 1)),
            conv(conv(double, 224, (7, 1)), 256, (1, 7)),
        )
    x = joined(
        reduced(x),
        conv(conv(x, 192, 1), 192, 3, 2, False),
        conv(conv(conv(conv(x, 256, 1), 256, (1, 7)), 320, (7, 1)), 320, 3, 2, False),
    )
    for _ in range(3):
        two, four = conv(x, 384, 1), conv(conv(conv(x, 384, 1), 448, (3, 1)), 512, (1, 3))
        x = joined(
            conv(mean(x), 256, 1),
            conv(x, 256, 1),
            conv(two, 256, (1, 3)),
            conv(two, 256, (3, 1)),
            conv(four, 256, (1, 3)),
            conv(four, 256, (3, 1)),
        )
    net.fc = L.InnerProduct(mean_of_all(net, x), num_output=1000)
    return net


def xception() -> NetSpec:
    net = start(299, 299)

    def conv(name: str, x: Top, outputs: int, kernel: int, stride: int = 1, pad: int = 0) -> Top:
        net[name] = L.Convolution(x, num_output=outputs, kernel_size=kernel, stride=stride, pad=pad, bias_term=False)
        return scaled(net, name, net[name], in_place=True)

    def separable(name: str, x: Top, inputs: int, outputs: int) -> Top:
        net[name + "_depth"] = L.Convolution(x, num_output=inputs, group=inputs, kernel_size=3, pad=1, bias_term=False)
        return conv(name, net[name + "_depth"], outputs, 1)

    def lead(name: str, x: Top) -> Top:
        """A ReLU whose bottom something else reads as well."""
        net[name + "_lead"] = L.ReLU(x)
        return net[name + "_lead"]

    x = relu(net, "conv1", conv("conv1", net.data, 32, 3, 2))
    x = relu(net, "conv2", conv("conv2", x, 64, 3))
    inputs = 64
    for index, outputs in enumerate((128, 256, 728), 2):
        name = f"block{index}"
        y = separable(f"{name}_a", x if index == 2 else lead(name, x), inputs, outputs)
        y = separable(f"{name}_b", relu(net, f"{name}_a", y), outputs, outputs)
        way = conv(f"{name}_way", x, outputs, 1, 2)
        x = net[name] = L.Eltwise(pool(net, f"{name}_pool", y, 3, 2, index % 2 ^ 1), way)
        inputs = outputs
    for index in range(5, 13):
        name, y = f"block{index}", lead(f"block{index}", x)
        for half in "abc":
            y = separable(f"{name}_{half}", y, 728, 728)
            y = y if half == "c" else relu(net, f"{name}_{half}", y)
        x = net[name] = L.Eltwise(y, x)
    y = separable("block13_a", lead("block13", x), 728, 728)
    y = separable("block13_b", relu(net, "block13_a", y), 728, 1024)
    x = net.block13 = L.Eltwise(pool(net, "block13_pool", y, 3, 2, 1), conv("block13_way", x, 1024, 1, 2))
    x = relu(net, "block14_a", separable("block14_a", x, 1024, 1536))
    x = relu(net, "block14_b", separable("block14_b", x, 1536, 2048))
    net.fc = L.InnerProduct(mean_of_all(net, x), num_output=1000)
    return net
