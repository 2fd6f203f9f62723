"""The same damaged files in every run: `python -m tests.fuzz.files` looks for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.files import KINDS, failure, mutant, run

COUNTS = {"manifest": 40, "image": 100, "hdf5": 100}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_told(name: str, tmp_path: Path) -> None:
    assert run(name, range(COUNTS.get(name, 200)), str(tmp_path)) == {}


# A list names files that are not there; of the others one of several readers is drawn.
WHOLE = [name for name in KINDS if name not in ("list", "mat", "image")]


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    """Else the mutants would prove nothing."""
    kind = KINDS[name]
    for data in kind.seeds():
        path = tmp_path / f"x.{kind.ending}"
        path.write_bytes(data)
        kind.read(str(path))


def test_what_a_reader_must_not_raise_is_found(tmp_path: Path) -> None:
    kind = KINDS["npz"]
    broken = type(kind)(kind.seeds, lambda path: {}[path], "npz")
    assert failure(broken, mutant(kind, 1), str(tmp_path / "x")).startswith("KeyError: ")
