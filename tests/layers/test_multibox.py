"""SSD's loss against plain loops, its gradients, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.harness import Array, analyse_text, check_text, compile_text, module_of, refusals
from tests.layers.test_forks import net
from tests.oracles.forks_multibox import ORACLES

COUNT, CLASSES = 10, 3


def bottoms(seed: int, labels: int = 1, classes: int = CLASSES) -> dict[str, Array]:
    """Three images: two with boxes, one without; a row of -1 belongs to none."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.05, 0.6, size=(COUNT, 2))
    priors = np.hstack([low, low + rng.uniform(0.2, 0.5, size=(COUNT, 2))])
    truth = np.zeros((1, 1, 6, 8))
    corner = rng.uniform(0, 0.5, size=(6, 2))
    truth[0, 0, :, 3:7] = np.hstack([corner, corner + rng.uniform(0.2, 0.5, size=(6, 2))])
    truth[0, 0, :, 0] = [0, 0, 0, -1, 2, 2]
    truth[0, 0, :, 1] = [1, classes - 1, 1, 1, classes - 1, 1]
    truth[0, 0, :, 7] = [0, 1, 0, 0, 1, 0]
    spread = np.tile([0.1, 0.1, 0.2, 0.2], COUNT)
    return {
        "a": rng.normal(size=(3, COUNT * labels * 4)) * 0.3,
        "b": rng.normal(size=(3, COUNT * classes)),
        "c": np.stack([priors.ravel(), spread])[None],
        "d": truth,
    }


def text(inputs: dict[str, Array], param: str, more: str = "", classes: int = CLASSES) -> str:
    param = f"multibox_loss_param {{ num_classes: {classes} {param} }} {more}"
    return net(tuple(v.shape for v in inputs.values()), "MultiBoxLoss", param)


OPTIONS = [
    ("code_type: CENTER_SIZE", ""),
    ("code_type: CORNER_SIZE overlap_threshold: 0.3 neg_pos_ratio: 2 neg_overlap: 0.2", ""),
    ("code_type: CENTER_SIZE encode_variance_in_target: true loc_weight: 2", ""),
    ("code_type: CENTER_SIZE use_difficult_gt: false match_type: BIPARTITE", ""),
    ("code_type: CENTER_SIZE ignore_cross_boundary_bbox: true", ""),
    ("code_type: CENTER_SIZE use_prior_for_matching: false bp_inside: true", ""),
    ("bp_inside: true loc_loss_type: L2", "loss_param { normalization: FULL }"),
    ("mining_type: HARD_EXAMPLE sample_size: 5", "loss_param { normalize: false }"),
    ("mining_type: HARD_EXAMPLE sample_size: 7 loc_loss_type: L2 ignore_cross_boundary_bbox: true", ""),
    ("mining_type: HARD_EXAMPLE sample_size: 6 nms_param { nms_threshold: 0.4 top_k: 8 }", ""),
    ("nms_param { nms_threshold: 0.3 top_k: -1 } use_prior_for_nms: true", ""),
    ("nms_param { nms_threshold: 0.3 }", ""),
    ("mining_type: NONE", "loss_param { normalization: NONE }"),
    ("mining_type: NONE do_neg_mining: false conf_loss_type: LOGISTIC", ""),
    ("conf_loss_type: LOGISTIC", ""),
    ("mining_type: HARD_EXAMPLE sample_size: 5 conf_loss_type: LOGISTIC", ""),
    ("", "propagate_down: true propagate_down: false propagate_down: false propagate_down: false"),
    ("", "propagate_down: false propagate_down: true propagate_down: false propagate_down: false"),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("param", "more"), OPTIONS[:-2])
def test_the_loss_is_that_of_plain_loops(param: str, more: str, seed: int) -> None:
    inputs = bottoms(seed)
    check_text(text(inputs, param, more), inputs, ORACLES)


@pytest.mark.parametrize("param", ["", "use_prior_for_matching: false", "conf_loss_type: LOGISTIC"])
def test_a_class_may_have_boxes_of_its_own(param: str) -> None:
    inputs = bottoms(2, CLASSES)
    param = f"share_location: false mining_type: NONE code_type: CENTER_SIZE {param}"
    check_text(text(inputs, param), inputs, ORACLES)


