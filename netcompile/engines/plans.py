"""Plans that were measured on this machine: a JSON file for each net, in the user's cache folder, for people to read.

The folder is ``netcompile/plans`` of ``XDG_CACHE_HOME``, or of ``~/.cache``. A plan holds for the CPU, its
instructions, torch, the type of the numbers, the number of threads, and inputs of about its size: of as many images,
and of pixels between two powers of 2. What lies there is data from elsewhere: a file that is not what `keep` writes is
told, and measured anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.names import file_stem
from netcompile.engines.engine import Shapes, version_of
from netcompile.engines.kept import cache_root, processor
from netcompile.files.look import is_file, make_folder
from netcompile.files.reading import read_json
from netcompile.files.whole import whole_file
from netcompile.runtime.company import COMPANY
from netcompile.runtime.tuning import SECONDS, WAYS, Choice, Tuning, apply, convolutions, signature, tune
from netcompile.version import __version__

FORMAT = 1
MOST = 1 << 16  # entries of a plan


@dataclass(frozen=True, slots=True)
class Case:
    """All that a plan depends on. `layers` is a digest of the convolutions; `size` of each input: images, power of 2."""

    net: str
    layers: str
    size: Mapping[str, Sequence[int]]
    dtype: str
    threads: int
    cpu: str
    instructions: str
    versions: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where its plan lies."""
        key = sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
        return os.path.join(folder(), f"{file_stem(self.net)[:40]}-{key}.json")


@dataclass(frozen=True, slots=True)
class Planned:
    """A net's plan, where it is kept ("" if it is not), whether it was measured `before`, and what is to be said."""

    tuning: Tuning
    path: str
    before: bool
    notes: tuple[Diagnostic, ...]


def folder() -> str:
    """The folder of the plans; it need not be there."""
    return os.path.join(cache_root(), "plans")


