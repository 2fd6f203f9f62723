"""Weights into the blobs of a net: caffemodels and our own files, by layer name as Caffe copies them.

Where a fully connected layer became a convolution (or the reverse), the same numbers in the same order are what is
meant: they are taken over in the new shape, and reported. Every other difference than axes of extent 1 is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from netcompile.caffemodel.plan import LayerSpec, Plan, match
from netcompile.caffemodel.reader import read_weights
from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import listed


@dataclass(frozen=True, slots=True)
class Copied:
    """What a file gave: layers whose blobs were copied, coercions as text, layers of the net that it lacks."""

    path: str
    layers: tuple[str, ...]
    coerced: tuple[str, ...]
    drawn: tuple[str, ...]
    unused: tuple[str, ...]


def copy_weights(path: str, layers: Sequence[LayerSpec], blobs: Mapping[Take, Tensor], needed: bool = True) -> Copied:
    """Copy a file's weights into `blobs`, whole or not at all.

    Raises NetError with everything that does not fit, and if they are `needed` where no layer has any.
    """
    model = read_weights(path)
    found = match(model, Plan((), tuple(layers)), pretrained=True).require()
    if needed and not found.blobs:
        names = listed(dict.fromkeys(layer.name for layer in model.layers if layer.blobs)) or "none"
        refuse(
            "weights-unrelated",
            f"no layer of {path} is a layer of the net",
            why=f"layers are matched by name; the file has {names[:200]}",
        )
    with torch.no_grad():
        for take, blob in found.blobs.items():
            tensor = blobs[take]
            if blob.count == tensor.numel():  # another count has only what no layer reads
                tensor.copy_(torch.from_numpy(np.array(blob.array(), np.float32)).reshape(tensor.shape))
    done = [layer.name for layer in layers if not found.blobs.keys().isdisjoint(layer.owners())]
    drawn = [layer.name for layer in layers if layer.name not in done]
    return Copied(path, tuple(dict.fromkeys(done)), found.coerced, tuple(drawn), found.unused)
