from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netcompile.layers.base import Refused
from netcompile.layers.measure import same_batch
from tests.layers.harness import (
    check_text,
    compile_text,
    inputs_text,
    module_of,
    refusals,
    run_text,
)
from tests.oracles import loss as oracle
from tests.oracles.loss import ORACLES

Shapes = dict[str, tuple[int, ...]]


def net(type_name: str, shapes: Shapes, params: str = "", tops: tuple[str, ...] = ("loss",)) -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in shapes)
    made = " ".join(f'top: "{name}"' for name in tops)
    return inputs_text(**shapes) + f'layer {{ name: "x" type: "{type_name}" {bottoms} {made} {params} }}\n'


def draw(shapes: Shapes, classes: int, scale: float = 2.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores for all blobs but labels, which are drawn from the classes."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, classes, shape).astype(float)
        if name in ("label", "similar")
        else rng.normal(size=shape) * scale
        for name, shape in shapes.items()
    }


PLANE: Shapes = {"data": (2, 5, 4, 3), "label": (2, 1, 4, 3)}
ROW: Shapes = {"data": (6, 5), "label": (6,)}
PAIRS: Shapes = {"a": (6, 5), "b": (6, 5), "similar": (6,)}
MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]

CASES: list[tuple[str, Shapes, int, str]] = [
    *[("SoftmaxWithLoss", PLANE, 5, f"loss_param {{ normalization: {mode} }}") for mode in MODES],
    *[("SoftmaxWithLoss", PLANE, 5, f"loss_param {{ ignore_label: 2 normalization: {m} }}") for m in MODES],
    ("SoftmaxWithLoss", PLANE, 5, "loss_param { normalize: false }"),
    ("SoftmaxWithLoss", PLANE, 5, "loss_param { normalize: true ignore_label: 0 }"),
    ("SoftmaxWithLoss", PLANE, 5, "loss_param { normalize: false normalization: NONE }"),
    ("SoftmaxWithLoss", {"data": (2, 3, 5, 4), "label": (2, 3, 4)}, 5, "softmax_param { axis: 2 }"),
    ("SoftmaxWithLoss", {"data": (2, 3, 4, 5), "label": (2, 12)}, 5, "softmax_param { axis: -1 }"),
    ("SoftmaxWithLoss", {"data": (2, 5, 4, 3), "label": (2, 12, 1)}, 5, "loss_param { ignore_label: 9 }"),
    ("SoftmaxWithLoss", {"data": (4, 4), "label": (4,)}, 4, "softmax_param { axis: 0 }"),
    ("SoftmaxWithLoss", {"data": (1,), "label": (1,)}, 1, "softmax_param { axis: 0 }"),
    ("SoftmaxWithLoss", {"data": (2, 5, 2, 3, 2), "label": (2, 2, 3, 2)}, 5, "loss_weight: 3"),
    ("MultinomialLogisticLoss", {"p": (6, 5), "label": (6, 1, 1, 1)}, 5, ""),
    ("MultinomialLogisticLoss", {"p": (6, 5, 2, 1), "label": (6,)}, 10, ""),
    *[("HingeLoss", ROW, 5, f"hinge_loss_param {{ norm: {norm} }}") for norm in ("L1", "L2")],
    ("HingeLoss", {"data": (3, 2, 2, 2), "label": (3, 2)}, 8, ""),
    ("HingeLoss", {"data": (4,), "label": (4,)}, 1, ""),
    ("SigmoidCrossEntropyLoss", {"data": (3, 2, 4), "label": (3, 8)}, 2, ""),
    ("SigmoidCrossEntropyLoss", {"data": (3, 4), "label": (3, 4)}, 3, "loss_param { normalize: true }"),
    ("SigmoidCrossEntropyLoss", {"data": (3, 4), "label": (3, 4)}, 3, "loss_param { normalize: false }"),
    *[
        (
            "SigmoidCrossEntropyLoss",
            {"data": (3, 4), "t": (3, 4)},
            0,
            f"loss_param {{ normalization: {mode} }}",
        )
        for mode in MODES
    ],
    *[
        (
            "SigmoidCrossEntropyLoss",
            {"data": (3, 4, 2), "label": (3, 4, 2)},
            3,
            f"loss_param {{ ignore_label: 1 normalization: {mode} }}",
        )
        for mode in MODES
    ],
    ("EuclideanLoss", {"a": (2, 3, 4, 5), "b": (2, 3, 4, 5)}, 0, ""),
    ("EuclideanLoss", {"a": (2, 3, 4), "b": (2, 12)}, 0, ""),
    ("EuclideanLoss", {"a": (3,), "b": (3,)}, 0, ""),
    *[
        (
            "ContrastiveLoss",
            PAIRS,
            2,
            f"contrastive_loss_param {{ margin: {margin} legacy_version: {legacy} }}",
        )
        for margin in (0.5, 4, 16)
        for legacy in ("true", "false")
    ],
    ("ContrastiveLoss", {"a": (4, 3, 1, 1), "b": (4, 3), "similar": (4, 1)}, 2, ""),
    ("ContrastiveLoss", {"a": (4,), "b": (4, 1), "similar": (5,)}, 2, ""),
]
INFOGAIN: list[tuple[Shapes, str]] = [
    ({"p": (6, 5), "label": (6,), "H": (1, 1, 5, 5)}, ""),
    ({"p": (2, 3, 5), "label": (2, 3), "H": (25,)}, "infogain_loss_param { axis: -1 }"),
    *[
        (
            {"p": (2, 5, 2, 3), "label": (2, 1, 2, 3), "H": (5, 5)},
            f"loss_param {{ ignore_label: 3 normalization: {mode} }}",
        )
        for mode in MODES
    ],
]
CASES += [("InfogainLoss", shapes, 5, params) for shapes, params in INFOGAIN]


