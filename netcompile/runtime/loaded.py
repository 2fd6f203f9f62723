"""A net ready to compute, from a build's folder or from a prototxt and a caffemodel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from netcompile.analyser import Analysed
from netcompile.analysis.outputs import Output, described
from netcompile.compiler import compile_net
from netcompile.data.preprocessing import Preprocessing, from_json
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.module import EmittedModule
from netcompile.files.look import is_file
from netcompile.files.named import below
from netcompile.files.npz import read_npy
from netcompile.files.reading import open_file, read_json
from netcompile.files.whole import recover, settled
from netcompile.ir.graph import Graph
from netcompile.layers.traits import Rows
from netcompile.runtime.emitted import by_name, instance
from netcompile.runtime.execute import DTYPES, Noticed, ties, uninitialised, with_weights

MANIFEST = "manifest.json"
Blob = tuple[str, tuple[int, ...]]  # name, shape


@dataclass(frozen=True, slots=True)
class Loaded:
    """An `nn.Module` and what is known about its inputs and outputs. `graph` is None for a build.

    `known` are its outputs, of a build those alone that it has; `fixed` is the declared height and width of a net
    that takes few other sizes, or none; None where it takes any, or nobody knows.
    """

    net: nn.Module
    name: str
    inputs: tuple[Blob, ...]
    outputs: tuple[str, ...]
    identity: str  # changes whenever the net or its weights do
    graph: Graph | None = None
    images: Mapping[str, Preprocessing | None] = field(default_factory=dict)  # the inputs that take images
    known: tuple[Output, ...] = ()
    fixed: tuple[int, int] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)  # of blobs that no variable of a build can be called as
    edited: tuple[str, ...] = ()  # files of a build that are not those that were built
    onnx: str | None = None  # the name of a build's ONNX file, which is not looked at
    level: int | None = None  # of a build's optimisation, where its manifest says it

    def __call__(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One forward pass; every output by blob name."""
        return by_name(self.net(*(feed[name] for name, _ in self.inputs)), self.outputs)


def is_build(path: str) -> bool:
    """Whether the path is the folder of a build; one that was interrupted while its files appeared is finished."""
    manifest = os.path.join(path, MANIFEST)
    if not is_file(manifest):  # it may be under way
        recover(path)
    return is_file(manifest)


def load_build(folder: str, trust_edits: bool = False) -> Loaded:
    """The module of a build's folder with its weights, in evaluation mode. This runs the module's file.

    Raises NetError where the folder is no whole build, or its files are not those that its manifest was written for;
    with `trust_edits` such files are taken as they are, and named in `edited`.
    """
    return settled(os.path.join(folder, MANIFEST), lambda: _load(folder, trust_edits))


