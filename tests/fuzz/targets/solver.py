"""Solvers: read, checked, and small ones run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random

import numpy as np

from netcompile.diagnostics.source import Source
from netcompile.train.solver import read_solver
from tests.fuzz import small
from tests.fuzz.mutators import text
from tests.fuzz.prepared import prepared
from tests.fuzz.targets import Row, Target

FILE = "solver.prototxt"
COMMON = 'net: "train.prototxt"\nbase_lr: 0.01\nmax_iter: 2\nrandom_seed: 3\ndisplay: 1\n'
RULES = (
    'lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 iter_size: 1 average_loss: 2',
    'type: "Adam" lr_policy: "step" gamma: 0.1 stepsize: 1 momentum: 0.9 momentum2: 0.999 delta: 1e-8',
    'type: "RMSProp" lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 2 rms_decay: 0.9',
    'type: "AdaGrad" lr_policy: "exp" gamma: 0.9 regularization_type: "L1" weight_decay: 0.1',
    'type: "AdaDelta" lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.95 delta: 1e-6',
    'type: "Nesterov" lr_policy: "poly" power: 1 momentum: 0.9 clip_gradients: 1',
    'lr_policy: "sigmoid" gamma: -0.1 stepsize: 1 snapshot: 1 snapshot_prefix: "out/s" snapshot_format: HDF5',
    'lr_policy: "fixed" test_iter: 1 test_interval: 1 test_initialization: true test_compute_loss: true',
    'solver_type: ADAM lr_policy: "fixed" solver_mode: CPU device_id: 0 debug_info: true snapshot_after_train: false',
    'lr_policy: "fixed" train_state { stage: "a" level: 1 } weights: "w.caffemodel"',
)


def seeds() -> list[bytes]:
    """Each rule and policy; a net within the solver."""
    found = [f"{COMMON}{rule}\n" for rule in RULES]
    inside = f'net_param {{ {small.TRAINING} }}\nbase_lr: 0.1 lr_policy: "fixed" max_iter: 1 random_seed: 1\n'
    return [text.encode() for text in (*found, inside)]


def fixtures() -> None:
    """The net, its data and its weights."""
    Path("train.prototxt").write_text(small.TRAINING)
    Path("w.caffemodel").write_bytes(small.caffemodel({"conv": [np.ones((3, 3, 1, 1)), np.zeros(3)]}))
    batch = {"data": np.ones((2, 2, 3, 6, 5), "f4"), "label": np.ones((2, 2, 1, 6, 5), "f4")}
    Path("x.npz").write_bytes(small.npz(batch))


def around(data: bytes, row: Row) -> AbstractContextManager[object]:
    """A training is prepared only, unless it is short."""
    try:
        solver = read_solver(Source(data.decode("utf-8", "surrogateescape"), FILE))
    except Exception:  # the command is run all the same, and must tell it well
        return prepared()
    work = solver.max_iter * solver.iter_size + sum(solver.test_iter) * (solver.max_iter + 2)
    return nullcontext() if work < 10 and solver.train_net.message is None else prepared()


def mutate(chance: Random, corpus: Sequence[bytes]) -> bytes:
    """As nets are changed, but that fields come from the solver's schema."""
    return text.mutate(chance, corpus, "SolverParameter")


ROWS = (Row(("train", FILE, "--data", "x.npz", "-o", "out"), located=True),)
TARGET = Target("solver", FILE, seeds, mutate, ROWS, fixtures, around, text=True)
