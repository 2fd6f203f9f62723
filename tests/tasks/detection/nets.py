"""Two nets of detection that anyone can compute: an SSD of cells of colour, and an R-CNN with drawn weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netcompile.surgery import write_weights

# 4 × 4 cells of 8 × 8 pixels; each has its average colour scored as background, red or green, and is its own prior box.
SSD = """\
name: "cells"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "cells" type: "Pooling" bottom: "data" top: "cells" pooling_param { pool: AVE kernel_size: 8 stride: 8 } }
layer { name: "conf" type: "Convolution" bottom: "cells" top: "conf"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "loc" type: "Convolution" bottom: "cells" top: "loc"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "conf_perm" type: "Permute" bottom: "conf" top: "conf_perm"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc_perm" type: "Permute" bottom: "loc" top: "loc_perm"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc_flat" type: "Flatten" bottom: "loc_perm" top: "loc_flat" }
layer { name: "conf_rows" type: "Reshape" bottom: "conf_perm" top: "conf_rows"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "prob" type: "Softmax" bottom: "conf_rows" top: "prob" softmax_param { axis: 2 } }
layer { name: "prob_flat" type: "Flatten" bottom: "prob" top: "prob_flat" }
layer { name: "priors" type: "PriorBox" bottom: "cells" bottom: "data" top: "priors"
  prior_box_param { min_size: 8 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "found" type: "DetectionOutput" bottom: "loc_flat" bottom: "prob_flat" bottom: "priors" top: "found"
  detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: 0.2
    nms_param { nms_threshold: 0.45 top_k: 50 } } }
"""
# Scores of B, G, R between 0 and 1 after --scale: the background wins unless red or green is well above the others.
CONF = 8 * np.array([[0.5, 0.5, 0.5], [-0.5, -0.5, 1.5], [-0.5, 1.5, -0.5]], np.float32)


def write_ssd(folder: Path) -> tuple[Path, Path]:
    """The net and its weights."""
    net, weights = folder / "cells.prototxt", folder / "cells.caffemodel"
    net.write_text(SSD)
    zeros = np.zeros((4, 3, 1, 1), np.float32), np.zeros(4, np.float32)
    write_weights(weights, {"conf": (CONF.reshape(3, 3, 1, 1), np.zeros(3, np.float32)), "loc": zeros})
    return net, weights


def cells(rgb: np.ndarray) -> list[tuple[int, float, list[float]]]:
    """What the net finds in an image of 32 × 32 pixels, scaled to 0 … 1: label, score, box in cells; by NumPy."""
    found = []
    for row in range(4):
        for column in range(4):
            colour = rgb[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].reshape(-1, 3).mean(0)[::-1] / 255
            scores = np.exp(CONF @ colour)
            scores /= scores.sum()
            box = [column, row, column + 1, row + 1]
            found += [(label, float(scores[label]), box) for label in (1, 2) if scores[label] > 0.2]
    return sorted(found, key=lambda row: -row[1])


RCNN = """\
name: "regions"
input: "data" input_shape { dim: 1 dim: 3 dim: 48 dim: 64 }
input: "im_info" input_shape { dim: 1 dim: 3 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 16 stride: 16 } }
layer { name: "rpn" type: "Convolution" bottom: "conv" top: "rpn" convolution_param { num_output: 18 kernel_size: 1 } }
layer { name: "rpn_box" type: "Convolution" bottom: "conv" top: "rpn_box"
  convolution_param { num_output: 36 kernel_size: 1 } }
layer { name: "rpn_rows" type: "Reshape" bottom: "rpn" top: "rpn_rows"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } } }
layer { name: "rpn_prob" type: "Softmax" bottom: "rpn_rows" top: "rpn_prob" }
layer { name: "rpn_maps" type: "Reshape" bottom: "rpn_prob" top: "rpn_maps"
  reshape_param { shape { dim: 0 dim: 18 dim: -1 dim: 0 } } }
layer { name: "proposal" type: "Python" bottom: "rpn_maps" bottom: "rpn_box" bottom: "im_info" top: "where"
  python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 16" } }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "where" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.0625 } }
layer { name: "said" type: "InnerProduct" bottom: "pool" top: "said" inner_product_param { num_output: 4 } }
layer { name: "moved" type: "InnerProduct" bottom: "pool" top: "moved" inner_product_param { num_output: 16 } }
layer { name: "chances" type: "Softmax" bottom: "said" top: "chances" }
"""


def write_rcnn(folder: Path) -> tuple[Path, Path]:
    """The net and its weights."""
    net, weights = folder / "regions.prototxt", folder / "regions.caffemodel"
    net.write_text(RCNN)
    random = np.random.default_rng(5)
    shapes = {
        "conv": (6, 3, 16, 16),
        "rpn": (18, 6, 1, 1),
        "rpn_box": (36, 6, 1, 1),
        "said": (4, 24),
        "moved": (16, 24),
    }
    spread = {"conv": 0.0006, "rpn": 0.3, "rpn_box": 0.05, "said": 0.4, "moved": 0.05}
    write_weights(
        weights,
        {
            name: (
                random.normal(0, spread[name], shape).astype(np.float32),
                random.normal(0, spread[name], shape[0]).astype(np.float32),
            )
            for name, shape in shapes.items()
        },
    )
    return net, weights
