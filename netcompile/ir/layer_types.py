"""Which class reads a layer of a file, and what is said of a type for which there is none."""

from __future__ import annotations

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.diagnostics.nearest import Hints, did_you_mean
from netcompile.layers.base import Layer
from netcompile.layers.data import ForeignData
from netcompile.layers.params import locate
from netcompile.layers.registry import class_of, near_types, unknown_class
from netcompile.layers.unsupported import FORKS, reason
from netcompile.prototxt.message import Message


def layer_type(
    message: Message, allow_unknown: bool = False, hints: Hints | None = None
) -> tuple[type[Layer] | None, Diagnostic | None]:
    """The class of a layer and what is to be said of its type, an error where there is no class.

    A layer of unknown type without bottoms feeds the net; with `allow_unknown` another one is a stub.
    """
    cls, name = class_of(message), str(message.get("type") or "")
    if cls is not None:
        return cls, None
    if name and not message.all("bottom") and message.all("top"):
        return ForeignData, _warning(
            message,
            "foreign-data",
            f"data layer of unknown type '{name}' becomes an input",
            "it has no bottom, so all that the net needs of it is its tops",
        )
    if name and allow_unknown:
        return unknown_class(name), _warning(
            message,
            "unknown-layer",
            f"layer '{message.get('name')}' of unknown type '{name}' is a stub",
            "its tops are taken to have the shape of its first bottom, which nobody here knows to be true",
            "put the layer in the stub's place in the module",
        )
    return None, _unknown(message, name, hints or Hints())


def _unknown(message: Message, name: str, hints: Hints) -> Diagnostic:
    why = reason(name)
    near = near_types(name, hints) if why is None and name not in FORKS else []
    what = f"unknown layer type '{name}'" if name else f"layer '{message.get('name')}' has no type"
    return Diagnostic(
        "unknown-layer",
        what if why is None else f"layer type '{name}' is known, and not supported",
        locate(message, "type"),
        why=why or FORKS.get(name) or "neither BVLC Caffe nor a fork or plugin known here has it",
        remedy=did_you_mean(near[:1], "install a plugin for it, or --allow-unknown keeps a stub in its place"),
    )


def _warning(message: Message, code: str, what: str, why: str, remedy: str = "") -> Diagnostic:
    return Diagnostic(code, what, message.span_of("type"), severity="warning", why=why, remedy=remedy)
