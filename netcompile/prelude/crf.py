"""Mean-field inference in a dense conditional random field (CRF-RNN)."""

import torch
import torch.nn.functional as F
from torch import Tensor


class Lattice:
    """A Gaussian filter of deviation 1 over points, on the permutohedral lattice.

    `features` is points × dimensions. The lattice has the vertices of the simplices
    that the points lie in, and of the origin's if their number is no multiple of 4:
    CRF-RNN's code takes points by fours and fills the last four up with zeros.
    """

    def __init__(self, features: Tensor) -> None:
        count, d = features.shape
        features = F.pad(features, (0, 0, 0, 1)) if count % 4 else features
        points = len(features)
        axis = torch.arange(1, d + 1, device=features.device, dtype=features.dtype)
        scaled = features * ((2 / 3) ** 0.5 * (d + 1) / (axis * (axis + 1)).sqrt())
        tail = F.pad(scaled, (0, 1)).flip(1).cumsum(1).flip(1)
        raised = torch.cat((tail[:, :1], tail[:, 1:] - axis * scaled), dim=1)
        # The nearest vertex of remainder 0, and each coordinate's rank about it.
        nearest = (raised / (d + 1)).round()
        rank = (raised - nearest * (d + 1)).argsort(dim=1, descending=True, stable=True)
        rank = rank.argsort(dim=1) + nearest.sum(dim=1, keepdim=True).long()
        wrap = (rank < 0).long() - (rank > d).long()
        rank, nearest = rank + (d + 1) * wrap, (nearest + wrap) * (d + 1)
        part = (raised - nearest) / (d + 1)
        weight = part.new_zeros(points, d + 2).scatter_add(1, d - rank, part)
        weight = weight.scatter_add(1, d + 1 - rank, -part)
        weight = F.pad(weight[:, d + 1 :] + 1, (0, d)) + weight[:, : d + 1]
        self.weight = weight[:count].flatten()
        # The simplex's vertices, each as one whole number.
        remainder = torch.arange(d + 1, device=features.device)[:, None]
        step = torch.where(remainder.T <= d - remainder, remainder, remainder - d - 1)
        keys = nearest.long()[:, None, :d] + step[:, rank[:, :d]].transpose(0, 1)
        low = keys.amin(dim=(0, 1)) - d - 1
        span = keys.amax(dim=(0, 1)) - low + d + 2
        place = torch.cat((span.new_ones(1), span[:-1].cumprod(0)))
        codes = ((keys - low) * place).sum(dim=2)
        vertices, vertex = torch.unique(codes, return_inverse=True)
        self.vertex = vertex[:count].flatten()
        # Along each of the d + 1 axes a vertex has two neighbours; a missing
        # one is the last, 0.
        self.size = len(vertices)
        self.neighbours = []
        for j in range(d + 1):
            shift = (d + 1) * place[j] - place.sum() if j < d else -place.sum()
            pair = []
            for wanted in (vertices + shift, vertices - shift):
                found = torch.searchsorted(vertices, wanted).clamp_max(self.size - 1)
                found = torch.where(vertices[found] == wanted, found, self.size)
                pair.append(F.pad(found, (0, 1), value=self.size))
            self.neighbours.append(pair)
        self.dimensions = d

    def filter(self, values: Tensor) -> Tensor:
        """`values` is channels × points."""
        splat = (values[:, :, None] * self.weight.view(values.shape[1], -1)).flatten(1)
        grid = splat.new_zeros(values.shape[0], self.size + 1)
        grid = grid.index_add(1, self.vertex, splat)
        for before, after in self.neighbours:
            grid = grid + 0.5 * (grid[:, before] + grid[:, after])
        slices = (grid[:, self.vertex] * self.weight).reshape(*values.shape, -1)
        return (slices.sum(dim=2) / (1 + 2.0**-self.dimensions)).to(values.dtype)


def mean_field(
    scores: Tensor,
    start: Tensor,
    image: Tensor,
    weights: tuple[Tensor, ...],
    iterations: int,
    alpha: float,
    beta: float,
    gamma: float,
) -> Tensor:
    """CRF-RNN: mean-field inference in a dense CRF; the result is not normalised.

    `weights` holds the spatial and the bilateral filter's and the compatibility, each
    labels × labels.
    """
    n, labels, h, w = scores.shape
    if not n:
        return scores.clone()
    dtype = torch.promote_types(image.dtype, torch.float32)
    rows, columns = (torch.arange(n, device=scores.device, dtype=dtype) for n in (h, w))
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    place = torch.stack((columns.flatten(), rows.flatten()), dim=1)
    ones = scores.new_ones(1, h * w)
    spatial = Lattice(place / gamma)
    spatial_norm = 1 / (spatial.filter(ones) + 1e-20)
    results = []
    scores, start, image = scores.flatten(2), start.flatten(2), image.flatten(2)
    for unary, belief, picture in zip(scores, start, image):
        colours = picture[:3].T.to(dtype)
        bilateral = Lattice(torch.cat((place / alpha, colours / beta), dim=1))
        bilateral_norm = 1 / (bilateral.filter(ones) + 1e-20)
        for _ in range(iterations):
            q = belief.softmax(dim=0)
            message = weights[0] @ (spatial.filter(q) * spatial_norm)
            message = message + weights[1] @ (bilateral.filter(q) * bilateral_norm)
            belief = unary - weights[2] @ message
        results.append(belief)
    return torch.stack(results).reshape(n, labels, h, w)
