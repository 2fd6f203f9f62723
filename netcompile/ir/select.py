"""Which layers take part: Caffe's NetState rules (``include``, ``exclude``, phase, level, stages)."""

from __future__ import annotations

from dataclasses import dataclass

from netcompile.diagnostics.diagnostic import Diagnostic
from netcompile.prototxt.message import Message


@dataclass(frozen=True, slots=True)
class State:
    """The state that a net is built for (Caffe's NetState)."""

    train: bool = False
    level: int = 0
    stages: frozenset[str] = frozenset()

    @property
    def phase(self) -> str:
        return "TRAIN" if self.train else "TEST"


MOST_RULES = 32  # rules of a layer that are told, and for which options are looked for


def meets(rule: Message, state: State) -> bool:
    """Caffe's Net::StateMeetsRule: every condition that the rule sets must hold."""
    if rule.has("phase") and rule.get("phase") != state.phase:
        return False
    if rule.has("min_level") and state.level < rule.get("min_level"):
        return False
    if rule.has("max_level") and state.level > rule.get("max_level"):
        return False
    return state.stages.issuperset(rule.all("stage")) and state.stages.isdisjoint(rule.all("not_stage"))


def takes_part(layer: Message, state: State) -> bool:
    """Whether a layer is in the net: any include rule suffices; any exclude rule keeps it out (Net::FilterNet)."""
    include, exclude = layer.all("include"), layer.all("exclude")
    if include:
        return any(meets(rule, state) for rule in include)
    return not any(meets(rule, state) for rule in exclude)


def rules_of(layer: Message) -> str:
    """The layer's include and exclude rules as the file has them: ``include { phase: TRAIN }``."""
    shown: list[str] = []
    for kind in ("include", "exclude"):
        for rule in layer.all(kind):
            if len(shown) == MOST_RULES:
                return " ".join([*shown, "…"])
            fields = [f"{entry.field.name}: {_shown(entry.value)}" for entry in rule.entries]
            shown.append(f"{kind} {{ {' '.join(fields)} }}")
    return " ".join(shown)


def _shown(value: object) -> str:
    return str(value) if not isinstance(value, str) or value in ("TRAIN", "TEST") else f'"{value}"'


def flags_for(layer: Message, state: State) -> str:
    """The options with which the layer takes part, as few as do: ``--phase train``; "" where none do."""
    rules = (*layer.all("include"), *layer.all("exclude"))
    stages = sorted({stage for rule in rules for stage in rule.all("stage")})
    levels = sorted({rule.get(field) for rule in rules for field in ("min_level", "max_level") if rule.has(field)})
    if len(rules) > MOST_RULES:
        return ""
    for train in (state.train, not state.train):
        phase = [] if train == state.train else [f"--phase {'train' if train else 'test'}"]
        for named in ([], *([stage] for stage in stages), stages):
            for level in (state.level, *levels):
                tried = State(train, level, state.stages | frozenset(named))
                if takes_part(layer, tried):
                    more = [f"--stage {stage}" for stage in named]
                    return " ".join([*phase, *more, *([] if level == state.level else [f"--level {level}"])])
    return ""


def select(net: Message, state: State, problems: list[Diagnostic]) -> list[Message]:
    """The layers of `net` that take part, in file order; a layer with both kinds of rule is reported."""
    chosen = []
    for layer in net.all("layer"):
        include, exclude = layer.has("include"), layer.has("exclude")
        if not include and not exclude:
            chosen.append(layer)
        elif include and exclude:
            what = f"layer '{layer.get('name')}' has both include and exclude rules"
            why, remedy = "Caffe takes one kind or the other", "keep the include rules, or the exclude rules"
            problems.append(Diagnostic("include-exclude", what, layer.name_span_of("exclude"), why, remedy))
        elif takes_part(layer, state):
            chosen.append(layer)
    return chosen
