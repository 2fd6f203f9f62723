"""What a stranger may put into a string, and files of every kind whose every string has some of it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

COLOUR = "\x1b[38;5;197m"
INJECTED = "INJECTED"
PAYLOADS = (
    "\x1b]0;title\x07", COLOUR, "\x1b[7A\x1b[3K", "\x9b38;5;197m", "\u202e", "\u2066\u200f\u061c\u200e",
    "\u200b\u2060\ufeff",
    "\r", "\x08\x08", f"\n{INJECTED}", "\u2028\u2029\x85", "\x7f", "\x1bc\x1bP+q\x1b\\", "[red]x[/red]", "[link=http://x]y",
    "\U000e0041", "\ufe0f\u034f\u3164", "\t", "\xad\u00a0", "</script><b>", "%s{0}%(x)s", "\x1b]8;;http://x\x1b\\",
    "\x0e\x0f\x05",
)  # fmt: skip


class Strings:
    """Base names with a payload behind each: another one for every base, and others again for another turn."""

    def __init__(self, turn: int) -> None:
        self.turn, self.known = turn, dict[str, str]()

    def __call__(self, base: str) -> str:
        if base not in self.known:
            self.known[base] = base + PAYLOADS[(len(self.known) + self.turn) % len(PAYLOADS)]
        return self.known[base]

    def file(self, base: str) -> str:
        """One that a file can be named."""
        return self(base).replace("/", "_").replace("\0", "")

    def quoted(self, base: str) -> str:
        """A string of the text format: raw in every second turn, else with escapes."""
        text = self(base).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        if self.turn % 2:
            return f'"{text}"'
        return '"' + "".join(c if " " <= c <= "~" else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + '"'


def net(s: Strings, loss: bool = False, data: str = "") -> str:
    """A net that compiles: its convolution, upsampling, crop, sum and scores; `data` are layers in front of it."""
    q = s.quoted
    comment = s("# comment ").replace("\n", " ")
    first = data or (
        f'layer {{ name: {q("data")} type: "Input" top: {q("x")} '
        "input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }\n"
    )
    tail = (
        f'layer {{ name: {q("loss")} type: "SoftmaxWithLoss" bottom: {q("score")} bottom: {q("label")} '
        f"top: {q('l')} }}\n"
        if loss
        else ""
    )
    return (
        f"{comment}\nname: {q('net')}\n{first}"
        f'layer {{ name: {q("conv")} type: "Convolution" bottom: {q("x")} top: {q("y")} {comment}\n'
        f"  param {{ name: {q('shared')} }} convolution_param {{ num_output: 4 kernel_size: 3 pad: 6 stride: 2\n"
        f'    weight_filler {{ type: "xavier" }} }} }}\n'
        f'layer {{ name: {q("relu")} type: "ReLU" bottom: {q("y")} top: {q("y")} }}\n'
        f'layer {{ name: {q("up")} type: "Deconvolution" bottom: {q("y")} top: {q("z")}\n'
        f"  convolution_param {{ num_output: 3 kernel_size: 4 stride: 2 bias_term: false }} }}\n"
        f'layer {{ name: {q("crop")} type: "Crop" bottom: {q("z")} bottom: {q("x")} top: {q("score")}\n'
        f"  crop_param {{ axis: 2 offset: 4 }} }}\n{tail}"
    )


WRONG = (
    'layer {{ name: {0} type: "Relu" bottom: {1} top: {2} }}',
    "layer {{ name: {0} type: {1} top: {2} }}",
    'layer {{ name: {0} type: "Python" top: {2} python_param {{ module: {1} layer: {2} param_str: {3} }} }}',
    'layer {{ name: {0} type: "Convolution" top: {1} convolution_param {{ weight_filler {{ type: {2} }} }} }}',
    'layer {{ name: {0} type: "Data" top: {1} data_param {{ source: {2} backend: "LMDB{3}" }} }}',
    'layer {{ name: {0} type: "ImageData" top: {1} image_data_param {{ source: {2} root_folder: {3} }} '
    "transform_param {{ mean_file: {1} }} }}",
    'layer {{ name: {0} type: "HDF5Data" top: {1} hdf5_data_param {{ source: {2} batch_size: 1 }} }}',
    'layer {{ name: {0} type: "InfogainLoss" bottom: {1} bottom: {1} infogain_loss_param {{ source: {2} }} }}',
    "layer {{ name: {0} unknown_field: {1} other {{ a: {2} }} }}",
    "layer {{ name: {0} type: {1} include {{ phase: {2} stage: {3} }} }}",
    'name: {0} layer {{ name: {1} type: "Pooling" bottom: {2} pooling_param {{ pool: {3} }} }}',
    "layers {{ name: {0} type: {1} bottom: {2} top: {3} }}",
    'layer {{ name: {0} type: "Scale" bottom: {1} param {{ name: {2} share_mode: {3} }} }}',
    'layer {{ name: {0} type: "DetectionOutput" top: {1} detection_output_param {{ save_output_param {{ '
    "output_directory: {2} label_map_file: {3} name_size_file: {2} }} }} }}",
    "layer {{ name: {0} type: {1} } unbalanced {2} \u201c{3}\u201d",
    "{0} : {1} = {2}",
    'layer {{ name: {0} type: "Split" bottom: {1} top: {2} top: {2} }} layer {{ name: {0} type: "Split" bottom: {3} }}',
)


def wrong_nets(s: Strings) -> Iterator[str]:
    """Nets with mistakes, whose messages quote them."""
    quoted = [s.quoted(base) for base in ("aa", "bb", "cc", "dd")]
    for template in WRONG:
        if "}}" in template or "{" in template:
            text = template.replace("{{", "\1").replace("}}", "\2")
            for index, value in enumerate(quoted):
                text = text.replace(f"{{{index}}}", value)
            yield text.replace("\1", "{").replace("\2", "}") + "\n"


def solver(path: str, prefix: str, **fields: str) -> str:
    """A solver of two steps."""
    wanted = {
        "net": json.dumps(path), "base_lr": "0.01", "lr_policy": '"fixed"', "max_iter": "2", "display": "1",
        "snapshot": "1", "snapshot_prefix": prefix, "random_seed": "1", **fields,
    }  # fmt: skip
    return "".join(f"{name}: {value}\n" for name, value in wanted.items() if value)


def write_files(folder: Path, turn: int) -> Strings:
    """Files of every kind in `folder`; their names are in `Strings.file`."""
    s = Strings(turn)
    for base, text in (
        ("net.prototxt", net(s)),
        ("labels.prototxt", net(s, loss=True, data=_inputs(s))),
        ("old.prototxt", _old(s)),
    ):
        (folder / s.file(base)).write_text(text, encoding="utf-8", newline="")
    for index, text in enumerate(wrong_nets(s)):
        (folder / s.file(f"wrong{index}.prototxt")).write_text(text, encoding="utf-8", newline="")
    (folder / s.file("raw.prototxt")).write_bytes(b'name: "\xff\x1b[31m"\n# \x9b\x80\n\x1b layer { name: "\x00" }')
    (folder / s.file("binary.prototxt")).write_bytes(b"\x0a\x05\x1b]0;x" + os.urandom(64))
    _weights(folder, s)
    rng = np.random.default_rng(0)
    np.savez(folder / s.file("in.npz"), **{s("x"): np.ones((1, 3, 16, 16), np.float32), s("odd"): np.ones(3)})
    steps = {s("x"): rng.normal(size=(2, 1, 3, 16, 16)), s("label"): rng.integers(0, 3, (2, 1, 1, 16, 16))}
    np.savez(folder / s.file("batches.npz"), **{key: value.astype(np.float32) for key, value in steps.items()})
    with zipfile.ZipFile(folder / s.file("bad.npz"), "w") as archive:
        archive.writestr(s("member") + ".npy", b"\x93NUMPY\x01\x00v\x00" + s("{'descr': ").encode()[:100])
    images = folder / s.file("images")
    images.mkdir()
    for base in ("one", "two"):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(images / f"{s.file(base)}.png")
        Image.fromarray(rng.integers(0, 3, (16, 16)).astype(np.uint8)).save(folder / f"{s.file('map' + base)}.png")
    (images / f"{s.file('broken')}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + s("xx").encode())
    lines = [f"{s.file('images')}/{s.file(b)}.png\t{s.file('map' + b)}.png" for b in ("one", "two")]
    (folder / s.file("list.txt")).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    (folder / s.file("absent.txt")).write_text(f"{s('not/there')} {s('nor/this')}\n", encoding="utf-8", newline="")
    (folder / s.file("classes.txt")).write_text(
        "".join(s(c).replace("\n", " ") + "\n" for c in ("k1", "k2", "k3")), newline=""
    )
    rows = [
        ("w", "net.prototxt", "model.caffemodel"),
        ("v", "none.prototxt", "gone.caffemodel"),
        ("u", "cc", "torn.caffemodel"),
    ]
    manifest = "".join(
        f"[[weights]]\nname = {_toml(s(n))}\nnet = {_toml(s.file(p))}\nfile = {_toml(s.file(f))}\n"
        f"source = {_toml(s('url'))}\n"
        for n, p, f in rows
    )
    (folder / s.file("manifest.toml")).write_text(manifest, encoding="utf-8")
    (folder / s.file("wrong.toml")).write_text(f"[[weights]]\n{_toml(s('key'))} = 3\n\x1b", encoding="utf-8")
    section = (
        f"image_data_param {{ source: {s.quoted('absent.txt')} }} transform_param {{ mean_file: {s.quoted('mean')} }}"
    )
    fed = (
        f'layer {{ name: {s.quoted("d")} type: "ImageData" top: {s.quoted("x")} top: {s.quoted("label")} {section} }}\n'
    )
    (folder / s.file("fed.prototxt")).write_text(net(s, True, fed), encoding="utf-8", newline="")
    listed = f"hdf5_data_param {{ source: {s.quoted('h5list')} batch_size: 1 }}"
    (folder / s.file("h5list")).write_text(f"{s.file('rows.h5')}\n{s.file('gone.h5')}\n", encoding="utf-8", newline="")
    with h5py.File(folder / s.file("rows.h5"), "w") as file:
        file[s("x")] = h5py.ExternalLink(s("elsewhere"), s("path"))
    fed = f'layer {{ name: {s.quoted("d")} type: "HDF5Data" top: {s.quoted("x")} top: {s.quoted("label")} {listed} }}\n'
    (folder / s.file("h5.prototxt")).write_text(net(s, True, fed), encoding="utf-8", newline="")
    for base, prototxt in (("solver", "labels"), ("fedsolver", "fed"), ("h5solver", "h5")):
        text = solver("X", '"snap"').replace('"X"', s.quoted(f"{prototxt}.prototxt"))
        (folder / s.file(f"{base}.prototxt")).write_text(text, encoding="utf-8", newline="")
    text = solver(
        "none",
        s.quoted("snap"),
        type=s.quoted("kind"),
        lr_policy=s.quoted("policy"),
        regularization_type=s.quoted("reg"),
    )
    (folder / s.file("oddsolver.prototxt")).write_text(text, encoding="utf-8", newline="")
    text = solver(s.file("labels.prototxt"), s.quoted("snap"))
    (folder / s.file("prefix.prototxt")).write_text(text, encoding="utf-8", newline="")
    snapshot = {
        "format": 1,
        "weights": s("w.safetensors"),
        "state": s("st"),
        "type": s("t"),
        "iteration": 1,
        "step": 0,
        "seed": 1,
    }
    (folder / s.file("snapshot.json")).write_text(json.dumps(snapshot))
    build = folder / s.file("build")
    build.mkdir()
    manifest = json.dumps({
        "net": s("n"), "module": s("m.py"), "class": s("C"), "weights": s("w"),
        "inputs": [{"name": s("x"), "shape": [1]}],
        "outputs": [s("y")], "sha256": {s("m.py"): s("h")},
    })  # fmt: skip
    (build / "manifest.json").write_text(manifest)
    err, out = (s(base).replace("\n", " ") for base in ("err", "out"))  # lines of its own it may write: it is code
    script = f"import sys\nsys.stderr.write({err!r} + chr(10))\nprint({out!r})\n"
    script += f"raise ValueError({s('raised')!r})\n"
    (folder / s.file("net.py")).write_text(script, encoding="utf-8")
    return s


def _inputs(s: Strings) -> str:
    one = 'layer {{ name: {} type: "Input" top: {} input_param {{ shape {{ dim: 1 dim: {} dim: 16 dim: 16 }} }} }}\n'
    return one.format(s.quoted("data"), s.quoted("x"), 3) + one.format(s.quoted("lab"), s.quoted("label"), 1)


def _old(s: Strings) -> str:
    q = s.quoted
    return (
        f"name: {q('net')}\ninput: {q('x')}\ninput_dim: 1\ninput_dim: 3\ninput_dim: 8\ninput_dim: 8\n"
        f"layers {{ name: {q('conv')} type: CONVOLUTION bottom: {q('x')} top: {q('y')}\n"
        "  convolution_param { num_output: 2 kernel_size: 1 } }\n"
    )


def _toml(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


def _weights(folder: Path, s: Strings) -> None:
    from netcompile.surgery import write_weights

    rng = np.random.default_rng(1)
    blobs = {
        s("conv"): (rng.normal(size=(4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)),
        s("up"): (rng.normal(size=(4, 3, 4, 4)).astype(np.float32),),
        s("extra"): (np.zeros((2, 2), np.float32),),
    }
    path = folder / "plain.caffemodel"
    write_weights(path, blobs, s("net"), dict.fromkeys(blobs, "Convolution"))
    data = path.read_bytes()
    path.unlink()
    (folder / s.file("model.caffemodel")).write_bytes(data)
    (folder / s.file("torn.caffemodel")).write_bytes(data[:-100])
    bad = {s("conv"): (np.zeros((1, 1, 1, 1), np.float32),), s("nan"): (np.full((4, 4), np.nan, np.float32),)}
    write_weights(path, bad, s("net"), dict.fromkeys(bad, "Convolution"))
    path.rename(folder / s.file("shape.caffemodel"))
    flat = {f"{name}.{i}": blob for name, all_ in blobs.items() for i, blob in enumerate(all_)}
    save_file({**flat, s("odd"): np.zeros(1, np.float32)}, folder / s.file("model.safetensors"), {s("meta"): s("data")})
    with h5py.File(folder / s.file("model.caffemodel.h5"), "w") as file:
        group = file.create_group("data")
        for name, all_ in blobs.items():
            for index, blob in enumerate(all_):
                group.require_group(name.replace("/", "_")).create_dataset(str(index), data=blob)
        group.create_group(s("broken").replace("/", "_"))[s("child").replace("/", "_")] = np.zeros(2)
