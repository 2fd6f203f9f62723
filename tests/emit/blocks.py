"""A net in blocks held against the same net flat: results, gradients, state, keys and places, all bit for bit.

``python -m tests.emit.blocks`` compares every conformance case, alone and three times beside itself, every bundled net
and, where it lies beside the checkout, the corpus; ``python -m tests.emit.blocks FILE …`` these files. It prints a line
for each net that has blocks or differs.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netcompile.analyser import Analysed, analyse
from netcompile.array import Array
from netcompile.compiler import compile_net
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.emit.blobs import blobs_of
from netcompile.emit.code import Weight
from netcompile.emit.module import EmittedModule
from netcompile.emit.weights import blob_keys
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from netcompile.runtime.emitted import by_name
from netcompile.runtime.execute import load_source, with_weights
from netcompile.runtime.random_weights import draw
from tests.conftest import ALL_CASES, REPOSITORY, ConformanceCase
from tests.emit.towers import renamed, towers

LEVELS = (1, 2)
SEED = 3
LARGE = 20_000_000  # parameters
CORPUS = REPOSITORY.parent / "shared" / "corpus"


@dataclass(frozen=True, slots=True)
class Pair:
    """One net at one level: flat, and in blocks; `style` is what the second is."""

    flat: EmittedModule
    blocks: EmittedModule

    @property
    def style(self) -> str:
        return self.blocks.style


@dataclass(slots=True)
class Found:
    """What was compared of a net, and what differs."""

    compared: list[Pair] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def pair(net: Analysed, level: int, outputs: Sequence[str] | None = None, weights: str | None = None) -> Pair:
    """The net at one level in both styles."""
    flat, blocks = (compile_net(net, level, outputs, weights, style=style) for style in ("flat", "blocks"))
    return Pair(flat, blocks)


def compare(
    net: Analysed,
    inputs: Mapping[str, Array] | None = None,
    *,
    levels: Sequence[int] = LEVELS,
    outputs: Sequence[str] | None = None,
    weights: str | None = None,
    learning: bool = False,
    always: bool = False,
) -> Found:
    """Run a net in both styles; `learning` compares gradients as well, `always` also those that stay flat."""
    found = Found()
    for level in levels:
        both = pair(net, level, outputs, weights)
        found.compared.append(both)
        found.differences += [f"-O{level}: {each}" for each in _written(both)]
        if both.style == "blocks" or always:
            found.differences += [f"-O{level}: {each}" for each in _ran(net, both, inputs, weights, learning)]
    return found


def _written(both: Pair) -> Iterator[str]:
    """What differs in what the modules are, before they run."""
    flat, blocks = both.flat, both.blocks
    if both.style == "flat":
        if flat.source != blocks.source:
            yield "flat, and not the flat source"
        return
    if (flat.inputs, flat.outputs, flat.class_name) != (blocks.inputs, blocks.outputs, blocks.class_name):
        yield "other inputs, outputs or class name"
    if flat.blobs != blocks.blobs:
        yield "other blobs"
    old, new = ([(w.layer, w.recipe) for w in m.weights] for m in (flat, blocks))
    if sorted(map(repr, old)) != sorted(map(repr, new)):
        yield "other tensors"
    if len({weight.key for weight in blocks.weights}) < len(blocks.weights):
        yield "two tensors have one key"
    keys = blob_keys(blocks)
    if keys.keys() != blob_keys(flat).keys():
        yield f"other blobs in the keys: {sorted(keys.keys() ^ blob_keys(flat).keys())[:5]}"
    if wrong := set(keys.values()) - {weight.key for weight in blocks.weights}:
        yield f"keys that are none: {sorted(wrong)[:5]}"
    if lost := flat.lines.keys() - blocks.lines.keys():
        yield f"layers without lines: {[flat.nodes[index].name for index in sorted(lost)][:5]}"
    count = blocks.source.count("\n")
    if any(not 0 < first <= last <= count for first, last in blocks.lines.values()):
        yield "lines outside the source"


def _ran(
    net: Analysed, both: Pair, inputs: Mapping[str, Array] | None, weights: str | None, learning: bool
) -> Iterator[str]:
    """What differs when both run: results, and then the state; with `learning` gradients."""
    given = [_input(net, value.blob, net.shapes[value], inputs) for value in both.flat.inputs]
    ran = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # gradients differ from run to run with several
    for made, module in zip(_filled(net, both, weights), (both.flat, both.blocks), strict=True):
        ran.append(_run(made, module, given, learning))
        if isinstance(ran[-1], str):
            break
    torch.set_num_threads(threads)
    if isinstance(ran[0], str):
        return  # a net that does not run flat is another test's business
    if isinstance(ran[1], str):
        yield f"does not run: {ran[1]}"
        return
    for kind, old, new in zip(("result", "state", "gradient"), ran[0], ran[1], strict=True):
        if old.keys() != new.keys():
            yield f"other {kind}s: {sorted(map(str, old.keys() ^ new.keys()))[:5]}"
        yield from (f"{kind} {name}: {text}" for name in old if (text := _unlike(old[name], new.get(name))))


def _filled(net: Analysed, both: Pair, weights: str | None) -> tuple[nn.Module, nn.Module]:
    """Both with the same weights: each filled by its own plan, or, of a large net, the one's copied to the other."""
    if weights is not None:
        return with_weights(net, both.flat, weights), with_weights(net, both.blocks, weights)
    if _size(net) < LARGE:
        return draw(net, both.flat, SEED), draw(net, both.blocks, SEED)
    torch.manual_seed(SEED)
    flat, blocks = load_source(both.flat), load_source(both.blocks)
    state = {key: v.uniform_(0.5, 1.5) if v.dim() == 1 else v for key, v in flat.state_dict().items()}
    keys = {_made_of(weight): weight.key for weight in both.flat.weights}
    blocks.load_state_dict({weight.key: state[keys[_made_of(weight)]] for weight in both.blocks.weights})
    return flat.train(net.graph.train), blocks.train(net.graph.train)


