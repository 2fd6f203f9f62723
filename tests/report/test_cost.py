"""Parameters, multiply-accumulates and bytes of layers, counted by hand."""

from __future__ import annotations

from netcompile.analyser import analyse
from netcompile.analysis.cost import costs
from netcompile.diagnostics.source import Source

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "r" type: "ReLU" bottom: "b" top: "b" }
layer { name: "u" type: "Deconvolution" bottom: "b" top: "u"
  convolution_param { num_output: 3 kernel_size: 4 stride: 2 bias_term: false } }
"""


def test_costs():
    analysed = analyse(Source(NET))
    a, b, relu, up = costs(analysed.graph, analysed.shapes)
    plane = 2 * 4 * 6 * 5
    assert a.blobs == b.blobs == ((4, 2, 3, 3), (4,))
    assert (a.parameters, a.macs, a.activations) == (4 * 2 * 9 + 4, plane * 2 * 9, plane * 4)
    assert b.parameters == 0  # shared: a owns both blobs
    assert b.macs == a.macs
    assert (relu.parameters, relu.activations) == (0, 0)
    assert up.blobs == ((4, 3, 4, 4),)
    assert up.macs == plane * 3 * 16
    assert up.activations == 4 * 2 * 3 * 14 * 12
