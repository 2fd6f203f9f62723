"""The schema as protobuf descriptors, in a private pool: for tests, for scripts that expect protobuf's messages,
and for binary data; never for reading text.

Importing this module imports ``google.protobuf``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from netcompile.prototxt.message import Message, float_text
from netcompile.prototxt.schema import FieldType, enum_names, enum_type, message_names, message_type

PACKAGE = "caffe"
_FREE = 1000  # numbers from here on stand in for unknown and clashing numbers of forks' enum values
_FREE_FIELD = 300_000
_FDP = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "int32": _FDP.TYPE_INT32,
    "int64": _FDP.TYPE_INT64,
    "uint32": _FDP.TYPE_UINT32,
    "uint64": _FDP.TYPE_UINT64,
    "float": _FDP.TYPE_FLOAT,
    "double": _FDP.TYPE_DOUBLE,
    "bool": _FDP.TYPE_BOOL,
    "string": _FDP.TYPE_STRING,
    "bytes": _FDP.TYPE_BYTES,
    "enum": _FDP.TYPE_ENUM,
    "message": _FDP.TYPE_MESSAGE,
}


@cache
def pool(forks: bool = True) -> descriptor_pool.DescriptorPool:
    """A pool with the whole schema. Fork fields whose number is unknown or taken get a number of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package=PACKAGE, syntax="proto2")
    messages: dict[str, Any] = {}
    for name in message_names():
        messages[name] = file.message_type.add(name=name)
    for name in enum_names():
        _add_enum(file, messages, name, forks)
    for name in message_names():
        _add_fields(messages[name], name, forks)
    private = descriptor_pool.DescriptorPool()
    private.Add(file)
    return private


def _add_enum(file: Any, messages: dict[str, Any], name: str, forks: bool) -> None:
    parent, _, short = name.rpartition(".")
    if parent and parent not in messages:
        messages[parent] = file.message_type.add(name=parent)
    target = messages[parent].enum_type.add(name=short) if parent else file.enum_type.add(name=short)
    enum = enum_type(name)
    taken: set[int] = set()
    everything = len(enum.forks) == len(enum.numbers)
    for value, number in enum.numbers.items():
        if value in enum.forks and not forks and not everything:
            continue
        if number is None or number in taken:
            number = _FREE + len(taken)
        taken.add(number)
        target.value.add(name=value, number=number)


def _add_fields(target: Any, name: str, forks: bool) -> None:
    taken: set[int] = set()
    for field in message_type(name).fields.values():
        if field.fork is not None and not forks:
            continue
        number = field.number
        if number is None or number in taken:
            number = _FREE_FIELD + len(taken)
        taken.add(number)
        label = _FDP.LABEL_REPEATED if field.repeated else _FDP.LABEL_OPTIONAL
        label = _FDP.LABEL_REQUIRED if field.required else label
        made = target.field.add(name=field.name, number=number, label=label, type=_TYPES[field.type])
        reference = field.message or field.enum
        if reference is not None:
            made.type_name = f".{PACKAGE}.{reference}"
        if field.packed:
            made.options.packed = True
        default = None if field.repeated else _default_text(field)
        if default is not None:
            made.default_value = default


def _default_text(field: FieldType) -> str | None:
    value = field.default
    if isinstance(value, bool):
        return "true" if value else None
    if isinstance(value, float):
        return float_text(value) if value else None
    if field.enum is not None:
        return str(value)
    return str(value) if value not in (None, 0, "", b"") else None


@cache
def message_class(name: str) -> Any:
    """protobuf's generated class of a message type. Raises KeyError."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def enum_class(name: str) -> Any:
    """protobuf's wrapper of an enum: `.Value("TRAIN")`, `.Name(0)`. Raises KeyError."""
    return EnumTypeWrapper(pool().FindEnumTypeByName(f"{PACKAGE}.{name}"))


def to_protobuf(message: Message) -> Any:
    """A Message as protobuf's own, a mutable one."""
    made = message_class(message.type.name)()
    _fill(made, message)
    return made


def _fill(made: Any, message: Message) -> None:
    for entry in message.entries:
        field, value = entry.field, entry.value
        if isinstance(value, Message):
            inner = getattr(made, field.name)
            if field.repeated:
                inner = inner.add()
            else:
                inner.SetInParent()
            _fill(inner, value)
            continue
        if field.enum is not None:
            value = made.DESCRIPTOR.fields_by_name[field.name].enum_type.values_by_name[value].number
        if field.repeated:
            getattr(made, field.name).append(value)
        else:
            setattr(made, field.name, value)


def from_protobuf(message: Any) -> Message:
    """A protobuf message as a Message without places."""
    fields: dict[str, Any] = {}
    for field, value in message.ListFields():
        values = list(value) if field.is_repeated else [value]
        if field.message_type is not None:
            values = [from_protobuf(v) for v in values]
        elif field.enum_type is not None:
            values = [field.enum_type.values_by_number[v].name for v in values]
        fields[field.name] = values if field.is_repeated else values[0]
    return Message.make(message.DESCRIPTOR.name, **fields)
