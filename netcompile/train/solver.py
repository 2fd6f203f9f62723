"""Solver files: a checked `Solver` from a `SolverParameter`, every field used, refused or reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, Severity, refuse
from netcompile.diagnostics.nearest import did_you_mean, nearest
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.train.rates import POLICIES, Policy

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_OLD_TYPES = dict(zip(("SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM"), TYPES, strict=True))

# What the settings of a field become here, where they do not act as in Caffe.
_ELSEWHERE = {
    "solver_mode": "--device says where to compute",
    "device_id": "--device says where to compute; CUDA_VISIBLE_DEVICES picks a GPU",
    "snapshot_format": "snapshots are .safetensors and .json",
    "snapshot_diff": "gradients are not written",
    "debug_info": "no debug output is written",
    "layer_wise_reduce": "gradients are summed over the processes after the last layer; the sums are the same",
}

# Fields that only some rules read.
_RULES = {
    "momentum2": ("Adam",),
    "rms_decay": ("RMSProp",),
    "delta": ("AdaGrad", "RMSProp", "AdaDelta", "Adam"),
}
_OF_TESTS = ("test_initialization", "test_compute_loss")


@dataclass(frozen=True, slots=True)
class NetRef:
    """A net that a solver names: a path or an inline message, and the state that it is built for."""

    field: str
    path: str
    message: Message | None
    span: Span
    level: int | None = None  # None: what the net's own state says
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Solver:
    """A solver's settings. Numbers are float32, as Caffe keeps them; `test_iter` has one number per test net."""

    source: Source
    type: str
    rate: Policy
    max_iter: int
    momentum: float
    momentum2: float
    delta: float
    rms_decay: float
    weight_decay: float
    regularization: str
    clip_gradients: float
    iter_size: int
    display: int
    average_loss: int
    test_iter: tuple[int, ...]
    test_interval: int
    test_initialization: bool
    test_compute_loss: bool
    snapshot: int
    snapshot_prefix: str
    snapshot_after_train: bool
    snapshot_at: Span | None  # where the text gives the prefix
    weights_at: Span | None  # and the first of the files of weights
    random_seed: int
    weights: tuple[str, ...]
    train_net: NetRef
    test_nets: tuple[NetRef, ...]
    notes: tuple[Diagnostic, ...] = ()


def read_solver(source: Source) -> Solver:
    """The solver of a text. Raises NetError with every mistake found."""
    reader = _Reader(_parse(source))
    solver = reader.solver(source)
    errors = [finding for finding in reader.findings if finding.severity == "error"]
    if errors or solver is None:
        raise NetError(errors)
    return solver


def _parse(source: Source) -> Message:
    """The message of a text; a net given by mistake is named as one."""
    first = re.search(r"(?m)^\s*(layers?)\s*:?\s*[{<]", source.text)
    if first is not None and not re.search(r"net_param\s*:?\s*[{<]", source.text):
        why = "its layers say what is computed; a solver says how it is trained"
        span = Span(source, *first.span(1))
        refuse("solver-net", "this is a net, not a solver", span, why, "give the solver's prototxt")
    return parse(source, "SolverParameter")


