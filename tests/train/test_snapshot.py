"""Snapshots: a training that stops and goes on is the training that never stopped, to the bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.train.loop import Training
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.snapshot import TrainingState, read_snapshot, write_snapshot
from netcompile.train.solver import TYPES, read_solver

Begin = Callable[..., Training]
MORE = ' snapshot: 3 snapshot_prefix: "snap/s" average_loss: 3 test_iter: 2 test_interval: 2'


@pytest.mark.parametrize("kind", TYPES)
def test_resumes_to_the_bit(kind: str, begin: Begin, folder: Path) -> None:
    """Dropout's masks, BatchNorm's sums, histories, the averaged losses and the tests go on where they were."""
    if kind in ("AdaGrad", "RMSProp"):
        solver = folder / "solver.prototxt"
        solver.write_text(solver.read_text().replace("momentum: 0.9", ""))
    more = f'type: "{kind}"{MORE} display: 1'
    said: list[str] = []
    whole = begin(more, said)
    whole.run()
    again: list[str] = []
    resumed = begin(more, again)
    torch.manual_seed(99)
    resumed.resume(str(folder / "out" / "snap" / "s_iter_3.json"))
    assert resumed.iteration == 3
    resumed.run()
    assert resumed.losses == whole.losses
    for take, tensor in whole.blobs.items():
        assert torch.equal(tensor, resumed.blobs[take]), take
    for take, history in whole.history.items():
        assert all(torch.equal(a, b) for a, b in zip(history, resumed.history[take], strict=True))

    def numbers(lines: list[str]) -> list[str]:
        return [line for line in lines if "net output" in line or "lr =" in line]

    assert numbers(said)[-len(numbers(again)) :] == numbers(again)


DRAWN = """
base_lr: 0.1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 5 momentum: 0.9 max_iter: 6
snapshot: 3 snapshot_prefix: "s"
net_param {
  layer { name: "d" type: "DummyData" top: "x" dummy_data_param {
    shape { dim: 2 dim: 3 } data_filler { type: "gaussian" } } }
  layer { name: "p" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
    num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "o" type: "Dropout" bottom: "y" top: "y" }
  layer { name: "l" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 reduction_param { operation: SUMSQ } }
}
"""


def test_a_snapshot_keeps_the_seed_of_its_data(tmp_path: Path) -> None:
    """Without a random_seed every training has another one, and a resumed one that of its snapshot."""

    def begin(**wishes: object) -> Training:
        settings = Wishes(out=str(tmp_path), **wishes)  # type: ignore[arg-type]
        return prepare(read_solver(Source(DRAWN)), settings, lambda text: None, lambda found: None)

    whole, other = begin(), begin()
    whole.run()
    path = str(tmp_path / "s_iter_3.json")
    resumed = begin(resume=path)
    resumed.resume(path)
    assert resumed.seed == whole.seed != other.seed
    resumed.run()
    assert resumed.losses == whole.losses
    assert all(torch.equal(tensor, resumed.blobs[take]) for take, tensor in whole.blobs.items())


def test_a_folder_that_cannot_be_written_is_told_before_training(begin: Begin, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "snap").write_text("a file")
    training = begin(MORE)
    with pytest.raises(OSError, match="snap"):
        training.run()
    assert training.losses == []


def test_files_of_a_snapshot(begin: Begin, folder: Path) -> None:
    begin(MORE).run()
    names = sorted(path.name for path in (folder / "out" / "snap").iterdir())
    assert names == [
        f"s_iter_{k}.{ending}" for k in (3, 6) for ending in ("json", "safetensors", "state.safetensors")
    ]  # fmt: skip
    values = json.loads((folder / "out" / "snap" / "s_iter_6.json").read_text())
    assert (values["iteration"], values["type"], values["seed"], values["step"]) == (6, "SGD", 7, 1)
    assert len(values["losses"]) == 6


def spoil(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("hello")
    elif how == "format":
        path.write_text('{"format": 99}')
    elif how == "fields":
        path.write_text('{"format": 1, "recent": [], "losses": [], "tested": []}')
    elif how == "gone":
        (path.parent / "s_iter_3.state.safetensors").unlink()
    else:
        (path.parent / "s_iter_3.safetensors").write_bytes(b"1234567890")


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("text", "not a snapshot"),
        ("format", "not a snapshot"),
        ("fields", "not a snapshot"),
        ("gone", "its file s_iter_3.state.safetensors is missing"),
        ("damaged", "its file s_iter_3.safetensors is damaged"),
    ],
)
def test_spoilt_snapshots(how: str, what: str, begin: Begin, folder: Path) -> None:
    begin(MORE).run()
    path = folder / "out" / "snap" / "s_iter_3.json"
    spoil(path, how)
    with pytest.raises(NetError) as caught:
        begin(MORE).resume(str(path))
    [diagnostic] = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.what) == ("snapshot", f"{path}: {what}")


WRONG = [
    ("weights", 5),
    ("state", None),
    ("state", ["x"]),
    ("iteration", "3"),
    ("iteration", -1),
    ("tested", [-1]),
    ("step", 1.5),
    ("seed", True),
    ("type", {}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_fields_of_a_snapshot_are_of_their_kind(tmp_path: Path, field: str, value: object) -> None:
    path = write_snapshot(str(tmp_path / "s"), TrainingState(3, 3, "SGD", 1), {}, {})
    Path(path).write_text(json.dumps({**json.loads(Path(path).read_text()), field: value}))
    with pytest.raises(NetError, match="not a snapshot"):
        read_snapshot(path)


def test_a_snapshot_of_another_solver(begin: Begin, folder: Path) -> None:
    begin(MORE).run()
    path = folder / "out" / "snap" / "s_iter_3.json"
    with pytest.raises(NetError, match="a snapshot of SGD, the solver is Adam"):
        begin('type: "Adam"' + MORE).resume(str(path))


def test_a_snapshot_of_another_net(begin: Begin, folder: Path) -> None:
    begin(MORE).run()
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace('name: "ip"', 'name: "dense"'))
    path = folder / "out" / "snap" / "s_iter_3.json"
    with pytest.raises(NetError, match="a snapshot of another net"):
        begin(MORE).resume(str(path))


def test_a_snapshot_written_half_is_finished_when_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three files of a snapshot that is written over are of one training, whatever ended the second."""

    def write(seed: int) -> str:
        tensors = {"ip.0": torch.full((2,), float(seed)), "bits": torch.full((), seed, dtype=torch.uint8)}
        return write_snapshot(str(tmp_path / "s"), TrainingState(3, 3, "SGD", seed), tensors, tensors)

    path = write(1)
    moves = iter(range(9))

    def ends(source: str, target: str) -> None:
        if os.path.dirname(target) == str(tmp_path) and next(moves):
            raise KeyboardInterrupt
        replace(source, target)

    replace = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", ends)  # what was moved is not moved back either
        with pytest.raises(KeyboardInterrupt):
            write(2)
    progress, weights, state = read_snapshot(path)
    assert (progress.seed, weights["ip.0"].tolist(), state["bits"].item()) == (2, [2, 2], 2)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("ending", ["json", "safetensors", "state.safetensors"])
def test_a_mixture_of_two_snapshots_is_refused(tmp_path: Path, ending: str) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        tensors = {"ip.0": torch.full((2,), float(seed)), "bits": torch.full((), seed, dtype=torch.uint8)}
        other = {key: tensor + 1 for key, tensor in tensors.items()}
        path = write_snapshot(str(tmp_path / str(seed) / "s"), TrainingState(3, 3, "SGD", seed), tensors, other)
    (tmp_path / "2" / f"s_iter_3.{ending}").write_bytes((tmp_path / "1" / f"s_iter_3.{ending}").read_bytes())
    with pytest.raises(NetError, match="is of another snapshot"):
        read_snapshot(path)