def planned(
    net: nn.Module, name: str, shapes: Shapes, inputs: Callable[[], Sequence[Tensor]], seconds: float = SECONDS,
    anew: bool = False,
) -> Planned:  # fmt: skip
    """Give a net of -O2 the plan that was kept for it, or measure one and keep it. Raises NetError.

    `anew`: measure in any case. `inputs`: drawn ones, of these shapes.
    """
    require_plannable(net, name)
    asked = case(net, name, shapes)
    notes: list[Diagnostic] = []
    if not anew and is_file(asked.path):
        try:
            found = read(asked, net)
        except (NetError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"{asked.path}: {type(error).__name__}: {error}".splitlines()[0]
            notes.append(_told(f"the plan that was kept for {name} is none, and is measured anew", why))
        else:
            apply(net, found.choices if found.faster else ())
            return Planned(found, asked.path, True, (_summary(name, found, asked.path, "was measured before"),))
    found = tune(net, inputs(), seconds)
    unkept = keep(asked, found, shapes)
    notes.append(_summary(name, found, "" if unkept else asked.path, "was measured"))
    if unkept:
        notes.append(_told(f"the plan of {name} cannot be kept, and will be measured again", unkept))
    if COMPANY.there:
        why = "other processes use its CPUs"
        notes.append(
            _told(f"the plan of {name} was measured on a busy machine", why, "netcompile tune, when it is idle")
        )
    return Planned(found, "" if unkept else asked.path, False, tuple(notes))


def require_plannable(net: nn.Module, name: str, level: int | None = 2) -> None:
    """Raises NetError where the module is none that has ways to choose from, or is not where they are."""
    if level is not None and level != 2:
        what, remedy = f"{name} is compiled at -O {level}, where layers have no ways to choose from", "-O 2"
    elif net.training:
        what, remedy = f"{name} learns, and ways to choose from are for inference", "net.eval()"
    elif any(not tensor.is_cpu for tensor in net.parameters()):
        what, remedy = f"{name} is not on the CPU, where ways to choose from are", "--device cpu"
    elif not convolutions(net):
        what, remedy = f"{name} has no convolution with ways to choose from", "compile it at -O 2"
    else:
        return
    raise NetError(Diagnostic("tune", what, remedy=remedy))


def case(net: nn.Module, name: str, shapes: Shapes) -> Case:
    """The case of a net, here and now."""
    facts = [(layer, str(signature(module))) for layer, module in convolutions(net).items()]
    digest = sha256(json.dumps(facts).encode("utf-8", "backslashreplace")).hexdigest()
    size = {key: [*shape[:1], max(1, prod(shape[2:])).bit_length() - 1] for key, shape in shapes.items()}
    dtype = str(next(net.parameters()).dtype).removeprefix("torch.")
    instructions = torch.backends.cpu.get_cpu_capability()
    versions = {"netcompile": __version__, "torch": version_of("torch")}
    return Case(name, digest, size, dtype, torch.get_num_threads(), processor(), instructions, versions)


def read(asked: Case, net: nn.Module) -> Tuning:
    """The plan that was kept. Raises ValueError and its kin for anything that `keep` does not write, OSError."""
    found = read_json(asked.path)
    if found["format"] != FORMAT or found["case"] != json.loads(json.dumps(asdict(asked))):
        raise ValueError("it is another case's")
    entries, layers = found["layers"], convolutions(net)
    if not isinstance(entries, list) or len(entries) > MOST or not isinstance(found["faster"], bool):
        raise ValueError("it is no list of layers")
    choices = tuple(_choice(entry, layers) for entry in entries)
    figures = (_milliseconds(found[key]) for key in ("by_rule", "by_plan", "seconds"))
    rule, plan, seconds = figures
    return Tuning(choices, rule, plan, found["faster"], seconds)


def _choice(entry: Any, layers: Mapping[str, Any]) -> Choice:
    layer, shape, rule, way = (entry[key] for key in ("layer", "shape", "rule", "way"))
    if layer not in layers:
        raise ValueError(f"the net has no convolution {layer!r:.60}")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and 0 < n < 1 << 40 for n in shape):
        raise ValueError(f"{shape!r:.60} is no size")
    milliseconds = {str(key): _milliseconds(value) for key, value in entry["milliseconds"].items()}
    for name in (rule, way, *milliseconds):
        if name not in WAYS:
            raise ValueError(f"{name!r:.60} is no way")
    if type(entry["calls"]) is not int:
        raise TypeError(f"{entry['calls']!r:.60} is no number of calls")
    return Choice(layer, (shape[0], shape[1], shape[2]), rule, way, milliseconds, entry["calls"])


def _milliseconds(value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r:.60} is no time")
    return float(value)


def keep(asked: Case, found: Tuning, shapes: Shapes) -> str:
    """Write a plan down; why that cannot be, "" if it can."""
    plain = {
        "format": FORMAT,
        "case": asdict(asked),
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "by_rule": round(found.by_rule, 3),
        "by_plan": round(found.by_plan, 3),
        "faster": found.faster,
        "seconds": round(found.seconds, 3),
        "layers": [asdict(choice) for choice in found.choices],
    }
    try:
        make_folder(folder())
        with whole_file(asked.path) as file:
            file.write(f"{json.dumps(plain, indent=1)}\n".encode())
    except OSError as error:
        return f"{error.strerror or error}: {folder()}"
    return ""


def gain(found: Tuning) -> str:
    """What a plan is worth, in words."""
    if not any(choice.way != choice.rule for choice in found.choices):
        return f"the rules' ways, {found.by_rule:.4g} ms"
    figures = f"{found.by_rule:.4g} ms by the rules, {found.by_plan:.4g} ms by the plan"
    if not found.faster:
        return f"{figures}: no gain, and the rules' ways stay"
    return f"{figures}: {found.by_rule / found.by_plan:.2f} times as fast"


def _summary(name: str, found: Tuning, path: str, when: str) -> Diagnostic:
    return _told(f"{name}, as {when}: {gain(found)}", f"kept in {path}" if path else "")


def _told(what: str, why: str, remedy: str = "") -> Diagnostic:
    return Diagnostic("plan", what, why=why, remedy=remedy, severity="note")
