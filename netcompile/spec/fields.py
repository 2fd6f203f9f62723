"""Python values as fields of Caffe's messages: the loose rules of pycaffe, with checks."""

from __future__ import annotations

from functools import cache
from typing import Any

from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.prototxt.message import Message
from netcompile.prototxt.schema import FieldType, enum_names, enum_type, message_type

LAYER = "LayerParameter"


class SpecError(ValueError):
    """A specification that describes no network: an unknown field, an unfit value, an impossible crop."""


@cache
def own_parameters() -> dict[str, str]:
    """The field that a layer type's bare keywords go to: {"Convolution": "convolution_param", …}.

    The rule is by the message's name, so that Deconvolution, which shares `convolution_param`, has no entry.
    """
    table: dict[str, str] = {}
    for field in message_type(LAYER).fields.values():
        if field.message is not None and field.name.endswith("_param"):
            table.setdefault(field.message.removesuffix("Parameter"), field.name)
    return table


def layer_message(kind: str, head: dict[str, Any], keywords: dict[str, Any]) -> Message:
    """A LayerParameter from `head` (name, bottom, top) and the keywords of an `L.kind(…)` call.

    A keyword that ends in "param" is a field of the layer; any other is a field of the type's own parameter
    message if that has one of this name, else of the layer. Raises SpecError.
    """
    fields: dict[str, Any] = {"type": kind, **head}
    own = own_parameters().get(kind)
    inner: dict[str, Any] = {}
    own_fields = message_type(message_type(LAYER).fields[own].message or "").fields if own is not None else {}
    for name, value in keywords.items():
        if not name.endswith("param") and name in own_fields:
            inner[name] = value
        elif name in message_type(LAYER).fields:
            fields[name] = value
        else:
            raise SpecError(_unknown(kind, own, name, own_fields))
    if own is not None and inner:
        fields[own] = {**fields.get(own, {}), **inner}
    return message(LAYER, fields, kind)


def message(type_name: str, fields: dict[str, Any], where: str = "") -> Message:
    """A message from a dict, its fields in the schema's order. Raises SpecError."""
    kind = message_type(type_name)
    where = where or type_name
    for name in fields:
        if name not in kind.fields:
            raise SpecError(f"{where} has no field {name!r}{_nearest(name, kind.fields)}")
    made = {
        name: _value(kind.fields[name], fields[name], f"{where}.{name}")
        for name in sorted(fields, key=lambda name: schema_order(kind.fields[name]))
    }
    try:
        return Message.make(type_name, **made)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{where}: {error}") from None


def schema_order(field: FieldType) -> tuple[int, str]:
    """Sorts fields as protobuf writes them: by number; those of forks whose number is not known come last."""
    return (1 << 30 if field.number is None else field.number, field.name)


def enum_value(message_name: str, value: str, number: bool = False) -> str | int:
    """`value` if an enum inside the message has it (P.Pooling.MAX is "MAX"); its number on request, where it has one.

    Raises AttributeError.
    """
    names = [name for name in enum_names() if name.startswith(message_name + ".")]
    values = {known: digits for name in names for known, digits in enum_type(name).numbers.items()}
    if value not in values:
        raise AttributeError(f"{message_name} has no value {value!r}{_nearest(value, values)}")
    digits = values[value]
    return digits if number and digits is not None else value


def _value(field: FieldType, value: Any, where: str) -> Any:
    if field.repeated:
        if isinstance(value, (str, bytes, dict, Message)) or not hasattr(value, "__iter__"):
            value = [value]  # pycaffe's convenience: one value stands for a list of one
        return [_single(field, item, where) for item in value]
    return _single(field, value, where)


def _single(field: FieldType, value: Any, where: str) -> Any:
    if field.message is not None:
        return message(field.message, value, where) if isinstance(value, dict) else value
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()  # a NumPy scalar
    if field.enum is not None and isinstance(value, int):
        name = enum_type(field.enum).names.get(value)
        if name is None:
            raise SpecError(f"{where}: {field.enum} has no value of number {value}")
        return name
    if field.type == "bool" and value in (0, 1):
        return bool(value)
    if field.type == "bytes" and isinstance(value, str):
        return value.encode()
    if field.type.startswith(("int", "uint")) and isinstance(value, bool):
        return int(value)
    return value


def _unknown(kind: str, own: str | None, name: str, own_fields: dict[str, FieldType]) -> str:
    holders = [
        field.name
        for field in message_type(LAYER).fields.values()
        if field.message is not None and field.fork is None and name in message_type(field.message).fields
    ]
    if own is None and "convolution_param" in holders:
        holders = ["convolution_param"]
    if own is None and holders:
        return f"L.{kind} has no keyword {name!r}; say {holders[0]}=dict({name}=…)"
    return f"L.{kind} has no keyword {name!r}{_nearest(name, [*own_fields, *message_type(LAYER).fields])}"


def _nearest(name: str, known: Any) -> str:
    question = did_you_mean(nearest(name, known))
    return f"; {question}" if question else ""
