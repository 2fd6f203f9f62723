"""What a solver does to a net: who learns, what counts as loss, which weights come from where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from netcompile.caffemodel.recipe import Take
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source
from netcompile.train.blobs import learned_blobs
from netcompile.train.loop import Training
from netcompile.train.prepare import Wishes, prepare
from netcompile.train.snapshot import write_tensors
from netcompile.train.solver import read_solver

Begin = Callable[..., Training]


def edit(folder: Path, old: str, new: str) -> None:
    net = folder / "net.prototxt"
    text = net.read_text()
    assert old in text
    net.write_text(text.replace(old, new))


def test_blobs_and_their_multipliers(begin: Begin) -> None:
    infos = {(i.take.layer, i.take.index): (i.lr_mult, i.decay_mult) for i in begin().infos}
    assert infos == {
        ("c1", 0): (1, 1), ("bn", 0): (0, 1), ("bn", 1): (0, 1), ("bn", 2): (0, 1), ("sc", 0): (1, 1),
        ("sc", 1): (1, 1), ("score", 0): (1, 1), ("score", 1): (2, 0), ("ip", 0): (1, 1), ("ip", 1): (1, 1),
    }  # fmt: skip


def test_a_sharing_layer_sets_what_its_owner_leaves_open(begin: Begin, folder: Path) -> None:
    edit(folder, 'param { name: "w" lr_mult: 1 decay_mult: 1 }', 'param { name: "w" }')
    edit(folder, 'top: "c2" param { name: "w" }', 'top: "c2" param { name: "w" lr_mult: 3 }')
    [info] = [i for i in learned_blobs(begin().net.module) if i.take.layer == "c1"]
    assert (info.lr_mult, info.decay_mult) == (3, 1)


def test_shared_blobs_have_one_storage_and_are_written_twice(begin: Begin, folder: Path) -> None:
    from netcompile.train.snapshot import caffe_blobs

    training = begin()
    training.run()
    assert Take("c2", 0) not in training.blobs
    written = caffe_blobs(training.layers, training.blobs)
    assert torch.equal(written["c1.0"], written["c2.0"])


def test_batchnorm_sums_are_caffes(begin: Begin) -> None:
    """The factor counts the passes, each weighing 0.999 of the one after it; tests leave the sums alone."""
    training = begin("test_iter: 2 test_interval: 1")
    training.run()
    passes = training.solver.max_iter * training.solver.iter_size
    factor = training.blobs[Take("bn", 2)]
    assert factor.item() == pytest.approx(sum(0.999**k for k in range(passes)), rel=1e-5)


def test_the_last_line_of_display_leaves_batchnorm_as_it_was(begin: Begin) -> None:
    """Caffe writes its weights before the pass that only displays the loss; here they are written after it."""
    quiet = begin()
    quiet.run()
    talking = begin("display: 3 average_loss: 2")
    talking.run()
    assert all(torch.equal(tensor, talking.blobs[take]) for take, tensor in quiet.blobs.items())


def test_a_loss_that_is_no_number_is_told_once(begin: Begin, folder: Path) -> None:
    solver = folder / "solver.prototxt"
    solver.write_text(solver.read_text().replace("0.02", "1e30").replace("clip_gradients: 2", ""))
    found: list[Diagnostic] = []
    training = begin()
    training.note = found.extend
    training.run()
    assert [(d.code, d.what, d.severity) for d in found] == [
        ("loss-not-finite", "the loss of iteration 1 is nan", "warning")
    ]


def test_the_nets_own_state_counts_where_the_solver_says_none(begin: Begin, folder: Path) -> None:
    """As in Solver::InitTrainNet: solver defaults, then the net's state, then the solver's."""
    net = folder / "net.prototxt"
    text = net.read_text().replace("include { phase: TEST }", 'include { min_level: 2 stage: "s" }')
    outputs = ("acc", "away", "loss")
    for state, more, taken in (
        ('state { level: 2 stage: "s" }', "", outputs),
        ('state { level: 2 stage: "s" }', "train_state { level: 1 }", outputs[1:]),
        ("state { level: 2 }", 'train_state { stage: "s" }', outputs),
        ("", "", outputs[1:]),
    ):
        net.write_text(f"{state}\n{text}")
        assert begin(more).net.outputs == taken
    net.write_text("state { phase: TEST }" + text)
    with pytest.raises(NetError, match="the net asks for phase TEST, and the solver builds it for TRAIN"):
        begin()


def test_layers_that_only_the_test_net_has(begin: Begin, folder: Path) -> None:
    """They take their weights from the files; one that these lack is told."""
    text = (folder / "net.prototxt").read_text()
    layer = text[text.index('layer { name: "ip"') : text.index('layer { name: "ip0"')]
    more = layer.replace('"ip"', '"own"').replace('bottom: "score"', 'bottom: "score" include { phase: TEST }')
    (folder / "net.prototxt").write_text(text + more + more.replace('"own"', '"new"'))
    arrays = {
        "own__0": np.full((4, 3 * 72), 0.5),
        "own__1": np.ones(4),
        "ip__0": np.ones((4, 216)),
        "ip__1": np.ones(4),
    }
    found: list[Diagnostic] = []
    weights = (save(folder / "w.safetensors", **arrays),)
    source = Source((folder / "solver.prototxt").read_text() + "test_iter: 1 test_interval: 1",
                    str(folder / "solver.prototxt"))  # fmt: skip
    wishes = Wishes(data=str(folder / "batches.npz"), weights=weights)
    [test] = prepare(read_solver(source), wishes, lambda text: None, found.extend).tests
    assert set(test.blobs[Take("own", 0)].flatten().tolist()) == {0.5}
    assert "layer 'new' of the test net is not in the trained net" in [d.what for d in found if d.code == "test-net"]
    assert len([d for d in found if d.code == "test-net"]) == 1


def test_loss_weights(begin: Begin) -> None:
    training = begin()
    assert [(loss.blob, round(loss.weight, 6)) for loss in training.net.losses] == [("loss", 1), ("away", 0.1)]


def test_a_net_without_a_loss(begin: Begin, folder: Path) -> None:
    edit(folder, 'top: "loss"\n', 'top: "loss" loss_weight: 0\n')
    edit(folder, "loss_weight: 0.1", "loss_weight: 0")
    with pytest.raises(NetError, match="has no loss to train on"):
        begin()


def test_propagate_down_false_stops_the_gradient(begin: Begin, folder: Path) -> None:
    edit(folder, 'bottom: "score" top: "ip"', 'bottom: "score" top: "ip" propagate_down: false')
    edit(folder, 'top: "loss"\n', 'top: "loss" loss_weight: 0\n')
    training = begin()
    before = {take: tensor.detach().clone() for take, tensor in training.blobs.items()}
    training._train_step()
    assert training.blobs[Take("score", 0)].grad is None
    assert not torch.equal(training.blobs[Take("ip", 0)], before[Take("ip", 0)])


def test_lr_mult_zero_is_not_learned(begin: Begin, folder: Path) -> None:
    edit(folder, "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }", "param { lr_mult: 0 } param { lr_mult: 2 }")
    training = begin()
    before = training.blobs[Take("score", 0)].clone()
    training.run()
    assert torch.equal(training.blobs[Take("score", 0)], before)
    assert training.blobs[Take("score", 1)].abs().sum() > 0


def test_lines_are_caffes(begin: Begin) -> None:
    said: list[str] = []
    begin("display: 4 test_iter: 1 test_interval: 3", said).run()
    shapes = [line.split(" = ")[0].split(" (")[0] for line in said]
    train = ["    Train net output #0: away", "    Train net output #1: loss"]  # Caffe keeps them in a sorted set
    test = ["    Test net output #0: acc", "    Test net output #1: away", "    Test net output #2: loss"]
    assert shapes == [
        "Solving small", "Learning Rate Policy: step",
        "Iteration 0, Testing net", *test, "Iteration 0", *train, "Iteration 0, lr",
        "Iteration 3, Testing net", *test, "Iteration 4", *train, "Iteration 4, lr",
        "Iteration 6, Testing net", *test, "Optimization Done.",
    ]  # fmt: skip


def save(path: Path, **arrays: np.ndarray) -> str:
    write_tensors(str(path), {k.replace("__", "."): torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()})
    return str(path)


def test_fully_connected_weights_become_a_convolutions(begin: Begin, folder: Path) -> None:
    """A 3×2 matrix is the score layer's 3×2×1×1 blob; a 1×1×1×3 bias of the old form is its bias."""
    matrix = np.arange(6).reshape(3, 2)
    path = save(folder / "w.safetensors", score__0=matrix, score__1=np.arange(3).reshape(1, 1, 1, 3))
    found: list[str] = []
    from netcompile.train.weights import copy_weights

    training = begin()
    for tensor in training.blobs.values():
        tensor.requires_grad_(False)
    copied = copy_weights(path, training.layers, training.blobs)
    found += copied.coerced
    assert found == ["score.0: 3×2 taken over as 3×2×1×1"]
    assert training.blobs[Take("score", 0)].flatten().tolist() == list(range(6))
    assert training.blobs[Take("score", 1)].tolist() == [0, 1, 2]
    assert set(copied.drawn) == {"c1", "c2", "bn", "sc", "ip"}


