"""V0 to V1: ``layers { layer { type: "conv" … } }`` becomes ``layers { type: CONVOLUTION … }``."""

from __future__ import annotations

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.nearest import Hints, did_you_mean
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.schema import message_type
from netcompile.prototxt.upgrade_tables import V0_TYPES, v0_home


def upgrade_v0(net: Message) -> tuple[Message, list[Diagnostic]]:
    """The net with V1 layers only, and what was worth saying. A net without V0 layers comes back as it is.

    Caffe's rules: padding layers vanish into the convolution or pooling behind them; a field that means nothing to
    a layer's type is dropped. Raises NetError for unknown types and for padding that nothing can take up.
    """
    entries = [e for e in net.entries if e.field.name == "layers"]
    if not any(e.value.has("layer") for e in entries):
        return net, []
    errors: list[Diagnostic] = []
    notes: list[Diagnostic] = []
    for entry in entries:
        if not entry.value.has("layer"):
            what = "a V1 layer in a net of V0 layers"
            why = "other layers of this net hold a layer { … } inside layers, the form of 2013"
            errors.append(Diagnostic("mixed-versions", what, entry.value.head, why, "write all layers in one form"))
    folded = _fold_padding(net, entries, errors)
    hints = Hints()
    upgraded = iter([_layer(e, errors, notes, hints) for e in folded])
    if errors:
        raise NetError(errors)
    first = True
    out: list[Entry] = []
    for entry in net.entries:
        if entry.field.name in ("input_shape", "state", "debug_info"):
            notes.append(_ignored(net, entry, "nets of 2013 had no such field, and the upgrade drops it"))
        elif entry.field.name != "layers":
            out.append(entry)
        elif first:
            out += upgraded
            first = False
    many = "layers" if len(entries) > 1 else "layer"
    what = f"{len(entries)} {many} in the V0 form (layers {{ layer {{ … }} }}), read as V2 (layer)"
    notes.insert(0, Diagnostic("upgraded-v0", what, entries[0].value.head, severity="note"))
    return net.with_entries(out), notes


def _type(layer: Message) -> str:
    return str(layer.get("layer").get("type"))


def _fold_padding(net: Message, entries: list[Entry], errors: list[Diagnostic]) -> list[Entry]:
    """The layers without padding layers, whose pad and bottom the layers behind them take over."""
    producer: dict[str, Message | None] = dict.fromkeys(net.all("input"))
    kept: list[Entry] = []
    for entry in entries:
        layer: Message = entry.value
        bottoms = layer.all("bottom")
        pad: Entry | None = None
        taken: Entry = entry
        for i, bottom in enumerate(bottoms):
            if bottom not in producer:
                what = f"bottom '{bottom}' is made by no layer above and is no input"
                errors.append(Diagnostic("unknown-bottom", what, layer.span_of("bottom", i)))
                continue
            source = producer[bottom]
            if source is None or _type(source) != "padding":
                continue
            if _type(layer) not in ("conv", "pool"):
                what = f"a padding layer feeds a layer of type '{_type(layer)}'"
                why = "padding folds into convolution and pooling only"
            elif len(bottoms) != 1 or len(source.all("bottom")) != 1 or len(source.all("top")) != 1:
                what = "padding between layers of several bottoms or tops"
                why = "the padding layer and the layer behind it must take one bottom, and padding make one top"
            else:
                pad = source.get("layer").entry("pad") or Entry(message_type("V0LayerParameter").fields["pad"], 0)
                taken = next(e for e in source.entries if e.field.name == "bottom")
                continue
            related = ((source.head, "the padding layer"),)
            errors.append(Diagnostic("padding", what, layer.span_of("bottom", i), why, related=related))
        for top in layer.all("top"):
            producer[top] = layer
        if _type(layer) == "padding":
            continue
        if pad is not None:
            inner_entry = next(e for e in layer.entries if e.field.name == "layer")
            inner: Message = inner_entry.value
            inner = inner.with_entries([*(e for e in inner.entries if e.field.name != "pad"), pad])
            swaps = {"layer": inner_entry.moved(inner_entry.field, inner), "bottom": taken}
            layer = layer.with_entries(swaps.get(e.field.name, e) for e in layer.entries)
        kept.append(entry.moved(entry.field, layer))
    return kept


def _layer(entry: Entry, errors: list[Diagnostic], notes: list[Diagnostic], hints: Hints) -> Entry:
    """One V0 connection as a V1 layer."""
    connection: Message = entry.value
    layer: Message = connection.get("layer")
    v1 = message_type("V1LayerParameter")
    kind = _type(connection)
    out: list[Entry] = [e for e in connection.entries if e.field.name in ("bottom", "top")]
    for dropped in connection.entries:
        if dropped.field.name not in ("bottom", "top", "layer"):
            notes.append(_ignored(connection, dropped, "a V0 layer has nothing but bottom, top and layer"))
    blocks: dict[str, list[Entry]] = {}
    for field in layer.entries:
        name = field.field.name
        if name == "type":
            if kind not in V0_TYPES:
                span = layer.span_of("type")
                what = f"no V0 layer type is called '{kind}'"
                why = "the form of 2013 knows the two dozen types of its time"
                near = hints.nearest(kind, [*V0_TYPES, "padding"])
                remedy = did_you_mean(near, 'write the layer in the form layer { type: "…" }')
                errors.append(Diagnostic("unknown-v0-type", what, span, why, remedy))
            else:
                out.append(field.moved(v1.fields["type"], V0_TYPES[kind]))
            continue
        home = v0_home(name, kind)
        if home is None:
            notes.append(_ignored(layer, field, f"it means nothing to a layer of type '{kind}'"))
        elif home[0] == "":
            out.append(field.moved(v1.fields[home[1]], field.value))
        else:
            block = message_type(v1.fields[home[0]].message or "")
            blocks.setdefault(home[0], []).append(field.moved(block.fields[home[1]], field.value))
    for name, fields in blocks.items():
        block = message_type(v1.fields[name].message or "")
        value = layer.with_entries(fields, block)
        out.append(Entry(v1.fields[name], value, layer.start, layer.head_end, layer.start, layer.end))
    return entry.moved(entry.field, connection.with_entries(out, v1))


def _ignored(message: Message, entry: Entry, why: str) -> Diagnostic:
    span = message.source.span(entry.name_start, entry.name_end) if entry.name_start >= 0 else message.head
    return Diagnostic("field-ignored", f"{entry.field.name} is ignored, as Caffe does", span, why, severity="warning")
