"""Changes of a net's text that touch nothing but what they change: offsets of crops, pads of windows.

An edit replaces a stretch of the text as it was read, so comments, order, spacing and line ends stay. `unwritable`
tells why a place cannot be edited, which is so where a net of an old format has no such place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netcompile.diagnostics.source import Source
from netcompile.ir.graph import Node
from netcompile.prototxt.message import Entry, Message

CONTEXT = 3  # unchanged lines around a change in a diff


class Unwritable(Exception):
    """The text has no place for a value; says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from `start` up to `end` by `text`."""

    start: int
    end: int
    text: str


def edited(source: Source, edits: Iterable[Edit]) -> Source:
    """The source with all edits made; they must not overlap."""
    return Source(_changed(source.text, edits), source.name)


def _changed(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(set(edits), key=lambda e: e.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def offset_edits(node: Node, source: Source, offsets: Sequence[int]) -> tuple[Edit, ...]:
    """Make a Crop declare these offsets, one for each cropped axis. Raises Unwritable."""
    message = node.message
    if not message.has("crop_param"):
        if message.start < 0 or message.head.text != "layer":
            raise Unwritable("a layer of an old format cannot hold crop_param: netcompile upgrade first")
        return (_append(message, source, f"crop_param {{ {_fields('offset', offsets)} }}"),)
    section = message.get("crop_param")
    return _repeated(section, source, "offset", offsets)


def pad_edits(node: Node, source: Source, pad: tuple[int, int]) -> tuple[Edit, ...]:
    """Make a convolution, deconvolution or pooling pad this many pixels, (height, width). Raises Unwritable."""
    name = "pooling_param" if node.message.has("pooling_param") else "convolution_param"
    section = node.message.get(name)
    if section.has("pad_h") or section.has("pad_w"):
        entries = [
            (field, section.entry(field, -1), value) for field, value in zip(("pad_h", "pad_w"), pad, strict=True)
        ]
        return tuple(
            _append(section, source, f"{field}: {value}") if entry is None else _value(entry, source, str(value))
            for field, entry, value in entries
        )
    if section.type.fields["pad"].repeated or pad[0] == pad[1]:
        return _repeated(section, source, "pad", pad)
    both = f"pad_h: {pad[0]} pad_w: {pad[1]}"
    entry = section.entry("pad", -1)
    if entry is None:
        return (_append(section, source, both),)
    _value(entry, source, "")
    return (Edit(entry.name_start, entry.value_end, both),)


def _repeated(section: Message, source: Source, field: str, values: Sequence[int]) -> tuple[Edit, ...]:
    """Set a field that takes one value for all axes, or one for each."""
    entries = [entry for entry in section.entries if entry.field.name == field]
    if not entries:
        return (_append(section, source, _fields(field, values)),)
    if len(entries) == len(values):
        wanted = [str(value) for value in values]
    elif len(set(values)) == 1:
        wanted = [str(values[0])] * len(entries)
    elif len(entries) == 1:
        first = entries[0]
        listed = "[" in source.text[first.name_end : first.value_start]
        wanted = [(", " if listed else f" {field}: ").join(map(str, values))]
    else:
        raise Unwritable(f"{len(entries)} values of {field} for {len(values)} axes")
    return tuple(
        _value(entry, source, text) for entry, text in zip(entries, wanted, strict=True) if text != str(entry.value)
    )


def _fields(field: str, values: Sequence[int]) -> str:
    """``offset: 5``, or one for each axis."""
    return " ".join(f"{field}: {value}" for value in (values[:1] if len(set(values)) == 1 else values))


def _value(entry: Entry, source: Source, text: str) -> Edit:
    if entry.value_start < 0 or entry.name_start < 0:
        raise Unwritable(f"the text does not say {entry.field.name} in a place of its own")
    return Edit(entry.value_start, entry.value_end, text)


def _append(message: Message, source: Source, text: str) -> Edit:
    """Add a field at the end of a message: on a line of its own where the last one has one."""
    if message.start < 0 or source.text[message.end - 1 : message.end] not in ("}", ">"):
        raise Unwritable("the text has no such block")
    places = [entry for entry in message.entries if entry.value_start >= message.start]
    if not places:
        at = message.end - 1
        before = "" if source.text[at - 1].isspace() else " "
        return Edit(at, at, f"{before}{text} ")
    last = max(places, key=lambda entry: entry.value_end)
    begin = source.text.rfind("\n", 0, last.name_start) + 1
    indent = source.text[begin : last.name_start]
    if begin == 0 or not indent.isspace():
        return Edit(last.value_end, last.value_end, f" {text}")
    newline = "\r\n" if source.text[max(begin - 2, 0) : begin] == "\r\n" else "\n"
    return Edit(last.value_end, last.value_end, f"{newline}{indent}{text}")


# showing -------------------------------------------------------------------------------------------------------


def unified_diff(source: Source, edits: Iterable[Edit]) -> str:
    """The edits as a unified diff, "" where there are none. Exact: it is made from the edits, not found again."""
    lines = source.text.split("\n")
    changes = _changes(source, sorted(set(edits), key=lambda e: e.start))
    out: list[str] = []
    shift = index = 0
    while index < len(changes):
        last = index
        while last + 1 < len(changes) and changes[last + 1][0] - changes[last][1] <= 2 * CONTEXT:
            last += 1
        first, end = max(changes[index][0] - CONTEXT, 0), min(changes[last][1] + CONTEXT, len(lines))
        if end == len(lines) and lines[-1] == "":
            end -= 1
        body: list[str] = []
        at, grown = first, 0
        for low, high, new in changes[index : last + 1]:
            body += [f" {line}" for line in lines[at:low]]
            body += [f"-{line}" for line in lines[low:high]] + [f"+{line}" for line in new]
            at, grown = high, grown + len(new) - (high - low)
        body += [f" {line}" for line in lines[at:end]]
        out.append(f"@@ -{first + 1},{end - first} +{first + 1 + shift},{end - first + grown} @@")
        out += body
        if end == len(lines):
            out.append("\\ No newline at end of file")
        shift, index = shift + grown, last + 1
    return "".join(f"{line}\n" for line in (f"--- {source.name}", f"+++ {source.name}", *out)) if out else ""


def _changes(source: Source, edits: Sequence[Edit]) -> list[tuple[int, int, list[str]]]:
    """(first line, line beyond, lines in their place), numbered from 0; edits of one line go together."""
    groups: list[tuple[int, int, list[Edit]]] = []
    for edit in edits:
        low, high = source.position(edit.start)[0] - 1, source.position(edit.end)[0]
        if groups and low < groups[-1][1]:
            groups[-1] = (groups[-1][0], max(high, groups[-1][1]), [*groups[-1][2], edit])
        else:
            groups.append((low, high, [edit]))
    found = []
    for low, high, some in groups:
        begin, end = source.offset(low + 1), source.offset(high + 1)
        moved = [Edit(e.start - begin, e.end - begin, e.text) for e in some]
        found.append((low, high, _changed(source.text[begin:end].removesuffix("\n"), moved).split("\n")))
    return found
