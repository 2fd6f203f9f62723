"""Net surgery: what Caffe's users do to nets and weights between two trainings, without Caffe.

>>> from netcompile import surgery
>>> net = surgery.parse_net('''
...     layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 2, 3, 3] } } }
...     layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
... ''')
>>> done = surgery.convolutionalise(net)
>>> print(done.net.layer("fc").get("convolution_param").get("kernel_size"))
(3,)

Weights are plain dictionaries: a layer's name to its blobs, NumPy arrays in Caffe's shapes.

>>> import numpy as np
>>> weights = {"fc": (np.ones((4, 18), np.float32), np.zeros(4, np.float32))}
>>> surgery.convolutionalise(net, weights).weights["fc"][0].shape
(4, 2, 3, 3)
"""

from netcompile.analysis.bilinear import bilinear
from netcompile.surgery.blobs import Weights, read_weights, write_weights
from netcompile.surgery.classes import Expanded, Head, expand_classes, heads, with_classes
from netcompile.surgery.convolutionalise import Converted, convolutionalise
from netcompile.surgery.net import Net, parse_net, read_net
from netcompile.surgery.transplant import Transplanted, expand_score, interp, transplant

__all__ = [
    "Converted",
    "Expanded",
    "Head",
    "Net",
    "Transplanted",
    "Weights",
    "bilinear",
    "convolutionalise",
    "expand_classes",
    "expand_score",
    "heads",
    "interp",
    "parse_net",
    "read_net",
    "read_weights",
    "transplant",
    "with_classes",
    "write_weights",
]