def values(type_name: str, shapes: Shapes, classes: int) -> dict[str, np.ndarray]:
    inputs = draw(shapes, classes)
    if type_name == "MultinomialLogisticLoss":
        inputs["p"] = np.abs(inputs["p"])
    return inputs


@pytest.mark.parametrize(("type_name", "shapes", "classes", "params"), CASES)
def test_equals_the_oracle(type_name: str, shapes: Shapes, classes: int, params: str) -> None:
    check_text(net(type_name, shapes, params), values(type_name, shapes, classes), ORACLES)


GRADIENTS: dict[str, Any] = {
    "SoftmaxWithLoss": oracle.class_loss,
    "InfogainLoss": oracle.class_loss,
    "MultinomialLogisticLoss": oracle.multinomial,
    "HingeLoss": oracle.hinge,
    "SigmoidCrossEntropyLoss": oracle.sigmoid_loss,
    "EuclideanLoss": oracle.euclidean,
    "ContrastiveLoss": oracle.contrastive,
}


def gradients(text: str, inputs: dict[str, np.ndarray]) -> tuple[Any, list[np.ndarray | None]]:
    """The layer's message, and autograd's gradient of its first top for each input."""
    made, module = compile_text(text, outputs=["loss"])
    feed = [torch.from_numpy(inputs[v.blob]).requires_grad_() for v in module.inputs]
    module_of(made, module)(*feed).backward()
    return made.graph.nodes[0].message, [None if t.grad is None else t.grad.numpy() for t in feed]


@pytest.mark.parametrize(("type_name", "shapes", "classes", "params"), CASES)
def test_gradient_is_caffes(type_name: str, shapes: Shapes, classes: int, params: str) -> None:
    inputs = values(type_name, shapes, classes)
    message, found = gradients(net(type_name, shapes, params), inputs)
    wanted = GRADIENTS[type_name](message, list(inputs.values()))[1]
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-12)
    if type_name in ("EuclideanLoss", "ContrastiveLoss"):
        assert found[1] is not None
        np.testing.assert_allclose(found[1], -wanted.reshape(found[1].shape), rtol=0, atol=1e-12)
        found = found[1:]
    assert all(g is None or not g.any() for g in found[1:])  # labels get none


@pytest.mark.parametrize("type_name", ["SoftmaxWithLoss", "InfogainLoss", "MultinomialLogisticLoss"])
def test_a_floor_holds_the_value_and_not_the_gradient(type_name: str) -> None:
    shapes: Shapes = {"data": (2, 3), "label": (2,)}
    inputs = {"data": np.array([[0.0, 500.0, 1.0], [1e4, -1e4, -1e9]]), "label": np.array([0.0, 2.0])}
    if type_name == "InfogainLoss":
        shapes["H"], inputs["H"] = (3, 3), np.diag([1.0, 2.0, 0.5])
    if type_name == "MultinomialLogisticLoss":
        inputs["data"] = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1e-25]])
    text = net(type_name, shapes)
    check_text(text, inputs, ORACLES)
    message, found = gradients(text, inputs)
    np.testing.assert_allclose(found[0], GRADIENTS[type_name](message, list(inputs.values()))[1], rtol=1e-12)


def test_infinite_scores_are_floored_too() -> None:
    inputs = {"data": np.array([[1.0, -np.inf], [-8e307, 8e307]]), "label": np.array([1.0, 0.0])}
    check_text(net("SoftmaxWithLoss", {"data": (2, 2), "label": (2,)}), inputs, ORACLES)


