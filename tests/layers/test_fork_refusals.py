"""What the forks' layers refuse, word for word; what their data layers, losses and sinks become."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options
from tests.layers.harness import inputs_text, refusals
from tests.layers.test_forks import IMAGE, Shape, net

REFUSED: list[tuple[str, tuple[Shape, ...], str, str]] = [
    ("Interp", (IMAGE,), "", "Interp has no size"),
    ("Interp", (IMAGE,), "interp_param { height: 3 }", "Interp has no size"),
    ("Interp", (IMAGE,), "interp_param { zoom_factor: 0 }", "zoom_factor must be positive, not 0"),
    ("Interp", (IMAGE,), "interp_param { zoom_factor: 2 pad_beg: 1 }", "pad_beg 1 is positive"),
    (
        "Interp",
        (IMAGE,),
        "interp_param { zoom_factor: 2 pad_beg: -4 }",
        "layer 'x': pad_beg and pad_end cut everything away",
    ),
    ("Interp", ((2, 3, 1, 1, 4),), "interp_param { zoom_factor: 2 }", "layer 'x': Interp wants up to 4 axes, not 5"),
    ("Upsample", ((2, 3, 4),), "upsample_param { scale: 2 }", "layer 'x': Upsample wants 4 axes, not 3"),
    ("Upsample", (IMAGE,) * 2, "upsample_param { scale: 1 }", "scale 1 must be greater than 1"),
    ("Upsample", (IMAGE,) * 2, "upsample_param { scale: 3 pad_out_h: true }", "pad_out_h needs scale 2, not 3"),
    ("Upsample", (IMAGE,), "upsample_param { upsample_h: 9 upsample_w: 9 }", "an Upsample of one bottom takes scale"),
    ("Upsample", (IMAGE, (2, 3, 5, 3)), "", "layer 'x': the mask's shape is not the bottom's"),
    ("Upsample", (IMAGE,), "upsample_param { scale_h: 2 }", "scale_h and scale_w belong together, without scale"),
    ("Unpooling", (IMAGE,), "unpooling_param { kernel_size: 2 }", "Unpooling without unpool_size wants a mask"),
    ("Unpooling", (IMAGE,), "unpooling_param { scale: 2 }", "FuseNet's Unpooling wants the pooling's mask"),
    ("Unpooling", (IMAGE,) * 2, "unpooling_param { output_h: 2 scale: 2 }", "output_h and output_w belong together"),
    ("Transpose", (IMAGE,), "", "a Transpose layer whose fork cannot be told"),
    ("Transpose", (IMAGE,), "transpose_param { dim: 1 dim: 1 }", "dim 1, 1 does not name each axis once"),
    ("Transpose", (IMAGE,), "transpose_param { dim: 1 dim: 0 }", "layer 'x': 2 dim for 4 axes"),
    ("Lstm", ((5, 2, 3),), "", "num_output missing"),
    (
        "Lstm",
        ((5, 2),),
        "lstm_param { num_output: 2 batch_size: 2 }",
        "layer 'x': 5 rows are no multiple of batch_size 2",
    ),
    ("Lstm", ((5, 2, 3), (5,)), "lstm_param { num_output: 2 }", "layer 'x': too few marks"),
    ("Lstm", ((5, 2, 3), (5, 2)), "lstm_param { num_output: 2 }", "layer 'x': the marks must lie on one axis"),
    ("CTCGreedyDecoder", ((5, 2),), "", "layer 'x': CTCGreedyDecoder wants 3 axes, not 2"),
    (
        "CTCGreedyDecoder",
        ((5, 2, 3), (5, 3)),
        "",
        "layer 'x': marks and labels are steps × streams",
    ),
    ("CTCGreedyDecoder", ((5, 2, 3), (5, 2)), "ctc_loss_param { }", "CC4.0's decoder with labels"),
    ("ContinuationIndicator", (), "continuation_indicator_param { time_step: 2 }", "batch_size missing"),
    ("Warp", ((2, 3, 4, 4), (2, 3, 4, 4)), "", "layer 'x': a flow has 2 channels, not 3"),
    ("Eltwise", (IMAGE,), "eltwise_param { operation: MAX }", "Eltwise takes 2 or more bottoms, not 1"),
    ("Unpooling", (IMAGE,), "unpooling_param { kernel_size: 2 unpool_size: 9 pad: 1 }", "Unpooling takes no padding"),
    ("Padding", (IMAGE,), "padding_param { pad_beg: 1 pad_end: -1 }", "pad_beg and pad_end of opposite sign"),
    ("Permute", (IMAGE,), "permute_param { order: 1 order: 1 }", "axis 1 stands twice in order"),
    ("Permute", (IMAGE,), "permute_param { order: 0 order: 4 }", "layer 'x': order names axis 4 of 4"),
    ("Reorg", (IMAGE,), "", "stride missing"),
    ("Reorg", (IMAGE,), "reorg_param { stride: 2 }", "layer 'x': 3 channels are not divisible by 4"),
    ("Reorg", ((1, 4, 5, 4),), "reorg_param { stride: 2 }", "layer 'x': height 5 is not divisible by stride 2"),
    (
        "ShuffleChannel",
        (IMAGE,),
        "shuffle_channel_param { group: 2 }",
        "layer 'x': 3 channels are not divisible by group 2",
    ),
    ("Reverse", (IMAGE,), "reverse_param { axis: -1 }", "axis -1 is negative"),
    ("BN", (IMAGE,), "", "a BN layer whose fork cannot be told"),
    (
        "BN",
        (IMAGE,),
        "bn_param { bn_mode: LEARN frozen: true }",
        "bn_mode and frozen belong to BN layers of different forks",
    ),
    ("BN", (IMAGE,), "bn_param { frozen: true decay: 0.1 }", "frozen and decay belong to BN layers of different forks"),
    (
        "BN",
        (IMAGE,),
        "bn_param { momentum: 0.1 scale_filler { value: 1 } }",
        "scale_filler and momentum belong to BN layers of different forks",
    ),
    (
        "Normalize",
        (IMAGE,),
        "norm_param { } normalize_param { }",
        "norm_param and normalize_param belong to Normalize layers of different forks",
    ),
    ("Normalize", (IMAGE,), 'normalize_param { normalize_type: "L3" }', "normalize_type 'L3' is neither L1 nor L2"),
    ("Axpy", ((2, 3, 1, 2), IMAGE, IMAGE), "", "layer 'x': the factors must be one number for each image and channel"),
    (
        "Axpy",
        ((2, 2), IMAGE, IMAGE),
        "",
        "layer 'x': the factors' images and channels are not those of what they scale",
    ),
    (
        "Convolution3D",
        (IMAGE,),
        "convolution_param { num_output: 6 kernel_size: 1 kernel_depth: 1 }",
        "layer 'x': Convolution3D wants 5 axes, not 4",
    ),
    ("Pooling3D", ((1, 1, 3, 3, 3),), "pooling_param { kernel_size: 2 }", "kernel_depth missing"),
    (
        "Pooling3D",
        ((1, 1, 1, 3, 3),),
        "pooling_param { kernel_size: 1 kernel_depth: 2 }",
        "layer 'x': output size is not positive: 1×1×0×3×3",
    ),
    ("PriorBox", (IMAGE, IMAGE), "", "no min_size"),
    (
        "PriorBox",
        (IMAGE, IMAGE),
        "prior_box_param { min_size: 3 max_size: 2 }",
        "max_size must be greater than min_size",
    ),
    ("PriorBox", (IMAGE, IMAGE), "prior_box_param { min_size: 3 variance: [1, 2] }", "2 variances"),
    (
        "PriorBox",
        (IMAGE, IMAGE),
        "prior_box_param { min_size: 3 img_size: 2 img_h: 2 img_w: 2 }",
        "img_size and img_h/img_w together",
    ),
    (
        "DetectionOutput",
        ((1, 4), (1, 2), (1, 2, 8)),
        "detection_output_param { num_classes: 2 }",
        "layer 'x': 4 numbers for each image, not 8",
    ),
    ("DetectionOutput", ((1, 4), (1, 2), (1, 2, 4)), "", "num_classes missing"),
    ("ROIPooling", (IMAGE, (1, 5)), "roi_pooling_param { pooled_h: 2 }", "pooled_w must be > 0"),
    (
        "ROIPooling",
        (IMAGE, (1, 4)),
        "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
        "layer 'x': a region has 4 numbers, not 5",
    ),
    (
        "PSROIPooling",
        (IMAGE, (1, 5)),
        "psroi_pooling_param { spatial_scale: 1 output_dim: 1 group_size: 2 }",
        "layer 'x': 3 channels, not 4",
    ),
    (
        "Correlation",
        (IMAGE, IMAGE),
        "correlation_param { kernel_size: 2 max_displacement: 1 }",
        "kernel_size 2 is even",
    ),
    (
        "Correlation1D",
        (IMAGE, IMAGE),
        "correlation_param { kernel_size: 1 max_displacement: 1 single_direction: -1 }",
        "single_direction -1",
    ),
    ("FlowWarp", (IMAGE, IMAGE), "", "layer 'x': a flow has 2 channels, not 3"),
    ("Resample", (IMAGE,), "resample_param { height: 3 }", "width missing"),
    ("Resample", (IMAGE,), "resample_param { height: 3 width: 3 type: AREA }", "AREA resampling"),
    (
        "DataAugmentation",
        (IMAGE,),
        "augmentation_param { augment_during_test: true rotate { spread: 1 } }",
        "random augmentation (rotate)",
    ),
    (
        "DataAugmentation",
        (IMAGE,),
        "augmentation_param { crop_width: 9 crop_height: 2 }",
        "layer 'x': crop_width 9 is greater than the width 4",
    ),
    (
        "MultiStageMeanfield",
        (IMAGE,) * 3,
        "multi_stage_meanfield_param { num_iterations: 1 theta_alpha: 1 theta_beta: 1 theta_gamma: 1 }",
        "num_iterations 1 must be greater than 1",
    ),
    ("RegionLoss", (IMAGE,) * 2, "", "layer 'x': a RegionLoss layer is not computed here"),
]


@pytest.mark.parametrize(("kind", "shapes", "param", "what"), REFUSED)
def test_refused(kind: str, shapes: tuple[Shape, ...], param: str, what: str) -> None:
    found = refusals(net(shapes, kind, param))
    assert [d.what for d in found] == [what]
    assert found[0].span is not None
    assert found[0].span.line == 1 + len(shapes)


DATA: list[tuple[str, str, int, list[Shape]]] = [
    (
        "ImageSegData",
        "image_data_param { batch_size: 2 } transform_param { crop_size: 9 }",
        2,
        [(2, 3, 9, 9), (2, 1, 9, 9)],
    ),
    ("ImageSegData", "transform_param { crop_size: 9 }", 3, [(1, 3, 9, 9), (1, 1, 9, 9), (1, 1, 1, 2)]),
    (
        "DenseImageData",
        "dense_image_data_param { batch_size: 2 new_height: 4 new_width: 8 }",
        2,
        [(2, 3, 4, 8), (2, 1, 4, 8)],
    ),
    (
        "AnnotatedData",
        "data_param { batch_size: 4 } transform_param { resize_param { height: 30 width: 40 } }",
        2,
        [(4, 3, 30, 40), (1, 1, 1, 8)],
    ),
    (
        "VideoData",
        "video_data_param { video_type: VIDEO } transform_param { resize_param { height: 30 width: 40 } }",
        1,
        [(1, 3, 30, 40)],
    ),
    (
        "VideoData",
        "video_data_param { batch_size: 2 new_length: 5 num_segments: 3 modality: FLOW } "
        "transform_param { crop_size: 8 }",
        2,
        [(2, 30, 8, 8), (2,)],
    ),
    (
        "VideoData",
        "video_data_param { batch_size: 2 new_length: 16 } transform_param { crop_size: 8 }",
        2,
        [(2, 3, 16, 8, 8), (2,)],
    ),
    ("RandVec", "randvec_param { batch_size: 2 dim: 7 }", 1, [(2, 7)]),
    ("DenseImageData", "", 2, [(1, 3, 500, 500), (1, 1, 500, 500)]),
    ("NobodysData", "", 2, [(1, 3, 500, 500), (1, 1, 500, 500)]),
]


@pytest.mark.parametrize(("kind", "param", "tops", "shapes"), DATA)
def test_data_layers_become_inputs(kind: str, param: str, tops: int, shapes: list[Shape]) -> None:
    names = " ".join(f'top: "{t}"' for t in "abc"[:tops])
    text = f'layer {{ name: "d" type: "{kind}" {names} {param} }}\n' + "".join(
        f'layer {{ name: "r{t}" type: "ReLU" bottom: "{t}" top: "r{t}" }}\n' for t in "abc"[:tops]
    )
    found = analyse(Source(text), Options()).require()
    assert [entry.shape for entry in found.graph.inputs] == shapes


@pytest.mark.parametrize("kind", ["SegAccuracy", "BoxAnnotatorOHEM", "SmoothL1Loss", "L1Loss"])
def test_losses_vanish_with_their_labels(kind: str) -> None:
    text = (
        'layer { name: "d" type: "DenseImageData" top: "a" top: "label" }\n'
        'layer { name: "r" type: "InnerProduct" bottom: "a" top: "r" '
        "param { } inner_product_param { num_output: 2 } }\n"
        f'layer {{ name: "loss" type: "{kind}" bottom: "r" bottom: "label" top: "loss" }}\n'
    )
    found = analyse(Source(text), Options()).require()
    assert [entry.value.blob for entry in found.graph.inputs] == ["a"]
    assert compile_net(found).outputs == ("r",)


def test_a_sink_takes_its_bottom_out_of_the_outputs() -> None:
    text = inputs_text(a=(1, 2)) + (
        'layer { name: "r" type: "ReLU" bottom: "a" top: "r" }\n'
        'layer { name: "s" type: "Sigmoid" bottom: "a" top: "s" }\n'
        'layer { name: "w" type: "MatWrite" bottom: "s" mat_write_param { prefix: "x" } }\n'
    )
    found = analyse(Source(text), Options()).require()
    assert compile_net(found).outputs == ("r",)
    assert compile_net(found, outputs=["s"]).outputs == ("s",)
