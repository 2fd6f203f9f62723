"""The commands on small nets: what they read, and what an earlier run with other settings has left in their place."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from netcompile.surgery import write_weights
from tests.download.server import gives, site

# Two nets whose modules have the same size and whose weights have the same names and shapes: only what each file says
# tells whose it is. A reader that took the module of one and the weights of the other would compute, and compute wrong.
NET = """\
name: "toy"
layer {{ name: "data" type: "Python" top: "data" top: "label"
  python_param {{ module: "m" layer: "L" param_str: "{{'mean': (10, 20, 30), 'split': 'val'}}" }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param {{ negative_slope: {slope} }} }}
layer {{ name: "score" type: "Convolution" bottom: "conv" top: "score"
  convolution_param {{ num_output: 3 kernel_size: 1 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""
TRAINED = """\
name: "learns"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 2 dim: 4 dim: 4 } shape { dim: 2 dim: 1 dim: 4 dim: 4 } } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SOLVER = """\
net: "learns.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 4 snapshot: 2 snapshot_prefix: "snap/s"
random_seed: {seed}
"""
CROPPED = """\
name: "cropped"
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 1 dim: 16 dim: 16 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 1 kernel_size: 3 pad: {pad} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "pool" top: "up"
  convolution_param {{ num_output: 1 kernel_size: 4 stride: 2 }} }}
layer {{ name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param {{ axis: 2 offset: {offset} }} }}
"""
CLASSIFIER = """\
name: "classifier"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }
"""
CLASSES = """\
name: "classes"
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "some" type: "Power" bottom: "mean" top: "some" power_param {{ scale: {scale} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "some" top: "prob" }}
"""
# Two boxes for each of two cells, whose offsets and scores are what the image is there.
BOXES = """\
name: "boxes"
layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param {{ pool: AVE kernel_h: 6 kernel_w: 4 stride_h: 6 stride_w: 4 }} }}
layer {{ name: "some" type: "Power" bottom: "mean" top: "some" power_param {{ scale: {scale} }} }}
layer {{ name: "two" type: "Slice" bottom: "some" top: "one" top: "rest" slice_param {{ slice_point: 2 }} }}
layer {{ name: "quiet" type: "Silence" bottom: "rest" }}
layer {{ name: "perm" type: "Permute" bottom: "one" top: "perm" permute_param {{ order: [0, 2, 3, 1] }} }}
layer {{ name: "resh" type: "Reshape" bottom: "perm" top: "resh" reshape_param {{ shape {{ dim: [0, -1, 2] }} }} }}
layer {{ name: "soft" type: "Softmax" bottom: "resh" top: "soft" softmax_param {{ axis: 2 }} }}
layer {{ name: "conf" type: "Flatten" bottom: "soft" top: "conf" flatten_param {{ axis: 1 }} }}
layer {{ name: "four" type: "Concat" bottom: "one" bottom: "one" top: "four" }}
layer {{ name: "where" type: "Permute" bottom: "four" top: "where" permute_param {{ order: [0, 2, 3, 1] }} }}
layer {{ name: "loc" type: "Flatten" bottom: "where" top: "loc" flatten_param {{ axis: 1 }} }}
layer {{ name: "prior" type: "PriorBox" bottom: "mean" bottom: "data" top: "prior"
  prior_box_param {{ min_size: 4 clip: true variance: [0.1, 0.1, 0.2, 0.2] }} }}
layer {{ name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "out"
  detection_output_param {{ num_classes: 2 share_location: true background_label_id: 0
    nms_param {{ nms_threshold: 0.45 }} code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: 0.1 }} }}