def _size(net: Analysed) -> int:
    """How many parameters a net has."""
    return sum(prod(spec.shape) for blobs in blobs_of(net.graph, net.shapes) for spec in blobs.specs)


def _made_of(weight: Weight) -> tuple[str, str]:
    return weight.layer, repr(weight.recipe)


def _input(net: Analysed, blob: str, shape: tuple[int, ...], inputs: Mapping[str, Array] | None) -> Tensor:
    if inputs is not None and blob in inputs:
        return torch.from_numpy(np.array(inputs[blob])).reshape(shape)
    random = np.random.RandomState(SEED)
    whole = len(shape) < 4 or shape[1] == 1  # labels, rows, marks
    values = random.randint(0, 2, shape) if whole and net.graph.train else random.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


_Numbers = dict[Any, Tensor]


def _run(
    made: nn.Module, module: EmittedModule, given: Sequence[Tensor], learning: bool
) -> tuple[_Numbers, _Numbers, _Numbers] | str:
    """Results by blob, then state and gradients by what the tensors are made of; a text where it fails."""
    torch.manual_seed(SEED)
    fresh = [each.clone().requires_grad_(learning) for each in given]
    try:
        with torch.set_grad_enabled(learning):
            results = by_name(made(*(each * 1 if learning else each for each in fresh)), module.outputs)
            moving = [each for each in results.values() if each.requires_grad]
            if learning and moving:
                sum((each * each).sum() for each in moving).backward()
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"[:300]
    state, learned = made.state_dict(), dict(made.named_parameters(remove_duplicate=False))
    names: dict[str, Any] = {}
    for weight in module.weights:
        names[weight.key] = _made_of(weight)
    gradients = {names[key]: p.grad for key, p in learned.items() if p.grad is not None and key in names}
    for index, each in enumerate(fresh):
        if each.grad is not None:
            gradients["input", index] = each.grad
    kept = {names[key]: value for key, value in state.items() if key in names}
    return {name: value.detach() for name, value in results.items()}, kept, gradients


