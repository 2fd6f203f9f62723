"""A text that is open in the page: analysed once, in the way that the page asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from netcompile.algebra.effort import allow
from netcompile.analyser import MOST_STEPS, STEPS_EACH, Analysed
from netcompile.diagnostics.diagnostic import Diagnostic, NetError, sorted_by_position
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import decode_source
from netcompile.report.findings import findings
from netcompile.report.layer_model import Layers
from netcompile.report.layers import layers_report
from netcompile.report.offsets import refusals
from netcompile.site.positions import Units
from netcompile.site.reading import Reading

if TYPE_CHECKING:
    from netcompile.emit.module import EmittedModule
    from netcompile.passes.base import Skipped

Written = tuple["EmittedModule", "tuple[Skipped, ...]"]


@dataclass(frozen=True)
class Opened:
    """A text, its name, the way it is read, and the modules that were written of it, by level and style."""

    text: str
    name: str
    reading: Reading
    modules: dict[tuple[int, str | None], Written] = field(default_factory=dict, compare=False)

    @cached_property
    def source(self) -> Source:
        """The text as the analyser takes it."""
        return Source(self.text, self.name)

    @cached_property
    def units(self) -> Units:
        """How the page counts the text's characters."""
        return Units(self.text)

    @cached_property
    def analysed(self) -> Analysed | NetError:
        """The net, or the mistakes that keep the text from being one."""
        try:
            decode_source(self.text.encode("utf-8", "replace"), self.name)  # refuses what is no text
            return self.reading.analysed(self.source)
        except NetError as error:
            return error

    def net(self) -> Analysed:
        """The net, with as many steps allowed for what is asked of it as a command has. Raises NetError without one."""
        found = self.analysed
        if isinstance(found, NetError):
            raise found
        allow(MOST_STEPS + STEPS_EACH * len(found.graph.nodes))
        return found

    def sound(self) -> Analysed:
        """The net, its crops aside without a mistake, as `netcompile offsets` wants it. Raises NetError."""
        found = self.net()
        if refused := refusals(found):
            raise NetError(refused)
        return found

    @cached_property
    def findings(self) -> tuple[Diagnostic, ...]:
        """What `netcompile check` tells, in its order."""
        found = self.analysed
        told = found.diagnostics if isinstance(found, NetError) else findings(self.net())
        return sorted_by_position(dict.fromkeys(told))

    @cached_property
    def layers(self) -> Layers:
        """The layers' half of the report. Raises NetError without a net."""
        return layers_report(self.net())

    def module(self, level: int, style: str | None) -> Written:
        """The module that `netcompile build` writes, and where optimisations did not apply. Raises NetError."""
        made = self.modules.get((level, style))
        if made is None:
            made = self.modules[level, style] = written(self.net(), level, style)
        return made


def written(analysed: Analysed, level: int, style: str | None) -> Written:
    """The module of a net without weights, as `netcompile build -O level --style style` writes it. Raises NetError."""
    from netcompile.compiler import emit_net, legal_sizes, optimise_net  # long to import, and not for every answer
    from netcompile.data.preprocessing import of_input
    from netcompile.emit.docstring import About
    from netcompile.emit.module import Manner
    from netcompile.emit.names import file_stem

    found = optimise_net(analysed, level)
    images = {entry.value.blob: of_input(entry)[0].told() for entry in analysed.graph.inputs}
    about = About(sizes=legal_sizes(analysed), images=images, module=file_stem(analysed.name))
    return emit_net(analysed, found, level, manner=Manner(style, about=about)), found.skipped
