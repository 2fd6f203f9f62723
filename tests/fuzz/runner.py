"""Runs many nets, and keeps the smallest form of each failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

BATCH = 100


@dataclass
class Tally:
    """What has been run."""

    nets: int = 0
    layers: Counter[str] = field(default_factory=Counter)
    failures: list[AssertionError] = field(default_factory=list)


def batch(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], None], number: int, count: int, tally: Tally
) -> None:
    """Run up to `count` examples; stop at the first that fails, made as small as it gets."""
    shrinking = False

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def examine(example: Any) -> None:
        nonlocal shrinking
        if not shrinking:
            tally.nets += 1
            tally.layers.update(example.types)
        try:
            check(example)
        except AssertionError:
            shrinking = True
            raise
        except Exception as error:
            shrinking = True
            raise AssertionError(f"{type(error).__name__}: {error}\n{example!r}") from error

    try:
        examine()
    except AssertionError as error:
        tally.failures.append(error)


def save(failures: list[AssertionError], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, error in enumerate(failures):
        text = "".join(f"# {line}\n" for line in str(error).splitlines())
        (folder / f"failure-{index}.prototxt").write_text(text + str(getattr(getattr(error, "net", ""), "text", "")))
