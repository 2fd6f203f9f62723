"""What the page asks for, each a function of plain values: the same texts as the commands print and write.

`answer` takes a request as JSON, so that the worker knows no other name of this package. One text is open at a time;
all functions but `open_net`, `read` and `complete` are about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from netcompile.algebra.effort import bounded
from netcompile.diagnostics.diagnostic import NetError, refuse
from netcompile.diagnostics.json_text import json_text
from netcompile.diagnostics.listing import listing
from netcompile.diagnostics.text import shape_text
from netcompile.diagnostics.visible import visible_text
from netcompile.prototxt.load import load_net
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import decode_source
from netcompile.report.as_explanation import explanation_as_text
from netcompile.report.as_json import layers_as_json, offsets_as_json
from netcompile.report.as_text import layers_as_text, offsets_as_text
from netcompile.report.findings import summary
from netcompile.report.layer_model import Report
from netcompile.report.offsets import offsets_report
from netcompile.site import hdf5, weights
from netcompile.site.completions import completions
from netcompile.site.fixes import fixes
from netcompile.site.opened import Opened
from netcompile.site.positions import Units
from netcompile.site.reading import reading_of
from netcompile.site.shown import shown_findings, shown_layers
from netcompile.site.weights import Dropped
from netcompile.version import __version__

Answer = dict[str, Any]
_NO_TEXT = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # halves of characters, but for those that stand for bytes
_opened: list[Opened] = []  # the text that is open: one or none
_dropped: list[Dropped] = []  # the file of weights beside it: one or none


def answer(method: str, params: str) -> str:
    """The answer to a request, both as JSON: ``{"result": …}``, or ``{"error": {"text": …}}``; it never raises."""
    try:
        with bounded():
            found = {"result": METHODS[method](**json.loads(params))}
    except NetError as error:
        found = {"error": {"text": "".join(listing(error.diagnostics))}}
    except RecursionError:
        found = {"error": {"text": "this is nested too deeply for Python's stack"}}
    except MemoryError:
        found = {"error": {"text": "not enough memory"}}
    except Exception as error:
        what = f"{type(error).__name__}: {error}".split("\n", 1)[0][:500]
        found = {"error": {"text": f"internal error: {what}; this is a bug of netcompile: please report it"}}
    return json.dumps(found)


def version() -> Answer:
    """The version of this package."""
    return {"version": __version__}


def read(data: str, name: str) -> Answer:
    """The text of a file, whose bytes are the characters of `data`. Raises NetError for a file that is no text."""
    return {"text": decode_source(data.encode("latin-1"), name).text}


def open_net(text: str, name: str, options: Answer | None = None) -> Answer:
    """Open a text: what is wrong with it, its layers, what the net is. A net with mistakes is opened as well."""
    opened = _open(text, name, options or {})
    analysed = None if isinstance(opened.analysed, NetError) else opened.net()
    mended = fixes(analysed, opened.findings)
    net = None
    layers = []
    if analysed is not None:
        shape = next((entry.shape for entry in analysed.graph.inputs), None)
        codes = {note.code for note in analysed.notes}
        form = "V0" if "upgraded-v0" in codes else "V1" if "upgraded-v1" in codes else "V2"
        net = {"name": analysed.name, "format": form, "input": None if shape is None else shape_text(shape)}
        layers = shown_layers(opened)
    return {"findings": shown_findings(opened, mended), "layers": layers, "net": net}


def offsets_of() -> Answer:
    """What `netcompile offsets` prints, and with `--json`. Raises NetError."""
    report = offsets_report(_current().sound())
    return {"text": visible_text(offsets_as_text(report)), "json": json_text(offsets_as_json(report))}


def explanation() -> Answer:
    """What `netcompile offsets --explain` prints. Raises NetError."""
    return {"text": visible_text(explanation_as_text(offsets_report(_current().sound())))}


def check() -> Answer:
    """What `netcompile check` says: the findings, and how many they are."""
    found = _current().findings
    return {"text": "".join([*listing(found), f"{summary(found)}\n"])}


def report() -> Answer:
    """The page that `netcompile build` writes; that of `offsets --html` for a net that cannot be built."""
    return {"html": _report("")}


def report_part(part: str) -> Answer:
    """The same page with one of its parts alone, in a part of the time. Raises NetError."""
    from netcompile.report.as_html import PARTS

    if part not in PARTS:
        refuse("usage", f"the report has no part {part!r}", remedy=", ".join(PARTS))
    return {"html": _report(part)}


def cost() -> Answer:
    """The table of `netcompile inspect`, and its rows. Raises NetError."""
    opened = _current()
    analysed = opened.net()
    unresolved = analysed.crops.problems()
    if any(problem not in unresolved for problem in analysed.problems):
        raise NetError(analysed.problems)
    rows = layers_as_json(opened.layers)
    return {"text": visible_text(layers_as_text(opened.layers)), "rows": rows["layers"], "totals": rows["totals"]}


def source(level: int = 1, style: str | None = None) -> Answer:
    """The module that `netcompile build` writes, and which of its lines belong to which line of the prototxt."""
    if level not in (0, 1, 2) or style not in (None, "blocks", "flat"):
        refuse("usage", f"there is no level {level!r} in the style {style!r}", remedy="0, 1 or 2; blocks or flat")
    module, _ = _current().module(level, style)
    lines = [
        [line, module.nodes[index].line]
        for index, (first, last) in sorted(module.lines.items(), key=lambda item: item[1])
        for line in range(first, last + 1)
    ]
    text = module.source.encode("utf-8", "backslashreplace").decode()
    return {"text": text, "lines": lines, "style": module.style}


def upgraded() -> Answer:
    """What `netcompile upgrade` prints. Raises NetError."""
    return {"text": visible_text(to_text(load_net(_current().source).net))}


def complete(text: str, position: int) -> Answer:
    """What may stand at a position of a text, counted in units of UTF-16."""
    units = Units(text)
    found = completions(text, units.offset(position) + text.startswith("\ufeff"))
    return {"from": units.of(found.start - text.startswith("\ufeff")), "items": [asdict(item) for item in found.items]}


def weights_open(folder: str, name: str, listing: Answer | None = None) -> Answer:
    """What is in a file of weights, which from here on is the one beside the net. Raises NetError.

    Of an HDF5 file it says no more than that it is one; it is opened with a listing, and the numbers that
    `weights_listed` wants in its place.
    """
    weights_close()
    if listing is not None:
        with weights.readable(name):
            model = hdf5.listed_model(name, listing)
            _dropped.append(weights.of_model(hdf5.with_numbers(folder, model)))
    elif weights.holds_hdf5(folder, name):
        return {"kind": "hdf5"}
    else:
        _dropped.append(weights.dropped(folder, name))
    return weights.contents(_dropped[0])


def weights_listed(name: str, listing: Answer) -> Answer:
    """The data sets of an HDF5 file whose numbers are wanted, by a listing of the file. Raises NetError."""
    with weights.readable(name):
        return {"wanted": hdf5.wanted(hdf5.listed_model(name, listing))}


def weights_close() -> Answer:
    """Forget the file of weights."""
    _dropped.clear()
    return {}


def weights_fit(way: Answer, numbers: list[list[int] | None] | None = None) -> Answer:
    """How the file fits the net that is open, and what `netcompile convert-weights` says of it. Raises NetError."""
    return weights.fitted(_file(), _current, weights.Way(**way), numbers)


def weights_begin() -> Answer:
    """Begin to write what the file was fitted for."""
    _file().rest = weights.written(_file())
    return {}


def weights_next() -> Answer:
    """The next part of it: ``{"range": [start, end]}`` of the file, ``{"bytes": count}``, or ``{"end": true}``."""
    return weights.next_part(_file())


def weights_taken() -> bytes:
    """The bytes of the part that came last; of all methods the one that gives no JSON."""
    return _file().taken


METHODS: dict[str, Callable[..., Answer]] = {
    "version": version,
    "read": read,
    "open": open_net,
    "offsets": offsets_of,
    "explanation": explanation,
    "check": check,
    "report": report,
    "report_part": report_part,
    "cost": cost,
    "source": source,
    "upgraded": upgraded,
    "completions": complete,
    "weights_open": weights_open,
    "weights_listed": weights_listed,
    "weights_close": weights_close,
    "weights_fit": weights_fit,
    "weights_begin": weights_begin,
    "weights_next": weights_next,
}


def _report(part: str) -> str:
    from netcompile.report.as_html import html_report  # compiles the net

    opened = _current()
    analysed = opened.sound()
    both = Report(offsets_report(analysed, prove=part in ("", "alignment")), opened.layers)
    if part in ("alignment", "layers"):
        return html_report(analysed, both, part=part)
    try:
        module, skipped = opened.module(1, None)
    except NetError:
        return html_report(analysed, both, part=part)
    return html_report(analysed, both, module, skipped, part)


def _open(text: str, name: str, options: Answer) -> Opened:
    """The text, which from here on is the one that is open; as it was where nothing changed."""
    made = Opened(_NO_TEXT.sub("\ufffd", text), name or "net.prototxt", reading_of(options))
    if _opened != [made]:
        _opened[:] = [made]
    return _opened[0]


def _current() -> Opened:
    if not _opened:
        refuse("usage", "no net is open")
    return _opened[0]


def _file() -> Dropped:
    if not _dropped:
        refuse("usage", "there is no file of weights")
    return _dropped[0]
