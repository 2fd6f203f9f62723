"""The forks' layers against the plain NumPy definitions: every blob, at -O0 and -O1, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netcompile.train import blobs
from tests.layers.harness import (
    Array,
    analyse_text,
    check_text,
    compile_text,
    draw_blobs,
    inputs_text,
    module_of,
    oracle_run,
    refusals,
    run_text,
    specs_of,
)
from tests.oracles import forks_ocr
from tests.oracles.forks_structured import ORACLES as FORKS

ORACLES = FORKS | forks_ocr.ORACLES

Shape = tuple[int, ...]


def net(shapes: tuple[Shape, ...], kind: str, param: str = "", tops: int = 1) -> str:
    """A net of one layer, its bottoms a, b, c, its tops y, z, w."""
    bottoms, outs = "abcd"[: len(shapes)], "yzw"[:tops]
    blobs = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in outs])
    return (
        inputs_text(**dict(zip(bottoms, shapes, strict=True))) + f'layer {{ name: "x" type: "{kind}" {blobs} {param} }}'
    )


def draw(shapes: tuple[Shape, ...], seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in zip("abcd", shapes, strict=False)}


IMAGE = (2, 3, 5, 4)
CLIP = (1, 2, 4, 5, 6)
CASES: list[tuple[str, tuple[Shape, ...], str, int]] = [
    ("Interp", (IMAGE,), "interp_param { zoom_factor: 3 }", 1),
    ("Interp", (IMAGE,), "interp_param { shrink_factor: 2 }", 1),
    ("Interp", (IMAGE,), "interp_param { shrink_factor: 2 zoom_factor: 3 }", 1),
    ("Interp", (IMAGE,), "interp_param { height: 7 width: 3 }", 1),
    ("Interp", (IMAGE,), "interp_param { height: 5 width: 4 }", 1),
    ("Interp", (IMAGE,), "interp_param { height: 1 width: 1 }", 1),
    ("Interp", (IMAGE,), "interp_param { height: 9 width: 9 zoom_factor: 2 shrink_factor: 3 }", 1),
    ("Interp", (IMAGE,), "interp_param { height: 9 width: 9 zoom_factor: 2 }", 1),
    ("Interp", ((1, 2, 9, 8),), "interp_param { pad_beg: -1 pad_end: -2 zoom_factor: 2 }", 1),
    ("Interp", ((1, 2, 9, 8),), "interp_param { pad_end: -3 shrink_factor: 4 }", 1),
    ("Interp", ((1, 2, 9, 8),), "interp_param { pad_beg: -3 height: 4 width: 2 }", 1),
    ("Interp", (IMAGE, (1, 7, 6, 9)), "", 1),
    ("Interp", ((1, 1, 1, 1),), "interp_param { height: 3 width: 2 }", 1),
    ("Upsample", (IMAGE,), "upsample_param { scale: 2 }", 1),
    ("Upsample", (IMAGE,), "", 1),
    ("Upsample", (IMAGE,), "upsample_param { scale_h: 1 scale_w: 3 }", 1),
    ("Padding", (IMAGE,), "padding_param { pad_beg: 2 pad_end: 1 }", 1),
    ("Padding", (IMAGE,), "padding_param { pad_beg: -1 pad_end: -2 }", 1),
    ("Padding", (IMAGE,), "", 1),
    ("Padding", ((2, 3),), "padding_param { pad_beg: 2 pad_end: 1 }", 1),
    ("Interp", ((2, 3),), "interp_param { height: 3 width: 2 }", 1),
    ("Interp", ((2, 3, 4),), "interp_param { zoom_factor: 2 }", 1),
    ("Interp", ((2, 3, 4), (2, 3, 5)), "", 1),
    ("Warp", (IMAGE, (2, 2, 5, 4)), "", 1),
    ("Transpose", ((2, 3, 4),), "transpose_param { dim: 2 dim: 0 dim: 1 }", 1),
    ("Lstm", ((4, 2, 3),), "lstm_param { num_output: 5 clipping_threshold: 0.1 }", 1),
    ("Lstm", ((4, 2, 3, 2), (8,)), "lstm_param { num_output: 2 }", 1),
    ("Lstm", ((6, 3),), "lstm_param { num_output: 2 }", 1),
    ("Lstm", ((6, 3, 2), (6, 1)), "lstm_param { num_output: 2 batch_size: 3 }", 1),
    ("CTCGreedyDecoder", ((6, 2, 3),), "ctc_loss_param { blank_label: 0 }", 1),
    ("CTCGreedyDecoder", ((6, 2, 3), (6, 2)), "", 2),
    ("CTCGreedyDecoder", ((6, 2, 3), (6, 2)), "ctc_decoder_param { blank_index: 1 ctc_merge_repeated: false }", 1),
    ("ContinuationIndicator", (), "continuation_indicator_param { time_step: 3 batch_size: 2 }", 1),
    ("Permute", (IMAGE,), "permute_param { order: 0 order: 2 order: 3 order: 1 }", 1),
    ("Permute", (IMAGE,), "permute_param { order: 2 }", 1),
    ("Permute", (IMAGE,), "", 1),
    ("Permute", ((2, 3, 4),), "permute_param { order: 1 order: 0 order: 2 }", 1),
    ("Reorg", ((2, 4, 4, 6),), "reorg_param { stride: 2 }", 1),
    ("Reorg", ((1, 9, 3, 6),), "reorg_param { stride: 3 }", 1),
    ("Reorg", ((2, 8, 2, 3),), "reorg_param { stride: 2 reverse: true }", 1),
    ("ShuffleChannel", ((2, 6, 3, 2),), "shuffle_channel_param { group: 3 }", 1),
    ("ShuffleChannel", ((2, 6),), "shuffle_channel_param { group: 2 }", 1),
    ("ShuffleChannel", ((2, 6, 3, 2),), "", 1),
    ("Reverse", ((3, 2, 4),), "", 1),
    ("Reverse", ((3, 2, 4),), "reverse_param { axis: 2 }", 1),
    ("ContinuationIndicator", ((3, 2),), "continuation_indicator_param { time_step: 4 axis: 1 }", 1),
    ("ContinuationIndicator", ((3, 2),), "continuation_indicator_param { time_step: 1 }", 1),
    ("SpatialPyramidPooling", ((2, 3, 7, 8),), "spatial_pyramid_pooling_param { spatial_bin: [1, 2, 3] }", 1),
    ("SpatialPyramidPooling", ((2, 3, 7, 8),), "spatial_pyramid_pooling_param { spatial_bin: 3 }", 1),
    (
        "SpatialPyramidPooling",
        ((2, 3, 7, 8),),
        "spatial_pyramid_pooling_param { spatial_bin: [2, 3] } pooling_param { pool: AVE }",
        1,
    ),
    ("BN", (IMAGE,), "bn_param { bn_mode: INFERENCE }", 1),
    ("BN", (IMAGE,), "bn_param { bn_mode: INFERENCE }", 3),
    ("BN", (IMAGE,), "bn_param { bn_mode: LEARN }", 1),
    ("BN", (IMAGE,), "bn_param { scale_filler { value: 1 } shift_filler { value: 0.001 } }", 3),
    ("BN", ((1, 3, 1, 1),), "bn_param { bn_mode: LEARN }", 2),
    ("BN", ((4, 3),), "bn_param { bn_mode: LEARN }", 1),
    ("BN", ((4, 3, 5),), "bn_param { bn_mode: INFERENCE }", 1),
    ("Normalize", (IMAGE,), "norm_param { across_spatial: false channel_shared: false }", 1),
    ("Normalize", (IMAGE,), "norm_param { across_spatial: false eps: 0.5 }", 1),
    ("Normalize", (IMAGE,), "norm_param { eps: 0.5 }", 1),
    ("Normalize", (IMAGE,), "norm_param { channel_shared: false }", 1),
    ("Normalize", ((2, 3),), "norm_param { channel_shared: false }", 1),
    ("Normalize", ((2, 3),), "", 1),
    ("Normalize", (IMAGE,), "normalize_param { }", 2),
    ("Normalize", ((2, 3, 4),), 'normalize_param { normalize_type: "L1" }', 1),
    ("Unpooling", (IMAGE,), "unpooling_param { unpool: AVE kernel_size: 3 stride: 2 }", 1),
    ("Unpooling", ((2, 3),), "unpooling_param { unpool: TILE kernel_size: 2 stride: 3 unpool_size: 3 }", 1),
    ("BN", ((4, 3, 5),), "bn_param { axis: 2 var_eps: 0.001 }", 1),
    ("BN", ((4,),), "bn_param { bn_mode: INFERENCE }", 1),
    ("ConvolutionDepthwise", ((2, 3),), "convolution_param { num_output: 3 kernel_size: 1 pad: 1 }", 1),
    (
        "Deconvolution3D",
        (CLIP,),
        "convolution3d_param { num_output: 3 kernel_size: 2 kernel_depth: 2 } convolution_param { bias_term: false }",
        1,
    ),
    ("LRNMap", (IMAGE,), "lrn_map_param { local_size: 3 alpha: 0.5 beta: 0.75 }", 1),
    ("ReLU6", (IMAGE,), "", 1),
    ("ReLU6", (IMAGE,), "relu6_param { negative_slope: 0.25 }", 1),
    ("ReLU6", (IMAGE,), "relu6_param { n: 0.5 }", 1),
    ("ReLU6", (IMAGE,), "relu_param { negative_slope: 0.25 }", 1),
    ("NegReLU", (IMAGE,), "", 1),
    ("NegReLU", (IMAGE,), "relu_param { negative_slope: 0.25 }", 1),
    ("CReLU", (IMAGE,), "", 1),
    ("CReLU", ((1, 3, 2, 2),), "", 1),
    ("CReLU", ((3, 2),), "", 1),
    ("CReLU", (IMAGE,), "crelu_param { }", 1),
    ("CReLU", (IMAGE,), "crelu_param { negative_slope: 0.25 concat_axis: -1 }", 1),
    ("SeLu", (IMAGE,), "", 1),
    ("SELU", (IMAGE,), "selu_param { alpha: 1.5 lambda: 2 }", 1),
    ("SeLuDropout", (IMAGE,), "selu_dropout_param { dropout_ratio: 0.1 }", 1),
    ("Axpy", ((2, 3, 1, 1), IMAGE, IMAGE), "", 1),
    ("Axpy", ((2, 3), IMAGE, IMAGE), "", 1),
    ("Axpy", ((2, 3), (2, 3), (2, 3)), "", 1),
    (
        "ConvolutionDepthwise",
        (IMAGE,),
        "convolution_param { num_output: 3 kernel_size: 3 pad: 1 stride: 2 bias_term: false }",
        1,
    ),
    ("ConvolutionDepthwise", (IMAGE,), "convolution_param { num_output: 3 kernel_size: 2 group: 3 }", 1),
    ("ConvolutionDepthwise", (IMAGE,), "convolution_param { num_output: 8 kernel_size: 2 group: 5 }", 1),
    ("ConvolutionDepthwise", (IMAGE,), "convolution_param { kernel_h: 2 kernel_w: 1 dilation: 2 }", 1),
    (
        "DepthwiseConvolution",
        (IMAGE,),
        "convolution_param { num_output: 3 kernel_size: 3 pad: 1 group: 3 }",
        1,
    ),
    (
        "HoleConvolution",
        ((1, 2, 7, 8),),
        "convolution_param { num_output: 3 kernel_size: 3 hole: 2 pad: 2 }",
        1,
    ),
    (
        "Convolution3D",
        (CLIP,),
        "convolution_param { num_output: 3 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1 stride: 2 }",
        1,
    ),
    (
        "Convolution3D",
        (CLIP,),
        "convolution3d_param { num_output: 2 kernel_size: 2 kernel_depth: 3 temporal_stride: 2 bias_term: false }",
        1,
    ),
    (
        "Deconvolution3D",
        (CLIP,),
        "convolution_param { num_output: 3 kernel_size: 4 kernel_depth: 2 pad: 1 stride: 2 temporal_stride: 2 }",
        1,
    ),
    ("Convolution3D", (CLIP,), "convolution3d_param { num_output: 4 kernel_size: 2 kernel_depth: 2 group: 2 }", 1),
    ("Pooling3D", (CLIP,), "pooling_param { kernel_size: 2 kernel_depth: 1 stride: 2 }", 1),
    (
        "Pooling3D",
        (CLIP,),
        "pooling3d_param { kernel_size: 2 kernel_depth: 3 stride: 2 temporal_stride: 2 }",
        1,
    ),
    ("Pooling3D", (CLIP,), "pooling_param { pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1 }", 1),
    ("Pooling3D", (CLIP,), "pooling3d_param { kernel_size: 7 kernel_depth: 6 stride: 4 temporal_stride: 3 }", 1),
    ("Pooling3D", ((1, 2, 4, 4, 6),), "pooling3d_param { kernel_size: 1 kernel_depth: 1 stride: 2 }", 1),
    (
        "Pooling3D",
        ((1, 2, 4, 4, 5),),
        "pooling3d_param { pool: AVE kernel_size: 1 kernel_depth: 2 stride: 3 temporal_stride: 4 pad: 2 }",
        1,
    ),
    (
        "Pooling3D",  # a mean over no place at all
        ((1, 1, 4, 4, 5),),
        "pooling3d_param { pool: AVE kernel_size: 1 kernel_depth: 1 stride: 2 temporal_stride: 2 }",
        1,
    ),
    ("Correlation", (IMAGE, IMAGE), "correlation_param { pad: 2 kernel_size: 1 max_displacement: 2 }", 1),
    (
        "Correlation",
        ((1, 2, 8, 9), (1, 2, 8, 9)),
        "correlation_param { pad: 4 kernel_size: 3 max_displacement: 3 stride_1: 2 stride_2: 2 }",
        1,
    ),
    (
        "Correlation",
        (IMAGE, IMAGE),
        "correlation_param { pad: 1 kernel_size: 1 max_displacement: 1 correlation_type: SUBTRACT }",
        1,
    ),
    ("Correlation1D", (IMAGE, IMAGE), "correlation_param { pad: 3 kernel_size: 1 max_displacement: 3 }", 1),
    (
        "Correlation1D",
        (IMAGE, IMAGE),
        "correlation_param { pad: 3 kernel_size: 3 max_displacement: 2 stride_2: 2 single_direction: 1 }",
        1,
    ),
    ("FlowWarp", (IMAGE, (2, 2, 5, 4)), "", 1),
    ("FlowWarp", (IMAGE, (2, 2, 5, 4)), "flow_warp_param { fill_value: NOT_A_NUMBER }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 9 width: 11 }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 2 width: 3 }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 2 width: 7 }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 2 width: 3 antialias: false }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 7 width: 3 type: CUBIC }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 9 width: 3 type: NEAREST }", 1),
    ("Resample", (IMAGE,), "resample_param { height: 2 width: 15 type: NEAREST }", 1),  # places behind their rows
    ("Resample", (IMAGE,), "resample_param { height: 20 width: 2 type: NEAREST }", 1),
    ("Resample", (IMAGE, (1, 1, 6, 3)), "", 1),
    (
        "DataAugmentation",
        (IMAGE,),
        "augmentation_param { recompute_mean: 1000 mean_per_pixel: false crop_width: 3 crop_height: 4 }",
        1,
    ),
    (
        "DataAugmentation",
        (IMAGE,),
        "augmentation_param { recompute_mean: 9 crop_width: 4 crop_height: 5 }",
        1,
    ),
    ("DataAugmentation", (IMAGE,), "augmentation_param { mean: [1, 2, 3] mean_per_pixel: false }", 1),
    (
        "DataAugmentation",
        (IMAGE,),
        "augmentation_param { augment_during_test: false rotate { spread: 1 } }",
        1,
    ),
    ("SoftmaxCrossEntropyLoss", (IMAGE, IMAGE), "", 1),
    ("SmoothL1Loss", (IMAGE, IMAGE), "", 1),
    ("SmoothL1Loss", ((2, 3), (2, 3, 1, 1), (2, 3)), "", 1),
    ("SmoothL1Loss", (IMAGE,) * 4, "smooth_l1_loss_param { sigma: 3 }", 1),
]


@pytest.mark.parametrize(("kind", "shapes", "param", "tops"), CASES)
def test_equals_the_definition(kind: str, shapes: tuple[Shape, ...], param: str, tops: int) -> None:
    inputs = draw(shapes)
    if kind == "CTCGreedyDecoder":
        inputs = {name: np.round(values) if values.ndim == 2 else values for name, values in inputs.items()}
    if kind == "SoftmaxCrossEntropyLoss":
        inputs["b"] = np.abs(inputs["b"]) * (inputs["b"] > -0.3)
    rounded = kind in ("SeLu", "SELU")  # λ and α are float32 numbers, written as short as that allows
    check_text(net(shapes, kind, param, tops), inputs, ORACLES, tolerance=1e-7 if rounded else 1e-10)


@pytest.mark.parametrize("tops", [1, 2])
def test_rescale(tops: int) -> None:
    x = np.array([[-5.0, -0.0001, 0.0, 0.00011, 3, 13.99, 14, 200]])
    check_text(net((x.shape,), "Rescale", "rescale_param { rf: 14 }", tops), {"a": x}, ORACLES)


def test_quantize() -> None:
    x = np.array([[-1, 0, 0.99, 1, 11.9, 12, 35, 36, 79, 80, 199.9, 200, 1000]])
    check_text(net((x.shape,), "Quantize"), {"a": x}, ORACLES)


@pytest.mark.parametrize(
    ("kind", "param", "places"),
    [
        ("Upsample", "upsample_param { scale: 2 }", 8 * 6),
        ("Upsample", "upsample_param { scale: 2 pad_out_h: true pad_out_w: true }", 7 * 5),
        ("Upsample", "upsample_param { upsample_h: 9 upsample_w: 5 scale: 2 }", 9 * 5),
        ("Upsample", "upsample_param { scale_h: 2 scale_w: 3 }", 8 * 9),
        ("Unpooling", "unpooling_param { unpool: MAX kernel_size: 2 stride: 2 unpool_size: 8 }", 64),
        ("Unpooling", "unpooling_param { kernel_h: 2 kernel_w: 3 unpool_h: 7 unpool_w: 9 }", 63),
        ("Unpooling", "unpooling_param { kernel_size: 2 stride: 2 }", 8 * 6),
        ("Unpooling", "unpooling_param { kernel_h: 3 kernel_w: 2 stride: 2 }", 9 * 6),
        ("Unpooling", "unpooling_param { kernel_size: 1 stride: 2 }", 7 * 5),
        ("Unpooling", "unpooling_param { scale: 3 }", 12 * 9),
        ("Unpooling", "unpooling_param { output_h: 9 output_w: 5 }", 9 * 5),
    ],
)
def test_unpooling_by_mask(kind: str, param: str, places: int) -> None:
    """Among the places are equal ones, as overlapping windows make them: the later value stays."""
    rng = np.random.default_rng(1)
    mask = rng.integers(0, places, size=(2, 3, 4, 3)).astype(float)
    mask[0, 0] = 5
    check_text(net(((2, 3, 4, 3),) * 2, kind, param), {"a": rng.normal(size=(2, 3, 4, 3)), "b": mask}, ORACLES)


@pytest.mark.parametrize("method", ["MAX", "AVE", "TILE"])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_size: 2 stride: 2 unpool_size: 8",
        "kernel_size: 3 stride: 2 unpool_h: 7 unpool_w: 9",
        "kernel_size: 3 stride_h: 1 stride_w: 3 unpool_size: 5",
    ],
)
def test_unpooling_without_mask(method: str, window: str) -> None:
    shape = (2, 3, 4, 3)
    check_text(
        net((shape,), "Unpooling", f"unpooling_param {{ unpool: {method} {window} }}"),
        draw((shape,)),
        ORACLES,
    )


def test_pooling_and_upsample_are_inverse_on_the_maxima() -> None:
    text = inputs_text(a=(1, 2, 6, 8)) + (
        'layer { name: "p" type: "Pooling" bottom: "a" top: "p" top: "m" '
        "pooling_param { kernel_size: 2 stride: 2 } }"
        'layer { name: "u" type: "Upsample" bottom: "p" bottom: "m" top: "u" upsample_param { scale: 2 } }'
    )
    compiled, module = compile_text(text, outputs=["u"])
    x = torch.randn(1, 2, 6, 8, dtype=torch.float64)
    y = module_of(compiled, module)(x)
    assert torch.equal(y[y != 0], x[y != 0])
    assert int((y != 0).sum()) == 2 * 3 * 4


PRIORS = [
    "min_size: 4",
    "min_size: 3.7 max_size: 6.2 aspect_ratio: 2 aspect_ratio: 3 clip: true",
    "min_size: [2, 4] max_size: [4, 9] aspect_ratio: [1, 2, 2] flip: false variance: [0.1, 0.2, 0.3, 0.4]",
    "min_size: [2, 4] aspect_ratio: 0.5 img_size: 30 step: 5 offset: 0.25 variance: 0.5",
    "min_size: 2 img_h: 20 img_w: 40 step_h: 3 step_w: 4",
]


@pytest.mark.parametrize("param", PRIORS)
def test_prior_boxes(param: str) -> None:
    shapes = (IMAGE, (2, 3, 21, 33))
    check_text(net(shapes, "PriorBox", f"prior_box_param {{ {param} }}"), draw(shapes), ORACLES, tolerance=1e-7)


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize(
    "param",
    [
        "",
        "confidence_threshold: 0.3 keep_top_k: 5 nms_param { nms_threshold: 0.4 top_k: 6 }",
        "share_location: false background_label_id: 2",
        "variance_encoded_in_target: true nms_param { nms_threshold: 0.9 eta: 0.8 }",
        "confidence_threshold: 2",
    ],
)
def test_detection_output(code: str, param: str) -> None:
    rng = np.random.default_rng(3)
    count, classes, labels = 12, 3, 3 if "share_location" in param else 1
    low = rng.uniform(0, 0.6, size=(count, 2))
    priors = np.stack([np.hstack([low, low + rng.uniform(0.1, 0.5, size=(count, 2))]), np.full((count, 4), 0.1)])
    inputs = {
        "a": rng.normal(size=(2, count * labels * 4)),
        "b": rng.uniform(size=(2, count * classes)),
        "c": priors.reshape(1, 2, -1),
    }
    text = net(
        tuple(v.shape for v in inputs.values()),
        "DetectionOutput",
        f"detection_output_param {{ num_classes: {classes} code_type: {code} {param} }}",
    )
    compiled, module = compile_text(text)
    (found,) = [module_of(compiled, module)(*(torch.from_numpy(v) for v in inputs.values())).numpy()]
    (wanted,) = ORACLES["DetectionOutput"](compiled.graph.nodes[0].message, list(inputs.values()), [], False)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-7)


REGIONS = np.array(
    [[0, 0, 0, 30, 40], [1, 8.5, -3, 100, 21], [0, 20, 20, 20, 20], [1, 60, 60, 90, 90], [0, 31, 30, 2, 4]],
    float,
)


@pytest.mark.parametrize("form", [(5, 5), (5, 5, 1, 1)])
def test_roi_pooling(form: Shape) -> None:
    shapes = ((2, 3, 7, 9), form)
    param = "roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 }"
    inputs = {**draw(shapes), "b": REGIONS.reshape(form)}
    check_text(net(shapes, "ROIPooling", param), inputs, ORACLES)


def test_position_sensitive_pooling() -> None:
    shapes = ((2, 2 * 9, 7, 9), (5, 5))
    param = "psroi_pooling_param { spatial_scale: 0.125 output_dim: 2 group_size: 3 }"
    check_text(net(shapes, "PSROIPooling", param), {**draw(shapes), "b": REGIONS}, ORACLES)


@pytest.mark.parametrize("size", [(1, 3, 4, 5), (2, 2, 6, 3)])
def test_mean_field(size: Shape) -> None:
    """The vectorised lattice against one of a dictionary of vertices, written from the paper."""
    image = (size[0], 3, *size[2:])
    param = "num_iterations: 3 theta_alpha: 8 theta_beta: 3 theta_gamma: 2 spatial_filter_weight: 3 threshold: 2"
    inputs = draw((size, size, image))
    inputs["c"] = np.random.default_rng(5).uniform(-100, 100, size=image)
    check_text(
        net((size, size, image), "MultiStageMeanfield", f"multi_stage_meanfield_param {{ {param} }}"),
        inputs,
        ORACLES,
        tolerance=1e-8,
    )


def test_mean_field_keeps_a_narrow_type() -> None:
    size = (1, 2, 3, 3)
    param = "multi_stage_meanfield_param { num_iterations: 2 theta_alpha: 8 theta_beta: 3 theta_gamma: 2 }"
    compiled, module = compile_text(net((size, size, (1, 3, 3, 3)), "MultiStageMeanfield", param))
    inputs = (torch.from_numpy(v).to(torch.bfloat16) for v in draw((size, size, (1, 3, 3, 3))).values())
    made = module_of(compiled, module, draw_blobs(compiled), "bfloat16")
    assert made(*inputs).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "param", "values"),
    [
        ("BN", "bn_param { frozen: true }", [0, 0, 0, 1]),  # hszhao/PSPNet@c479f4fe, src/caffe/layers/bn_layer.cpp
        ("BN", "bn_param { frozen: false slope_filler { value: 2 } }", [2, 0, 0, 0]),
        ("Normalize", "norm_param { }", [1]),  # weiliu89/caffe, src/caffe/layers/normalize_layer.cpp
        ("Normalize", "norm_param { scale_filler { value: 20 } }", [20]),
    ],
)
def test_blobs_begin_as_in_the_fork(kind: str, param: str, values: list[float]) -> None:
    _, module = compile_text(net((IMAGE,), kind, param), train=True)
    drawn = blobs.draw(blobs.learned_blobs(module), torch.Generator())
    assert [float(blob.flatten()[0]) for blob in drawn.values()] == values


def test_hole_is_dilation() -> None:
    text = net(((1, 2, 7, 9),), "Convolution", "convolution_param { num_output: 2 kernel_size: 3 %s }")
    (hole,) = analyse_text(text % "hole: 2").graph.nodes
    (dilation,) = analyse_text(text % "dilation: 2").graph.nodes
    assert hole.layer == dilation.layer
    (pair,) = analyse_text(text % "hole_h: 2 hole_w: 3").graph.nodes
    assert pair.layer.dilation == (2, 3)  # type: ignore[attr-defined]
    (found,) = refusals(text % "hole: 2 dilation: 2")
    assert found.what == "hole and dilation together"


@pytest.mark.parametrize(
    ("param", "shapes"),
    [
        ("bn_param { bn_mode: INFERENCE }", [(1, 3, 1, 1)] * 2),
        ("bn_param { frozen: true }", [(1, 3, 1, 1)] * 4),
        ("bn_param { decay: 0.1 }", [(1, 3, 1, 1)] * 4),
        ("bn_param { axis: 2 }", [(1, 1, 5, 1)] * 4),
    ],
)
def test_blobs_of_bn(param: str, shapes: list[Shape]) -> None:
    assert [s.shape for s in specs_of(analyse_text(net((IMAGE,), "BN", param)))["x"]] == shapes


@pytest.mark.parametrize(
    ("shape", "param", "train"),
    [
        (IMAGE, "slope_filler { value: 1 }", False),
        (IMAGE, "frozen: true eps: 0.01 momentum: 0.5 engine: CAFFE", False),
        (IMAGE, "frozen: true eps: 0.01", True),
        (IMAGE, "momentum: 0.5", True),
        ((4, 3), "eps: 0.01", False),
        ((4, 3, 5), "eps: 0.01", True),
        (IMAGE, "var_eps: 0.01 moving_average: true", False),
        (IMAGE, "var_eps: 0.01 moving_average: true", True),
        (IMAGE, "var_eps: 0.01 decay: 0.1", False),
    ],
)
@pytest.mark.parametrize("level", [0, 1])
def test_bn_with_running_statistics(shape: Shape, param: str, train: bool, level: int) -> None:
    text, inputs = net((shape,), "BN", f"bn_param {{ {param} }}"), draw((shape,))
    compiled = analyse_text(text, train=train)
    blobs = {name: [np.abs(b) for b in own] for name, own in draw_blobs(compiled).items()}
    wanted = oracle_run(compiled, inputs, blobs, ORACLES)
    found = run_text(text, inputs, blobs, level, train=train)
    np.testing.assert_allclose(found["y"], wanted["y"], atol=1e-10)


def test_bn_in_training_moves_its_statistics() -> None:
    text = net((IMAGE,), "BN", "bn_param { momentum: 0.75 eps: 0.01 slope_filler { value: 1 } }")
    compiled, module = compile_text(text, train=True)
    blobs = {"x": [np.ones((1, 3)), np.zeros((1, 3)), np.full((1, 3), 2.0), np.full((1, 3), 4.0)]}
    made = module_of(compiled, module, blobs)
    x = torch.from_numpy(draw((IMAGE,))["a"])
    (wanted,) = ORACLES["BN"](compiled.graph.nodes[0].message, [x.numpy()], blobs["x"], True)
    np.testing.assert_allclose(made(x).detach().numpy(), wanted, atol=1e-12)
    state = made.state_dict()
    mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(state["x.running_mean"], 0.75 * 2 + 0.25 * mean)
    torch.testing.assert_close(state["x.running_var"], 0.75 * 4 + 0.25 * variance)


def test_frozen_bn_learns_nothing_in_training() -> None:
    compiled, module = compile_text(net((IMAGE,), "BN", "bn_param { frozen: true }"), train=True)
    blobs = {"x": [np.full((1, 3), v) for v in (1.0, 0.5, 2.0, 4.0)]}
    made = module_of(compiled, module, blobs)
    x = torch.from_numpy(draw((IMAGE,))["a"])
    torch.testing.assert_close(made(x), (x - 2) / (4 + float(np.float32(1e-5))) ** 0.5 + 0.5)
    assert not any(p.requires_grad for p in made.parameters())


GRADIENTS: list[tuple[str, tuple[Shape, ...], str]] = [
    ("Interp", ((1, 2, 3, 4),), "interp_param { zoom_factor: 2 }"),
    ("Upsample", ((1, 2, 3, 2),), "upsample_param { scale: 2 }"),
    (
        "Unpooling",
        ((1, 2, 3, 2),),
        "unpooling_param { unpool: TILE kernel_size: 2 stride: 2 unpool_size: 6 }",
    ),
    ("Reorg", ((1, 4, 2, 2),), "reorg_param { stride: 2 }"),
    ("Permute", ((1, 2, 3, 2),), "permute_param { order: 3 order: 1 }"),
    ("Axpy", ((1, 2), (1, 2, 2, 2), (1, 2, 2, 2)), ""),
    ("CReLU", ((1, 2, 2, 2),), ""),
    ("Correlation", ((1, 2, 3, 3),) * 2, "correlation_param { pad: 1 kernel_size: 1 max_displacement: 1 }"),
    ("FlowWarp", ((1, 2, 3, 4), (1, 2, 3, 4)), ""),
    ("Resample", ((1, 2, 3, 4),), "resample_param { height: 2 width: 5 }"),
]


@pytest.mark.parametrize(("kind", "shapes", "param"), GRADIENTS)
def test_gradients(kind: str, shapes: tuple[Shape, ...], param: str) -> None:
    compiled, module = compile_text(net(shapes, kind, param))
    inputs = [torch.from_numpy(v).requires_grad_() for v in draw(shapes).values()]
    assert torch.autograd.gradcheck(module_of(compiled, module), tuple(inputs))


WITH_BLOBS = (
    "BN",
    "ConvolutionDepthwise",
    "Convolution3D",
    "DataAugmentation",
    "Deconvolution3D",
    "DepthwiseConvolution",
    "HoleConvolution",
    "Normalize",
    "Lstm",
    "CTCGreedyDecoder",  # its classes are never rounded
    "Pooling3D",  # PyTorch has no mean over volumes in bfloat16 on the CPU
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kind", "shapes", "param", "tops"),
    [case for case in CASES if case[0] not in WITH_BLOBS and case[1]],
)
def test_keeps_the_type(kind: str, shapes: tuple[Shape, ...], param: str, tops: int, dtype: torch.dtype) -> None:
    compiled, module = compile_text(net(shapes, kind, param, tops))
    result = module_of(compiled, module)(*(torch.from_numpy(v).to(dtype) for v in draw(shapes).values()))
    for tensor in result.values() if isinstance(result, dict) else [result]:
        assert tensor.dtype == dtype
