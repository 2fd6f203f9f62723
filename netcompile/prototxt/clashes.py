"""Which layer a V1 ``type`` means whose number forks use for different layers, by what stands around it.

40 is CROP in the forks of FCN and HED and SEG_ACCURACY in DeepLab's; both take two blobs and give one.
"""

from __future__ import annotations

from collections.abc import Iterable

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.prototxt.message import Message
from netcompile.prototxt.schema import Clash

CROP, ACCURACY = "CROP", "SEG_ACCURACY"


def resolved(net: Message) -> tuple[Message, list[Diagnostic]]:
    """The net with such types as names, and a note for each. Raises NetError for those that nothing tells apart."""
    if not any(isinstance(layer.get("type"), Clash) for layer in net.all("layers")):
        return net, []
    around = _Around(net)
    notes: list[Diagnostic] = []
    problems: list[Diagnostic] = []
    entries = []
    for entry in net.entries:
        layer = entry.value
        found = layer.get("type") if entry.field.name == "layers" else None
        if isinstance(found, Clash):
            meant, why = _meant(layer, found, around)
            span = layer.span_of("type")
            digits = span.text
            if meant:
                note = Diagnostic("ambiguous-number", f"type: {digits} is read as {meant}", span, why, severity="note")
                notes.append(note)
                entry = entry.moved(entry.field, layer.replace(type=meant))
            else:
                what = f"type: {digits} means {', '.join(found.meanings)} in different forks"
                remedy = "write the name instead of the number"
                problems.append(Diagnostic("ambiguous-number", what, span, remedy=remedy))
        entries.append(entry)
    if problems:
        raise NetError(problems)
    return net.with_entries(entries), notes


class _Around:
    """Where a net's blobs stand: for each the first two layers (one may be the layer that asks) of each kind."""

    def __init__(self, net: Message) -> None:
        self.readers: dict[str, list[Message]] = {}
        self.measures: dict[str, list[Message]] = {}  # by their second bottom, which is a label
        self.labels: dict[str, list[Message]] = {}  # further tops of layers without a bottom
        self.workers: dict[str, list[Message]] = {}  # by their first bottom
        self.place: dict[int, int] = {}
        for number, layer in enumerate(net.all("layers")):
            self.place[id(layer)] = number
            bottoms = layer.all("bottom")
            for blob in bottoms:
                _put(self.readers, blob, layer)
            if str(layer.get("type")).endswith(("LOSS", "ACCURACY")):
                for blob in bottoms[1:2]:
                    _put(self.measures, blob, layer)
            for blob in bottoms[:1]:
                _put(self.workers, blob, layer)
            for blob in () if bottoms else layer.all("top")[1:]:
                _put(self.labels, blob, layer)

    def first(self, kind: dict[str, list[Message]], blobs: Iterable[str], asking: Message) -> Message | None:
        """The first layer of a kind at one of these blobs, but for the one that asks."""
        found = [other for blob in blobs for other in kind.get(blob, ()) if other is not asking]
        return min(found, key=lambda other: self.place[id(other)], default=None)


def _put(kind: dict[str, list[Message]], blob: str, layer: Message) -> None:
    known = kind.setdefault(blob, [])
    if len(known) < 2 and all(other is not layer for other in known):
        known.append(layer)


def _meant(layer: Message, clash: Clash, around: _Around) -> tuple[str, str]:
    """The meaning and why; "" where nothing tells."""
    for meaning in clash.meanings:
        block = f"{meaning.lower()}_param"
        if block in layer.type.fields and layer.has(block):
            return meaning, f"it has {block}"
    if set(clash.meanings) != {CROP, ACCURACY}:
        return "", ""
    reader = around.first(around.readers, layer.all("top"), layer)
    if reader is not None:
        return CROP, f"layer '{reader.get('name')}' reads its top, and nothing reads an accuracy"
    second = layer.all("bottom")[1:2]
    measure = around.first(around.measures, second, layer)
    feeder = around.first(around.labels, second, layer)
    if measure is not None and (feeder is None or around.place[id(measure)] < around.place[id(feeder)]):
        return ACCURACY, f"its second bottom '{second[0]}' is the label of '{measure.get('name')}' too"
    if feeder is not None:
        return ACCURACY, f"its second bottom '{second[0]}' is a label of '{feeder.get('name')}'"
    worker = around.first(around.workers, second, layer)
    if worker is not None:
        return CROP, f"its second bottom '{second[0]}' is what '{worker.get('name')}' works on, so no label"
    return "", ""