def test_a_scalar_has_no_items() -> None:
    with pytest.raises(Refused) as found:
        same_batch((6, 5), ())
    assert (found.value.what, found.value.at) == ("a loss cannot read a scalar", "bottom[1]")


@pytest.mark.parametrize("legacy", ["true", "false"])
def test_contrastive_of_equal_vectors_and_at_the_margin(legacy: str) -> None:
    inputs = {
        "a": np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [0.5, 0.0]]),
        "b": np.array([[1.0, 0.0], [1.0, 0.0], [3.0, 0.0], [0.0, 0.0]]),
        "similar": np.array([0.0, 0.9, -1.5, 0.0]),  # truncated: 0, 0, -1, 0
    }
    text = net(
        "ContrastiveLoss",
        {k: v.shape for k, v in inputs.items()},
        f"contrastive_loss_param {{ legacy_version: {legacy} }}",
    )
    check_text(text, inputs, ORACLES)
    message, found = gradients(text, inputs)
    wanted = oracle.contrastive(message, list(inputs.values()))[1]
    assert found[0] is not None
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_at_the_margin_has_no_gradient(norm: str) -> None:
    inputs = {"data": np.array([[1.0, -1.0, 0.0]]), "label": np.array([0.0])}
    text = net("HingeLoss", {"data": (1, 3), "label": (1,)}, f"hinge_loss_param {{ norm: {norm} }}")
    _, found = gradients(text, inputs)
    assert found[0] is not None
    assert found[0].tolist() == [[0.0, 0.0, 1.0 if norm == "L1" else 2.0]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("type_name", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "InfogainLoss"])
def test_nothing_but_ignored_labels(type_name: str, mode: str) -> None:
    shapes: Shapes = {"data": (2, 3), "label": (2, 3) if type_name[:2] == "Si" else (2,)}
    if type_name == "InfogainLoss":
        shapes["H"] = (3, 3)
    inputs = draw(shapes, 3)
    inputs["label"][:] = -1
    text = net(type_name, shapes, f"loss_param {{ ignore_label: -1 normalization: {mode} }}")
    assert run_text(text, inputs)["loss"] == 0
    _, found = gradients(text, inputs)
    assert found[0] is not None
    assert not found[0].any()


def test_second_top_is_the_probability_without_gradient() -> None:
    shapes = dict(PLANE, H=(5, 5))
    text = net("InfogainLoss", shapes, "loss_weight: 1 loss_weight: 0", ("loss", "prob"))
    inputs = draw(shapes, 5)
    check_text(text, inputs, ORACLES)
    made, module = compile_text(text, outputs=["prob"])
    feed = [torch.from_numpy(inputs[v.blob]).requires_grad_() for v in module.inputs]
    assert not module_of(made, module)(*feed).requires_grad


def test_automatic_top() -> None:
    """A loss that names no top still has one, and it is no output of the net."""
    made, _ = compile_text(net("SoftmaxWithLoss", PLANE, tops=()))
    (top,) = made.graph.nodes[0].tops
    assert made.shapes[top] == ()
    assert top.blob not in made.graph.blobs


ACCURACY: list[tuple[Shapes, str]] = [
    ({"data": (8, 5), "label": (8,)}, ""),
    ({"data": (8, 5), "label": (8, 1, 1, 1)}, "accuracy_param { top_k: 3 }"),
    ({"data": (8, 5), "label": (8,)}, "accuracy_param { top_k: 5 }"),
    ({"data": (8, 5), "label": (8,)}, "accuracy_param { top_k: 0 }"),
    (PLANE, "accuracy_param { ignore_label: 2 top_k: 2 }"),
    ({"data": (2, 3, 5, 4), "label": (2, 3, 4)}, "accuracy_param { axis: 2 }"),
    ({"data": (2, 3, 4, 5), "label": (4, 6)}, "accuracy_param { axis: -1 ignore_label: 0 }"),
    ({"data": (5,), "label": (1,)}, "accuracy_param { axis: 0 }"),
]


@pytest.mark.parametrize("tops", [("acc",), ("acc", "each")])
@pytest.mark.parametrize(("shapes", "params"), ACCURACY)
def test_accuracy(shapes: Shapes, params: str, tops: tuple[str, ...]) -> None:
    inputs = draw(shapes, 5)
    inputs["data"] = np.round(inputs["data"])  # ties
    check_text(net("Accuracy", shapes, params, tops), inputs, ORACLES)


