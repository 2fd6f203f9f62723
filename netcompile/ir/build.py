"""From a V2 net message to a graph: phase and stage rules, blobs to single-assignment values, data layers to inputs.

The rules are those of Caffe's Net::Init and InsertSplits. Every mistake of the file is reported, not the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.nearest import Hints, did_you_mean
from netcompile.diagnostics.source import Span
from netcompile.ir.alike import stands_for_others, text_of
from netcompile.ir.graph import Graph, Input, Node, ParamSpec, Value
from netcompile.ir.layer_types import layer_type
from netcompile.ir.outputs import with_outputs
from netcompile.ir.prune import cut, for_inference, named_blobs, needed
from netcompile.ir.select import State, flags_for, rules_of, select
from netcompile.ir.storage import with_shared_memory
from netcompile.layers.base import AUTOMATIC, Arity, IntShape, Layer
from netcompile.layers.params import Params, locate
from netcompile.prototxt.message import Message


@dataclass(frozen=True, slots=True)
class Options:
    """What a net is built for; the command line's common options."""

    train: bool = False
    level: int = 0
    stages: tuple[str, ...] = ()
    shapes: Mapping[str, IntShape] = field(default_factory=dict)  # --input NAME=1x3x500x500
    fed: frozenset[str] = frozenset()  # further blobs that the inputs file holds
    outputs: tuple[str, ...] = ()  # --output BLOB: what counts as outputs; nothing: the blobs that nobody consumes
    with_loss: bool = False
    allow_unknown: bool = False


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Built:
    """A graph and what was noticed on the way (warnings and notes)."""

    graph: Graph
    notes: tuple[Diagnostic, ...]


def build(
    net: Message,
    options: Options = DEFAULTS,
    name: str = "",
    faulty: Callable[[int, int], bool] = lambda start, end: False,
) -> Built:
    """Build the graph of a V2 `NetParameter`.

    `faulty` tells whether a part of the text, from one place to another, was not read whole: of such a layer's fields
    nothing is said but that its bottoms are there, and its tops exist. Raises NetError with every mistake found; its
    `partial` is then the graph of the layers that are well.
    """
    builder = _Builder(options, state_of(net, options))
    layers = select(net, builder.state, builder.problems)
    if not layers and not builder.problems:
        what = f"no layer takes part in phase {builder.state.phase}"
        why = "the file has no layers, or its include and exclude rules leave none"
        remedy = "try the other --phase, or give the --stage that the file asks for"
        builder.problems.append(Diagnostic("no-layers", what, net.span, why, remedy))
    chosen = {id(layer) for layer in layers}
    builder.elsewhere = {
        top: layer for layer in reversed(net.all("layer")) if id(layer) not in chosen for top in layer.all("top")
    }
    later = {top: layer for layer in reversed(layers) for top in layer.all("top")}
    for layer in layers:
        if faulty(layer.start, layer.end):
            builder.pass_over(layer, later, faulty)
        else:
            builder.add(layer, later)
    return builder.finish(str(net.get("name") or "") or name, net.span)


def state_of(net: Message, options: Options) -> State:
    """What the net is built for: the options', and the stages that the file itself names."""
    state = net.get("state") if net.has("state") else None
    stages = frozenset(options.stages) | frozenset(state.all("stage") if state else ())
    return State(options.train, options.level, stages)


@dataclass(frozen=True, slots=True)
class _Fault:
    """A layer that is no node, because of its problems."""

    name: str
    occurrence: int
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...]
    problems: tuple[Diagnostic, ...]


