"""``offsets --pad``: the net as it would be if some of its layers padded otherwise."""

from __future__ import annotations

import argparse

from netcompile.analyser import Analysed
from netcompile.analysis.edits import Edit, Unwritable, edited, pad_edits
from netcompile.cli.messages import tell
from netcompile.cli.netinput import analyse_net
from netcompile.cli.padding import layers_of
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text


def what_if(arguments: argparse.Namespace, analysed: Analysed) -> Analysed:
    """The net with other pads, its crops starting where they then have to. Raises NetError for a wrong layer."""
    edits: list[Edit] = []
    for name, pad in arguments.pad:
        for node in layers_of(analysed, [name], transposed=True):
            try:
                edits += pad_edits(node, analysed.source, pad)
            except Unwritable as why:
                refuse("repad", f"the pad of '{name}' cannot be changed: {why}", node.message.span_of("name"))
    pads = ", ".join(f"'{name}' pads {shape_text(dict.fromkeys(pad))}" for name, pad in arguments.pad)
    tell(f"what if {pads}: the file itself is not changed")
    if arguments.crop_offsets == "auto":
        arguments.crop_offsets = "inferred"
    return analyse_net(arguments, edited(analysed.source, edits))
