"""What all tests share: where the data lies, and the conformance cases as values."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
CONFORMANCE = REPOSITORY / "tests" / "conformance"
CONFORMANCE_FORKS = REPOSITORY / "tests" / "conformance_forks"
TRAINING = REPOSITORY / "tests" / "training"
SHAPES = REPOSITORY / "tests" / "data" / "shapes"

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each core: threads of one would wait for those of another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Hundreds of processes are started, and each would compile the package anew where nothing of it may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.pop("COLUMNS", None)  # tables have 80 columns where a test does not say otherwise

gc.disable()  # until all tests are found, which makes objects by the hundred thousand and drops none

# The suite is the same on every run and every machine; `make fuzz` is where new examples are looked for.
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Iterator[Any]:
    """A file here is looked through for examples in docstrings only where it has some: few do."""
    found = yield
    if not found or ">>> " in file_path.read_text(encoding="utf-8"):
        return found
    return [each for each in found if not isinstance(each, DoctestModule)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """The tests themselves stay: garbage is looked for among what they make."""
    gc.freeze()
    gc.enable()


@dataclass(frozen=True, slots=True)
class ConformanceCase:
    """One folder of tests/conformance: a net, its inputs, and what Caffe 1.0 computed from them on a CPU.

    In tests/conformance_forks the layers of the fork that case.json names as `source` were built into it.
    """

    folder: Path
    phase: str
    level: int
    stages: tuple[str, ...]
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def net(self) -> Path:
        return self.folder / "net.prototxt"

    @property
    def weights(self) -> Path | None:
        """The caffemodel, or None for a net without parameters."""
        path = self.folder / "weights.caffemodel"
        return path if path.exists() else None

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of NAME.npz: `inputs`, `expected` or `gradients`; empty if the case has no such file."""
        import numpy as np

        path = self.folder / f"{name}.npz"
        if not path.exists():
            return {}
        with np.load(path) as archive:
            return dict(archive)


def conformance_case(folder: Path) -> ConformanceCase:
    raw = json.loads((folder / "case.json").read_text())
    return ConformanceCase(
        folder=folder,
        phase=raw["phase"],
        level=raw.get("level", 0),
        stages=tuple(raw.get("stages", ())),
        inputs={blob: tuple(shape) for blob, shape in raw.get("inputs", {}).items()},
        outputs=tuple(raw.get("outputs", ())),
        raw=raw,
    )


# A plain value as well as a fixture: parametrize needs it before any fixture exists.
CASES: tuple[ConformanceCase, ...] = tuple(
    conformance_case(path.parent) for path in sorted(CONFORMANCE.glob("*/case.json"))
)
FORK_CASES: tuple[ConformanceCase, ...] = tuple(
    conformance_case(path.parent) for path in sorted(CONFORMANCE_FORKS.glob("*/case.json"))
)
ALL_CASES = CASES + FORK_CASES


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once in a run, whichever worker asks first; the others wait and share it."""
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder, done = place / name, place / f"{name}.done"
    with open(place / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_of_each_table_for_onnx() -> Iterator[None]:
    from tests.export.once import shared_tables

    with shared_tables():
        yield


@pytest.fixture(scope="session")
def conformance_cases() -> tuple[ConformanceCase, ...]:
    return CASES


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shapes() -> Path:
    """The drawn shapes: VOC/ (images, labels, Caffe's predictions under reference/), expected.json."""
    return SHAPES


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party nets and references beside the checkout; they are not part of the project."""
    path = REPOSITORY.parent / "shared"
    if not (path / "corpus").is_dir():
        pytest.skip("the corpus beside the checkout (../shared) is absent")
    return path
