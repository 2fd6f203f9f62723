"""Products with matrices for inference."""

from functools import partial

from torch import Tensor, nn

from netcompile.prelude.onednn import multiply, onednn_computes
from netcompile.prelude.workers import in_parts, part_count, split


class Linear(nn.Linear):
    """nn.Linear, for inference on a CPU by oneDNN, from the weights as they lie.

    The library that torch takes there is slow on other CPUs than its maker's: on an AMD
    EPYC it took twice as long for a row, three times for a few.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.fast(x) if self.serves(x) else super().forward(x)

    def serves(self, x: Tensor) -> bool:
        """Whether no derivative is wanted, and oneDNN computes with what there is."""
        if not onednn_computes(x, *self.parameters(recurse=False)):
            return False
        return x.numel() > 0 and x.shape[-1] == self.in_features

    def fast(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        count = part_count(rows.numel() * self.out_features)
        if count == 1:
            y = multiply(rows, self.weight, self.bias)
        else:
            y = product_in_parts(rows, self.weight, self.bias, count)
        return y.view(*x.shape[:-1], self.out_features)


def product_in_parts(
    rows: Tensor, factor: Tensor, bias: Tensor | None, count: int
) -> Tensor:
    """Rows' product with the transpose of a factor, the larger of them in parts."""
    y = rows.new_empty(len(rows), len(factor))
    across = len(factor) > len(rows)  # the larger matrix is read once

    def part(start: int, stop: int) -> None:
        some = slice(start, stop)
        if not across:
            y[some] = multiply(rows[some], factor, bias)
            return
        of_bias = None if bias is None else bias[some]
        y[:, some] = multiply(rows, factor[some], of_bias)

    in_parts([partial(part, *some) for some in split(max(y.shape), count, 16)])
    return y
