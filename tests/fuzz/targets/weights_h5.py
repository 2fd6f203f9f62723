"""HDF5 caffemodels: their bytes changed, and files of odd structure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from random import Random

import h5py
import numpy as np

from tests.fuzz import small
from tests.fuzz.mutators import raw
from tests.fuzz.targets import Row, Target

FILE = "w.caffemodel.h5"
DTYPES = ("<f4", ">f4", "<f8", "<f2", "<i4", "u1", "i8", "S4", "c8", "?", "V8", "O")
SHAPES = ((4, 3, 3, 3), (4,), (), (0,), (1,), (5, 192), (3, 0, 2), (2,) * 20, (1 << 20, 1 << 12))
NAMES = ("conv", "bn", "scale", "score", "up", "a/b", "größe", "\x1b[31m", "..", "0", "x" * 300)


def seeds() -> list[bytes]:
    """The weights of a small net, stored in several ways."""
    blobs = {name: values for name, values in small.arrays().items() if name != "score"}
    return [
        small.hdf5(blobs),
        small.hdf5(blobs, chunks=True),
        small.hdf5(blobs, compression="gzip", shuffle=True),
        small.hdf5(blobs, fletcher32=True),
        small.hdf5({"conv": [np.ones((4, 3, 3, 3), ">f8"), np.ones(4, "f2")]}),
    ]


def odd(chance: Random) -> bytes:
    """A file whose groups, links and data sets are drawn."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        places = [file.require_group("data")] if chance.random() < 0.95 else [file]
        for _ in range(chance.choice((1, 2, 4, 8))):
            place, name = chance.choice(places), chance.choice(NAMES)
            try:
                _thing(chance, file, places, place, name)
            except Exception:  # h5py refuses it: a name that is taken, a type that it cannot write
                continue
    return out.getvalue()


def _thing(chance: Random, file: h5py.File, places: list[h5py.Group], place: h5py.Group, name: str) -> None:
    kind = chance.randrange(8)
    if kind <= 1:
        places.append(place.create_group(name))
    elif kind == 2:
        place[name] = h5py.SoftLink(chance.choice(("/data", "/", "nowhere", ".")))
    elif kind == 3:
        place[name] = h5py.ExternalLink(chance.choice((FILE, "/etc/passwd", "no.h5")), "/data")
    elif kind == 4:
        place[name] = chance.choice(places)
    elif kind == 5:
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_obj_track_times(False)  # the time of a run would be in the file
        space = h5py.h5s.create_simple((4,))
        options.set_virtual(space, b"no.h5", b"x", space)
        h5py.h5d.create(place.id, str(chance.randrange(3)).encode(), h5py.h5t.IEEE_F32LE, space, options)
    else:
        shape, dtype = chance.choice(SHAPES), chance.choice(DTYPES)
        stored = chance.choice(({}, {"chunks": True}, {"compression": "gzip"}, {"maxshape": (None,) * len(shape)}))
        place.create_dataset(
            chance.choice((name, "0", "1", "2", "7")), shape, h5py.string_dtype() if dtype == "O" else dtype, **stored
        )


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """A file of odd structure, or bytes changed."""
    if chance.random() < 0.3:
        data = odd(chance)
        return data if chance.random() < 0.6 else raw.noise(chance, data)
    return raw.mutate(chance, corpus)


def fixtures() -> None:
    """The net of the weights."""
    Path("net.prototxt").write_text(small.NET)


ROWS = (
    Row(("convert-weights", FILE, "-o", "out.safetensors"), 3),
    Row(("convert-weights", FILE, "--net", "net.prototxt", "--allow-missing", "-o", "out.safetensors"), 2),
)
TARGET = Target("weights_h5", FILE, seeds, mutate, ROWS, fixtures)
