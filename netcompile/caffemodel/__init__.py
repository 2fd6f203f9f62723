"""Weights of Caffe: reading .caffemodel, .caffemodel.h5 and .binaryproto, and writing .safetensors."""
