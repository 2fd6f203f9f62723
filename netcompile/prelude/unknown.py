"""Layers that nobody knows."""

from torch import nn


class UnknownLayer(nn.Module):
    """Stands for a layer whose meaning is unknown: put your own in its place."""

    def __init__(self, message):
        super().__init__()
        self.message = message

    def forward(self, *bottoms):
        raise NotImplementedError(self.message)