def onnx_of_build(folder: str, name: str) -> str | None:
    """The path of a build's ONNX file where it is the one that was built; None where it is another one, or not there.

    Raises OSError.
    """
    try:
        with _built(folder, name, dict(read_json(os.path.join(folder, MANIFEST))["sha256"]), None):
            return os.path.join(folder, name)
    except (NetError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _load(folder: str, trust_edits: bool) -> Loaded:
    edited: dict[str, str] | None = {} if trust_edits else None
    try:
        manifest = read_json(os.path.join(folder, MANIFEST))
        inputs = tuple((str(i["name"]), tuple(int(n) for n in i["shape"])) for i in manifest["inputs"])
        names = {key: str(manifest[key]) for key in ("net", "module", "class")}
        hashes = dict(manifest["sha256"])
        outputs = _names(manifest["outputs"])
        weights = None if manifest["weights"] is None else str(manifest["weights"])
        images = {str(n): _prepared(folder, fields, hashes, edited) for n, fields in manifest.get("images", {}).items()}
        upsampled = _names(manifest.get("upsampled", []))
        known = tuple(_output(manifest, name, name in upsampled) for name in outputs)
        fixed = None if manifest.get("fixed") is None else tuple(int(n) for n in manifest["fixed"])
        if fixed is not None and len(fixed) != 2:
            raise ValueError(f"{fixed} is no height and width")
        onnx = None if manifest.get("onnx") is None else str(manifest["onnx"])
        variables = {str(blob): str(name) for blob, name in manifest.get("variables", {}).items()}
        level = None if manifest.get("optimisation") is None else int(manifest["optimisation"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _broken(folder, f"its {MANIFEST} cannot be read: {type(error).__name__}: {error}") from None
    if not outputs:
        raise _broken(folder, f"its {MANIFEST} names no outputs")
    # The parameters become those of the file, and are never in memory twice.
    with _built(folder, names["module"], hashes, edited) as file, uninitialised():
        try:
            net = instance(file.read().decode("utf-8"), names["class"], os.path.join(folder, names["module"]))
        except LookupError as error:
            raise _broken(folder, str(error.args[0])) from None
        except Exception as error:
            if not edited:
                raise
            raise _broken(folder, f"'{names['module']}' cannot be run: {type(error).__name__}: {error}") from error
    if weights:
        with _built(folder, weights, hashes, edited) as file:
            try:
                tensors = load_file(os.path.join(folder, weights))
            except SafetensorError as error:
                raise _broken(folder, f"'{weights}' is damaged: {error}") from None
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(os.path.join(folder, weights))):
                raise _broken(folder, f"'{weights}' was replaced while it was read")
        try:
            net.load_state_dict(tensors, assign=not ties(net))
        except RuntimeError as error:
            if not edited:
                raise
            raise _broken(folder, f"'{weights}' does not fit the module: {error}") from None
    elif any(True for _ in net.parameters()):
        raise _broken(folder, "it was built without weights", "netcompile build … --weights F.caffemodel")
    hashes |= edited or {}
    identity = " ".join(str(hashes.get(name)) for name in (names["module"], *([weights] if weights else [])))
    net.train(manifest.get("phase") == "train")
    made_by_hand = tuple(edited or ())
    return Loaded(
        net, names["net"], inputs, outputs, identity, None, images, known, fixed, variables, made_by_hand, onnx, level
    )  # fmt: skip


def _names(found: Any) -> tuple[str, ...]:
    """A manifest's list of names."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{found!r:.60} is no list of names")
    return tuple(found)


def _output(manifest: Mapping[str, Any], name: str, upsampled: bool) -> Output:
    """What the manifest says of an output."""
    shape = tuple(int(n) for n in manifest.get("shapes", {}).get(name, ()))
    rows = manifest.get("rows", {}).get(name)
    return Output(
        name, shape, str(manifest.get("kinds", {}).get(name, "")), upsampled,
        None if rows is None else Rows(int(rows["labels"]), bool(rows["background"]), bool(rows["centred"])),
    )  # fmt: skip


def _prepared(
    folder: str, fields: Any, hashes: Mapping[str, Any], edited: dict[str, str] | None
) -> Preprocessing | None:
    """What an input's images go through; None where the net did not say."""
    if fields is None:
        return None
    if fields.get("mean_image") is None:
        return from_json(fields, None)
    name = str(fields["mean_image"])
    with _built(folder, name, hashes, edited):
        return from_json(fields, read_npy(os.path.join(folder, name)))


@contextmanager
def _built(
    folder: str, name: str, hashes: Mapping[str, Any], edited: dict[str, str] | None
) -> Iterator[BinaryIO]:  # fmt: skip
    """A file of the build, open, its checksum compared with the manifest's. Raises NetError where it is another one.

    Where `edited` is given it takes that file's checksum by its name, and nothing is raised.
    """
    path = os.path.join(folder, name)
    if os.path.basename(name) != name or not is_file(path):
        raise _broken(folder, f"'{name}' is not in it")
    try:
        below(os.path.dirname(os.path.realpath(os.path.join(folder, MANIFEST))), os.path.realpath(path))
    except ValueError:
        raise _broken(folder, f"'{name}' is a link that leads out of it") from None
    with open_file(path) as file:
        digest = file_digest(file, "sha256").hexdigest()
        if digest != hashes.get(name):
            if edited is None:
                what = f"'{name}' is not the file that was built: its checksum differs from the manifest's"
                raise _broken(
                    folder, what, "build it again; --trust-edits takes it as it is (Python: trust_edits=True)"
                )
            edited[name] = digest
        file.seek(0)
        yield file


def _broken(folder: str, what: str, remedy: str = "build it again") -> NetError:
    return NetError(Diagnostic("build-folder", f"{folder}: {what}", remedy=remedy))


def load_compiled(
    analysed: Analysed, weights: str | None, level: int = 1, outputs: Sequence[str] | None = None,
    dtype: str = "float32", noticed: Noticed | None = None,
) -> Loaded:  # fmt: skip
    """The compiled net with its weights, in float32; `dtype` is the type that it will run in. Raises NetError.

    `noticed` takes what was noticed about the weights.
    """
    module = compile_net(analysed, level, outputs, weights, dtype=dtype)
    net = with_weights(analysed, module, weights, noticed=noticed)
    return loaded_net(analysed, module, net, identity_of(module, net))


def identity_of(module: EmittedModule, net: nn.Module) -> str:
    """A text that changes whenever the source or the weights do."""
    digest = sha256(module.source.encode())
    for key, tensor in sorted(net.state_dict().items()):
        digest.update(key.encode())
        digest.update(memoryview(tensor.contiguous().numpy()).cast("B") if tensor.numel() else b"")
    return digest.hexdigest()


def loaded_net(analysed: Analysed, module: EmittedModule, net: nn.Module, identity: str) -> Loaded:
    """A net of a prototxt, with what is known of it."""
    return Loaded(
        net,
        analysed.name,
        tuple((value.blob, analysed.shapes[value]) for value in module.inputs),
        tuple(module.outputs),
        identity,
        analysed.graph,
        {},
        described(analysed.graph, analysed.shapes, tuple(module.outputs)),
        analysed.fixed,
    )


def to_device(loaded: Loaded, device: str, dtype: str = "float32") -> torch.device:
    """Move the net to a device, with full float32 accuracy there, and say which device it is."""
    target = torch.device(device)
    if target.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.cuda.set_device(target)
    loaded.net.to(device=target, dtype=DTYPES[dtype])
    return target
