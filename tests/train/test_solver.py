"""Solver files: what is read, and every mistake with its message."""

from __future__ import annotations

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.train.solver import Solver, read_solver

GOOD = 'net: "n.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 10 '

MULTISTEP = GOOD.replace("fixed", "multistep") + "gamma: 1 "


OLD_TYPES = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}  # fmt: skip


def read(text: str) -> Solver:
    return read_solver(Source(text, "s.prototxt"))


def test_defaults_are_caffes() -> None:
    solver = read(GOOD)
    assert (solver.type, solver.iter_size, solver.average_loss, solver.display) == ("SGD", 1, 1, 0)
    assert (solver.momentum, solver.weight_decay, solver.regularization) == (0, 0, "L2")
    assert (solver.clip_gradients, solver.random_seed, solver.snapshot) == (-1, -1, 0)
    assert (solver.snapshot_after_train, solver.test_initialization) == (True, True)
    assert solver.momentum2 == pytest.approx(0.999)
    assert (solver.train_net.path, solver.test_nets, solver.notes) == ("n.prototxt", (), ())


def test_old_solver_type() -> None:
    for number, (old, new) in enumerate(OLD_TYPES.items()):
        assert read(GOOD + f"solver_type: {old}").type == new
        assert read(GOOD + f"solver_type: {number}").type == new


def test_test_nets_and_their_states() -> None:
    solver = read(
        'train_net: "a" net_param { } test_net: "b"'.replace("net_param { } ", "")
        + ' base_lr: 1 lr_policy: "fixed" max_iter: 1 test_iter: 3 test_interval: 2 test_state { stage: "x" level: 2 }'
        + ' train_state { stage: "y" }'
    )
    assert (solver.train_net.path, solver.train_net.stages) == ("a", ("y",))
    [test] = solver.test_nets
    assert (test.path, test.stages, test.level, solver.test_iter) == ("b", ("x",), 2, (3,))


def test_net_is_tested_as_often_as_test_iter_says() -> None:
    solver = read(GOOD + "test_iter: 3 test_iter: 4 test_interval: 1")
    assert [ref.path for ref in solver.test_nets] == ["n.prototxt"] * 2


def test_weights_are_split_at_commas() -> None:
    assert read(GOOD + 'weights: "a.caffemodel, b.caffemodel" weights: "c.h5"').weights == (
        "a.caffemodel", "b.caffemodel", "c.h5",
    )  # fmt: skip


MISTAKES = [
    ("", "solver-missing", "the solver is empty"),
    (GOOD.replace('net: "n.prototxt"', ""), "solver-missing", "the solver names no net to train"),
    (GOOD.replace("base_lr: 0.1", ""), "solver-missing", "base_lr is not given"),
    (GOOD.replace("max_iter: 10", ""), "solver-missing", "max_iter is not given"),
    (GOOD.replace('lr_policy: "fixed"', ""), "solver-missing", "lr_policy is not given"),
    (GOOD.replace("fixed", "Step"), "solver-unknown", "unknown lr_policy 'Step'"),
    (GOOD.replace("fixed", "step") + "gamma: 1", "solver-range", "stepsize must be at least 1, not 0"),
    (GOOD + 'type: "Adamw"', "solver-unknown", "unknown type 'Adamw'"),
    (GOOD + 'type: "SGD" solver_type: SGD', "solver-conflict", "solver_type and type are both given"),
    (GOOD + 'train_net: "m"', "solver-conflict", "net beside train_net: two nets to train"),
    (GOOD + 'type: "AdaGrad" momentum: 0.9', "solver-conflict", "momentum cannot be used with AdaGrad"),
    (GOOD + 'type: "RMSProp" momentum: 0.9', "solver-conflict", "momentum cannot be used with RMSProp"),
    (GOOD + 'type: "RMSProp" rms_decay: 1', "solver-range", "rms_decay must be at least 0 and below 1, not 1"),
    (GOOD + 'regularization_type: "L3"', "solver-unknown", "unknown regularization_type 'L3'"),
    (GOOD + "iter_size: 0", "solver-range", "iter_size must be at least 1, not 0"),
    (GOOD + "average_loss: 0", "solver-range", "average_loss must be at least 1, not 0"),
    (GOOD + "display: -1", "solver-range", "display must be at least 0, not -1"),
    (GOOD + "momentum: nan", "solver-range", "momentum must be a finite number, not nan"),
    (GOOD + "snapshot: 5", "solver-missing", "snapshot is given, snapshot_prefix is not"),
    (GOOD + "test_iter: 1", "solver-missing", "test nets without a test_interval"),
    (GOOD + "test_iter: 0 test_interval: 1", "solver-range", "test_iter must be at least 1, not 0"),
    (GOOD + 'test_net: "t"', "solver-conflict", "0 test_iter for 1 test nets"),
    (GOOD + "test_iter: 1 test_interval: 1" + " test_state { }" * 2, "solver-conflict", "2 test_state for 1 test nets"),
    ('layer { name: "x" type: "ReLU" }', "solver-net", "this is a net, not a solver"),
    (GOOD + 'type: "Adam" momentum: 1', "solver-range", "momentum must be at least 0 and below 1, not 1"),
    (GOOD + 'type: "Adam" momentum2: 1.5', "solver-range", "momentum2 must be at least 0 and at most 1, not 1.5"),
    (GOOD + 'type: "AdaDelta" momentum: -1', "solver-range", "momentum must be at least 0 and at most 1, not -1"),
    (GOOD + "train_state { phase: TEST }", "solver-conflict", "train_state asks for phase TEST"),
    (
        GOOD + "test_iter: 1 test_interval: 1 test_state { phase: TRAIN }",
        "solver-conflict",
        "test_state asks for phase TRAIN",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "what"), MISTAKES, ids=[f"{i}-{m[1]}" for i, m in enumerate(MISTAKES)])