def test_objects_of_one_kind() -> None:
    inputs = bottoms(3, classes=2)
    check_text(text(inputs, "map_object_to_agnostic: true", classes=2), inputs, ORACLES)


def loss_of(param: str, more: str, inputs: dict[str, Array]) -> tuple[float, list[Array]]:
    compiled, module = compile_text(text(inputs, param, more), train=True)
    feed = [torch.from_numpy(v).requires_grad_() for v in inputs.values()]
    loss = module_of(compiled, module)(*feed)
    loss.backward()
    return loss.item(), [np.zeros(v.shape) if v.grad is None else v.grad.numpy() for v in feed]


def test_the_parts_that_propagate_down_leaves() -> None:
    """SSD counts a part of the loss only where its gradient is wanted."""
    inputs = bottoms(0)
    both, _ = loss_of("", "", inputs)
    (offsets, first), (classes, second) = (loss_of("", more, inputs) for _, more in OPTIONS[-2:])
    assert offsets + classes == pytest.approx(both)
    assert not first[1].any()
    assert not second[0].any()


@pytest.mark.parametrize("param", ["code_type: CENTER_SIZE", "mining_type: NONE conf_loss_type: LOGISTIC"])
def test_gradients_are_those_of_small_steps(param: str) -> None:
    """Matching and mining take no part; priors and true boxes get nothing."""
    inputs = bottoms(4)
    value, (offsets, scores, priors, truth) = loss_of(param, "", inputs)
    assert not priors.any()
    assert not truth.any()
    for name, gradient in (("a", offsets), ("b", scores)):
        assert gradient.any()
        for place in np.argsort(-np.abs(gradient.ravel()))[:5]:
            moved = {key: array.copy() for key, array in inputs.items()}
            moved[name].flat[place] += 1e-6
            step = (loss_of(param, "", moved)[0] - value) / 1e-6
            assert step == pytest.approx(gradient.flat[place], rel=1e-3)


def test_variances_in_the_target_do_not_scale_the_gradient() -> None:
    """The fork divides offsets by the variances and copies the gradient back undivided."""
    inputs = bottoms(0)
    param = "code_type: CENTER_SIZE overlap_threshold: 0.3 loc_loss_type: L2 "
    _, (plain, *_) = loss_of(param + "encode_variance_in_target: true", "", inputs)
    spread = inputs["c"][0, 1]
    compiled = np.abs(plain[0][plain[0] != 0])
    value, _ = loss_of(param + "encode_variance_in_target: true", "", inputs)
    moved = {key: array.copy() for key, array in inputs.items()}
    place = int(np.argmax(np.abs(plain[0])))
    moved["a"][0, place] += 1e-6
    step = (loss_of(param + "encode_variance_in_target: true", "", moved)[0] - value) / 1e-6
    assert compiled.max() == pytest.approx(abs(step) * spread[place], rel=1e-3)


def test_no_true_boxes_make_a_loss_of_0_that_can_be_trained() -> None:
    inputs = bottoms(0)
    inputs["d"][..., 0] = -1
    value, (offsets, scores, *_) = loss_of("", "", inputs)
    assert value == 0
    assert not offsets.any()
    assert not scores.any()


@pytest.mark.parametrize(
    ("param", "what"),
    [
        ("share_location: false", "mining needs share_location"),
        ("do_neg_mining: false", "do_neg_mining contradicts mining_type MAX_NEGATIVE"),
        ("background_label_id: 3", "no class 3 of 3"),
        ("map_object_to_agnostic: true", "map_object_to_agnostic needs 2 classes, not 3"),
        ("mining_type: HARD_EXAMPLE sample_size: 0", "sample_size must be positive"),
    ],
)
def test_refused(param: str, what: str) -> None:
    assert [diagnostic.what for diagnostic in refusals(text(bottoms(0), param))] == [what]


def test_sizes_are_checked() -> None:
    inputs = bottoms(0)
    inputs["a"] = inputs["a"][:, 1:]
    found = [problem.what for problem in analyse_text(text(inputs, "")).problems]
    assert found == ["layer 'x': 39 numbers for each image, not 40"]