def _unlike(old: Tensor, new: Tensor | None) -> str:
    """How two tensors differ, bit for bit; "" where they do not."""
    if new is None:
        return "absent"
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"{tuple(new.shape)} {new.dtype}, not {tuple(old.shape)} {old.dtype}"
    if old.contiguous().numpy().tobytes() == new.contiguous().numpy().tobytes():
        return ""
    return f"differs by {float((old.double() - new.double()).abs().max()):.3g}"


def of_text(text: str, **options: Any) -> Analysed:
    """An analysed net."""
    return analyse(Source(text, "test.prototxt"), Options(**options)).require()


def of_case(case: ConformanceCase) -> Analysed:
    """A conformance case's net."""
    fed = frozenset(case.arrays("inputs"))
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=fed)
    return analyse(open_source(case.net), options).require()


def of_towers(case: ConformanceCase) -> tuple[Analysed, dict[str, Array]]:
    """A conformance case's net three times beside itself, and its inputs."""
    inputs = renamed(case.arrays("inputs"))
    fed = frozenset(inputs)
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages, fed=fed)
    text = towers(open_source(case.net), case.outputs)
    return analyse(Source(text, str(case.net)), options).require(), inputs


def small(path: Path | str, train: bool = False) -> Analysed | None:
    """A net of a file at a batch of 1 and the smallest of some sizes at which it is legal; None where it is not."""
    options = Options(train=train)
    try:
        source = open_source(path)
        net = analyse(source, options)
        net.require()
    except (NetError, OSError):
        return None
    shapes = {entry.value.blob: entry.shape for entry in net.graph.inputs}
    for part in (8, 4, 2, 1):
        less = {
            name: (1, shape[1], max(1, shape[2] // part), max(1, shape[3] // part))
            for name, shape in shapes.items()
            if len(shape) == 4
        }
        try:
            smaller = analyse(source, Options(train=train, shapes=less))
            return smaller.require()
        except NetError:
            continue
    return net


def files() -> list[Path]:
    """The bundled nets, and the corpus."""
    bundled = sorted(p for p in REPOSITORY.glob("prototxt/*/*.prototxt") if "solver" not in p.name)
    return [*bundled, *sorted(CORPUS.rglob("*.prototxt"))]


def _cases() -> Iterator[tuple[str, Analysed, Mapping[str, Array] | None, str | None]]:
    for case in ALL_CASES:
        yield case.name, of_case(case), case.arrays("inputs"), str(case.weights) if case.weights else None


def _beside() -> Iterator[tuple[str, Analysed, Mapping[str, Array] | None, str | None]]:
    for case in ALL_CASES:
        net, inputs = of_towers(case)
        yield f"{case.name}, three times", net, inputs, None


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, Analysed, Mapping[str, Array] | None, str | None]]:
    for path in paths:
        for train in (False, True):
            net = small(path, train)
            if net is not None:
                yield f"{'/'.join(path.parts[-3:])}{' TRAIN' if train else ''}", net, None, None


def main(arguments: Sequence[str]) -> int:
    """Print what differs; the exit status is 1 if anything does."""
    nets = _files([Path(each) for each in arguments]) if arguments else chain(_cases(), _beside(), _files(files()))
    wrong = counted = 0
    for name, net, inputs, weights in nets:
        begun = time.perf_counter()
        try:
            with redirect_stderr(StringIO()):
                levels, learning = (LEVELS, False) if not net.graph.train else ((1,), _size(net) < LARGE)
                found = compare(net, inputs, levels=levels, weights=weights, learning=learning)
        except NetError:
            continue
        except Exception:
            print(f"CRASHES {name}\n{traceback.format_exc(limit=-3)}", flush=True)
            wrong += 1
            continue
        counted += 1
        wrong += bool(found.differences)
        lines = [f"{p.flat.source.count(chr(10))} to {p.blocks.source.count(chr(10))}" for p in found.compared]
        took = time.perf_counter() - begun
        if found.compared[0].style == "blocks" or found.differences:
            print(f"{'DIFFERS' if found.differences else 'equal'} {name}: {', '.join(lines)} lines, {took:.1f} s")
        for difference in found.differences:
            print(f"    {difference}", flush=True)
    print(f"{counted} nets, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
