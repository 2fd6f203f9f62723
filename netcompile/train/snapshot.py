"""Snapshots that resume to the bit: blobs and histories as .safetensors, everything else as .json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import file_digest
from typing import Any

import torch
from torch import Tensor

from netcompile.caffemodel.plan import LayerSpec
from netcompile.caffemodel.recipe import Take
from netcompile.caffemodel.tensorfile import Entry, write
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.files.hashes import hashes
from netcompile.files.look import is_file
from netcompile.files.reading import open_file, read_json
from netcompile.files.whole import settled, whole_folder
from netcompile.runtime.tensor_file import read_tensors

FORMAT = 1
_FIELDS = {"iteration": int, "step": int, "type": str, "seed": int, "weights": str, "state": str}


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where a training stands, beside its tensors."""

    iteration: int  # how often the weights have been updated
    step: int  # steps that the learning rate has taken
    type: str  # the solver's
    seed: int
    recent: tuple[float, ...] = ()  # losses that average_loss averages
    losses: tuple[float, ...] = ()  # every step's so far
    tested: tuple[int, ...] = ()  # batches that each test net has seen
    weights: str = ""
    state: str = ""
    format: int = FORMAT


def caffe_blobs(layers: Sequence[LayerSpec], blobs: Mapping[Take, Tensor]) -> dict[str, Tensor]:
    """Copies of all blobs under ``<layer>.<index>``; as Caffe writes them, shared ones with every layer of theirs."""
    return {
        str(take): blobs[owner].detach().to("cpu", torch.float32).reshape(shape).clone()
        for layer in layers
        for take, owner, shape in zip(layer.takes(), layer.owners(), layer.blobs, strict=True)
    }


def write_tensors(path: str, tensors: Mapping[str, Tensor], staging: str | None = None) -> None:
    """A .safetensors file, whole or not at all; `staging` is as for `whole_file`. Raises OSError."""
    entries = []
    for key, tensor in tensors.items():
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
        entries.append(Entry(key, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), [data].copy))
    write(path, entries, {"format": "pt"}, staging)


def json_bytes(value: object) -> bytes:
    """A JSON text with an entry a line."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_snapshot(
    prefix: str, progress: TrainingState, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> str:
    """``PREFIX_iter_N.safetensors`` (the blobs), ``….state.safetensors`` and ``….json``, whose path is returned.

    The three appear together. Raises OSError.
    """
    folder, stem = os.path.split(f"{prefix}_iter_{progress.iteration}")
    values = asdict(progress)
    values["weights"] = f"{stem}.safetensors"
    values["state"] = f"{stem}.state.safetensors"
    with whole_folder(folder or ".", _group(stem)) as staged:
        write_tensors(staged.add(values["weights"]), weights)
        write_tensors(staged.add(values["state"]), state)
        values["sha256"] = hashes(staged)
        staged.write(f"{stem}.json", json_bytes(values))
    return os.path.join(folder, f"{stem}.json")


def _group(stem: str) -> str:
    """Several trainings may write to one folder at once."""
    return f"-{stem[:100]}"


def read_snapshot(path: str) -> tuple[TrainingState, dict[str, Tensor], dict[str, Tensor]]:
    """What `write_snapshot` wrote, from its .json. Raises NetError for anything else, OSError."""
    return settled(path, lambda: _read(path), _group(os.path.basename(path).removesuffix(".json")))


def _read(path: str) -> tuple[TrainingState, dict[str, Tensor], dict[str, Tensor]]:
    try:
        values: Any = read_json(path)
    except ValueError:
        raise _no(path, "not a snapshot", "it is no JSON text") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise _no(path, "not a snapshot", f"its format is not {FORMAT}")
    try:
        for key in ("recent", "losses", "tested"):
            values[key] = tuple(values[key])
        sums = dict(values.pop("sha256", {}))
        progress = TrainingState(**values)
        _check_types(progress)
    except (TypeError, KeyError):
        raise _no(path, "not a snapshot", "its fields are not those of a snapshot") from None
    weights, state = (_part(path, os.path.basename(name), sums) for name in (progress.weights, progress.state))
    return progress, weights, state


def _part(path: str, name: str, sums: Mapping[str, Any]) -> dict[str, Tensor]:
    """One of the two files of tensors. `sums` are the checksums of those that were written with the .json."""
    part = os.path.join(os.path.dirname(path), name)
    if not is_file(part):
        raise _no(path, f"its file {name} is missing", "a snapshot is three files in one folder")
    with open_file(part) as file:
        other = name in sums and file_digest(file, "sha256").hexdigest() != sums[name]
        try:
            tensors = read_tensors(part)
        except ValueError as error:
            raise _no(path, f"its file {name} is damaged", str(error)) from None
        if other or not os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
            raise _no(path, f"its file {name} is of another snapshot", "its checksum is not the one in the .json")
    return tensors


def _no(path: str, what: str, why: str = "") -> NetError:
    return NetError(
        Diagnostic("snapshot", f"{path}: {what}", why=why, remedy="give the .json of a snapshot that train wrote")
    )


def _check_types(progress: TrainingState) -> None:
    """Raises TypeError for a field of another type than the training writes."""
    numbers = (progress.iteration, progress.step, progress.seed, *progress.tested)
    texts = (progress.type, progress.weights, progress.state)
    counts = (progress.iteration, progress.step, *progress.tested)
    if (
        not all(type(n) is int and -(1 << 63) <= n < 1 << 64 for n in numbers)
        or min(counts) < 0
        or not all(type(t) is str for t in texts)
    ):
        raise TypeError
    if not all(type(loss) in (int, float) for loss in (*progress.recent, *progress.losses)):
        raise TypeError


def restore(
    path: str, tensors: Mapping[str, Tensor], layers: Sequence[LayerSpec], blobs: Mapping[Take, Tensor]
) -> None:
    """Put a snapshot's blobs back. Raises NetError where they are not the net's."""
    mine = {str(take): owner for layer in layers for take, owner in zip(layer.takes(), layer.owners(), strict=True)}
    if mine.keys() != tensors.keys():
        odd = sorted(mine.keys() ^ tensors.keys())
        refuse("snapshot", f"{path}: a snapshot of another net", why=f"only one of the two has {', '.join(odd[:5])}")
    with torch.no_grad():
        for key, owner in mine.items():
            if blobs[owner].numel() != tensors[key].numel():
                refuse("snapshot", f"{path}: {key} has another size in this net")
            blobs[owner].copy_(tensors[key].reshape(blobs[owner].shape))
