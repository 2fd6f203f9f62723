"""A net several times beside itself: every layer of every kind becomes part of something that repeats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from netcompile.array import Array
from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.printer import to_text

_NAMED = re.compile(r'^( *(?:name|bottom|top): ")', re.MULTILINE)


def towers(source: Source, outputs: Sequence[str], count: int = 3) -> str:
    """The text of a net that has this one `count` times, its layers, blobs and parameters named ``t1_…``, ``t2_…``.

    A TanH reads each of the `outputs`, so that a single layer is more than one.
    """
    entries = load_net(source).net.entries
    rest = [e for e in entries if e.field.name not in ("layer", "name")]
    assert all(e.field.name in ("force_backward", "state", "debug_info") for e in rest), rest
    layers = [to_text(e.value) for e in entries if e.field.name == "layer"]
    layers += [f'name: "more_{b}"\ntype: "TanH"\nbottom: "{b}"\ntop: "more_{b}"\n' for b in outputs]
    parts = [f"layer {{\n{_renamed(text, index)}}}\n" for index in range(count) for text in layers]
    return "".join(['name: "towers"\n', *parts])


def renamed(arrays: Mapping[str, Array], count: int = 3) -> dict[str, Array]:
    """The inputs of one, for each."""
    return {f"t{index + 1}_{name}": array for index in range(count) for name, array in arrays.items()}


def _renamed(text: str, index: int) -> str:
    return _NAMED.sub(rf"\g<1>t{index + 1}_", text)
