"""netcompile: compiles Caffe prototxt networks to standalone PyTorch modules, without Caffe."""

__version__ = "0.1.0"
