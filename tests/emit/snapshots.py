"""The modules of six nets as `netcompile build` writes them, under `expected`, to be read by people.

``python -m tests.emit.snapshots`` writes them anew; what changed is then read as any other change of code.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from netcompile.cli.main import entry

FOLDER = Path(__file__).parent / "expected"


def densenet() -> str:
    """A small DenseNet (Huang et al. 2016): three dense blocks of four layers, growth 8, in the original's names."""
    text = 'name: "DenseNet"\n' + _layer(
        "Input", "data", "", "input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }"
    )
    text += _convolution("conv1", "data", 16, 7, 3, 2) + _normalised("conv1", "conv1")
    text += _layer("Pooling", "pool1", "conv1/bn", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }")
    before = "pool1"
    width = 16
    for block in range(2, 5):
        for layer in range(1, 5):
            name = f"conv{block}_{layer}"
            text += _normalised(f"{name}/x1", before) + _convolution(f"{name}/x1", f"{name}/x1/bn", 32, 1, 0)
            text += _normalised(f"{name}/x2", f"{name}/x1") + _convolution(f"{name}/x2", f"{name}/x2/bn", 8, 3, 1)
            text += _layer("Concat", f"concat_{block}_{layer}", f"{before} {name}/x2")
            before, width = f"concat_{block}_{layer}", width + 8
        name = f"conv{block}_blk"
        text += _normalised(name, before)
        before = f"{name}/bn"
        if block < 4:
            width //= 2
            text += _convolution(name, before, width, 1, 0)
            text += _layer("Pooling", f"pool{block}", name, "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
            before = f"pool{block}"
    text += _layer("Pooling", "pool5", before, "pooling_param { pool: AVE global_pooling: true }")
    text += _convolution("fc6", "pool5", 10, 1, 0, bias=True)
    return text + _layer("Softmax", "prob", "fc6")


def _layer(kind: str, name: str, bottoms: str, more: str = "", top: str = "") -> str:
    read = " ".join(f'bottom: "{each}"' for each in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {more} }}\n'


def _convolution(name: str, bottom: str, width: int, kernel: int, pad: int, stride: int = 1, bias: bool = False) -> str:
    numbers = f"num_output: {width} kernel_size: {kernel} pad: {pad} stride: {stride} bias_term: {str(bias).lower()}"
    return _layer("Convolution", name, bottom, f"convolution_param {{ {numbers} }}")


def _normalised(name: str, bottom: str) -> str:
    top = f"{name}/bn"
    return (
        _layer("BatchNorm", top, bottom, "batch_norm_param { eps: 1e-5 }")
        + _layer("Scale", f"{name}/scale", top, "scale_param { bias_term: true }", top)
        + _layer("ReLU", f"{name}/relu", top, top=top)
    )


NETS = {
    "resnet_50": "resnet-50/deploy.prototxt",
    "googlenet": "googlenet/deploy.prototxt",
    "squeezenet_v1_1": "squeezenet-v1.1/deploy.prototxt",
    "ssd300_voc": "ssd300-voc/deploy.prototxt",
    "voc_fcn8s": "voc-fcn8s/deploy.prototxt",
    "densenet": densenet,
}


def module(name: str, folder: Path) -> str:
    """The module that `build` writes for one of the nets; `folder` is an empty one for it."""
    net = NETS[name]
    if callable(net):
        path = folder / name / f"{name}.prototxt"
        path.parent.mkdir()
        path.write_text(net())
        net = str(path)
    assert entry(["build", net, "-q", "-o", str(folder / "build")]) == 0
    (written,) = (folder / "build").glob("*.py")
    return written.read_text(encoding="utf-8")


def main() -> int:
    """Write the modules, and say which of them are other ones than before."""
    FOLDER.mkdir(exist_ok=True)
    for name in NETS:
        with tempfile.TemporaryDirectory() as place:
            text, path = module(name, Path(place)), FOLDER / f"{name}.py"
        changed = not path.exists() or path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        print(f"{'changed' if changed else 'as before'}: {path.name}, {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
