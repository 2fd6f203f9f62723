"""Every layer type that forks of Caffe have and Caffe itself lacks; loaded when a net first asks for one."""

from __future__ import annotations

from netcompile.layers import (
    fork_activation,
    fork_convolution,
    fork_crf,
    fork_data,
    fork_detection,
    fork_flow,
    fork_loss,
    fork_norm,
    fork_resize,
    fork_roi,
    fork_shaping,
)

__all__ = [
    "fork_activation",
    "fork_convolution",
    "fork_crf",
    "fork_data",
    "fork_detection",
    "fork_flow",
    "fork_loss",
    "fork_norm",
    "fork_resize",
    "fork_roi",
    "fork_shaping",
]