def test_mistakes(text: str, code: str, what: str) -> None:
    with pytest.raises(NetError) as caught:
        read(text)
    assert (code, what) in [(d.code, d.what) for d in caught.value.diagnostics]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(NetError) as caught:
        read('net: "a"\ntype: "adam"\nlr_policy: "poly2"\niter_size: 0\n')
    assert str(caught.value) == (
        "s.prototxt:1:1: error[solver-missing]: base_lr is not given\n"
        '    1 | net: "a"\n'
        "      | ^\n"
        "  why: Caffe would take 0 and learn nothing\n"
        "  fix: base_lr: 0.01\n"
        "s.prototxt:1:1: error[solver-missing]: max_iter is not given\n"
        '    1 | net: "a"\n'
        "      | ^\n"
        "  why: Caffe would take 0 and not train at all\n"
        "  fix: max_iter: 10000\n"
        "s.prototxt:2:7: error[solver-unknown]: unknown type 'adam'\n"
        '    2 | type: "adam"\n'
        "      |       ^^^^^^\n"
        "  why: Caffe has SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam\n"
        "  fix: did you mean 'Adam'?\n"
        "s.prototxt:3:12: error[solver-unknown]: unknown lr_policy 'poly2'\n"
        '    3 | lr_policy: "poly2"\n'
        "      |            ^^^^^^^\n"
        "  why: Caffe has fixed, step, exp, inv, multistep, poly, sigmoid\n"
        "  fix: did you mean 'poly'?\n"
        "s.prototxt:4:12: error[solver-range]: iter_size must be at least 1, not 0\n"
        "    4 | iter_size: 0\n"
        "      |            ^\n"
        "  fix: iter_size: 1"
    )


WARNINGS = [
    (GOOD + "gamma: 0.5", "solver-unused", "gamma does nothing with lr_policy fixed"),
    (GOOD.replace("fixed", "exp"), "solver-rate", "lr_policy exp without gamma"),
    (
        GOOD.replace("fixed", "multistep") + "gamma: 1 stepvalue: 4 stepvalue: 2",
        "solver-rate",
        "stepvalue does not ascend",
    ),
    (GOOD + "test_interval: 4", "solver-unused", "test_interval does nothing: there is no test net"),
    (GOOD + "momentum2: 0.9", "solver-unused", "momentum2 does nothing with SGD"),
    (GOOD + 'type: "Nesterov" rms_decay: 0.9', "solver-unused", "rms_decay does nothing with Nesterov"),
    (GOOD + "delta: 0.1", "solver-unused", "delta does nothing with SGD"),
    (
        GOOD + 'regularization_type: "L1"',
        "solver-unused",
        "regularization_type does nothing without a weight_decay",
    ),
    (GOOD + "test_initialization: false", "solver-unused", "test_initialization does nothing: there is no test net"),
    (GOOD + "solver_mode: GPU", "solver-elsewhere", "solver_mode is not followed"),
    (GOOD + "debug_info: true", "solver-elsewhere", "debug_info is not followed"),
]


@pytest.mark.parametrize(("text", "code", "what"), WARNINGS, ids=[w[2] for w in WARNINGS])
def test_what_does_nothing_is_reported(text: str, code: str, what: str) -> None:
    assert [(d.code, d.what) for d in read(text).notes] == [(code, what)]


def test_every_field_of_a_solver_is_known() -> None:
    """A field of the schema that nobody reads would be dropped in silence."""
    import inspect

    from netcompile.prototxt.schema import message_type
    from netcompile.train import solver as module

    text = inspect.getsource(module)
    unread = [
        name
        for name, field in message_type("SolverParameter").fields.items()
        if getattr(field, "fork", None) is None and f'"{name}"' not in text
    ]
    assert unread == []
