"""The ways to read a net that the page offers: the same as the command line's options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from netcompile.analyser import Analysed, analyse
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options

CROP_OFFSETS = ("auto", "declared", "inferred")


@dataclass(frozen=True, slots=True)
class Reading:
    """`--phase`, `--stage`, `--level`, `--crop-offsets`, and the height and width of the images."""

    train: bool = False
    stages: tuple[str, ...] = ()
    level: int = 0
    crop_offsets: str = "auto"
    size: tuple[int, int] | None = None

    def analysed(self, source: Source) -> Analysed:
        """The net of a text, read in this way. Raises NetError where the text makes none."""
        chosen = Options(train=self.train, level=self.level, stages=self.stages)
        found = analyse(source, chosen, self.crop_offsets)
        if self.size is None:
            return found
        shapes = sized(found, self.size)
        return analyse(source, replace(chosen, shapes=shapes), self.crop_offsets) if shapes else found


def sized(analysed: Analysed, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """What `--input` says for images of this height and width: all inputs that have the first one's size get it."""
    planes = {entry.value.blob: entry.shape for entry in analysed.graph.inputs if len(entry.shape) == 4}
    first = next(iter(planes.values()), None)
    return {blob: (*shape[:2], *size) for blob, shape in planes.items() if first and shape[2:] == first[2:]}


def reading_of(options: Mapping[str, Any]) -> Reading:
    """The options as the page sends them: ``{phase, stages, level, crop_offsets, input: "HxW"}``, each may be missing.

    Raises NetError for a value that the command line would refuse.
    """
    phase = str(options.get("phase") or "TEST").upper()
    crop_offsets = str(options.get("crop_offsets") or "auto")
    if phase not in ("TEST", "TRAIN"):
        refuse("usage", f"there is no phase {phase!r}", remedy="TEST or TRAIN")
    if crop_offsets not in CROP_OFFSETS:
        refuse("usage", f"there is no way {crop_offsets!r} to resolve crops", remedy=" or ".join(CROP_OFFSETS))
    stages = tuple(str(stage) for stage in options.get("stages") or ())
    level = options.get("level") or 0
    if not isinstance(level, int):
        refuse("usage", f"{level!r} is no whole number", remedy="the level is one, 0 for most nets")
    return Reading(phase == "TRAIN", stages, level, crop_offsets, _size(options.get("input")))


def _size(text: Any) -> tuple[int, int] | None:
    if text in (None, ""):
        return None
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*[x×]\s*([0-9]{1,9})\s*", str(text), re.ASCII)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        refuse("usage", f"{str(text)!r} is no height and width", remedy="write it like 500x500")
    return int(match[1]), int(match[2])
