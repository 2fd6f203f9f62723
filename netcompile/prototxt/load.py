"""A text to a net of today's form: parse, recognise what is no net, upgrade."""

from __future__ import annotations

import re

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, refuse, sorted_by_position
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse, without_collector
from netcompile.prototxt.recognise import recognised
from netcompile.prototxt.upgrade import Upgraded, upgrade


def load_net(source: Source) -> Upgraded:
    """The net of a text, upgraded to V2; ``notes`` says what was odd or changed.

    Raises NetError with every mistake found: of the text, of its names and values, a solver or other file given by
    mistake, an empty file, a net without layers, a mixture of old and new forms.
    """
    other = recognised(source)
    if other is not None:
        raise NetError(other)
    try:
        net = parse(source)
    except NetError as error:
        _go_on(error)
        raise
    here = Span(source, 0, 0)
    if not net.entries:
        blank = not source.text.strip()
        what = "the file is empty" if blank else "the file holds comments only"
        refuse("empty-file", what, here, "a net has layers", 'layer { name: "…" type: "…" }')
    if not (net.has("layer") or net.has("layers") or net.has("input")):
        refuse("no-layers", "a net without layers", here, "", 'layer { name: "…" type: "…" }')
    with without_collector():
        result = upgrade(net)
    odd = re.search("[\udc80-\udcff]", source.text) if not source.text.isascii() else None
    if odd is None:
        return result
    what = "a byte that is not UTF-8, in a comment"
    why = "it is not needed to read the net; the file is probably in Latin-1"
    note = Diagnostic("not-utf8", what, Span(source, *odd.span()), why, "save the file as UTF-8", severity="note")
    return Upgraded(result.net, sorted_by_position([*result.notes, note]))


# Mistakes that leave the rest of the text as it was meant: one field is lost, no brace.
_LOCAL = frozenset(
    [
        "unknown-field",
        "unknown-enum-value",
        "wrong-type",
        "out-of-range",
        "duplicate-field",
        "equals-sign",
        "missing-quotes",
        "bad-number",
        "bad-escape",
        "smart-quotes",
        "template",
    ]
)


def _go_on(error: NetError) -> None:
    """Upgrade what was read of a text with mistakes in single fields, so that the next stages can look too.

    ``error`` then carries the net as its ``partial``, and the upgrade's mistakes among its own.
    """
    net, error.partial = error.partial, None
    if not isinstance(net, Message) or any(d.code not in _LOCAL for d in error.diagnostics):
        return
    try:
        error.partial = upgrade(net)
    except NetError as more:
        error.diagnostics = sorted_by_position([*error.diagnostics, *more.diagnostics])
