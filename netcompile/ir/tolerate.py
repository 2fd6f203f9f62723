"""Which mistakes of a text do not matter to the net that is built: fields that only its fork of Caffe knows, in layers
of which nothing is read.

A fork's prototxt has fields that no schema here has. In a layer that its phase leaves out, or that feeds data and so
becomes an input, they change nothing: they are warnings there. In a layer of a type that nobody here knows they are not
told at all: that the type is unknown is told by whoever builds the net.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from netcompile.diagnostics.diagnostic import NetError, sorted_by_position
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, state_of
from netcompile.ir.select import State, takes_part
from netcompile.layers.registry import class_of
from netcompile.prototxt.load import load_net
from netcompile.prototxt.message import Message
from netcompile.prototxt.upgrade import Upgraded

_OF_FORKS = ("unknown-field", "unknown-enum-value")


def load_for(source: Source, options_of: Callable[[Message], Options]) -> Upgraded:
    """The net of a text as `load_net` reads it, with such mistakes as warnings. Raises NetError with those that matter.

    `options_of` tells what the net is built for; it may ask the net.
    """
    try:
        return load_net(source)
    except NetError as error:
        read = error.partial
        if not isinstance(read, Upgraded):
            raise
        return _tolerated(error, read, state_of(read.net, options_of(read.net)))


def _tolerated(error: NetError, read: Upgraded, state: State) -> Upgraded:
    """What was read, the mistakes as warnings. Raises NetError where one of them matters."""
    layers = sorted(read.net.all("layer"), key=lambda layer: layer.start)
    starts = [layer.start for layer in layers]
    matter, warnings = [], []
    for found in error.diagnostics:
        at = None if found.span is None or found.code not in _OF_FORKS else found.span.start
        before = 0 if at is None else bisect_right(starts, at)
        layer = layers[before - 1] if at is not None and before and at < layers[before - 1].end else None
        why = None if layer is None else _harmless(layer, state)
        if why is None:
            matter.append(found)
        elif why:
            warnings.append(replace(found, severity="warning", why=why, remedy=""))
    if matter:
        raise NetError([*matter, *warnings], read)
    return Upgraded(read.net, sorted_by_position([*read.notes, *warnings]))


def _harmless(layer: Message, state: State) -> str | None:
    """Why nothing of the layer is read, "" where another message says it; None if something is."""
    if not takes_part(layer, state):
        return f"nothing depends on it: layer '{layer.get('name')}' takes no part in phase {state.phase}"
    cls = class_of(layer)
    if cls is None:
        return "" if layer.has("type") else None
    if cls.is_data and not cls.declares_shapes and not layer.has("bottom"):
        return f"nothing depends on it: what layer '{layer.get('name')}' feeds becomes an input"
    return None
