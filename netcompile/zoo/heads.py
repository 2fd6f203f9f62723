"""From features to a score for every pixel: 1×1 scores, fixed upsampling, skips, and aligned crops."""

from __future__ import annotations

from collections.abc import Mapping

from netcompile.spec import NetSpec, Top
from netcompile.spec import layers as L
from netcompile.spec import params as P
from netcompile.spec.coord_map import crop
from netcompile.zoo.trunks import LEARNT

FIXED = [{"lr_mult": 0}]
STRIDE = 32  # of the trunk, and so of the coarsest scores


def score(features: Top, classes: int) -> Top:
    """One score per class and position."""
    top: Top = L.Convolution(features, num_output=classes, kernel_size=1, pad=0, param=LEARNT)
    return top


def upsample(coarse: Top, classes: int, factor: int, kernel: int = 0) -> Top:
    """`factor` times the resolution, by fixed (bilinear) kernels, twice the factor wide unless told."""
    top: Top = L.Deconvolution(
        coarse,
        param=FIXED,
        convolution_param={
            "num_output": classes,
            "kernel_size": kernel or 2 * factor,
            "stride": factor,
            "bias_term": False,
        },
    )
    return top


def skip_scores(
    n: NetSpec,
    coarse: Top,
    classes: int,
    image: Top,
    skips: tuple[str, ...] = (),
    suffix: str = "",
    scales: Mapping[str, float] | None = None,
    kernel: int = 0,
) -> Top:
    """`score`, aligned with `image`, from the `coarse` scores at stride 32 and one refinement per skip.

    Each skip doubles the resolution: the scores so far are upsampled by two, and the skip's own scores,
    cropped to them, are added. FCN-32s has no skip, FCN-16s pool4, FCN-8s pool4 and pool3. `scales`
    multiplies a skip's features before they are scored.
    """
    below, upscore = coarse, "upscore2"
    for pool in skips:
        refined = n[upscore + suffix] = upsample(below, classes, 2)
        features = n[pool]
        if scales:
            features = n[f"scale_{pool}"] = L.Scale(
                features, filler={"type": "constant", "value": scales[pool]}, param=FIXED
            )
        finer = n[f"score_{pool}{suffix}"] = score(features, classes)
        aligned = n[f"score_{pool}{suffix}c"] = crop(finer, refined)
        below = n[f"fuse_{pool}{suffix}"] = L.Eltwise(refined, aligned, operation=P.Eltwise.SUM)
        upscore = f"upscore_{pool}"
    factor = STRIDE >> len(skips)
    full = n[f"upscore{factor if skips else ''}{suffix}"] = upsample(below, classes, factor, kernel)
    aligned = n[f"score{suffix}"] = crop(full, image)
    return aligned


def loss(scores: Top, label: Top, normalize: bool = False) -> Top:
    """Softmax loss over the pixels that have a label; FCN sums it over them instead of averaging."""
    top: Top = L.SoftmaxWithLoss(scores, label, loss_param={"ignore_label": 255, "normalize": normalize})
    return top
