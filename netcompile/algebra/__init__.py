"""Exact algebra of blobs: their extents (`Size`, `NSet`) and where their pixels lie (`AxisMap`).

Pure Python, knows nothing of nets, and answers for every input extent at once.
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
