"""Compiled nets as exported programs (torch.export) and ONNX files, with height and width dynamic."""
