"""A net that is to be worked on: its text as messages, and the graph with its shapes."""

from __future__ import annotations

import os
from dataclasses import dataclass

from netcompile.analysis.assume import settle
from netcompile.analysis.shapes import infer
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, build
from netcompile.ir.graph import Graph, Node, Value
from netcompile.ir.naming import net_name
from netcompile.layers.base import BlobSpec, IntShape
from netcompile.prototxt.load import load_net
from netcompile.prototxt.message import Message
from netcompile.prototxt.recognise import open_source
from netcompile.zoo.find import find_definition

TEST = Options()  # phase TEST, level 0, no stage


@dataclass(frozen=True, slots=True)
class Net:
    """A net in today's format (V2) with the graph and the shapes that it has for some options."""

    name: str
    message: Message
    graph: Graph
    shapes: dict[Value, IntShape]

    def layer(self, name: str) -> Message:
        """The first layer of a name. Raises KeyError."""
        for layer in self.message.all("layer"):
            if layer.get("name") == name:
                assert isinstance(layer, Message)
                return layer
        raise KeyError(name)

    def blobs(self, node: Node) -> tuple[BlobSpec, ...]:
        """The learnable blobs of a layer, with their shapes and fillers."""
        return node.layer.blobs(*(self.shapes[bottom] for bottom in node.bottoms))


def open_net(source: Source, options: Options = TEST) -> Net:
    """The net of a text. Raises NetError with everything that is wrong with it."""
    loaded = load_net(source)
    return of_message(loaded.net, net_name(str(loaded.net.get("name") or ""), source.name), options)


def of_message(message: Message, name: str, options: Options = TEST) -> Net:
    """The net of a V2 message. Raises NetError."""
    graph = settle(build(message, options, name).graph).graph
    shapes, problems = infer(graph)
    # Where crops start changes no shape, so a crop without offset stops no surgery.
    wrong = [problem for problem in problems if problem.severity == "error" and not problem.code.startswith("crop-")]
    if wrong:
        raise NetError(wrong)
    return Net(name, message, graph, shapes)


def parse_net(text: str, options: Options = TEST) -> Net:
    """The net of a prototxt's text. Raises NetError."""
    return open_net(Source(text), options)


def read_net(path: str | os.PathLike[str], options: Options = TEST) -> Net:
    """The net of a prototxt, or of a bundled definition of that name. Raises NetError, OSError."""
    return open_net(open_source(find_definition(path) or path), options)
