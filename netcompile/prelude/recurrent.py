"""Recurrent layers, step by step."""

import torch
from torch import Tensor, nn


def caffe_lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Caffe's LSTM step: next cell and output; cont 0 forgets the cell."""
    i, f, o, g = gates.chunk(4, dim=-1)
    keep = cont.detach().unsqueeze(-1) * f.sigmoid()
    c = keep * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


def caffe_lstm(
    cell: nn.ModuleDict,
    x: Tensor,
    cont: Tensor,
    static: Tensor | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Caffe's LSTM: the outputs of all steps, and the last output and cell.

    x is (steps, streams, ...); where cont (steps, streams) is 0 a sequence begins. It
    starts from zero, unless h and c say else; no gradient flows to or from a state.
    """
    gates = cell["x"](x.flatten(2))
    if static is not None:
        gates = gates + cell["static"](static.flatten(1))
    if h is None or c is None:
        h = c = gates.new_zeros(1, gates.shape[1], gates.shape[2] // 4)
    h, c = h.detach(), c.detach()
    outputs = []
    for step, keep in zip(torch.split(gates, 1), torch.split(cont.detach(), 1)):
        c, h = caffe_lstm_unit(c, step + cell["h"](h * keep.unsqueeze(-1)), keep)
        outputs.append(h)
    return torch.cat(outputs), h.detach(), c.detach()


def caffe_rnn(
    cell: nn.ModuleDict,
    x: Tensor,
    cont: Tensor,
    static: Tensor | None = None,
    h: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Caffe's RNN: the outputs of all steps, and the last state.

    x is (steps, streams, ...); where cont (steps, streams) is 0 a sequence begins. It
    starts from zero, unless h says else; no gradient flows to or from a state.
    """
    steps = cell["x"](x.flatten(2))
    if static is not None:
        steps = steps + cell["static"](static.flatten(1))
    h = torch.zeros_like(steps[:1]) if h is None else h.detach()
    states = []
    for step, keep in zip(torch.split(steps, 1), torch.split(cont.detach(), 1)):
        h = torch.tanh(step + cell["h"](h * keep.unsqueeze(-1)))
        states.append(h)
    return torch.tanh(cell["o"](torch.cat(states))), h.detach()


def goes_on(x: Tensor, marks: Tensor | None = None) -> Tensor:
    """1 where a step of a stream goes on with its sequence, else 0: (steps, streams).

    Marks lie at step + stream; without them all steps but the first go on.
    """
    step = torch.arange(x.shape[0], device=x.device)[:, None]
    stream = torch.arange(x.shape[1], device=x.device)
    on = (
        (step + 0 * stream > 0)
        if marks is None
        else marks.flatten()[step + stream] != 0
    )
    return on.to(x.dtype)
