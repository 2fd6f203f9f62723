"""Layers that make and use regions: proposals, Python layers, ROIAlign, DecodeBBox, YOLO's detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from netcompile.analyser import analyse
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from netcompile.layers import base
from netcompile.layers.base import Emission, Emitted, Layer, Shape, layer
from netcompile.layers.params import Params
from netcompile.layers.registry import class_of
from netcompile.prototxt.load import load_net
from tests.layers.harness import (
    Array,
    analyse_text,
    check_text,
    compile_text,
    module_of,
    oracle_run,
    refusals,
    run_text,
)
from tests.layers.test_forks import REGIONS, draw, net
from tests.oracles.forks_regions import ORACLES
from tests.oracles.forks_structured import ORACLES as STRUCTURED

PYTHON = "python_param {{ module: '{}' layer: '{}' param_str: {} }}"


def python(param_str: str, module: str = "rpn.proposal_layer", name: str = "ProposalLayer") -> str:
    return PYTHON.format(module, name, f'"{param_str}"')


def scores(
    seed: int, anchors: int = 9, batch: int = 1, grid: tuple[int, int] = (5, 6), info: int = 3
) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    image = np.tile([80.0, 96.0, 1.6, 1.2][:info], (batch, 1))
    return {
        "a": rng.uniform(size=(batch, 2 * anchors, *grid)),
        "b": rng.normal(size=(batch, 4 * anchors, *grid)) * 0.4,
        "c": image,
    }


def shapes(inputs: dict[str, Array]) -> tuple[tuple[int, ...], ...]:
    return tuple(v.shape for v in inputs.values())


def check_rows(text: str, inputs: dict[str, Array], train: bool = False) -> dict[str, Array]:
    """As `check_text`, for tops whose size depends on the numbers; constants are float32 in the file."""
    compiled = analyse_text(text, train=train).require()
    wanted = oracle_run(compiled, inputs, {}, {**STRUCTURED, **ORACLES})
    found = {}
    for level in (0, 1):
        found = run_text(text, inputs, level=level, train=train)
        for name, value in wanted.items():
            assert found[name].shape == value.shape, name
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6 * max(1, np.abs(value).max(initial=0)))
    return found


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("tops", [1, 2])
def test_proposals_of_the_python_layer(tops: int, train: bool) -> None:
    inputs = scores(0)
    text = net(shapes(inputs), "Python", python("'feat_stride': 16"), tops)
    assert check_rows(text, inputs, train)["y"].shape[1] == 5


def test_proposals_of_the_python_layer_in_cpp() -> None:
    inputs = scores(1)
    found = check_rows(net(shapes(inputs), "FrcnnProposal", tops=2), inputs)
    assert found["y"].shape[1:] == (5, 1, 1)
    assert found["z"].shape[1:] == (1, 1, 1)


@pytest.mark.parametrize(
    "param",
    [
        "ratio: [0.5, 1, 2] scale: [8, 16, 32]",
        "ratio: [0.333, 1] scale: [2, 3] base_size: 8 feat_stride: 8 min_size: 20 nms_thresh: 0.4",
        "ratio: 0.667 scale: 1 pre_nms_topn: 20 post_nms_topn: 6 nms_thresh: 0.9",
    ],
)
@pytest.mark.parametrize("info", [3, 4])
def test_proposals_of_pvanet(param: str, info: int) -> None:
    count = (param.split("scale")[0].count(",") + 1) * (param.split("scale: ")[1].split("]")[0].count(",") + 1)
    inputs = scores(2, count, batch=2, info=info)
    check_rows(net(shapes(inputs), "Proposal", f"proposal_param {{ {param} }}", 2), inputs)


def test_anchors_are_those_of_the_paper() -> None:
    text = net(shapes(scores(0)), "Python", python("feat_stride: 16"))
    anchors = analyse_text(text).graph.nodes[0].layer.anchors
    assert anchors[0] == (-84, -40, 99, 55)
    assert anchors[4] == (-120, -120, 135, 135)
    assert anchors[8] == (-168, -344, 183, 359)


@pytest.mark.parametrize(
    ("param", "stride", "count"),
    [
        ("'feat_stride': 16", 16, 9),
        ("feat_stride: 8", 8, 9),
        ("{'feat_stride': 16, 'scales': [4, 8, 16, 32], 'ratios': [1, 2]}", 16, 8),
        ("'feat_stride': 16\\n'scales': !!python/tuple [8]", None, None),
        ("'feat_stride': 16\\n'scales':\\n - 8\\n - 16", 16, 6),
        ("feat_stride: 16, scales: [8]", 16, 3),
    ],
)
def test_param_str_is_read_as_names_and_literals(param: str, stride: int | None, count: int | None) -> None:
    inputs = scores(0, count or 9)
    text = net(shapes(inputs), "Python", python(param))
    if stride is None:
        assert [d.code for d in refusals(text)] == ["param-str"]
        return
    layer = analyse_text(text).require().graph.nodes[0].layer
    assert (layer.stride, len(layer.anchors)) == (stride, count)


@pytest.mark.parametrize(
    ("param", "what"),
    [
        ("scales: [8]", "feat_stride missing"),
        ("feat_stride: 0", "no anchors can be made of param_str"),
        ("feat_stride: 16\\nscales: []", "no anchors can be made of param_str"),
        ("feat_stride: 16\\nratios: ['a']", "no anchors can be made of param_str"),
        ("__import__('os')", "param_str is no mapping"),
    ],
)
def test_param_str_refused(param: str, what: str) -> None:
    found = refusals(net(shapes(scores(0)), "Python", python(param)))
    assert what in [diagnostic.what for diagnostic in found]
    assert all(diagnostic.span is not None for diagnostic in found)


def test_what_a_configuration_file_holds_is_said_once() -> None:
    analysed = analyse_text(net(shapes(scores(0)), "Python", python("{'feat_stride': 16, 'nms': 1}")))
    assert [(note.code, note.severity) for note in analysed.notes] == [
        ("unused-param", "warning"),
        ("fork-reading", "note"),
    ]
    assert "6000 boxes before suppression at 0.7, 300 after" in analysed.notes[1].what


@pytest.mark.parametrize(
    ("bottoms", "what"),
    [
        (scores(0, 8), "layer 'x': 16 score maps for 9 anchors"),
        (scores(0, batch=2), "layer 'x': a batch of 2"),
        (scores(0, info=2), "layer 'x': bottom[2] is not height, width and scale"),
    ],
)
def test_proposals_refused(bottoms: dict[str, Array], what: str) -> None:
    found = refusals(net(shapes(bottoms), "Python", python("feat_stride: 16")))
    assert what in [diagnostic.what for diagnostic in found]


def test_as_many_regions_as_there_are_go_through_the_layers_behind() -> None:
    """The number of regions is not baked in: the same module takes any."""
    inputs = scores(3)
    behind = """
    layer { name: "p" type: "ROIPooling" bottom: "a" bottom: "y" top: "p"
      roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }
    layer { name: "f" type: "InnerProduct" bottom: "p" top: "f" inner_product_param { num_output: 6 } }
    layer { name: "r" type: "Reshape" bottom: "f" top: "r" reshape_param { shape { dim: -1 dim: 3 dim: 2 dim: 1 } } }
    layer { name: "l" type: "Flatten" bottom: "r" top: "l" }
    layer { name: "s" type: "Softmax" bottom: "l" top: "s" }
    """
    text = net(shapes(inputs), "Python", python("feat_stride: 16")) + behind
    compiled, module = compile_text(text, outputs=["all"])
    weights = {"f": [np.ones((6, 18 * 4)), np.zeros(6)]}
    made = module_of(compiled, module, weights)
    sizes = set()
    for seed in (3, 4):
        feed = [torch.from_numpy(v) for v in scores(seed).values()]
        found = made(*feed)
        rows = found["y"].shape[0]
        assert {found[name].shape[0] for name in "pfrls"} == {rows}
        sizes.add(rows)
    assert len(sizes) == 2


def test_a_python_layer_is_found_by_its_module_and_class() -> None:
    def found(param: str) -> str:
        text = net(((1, 2),), "Python", param)
        cls = class_of(load_net(Source(text, "net.prototxt")).net.all("layer")[-1])
        assert cls is not None
        return cls.__name__

    assert found(python("x", "rpn.proposal_layer", "ProposalLayer")) == "PythonProposals"
    assert found(python("x", "rpn.anchor_target_layer", "AnchorTargetLayer")) == "PythonTraining"
    assert found(python("x", "rpn.proposal_layer", "Other")) == "Python"
    assert found("") == "Python"


def test_a_plugin_registers_a_python_layer_by_module_and_class() -> None:
    name = "Python:my.package.layers.Double"

    @layer(name)
    @dataclass(frozen=True, slots=True)
    class Double(Layer):
        """Twice its bottom."""

        def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
            return (bottoms[0],)

        def emit(self, e: Emission) -> Emitted:
            return Emitted((f"{e.y[0]} = 2 * {e.x[0]}",))

        @classmethod
        def read(cls, p: Params) -> Double:
            p.ignore_all()
            return cls()

    try:
        text = net(((2, 3),), "Python", python("x", "my.package.layers", "Double"))
        x = np.arange(6.0).reshape(2, 3)
        np.testing.assert_array_equal(run_text(text, {"a": x})["y"], 2 * x)
    finally:
        del base.REGISTRY[name]


RPN = """
layer {{ name: "input-data" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
  python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" }} }}
layer {{ name: "c" type: "Convolution" bottom: "data" top: "cls"
  convolution_param {{ num_output: 18 kernel_size: 16 stride: 16 }} }}
layer {{ name: "rpn-data" type: "Python" bottom: "cls" bottom: "gt_boxes" bottom: "im_info" bottom: "data"
  top: "labels" python_param {{ module: "rpn.{0}" layer: "{1}" param_str: "'feat_stride': 16" }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "cls" bottom: "labels" top: "loss" }}
"""


def test_labels_of_training_vanish_at_inference() -> None:
    text = RPN.format("anchor_target_layer", "AnchorTargetLayer")
    analysed = analyse(Source(text, "net.prototxt"), Options(shapes={"data": (1, 3, 64, 64)})).require()
    assert [node.name for node in analysed.graph.nodes] == ["c"]
    assert [entry.value.blob for entry in analysed.graph.inputs] == ["data"]


def test_labels_of_training_are_refused_where_they_are_asked_for() -> None:
    text = RPN.format("anchor_target_layer", "AnchorTargetLayer")
    analysed = analyse(Source(text, "net.prototxt"), Options(with_loss=True, shapes={"data": (1, 3, 64, 64)}))
    (problem,) = analysed.problems
    what = "rpn.anchor_target_layer.AnchorTargetLayer serves training and is not computed here"
    assert (problem.code, problem.what) == ("python-layer", f"layer 'rpn-data': {what}")
    assert problem.why == "it draws anchors at random and labels them by the true boxes"


@pytest.mark.parametrize("pad", [0, 0.25])
@pytest.mark.parametrize("kind", ["ROIPooling", "ROIAlign"])
def test_regions_with_padding(kind: str, pad: float) -> None:
    sizes = ((2, 3, 7, 9), (5, 5))
    param = f"roi_pooling_param {{ pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 pad_ratio: {pad} }}"
    check_text(net(sizes, kind, param), {**draw(sizes), "b": REGIONS}, {**STRUCTURED, **ORACLES})


def test_a_roi_align_of_another_fork_is_refused() -> None:
    param = "roi_align_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 }"
    (found,) = refusals(net(((2, 3, 7, 9), (5, 5)), "ROIAlign", param))
    assert (found.code, found.what) == ("fork-clash", "a ROIAlign layer whose fork cannot be told")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "param", ["", "bbox_reg_param { bbox_mean: [0, 0.1, 0, 0.2] bbox_std: [0.1, 0.1, 0.2, 0.2] cls_num: 2 }"]
)
def test_decoded_regions(param: str, train: bool) -> None:
    inputs = {**draw(((5, 8),), 1), "b": REGIONS}
    check_rows(net(shapes(inputs), "DecodeBBox", param), inputs, train)


def test_decoded_regions_near_true_boxes_fall_out() -> None:
    inputs = {**draw(((5, 8),), 1), "b": REGIONS, "c": np.linspace(0, 1, 5)[:, None] * np.ones((5, 6))}
    found = check_rows(net(shapes(inputs), "DecodeBBox", "decode_bbox_param { gt_iou_thr: 0.6 }"), inputs, train=True)
    assert len(found["y"]) < 4
    text = net(shapes(inputs), "DecodeBBox", "decode_bbox_param { gt_iou_thr: 0.6 }")
    assert [d.what for d in refusals(text)] == ["a third bottom in phase TEST"]


YOLO = (
    "yolo_detection_output_param {{ num_classes: 3 biases: [1.3, 1.7, 3.2, 4, 0.5, 0.7] confidence_threshold: {} {} }}"
)


@pytest.mark.parametrize("threshold", [0.3, 0.99])
@pytest.mark.parametrize("more", ["num_box: 3 nms_threshold: 0.2", "num_box: 3 label_map_file: 'x'"])
def test_yolo2_of_mobilenet_yolo(more: str, threshold: float) -> None:
    inputs = draw(((1, 24, 6, 6),), 5)
    check_rows(net(shapes(inputs), "YoloDetectionOutput", YOLO.format(threshold, more)), inputs)


def test_yolo2_of_two_maps_and_two_images() -> None:
    """Boxes of both maps and of all images suppress each other, and all are of image 0."""
    inputs = draw(((2, 24, 6, 6), (2, 24, 3, 3)), 8)
    found = check_rows(net(shapes(inputs), "YoloDetectionOutput", YOLO.format(0.3, "num_box: 3")), inputs)
    assert set(found["y"][0, 0, :, 0]) == {0}


@pytest.mark.parametrize("more", ["", "ssd_format: true nms_threshold: 0.2"])
def test_yolo2_of_opencl_caffe(more: str) -> None:
    """Boxes of a cell default to 5, cells to 13."""
    inputs = draw(((2, 40, 13, 13),), 6)
    param = YOLO.format(0.6, more).replace("0.7]", "0.7, 2, 1, 4, 4]")
    found = check_rows(net(shapes(inputs), "YoloDetectionOutput", param), inputs)
    assert set(found["y"][0, 0, :, 0]) == {0, 1}


@pytest.mark.parametrize("threshold", [0.5, 0.99])
def test_yolo3(threshold: float) -> None:
    inputs = draw(((1, 21, 4, 4), (1, 21, 8, 8)), 7)
    param = f"""yolov3_detection_output_param {{ num_classes: 2 num_box: 3 confidence_threshold: {threshold}
      biases: [10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319] mask: [3, 4, 5, 0, 1, 2]
      anchors_scale: [32, 16] mask_group_num: 2 }}"""
    check_rows(net(shapes(inputs), "Yolov3DetectionOutput", param), inputs)


@pytest.mark.parametrize(
    ("kind", "size", "param", "what"),
    [
        ("YoloDetectionOutput", (1, 24, 6, 6), YOLO.format(0.3, "num_box: 5"), "6 biases for 5 boxes"),
        ("YoloDetectionOutput", (1, 24, 6, 5), YOLO.format(0.3, "num_box: 3"), "layer 'x': a grid of 6 × 5 cells"),
        ("YoloDetectionOutput", (1, 21, 6, 6), YOLO.format(0.3, "num_box: 3"), "layer 'x': 21 channels, not 24"),
        (
            "Yolov3DetectionOutput",
            (1, 21, 4, 4),
            "yolov3_detection_output_param { num_classes: 2 }",
            "mask_group_num 2 for 1 bottoms",
        ),
    ],
)
def test_yolo_refused(kind: str, size: tuple[int, ...], param: str, what: str) -> None:
    assert what in [diagnostic.what for diagnostic in refusals(net((size,), kind, param))]


@pytest.mark.parametrize("count", [1, 5])
def test_smooth_l1_takes_2_to_4_bottoms(count: int) -> None:
    """Two, with one weight (SSD) or with two (Fast R-CNN)."""
    bottoms = " ".join(f'bottom: "{"abcd"[i % 4]}"' for i in range(count))
    text = net(((2, 3),) * 4, "Silence", tops=0) + f'layer {{ name: "l" type: "SmoothL1Loss" {bottoms} top: "l" }}'
    assert f"SmoothL1Loss takes 2 to 4 bottoms, not {count}" in [d.what for d in refusals(text)]