def test_accuracy_counts_a_tie_against_the_label() -> None:
    inputs = {"data": np.array([[1.0, 1.0], [0.0, 2.0]]), "label": np.array([0.0, 1.0])}
    found = run_text(net("Accuracy", {"data": (2, 2), "label": (2,)}, tops=("acc", "each")), inputs)
    assert found["acc"] == 0.5
    assert found["each"].tolist() == [0.0, 1.0]


def test_accuracy_without_labels_that_count_is_0() -> None:
    inputs = {"data": np.eye(2), "label": np.array([7.0, 7.0])}
    text = net("Accuracy", {"data": (2, 2), "label": (2,)}, "accuracy_param { ignore_label: 7 }", ("acc", "each"))
    found = run_text(text, inputs)
    assert found["acc"] == 0
    assert found["each"].tolist() == [0.0, 0.0]


LABELS = "layer 'x': label count does not match"
SHAPES = "layer 'x': shapes differ"
REFUSED: list[tuple[str, Shapes, str, tuple[str, ...], str, str]] = [
    ("SoftmaxWithLoss", {"data": (2, 5, 4, 3), "label": (2, 1, 4, 4)}, "", ("loss",), LABELS, '"label"'),
    ("SoftmaxWithLoss", {"data": (4, 5, 3), "label": (3, 4)}, "", ("loss",), LABELS, '"label"'),
    (
        "SoftmaxWithLoss",
        ROW,
        "softmax_param { axis: 2 }",
        ("loss",),
        "layer 'x': axis 2 of 2",
        "2",
    ),
    ("SigmoidCrossEntropyLoss", {"data": (2, 5), "label": (2, 4)}, "", ("loss",), SHAPES, '"label"'),
    (
        "SigmoidCrossEntropyLoss",
        {"data": (2, 5), "label": (2, 5)},
        "",
        ("loss", "p"),
        "SigmoidCrossEntropyLoss takes 1 top, not 2",
        '"p"',
    ),
    ("EuclideanLoss", {"a": (2, 3), "b": (2, 4)}, "", ("loss",), SHAPES, '"b"'),
    ("EuclideanLoss", {"a": (2, 6), "b": (3, 4)}, "", ("loss",), SHAPES, '"b"'),
    (
        "EuclideanLoss",
        {"a": (2, 3, 1, 1, 1), "b": (2, 3)},
        "",
        ("loss",),
        "layer 'x': EuclideanLoss wants up to 4 axes, not 5",
        '"a"',
    ),
    ("HingeLoss", {"data": (6, 5), "label": (5,)}, "", ("loss",), LABELS, '"label"'),
    ("MultinomialLogisticLoss", {"p": (6, 5), "label": (6, 2)}, "", ("loss",), LABELS, '"label"'),
    ("ContrastiveLoss", {"a": (6, 5), "b": (6, 4), "similar": (6,)}, "", ("loss",), SHAPES, '"b"'),
    (
        "ContrastiveLoss",
        {"a": (6, 5, 1, 2), "b": (6, 5), "similar": (6,)},
        "",
        ("loss",),
        "layer 'x': a vector for each item is wanted, not 6×5×1×2",
        '"a"',
    ),
    ("ContrastiveLoss", {"a": (6, 5), "b": (6, 5), "similar": (6, 2)}, "", ("loss",), LABELS, '"similar"'),
    ("ContrastiveLoss", {"a": (6, 5), "b": (6, 5), "similar": (5,)}, "", ("loss",), LABELS, '"similar"'),
    (
        "ContrastiveLoss",
        {"a": (6, 5), "b": (6, 5)},
        "",
        ("loss",),
        "ContrastiveLoss takes 3 bottoms, not 2",
        '"ContrastiveLoss"',
    ),
    (
        "InfogainLoss",
        {"p": (6, 5), "label": (6,), "H": (5, 4)},
        "",
        ("loss",),
        "layer 'x': the infogain matrix has the wrong size",
        '"H"',
    ),
    ("InfogainLoss", {"p": (6, 5), "label": (6,)}, "", ("loss",), "no infogain matrix", '"InfogainLoss"'),
    (
        "InfogainLoss",
        {"p": (6, 5), "label": (6,), "H": (5, 5)},
        "loss_param { normalize: true }",
        ("loss",),
        "normalize is not for InfogainLoss",
        "true",
    ),
    ("Accuracy", {"data": (6, 5), "label": (5,)}, "", ("acc",), LABELS, '"label"'),
    ("Accuracy", ROW, "accuracy_param { top_k: 6 }", ("acc",), "layer 'x': top_k 6 of 5 classes", "6"),
    ("Accuracy", ROW, "", ("a", "b", "c"), "Accuracy takes 1 to 2 tops, not 3", '"c"'),
]


