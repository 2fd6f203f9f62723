"""Exact algebra of blobs: their extents (`Size`, `NSet`) and where their pixels lie (`AxisMap`).

Pure Python, knows nothing of nets, and answers for every input extent at once.

>>> H = Size.variable("H")
>>> pool1 = pool_size(conv_size(H, kernel=3, pad=100), kernel=2, stride=2)
>>> print(pool1, "or", pool1.when_divisible(), "at 500:", pool1.at(500))
⌈(H+198)/2⌉ or H/2 + 99 at 500: 349
>>> upsampled = deconv_size(pool1, kernel=4, stride=2)
>>> slack = crop_slack(upsampled, H, offset=100)
>>> print(slack, "from", slack.minimum(), "to", slack.maximum())
2⌈H/2⌉ - H + 100 from 100 to 101
>>> print(slack.where_at_least(0).describe("H"))
every H >= 1
>>> a = AxisMap.window(3, pad=100).compose(AxisMap.window(2, 2)).compose(AxisMap.deconvolution(4, 2))
>>> print(a, "so crop at", crop_offset(a, AxisMap.identity()))
stride 1, offset -100 so crop at 100
"""

from netcompile.algebra.coords import (
    AxisMap,
    StrideMismatch,
    compose_fp,
    compose_fp_list,
    crop_offset,
    filter_map,
    inv_fp,
)
from netcompile.algebra.nset import NSet, SizeTooComplex
from netcompile.algebra.size import Size, conv_size, crop_slack, deconv_size, pool_size

__all__ = [
    "AxisMap",
    "NSet",
    "Size",
    "SizeTooComplex",
    "StrideMismatch",
    "compose_fp",
    "compose_fp_list",
    "conv_size",
    "crop_offset",
    "crop_slack",
    "deconv_size",
    "filter_map",
    "inv_fp",
    "pool_size",
]
