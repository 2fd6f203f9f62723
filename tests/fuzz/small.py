"""Small legal files of every kind that a command reads: the seeds and surroundings of the guided fuzz."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from PIL import Image

from tests.fuzz.mutators.wire import Entry, encode, varint

NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "score" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up"
  convolution_param { num_output: 3 kernel_size: 4 stride: 2 } }
"""
SEGMENTING = """name: "segmenting"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 10 } } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
"""
TRAINING = """name: "training"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 dim: 1 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
Arrays = Mapping[str, Sequence[np.ndarray]]


def arrays() -> dict[str, list[np.ndarray]]:
    """The blobs of NET."""
    shapes = {
        "conv": [(4, 3, 3, 3), (4,)],
        "bn": [(4,), (4,), (1,)],
        "scale": [(4,), (4,)],
        "score": [(5, 192), (5,)],
        "up": [(4, 3, 4, 4), (3,)],
    }
    return {
        name: [np.linspace(0.5, 1, int(np.prod(s)), dtype="f4").reshape(s) for s in found]
        for name, found in shapes.items()
    }


def blob(array: np.ndarray, form: str = "packed") -> bytes:
    """A BlobProto: its numbers packed, one by one, as doubles, or with the four old axes."""
    flat = array.ravel()
    if form == "single":
        data = tuple(Entry(5, 5, struct.pack("<f", value)) for value in flat)
    elif form == "double":
        data = (Entry(8, 2, flat.astype("<f8").tobytes()),)
    else:
        data = (Entry(5, 2, flat.astype("<f4").tobytes()),)
    if form == "old" and array.ndim <= 4:
        shape = (1,) * (4 - array.ndim) + array.shape
        return encode((*(Entry(i, 0, n) for i, n in enumerate(shape, 1)), *data))
    return encode((*data, Entry(7, 2, (Entry(1, 2, b"".join(map(varint, array.shape))),))))


def caffemodel(blobs: Arrays, form: str = "packed", old: bool = False) -> bytes:
    """A caffemodel of V2 layers, or of V1 layers."""
    layers = []
    for name, values in blobs.items():
        head = (Entry(4, 2, name.encode()), Entry(5, 0, 4)) if old else (Entry(1, 2, name.encode()), Entry(2, 2, b"X"))
        layers.append(Entry(2 if old else 100, 2, (*head, *(Entry(6 if old else 7, 2, blob(v, form)) for v in values))))
    return encode((Entry(1, 2, b"small"), *layers))


def hdf5(blobs: Arrays, top: str = "data", **options: object) -> bytes:
    """A .caffemodel.h5."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, values in blobs.items():
            for index, value in enumerate(values):
                file.create_dataset(f"{top}/{name}/{index}", data=value, **(options if value.size > 1 else {}))
    return out.getvalue()


def safetensors(named: Mapping[str, np.ndarray]) -> bytes:
    """A .safetensors file."""
    header, data = {}, b""
    for name, value in named.items():
        body = value.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def npz(named: Mapping[str, np.ndarray], compressed: bool = False) -> bytes:
    """An .npz file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, value in named.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(value), archive.compression)
    return out.getvalue()


def npy(value: np.ndarray) -> bytes:
    """A .npy file."""
    out = io.BytesIO()
    np.save(out, value)
    return out.getvalue()


def image(mode: str, form: str, **options: object) -> bytes:
    """A picture of 10 by 12."""
    height, width = 12, 10
    grey = (np.arange(height * width) % 3).astype(np.uint8).reshape(height, width)
    made = (
        Image.fromarray(grey, "L" if mode != "P" else "P")
        if mode in ("L", "P")
        else Image.fromarray(np.stack([grey * 80] * 3, axis=2)).convert(mode)
    )
    if mode == "P":
        made.putpalette([value for n in range(256) for value in (n, 255 - n, n // 2)])
    out = io.BytesIO()
    made.save(out, form, **options)
    return out.getvalue()


def pictures() -> list[bytes]:
    """Pictures of several modes and formats."""
    found = [image(mode, "PNG") for mode in ("L", "RGB", "RGBA", "P", "I;16") if mode != "I;16"]
    found += [image(mode, "JPEG") for mode in ("L", "RGB", "CMYK")]
    found += [image("RGB", form) for form in ("BMP", "GIF", "TIFF", "PPM", "WEBP", "TGA")]
    return found
