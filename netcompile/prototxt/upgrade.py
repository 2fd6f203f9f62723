"""Old forms of nets to the one form of today (V2), by the rules and in the order of BVLC Caffe.

V0 layers to V1; transformation fields of data layers to ``transform_param``; V1 layers to V2; ``input`` fields to
an Input layer; parameters of a BatchNorm with three of them to learning rate 0. Every entry of the result keeps the
place in the text that it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.diagnostics.diagnostic import Diagnostic, refuse, sorted_by_position
from netcompile.prototxt.clashes import resolved
from netcompile.prototxt.message import Entry, Message
from netcompile.prototxt.schema import FieldType, message_type
from netcompile.prototxt.upgrade_tables import DATA_BLOCKS, PARAM_LISTS, TRANSFORM_FIELDS, v2_type
from netcompile.prototxt.upgrade_v0 import upgrade_v0

OLD_INPUTS = ("input", "input_shape", "input_dim")


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A net of V2 layers only, and what was changed on the way, as notes and warnings sorted by position."""

    net: Message
    notes: tuple[Diagnostic, ...]


def upgrade(net: Message) -> Upgraded:
    """The net in today's form. Raises NetError for what Caffe cannot upgrade."""
    if net.has("layer") and net.has("layers"):
        what = "layer and layers in one net"
        why = "layer is the form of today, layers the older one; Caffe refuses a mixture"
        first, other = net.name_span_of("layer"), net.name_span_of("layers")
        if first.start > other.start:
            first, other = other, first
        remedy = "write all layers in one form"
        refuse("layer-and-layers", what, other, why, remedy, related=((first, "the other form is here"),))
    net, notes = upgrade_v0(net)
    net, clashes = resolved(net)
    net, more = _upgrade_v1(net)
    more += clashes
    if notes:  # said already that the form is an older one
        more = [note for note in more if note.code != "upgraded-v1"]
    net, inputs = _upgrade_inputs(net)
    net, norms = _upgrade_batch_norm(net)
    return Upgraded(net, sorted_by_position([*notes, *more, *inputs, *norms]))


def _upgrade_v1(net: Message) -> tuple[Message, list[Diagnostic]]:
    count = len(net.all("layers"))
    if not count:
        return net, []
    notes: list[Diagnostic] = []
    target = message_type("NetParameter").fields["layer"]
    order = {name: i for i, name in enumerate(message_type("LayerParameter").fields)}
    out = []
    for entry in net.entries:
        if entry.field.name == "layers":
            layer = _v1_layer(_transformed(entry.value), order, notes)
            entry = entry.moved(target, layer)
        out.append(entry)
    what = f"{count} layer{'s' * (count > 1)} in the V1 form (layers), read as V2 (layer)"
    notes.insert(0, Diagnostic("upgraded-v1", what, net.name_span_of("layers"), severity="note"))
    return net.with_entries(out), notes


def _transformed(layer: Message) -> Message:
    """A V1 data layer with scale, mean_file, crop_size and mirror moved from its own block to transform_param.

    Such a field replaces one that transform_param has already, as in Caffe.
    """
    name = DATA_BLOCKS.get(layer.get("type"))
    block = layer.get(name) if name is not None and layer.has(name) else None
    if name is None or block is None or not any(block.has(f) for f in TRANSFORM_FIELDS):
        return layer
    target = message_type("TransformationParameter")
    moved = [e.moved(target.fields[e.field.name], e.value) for e in block.entries if e.field.name in TRANSFORM_FIELDS]
    kept = block.with_entries(e for e in block.entries if e.field.name not in TRANSFORM_FIELDS)
    old = layer.entry("transform_param")
    names = {e.field.name for e in moved}
    entries = []
    for entry in layer.entries:
        if entry.field.name == name:
            entries.append(entry.moved(entry.field, kept))
        elif entry.field.name == "transform_param":
            both = [*(e for e in entry.value.entries if e.field.name not in names), *moved]
            entries.append(entry.moved(entry.field, entry.value.with_entries(both)))
        else:
            entries.append(entry)
    if old is None:
        place = (block.start, block.head_end, block.start, block.end)
        entries.append(Entry(layer.type.fields["transform_param"], block.with_entries(moved, target), *place))
    return layer.with_entries(entries)


def _v1_layer(layer: Message, order: dict[str, int], notes: list[Diagnostic]) -> Message:
    fields = message_type("LayerParameter").fields
    out: list[Entry] = []
    specs: list[list[Entry]] = []
    counts = dict.fromkeys(PARAM_LISTS, 0)
    spec = message_type("ParamSpec")
    for entry in layer.entries:
        name = entry.field.name
        if name == "type":
            if entry.value != "NONE":
                out.append(entry.moved(fields["type"], v2_type(entry.value)))
        elif name in PARAM_LISTS:
            index = counts[name]
            counts[name] += 1
            while len(specs) <= index:
                specs.append([])
            specs[index].append(entry.moved(spec.fields[PARAM_LISTS[name]], entry.value))
        elif name in fields and _same_kind(entry.field, fields[name]):
            out.append(entry.moved(fields[name], entry.value))
        else:
            span = layer.source.span(entry.name_start, entry.name_end)
            what, why = f"{name} is dropped", "layers of today have no such field"
            notes.append(Diagnostic("field-ignored", what, span, why, severity="warning"))
    for members in specs:
        made = Message(spec, tuple(members), layer.source, layer.start, layer.head_end, layer.head_end)
        out.append(members[0].moved(fields["param"], made) if members else Entry(fields["param"], made))
        if members:
            first = members[0]
            made.start, made.head_end, made.end = first.name_start, first.name_end, first.value_end
    out.sort(key=lambda e: order[e.field.name])
    return layer.with_entries(out, message_type("LayerParameter"))


