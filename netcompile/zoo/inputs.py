"""The data layers of the FCN family: Python layers of its own repository, one per data set.

`param_str` is a dictionary as text, its keys in the order of the published files.
"""

from __future__ import annotations

from typing import Any

from netcompile.spec import layers as L

SEED = 1337
MEAN_BGR = (104.00699, 116.66877, 122.67892)


def voc(split: str, data: str) -> Any:
    """PASCAL VOC, `data` the folder of data sets: SBD to train, what is left of VOC 2011 to validate."""
    if split == "train":
        layer, folder = "SBDDSegDataLayer", {"sbdd_dir": f"{data}/sbdd/dataset"}
    else:
        layer, folder, split = "VOCSegDataLayer", {"voc_dir": f"{data}/pascal/VOC2011"}, "seg11valid"
    return _python("voc_layers", layer, 2, {**folder, "seed": SEED, "split": split, "mean": MEAN_BGR})


def nyud(split: str, *tops: str) -> Any:
    """NYUDv2: some of color, depth and hha, then the label."""
    wanted = [*tops, "label"]
    params = {"tops": wanted, "seed": SEED, "nyud_dir": "../data/nyud", "split": split}
    return _python("nyud_layers", "NYUDSegDataLayer", len(wanted), params)


def siftflow(split: str) -> Any:
    """SIFT Flow: image, semantic label, geometric label."""
    params = {"siftflow_dir": "../data/sift-flow", "seed": SEED, "split": split}
    return _python("siftflow_layers", "SIFTFlowSegDataLayer", 3, params)


def pascalcontext(split: str) -> Any:
    """PASCAL-Context: image, label."""
    folder = "../../data/pascal"
    params = {"context_dir": f"{folder}-context", "seed": SEED, "split": split, "voc_dir": folder}
    return _python("pascalcontext_layers", "PASCALContextSegDataLayer", 2, params)


def image() -> Any:
    """An input without data set, for deployment."""
    return L.Input(name="input", shape={"dim": [1, 3, 500, 500]})


def _python(module: str, layer: str, ntop: int, params: dict[str, Any]) -> Any:
    return L.Python(module=module, layer=layer, ntop=ntop, param_str=str(params))