class _Builder:
    def __init__(self, options: Options, state: State) -> None:
        self.options, self.state = options, state
        self.problems: list[Diagnostic] = []
        self.notes: list[Diagnostic] = []
        self.inputs: list[Input] = []
        self.nodes: list[Node] = []
        self.current: dict[str, Value] = {}
        self.consumed: dict[Value, Message] = {}
        self.writer: dict[str, Message] = {}
        self.names: dict[str, int] = {}
        self.order: list[str] = []
        self.automatic: list[Value] = []
        self.owners: dict[str, tuple[Message, int]] = {}
        self.elsewhere: dict[str, Message] = {}  # blob → the first layer that makes it in another phase or stage
        self.absent: dict[int, str] = {}  # id of a problem → the blob from there that it names
        self.faults: list[_Fault] = []
        self.alike: dict[tuple[type[Layer], Hashable], Layer] = {}  # layers by what they were read from
        self.hints = Hints()

    def report(self, code: str, what: str, message: Message, at: str, why: str = "", remedy: str = "") -> None:
        self.problems.append(Diagnostic(code, what, locate(message, at), why=why, remedy=remedy))

    # one layer -------------------------------------------------------------------------------------------------

    def add(self, message: Message, later: Mapping[str, Message]) -> None:
        name, before = message.get("name") or "", len(self.problems)
        bottoms = [self.bottom(message, i, blob, later) for i, blob in enumerate(message.all("bottom"))]
        layer = self.read(message)
        tops = self.tops(message, layer)
        self.order.append(name)
        occurrence = self.names.get(name, 0)
        self.names[name] = occurrence + 1
        values = tuple(b for b in bottoms if b is not None)
        if layer is None or len(self.problems) > before or len(values) < len(bottoms):  # what it makes stays unknown
            self.faults.append(_Fault(name, occurrence, values, tops, tuple(self.problems[before:])))
            return
        for value in values:
            self.consumed[value] = message
        if layer.is_data:
            self.feed(message, layer, tops)
            return
        params = tuple(self.param(message, i, spec) for i, spec in enumerate(message.all("param")))
        self.nodes.append(
            Node(name, layer, values, tops, message, params, tuple(message.all("loss_weight")), occurrence)
        )

    def pass_over(self, message: Message, later: Mapping[str, Message], faulty: Callable[[int, int], bool]) -> None:
        """Note the blobs of a layer that was not read whole; the names of its bottoms that were must be there."""
        for index, blob in enumerate(message.all("bottom")):
            place = locate(message, f"bottom[{index}]")
            if not faulty(place.start, place.end):
                self.bottom(message, index, blob, later)
        self.tops(message, None)

    def read(self, message: Message) -> Layer | None:
        """The layer, or that of one before which is written alike; None for an unknown type."""
        cls, said = layer_type(message, self.options.allow_unknown, self.hints)
        if said is not None:
            (self.problems if cls is None else self.notes).append(said)
        if cls is None:
            return None
        key = cls, text_of(message)
        if key in self.alike:
            return self.alike[key]
        params, before = Params(message, self.state.train), len(self.problems)
        layer = cls.read(params)
        notes = [*params.notes, *params.unread()]
        self.problems += params.problems
        self.notes += notes
        self.check_arity(message, layer)
        if key[1] is not None and len(self.problems) == before and not notes and stands_for_others(layer):
            self.alike[key] = layer
        return layer

    def check_arity(self, message: Message, layer: Layer) -> None:
        bottoms, tops = len(message.all("bottom")), len(message.all("top"))
        least_tops = Arity.range(layer.arity.tops)[0]
        for kind, bound, have in (("bottom", layer.arity.bottoms, bottoms), ("top", layer.arity.tops, tops)):
            least, most = Arity.range(bound)
            if kind == "top" and layer.auto_top and have < least:
                continue
            if have < least or (most is not None and have > most):
                wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
                wanted += f" {kind}{'' if wanted == '1' else 's'}"
                what = f"{message.get('type')} takes {wanted}, not {have}"
                remedy = f"give layer '{message.get('name')}' {wanted}"
                at = f"{kind}[{min(most, have - 1)}]" if most is not None and have > most else ""
                self.report("arity", what, message, at, remedy=remedy)
        if layer.arity.equal and bottoms != tops:
            what = f"{message.get('type')} makes one top per bottom: {bottoms} bottoms, {tops} tops"
            self.report("arity", what, message, "")
        for field_name, have, unit in (
            # a loss that makes its own top makes it before the weights are counted (Net::Init, SetLossWeights)
            ("loss_weight", len(message.all("loss_weight")), max(tops, least_tops) if layer.auto_top else tops),
            ("propagate_down", len(message.all("propagate_down")), bottoms),
        ):
            if have not in (0, unit):
                what = f"{have} {field_name} values for {unit} {'tops' if field_name == 'loss_weight' else 'bottoms'}"
                self.report("arity", what, message, field_name, why="Caffe wants none, or one for each")

    # blobs -----------------------------------------------------------------------------------------------------

    def bottom(self, message: Message, index: int, blob: str, later: Mapping[str, Message]) -> Value | None:
        value = self.current.get(blob)
        if value is not None:
            return value
        name, at = message.get("name"), f"bottom[{index}]"
        maker = later.get(blob)
        if maker is not None and maker is not message:
            self.report(
                "bottom-order",
                f"bottom '{blob}' is used before it is produced",
                message,
                at,
                why=f"layer '{maker.get('name')}' makes it, at {maker.span}: Caffe runs layers in file order",
                remedy=f"move layer '{maker.get('name')}' before '{name}'",
            )
        elif blob in self.elsewhere:
            other = self.elsewhere[blob]
            self.report(
                "unknown-bottom",
                f"no layer makes bottom '{blob}' of layer '{name}' in phase {self.state.phase}",
                message,
                at,
                why=f"layer '{other.get('name')}' makes it, at {other.span}, and takes no part: {rules_of(other)}",
                remedy=flags_for(other, self.state) or "give the layer an include rule that fits",
            )
            self.absent[id(self.problems[-1])] = blob
        else:
            self.report(
                "unknown-bottom",
                f"no layer makes bottom '{blob}' of layer '{name}'",
                message,
                at,
                why=f"in phase {self.state.phase} no earlier layer has it among its tops",
                remedy=did_you_mean(self.hints.nearest(blob, self.current, 1, 0.8)),
            )
        return None

    def tops(self, message: Message, layer: Layer | None) -> tuple[Value, ...]:
        bottoms = message.all("bottom")
        made = []
        for index, blob in enumerate(message.all("top")):
            old = self.current.get(blob)
            value = Value(blob) if old is None else Value(blob, old.version + 1)
            if old is not None and index < len(bottoms) and bottoms[index] == blob:
                consumer = self.consumed.get(old)
                if consumer is not None and consumer is not message:
                    self.report(
                        "in-place",
                        f"in-place {message.get('type')} on '{blob}' after '{blob}' has another consumer, "
                        f"layer '{consumer.get('name')}'",
                        message,
                        f"top[{index}]",
                        why=f"the other consumer stands at {consumer.span}; Caffe splits the blob, and refuses this",
                        remedy=f"give layer '{message.get('name')}' a top of its own",
                    )
            elif old is not None:
                other = self.writer[blob]
                self.report(
                    "duplicate-top",
                    f"top '{blob}' is produced twice",
                    message,
                    f"top[{index}]",
                    why=f"layer '{other.get('name')}' makes it already, at {other.span}",
                    remedy="rename one of the tops, or work in place by naming it as the bottom too",
                )
            self.current[blob] = value
            self.writer[blob] = message
            made.append(value)
        if layer is not None and layer.auto_top:
            least, _ = Arity.range(layer.arity.tops)
            made += [Value(f"{AUTOMATIC} {message.get('name')} {i}") for i in range(len(made), least)]
            self.automatic += made[len(message.all("top")) :]
        return tuple(made)

    def feed(self, message: Message, layer: Layer, tops: tuple[Value, ...]) -> None:
        shapes = getattr(layer, "declared", ())
        for index, value in enumerate(tops):
            given = self.options.shapes.get(value.blob)
            declared = shapes[index] if index < len(shapes) else None
            shape = declared if given is None else given
            assumed = (1, 3, 500, 500) if index == 0 else (1, 1, 500, 500)
            self.inputs.append(
                Input(value, assumed if shape is None else tuple(shape), shape is not None, message, layer)
            )

    def param(self, message: Message, index: int, spec: Message) -> ParamSpec:
        given = {entry.field.name: entry.value for entry in spec.entries}
        shared, permissive = str(given.get("name") or ""), given.get("share_mode") == "PERMISSIVE"
        result = ParamSpec(shared, given.get("lr_mult", 1.0), given.get("decay_mult", 1.0), permissive)
        if shared and shared in self.owners:
            owner, position = self.owners[shared]
            other = owner.all("param")[position]
            for key in ("lr_mult", "decay_mult"):
                if spec.has(key) and other.has(key) and spec.get(key) != other.get(key):
                    self.report(
                        "param-share",
                        f"shared param '{shared}' has two values of {key}: {other.get(key):g} and {spec.get(key):g}",
                        message,
                        f"param[{index}].{key}",
                        why=f"the first is at {other.span_of(key)}",
                    )
        elif shared:
            self.owners[shared] = (message, index)
        return result

    # the end ---------------------------------------------------------------------------------------------------

    def cut(self, graph: Graph) -> Graph:
        """The graph cut down to the outputs asked for; what is wrong with layers that they do not need is forgotten."""
        names, unknown = named_blobs(self.options.outputs, graph.blobs)
        if unknown:
            self.problems += unknown
            return graph
        wanted = needed([*graph.nodes, *self.faults], (graph.blobs[name] for name in names))
        beside = {id(p) for fault in self.faults if wanted.isdisjoint(fault.tops) for p in fault.problems}
        self.problems = [problem for problem in self.problems if id(problem) not in beside]
        return cut(graph, names, wanted, ((fault.name, fault.occurrence) for fault in self.faults))

    def once_each(self) -> list[Diagnostic]:
        """The problems; of those with one blob of another phase, which have one cause, the first."""
        first: dict[str, Diagnostic] = {}
        for problem in self.problems:
            if id(problem) in self.absent:
                first.setdefault(self.absent[id(problem)], problem)
        kept = {id(problem) for problem in first.values()}
        return [problem for problem in self.problems if id(problem) not in self.absent or id(problem) in kept]

    def finish(self, name: str, place: Span) -> Built:
        inputs = [entry.value.blob for entry in self.inputs]
        for blob in self.options.shapes:
            if blob not in inputs and not self.problems:
                what, why = f"--input names '{blob}', which is no input of the net", ", ".join(inputs) or "none"
                self.problems.append(Diagnostic("unknown-input", what, why=f"inputs are: {why}"))
        consumed = {bottom for node in self.nodes for bottom in node.bottoms}
        live = {value: None for value in self.current.values() if value not in consumed}
        graph = Graph(
            name,
            self.state.train,
            tuple(self.inputs),
            tuple(self.nodes),
            tuple(value.blob for value in live),
            # All tops that Caffe invents have one name: the last one is what it finds.
            self.current | dict.fromkeys([AUTOMATIC] if self.automatic else [], *self.automatic[-1:]),
            tuple(self.order),
        )
        graph, changed = with_shared_memory(graph)
        if self.options.outputs:
            graph = self.cut(graph)
        self.notes += changed
        if self.problems:
            raise NetError(self.once_each(), graph)
        keep = frozenset(self.options.shapes) | self.options.fed
        if not self.options.with_loss and not self.options.outputs:
            graph, dropped = for_inference(graph, keep)
            self.notes += dropped
        graph = with_outputs(graph, place)
        return Built(graph, tuple(self.notes))
