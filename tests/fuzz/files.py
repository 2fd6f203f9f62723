"""Damaged files of every kind that is read: mutants of small whole ones, and what their readers may do with them.

A mutant follows from its kind and its number. `run` reads many in a child process whose memory is bounded, so that a
crash inside a library is a finding like any other:

    python -m tests.fuzz.files [KIND …] [--count 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from netcompile.caffemodel.reader import read_mean, read_weights
from netcompile.cli.manifest import read_manifest
from netcompile.data.boxes_coco import read_instances
from netcompile.data.boxes_voc import read_annotation
from netcompile.data.class_names import class_names
from netcompile.data.datasets import open_data
from netcompile.data.images import read_depth, read_image, read_labels
from netcompile.data.mat import read_mat
from netcompile.data.palettes import palette
from netcompile.diagnostics.diagnostic import NetError
from netcompile.files.limits import max_memory
from netcompile.files.npz import read_npz
from tests.caffemodel import encode as e

MEMORY = 1 << 26  # what a file may take, --max-memory
SPACE = 3 << 30  # bytes of address space beside what the child has when it starts
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
TEXTS = (
    "0",
    "-1",
    "1e999",
    "NaN",
    "9" * 20,
    "9" * 5000,
    "[" * 3000,
    '{"a":' * 3000,
    "true",
    "null",
    '""',
    '"\\ud800"',
    "'",
    "\0",
    "(",
    "1,",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Whole files of a kind, how one is read, what the reader may raise, and a mutator that knows the format."""

    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[str], object]
    ending: str
    raises: tuple[type[Exception], ...] = (NetError,)
    edit: Callable[[Random, bytes], bytes] | None = None


def mutant(kind: Kind, number: int) -> bytes:
    """One to four changes to one of the kind's files; every other first change knows the format."""
    random = Random(number)
    seeds = kind.seeds()
    data = random.choice(seeds)
    if kind.edit is not None and random.random() < 0.5:
        data = kind.edit(random, data)
        if random.random() < 0.6:
            return data
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = changed(random, data, random.choice(seeds))
    return data


def changed(random: Random, data: bytes, other: bytes) -> bytes:
    """Bits flipped, bytes replaced, cut off, repeated, moved, put in from another file; numbers overwritten."""
    if not data:
        return other
    at, size = random.randrange(len(data)), random.choice((1, 1, 2, 4, 8, 16, 64, 512))
    before, after = data[:at], data[at + size :]
    match random.randrange(8):
        case 0:
            return before + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        case 1:
            return before + random.randbytes(min(size, len(data) - at)) + after
        case 2:
            return before
        case 3:
            return before + after
        case 4:
            return before + data[at : at + size] * random.choice((2, 2, 3, 50)) + after
        case 5:
            start = random.randrange(len(other)) if other else 0
            return before + other[start : start + random.choice((size, len(other)))] + after
        case 6:
            value, width = random.choice(NUMBERS), random.choice((1, 2, 4, 8))
            order: Any = random.choice(("little", "big"))
            return before + (value % (1 << 8 * width)).to_bytes(width, order) + data[at + width :]
        case _:
            return before + bytes(min(size, len(data) - at)) + after


def text_edit(random: Random, data: bytes) -> bytes:
    """A number or a word of a text replaced by something absurd."""
    places = list(re.finditer(rb"[-\w.]+|[\[\]{}():,\"']", data))
    if not places:
        return data
    found = random.choice(places)
    return data[: found.start()] + random.choice(TEXTS).encode() + data[found.end() :]


# --- NumPy


def npy(random: Random | None = None) -> bytes:
    """An array; with `random` its header says something else."""
    out = io.BytesIO()
    np.save(out, np.arange(12, dtype="f4").reshape(3, 4))
    data = out.getvalue()
    if random is None:
        return data
    start = 10 + int.from_bytes(data[8:10], "little")
    header = data[10:start]
    for _ in range(random.choice((1, 2))):
        header = text_edit(random, header)
    return data[:8] + struct.pack("<H", len(header) % 65536) + header + data[start:]


