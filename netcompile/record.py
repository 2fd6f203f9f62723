"""`@record`: a frozen dataclass that costs next to nothing to define.

`dataclasses` writes and compiles six functions for each class, which takes half of the time of a command that answers
at once. A record's functions are closures over the names of its fields; only a class that is made often gets a compiled
``__init__``, since that one is faster to call. Whoever asks, `dataclasses.fields` and `replace` or a subclass that is a
dataclass, finds a frozen dataclass with the same fields.
"""

from __future__ import annotations

from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_):
        return lambda decorator: decorator


OFTEN = 24  # instances after which compiling ``__init__`` has paid
_put = object.__setattr__


class Factory:
    """The default of a field that every instance makes anew: ``factory(dict)``."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def factory(default_factory: Callable[[], T]) -> T:
    """What to write as a field's default where instances must not share one."""
    made: Any = Factory(default_factory)
    return made  # type: ignore[no-any-return]


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass: ``__init__``, ``__repr__``, ``__eq__`` and ``__hash__`` from its annotations.

    Fields of bases that are records come first. Annotations must be text (``from __future__ import annotations``).
    Raises TypeError for a field without default behind one that has a default, and for a base that is a dataclass only.
    """
    own: dict[str, str] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 (`inspect` takes long to import)
    fields: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    for base in cls.__mro__[-2:0:-1]:
        if "_record" in base.__dict__:
            known, given = base.__dict__["_record"]
            fields.update(known)
            defaults.update(given)
        elif "__dataclass_fields__" in base.__dict__:
            raise TypeError(f"the base {base.__name__} of a record is none")
    for name, kind in own.items():
        if kind.startswith("ClassVar"):
            continue
        fields[name] = kind
        if name in cls.__dict__:
            defaults[name] = cls.__dict__[name]
            if isinstance(defaults[name], Factory):
                delattr(cls, name)
        elif defaults and name not in defaults:
            raise TypeError(f"non-default argument {name!r} follows default argument")
    names = tuple(fields)
    own_methods: dict[str, Any] = {
        "__init__": _initialiser(cls, names, defaults),
        "__match_args__": names,
        "_record": (fields, defaults),
        "_values": _values(names),
    }
    for name, method in own_methods.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    for name, method in _SHARED.items():
        inherited = next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)
        if inherited is not method and cls.__dict__.get(name) is None:
            setattr(cls, name, method)
    return cls


def replace(of: T, /, **changes: Any) -> T:
    """A copy of a record or dataclass with some fields changed. Raises TypeError for a name that is no field."""
    for name in of.__match_args__:  # type: ignore[attr-defined]
        if name not in changes:
            changes[name] = getattr(of, name)
    return of.__class__(**changes)


# the methods ----------------------------------------------------------------------------------------------------


def _initialiser(cls: type, names: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., None]:
    """``__init__`` of a class that is rare so far."""
    keys, made = set(names), 0
    post = getattr(cls, "__post_init__", None)

    def __init__(self: Any, /, *given: Any, **named: Any) -> None:
        nonlocal made
        made += 1
        if made <= OFTEN:
            values = {**defaults, **named}
            values.update(zip(names, given, strict=False))
            if len(given) <= len(names) and values.keys() == keys and named.keys().isdisjoint(names[: len(given)]):
                for name in names:
                    value = values[name]
                    _put(self, name, value.make() if value.__class__ is Factory else value)
                if post is not None:
                    post(self)
                return
        compiled = _compiled(cls, names, defaults)  # also where the call is wrong: Python says best what is
        if made > OFTEN:
            cls.__init__ = compiled  # type: ignore[misc]
        compiled(self, *given, **named)

    return __init__


def _compiled(cls: type, names: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., None]:
    """The ``__init__`` that one would write by hand."""
    parameters = [f"{name}=default_{name}" if name in defaults else name for name in names]
    lines = [f"def __init__({', '.join(['self', *parameters])}):"]
    scope: dict[str, Any] = {"put": _put}
    for name in names:
        value = name
        if name in defaults:
            scope[f"default_{name}"] = defaults[name]
            if isinstance(defaults[name], Factory):
                value = f"default_{name}.make() if {name} is default_{name} else {name}"
        lines.append(f" put(self, {name!r}, {value})")
    lines.append(" self.__post_init__()" if hasattr(cls, "__post_init__") else " return None")
    exec("\n".join(lines), scope)
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _values(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """The values of an instance's fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return _Single(names)


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is self.__class__:
        return self._values(self) == self._values(other)
    return NotImplemented


def _hash(self: Any) -> int:
    return hash(self._values(self))


def _show(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__match_args__)})"


def _refuse_set(self: object, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _Single:
    """`attrgetter` for no name or one, which gives a tuple too. No function: it must not become a method."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, of: Any) -> tuple[Any, ...]:
        return tuple([getattr(of, name) for name in self.names])


class _Described:
    """An attribute by which `dataclasses` knows its classes, made when it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, cls: type) -> Any:
        from dataclasses import field, make_dataclass

        fields, defaults = cls._record  # type: ignore[attr-defined]
        specified: list[Any] = []
        for name, kind in fields.items():
            if name not in defaults:
                specified.append((name, kind))
            elif isinstance(defaults[name], Factory):
                specified.append((name, kind, field(default_factory=defaults[name].make)))
            else:
                specified.append((name, kind, field(default=defaults[name])))
        return getattr(make_dataclass(cls.__name__, specified, frozen=True), self.name)


_SHARED: dict[str, Any] = {
    "__repr__": _show,
    "__eq__": _equal,
    "__hash__": _hash,
    "__setattr__": _refuse_set,
    "__delattr__": _refuse_delete,
    "__dataclass_fields__": _Described("__dataclass_fields__"),
    "__dataclass_params__": _Described("__dataclass_params__"),
}