@pytest.mark.parametrize(
    ("arrays", "code", "what"),
    [
        ({"score__0": np.zeros((4, 2)), "score__1": np.zeros(3)}, "weights-shape", "is 3×2×1×1 in the net, 4×2"),
        ({"score__0": np.zeros((2, 3)), "score__1": np.zeros(3)}, "weights-shape", "is 3×2×1×1 in the net, 2×3"),
        ({"score__0": np.zeros((3, 2))}, "weights-count", "layer 'score' has 2 blobs in the net, 1"),
        ({"other__0": np.zeros(3)}, "weights-unrelated", "no layer of"),
        ({"conv__weight": np.zeros(3)}, "weights-file", "'conv.weight' is no blob of a layer"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    arrays: dict[str, np.ndarray], code: str, what: str, begin: Begin, folder: Path
) -> None:
    path = save(folder / "w.safetensors", **arrays)
    with pytest.raises(NetError) as caught:
        begin(weights=(path,))
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.code == code
    assert what in diagnostic.what


def test_weights_of_the_solver_are_found_beside_it(begin: Begin, folder: Path) -> None:
    save(folder / "w.safetensors", score__0=np.full((3, 2, 1, 1), 0.5), score__1=np.full(3, 0.25))
    training = begin('weights: "w.safetensors"')
    assert training.blobs[Take("score", 1)].tolist() == [0.25] * 3


def test_bfloat16_is_near_float32(begin: Begin) -> None:
    exact, rough = begin(), begin(dtype="bfloat16")
    exact._train_step()
    rough._train_step()
    assert rough.losses != exact.losses
    assert rough.losses[0] == pytest.approx(exact.losses[0], rel=0.05)
    assert all(tensor.dtype == torch.float32 for tensor in rough.blobs.values())


def test_a_net_that_is_not_there(begin: Begin, folder: Path) -> None:
    (folder / "net.prototxt").unlink()
    with pytest.raises(NetError, match=r"there is no net 'net\.prototxt'"):
        begin()


def test_an_unknown_filler(begin: Begin, folder: Path) -> None:
    edit(folder, '"msra"', '"mrsa"')
    with pytest.raises(NetError) as caught:
        begin()
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.what.startswith("unknown filler")
    assert "'mrsa'" in diagnostic.what
    assert "msra" in diagnostic.remedy


def test_interp_gives_bilinear_kernels(begin: Begin, folder: Path) -> None:
    edit(
        folder, 'layer { name: "loss"',
        'layer { name: "up" type: "Deconvolution" bottom: "score" top: "up" param { lr_mult: 0 }\n'
        "  convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 bias_term: false } }\n"
        'layer { name: "loss"',
    )  # fmt: skip
    kernel = begin(interp=True).blobs[Take("up", 0)]
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    wanted = torch.zeros(3, 3, 4, 4)
    for channel in range(3):
        wanted[channel, channel] = ramp[:, None] * ramp
    assert torch.equal(kernel, wanted)
    assert begin().blobs[Take("up", 0)].abs().sum() == 0


RECURRENT = """
layer { name: "in" type: "Input" top: "x" top: "cont"
  input_param { shape { dim: 3 dim: 1 dim: 2 } shape { dim: 3 dim: 1 } } }
layer { name: "r" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }
  recurrent_param { num_output: 2 weight_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "p" type: "InnerProduct" bottom: "h" top: "y" inner_product_param { num_output: 1 axis: 2
  weight_filler { type: "constant" value: 1 } } }
layer { name: "l" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 }
"""


def test_frozen_recurrent_layers_count_where_gradients_are_clipped() -> None:
    """Caffe's unrolled net computes them whatever lr_mult says: with a clipped norm of 1 the others move by less."""

    class Ones:
        def batch(self, index: int) -> dict[str, np.ndarray]:
            return {"x": np.ones((3, 1, 2), np.float32), "cont": np.float32([[0], [1], [1]])}

    def moved(layer: str) -> tuple[Training, float]:
        text = f'base_lr: 1 lr_policy: "fixed" max_iter: 1 random_seed: 1 clip_gradients: 1 net_param {{ {layer} }}'
        training = prepare(read_solver(Source(text)), Wishes(batches=Ones()), lambda t: None, lambda found: None)
        before = {take: blob.detach().clone() for take, blob in training.blobs.items()}
        training.run()
        change = {take: float((blob.detach() - before[take]).square().sum()) for take, blob in training.blobs.items()}
        assert all(change[take] == 0 for take in change if take.layer == "r")
        return training, sum(change.values())

    training, change = moved(RECURRENT)
    norms = {info.take: float(training.blobs[info.take].grad.square().sum()) for info in training.learned}  # type: ignore[union-attr]
    assert sum(norms.values()) == pytest.approx(1)
    assert change == pytest.approx(sum(norm for take, norm in norms.items() if take.layer == "p"))
    assert change < 1 - 1e-4


def test_a_blob_that_hdf5_leaves_out_is_told(begin: Begin, folder: Path) -> None:
    """A shared one may be absent; one that is the layer's own may not, and is not taken for the next."""
    with h5py.File(folder / "w.h5", "w") as file:
        file["data/score/1"] = np.zeros(3, np.float32)
    with pytest.raises(NetError) as caught:
        begin(weights=(str(folder / "w.h5"),))
    [diagnostic] = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.what) == (
        "weights-missing", f"layer 'score' has no blob 0 in {folder}/w.h5"
    )  # fmt: skip
