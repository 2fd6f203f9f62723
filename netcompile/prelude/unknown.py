"""Layers that nobody knows."""

from torch import Tensor, nn


class UnknownLayer(nn.Module):
    """Stands for a layer whose meaning is unknown: put your own in its place."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def forward(self, *bottoms: Tensor) -> Tensor:
        raise NotImplementedError(self.message)
