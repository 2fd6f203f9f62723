"""A net as an `nn.Module` in one line.

>>> import netcompile
>>> net = netcompile.load("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel")
>>> type(net).__name__, net.training
('ShapesFcn8s', False)

It is a plain module: it computes at any size for which the net is legal, moves to any device, learns.

>>> import torch
>>> with torch.inference_mode():
...     score = net(torch.zeros(1, 3, 40, 56))
>>> tuple(score.shape)
(1, 6, 40, 56)
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from netcompile.algebra.effort import bounded
from netcompile.analyser import Analysed, analyse
from netcompile.analysis.footprint import require_weights
from netcompile.data.preprocessing import of_input
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.module import EmittedModule
from netcompile.engines.builds import build_in
from netcompile.engines.catalogue import CHOICES
from netcompile.engines.compiled import Wanted, ready
from netcompile.files import limits
from netcompile.files.named import remote
from netcompile.ir.build import Options
from netcompile.predicting import with_about
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.execute import load_source, with_weights
from netcompile.runtime.loaded import is_build, load_build
from netcompile.runtime.notebook import facts_of, facts_of_build, with_facts
from netcompile.runtime.tuning import SECONDS
from netcompile.tasks.inputs import described_net
from netcompile.tasks.task import Net
from netcompile.zoo.find import find_definition, find_weights

PathLike = str | os.PathLike[str]


def load(
    net: PathLike, weights: PathLike | None = None, *, phase: str = "test", level: int | None = None,
    outputs: Sequence[str] | None = None, inputs: Mapping[str, Sequence[int]] | None = None,
    stages: Sequence[str] = (), with_loss: bool = False, crop_offsets: str = "auto",
    max_memory: int | str | None = None, trust_edits: bool = False, style: str | None = None,
    engine: str = "torch", tune: bool | float = False, frozen: bool = False,
) -> nn.Module:  # fmt: skip
    """The net with its weights, in evaluation mode unless `phase` is "train".

    `net`: a prototxt, a bundled definition ("voc-fcn8s/val.prototxt"), or the folder of a build, whose code is run.
    `weights`: a .caffemodel or .caffemodel.h5; without one the parameters are PyTorch's initial ones.
    `level`: optimisation, 0 to 2, by default 1; with engine="auto" or `tune` 2. `outputs`: blobs to return, by default
    the net's; of one the module returns a tensor, of several a dictionary by blob name. `inputs`: shapes of inputs that
    the file does not declare.
    `style`: "flat" or "blocks", by default blocks where they make the source shorter by a quarter.
    `trust_edits`: take a build whose files were changed since as it is, with a warning that names them.
    `engine`: what computes: "torch", "onnxruntime", "openvino", or "auto", the fastest of them here, measured once. In
    another engine than torch the net is a module without parameters, for float32 on the CPU, in evaluation mode.
    `tune`: the way of each convolution as it was measured for this net and machine, or is measured now, within two
    seconds or so many as are given; in float32 on the CPU, at the declared size.
    `frozen`: the promise that nothing writes the weights where torch does not count it, that is by `.data`, by NumPy or
    from another process: a net of level 2 then need not read them at every call, to see whether they have changed.
    `max_memory`: what the weights may take, as bytes or as text such as "2GB"; by default half of what is free.

    Raises NetError with every mistake of the file and of the weights; OSError; ValueError for arguments that are none.

    >>> load("shapes-fcn8s/deploy.prototxt", outputs=["pool3", "score"])(__import__("torch").zeros(1, 3, 16, 16)).keys()
    dict_keys(['pool3', 'score'])
    """
    if phase not in ("test", "train"):
        raise ValueError(f"phase is 'test' or 'train', not {phase!r}")
    if style not in (None, "blocks", "flat"):
        raise ValueError(f"style is 'blocks' or 'flat', not {style!r}")
    if engine not in CHOICES:
        raise ValueError(f"engine is one of {', '.join(CHOICES)}, not {engine!r}")
    seconds = _seconds(tune)
    with limits.max_memory(None if max_memory is None else limits.memory_size(str(max_memory))):
        if is_build(os.fspath(net)):
            if weights is not None or outputs is not None or inputs is not None:
                raise ValueError("a build has its weights and outputs: load the prototxt to choose others")
            return _build(os.fspath(net), trust_edits, engine, seconds, frozen)
        return _load(
            net, weights, phase, level, outputs, inputs, stages, with_loss, crop_offsets, style, engine, seconds, frozen
        )


def _seconds(tune: object) -> float | None:
    """What `tune` may take, None where nothing is to be measured."""
    if isinstance(tune, bool):
        return SECONDS if tune else None
    if not isinstance(tune, int | float) or not 0 <= tune < 1e9:
        raise ValueError(f"tune is True, False or a number of seconds, not {tune!r}")
    return float(tune)


def _build(folder: str, trust_edits: bool, engine: str, tune: float | None, frozen: bool) -> nn.Module:
    loaded = load_build(folder, trust_edits)
    if loaded.edited:
        names = ", ".join(f"'{name}'" for name in loaded.edited)
        warnings.warn(f"{folder}: not as built, and trusted as asked for: {names}", stacklevel=3)
    loaded, _, notes = build_in(folder, loaded, engine, tune=tune, frozen=frozen)
    _warn(notes)
    net = with_facts(loaded.net, facts_of_build(folder, loaded.name, loaded.inputs, loaded.outputs))
    images = dict(loaded.images) or dict.fromkeys(name for name, _ in loaded.inputs)
    return with_about(net, loaded.name, Net(loaded.inputs, loaded.known, (), loaded.fixed, images))


def _load(
    net: PathLike, weights: PathLike | None, phase: str, level: int | None, outputs: Sequence[str] | None,
    inputs: Mapping[str, Sequence[int]] | None, stages: Sequence[str], with_loss: bool, crop_offsets: str,
    style: str | None, engine: str, tune: float | None, frozen: bool,
) -> nn.Module:  # fmt: skip
    shapes = {name: tuple(shape) for name, shape in (inputs or {}).items()}
    options = Options(train=phase == "train", stages=tuple(stages), shapes=shapes, with_loss=with_loss)
    for given in (net, weights):
        if given is not None and (wrong := remote(os.fspath(given))) is not None:
            raise NetError(wrong)
    path = str(find_weights(weights) or os.fspath(weights)) if weights is not None else None
    with bounded():
        analysed = analyse(open_source(find_definition(net) or net), options, crop_offsets)
        if path is None:
            require_weights(analysed.source.name, analysed.graph, analysed.shapes)

        def make(module: EmittedModule) -> nn.Module:
            if path is not None:
                return with_weights(analysed, module, path)
            return load_source(module).train(phase == "train")

        same = path is not None
        wanted = Wanted(engine, level, outputs, path, style=style, same=same, tune=tune, frozen=frozen)
        found = ready(analysed, make, wanted)
        module = found.module
        _warn(found.notes)
        facts = facts_of(analysed, module)
        about = _about(analysed, module, os.path.dirname(analysed.source.name))
    return with_about(with_facts(found.net, facts), analysed.name, about)


def _warn(notes: Sequence[Diagnostic]) -> None:
    """What an engine has to say, but for what was measured."""
    for note in notes:
        if note.code not in ("engine-measured", "plan", "plan-busy"):
            warnings.warn(str(note), stacklevel=4)


def _about(analysed: Analysed, module: EmittedModule, beside: str) -> Net:
    """What `predict` has to know of the module."""
    net = described_net(analysed, tuple(module.outputs))
    entries = [entry for entry in analysed.graph.inputs if entry.value in module.inputs]
    images = {entry.value.blob: of_input(entry, beside)[0] for entry in entries if len(entry.shape) == 4}
    inputs = tuple((value.blob, analysed.shapes[value]) for value in module.inputs)
    return replace(net, inputs=inputs, images=images)
