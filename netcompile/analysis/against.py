"""A deploy net held against the net that was trained: what differs, apart from what has to.

Layers are paired by name. A deploy net lacks labels, losses and dropout, and starts from an Input; everything that
computes its outputs should be as it was trained: the same types, parameters and connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.ir.graph import Graph, Node, Value
from netcompile.layers.base import Layer
from netcompile.layers.params import COMMON, locate
from netcompile.prototxt.message import Message, float_text

# Fields that may differ: they fill, cache or choose an implementation, or their value depends on the phase.
FREE = frozenset(
    [
        "weight_filler",
        "bias_filler",
        "filler",
        "engine",
        "force_nd_im2col",
        "use_global_stats",
        "moving_average_fraction",
        "dropout_ratio",
        "frozen",
        "cudnn_convolution_algo_seeker",
    ]
)
FREE_BLOCKS = frozenset(["dropout_param", "transform_param", "loss_param", "input_param", "blobs"])
# Fields of windows that may be spelt in several ways, and the layer's attribute that holds what they come to.
WINDOWS = {
    name: stem
    for stem in ("kernel", "stride", "pad", "dilation")
    for name in (stem, f"{stem}_size", f"{stem}_h", f"{stem}_w")
}
SHOWN = 60  # characters of a value


def differences(deploy: Graph, trained: Graph) -> list[Diagnostic]:
    """Findings at the deploy net's layers, each with the place in the trained net beside it."""
    theirs = {(node.name, node.occurrence): node for node in trained.nodes}
    ours, others = deploy.producers(), trained.producers()
    found: list[Diagnostic] = []
    for node in deploy.nodes:
        other = theirs.get((node.name, node.occurrence))
        if other is None:
            if _computes(node) and not node.layer.is_noop(False):
                found.append(_missing(node, theirs))
            continue
        if node.type != other.type:
            found.append(
                _differs(node, other, "type", f"layer '{node.name}' is a {node.type}; trained was a {other.type}")
            )
            continue
        found += _parameters(node, other)
        if not node.layer.is_measure:
            found += _connections(node, other, ours, others)
    found += _transforms(deploy, trained)
    return found


def _computes(node: Node) -> bool:
    """Whether a layer has weights of its own, which a caffemodel would have to hold."""
    return type(node.layer).blobs is not Layer.blobs


def _missing(node: Node, theirs: Mapping[tuple[str, int], Node]) -> Diagnostic:
    near = nearest(node.name, (name for name, _ in theirs))
    return Diagnostic(
        "train-differs",
        f"the trained net has no layer '{node.name}'",
        locate(node.message, "name"),
        why="a caffemodel of the trained net holds no weights for it",
        remedy=did_you_mean(near, "name it as the trained net does"),
        severity="warning",
    )


def _differs(node: Node, other: Node, at: str, what: str) -> Diagnostic:
    """`at` is the path of the field in both layers."""
    return Diagnostic(
        "train-differs",
        what,
        locate(node.message, at),
        remedy="take over what was trained, unless it is meant to differ",
        severity="warning",
        related=((locate(other.message, at), "the trained net says this"),),
    )


# parameters ----------------------------------------------------------------------------------------------------


def _parameters(node: Node, other: Node) -> Iterable[Diagnostic]:
    """Fields whose values differ; none where both are read as the same layer, however they are spelt."""
    if _same_layer(node.layer, other.layer):
        return
    blocks = dict.fromkeys(e.field.name for m in (node.message, other.message) for e in m.entries)
    for block in blocks:
        if block in COMMON or block in FREE_BLOCKS:
            continue
        mine, theirs = node.message.get(block), other.message.get(block)
        if not isinstance(mine, Message) or not isinstance(theirs, Message):
            continue
        names = dict.fromkeys(e.field.name for m in (mine, theirs) for e in m.entries if e.field.name not in FREE)
        for name in names:
            stem = WINDOWS.get(name)
            a, b = mine.get(name), theirs.get(name)
            if stem is not None and hasattr(node.layer, stem):
                a, b = getattr(node.layer, stem), getattr(other.layer, stem)
                if _same(a, b) or name != next(n for n in names if WINDOWS.get(n) == stem):
                    continue
            if a != b:
                what = f"layer '{node.name}' has {name} {_text(a)}; trained was {_text(b)}"
                yield _differs(node, other, f"{block}.{name}", what)


def _same_layer(a: Layer, b: Layer) -> bool:
    if type(a) is not type(b):
        return False
    names = [f.name for f in fields(a) if not f.name.endswith("filler")]  # type: ignore[arg-type]
    return all(_same(getattr(a, name), getattr(b, name)) for name in names)


def _same(a: object, b: object) -> bool:
    """Equal; a single value for all axes is that of each."""
    if isinstance(a, tuple) and isinstance(b, tuple) and 1 in (len(a), len(b)):
        return len({*a, *b}) == 1
    return a == b


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(dict.fromkeys(map(_text, value))) or "unset"
    if isinstance(value, float):
        return float_text(value)
    text = "unset" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# connections ---------------------------------------------------------------------------------------------------


Producers = Mapping[Value, Node]


def _origin(value: Value, producers: Producers) -> str:
    """The layer that a value comes from, past layers that do nothing at test time; "" for an input of the net."""
    while (node := producers.get(value)) is not None:
        if not (node.bottoms and node.layer.is_noop(train=False)):
            return node.name if len(node.tops) == 1 else f"{node.name}:{node.tops.index(value)}"
        value = node.bottoms[0]
    return ""


def _connections(node: Node, other: Node, ours: Producers, others: Producers) -> Iterable[Diagnostic]:
    mine = [_origin(bottom, ours) for bottom in node.bottoms]
    theirs = [_origin(bottom, others) for bottom in other.bottoms]
    for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            what = f"layer '{node.name}' works on {_source(a)}; in the trained net on {_source(b)}"
            yield _differs(node, other, f"bottom[{index}]", what)
    if len(mine) != len(theirs):
        what = f"layer '{node.name}' has {len(mine)} bottoms; in the trained net {len(theirs)}"
        yield _differs(node, other, "bottom", what)


def _source(name: str) -> str:
    return f"what '{name}' makes" if name else "an input of the net"


# preprocessing -------------------------------------------------------------------------------------------------


def _transforms(deploy: Graph, trained: Graph) -> Iterable[Diagnostic]:
    """Preprocessing that the trained net's data layer did and a deploy net leaves to its caller."""
    if not deploy.inputs or any(entry.message.has("transform_param") for entry in deploy.inputs):
        return
    for entry in trained.inputs:
        param = entry.message.get("transform_param") if entry.message.has("transform_param") else None
        if param is None:
            continue
        done = [f"{name} {_text(param.get(name))}" for name in ("scale", "mean_value", "mean_file") if param.has(name)]
        if done:
            yield Diagnostic(
                "train-transform",
                f"the net was trained on preprocessed data: {', '.join(done)}",
                locate(deploy.inputs[0].message, "top"),
                why="an input gets what it is fed, as it is",
                remedy="feed it data that is prepared the same way",
                severity="note",
                related=((locate(entry.message, "transform_param"), "the trained net prepares its data here"),),
            )
            return
