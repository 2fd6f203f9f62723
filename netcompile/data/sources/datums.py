"""Data: the records of an LMDB in the order of their keys, each an image with a number as its label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netcompile.array import Array
from netcompile.data.datum import pixels_of
from netcompile.data.lmdb import FILE, Records, lmdb_file, open_lmdb
from netcompile.data.paths import first_there
from netcompile.data.sources.base import Batches, Order, Wanted, require_batch, stacked
from netcompile.data.sources.transform import Transform, read_transform
from netcompile.diagnostics.diagnostic import located, refuse
from netcompile.diagnostics.source import Span
from netcompile.files.look import is_file
from netcompile.ir.graph import Input
from netcompile.prototxt.message import Message

# FlowNet's fields, which make several tops of one record, or choose records.
_UNREAD = ("slice_point", "encoding", "preselection_file", "preselection_label")
_LEVELDB = """pip install plyvel lmdb; python -c "import lmdb, plyvel; t = lmdb.open('NEW', map_size=1 << 40)\
.begin(write=True); [t.put(*r) for r in plyvel.DB('OLD')]; t.commit()" makes an LMDB of it"""


@dataclass(frozen=True, slots=True)
class LabelledDatums:
    """Batches of images with their labels."""

    records: Records
    tops: tuple[str, ...]
    size: int
    order: Order
    transform: Transform
    colour: bool | None
    seed: int
    span: Span  # of the source in the net

    def batch(self, index: int) -> dict[str, Array]:
        images: list[Array] = []
        labels = []
        with located(self.span):
            for k in range(index * self.size, (index + 1) * self.size):
                _, pixels, datum = pixels_of(self.records, self.order(k), self.colour)
                image = self.transform(pixels, np.random.default_rng((self.seed & (2**63 - 1), k)))
                if not images:
                    require_batch(image, self.size)
                images.append(image)
                labels.append(datum.label)
            return dict(zip(self.tops, (stacked(images), np.asarray(labels, np.float32)), strict=False))


def datum_data(entries: Sequence[Input], wanted: Wanted) -> Batches:
    """The source of a Data layer. Raises NetError, OSError."""
    message = entries[0].message
    section = message.get("data_param")
    records, order = open_records(entries[0], section, wanted)
    colour = colour_of(message.get("transform_param"), bool(section.get("force_encoded_color")))
    transform = read_transform(
        message.get("transform_param"), lambda path: wanted.find(path, "mean file", entries[0]), wanted.train
    )
    size, span = int(section.get("batch_size")), section.span_of("source")
    return LabelledDatums(records, tuple(message.all("top")), size, order, transform, colour, wanted.seed, span)


def open_records(entry: Input, section: Message, wanted: Wanted) -> tuple[Records, Order]:
    """The data base that a ``data_param`` names, and the order in which its records come. Raises NetError, OSError."""
    at = entry.message.span_of("type")
    if not section.has("source") or int(section.get("batch_size") or 0) < 1:
        refuse("param-missing", f"{entry.message.get('type')} needs a source and a batch_size", at)
    for name in _UNREAD:
        if section.has(name):
            why, remedy = "FlowNet's layer makes of a record what it says", "--data BATCHES.npz"
            refuse("data-field", f"'{name}' of data_param is not done here", section.name_span_of(name), why, remedy)
    with located(section.span_of("source")):
        records = open_lmdb(_place(entry, str(section.get("source")), wanted))
        if not len(records):
            refuse("data-file", f"{records.name}: the data base is empty")
    skip = int(section.get("rand_skip"))
    if skip:
        skip = int(np.random.default_rng(wanted.seed & (2**63 - 1)).integers(skip))
    shuffle = bool(section.get("shuffle") or section.get("rand_permute"))
    return records, Order(len(records), shuffle, wanted.seed, skip)


def _place(entry: Input, source: str, wanted: Wanted) -> str:
    """Where the LMDB is. Raises NetError where it is not, and where a LevelDB is in its place."""
    span = entry.message.get("data_param").span_of("source")
    path = first_there(os.path.join(folder, source) for folder in wanted.folders)
    if path is None:
        why = f"layer '{entry.message.get('name')}' reads it"
        remedy = "put it there, or feed the net with --data: BATCHES.npz, a FOLDER, or LIST.txt of images and labels"
        refuse("no-such-file", f"there is no data base '{source}'", span, why, remedy)
    if lmdb_file(path) is None:
        if is_file(os.path.join(path, "CURRENT")):
            refuse("leveldb", f"{path} is a LevelDB: only LMDB is read here", span, remedy=_LEVELDB)
        refuse("data-file", f"{path} is no LMDB", span, f"an LMDB is a folder with a {FILE}")
    return path


def colour_of(transform: Message, forced: bool = False) -> bool | None:
    """Whether encoded images are made colour or grey; None leaves them as they are. Raises NetError for both."""
    colour, grey = bool(transform.get("force_color")), bool(transform.get("force_gray"))
    if colour and grey:
        at = transform.span_of("force_gray")
        refuse("param-conflict", "force_color and force_gray together", at, "Caffe takes one or the other", "keep one")
    return True if colour or forced else False if grey else None