"""
OLD_FORMAT = """\
name: "v1"
input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4
layers { name: "r" type: RELU bottom: "data" top: "r" }
"""
SCRIPT = """\
import caffe
n = caffe.NetSpec()
n.data = caffe.layers.Input(shape=dict(dim=[1, 1, 4, 4]))
n.relu = caffe.layers.ReLU(n.data)
with open("out/net.prototxt", "w") as file:
    file.write(str(n.to_proto()))
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A command and the one before it; both run in a folder that `inputs` filled, and write to `out` in it alone.

    `group` are names of `out` that belong together: of two runs they are never seen side by side. `pieces` says that
    the command writes files that stand for themselves, some of which may be new when it fails. `codes` are exit codes
    beside 3 that tell a fault: a script's or an image's own mistake.
    """

    name: str
    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    pieces: bool = False
    codes: tuple[int, ...] = ()
    code: int = 0
    setup: Callable[[Path], None] | None = None


def inputs(folder: Path) -> None:
    """What the commands read."""
    random = np.random.RandomState(0)
    for index, slope in enumerate((0.25, 0.75)):
        (folder / f"toy{index}.prototxt").write_text(NET.format(slope=slope))
        weights = {
            "conv": (random.standard_normal((4, 3, 3, 3)).astype(np.float32), np.ones(4, np.float32)),
            "score": (random.standard_normal((3, 4, 1, 1)).astype(np.float32), np.zeros(3, np.float32)),
        }
        write_weights(folder / f"toy{index}.caffemodel", weights, "toy")
        write_weights(folder / f"toy{index}.safetensors", weights, "toy")
        write_weights(folder / f"fc{index}.caffemodel", {"fc": (np.full((3, 32), index + 1, np.float32), np.ones(3))})
        data = random.standard_normal((1, 3, 6, 8)).astype(np.float32)
        np.savez(folder / f"in{index}.npz", data=data)
        (folder / f"solver{index}.prototxt").write_text(SOLVER.format(seed=7 + index))
        _write_hdf5(folder / f"toy{index}.caffemodel.h5", weights)
        for name, net in (("classes", CLASSES), ("boxes", BOXES)):
            (folder / f"{name}{index}.prototxt").write_text(net.format(scale=0.01 * (1 + index)))
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for index in range(2):
        pixels = random.randint(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        Image.fromarray((pixels[:, :, 0] % 3).astype(np.uint8)).save(folder / "labels" / f"{index}.png")
    lines = [f"images/{index}.png labels/{index}.png\n" for index in range(2)]
    (folder / "list.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("images/0.png 1\nimages/1.png 2\n")
    (folder / "learns.prototxt").write_text(TRAINED)
    labels = random.randint(0, 3, (4, 2, 1, 4, 4)).astype(np.float32)
    np.savez(folder / "batches.npz", data=random.standard_normal((4, 2, 2, 4, 4)).astype(np.float32), label=labels)
    (folder / "cropped.prototxt").write_text(CROPPED.format(pad=3, offset=3))
    (folder / "classifier.prototxt").write_text(CLASSIFIER)
    (folder / "v1.prototxt").write_text(OLD_FORMAT)
    (folder / "script.py").write_text(SCRIPT)
    (folder / "out" / "weights").mkdir(parents=True)
    (folder / "out" / "notes.txt").write_text("not ours")


def _write_hdf5(path: Path, weights: dict[str, tuple[Any, ...]]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, blobs in weights.items():
            for index, blob in enumerate(blobs):
                file[f"data/{name}/{index}"] = blob


def _to_be_fixed(folder: Path) -> None:
    (folder / "out" / "net.prototxt").write_text(CROPPED.format(pad=3, offset=2))


def _write(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "out" / name).write_text("old\n") and None


SERVERS = ExitStack()


@cache
def _web() -> str:
    """The address of a server on the loopback address, which lives as long as this process."""
    os.environ["no_proxy"] = "127.0.0.1"
    found = SERVERS.enter_context(site())
    atexit.register(SERVERS.close)  # while its thread still runs: later, it would be waited for without end
    return found.add("/w.caffemodel", gives(PUBLISHED, tag='"one"'))


def _published(known: str) -> Callable[[Path], None]:
    """A manifest with a file on the web of which `known` is known, in whose place there is an old one."""

    def setup(folder: Path) -> None:
        row = f'name = "w"\nfile = "w.caffemodel"\nsource = "{_web()}"\n{known}'
        (folder / "m.toml").write_text(f"[[weights]]\n{row}\n")
        _write("w.caffemodel")(folder)

    return setup


PUBLISHED = bytes(range(256)) * 100
FETCH = ("fetch", "w", "--manifest", "m.toml", "-o", "out/")
BUILD = ("toy.py", "toy.safetensors", "manifest.json", "offsets.json", "report.html")
SNAPSHOT = ("snap/s_iter_2.json", "snap/s_iter_2.safetensors", "snap/s_iter_2.state.safetensors")


def _build(index: int, out: str = "out") -> tuple[str, ...]:
    return ("build", f"toy{index}.prototxt", "--weights", f"toy{index}.caffemodel", "-o", out)


def _train(index: int, *more: str) -> tuple[str, ...]:
    return ("train", f"solver{index}.prototxt", "--data", "batches.npz", "-o", "out", *more)


def _predict(index: int) -> tuple[str, ...]:
    net = (f"toy{index}.prototxt", "--weights", f"toy{index}.caffemodel")
    return ("predict", *net, "images", "-o", "out", "--softmax", "--batch", "1")


def _told(net: str, *more: str) -> tuple[str, ...]:
    return ("predict", f"{net}.prototxt", "images", "-o", "out", "--mean", "0", "--batch", "1", *more)


def _scored(index: int) -> tuple[str, ...]:
    return ("evaluate", f"classes{index}.prototxt", "--data", "classes.txt", "--mean", "0", "-o", "out")


def _evaluate(index: int) -> tuple[str, ...]:
    net = (f"toy{index}.prototxt", "--weights", f"toy{index}.caffemodel")
    return ("evaluate", *net, "--data", "list.txt", "-o", "out", "--json")


SCENARIOS = (
    Scenario("build", _build(1), _build(0), BUILD),
    Scenario("build anew", _build(1), (), BUILD),
    Scenario("convert", ("convert-weights", "toy1.caffemodel", "-o", "out/w.st"), setup=_write("w.st")),
    Scenario(
        "convert for a net",
        ("convert-weights", "toy1.caffemodel", "--net", "toy1.prototxt", "-o", "out/w.safetensors"),
        ("convert-weights", "toy0.caffemodel", "--net", "toy0.prototxt", "-o", "out/w.safetensors"),
    ),
    Scenario(
        "convert HDF5",
        ("convert-weights", "toy1.caffemodel.h5", "-o", "out/w.safetensors", "--max-memory", "1GB"),
        ("convert-weights", "toy0.caffemodel.h5", "-o", "out/w.safetensors"),
    ),
    Scenario(
        "build from HDF5",
        ("build", "toy1.prototxt", "--weights", "toy1.caffemodel.h5", "-o", "out", "--max-memory", "1GB"),
        ("build", "toy0.prototxt", "--weights", "toy0.caffemodel.h5", "-o", "out"),
        BUILD,
    ),
    Scenario("build ONNX", (*_build(1), "--onnx"), (*_build(0), "--onnx"), (*BUILD, "toy.onnx")),
    Scenario("predict", _predict(1), _predict(0), pieces=True, codes=(1,)),
    Scenario(
        "predict a build", ("predict", "out/b", "images", "-o", "out/p"), _build(0, "out/b"), pieces=True, codes=(1,)
    ),
    Scenario("predict classes", _told("classes1"), _told("classes0"), pieces=True, codes=(1,)),
    Scenario(
        "predict boxes", _told("boxes1", "--voc", "--coco"), _told("boxes0", "--voc", "--coco"), pieces=True, codes=(1,)
    ),
    Scenario("evaluate classes", _scored(1), _scored(0), ("scores.json", "confusion.npz", "report.html"), codes=(1,)),
    Scenario("evaluate", _evaluate(1), _evaluate(0), ("scores.json", "confusion.npz", "report.html"), codes=(1,)),
    Scenario(
        "run",
        ("run", "toy1.prototxt", "--weights", "toy1.caffemodel", "--inputs", "in1.npz", "--out", "out/o.npz"),
        ("run", "toy0.prototxt", "--weights", "toy0.caffemodel", "--inputs", "in0.npz", "--out", "out/o.npz"),
    ),
    Scenario("train", _train(1), _train(0), (*SNAPSHOT, "final.safetensors", "log.json"), pieces=True),
    Scenario("resume", _train(0, "--resume", "out/snap/s_iter_2.json"), _train(0), pieces=True),
    Scenario("upgrade", ("upgrade", "v1.prototxt")),
    Scenario("repad", ("repad", "cropped.prototxt", "-o", "out/net.prototxt"), setup=_write("net.prototxt")),
    Scenario("fix", ("check", "--fix", "out/net.prototxt"), setup=_to_be_fixed),
    Scenario(
        "convolutionalise",
        ("surgery", "convolutionalise", "classifier.prototxt", "--weights", "fc1.caffemodel", "-o", "out/c.prototxt"),
        ("surgery", "convolutionalise", "classifier.prototxt", "--weights", "fc0.caffemodel", "--suffix=-c", "-o",
         "out/c.prototxt"),
        ("c.prototxt", "c.caffemodel"),
    ),
    Scenario(
        "transplant",
        ("surgery", "transplant", "toy1.prototxt", "--weights", "toy1.safetensors", "-o", "out/w.caffemodel"),
        setup=_write("w.caffemodel"),
    ),
    Scenario("spec", ("spec", "script.py"), codes=(2,), pieces=True, setup=_write("net.prototxt")),
    Scenario(
        "verify",
        ("verify", "out/b", "--reference", "out/b", "--inputs", "in1.npz", "--html", "out/page.html"),
        _build(0, "out/b"), setup=_write("page.html"),
    ),
    Scenario(
        "verify a net",
        ("verify", "toy1.prototxt", "--weights", "toy1.caffemodel.h5", "--self", "--html", "out/page.html"),
        ("verify", "toy0.prototxt", "--weights", "toy0.caffemodel", "--self", "--html", "out/page.html"),
    ),
    Scenario(
        "convolutionalise to two folders",
        ("surgery", "convolutionalise", "classifier.prototxt", "--weights", "fc1.caffemodel", "-o", "out/c.prototxt",
         "--out-weights", "out/weights/c.caffemodel"),
        ("surgery", "convolutionalise", "classifier.prototxt", "--weights", "fc0.caffemodel", "--suffix=-c", "-o",
         "out/c.prototxt", "--out-weights", "out/weights/c.caffemodel"),
        pieces=True,  # two folders are two moves
    ),
    Scenario("fetch", FETCH, setup=_published(f'sha1 = "{sha1(PUBLISHED).hexdigest()}"')),
    Scenario("fetch what nobody knows", FETCH, pieces=True, setup=_published("")),
    Scenario("time", ("time", "toy1.prototxt", "--iterations", "1")),
    Scenario("offsets", ("offsets", "cropped.prototxt")),
    Scenario("inspect", ("inspect", "toy1.prototxt")),
)  # fmt: skip