def _same_kind(old: FieldType, new: FieldType) -> bool:
    return (old.type, old.message, old.enum, old.repeated) == (new.type, new.message, new.enum, new.repeated)


def _upgrade_inputs(net: Message) -> tuple[Message, list[Diagnostic]]:
    """``input`` with ``input_shape`` or ``input_dim`` as one Input layer at the front.

    Shapes win over dims. Inputs without either get an Input layer without shapes, but for those that a layer feeds:
    there Caffe's upgrade drops the name.
    """
    shapes = [e for e in net.entries if e.field.name == "input_shape"]
    dims = [e for e in net.entries if e.field.name == "input_dim"]
    names = [e for e in net.entries if e.field.name == "input"]
    if names and not (shapes or dims):
        fed = _fed(net)
        names = [e for e in names if e.value not in fed]
    if not names:
        return net.with_entries(e for e in net.entries if e.field.name not in OLD_INPUTS), []
    layer, inputs = message_type("LayerParameter"), message_type("InputParameter")
    source = net.source
    if shapes:
        _check_count(net, "input_shape", len(shapes), len(names), len(names))
        given = [e.moved(inputs.fields["shape"], e.value) for e in shapes[: len(names)]]
    else:
        given = []
        shape = message_type("BlobShape")
        if dims:
            _check_count(net, "input_dim", len(dims), len(names), 4 * len(names))
        for i in range(0, 4 * len(names) if dims else 0, 4):
            four = [e.moved(shape.fields["dim"], e.value) for e in dims[i : i + 4]]
            first, last = four[0], four[-1]
            made = Message(shape, tuple(four), source, first.name_start, first.name_end, last.value_end)
            place = (first.name_start, first.name_end, first.name_start, last.value_end)
            given.append(Entry(inputs.fields["shape"], made, *place))
    head = names[0]
    place = (head.name_start, head.name_end, head.name_start, head.value_end)
    entries = [Entry(layer.fields["name"], "input", *place), Entry(layer.fields["type"], "Input", *place)]
    entries += [e.moved(layer.fields["top"], e.value) for e in names]
    begin = min((e.name_start for e in given), default=head.name_start)
    until = max((e.value_end for e in given), default=head.value_end)
    begin_end = given[0].name_end if given else head.name_end
    block = Message(inputs, tuple(given), source, begin, begin_end, until)
    entries.append(Entry(layer.fields["input_param"], block, begin, begin_end, begin, until))
    made = Message(layer, tuple(entries), source, head.name_start, head.name_end, head.value_end)
    rest = [e for e in net.entries if e.field.name not in OLD_INPUTS]
    at = next((i for i, e in enumerate(rest) if e.field.name == "layer"), len(rest))
    rest.insert(at, Entry(net.type.fields["layer"], made, *place))
    what = f"input fields, read as an Input layer with {len(names)} top{'s' * (len(names) > 1)}"
    notes = [Diagnostic("upgraded-input", what, net.name_span_of("input"), severity="note")]
    surplus = dims[4 * len(names) :] if not shapes else shapes[len(names) :]
    if surplus:
        what = f"{surplus[0].field.name} for more inputs than there are"
        span = source.span(surplus[0].name_start, surplus[0].value_end)
        notes.append(Diagnostic("input-count", what, span, "Caffe ignores it", severity="warning"))
    return net.with_entries(rest), notes


def _fed(net: Message) -> set[str]:
    """Blobs that a layer without bottoms makes in every phase and stage."""
    layers = [e.value for e in net.entries if e.field.name == "layer"]
    always = (x for x in layers if not (x.has("bottom") or x.has("include") or x.has("exclude")))
    return {top for layer in always for top in layer.all("top")}


def _check_count(net: Message, name: str, given: int, inputs: int, wanted: int) -> None:
    """Raises NetError for fewer values of a field than so many inputs need."""
    if given >= wanted:
        return
    what = f"{given} {name} for {inputs} input{'s' * (inputs > 1)}: {wanted} are needed"
    why = "every input has four input_dim: batch, channels, height, width" if name == "input_dim" else ""
    refuse("input-count", what, net.name_span_of(name, given - 1), why, f"{name}: …")


def _upgrade_batch_norm(net: Message) -> tuple[Message, list[Diagnostic]]:
    """BatchNorm layers with three ``param``: their learning rates and decays become 0 (blobs are no parameters)."""
    out, places = [], []
    for entry in net.entries:
        layer = entry.value
        if entry.field.name == "layer" and "BatchNorm" in layer.all("type") and len(layer.all("param")) == 3:
            specs = [_frozen(p) for p in layer.all("param")]
            if specs != list(layer.all("param")):
                places.append(layer.name_span_of("param"))
                entry = entry.moved(entry.field, layer.replace(param=specs))
        out.append(entry)
    if not places:
        return net, []
    what = f"parameters of {len(places)} BatchNorm layer{'s' * (len(places) > 1)} get lr_mult 0 and decay_mult 0"
    why = "their three blobs are statistics, which Caffe computes and never learns"
    return net.with_entries(out), [Diagnostic("upgraded-batch-norm", what, places[0], why, severity="note")]


def _frozen(spec: Message) -> Message:
    return spec.replace(lr_mult=0.0, decay_mult=0.0)
