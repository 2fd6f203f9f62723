"""Numbers, offsets and sets of sizes as short text; shared by the renderers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from netcompile.algebra.nset import NSet
from netcompile.analysis.crops import CropReport
from netcompile.diagnostics.text import shape_text
from netcompile.diagnostics.visible import visible
from netcompile.report.model import Dims, Maps, Offsets

GAPS = 3  # layers that are not followed and are shown


def offsets_text(values: Sequence[Fraction | int] | None) -> str:
    """``5`` where all are equal, ``5, 9`` otherwise, ``-`` for none."""
    if not values:
        return "-"
    return str(values[0]) if len(set(values)) == 1 else ", ".join(map(str, values))


def sizes_text(valid: tuple[NSet, NSet] | None) -> str:
    """For which heights and widths something holds."""
    if valid is None:
        return "not known"
    height, width = valid
    if height == width:
        return "every H, W" if height.is_all else height.describe("H, W")
    return "; ".join("every " + v if s.is_all else s.describe(v) for s, v in ((height, "H"), (width, "W")))


def crop_sizes_text(crop: CropReport) -> str:
    """For which sizes a crop is legal, as far as that is proved."""
    return f"{sizes_text(crop.valid)}; others not proved" if crop.unproved else sizes_text(crop.valid)


def unproved_text(report: Offsets) -> str:
    """The declared size, which alone is proved where a layer is not followed."""
    return f"{shape_text(report.declared)}; other sizes are not proved"


def net_sizes_text(report: Offsets) -> list[str]:
    """For which sizes the whole net is legal, and what keeps others from being proved; nothing without a plane."""
    if report.valid is not None:
        return [f"the whole net is legal for {sizes_text(report.valid)}"]
    if not report.gaps or report.declared is None:
        return []
    lines = [f"the whole net is legal for {unproved_text(report)}:"]
    for gap in report.gaps[:GAPS]:
        lines.append(f"  layer '{visible(gap.node.name)}' (line {gap.node.line}) {visible(gap.why)}")
    if len(report.gaps) > GAPS:
        lines.append(f"  and {len(report.gaps) - GAPS} more")
    return lines


def exact_text(symbolic: Dims | None, shape: tuple[int, ...] | None) -> str:
    """The shape as a function of H and W where there is one, else as numbers."""
    return shape_text(symbolic if symbolic is not None else shape)


def pair_text(pair: tuple[object, object] | None) -> str:
    """Height and width: one number where they agree, ``-`` where there are none."""
    if pair is None:
        return "-"
    high, wide = map(str, pair)
    return high if high == wide else f"{high}, {wide}"


def strides(maps: Maps | None) -> tuple[Fraction, Fraction] | None:
    """The strides of a blob's maps, for height and width."""
    return None if maps is None else (maps[0].stride, maps[1].stride)


def offsets(maps: Maps | None) -> tuple[Fraction, Fraction] | None:
    """The offsets of a blob's maps, for height and width."""
    return None if maps is None else (maps[0].offset, maps[1].offset)
