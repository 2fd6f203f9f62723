"""Which layers take part: Caffe's NetState rules (``include``, ``exclude``, phase, level, stages)."""

from __future__ import annotations

from netcompile.prototxt.diagnostic import Diagnostic
from netcompile.prototxt.message import Message
from netcompile.record import record


@record
class State:
    """The state that a net is built for (Caffe's NetState)."""

    train: bool = False
    level: int = 0
    stages: frozenset[str] = frozenset()

    @property
    def phase(self) -> str:
        return "TRAIN" if self.train else "TEST"


def meets(rule: Message, state: State) -> bool:
    """Caffe's Net::StateMeetsRule: every condition that the rule sets must hold."""
    if rule.has("phase") and rule.get("phase") != state.phase:
        return False
    if rule.has("min_level") and state.level < rule.get("min_level"):
        return False
    if rule.has("max_level") and state.level > rule.get("max_level"):
        return False
    if any(stage not in state.stages for stage in rule.all("stage")):
        return False
    return all(stage not in state.stages for stage in rule.all("not_stage"))


def takes_part(layer: Message, state: State) -> bool:
    """Whether a layer is in the net: any include rule suffices; any exclude rule keeps it out (Net::FilterNet)."""
    include, exclude = layer.all("include"), layer.all("exclude")
    if include:
        return any(meets(rule, state) for rule in include)
    return not any(meets(rule, state) for rule in exclude)


def select(net: Message, state: State, problems: list[Diagnostic]) -> list[Message]:
    """The layers of `net` that take part, in file order; a layer with both kinds of rule is reported."""
    chosen = []
    for layer in net.all("layer"):
        if layer.has("include") and layer.has("exclude"):
            problems.append(
                Diagnostic(
                    "include-exclude",
                    f"layer '{layer.get('name')}' has both include and exclude rules",
                    layer.name_span_of("exclude"),
                    why="Caffe takes one kind or the other",
                    remedy="keep the include rules, or the exclude rules",
                )
            )
            continue
        if takes_part(layer, state):
            chosen.append(layer)
    return chosen
