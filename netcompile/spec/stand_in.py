"""What `import caffe` finds while a net.py runs: the part of pycaffe that specifies networks.

`to_proto` gives protobuf's own messages, as pycaffe does, so that a script may go on to edit, merge and serialise
them; `caffe.proto.caffe_pb2` has the classes.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from netcompile.prototxt.schema import enum_names, enum_type, message_names
from netcompile.spec import coord_map, net_spec
from netcompile.spec.literal import as_python2

# They choose a device, which is nothing to a definition, and scripts call them out of habit.
_WITHOUT_EFFECT = ("set_mode_cpu", "set_mode_gpu", "set_device", "set_random_seed", "init_log")
_ELSEWHERE = {
    "Net": "netcompile.load, or netcompile run and predict, compute with a net",
    "Classifier": "netcompile.load computes with a net",
    "Detector": "netcompile.load computes with a net",
    "io": "netcompile predict prepares images",
    "draw": "netcompile build writes a report with the graph",
    "Solver": "netcompile train takes the solver's prototxt",
}


class Absent(AttributeError):
    """A part of caffe that is not here; `remedy` says what is there instead."""

    remedy: str = ""


def modules() -> tuple[ModuleType, ...]:
    """caffe, caffe.net_spec, caffe.coord_map, caffe.proto and caffe.proto.caffe_pb2, fresh ones at every call."""
    caffe = ModuleType("caffe", "The part of Caffe's Python that specifies networks.")
    spec, coords = ModuleType("caffe.net_spec"), ModuleType("caffe.coord_map")
    proto, pb2 = ModuleType("caffe.proto"), ModuleType("caffe.proto.caffe_pb2")
    shared: dict[str, Any] = {
        "NetSpec": _NetSpec,
        "Top": net_spec.Top,
        "Function": net_spec.Function,
        "to_proto": _to_proto,
        "layers": net_spec.Layers(rewrite=_python2_keywords),
        "params": net_spec.Parameters(numbers=True),
    }
    spec.__dict__.update(shared)
    coords.__dict__.update(
        crop=coord_map.crop,
        coord_map_from_to=coord_map.coord_map_from_to,
        UndefinedMapException=coord_map.UndefinedMapException,
        AxisMismatchException=coord_map.AxisMismatchException,
        L=shared["layers"],
    )
    pb2.__dict__["__getattr__"] = _generated
    proto.__dict__.update(caffe_pb2=pb2, __path__=[])
    caffe.__dict__.update(shared, TRAIN=0, TEST=1, net_spec=spec, coord_map=coords, proto=proto, __path__=[])
    caffe.__dict__.update(dict.fromkeys(_WITHOUT_EFFECT, _nothing), __getattr__=_absent)
    return caffe, spec, coords, proto, pb2


def elsewhere(name: str) -> str:
    """What does here what `caffe.NAME` does there; "" where nothing is known to."""
    return _ELSEWHERE.get("Solver" if name.endswith("Solver") else name, "")


class _NetSpec(net_spec.NetSpec):
    """NetSpec whose `to_proto` gives protobuf's message."""

    def to_proto(self) -> Any:
        return _protobuf(super().to_proto())


def _to_proto(*tops: Any) -> Any:
    return _protobuf(net_spec.to_proto(*tops))


def _protobuf(net: net_spec.Proto) -> Any:
    from netcompile.prototxt.descriptors import to_protobuf

    return to_protobuf(net.message)


def _nothing(*_: object, **__: object) -> None:
    return None


def _absent(name: str) -> Any:
    error = Absent(f"caffe.{name} is not here: only the part of caffe that specifies networks is")
    error.remedy = elsewhere(name)
    raise error


def _generated(name: str) -> Any:
    """A name of caffe_pb2: a message class, an enum of the file, or one of its values."""
    from netcompile.prototxt.descriptors import enum_class, message_class

    if name in message_names():
        return message_class(name)
    for enum in (known for known in enum_names() if "." not in known):
        if name == enum:
            return enum_class(enum)
        if name in enum_type(enum).numbers:
            return enum_class(enum).Value(name)
    raise AttributeError(f"caffe.proto.caffe_pb2 has no {name!r}")


def _python2_keywords(keywords: dict[str, Any]) -> dict[str, Any]:
    def rewritten(keyword: str, value: Any) -> Any:
        if keyword == "param_str" and isinstance(value, str):
            return as_python2(value)
        if keyword == "python_param" and isinstance(value, dict):
            return _python2_keywords(value)
        return value

    return {keyword: rewritten(keyword, value) for keyword, value in keywords.items()}
