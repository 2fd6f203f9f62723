"""The tensors of a .safetensors file in memory: read, never mapped, so that nobody can change them underneath."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from netcompile.caffemodel.file import DataFile
from netcompile.caffemodel.tensorfile import tensors_in
from netcompile.files.limits import require_memory

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Every tensor by its key. Raises OSError; ValueError for a damaged file; NetError where the memory is bounded."""
    file = DataFile(path)
    found = tensors_in(file)
    require_memory(sum(tensor.nbytes for tensor in found.values()), f"reading {file.name}")
    read = {}
    for key, tensor in found.items():
        if tensor.type not in _TYPES:
            raise ValueError(f"tensor {key[:80]!r} is of type {tensor.type}")
        numbers = torch.empty(tensor.nbytes, dtype=torch.uint8)
        file.read_into(numbers.numpy().data, tensor.offset)
        read[key] = numbers.view(_TYPES[tensor.type]).reshape(tensor.shape)
    return read