class _Reader:
    """Reads the fields of a SolverParameter; what is wrong or does nothing is collected in `findings`."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.findings: list[Diagnostic] = []

    # reports ---------------------------------------------------------------------------------------------------

    def say(
        self, severity: Severity, code: str, what: str, field: str, why: str = "", remedy: str = "", index: int = 0
    ) -> None:
        has = bool(field) and self.message.has(field)
        span = self.message.span_of(field, index) if has else Span(self.message.source, 0, 0)
        if has and self.message.type.fields[field].message is not None:
            span = self.message.name_span_of(field, index)
        self.findings.append(Diagnostic(code, what, span, why, remedy, severity))

    def error(self, code: str, what: str, field: str, why: str = "", remedy: str = "", index: int = 0) -> None:
        self.say("error", code, what, field, why, remedy, index)

    def warn(self, code: str, what: str, field: str, why: str = "", remedy: str = "") -> None:
        self.say("warning", code, what, field, why, remedy)

    # values ----------------------------------------------------------------------------------------------------

    def integer(self, field: str, least: int) -> int:
        value = int(self.message.get(field) or 0)
        if value < least and self.message.has(field):
            what = f"{field} must be at least {least}, not {value}"
            self.error("solver-range", what, field, remedy=f"{field}: {least}")
        return max(value, least)

    def number(self, field: str, low: float | None = None, below: float = inf, most: float = inf) -> float:
        value = float(self.message.get(field) or 0.0)
        if not isfinite(value):
            self.error("solver-range", f"{field} must be a finite number, not {value}", field)
        elif low is not None and not (low <= value < below and value <= most):
            bounds = f"at least {low:g}" + (f" and below {below:g}" if below < inf else f" and at most {most:g}")
            self.error("solver-range", f"{field} must be {bounds}, not {value:g}", field)
        return value

    def momentum(self, kind: str) -> float:
        """The momentum; Adam divides by 1 − momentum, and both Adam and AdaDelta take it for a share."""
        if kind == "Adam":
            return self.number("momentum", 0.0, below=1.0)
        return self.number("momentum", 0.0, most=1.0) if kind == "AdaDelta" else self.number("momentum")

    def needed(self, field: str, why: str, example: str) -> None:
        if not self.message.has(field):
            self.error("solver-missing", f"{field} is not given", "", why, f"{field}: {example}")

    # the solver ------------------------------------------------------------------------------------------------

    def solver(self, source: Source) -> Solver | None:
        m = self.message
        if not m.entries:
            self.error("solver-missing", "the solver is empty", "", "it names a net and says how to train it")
            return None
        self.needed("base_lr", "Caffe would take 0 and learn nothing", "0.01")
        self.needed("max_iter", "Caffe would take 0 and not train at all", "10000")
        kind, rate = self.kind(), self.rate()
        train, tests = self.nets()
        for entry in m.entries:
            field = entry.field
            if getattr(field, "fork", None) is not None:
                self.warn("solver-unused", f"{field.name} does nothing here", field.name, "only a fork of Caffe has it")
            elif field.name in _ELSEWHERE and not (field.name == "solver_mode" and entry.value == "CPU"):
                what = f"{field.name} is not followed"
                self.say("note", "solver-elsewhere", what, field.name, _ELSEWHERE[field.name])
        if kind in ("AdaGrad", "RMSProp") and m.get("momentum"):
            why = "Caffe refuses it: the rule has no momentum"
            self.error("solver-conflict", f"momentum cannot be used with {kind}", "momentum", why, "remove momentum")
        regularization = str(m.get("regularization_type"))
        if regularization not in ("L1", "L2"):
            self.unknown("regularization_type", regularization, ("L1", "L2"))
        snapshot = self.integer("snapshot", 0)
        if snapshot and not m.has("snapshot_prefix"):
            what, why = "snapshot is given, snapshot_prefix is not", "Caffe asks for it before it trains"
            self.error("solver-missing", what, "snapshot", why, 'snapshot_prefix: "snapshot/train"')
        self.idle(kind, tests)
        rms_decay = self.number("rms_decay", 0.0, 1.0) if kind == "RMSProp" else float(m.get("rms_decay"))
        momentum2 = self.number("momentum2", 0.0, most=1.0) if kind == "Adam" else float(m.get("momentum2"))
        values: dict[str, Any] = {
            "max_iter": self.integer("max_iter", 0),
            "momentum": self.momentum(kind),
            "momentum2": momentum2,
            "delta": self.number("delta"),
            "rms_decay": rms_decay,
            "weight_decay": self.number("weight_decay"),
            "regularization": regularization,
            "clip_gradients": self.number("clip_gradients"),
            "iter_size": self.integer("iter_size", 1),
            "display": self.integer("display", 0),
            "average_loss": self.integer("average_loss", 1),
            "test_iter": tuple(int(v) for v in m.all("test_iter")),
            "test_interval": self.integer("test_interval", 0),
            "test_initialization": bool(m.get("test_initialization")),
            "test_compute_loss": bool(m.get("test_compute_loss")),
            "snapshot": snapshot,
            "snapshot_prefix": str(m.get("snapshot_prefix") or ""),
            "snapshot_after_train": bool(m.get("snapshot_after_train")),
            "snapshot_at": m.span_of("snapshot_prefix") if m.has("snapshot_prefix") else None,
            "weights_at": m.span_of("weights") if m.has("weights") else None,
            "random_seed": int(m.get("random_seed")),
            "weights": tuple(part.strip() for text in m.all("weights") for part in text.split(",") if part.strip()),
        }
        if not (train and kind and rate):
            return None
        return Solver(
            source=source, type=kind, rate=rate, train_net=train, test_nets=tests, notes=tuple(self.findings), **values
        )

    def idle(self, kind: str, tests: tuple[NetRef, ...]) -> None:
        """Report what is given and does nothing."""
        m = self.message
        for field, kinds in _RULES.items():
            if kind and kind not in kinds and m.has(field):
                why = f"{' and '.join(kinds)} {'read' if len(kinds) > 1 else 'reads'} it"
                self.warn("solver-unused", f"{field} does nothing with {kind}", field, why)
        if m.has("regularization_type") and not m.get("weight_decay"):
            self.warn("solver-unused", "regularization_type does nothing without a weight_decay", "regularization_type")
        for field in _OF_TESTS:
            if m.has(field) and not tests:
                self.warn("solver-unused", f"{field} does nothing: there is no test net", field)

    def unknown(self, field: str, value: str, known: tuple[str, ...]) -> None:
        why, remedy = f"Caffe has {', '.join(known)}", did_you_mean(nearest(value, known, 1, 0.5))
        self.error("solver-unknown", f"unknown {field} '{value}'", field, why, remedy)

    def kind(self) -> str:
        m = self.message
        if m.has("solver_type"):
            if m.has("type"):
                what = "solver_type and type are both given"
                why = f"type says {m.get('type')}, and Caffe refuses the old field beside the new one"
                self.error("solver-conflict", what, "solver_type", why, "remove solver_type")
            return _OLD_TYPES.get(str(m.get("solver_type")), "SGD")
        kind = str(m.get("type"))
        if kind not in TYPES:
            self.unknown("type", kind, TYPES)
            return ""
        return kind

    def rate(self) -> Policy | None:
        m = self.message
        name = str(m.get("lr_policy") or "")
        if not m.has("lr_policy"):
            self.needed("lr_policy", f"Caffe has no default; it knows {', '.join(POLICIES)}", '"fixed"')
            return None
        if name not in POLICIES:
            self.unknown("lr_policy", name, tuple(POLICIES))
            return None
        needs = POLICIES[name]
        for field in needs:
            if not m.has(field):
                why = "Caffe takes none" if field == "stepvalue" else "Caffe takes 0"
                self.warn("solver-rate", f"lr_policy {name} without {field}", "lr_policy", why, f"{field}: …")
        stepsize = int(m.get("stepsize") or 0)
        if name == "step" and stepsize < 1:
            what = f"stepsize must be at least 1, not {stepsize}"
            self.error("solver-range", what, "stepsize", "Caffe divides by it")
        for field in ("gamma", "power", "stepsize", "stepvalue"):
            if m.has(field) and field not in needs:
                self.warn("solver-unused", f"{field} does nothing with lr_policy {name}", field)
        values = tuple(int(v) for v in m.all("stepvalue"))
        if list(values) != sorted(values):
            why = "each value is waited for in turn, so a smaller one takes effect late"
            self.warn("solver-rate", "stepvalue does not ascend", "stepvalue", why, "sort them")
        base, gamma, power = map(self.number, ("base_lr", "gamma", "power"))
        return Policy(name, base, gamma, power, stepsize, values, int(m.get("max_iter") or 0))

    # nets ------------------------------------------------------------------------------------------------------

    def refs(self, field: str) -> list[NetRef]:
        is_message = self.message.type.fields[field].message is not None
        found = []
        for index, value in enumerate(self.message.all(field)):
            span = self.message.name_span_of(field, index) if is_message else self.message.span_of(field, index)
            path = "" if is_message else str(value)
            if not is_message and not path:
                self.error("solver-net", f"{field} is an empty path", field, index=index)
            found.append(NetRef(field, path, value if is_message else None, span))
        return found

    def nets(self) -> tuple[NetRef | None, tuple[NetRef, ...]]:
        """Caffe's Solver::InitTrainNet and InitTestNets: which net is trained, and which are tested."""
        m = self.message
        trains = [ref for f in ("train_net_param", "train_net", "net_param", "net") for ref in self.refs(f)]
        if not trains:
            self.error("solver-missing", "the solver names no net to train", "", remedy='net: "train_val.prototxt"')
        for extra in trains[1:]:
            what = f"{extra.field} beside {trains[0].field}: two nets to train"
            why = "Caffe wants exactly one of net, net_param, train_net, train_net_param"
            self.error("solver-conflict", what, extra.field, why, f"remove {extra.field} or {trains[0].field}")
        train = self.with_state(trains[0], "train_state", 0, "TRAIN") if trains else None
        given = [ref for f in ("test_net_param", "test_net") for ref in self.refs(f)]
        generic = [ref for f in ("net_param", "net") for ref in self.refs(f)]
        iters, states = m.all("test_iter"), m.all("test_state")
        if len(iters) < len(given) or (len(iters) > len(given) and not generic):
            what, at = f"{len(iters)} test_iter for {len(given)} test nets", "test_iter" if iters else given[0].field
            why = "every test net has its test_iter; further ones test the net that `net` names"
            self.error("solver-conflict", what, at, why)
        tests = given + generic[:1] * max(0, len(iters) - len(given))
        for index, value in enumerate(iters):
            if value < 1:
                self.error("solver-range", f"test_iter must be at least 1, not {value}", "test_iter", index=index)
        if states and len(states) != len(tests):
            what = f"{len(states)} test_state for {len(tests)} test nets"
            self.error("solver-conflict", what, "test_state", "Caffe wants none, or one for each test net")
        elif states:
            tests = [self.with_state(ref, "test_state", index, "TEST") for index, ref in enumerate(tests)]
        if tests and int(m.get("test_interval") or 0) < 1:
            at = "test_interval" if m.has("test_interval") else "test_iter"
            what, why = "test nets without a test_interval", "Caffe asks how often they are to be run"
            self.error("solver-missing", what, at, why, "test_interval: 1000")
        if m.get("test_interval") and not tests:
            what, why = "test_interval does nothing: there is no test net", "a test_iter makes `net` a test net"
            self.warn("solver-unused", what, "test_interval", why, "test_iter: 100")
        return train, tuple(tests)

    def with_state(self, ref: NetRef, field: str, index: int, phase: str) -> NetRef:
        """The net as its state in the solver builds it."""
        if not self.message.has(field):
            return ref
        state = self.message.all(field)[index]
        if state.has("phase") and state.get("phase") != phase:
            span = state.span_of("phase")
            what = f"{field} asks for phase {state.get('phase')}"
            why = f"this net is built for phase {phase}; Caffe would leave out its {phase} layers"
            self.findings.append(Diagnostic("solver-conflict", what, span, why, "remove phase"))
        level = int(state.get("level")) if state.has("level") else None
        return NetRef(ref.field, ref.path, ref.message, ref.span, level, tuple(map(str, state.all("stage"))))
