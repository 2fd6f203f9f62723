"""`NetSpec`, `L` and `P`: a network as Python assignments, each attribute the name of a top.

The rules are pycaffe's: a layer is named after its first top; a top that no attribute names is named after
its type and a running number; a layer in place writes to its bottom and is named by its attribute; a layer
appears once everything that it reads has appeared, in the order in which the attributes were first assigned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from netcompile.prototxt.message import Message
from netcompile.prototxt.printer import to_text
from netcompile.spec.fields import SpecError, enum_value, layer_message, schema_order


class Top:
    """One output of a layer: what `L.Type(…)` returns, and what other layers take."""

    __slots__ = ("fn", "n")

    def __init__(self, fn: Function, n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> Proto:
        """The network of all layers that this top needs."""
        return to_proto(self)

    def __iter__(self) -> NoReturn:
        raise SpecError(f"L.{self.fn.type_name} made one top, not several: say ntop=2 (or how many) in its call")

    def __repr__(self) -> str:
        return f"top {self.n} of {self.fn.type_name}"


class Function:
    """One layer: its type, the tops that it reads, and its keywords."""

    __slots__ = ("in_place", "inputs", "keywords", "ntop", "tops", "type_name")

    def __init__(self, type_name: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        for index, item in enumerate(inputs):
            if not isinstance(item, Top):
                hint = " (assign a layer's several tops one by one)" if isinstance(item, tuple) else ""
                raise SpecError(f"L.{type_name}: input {index} is no top but {item!r}{hint}")
        keywords = dict(keywords)
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.ntop = int(keywords.pop("ntop", 1))
        self.in_place = bool(keywords.pop("in_place", False))
        self.keywords = keywords
        if self.in_place and not inputs:
            raise SpecError(f"L.{type_name}: nothing to work on in place")
        self.tops = tuple(Top(self, n) for n in range(self.ntop))
        self.message([], [], "")  # so that a mistake shows at the call that makes it

    @property
    def returned(self) -> Any:
        """What the call returns: one top, a tuple of several, or the layer itself if it has none."""
        return self if self.ntop == 0 else self.tops[0] if self.ntop == 1 else self.tops

    def message(self, bottoms: list[str], tops: list[str], name: str) -> Message:
        """The layer as a LayerParameter. Raises SpecError."""
        return layer_message(self.type_name, {"name": name, "bottom": bottoms, "top": tops}, self.keywords)

    def __repr__(self) -> str:
        return f"layer {self.type_name}"


class Proto:
    """A finished network: `str()` is prototxt text, `.message` the message, its fields are attributes.

    Fields of the network may be set; its layers are parts of it and may not: setting one would not change the network.
    """

    __slots__ = ("message", "whole")
    message: Message
    whole: bool

    def __init__(self, message: Message, whole: bool = True) -> None:
        object.__setattr__(self, "message", message)
        object.__setattr__(self, "whole", whole)

    def __str__(self) -> str:
        return to_text(self.message)

    def __getattr__(self, name: str) -> Any:
        try:
            value = self.message.get(name)
        except KeyError:
            raise AttributeError(f"{self.message.type.name} has no field {name!r}") from None
        if isinstance(value, tuple):
            return tuple(Proto(item, whole=False) if isinstance(item, Message) else item for item in value)
        return Proto(value, whole=False) if isinstance(value, Message) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if not self.whole:
            raise AttributeError(f"a part of a network cannot be set: {self.message.type.name}.{name}")
        changed = self.message.replace(**{name: value})
        entries = tuple(sorted(changed.entries, key=lambda entry: schema_order(entry.field)))
        object.__setattr__(self, "message", Message(changed.type, entries))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proto) and self.message == other.message

    def __hash__(self) -> int:
        return hash(self.message)


class NetSpec:
    """A network under construction; `n.conv1 = L.Convolution(…)` or `n["conv1"] = …` names a top."""

    tops: dict[str, Any]

    def __init__(self) -> None:
        object.__setattr__(self, "tops", {})

    def __setattr__(self, name: str, top: Any) -> None:
        if not isinstance(top, (Top, Function)):
            hint = "; unpack its tops: n.data, n.label = L.Data(…, ntop=2)" if isinstance(top, tuple) else ""
            raise SpecError(f"{name} is no top but {top!r}{hint}")
        self.tops[name] = top

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the network has no top {name!r}") from None

    def __delattr__(self, name: str) -> None:
        self.__getattr__(name)
        del self.tops[name]

    __setitem__ = __setattr__

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    __delitem__ = __delattr__

    def __contains__(self, name: str) -> bool:
        return name in self.tops

    def __repr__(self) -> str:
        return f"NetSpec({', '.join(self.tops)})"

    def to_proto(self) -> Proto:
        """The network of everything assigned so far."""
        return _network({top: name for name, top in self.tops.items()}, list(self.tops.values()))


def to_proto(*tops: Top) -> Proto:
    """The network of all layers that these tops need, every top named after its type and a running number."""
    return _network({}, list(tops))


class Layers:
    """`L`: `L.Convolution(bottom, num_output=…)` makes a layer of that type.

    `rewrite`, if given, is applied to every call's keywords first.
    """

    def __init__(self, rewrite: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
        self._rewrite = rewrite

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def make(*inputs: Top, **keywords: Any) -> Any:
            if self._rewrite is not None:
                keywords = self._rewrite(keywords)
            return Function(name, inputs, keywords).returned

        make.__name__ = name
        return make


class Parameters:
    """`P`: `P.Pooling.MAX` is the value MAX of an enum of PoolingParameter; with `numbers` its number, 0."""

    def __init__(self, numbers: bool = False) -> None:
        self._numbers = numbers

    def __getattr__(self, name: str) -> _Values:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Values(name + "Parameter", self._numbers)


class _Values:
    __slots__ = ("_message", "_numbers")

    def __init__(self, message: str, numbers: bool) -> None:
        self._message, self._numbers = message, numbers

    def __getattr__(self, name: str) -> str | int:
        return enum_value(self._message, name, self._numbers)


layers = Layers()
params = Parameters()


class _Names:
    """Names of tops and layers: those given, and made ones for the rest."""

    def __init__(self, given: dict[Any, str]) -> None:
        self._given = given
        self._made: Counter[str] = Counter()

    def _name(self, item: Top | Function, type_name: str) -> str:
        name = self._given.get(item)
        if name is None:
            self._made[type_name] += 1
            name = self._given[item] = f"{type_name}{self._made[type_name]}"
        return name

    def of_top(self, top: Top) -> str:
        return self._name(top, top.fn.type_name)

    def of_layer(self, fn: Function) -> str:
        if fn not in self._given and fn.tops:
            self._given[fn] = self.of_top(fn.tops[0])
        return self._name(fn, fn.type_name)


def _network(given: dict[Any, str], wanted: list[Top | Function]) -> Proto:
    names = _Names(given)
    made: dict[Function, Message] = {}
    blobs: dict[Function, list[str]] = {}
    # Depth first, without recursion: nets of a thousand layers are ordinary.
    stack = [item.fn if isinstance(item, Top) else item for item in reversed(wanted)]
    while stack:
        fn = stack[-1]
        missing = [top.fn for top in fn.inputs if top.fn not in made]
        if fn in made:
            stack.pop()
        elif missing:
            stack.append(missing[0])
        else:
            bottoms = [blobs[top.fn][top.n] for top in fn.inputs]
            blobs[fn] = list(bottoms) if fn.in_place else [names.of_top(top) for top in fn.tops]
            made[fn] = fn.message(bottoms, blobs[fn], names.of_layer(fn))
            stack.pop()
    return Proto(Message.make("NetParameter", layer=list(made.values())))
