"""Which layer a V1 ``type`` means whose number forks use for different layers, by what stands around it.

40 is CROP in the forks of FCN and HED and SEG_ACCURACY in DeepLab's; both take two blobs and give one.
"""

from __future__ import annotations

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.prototxt.message import Message
from netcompile.prototxt.schema import Clash

CROP, ACCURACY = "CROP", "SEG_ACCURACY"


def resolved(net: Message) -> tuple[Message, list[Diagnostic]]:
    """The net with such types as names, and a note for each. Raises NetError for those that nothing tells apart."""
    if not any(isinstance(layer.get("type"), Clash) for layer in net.all("layers")):
        return net, []
    notes: list[Diagnostic] = []
    problems: list[Diagnostic] = []
    entries = []
    for entry in net.entries:
        layer = entry.value
        found = layer.get("type") if entry.field.name == "layers" else None
        if isinstance(found, Clash):
            meant, why = _meant(layer, found, net)
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


def _meant(layer: Message, clash: Clash, net: Message) -> tuple[str, str]:
    """The meaning and why; "" where nothing tells."""
    for meaning in clash.meanings:
        block = f"{meaning.lower()}_param"
        if block in layer.type.fields and layer.has(block):
            return meaning, f"it has {block}"
    if set(clash.meanings) != {CROP, ACCURACY}:
        return "", ""
    others = [other for other in net.all("layers") if other is not layer]
    tops, second = set(layer.all("top")), layer.all("bottom")[1:2]
    for other in others:
        if not tops.isdisjoint(other.all("bottom")):
            return CROP, f"layer '{other.get('name')}' reads its top, and nothing reads an accuracy"
    for other in others:
        if second and second == other.all("bottom")[1:2] and str(other.get("type")).endswith(("LOSS", "ACCURACY")):
            return ACCURACY, f"its second bottom '{second[0]}' is the label of '{other.get('name')}' too"
        if second and not other.all("bottom") and second[0] in other.all("top")[1:]:
            return ACCURACY, f"its second bottom '{second[0]}' is a label of '{other.get('name')}'"
    for other in others:
        if second and second == other.all("bottom")[:1]:
            return CROP, f"its second bottom '{second[0]}' is what '{other.get('name')}' works on, so no label"
    return "", ""
