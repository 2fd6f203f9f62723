"""Networks written in Python: `NetSpec`, `layers`, `params`, `to_proto`, `coord_map.crop`, as pycaffe has them.

>>> from netcompile import spec
>>> from netcompile.spec import layers as L, params as P
>>> n = spec.NetSpec()
>>> n.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))
>>> n.conv1 = L.Convolution(n.data, num_output=4, kernel_size=3, pad=1)
>>> n.relu1 = L.ReLU(n.conv1, in_place=True)
>>> n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
>>> print(n.to_proto())  # doctest: +ELLIPSIS
layer {
  name: "data"
  type: "Input"
  top: "data"
...

Files written for `import caffe` run unchanged: see `netcompile.spec.run`.
"""

from netcompile.spec import coord_map
from netcompile.spec.fields import SpecError
from netcompile.spec.net_spec import Function, Layers, NetSpec, Parameters, Proto, Top, layers, params, to_proto

__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "Parameters",
    "Proto",
    "SpecError",
    "Top",
    "coord_map",
    "layers",
    "params",
    "to_proto",
]