@pytest.mark.parametrize(("type_name", "shapes", "params", "tops", "what", "at"), REFUSED)
def test_refused(type_name: str, shapes: Shapes, params: str, tops: tuple[str, ...], what: str, at: str) -> None:
    text = net(type_name, shapes, params, tops)
    (found,) = refusals(text)
    assert found.what == what
    assert found.span is not None
    assert found.span.line == len(shapes) + 1
    assert found.span.source.text[found.span.start : found.span.end] == at


def test_mistakes_of_labels_are_told_with_their_numbers() -> None:
    (found,) = refusals(net("SoftmaxWithLoss", {"data": (2, 5, 4, 3), "label": (2, 1, 4, 4)}))
    assert found.why == "2×5×4×3 with its classes on axis 1 wants 2×4×3 labels, not 2×1×4×4"


def binaryproto(matrix: np.ndarray) -> bytes:
    """A BlobProto: packed data, and the shape."""
    data = matrix.astype("<f4").tobytes()
    dims = b"".join(b"\x08" + bytes([d]) for d in matrix.shape)
    size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
    return b"\x2a" + size + data + b"\x3a" + bytes([len(dims)]) + dims


@pytest.mark.parametrize("kind", ["full", "diagonal", "identity"])
def test_infogain_matrix_from_a_file_beside_the_net(tmp_path: Path, kind: str) -> None:
    matrix = np.random.default_rng(1).integers(-8, 8, (3, 3)) / 4
    matrix = {"full": matrix, "diagonal": np.diag([0.5, 2, 1]), "identity": np.eye(3)}[kind]
    (tmp_path / "H.binaryproto").write_bytes(binaryproto(matrix))
    shapes: Shapes = {"data": (4, 3), "label": (4,)}
    inputs = draw(shapes, 3)
    text = net("InfogainLoss", shapes, 'infogain_loss_param { source: "H.binaryproto" }')
    found = run_text(text, inputs, name=str(tmp_path / "net.prototxt"))
    from_bottom = net("InfogainLoss", dict(shapes, H=(3, 3)))
    wanted = run_text(from_bottom, dict(inputs, H=matrix))
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=0, atol=1e-12)


def test_infogain_file_missing_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(binaryproto(np.eye(2)))
    (tmp_path / "junk").write_bytes(b"junk")
    wanted = {
        "none": "layer 'x': cannot read 'none'",
        "small": "layer 'x': the infogain matrix in 'small' has the wrong size",
        "junk": "layer 'x': ",
    }
    for source, what in wanted.items():
        text = net("InfogainLoss", ROW, f'infogain_loss_param {{ source: "{source}" }}')
        (found,) = refusals(text, name=str(tmp_path / "net.prototxt"))
        assert found.what.startswith(what)
        assert found.span is not None
        assert found.span.source.text[found.span.start : found.span.end] == f'"{source}"'


def test_label_outside_the_classes_is_an_error() -> None:
    inputs = draw(ROW, 5)
    inputs["label"][0] = 5
    with pytest.raises((IndexError, RuntimeError)):
        run_text(net("SoftmaxWithLoss", ROW), inputs)


def test_every_height_and_width() -> None:
    """A score map's labels follow its size: one emitted module for all."""
    made, module = compile_text(net("SoftmaxWithLoss", PLANE, "loss_param { ignore_label: 4 }"), outputs=["loss"])
    loss = module_of(made, module)
    shapes: Shapes = {"data": (3, 5, 7, 2), "label": (3, 1, 7, 2)}
    inputs = draw(shapes, 5)
    found = loss(*(torch.from_numpy(v) for v in inputs.values()))
    wanted = oracle.class_loss(made.graph.nodes[0].message, list(inputs.values()))[0]
    assert abs(float(found) - wanted) < 1e-12


@pytest.mark.parametrize(("type_name", "shapes", "classes", "params"), CASES[4:5] + CASES[20:21] + CASES[-1:])
def test_bfloat16(type_name: str, shapes: Shapes, classes: int, params: str) -> None:
    inputs = values(type_name, shapes, classes)
    text = net(type_name, shapes, params)
    exact, rough = (run_text(text, inputs, dtype=dtype)["loss"] for dtype in ("float64", "bfloat16"))
    assert abs(exact - rough) < 0.05 * abs(exact) + 0.05


def test_oracles_know_every_measure() -> None:
    from netcompile.layers.registry import load

    known = {name for name, cls in load().items() if cls.is_measure and not cls.fork}
    assert set(ORACLES) == known
