"""MATLAB files of label maps."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from scipy.io import savemat

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.targets import Row, Target
from tests.fuzz.targets.images import fixtures as of_images

FILE = "l.mat"
HEAD = 128  # bytes before the first variable


def seeds() -> list[bytes]:
    """Label maps as SBD, SIFT Flow and NYUDv2 keep them, packed and not; one in HDF5."""
    labels = (np.arange(120) % 3).astype("u1").reshape(12, 10)
    kinds = (
        {"GTcls": {"Segmentation": labels}},
        {"S": labels},
        {"segmentation": labels.astype("f8")},
        {"a": "x", "GTcls": {"Segmentation": labels, "b": [1, 2]}},
    )
    found = []
    for values in kinds:
        for packed in (False, True):
            out = io.BytesIO()
            savemat(out, values, do_compression=packed)
            found.append(out.getvalue())
    return [
        *found,
        b"\0" * 512 + small.hdf5({"GTcls": [labels]}, "."),
        small.hdf5({"x": [labels.astype("f8")]}, "GTcls"),
    ]


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """Bytes changed; what is packed is unpacked before and packed again after."""
    data = chance.choice(corpus)
    if len(data) > HEAD + 8 and data[HEAD] == 15 and chance.random() < 0.7:
        try:
            plain = zlib.decompress(data[HEAD + 8 :])
        except zlib.error:
            return raw.mutate(chance, corpus)
        body = zlib.compress(raw.mutate(chance, [plain]))
        return data[:HEAD] + (15).to_bytes(4, "little") + len(body).to_bytes(4, "little") + body
    if chance.random() < 0.6:  # sizes, kinds and flags lie at multiples of four
        for _ in range(chance.choice((1, 1, 2, 4))):
            at = HEAD + 4 * chance.randrange(max(1, min(60, (len(data) - HEAD) // 4)))
            value = chance.choice(
                (0, 1, 2, 3, 4, 5, 6, 9, 14, 15, 16, 17, 0x60004, 2**31 - 1, 2**31, 2**32 - 1, chance.randrange(256))
            )
            data = data[:at] + value.to_bytes(4, "little") + data[at + 4 :]
        return data
    return raw.mutate(chance, corpus)


def fixtures() -> None:
    """Data sets of the three kinds, whose label map is the mutant."""
    of_images()
    Path("list.txt").write_text(f"good.png {FILE}\n")
    for folder in ("sbd/img", "sbd/cls", "nyud/data/images", "nyud/segmentation"):
        Path(folder).mkdir(parents=True)
    Path("sbd/img/a.jpg").write_bytes(small.image("RGB", "JPEG"))
    Path("nyud/data/images/img_1.png").write_bytes(small.image("RGB", "PNG"))
    for folder in ("sbd", "nyud"):
        Path(folder, "val.txt").write_text("a\n")
        Path(folder, "test.txt").write_text("1\n")
    Path("sbd/cls/a.mat").symlink_to(f"../../{FILE}")
    Path("nyud/segmentation/img_1.mat").symlink_to(f"../../{FILE}")


NET = ("net.prototxt", "--weights", "w.caffemodel")
ROWS = (
    Row(("evaluate", *NET, "--data", "list.txt"), 2),
    Row(("evaluate", *NET, "--data", "sbd"), 0.5),
    Row(("evaluate", *NET, "--data", "nyud"), 0.5),
)
TARGET = Target("mat", FILE, seeds, mutate, ROWS, fixtures)
