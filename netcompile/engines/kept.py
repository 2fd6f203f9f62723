"""What was measured for a net on this machine: a small JSON file for each, in the user's cache folder.

The folder is ``netcompile/engines`` of ``XDG_CACHE_HOME``, or of ``~/.cache``. Where a file is removed, the net is
measured anew.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256

from netcompile.diagnostics.diagnostic import NetError
from netcompile.emit.names import file_stem
from netcompile.engines.catalogue import CHOICES, ENGINES
from netcompile.engines.engine import Shapes, version_of
from netcompile.files.look import make_folder
from netcompile.files.reading import read_json
from netcompile.files.whole import whole_file
from netcompile.version import __version__

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Case:
    """All that an answer depends on. `digest` is that of the module's source; versions of what is installed alone."""

    net: str
    digest: str
    shapes: Shapes
    threads: int
    cpu: str
    versions: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where its answer lies."""
        key = sha256(json.dumps(_plain(self), sort_keys=True).encode()).hexdigest()[:16]
        return os.path.join(cache_folder(), f"{file_stem(self.net)[:40]}-{key}.json")


@dataclass(frozen=True, slots=True)
class Answer:
    """The engine that is to compute a net, what each took in milliseconds, and `why` another one could not."""

    engine: str
    milliseconds: Mapping[str, float]
    why: str = ""


def case(net: str, source: str, shapes: Shapes, threads: int) -> Case:
    """The case of a net, here and now."""
    packages = ("torch", *(engine.package for engine in ENGINES))
    versions = {"netcompile": __version__} | {name: found for name in packages if (found := version_of(name))}
    digest = sha256(source.encode("utf-8", "backslashreplace")).hexdigest()
    return Case(net, digest, shapes, threads, processor(), versions)


def read(asked: Case) -> Answer | None:
    """The answer that was kept; None where there is none, or none that can be read."""
    try:
        found = read_json(asked.path)
        if found["format"] != FORMAT or {key: found[key] for key in _plain(asked)} != _plain(asked):
            return None
        milliseconds = {str(name): float(value) for name, value in found["milliseconds"].items()}
        answer = Answer(str(found["engine"]), milliseconds, str(found["why"]))
    except (NetError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return answer if answer.engine in CHOICES[:-1] else None


def keep(asked: Case, answer: Answer) -> str:
    """Write an answer down; why that cannot be, "" if it can."""
    text = json.dumps({"format": FORMAT, **_plain(asked), **asdict(answer)}, indent=1, ensure_ascii=True)
    try:
        make_folder(cache_folder())
        with whole_file(asked.path) as file:
            file.write(f"{text}\n".encode())
    except OSError as error:
        return f"{error.strerror or error}: {cache_folder()}"
    return ""


def cache_folder() -> str:
    """The folder of the answers; it need not be there."""
    return os.path.join(cache_root(), "engines")


def cache_root() -> str:
    """netcompile's part of the user's cache folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = given if os.path.isabs(given) else os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "netcompile")


def processor() -> str:
    """The name of the CPU as the system has it."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _plain(asked: Case) -> dict[str, object]:
    found: dict[str, object] = asdict(asked)
    found["shapes"] = {name: list(shape) for name, shape in asked.shapes.items()}
    return found
