"""Typed, checked access to a layer's parameters: remembers which fields were read, collects every mistake."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic, Severity
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.source import Span
from netcompile.diagnostics.text import shape_text
from netcompile.prototxt.message import Message
from netcompile.prototxt.schema import FieldType

# Fields that every layer has and that the graph builder reads itself.
COMMON = frozenset(
    ("name", "type", "bottom", "top", "phase", "loss_weight", "param", "blobs", "propagate_down", "include", "exclude")
)

FILLERS = ("constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear")


def constant_filler(value: float) -> Message:
    """The filler that makes every number of a blob `value`, for blobs that do not begin as 0."""
    return Message.make("FillerParameter", type="constant", value=value)


def filler_mistake(filler: Message, shape: Sequence[int]) -> tuple[str, str, str] | None:
    """Why Caffe stops when a filler of a known type fills a blob of this shape: field, what, why; None if it does not.

    It fills every blob of a new net, whether or not trained weights follow (include/caffe/filler.hpp).
    """
    kind, sparse = str(filler.get("type")), int(filler.get("sparse"))
    if kind == "constant" and sparse == -1:
        return None
    low, high, std = filler.get("min"), filler.get("max"), filler.get("std")
    blob = shape_text(shape)
    if kind != "gaussian" and sparse != -1:
        return "sparse", f"sparse is for gaussian fillers only, not for {kind}", ""
    if sparse < -1:
        return "sparse", f"sparse must be -1 (dense) or a count, not {sparse}", ""
    if sparse > (shape[0] if shape else 0):
        why = "a weight is kept with probability sparse / outputs, which Caffe refuses above 1"
        return "sparse", f"sparse is {sparse}, and a blob {blob} has {shape[0] if shape else 'no'} outputs", why
    if kind == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        why = "it wants four axes, and a window as high as it is wide"
        return "type", f"a bilinear filler cannot fill a blob {blob}", why
    if kind == "positive_unitball" and len(shape) > 4:
        return "type", f"a positive_unitball filler cannot fill a blob {blob}", "it reads four axes at most"
    if kind == "uniform" and not low <= high:
        return "min" if filler.has("min") else "max", f"min {low:g} is above max {high:g}", ""
    if kind == "gaussian" and not std > 0:
        return "std", f"std {std:g} is not positive", "Caffe draws from no normal distribution of such a width"
    return None


class Section:
    """One parameter message of a layer (``convolution_param``), set or not."""

    def __init__(self, owner: Params, name: str, message: Message) -> None:
        self._owner, self.name, self.message = owner, name, message
        self.read: set[str] = set()

    def has(self, field: str) -> bool:
        """Whether the file sets the field."""
        self.read.add(field)
        return self.message.has(field)

    def get(self, field: str) -> Any:
        """The field's value, or the schema's default."""
        self.read.add(field)
        return self.message.get(field)

    def all(self, field: str) -> tuple[Any, ...]:
        """Every value of a repeated field."""
        self.read.add(field)
        return self.message.all(field)

    def given(self, field: str) -> Any:
        """The field's value where the file sets it, else None."""
        return self.get(field) if self.has(field) else None

    def ignore(self, *fields: str) -> None:
        """Fields that change nothing here (``engine``), read so that they are not reported."""
        self.read.update(fields)

    def ignore_all(self) -> None:
        """Report no field of this section as unread."""
        self.ignore(*(entry.field.name for entry in self.message.entries))

    def filler(self, field: str, used: bool = True) -> Message | None:
        """The filler message, if the file has one and there is a blob to fill; an unknown type is reported."""
        if not self.has(field) or not used:
            return None
        found: Message = self.get(field)
        if found.get("type") not in FILLERS:
            self._owner.report(
                found.span_of("type"),
                f"unknown filler type '{found.get('type')}'",
                code="filler",
                why=f"Caffe has {', '.join(FILLERS)}",
                remedy=did_you_mean(nearest(str(found.get("type")), FILLERS)),
            )
        return found

    def fillers(self, bias: bool = True) -> tuple[Message | None, Message | None]:
        """The fillers of the weights and of the bias, if there is a `bias`; each None where the file has none."""
        return self.filler("weight_filler"), self.filler("bias_filler", used=bias)

    def positive(self, field: str, why: str = "") -> int:
        """An integer ≥ 1, 1 if the field has neither value nor default; anything less is reported, and 1 returned."""
        value = self.get(field)
        if value is None or value >= 1:
            return int(value or 1)
        self.refuse(field, f"{field} must be positive, not {value}", code="param-range", why=why)
        return 1

    def required_positive(self, field: str, why: str = "") -> int:
        """An integer ≥ 1 that the file must give; its absence, and anything less, is reported, and 1 returned."""
        self.required(field)
        return self.positive(field, why) if self.has(field) else 1

    def positive_numbers(self, field: str) -> list[float]:
        """Positive, finite numbers of a repeated field, one at least; anything else is reported, and gives []."""
        values = [float(v) for v in self.all(field)]
        if not values:
            self.refuse("", f"no {field}", code="param-missing", remedy=f"{self.name} {{ {field}: … }}")
        if not all(0 < v < inf for v in values):
            self.refuse(field, f"{field} must be positive and finite", code="param-range")
            return []
        return values

    def renamed(self, field: str, old: str) -> str:
        """Which of the two names of a field the file uses, `field` where neither; both together are reported."""
        if self.has(field) and self.has(old):
            self.refuse(
                old,
                f"{field} and {old} together",
                code="param-conflict",
                why=f"{old} is the old name of {field}",
                remedy=f"keep {field}",
            )
        return old if self.has(old) else field

    def required(self, field: str, what: str = "", why: str = "") -> Any:
        """The field's value; its absence is reported, and the default returned."""
        if not self.has(field):
            self.refuse(
                "",
                what or f"{field} missing",
                code="param-missing",
                why=why or f"a {self._owner.type} layer cannot do without it",
                remedy=f"{self.name} {{ {field}: … }}",
            )
        return self.get(field)

    def refuse(self, field: str, what: str, *, code: str = "param", why: str = "", remedy: str = "") -> None:
        """Report a mistake at a field of this section (at the section itself if the field is not set)."""
        given = field and self.message.has(field)
        span = self.message.span_of(field) if given else self._owner.name_span(self.name)
        self._owner.report(span, what, code=code, why=why, remedy=remedy)


