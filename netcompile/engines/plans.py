"""Plans that were measured on this machine: a JSON file for each net, in the user's cache folder, for people to read.

The folder is ``netcompile/plans`` of ``XDG_CACHE_HOME``, or of ``~/.cache``. A plan holds for the CPU, its
instructions, torch, the type of the numbers, the number of threads, and inputs of about its size: of as many images,
and of pixels between two powers of 2. What lies there is data from elsewhere: a file that is not what `keep` writes is
told, and measured anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.emit.names import file_stem
from netcompile.engines.catalogue import TORCH
from netcompile.engines.engine import Shapes, version_of
from netcompile.engines.kept import cache_root, processor
from netcompile.files.look import make_folder
from netcompile.files.reading import read_json
from netcompile.files.whole import whole_file
from netcompile.runtime.company import COMPANY
from netcompile.runtime.tuning import SECONDS, WAYS, Choice, Tuning, apply, convolutions, signature, tune
from netcompile.version import __version__

FORMAT = 1
MOST = 1 << 16  # entries of a plan


@dataclass(frozen=True, slots=True)
class Case:
    """All that a plan depends on. `layers`: a digest of the convolutions; `size`: of each input images, power of 2."""

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
    """A net's plan, what it is for, where it is kept ("" if it is not), and what is to be said."""

    tuning: Tuning
    case: Case
    path: str
    notes: tuple[Diagnostic, ...]


def folder() -> str:
    """The folder of the plans; it need not be there."""
    return os.path.join(cache_root(), "plans")


def planned(
    net: nn.Module, name: str, inputs: Mapping[str, Tensor], seconds: float = SECONDS, *, device: str = "cpu",
    anew: bool = False,
) -> Planned:  # fmt: skip
    """Give a net of -O2 the plan that was kept for it and inputs like these, or measure one and keep it.

    `device`: where it will compute. `anew`: measure in any case. Raises NetError.
    """
    _require(net, name, device)
    asked = case(net, name, {key: tuple(x.shape) for key, x in inputs.items()})
    notes: list[Diagnostic] = []
    if not anew:
        try:
            found = read(asked, net)
        except FileNotFoundError:
            pass
        except (NetError, OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            what, why = (
                f"the plan that was kept for {name} is none: it is measured anew",
                f"{asked.path}: {_reason(error)}",
            )
            notes.append(Diagnostic("plan-file", what, why=why, severity="warning"))
        else:
            apply(net, found.choices if found.faster else ())
            return Planned(found, asked, asked.path, (_summary(name, found, asked.path, "was measured before"),))
    found = tune(net, list(inputs.values()), seconds)
    unkept = keep(asked, found, {key: tuple(x.shape) for key, x in inputs.items()})
    notes.append(_summary(name, found, "" if unkept else asked.path, "was measured"))
    if unkept:
        what = f"the plan of {name} cannot be kept: it will be measured again"
        notes.append(Diagnostic("plan-file", what, why=unkept, severity="warning"))
    if COMPANY.there:
        what, remedy = (
            f"the plan of {name} was measured while others used the CPUs",
            "netcompile tune when they are idle",
        )
        notes.append(Diagnostic("plan-busy", what, remedy=remedy, severity="note"))
    return Planned(found, asked, "" if unkept else asked.path, tuple(notes))


def several(net: nn.Module, inputs: Mapping[str, Tensor], images: int | None) -> dict[str, Tensor]:
    """The inputs with so many images at a time, if the net takes them."""
    if images is None or any(x.dim() != 4 or len(x) != 1 for x in inputs.values()):
        return dict(inputs)
    more = {name: x.repeat(images, 1, 1, 1) for name, x in inputs.items()}
    try:
        with torch.no_grad():
            net(*more.values())
    except RuntimeError:
        return dict(inputs)
    return more


def require_torch(engine: str) -> None:
    """Raises NetError where another engine than torch is to compute."""
    if engine != TORCH:
        what = f"--tune is for torch's convolutions, and --engine {engine} says what else may compute them"
        raise NetError(Diagnostic("tune", what, remedy="one of both"))


def require_level(name: str, level: int | None) -> None:
    """Raises NetError where a net is of a level, if it is known, that leaves nothing to choose."""
    if level not in (None, 2):
        what = f"{name} is compiled at -O {level}, where convolutions have one way each"
        raise NetError(Diagnostic("tune", what, remedy="-O 2 (Python: level=2)"))


def _require(net: nn.Module, name: str, device: str) -> None:
    if net.training:
        what, remedy = f"{name} learns, and ways to choose from are for inference", "--phase test"
    elif device != "cpu":
        what, remedy = f"ways to choose from are for the CPU, not for {device}", "--device cpu"
    elif not convolutions(net):
        what, remedy = f"{name} has no convolution that computes in several ways", ""
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
        raise ValueError("it is no list of layers, or not whether they are faster")
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
    why = f"kept in {path}" if path else ""
    return Diagnostic("plan", f"{name}, as {when}: {gain(found)}", why=why, severity="note")


def _reason(error: Exception) -> str:
    """What is wrong with a file, in a line."""
    if isinstance(error, NetError):
        return error.diagnostics[0].what
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return (str(error) or type(error).__name__).splitlines()[0]
