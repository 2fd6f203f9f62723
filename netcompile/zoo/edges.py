"""HED, holistically-nested edges: VGG-16's convolutions, an edge map of each stage, and their weighted sum."""

from __future__ import annotations

from netcompile.spec import NetSpec
from netcompile.spec import layers as L
from netcompile.spec import params as P
from netcompile.spec.coord_map import crop
from netcompile.zoo.trunks import VGG16

BORDER = 35  # its padding of the image: enough for the kernels of the last stage


def hed() -> NetSpec:
    """Five side outputs and their fusion, each a probability a pixel.

    Published with Crop layers that declare no offset, for a fork that aligned them by itself; here they are computed.
    """
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 500, 500]})
    below, ends = n.data, []
    for stage, (convolutions, channels) in enumerate(VGG16, start=1):
        for index in range(1, convolutions + 1):
            pad = BORDER if (stage, index) == (1, 1) else 1
            conv = n[f"conv{stage}_{index}"] = L.Convolution(below, num_output=channels, kernel_size=3, pad=pad)
            below = n[f"relu{stage}_{index}"] = L.ReLU(conv, in_place=True)
        ends.append(below)
        if stage < len(VGG16):
            below = n[f"pool{stage}"] = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    for side, end in enumerate(ends, start=1):
        score = L.Convolution(end, num_output=1, kernel_size=1, name=f"score-dsn{side}")
        if side == 1:
            full = n["score-dsn1-up"] = score
        else:
            n[f"score-dsn{side}"], factor = score, 1 << (side - 1)
            full = n[f"score-dsn{side}-up"] = L.Deconvolution(
                score,
                name=f"upsample_{factor}",
                convolution_param={"num_output": 1, "kernel_size": 2 * factor, "stride": factor},
            )
        n[f"upscore-dsn{side}"] = crop(full, n.data)
        n[f"sigmoid-dsn{side}"] = L.Sigmoid(n[f"upscore-dsn{side}"])
    n["concat-upscore"] = L.Concat(*(n[f"upscore-dsn{side}"] for side in range(1, len(ends) + 1)), name="concat")
    n["upscore-fuse"] = L.Convolution(n["concat-upscore"], num_output=1, kernel_size=1, name="new-score-weighting")
    n["sigmoid-fuse"] = L.Sigmoid(n["upscore-fuse"])
    return n
