"""The least padding for which every crop of a net is legal, for all input sizes or a range of them.

Writes the prototxt with that pad and the offsets that follow from it; everything else in the text stays as it is.
What changes, and what that does to values near the borders, is said on stderr.
"""

from __future__ import annotations

import argparse
import re

from netcompile.algebra.nset import NSet
from netcompile.analyser import Analysed
from netcompile.analysis.cost import costs
from netcompile.analysis.edits import Unwritable, edited, pad_edits
from netcompile.analysis.fix import fix
from netcompile.analysis.repad import border, coarsest, least_pad, tried
from netcompile.analysis.windows import windows
from netcompile.cli.exit_codes import DONE, FINDINGS
from netcompile.cli.messages import show, tell_lines
from netcompile.cli.net_options import add_net
from netcompile.cli.netinput import analyse_net
from netcompile.cli.options import add_max_memory
from netcompile.cli.output import write_text
from netcompile.cli.padding import layers_of
from netcompile.diagnostics.diagnostic import Diagnostic, refuse
from netcompile.diagnostics.text import count_text
from netcompile.files.whole import whole_file
from netcompile.ir.graph import Node
from netcompile.prototxt.printer import shown
from netcompile.report.formatting import offsets_text, sizes_text


def configure(parser: argparse.ArgumentParser) -> None:
    add_net(parser)
    add_max_memory(parser)
    parser.add_argument(
        "--range",
        type=size_range,
        metavar="A..B",
        help='heights and widths that have to be legal, such as 100..2000 or "100.."; default: all',
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="the layer whose pad may change (repeatable); default: those that pad more than their window needs",
    )
    parser.add_argument(
        "--keep-grid",
        action="store_true",
        help="only pads that leave every window on the pixels that it has now, so that trained nets keep their values",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the prototxt there; default: stdout")


def size_range(text: str) -> NSet:
    """``100..2000``, ``100..`` or ``500`` as a set of extents."""
    match = re.fullmatch(r"([0-9]{1,7})(?:(\.\.)([0-9]{1,7})?)?", text, re.ASCII)
    first = int(match[1]) if match else 0
    last = None if not match else first if match[2] is None else int(match[3]) if match[3] else None
    if first < 1 or (last is not None and last < first):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of sizes such as 100..2000")
    return NSet.between(first, last)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 where no padding will do."""
    analysed = analyse_net(arguments)
    chosen = layers_of(analysed, arguments.layer)
    these = arguments.range or NSet.all()
    pads = {w.pad for node in chosen for w in windows(node, analysed.shapes) or ()}
    old = max(pads)
    step = coarsest(analysed.crops.coordinates) if arguments.keep_grid else 1
    pad = least_pad(analysed.graph, analysed.symbolic, chosen, (these, these), step, old)
    if pad is None:
        pads_tried = tried(analysed.graph, chosen, step, old)
        show([no_padding(analysed, chosen[0], these, pads_tried, arguments.keep_grid)])
        return FINDINGS
    after = repadded(arguments, analysed, chosen, pad)
    text = shown(after.source.text)
    if arguments.output is None:
        write_text(text)
    else:
        with whole_file(arguments.output) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    note = explain(analysed, after, chosen, (old, pad), these.describe("H, W"))
    tell_lines(*note)
    return DONE


def repadded(arguments: argparse.Namespace, analysed: Analysed, chosen: tuple[Node, ...], pad: int) -> Analysed:
    """The net of the new text. Raises NetError where the text cannot hold it."""
    try:
        source = edited(analysed.source, [e for n in chosen for e in pad_edits(n, analysed.source, (pad, pad))])
    except Unwritable as why:
        refuse("repad", f"the text cannot be changed: {why}", chosen[0].message.span_of("name"))
    fixed = fix(source, analyse_net(arguments, source).crops.reports)
    if fixed.left:
        report, reason = fixed.left[0]
        what = f"crop '{report.node.name}' cannot be changed: {reason}"
        refuse("repad", what, report.node.message.span_of("name"))
    return analyse_net(arguments, fixed.source).require()


def no_padding(analysed: Analysed, node: Node, these: NSet, pads: list[int], keep_grid: bool) -> Diagnostic:
    """That none of these pads makes the net legal for these sizes, and what might."""
    why = f"pads up to {pads[-1]} were tried" if any(pads) else "Caffe takes no other pad here"
    if analysed.symbolic.pins:
        _, tied = analysed.symbolic.pins[0]
        why = f"layer '{tied.name}' ties the net to the size that it is declared for, whatever the padding"
    remedy = "leave --keep-grid out" if keep_grid else "--range asks for less, --layer pads another layer"
    return Diagnostic(
        "repad",
        f"no pad of '{node.name}' makes the net legal for {these.describe('H, W')}",
        node.message.span_of("name"),
        why=why,
        remedy=remedy,
    )


def explain(before: Analysed, after: Analysed, chosen: tuple[Node, ...], pads: tuple[int, int], goal: str) -> list[str]:
    """What changed, and what it means for values."""
    old, new = pads
    names = ", ".join(f"'{node.name}'" for node in chosen)
    lines = [f"the least pad of {names} for {goal} is {new}" + (", as it is" if new == old else f" instead of {old}")]
    for first, second in zip(before.reports, after.reports, strict=True):
        if first.declared != second.declared:
            start, was = offsets_text(second.used), offsets_text(first.declared)
            lines.append(f"  crop '{first.node.name}': offset {start} instead of {was}")
    lines.append(f"  legal for {sizes_text(after.valid)}; before: {sizes_text(before.valid)}")
    spent = [costs(net.graph, net.shapes) for net in (after, before)]
    macs, sizes = ([sum(getattr(c, key) for c in net) for net in spent] for key in ("macs", "activations"))
    high, wide = before.symbolic.declared
    lines.append(
        f"  at {high}x{wide}: {count_text(macs[0])} MACs and {count_text(sizes[0])}B of activations; "
        f"before: {count_text(macs[1])} and {count_text(sizes[1])}B"
    )
    if new == old:
        return lines
    found = border(after.graph, after.shapes, after.crops.coordinates, old, new)
    moved = f"at the borders: each side has {abs(new - old)} pixels of padding {'more' if new > old else 'less'}"
    if not found.aligned:
        lines.append(
            f"  {moved}; that is no multiple of {found.stride}, the coarsest stride, so windows fall on other pixels "
            "and all values change a little, not at the borders alone (--keep-grid looks for a multiple)"
        )
    elif found.reach is None:
        lines.append(f"  {moved}, a multiple of {found.stride}, the coarsest stride: values change near them alone")
    else:
        lines.append(
            f"  {moved}, a multiple of {found.stride}, the coarsest stride: values change within "
            f"{found.reach} pixels of them, where the net sees beyond the padding, and nowhere else"
        )
    return lines