@cache
def npz_seeds() -> Sequence[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        out = io.BytesIO()
        save(out, data=np.arange(12, dtype="f4").reshape(3, 4), label=np.ones((2, 2), "i8", order="F"))
        found.append(out.getvalue())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("data.npy", "w", force_zip64=True) as member:
        member.write(npy())
    return (*found, out.getvalue())


def npz_edit(random: Random, data: bytes) -> bytes:
    """An archive that is whole, and whose array is not; or one whose records lie."""
    if random.random() < 0.5:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", random.choice((0, 8, 8, 12, 14))) as archive:
            archive.writestr("data.npy", npy(random) if random.random() < 0.8 else changed(random, npy(), data))
        return out.getvalue()
    places = [m.start() for m in re.finditer(rb"PK[\1\3\5\6][\2\4\6\7]", data)]
    at = random.choice(places) + random.choice((4, 6, 8, 10, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 38, 42, 48))
    width = random.choice((2, 4, 8))
    return data[:at] + (random.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little") + data[at + width :]


# --- MATLAB


@cache
def mat_seeds() -> Sequence[bytes]:
    from scipy.io import savemat

    found = []
    labels = np.arange(20, dtype="u1").reshape(4, 5)
    for compressed in (False, True):
        for content in ({"S": labels}, {"x": "text", "S": labels * 1.0}, {"S": {"a": [1, "b"], "T": labels}}):
            out = io.BytesIO()
            savemat(out, content, do_compression=compressed)
            found.append(out.getvalue())
    return tuple(found)


def mat_read(path: str) -> object:
    return read_mat(path, "S") if Random(os.path.getsize(path)).random() < 0.5 else read_mat(path, "S", "T")


def mat_edit(random: Random, data: bytes) -> bytes:
    """A tag, an extent or a flag replaced, in a compressed file inside of what is compressed."""
    if len(data) > 136 and data[128] == 15:
        size = int.from_bytes(data[132:136], "little")
        try:
            inside = zlib.decompress(data[136 : 136 + size])
        except zlib.error:
            return data
        packed = zlib.compress(_word(random, inside, 0))
        return data[:132] + len(packed).to_bytes(4, "little") + packed + data[136 + size :]
    return _word(random, data, 128)


def _word(random: Random, data: bytes, start: int) -> bytes:
    if len(data) < start + 8:
        return data
    at = start + 4 * random.randrange((len(data) - start) // 4)
    return data[:at] + (random.choice(NUMBERS) % 2**32).to_bytes(4, "little") + data[at + 4 :]


# --- HDF5


@cache
def hdf5_seeds() -> Sequence[bytes]:
    import h5py

    found = []
    options: tuple[dict[str, Any], ...] = (
        {}, {"chunks": (2, 3)}, {"chunks": (3, 4), "compression": 9}, {"maxshape": (None, 4), "shuffle": True},
        {"chunks": (3, 4), "fletcher32": True},
    )  # fmt: skip
    for version in ("earliest", "latest"):
        for option in options:
            out = io.BytesIO()
            with h5py.File(out, "w", libver=version) as file:
                group = file.create_group("data/conv")
                group.create_dataset("0", data=np.ones((3, 4), "f4"), **option)
                group.create_dataset("1", data=np.ones(3, "f8"))
                file.create_group("data/relu")
            found.append(out.getvalue())
    return tuple(found)


def weights_read(path: str) -> object:
    return [blob.array() for layer in read_weights(path).layers for blob in layer.blobs if blob is not None]


# --- images


@cache
def image_seeds() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
    found = []
    for name, options in (
        ("PNG", {}), ("JPEG", {}), ("GIF", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}), ("WEBP", {}), ("PPM", {}), ("TGA", {}), ("TGA", {"compression": "tga_rle"}),
        ("JPEG2000", {}), ("JPEG", {"progressive": True, "icc_profile": bytes(200)}), ("AVIF", {}),
    ):  # fmt: skip
        out = io.BytesIO()
        try:
            rgb.save(out, name, **options)
        except (KeyError, OSError):
            continue
        found.append(out.getvalue())
    for mode in ("1", "L", "P", "LA", "RGBA", "I;16"):
        out, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        (rgb.convert("L").convert("I;16") if mode == "I;16" else rgb.convert(mode)).save(out, "PNG", exif=exif)
        found.append(out.getvalue())
    return tuple(found)


def image_edit(random: Random, data: bytes) -> bytes:
    """A chunk of a PNG changed and its checksum made to fit; a marker's length in a JPEG."""
    if data[:4] == b"\x89PNG":
        at, chunks = 8, []
        while at + 12 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
            at += 12 + size
        index = random.randrange(len(chunks))
        name, body = chunks[index]
        if name == b"IHDR":
            body = struct.pack(">II", random.choice(NUMBERS) % 2**32, random.choice(NUMBERS) % 2**32) + body[8:]
        elif random.random() < 0.3:
            name = random.choice(
                (b"zTXt", b"iTXt", b"iCCP", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"eXIf", b"gAMA", b"cHRM")
            )
            body = b"k\0\0" + zlib.compress(bytes(1 << 22)) if random.random() < 0.5 else random.randbytes(20)
        else:
            body = changed(random, body, data)
        chunks[index] = (name, body)
        parts = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
        return data[:8] + b"".join(parts)
    places = [m.start() for m in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    if places:
        at = random.choice(places) + 2
        return data[:at] + random.randbytes(2) + data[at + 2 :]
    at = random.randrange(min(64, len(data)))
    return data[:at] + random.choice(NUMBERS).to_bytes(8, "little")[: random.choice((2, 4))] + data[at + 4 :]


def image_read(path: str) -> object:
    return (read_image, read_labels, read_depth)[os.path.getsize(path) % 3](path)


# --- weights


@cache
def caffemodel_seeds() -> Sequence[bytes]:
    values = [1.0, -2.5, 0.125, 300.0, -0.0, 7.0]
    return (
        e.net(e.v2("c", "Convolution", e.blob((2, 3), values), e.legacy(1, 1, 1, 2) + e.unpacked(5, [1, 2])), name="n"),
        e.net(e.v1("c", 4, e.blob((2, 3), values)), e.v1("r", 18)),
    )


@cache
def mean_seeds() -> Sequence[bytes]:
    return (e.legacy(1, 3, 1, 2) + e.chunk(5, e.floats([1.0] * 6)),)


@cache
def safetensors_seeds() -> Sequence[bytes]:
    from safetensors.numpy import save

    arrays = {
        "c.0": np.ones((2, 3), "f4"),
        "c.1": np.ones(2, "f2"),
        "d.0": np.ones((1, 1), "f8"),
        "d.1": np.ones(3, "i8"),
    }
    return save(arrays, {"format": "pt"}), save({"c.0": np.ones(1, "f4")})


def safetensors_edit(random: Random, data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = text_edit(random, data[8 : 8 + size])
    length = len(header) if random.random() < 0.8 else random.choice(NUMBERS)
    return length.to_bytes(8, "little") + header + data[8 + size :]


# --- texts


@cache
def manifest_seeds() -> Sequence[bytes]:
    return (b'[[weights]]\nname = "a"\nnet = "voc-fcn8s/val.prototxt"\nfile = "a.caffemodel"\nsource = "b"\n' * 2,)


@cache
def list_seeds() -> Sequence[bytes]:
    return b"a.png b.png\nc.png d.png\n", b"a\tb\tc\n"


@cache
def class_seeds() -> Sequence[bytes]:
    label_map = b'# x\nitem {\n  name: "1"\n  label: 1\n  display_name: "cat"\n}\nitem { label: 0 name: \'dog\' }\n'
    return (
        b"0: cat\n1: dog\n", b'["cat", "dog"]', b"cat\n\nremark", label_map, b'{"0": ["n1", "cat"], "1": "dog"}',
        b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n", b"1,1,person\n13,2,stop sign\n",
    )  # fmt: skip


@cache
def annotation_seeds() -> Sequence[bytes]:
    box = b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox>"
    return (
        b'<?xml version="1.0"?>\n<annotation><filename>a</filename><object><name>cat</name><difficult>1</difficult>'
        + box + b"<part><name>head</name></part></object>\n<object><name>dog</name>" + box + b"</object></annotation>",
        b"<annotation><!-- none --></annotation>",
    )  # fmt: skip


@cache
def instance_seeds() -> Sequence[bytes]:
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2.5, 3, 4], "area": 12, "iscrowd": 0}
    image = {"id": 7, "file_name": "a.jpg", "height": 5, "width": 6}
    whole = {"images": [image], "categories": [{"id": 3, "name": "cat"}], "annotations": [box, {**box, "iscrowd": 1}]}
    return (json.dumps(whole, indent=1).encode(),)


@cache
def palette_seeds() -> Sequence[bytes]:
    out = io.BytesIO()
    image = Image.fromarray(np.zeros((2, 2), np.uint8))
    image.putpalette(list(range(30)))
    image.save(out, "PNG")
    return b"1 2 3\n#ff00ff\n", bytes(range(256)) * 3, out.getvalue()


def manifest_edit(random: Random, data: bytes) -> bytes:
    return text_edit(random, data) if random.random() < 0.5 else data + random.choice(
        (b"a = " + b"[" * 5000, b"a" + b".a" * 5000 + b" = 1", b"a = 1" + b"0" * 5000, b"a = {a = " * 5000, b"[" * 100)
    )  # fmt: skip


KINDS: dict[str, Kind] = {
    "npz": Kind(npz_seeds, lambda path: read_npz(path, "float32"), "npz", edit=npz_edit),
    "mat": Kind(mat_seeds, mat_read, "mat", (NetError, ValueError), mat_edit),
    "hdf5": Kind(hdf5_seeds, weights_read, "h5"),
    "image": Kind(image_seeds, image_read, "png", (NetError, ValueError), image_edit),
    "caffemodel": Kind(caffemodel_seeds, weights_read, "caffemodel"),
    "mean": Kind(mean_seeds, lambda path: read_mean(path).array(), "binaryproto"),
    "safetensors": Kind(safetensors_seeds, weights_read, "safetensors", edit=safetensors_edit),
    "manifest": Kind(manifest_seeds, read_manifest, "toml", edit=manifest_edit),
    "list": Kind(list_seeds, open_data, "txt", edit=text_edit),
    "classes": Kind(class_seeds, class_names, "txt", edit=text_edit),
    "annotation": Kind(annotation_seeds, read_annotation, "xml", edit=text_edit),
    "instances": Kind(instance_seeds, read_instances, "json", edit=text_edit),
    "palette": Kind(palette_seeds, palette, "txt", edit=text_edit),
}


def failure(kind: Kind, data: bytes, path: str) -> str:
    """What went wrong with these bytes, "" where nothing did: they are read, or told."""
    Path(path).write_bytes(data)
    try:
        with max_memory(MEMORY):
            kind.read(path)
    except kind.raises as error:
        long = isinstance(error, NetError) and any(len(d.what) > 2000 + len(path) for d in error.diagnostics)
        return "a message of more than 2,000 characters" if long else ""
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({last.filename}:{last.lineno})"
    return ""


def run(name: str, numbers: Sequence[int], folder: str) -> dict[str, tuple[int, bytes]]:
    """Read these mutants in this process: of each kind of failure the first number, and its bytes."""
    kind, found = KINDS[name], dict[str, tuple[int, bytes]]()
    path = os.path.join(folder, f"x.{kind.ending}")
    progress = Path(folder, "number")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            data = mutant(kind, number)
            progress.write_text(str(number))
            began = time.monotonic()
            what = failure(kind, data, path)
            if not what and time.monotonic() - began > 2:
                what = "more than 2 seconds"
            if what:
                found.setdefault(re.sub(r"\d+", "N", what), (number, data))
    return found


def _child(name: str, numbers: Sequence[int], folder: str) -> None:
    import resource

    KINDS[name].seeds()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPACE, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(600)
    found = run(name, numbers, folder)
    rows = [[what, number, data.hex()] for what, (number, data) in found.items()]
    Path(folder, "found.json").write_text(json.dumps(rows))


def attack(name: str, count: int, seed: int) -> dict[str, tuple[int, bytes]]:
    """Read `count` mutants in children of 5,000 or so; a child that ends otherwise than well is a finding."""
    found: dict[str, tuple[int, bytes]] = {}
    start, end = seed, seed + count
    while start < end:
        with tempfile.TemporaryDirectory(prefix="netcompile-fuzz-") as folder:
            numbers = range(start, min(end, start + 5000))
            pid = os.fork()
            if pid == 0:
                try:
                    _child(name, numbers, folder)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            if status:
                number = int(Path(folder, "number").read_text())
                found.setdefault(
                    f"the process ended: {os.waitstatus_to_exitcode(status)}", (number, mutant(KINDS[name], number))
                )
                start = number + 1
                continue
            for what, number, data in json.loads(Path(folder, "found.json").read_text()):
                found.setdefault(what, (number, bytes.fromhex(data)))
            start = numbers.stop
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.files", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=[])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for name in options.kinds or KINDS:
        began = time.monotonic()
        found = attack(name, options.count, options.seed)
        print(
            f"{name}: {options.count} mutants, {len(found)} kinds of failure, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        for what, (number, data) in found.items():
            print(f"  number {number} ({len(data)} bytes): {what}", flush=True)
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