class Params:
    """A `LayerParameter` as its class reads it.

    `train`: the layer is in phase TRAIN, be it the net's or its own: a layer's `phase` wins over the net's, which
    Net::Init gives only to layers without one. `own_phase`: it has one.
    """

    def __init__(self, message: Message, train: bool) -> None:
        self.message = message
        self.own_phase = message.has("phase")
        self.train = message.get("phase") == "TRAIN" if self.own_phase else train
        self.type: str = message.get("type")
        self.bottoms, self.tops = len(message.all("bottom")), len(message.all("top"))
        self.problems: list[Diagnostic] = []
        self.notes: list[Diagnostic] = []
        self.sections: dict[str, Section] = {}
        self.ignored: set[str] = set()

    def sub(self, name: str) -> Section:
        """The parameter message `name`; an empty one where the file has none."""
        section = self.sections.get(name)
        if section is None:
            section = self.sections[name] = Section(self, name, self.message.get(name))
        return section

    def ignore_all(self) -> None:
        """Report no field of the layer as unread, for layers whose parameters are not needed here."""
        self.ignored.update(entry.field.name for entry in self.message.entries)

    def has(self, name: str) -> bool:
        """Whether the file has the parameter message at all."""
        return self.message.has(name)

    def name_span(self, field: str) -> Span:
        """Where `field` stands, or else the layer's type, or else the layer."""
        for candidate in (field, "type", "name"):
            if candidate and self.message.has(candidate):
                at = self.message.name_span_of if candidate == field else self.message.span_of
                return at(candidate)
        return self.message.span

    def report(self, span: Span, what: str, *, code: str, why: str = "", remedy: str = "") -> None:
        self.problems.append(Diagnostic(code, what, span, why=why, remedy=remedy))

    def refuse(self, at: str, what: str, *, code: str = "param", why: str = "", remedy: str = "") -> None:
        """Report a mistake at a field of the layer itself."""
        self.report(locate(self.message, at), what, code=code, why=why, remedy=remedy)

    def refuse_in_place(self) -> None:
        """Report a layer that names one blob as its bottom and its top, where Caffe wants two."""
        bottoms, tops = self.message.all("bottom"), self.message.all("top")
        if bottoms and tops and bottoms[0] == tops[0]:
            self.refuse(
                "top",
                f"{self.type} does not work in place",
                code="in-place",
                why=f"bottom and top are both '{tops[0]}'",
                remedy="give the top a name of its own",
            )

    def note(
        self, at: str, what: str, *, code: str, why: str = "", remedy: str = "", severity: Severity = "warning"
    ) -> None:
        """Add a diagnostic that is no error: a warning, or what `severity` says."""
        self.notes.append(Diagnostic(code, what, locate(self.message, at), why=why, remedy=remedy, severity=severity))

    def unread(self) -> list[Diagnostic]:
        """A warning for each field that is set and that the layer's class never read: it has no effect."""
        found = []
        for entry in self.message.entries:
            name = entry.field.name
            section = self.sections.get(name)
            if name in COMMON or name in self.ignored:
                continue
            if section is None:
                what, why = f"{name} does nothing in a {self.type} layer", "Caffe ignores it as well"
                remedy = "remove it, or check the layer's type"
                found.append(self._unread(self.message, entry.field, what, why, remedy))
                continue
            for inner in section.message.entries:
                if inner.field.name not in section.read:
                    what, why = f"{inner.field.name} does nothing here", f"a {self.type} layer does not read it"
                    found.append(self._unread(section.message, inner.field, what, why))
        return found

    def _unread(self, message: Message, field: FieldType, what: str, why: str, remedy: str = "") -> Diagnostic:
        """The warning for one unread field; a field of a fork has its own text, since there it may have an effect."""
        if field.fork:
            what, remedy = f"{field.name} of {field.fork}'s Caffe is not carried out", ""
            why = f"what that fork's {self.type} layer makes of it may differ from what is computed here"
        at = message.name_span_of(field.name)
        return Diagnostic("unused-param", what, at, severity="warning", why=why, remedy=remedy)


def locate(message: Message, at: str) -> Span:
    """The span of a field path such as ``bottom[1]`` or ``crop_param.offset[0]``; as near as the file allows."""
    here, best = message, None
    for step in filter(None, at.split(".")):
        name, _, rest = step.partition("[")
        index = int(rest[:-1]) if rest else 0
        if name not in here.type.fields or not here.has(name):
            break
        if here.entry(name, index) is None:
            index = 0
        best = here.span_of(name, index)
        value = here.all(name)[index] if here.type.fields[name].repeated else here.get(name)
        if not isinstance(value, Message):
            return best
        best = here.name_span_of(name, index)
        here = value
    if best is not None:
        return best
    for name in ("type", "name"):
        if message.has(name):
            return message.span_of(name)
    return message.span
