"""Snapshots that resume to the bit: blobs and histories as .safetensors, everything else as .json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse
from netcompile.train.blobs import LayerBlobs

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Progress:
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
    format: int = field(default=FORMAT)


def caffe_blobs(layers: Sequence[LayerBlobs], blobs: Mapping[Take, Tensor]) -> dict[str, Tensor]:
    """Copies of all blobs under ``<layer>.<index>``; as Caffe writes them, shared ones with every layer of theirs."""
    return {
        layer.key(index): blobs[owner].detach().to("cpu", torch.float32).reshape(shape).clone()
        for layer in layers
        for index, (owner, shape) in enumerate(zip(layer.owners, layer.shapes, strict=True))
    }


def write_tensors(path: str, tensors: Mapping[str, Tensor]) -> None:
    """A .safetensors file, whole or not at all. Raises OSError."""

    _write(path, save({key: tensor.contiguous() for key, tensor in tensors.items()}, {"format": "pt"}))


def write_json(path: str, value: object) -> None:
    """A JSON file, whole or not at all. Raises OSError."""
    _write(path, (json.dumps(value, indent=1) + "\n").encode())


def _write(path: str, data: bytes) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def write_snapshot(prefix: str, progress: Progress, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """``PREFIX_iter_N.safetensors`` (the blobs), ``….state.safetensors`` and last ``….json``: its path is returned."""
    stem = f"{prefix}_iter_{progress.iteration}"
    write_tensors(f"{stem}.safetensors", weights)
    write_tensors(f"{stem}.state.safetensors", state)
    values = asdict(progress)
    values["weights"] = os.path.basename(f"{stem}.safetensors")
    values["state"] = os.path.basename(f"{stem}.state.safetensors")
    write_json(f"{stem}.json", values)
    return f"{stem}.json"


def read_snapshot(path: str) -> tuple[Progress, dict[str, Tensor], dict[str, Tensor]]:
    """What `write_snapshot` wrote, from its .json. Raises NetError for anything else, OSError."""

    def no(what: str, why: str = "") -> NetError:
        remedy = "give the .json of a snapshot that train wrote"
        return NetError(Diagnostic("snapshot", f"{path}: {what}", why=why, remedy=remedy))

    try:
        with open(path, encoding="utf-8") as file:
            values: Any = json.load(file)
    except (ValueError, UnicodeDecodeError):
        raise no("not a snapshot", "it is no JSON text") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise no("not a snapshot", f"its format is not {FORMAT}")
    try:
        for key in ("recent", "losses", "tested"):
            values[key] = tuple(values[key])
        progress = Progress(**values)
    except (TypeError, KeyError):
        raise no("not a snapshot", "its fields are not those of a snapshot") from None
    folder = os.path.dirname(path)
    loaded = []
    for name in (progress.weights, progress.state):
        part = os.path.join(folder, os.path.basename(name))
        if not os.path.isfile(part):
            raise no(f"its file {os.path.basename(name)} is missing", "a snapshot is three files in one folder")
        try:
            loaded.append(load_file(part))
        except SafetensorError as error:
            raise no(f"its file {os.path.basename(name)} is damaged", str(error)) from None
    return progress, loaded[0], loaded[1]


def restore(
    path: str, tensors: Mapping[str, Tensor], layers: Sequence[LayerBlobs], blobs: Mapping[Take, Tensor]
) -> None:
    """Put a snapshot's blobs back. Raises NetError where they are not the net's."""
    mine = {layer.key(index): owner for layer in layers for index, owner in enumerate(layer.owners)}
    if mine.keys() != tensors.keys():
        odd = sorted(mine.keys() ^ tensors.keys())
        refuse(
            "snapshot",
            f"{path}: a snapshot of another net",
            why=f"only one of the two has {', '.join(odd[:5])}",
        )
    with torch.no_grad():
        for key, owner in mine.items():
            if blobs[owner].numel() != tensors[key].numel():
                refuse("snapshot", f"{path}: {key} has another size in this net")
            blobs[owner].copy_(tensors[key].reshape(blobs[owner].shape))
