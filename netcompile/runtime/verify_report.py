"""A comparison as text, as JSON, and as a page with heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from netcompile.array import Array
from netcompile.data.images import data_uri, thumbnail
from netcompile.diagnostics.text import shape_text, short_path
from netcompile.diagnostics.visible import visible
from netcompile.report.page import PICTURES, Card, Picture, page
from netcompile.report.table import table
from netcompile.runtime.blobs import Activations
from netcompile.runtime.verify import Compared, Verification, error_plane

MAPS = 36  # heat maps of blobs that differ on a page
BEST = 8  # heat maps where none does


def verification_as_text(found: Verification, title: str) -> str:
    """A table in the net's order, and what it comes to."""
    rows = [
        (_layer(c), c.place.type, c.key, shape_text(c.shape), number(c.error), number(c.relative), _verdict(c))
        for c in found.compared
    ]
    header = ("layer", "type", "blob", "shape", "max error", "relative", "")
    return f"{visible(title)}\n{table(header, rows, right=(4, 5))}\n{visible(conclusion(found))}\n"


def conclusion(found: Verification) -> str:
    """What the comparison comes to, in one line."""
    count, bad = len(found.compared), sum(not c.same for c in found.compared)
    if found.first is None:
        largest = max((c.relative for c in found.compared), default=0.0)
        empty = sum(c.empty for c in found.compared)
        but = f"; {empty} numbers are NaN on both sides and were not compared" if empty else ""
        return (
            f"all {count} blobs agree within {found.tolerance:g}; the largest relative error is {number(largest)}{but}"
        )
    first = found.first
    line = f", line {first.place.line}" if first.place.line else ""
    why = first.why or f"relative error {number(first.relative)}"
    kind = f" ({first.place.type}{line})" if first.place.type else ""
    return f"{bad} of {count} blobs differ; the first is '{first.key}' of layer '{_layer(first)}'{kind}: {why}"


def _layer(entry: Compared) -> str:
    return entry.place.layer or "(input)"


def _verdict(entry: Compared) -> str:
    if not entry.same:
        return entry.why or "differs"
    return f"ok, but {entry.empty} of {prod(entry.shape)} are NaN on both sides" if entry.empty else "ok"


def number(value: float) -> str:
    """An error as people read it.

    >>> number(0.0), number(1.23456e-7), number(float("inf"))
    ('0', '1.2e-07', 'inf')
    """
    return f"{value:.2g}" if value else "0"


def verification_as_json(found: Verification, net: str, reference: str) -> dict[str, Any]:
    """``{"version", "net", "reference", "tolerance", "same", "first", "blobs": […], "unknown", "uncompared"}``.

    Errors are null where they are infinite; then "why" says what is wrong. "nan" counts what is NaN on both sides.
    """
    return {
        "version": 1,
        "net": net,
        "reference": reference,
        "tolerance": found.tolerance,
        "same": found.first is None,
        "first": _first(found),
        "blobs": [
            {
                "blob": c.key,
                "layer": c.place.layer,
                "type": c.place.type,
                "line": c.place.line or None,
                "shape": list(c.shape),
                "max": _finite(c.error),
                "relative": _finite(c.relative),
                "mean": _finite(c.mean),
                "worst": list(c.worst),
                "same": c.same,
                "why": c.why,
                "nan": c.empty,
            }
            for c in found.compared
        ],
        "unknown": list(found.unknown),
        "uncompared": list(found.uncompared),
    }


def _first(found: Verification) -> dict[str, Any] | None:
    first = found.first
    return None if first is None else {"blob": first.key, "layer": first.place.layer, "type": first.place.type}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def verification_page(results: Sequence[tuple[str, Verification, Activations, Mapping[str, Array]]], net: str) -> str:
    """One self-contained page: for each comparison heat maps, and a table with bars on a logarithmic scale.

    A heat map shows where a blob differs: the largest error over its channels, black for none, white for the largest.
    Maps are of the blobs that differ, in the net's order; where none does, of those with the largest relative errors.
    """
    sections = []
    for title, found, blobs, reference in results:
        wanted = [entry for entry in found.compared if not entry.same]
        limit = MAPS
        if not wanted:
            wanted, limit = sorted(found.compared, key=lambda entry: -entry.relative), BEST
        cards: list[Card] = []
        left_out = 0
        for entry in wanted:
            plane = _plane(entry, blobs, reference)
            if plane is not None and len(cards) < limit:
                cards.append(_card(entry, plane))
            elif plane is not None and not entry.same:
                left_out += 1
        sections.append((_pathless(title), found, conclusion(found), cards, left_out))
    colours = ["#{:02x}{:02x}{:02x}".format(*map(int, row)) for row in heat(np.arange(33.0)[None])[0]]
    scale = [(8 * index, colour) for index, colour in enumerate(colours)]
    return page("verification.html", *PICTURES, net=net, sections=sections, number=number, bar=bar, heat=scale)


def _pathless(title: str) -> str:
    """A title as a page may have it: of the reference's path the last two parts."""
    against, space, path = title.partition(" ")
    return f"{against}{space}{short_path(path)}" if against == "against" else title


def _card(entry: Compared, plane: Array) -> Card:
    place = entry.place
    title = f"{place.layer} {place.type}"
    note = f"{entry.key}, {shape_text(entry.shape)}: relative {number(entry.relative)}"
    return Card(title, note, (Picture("", data_uri(heat(plane)), f"where {entry.key} differs"),))


def _plane(entry: Compared, blobs: Activations, reference: Mapping[str, Array]) -> Array | None:
    """Where a blob differs, H×W; None where that is no map, or nothing differs."""
    other = next((reference[key] for key in (entry.key, f"blob:{entry.key}") if key in reference), None)
    plane = error_plane(blobs.arrays[entry.key], other) if other is not None else None
    if plane is None or not np.isfinite(plane).all() or plane.max() <= 0 or min(plane.shape) <= 1:
        return None
    return plane


def bar(relative: float) -> float:
    """Length in percent of an error's bar: 0 at 1e-9, 100 at 1.

    >>> bar(0.0), bar(1e-9), round(bar(1e-3), 3), bar(7.0)
    (0.0, 0.0, 66.667, 100.0)
    """
    if relative <= 1e-9:
        return 0.0
    return float(min(100.0, 100 * (np.log10(min(relative, 1.0)) + 9) / 9))


def heat(plane: Array) -> Array:
    """H×W×3 bytes: black, red, yellow, white."""
    level = thumbnail(plane, 240) / plane.max()
    parts = [np.clip(3 * level - shift, 0, 1) for shift in (0, 1, 2)]
    return (255 * np.stack(parts, axis=2)).astype(np.uint8)
