"""CRF-RNN's mean-field inference, on the permutohedral lattice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Reshape
from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    as_planes,
    layer,
    literal,
    number,
    planes,
    same_shape,
)
from netcompile.layers.params import Params


@layer("MultiStageMeanfield")
@dataclass(frozen=True, slots=True)
class MultiStageMeanfield(Layer):
    """A dense CRF as a recurrent net (Zheng et al., "Conditional Random Fields as Recurrent Neural
    Networks").

    Bottoms: scores, the scores to start from, the image. Each iteration takes the softmax Q, filters it over
    positions (width theta_gamma) and over positions with colours (theta_alpha, theta_beta), each filter
    divided by its response to ones, and sets Q to U − C · (W₁ · spatial + W₂ · bilateral). Blobs: W₁, W₂, the
    compatibility C, each 1×1×L×L. The filters are those of Adams et al., "Fast High-Dimensional Filtering
    Using the Permutohedral Lattice".
    """

    iterations: int = 10
    alpha: float = 160.0
    beta: float = 3.0
    gamma: float = 3.0

    arity: ClassVar[Arity] = Arity(bottoms=3, tops=1)
    fork: ClassVar[str] = "CRF-RNN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("multi_stage_meanfield_param")
        s.ignore(
            "compatibility_mode",
            "threshold",
            "spatial_filter_weight",
            "bilateral_filter_weight",
            "spatial_filter_weights_str",
            "bilateral_filter_weights_str",
        )
        iterations = int(s.get("num_iterations"))
        if iterations < 2:
            s.refuse("num_iterations", f"num_iterations {iterations} must be greater than 1", code="param-range")
        widths = []
        for field in ("theta_alpha", "theta_beta", "theta_gamma"):
            if not s.get(field) > 0:
                s.refuse(field if s.has(field) else "", f"{field} must be positive", code="param-range")
            widths.append(float(s.get(field)) or 1.0)
        p.note(
            "type",
            "the lattice is that of CRF-RNN's build for SSE, as every x86-64 processor runs it",
            code="fork-reading",
            why="it reads pixels by fours, and where height · width is no multiple of 4, black at the corner comes to "
            "them; the build for GPUs has no such point, and its results differ a little",
        )
        return cls(max(iterations, 2), *widths)

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        scores, start, image = (planes(b, self.type, f"bottom[{i}]") for i, b in enumerate(bottoms))
        if number(image[1]) < 3:
            raise Refused(f"an image has 3 channels, not {image[1]}", at="bottom[2]")
        refusal = Refused("the image's batch, height and width are not the scores'", at="bottom[2]")
        found = same_shape(scores, start, "shapes differ")
        return [*found, *(Condition(scores[axis], "==", image[axis], refusal) for axis in (0, 2, 3))]

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        return (planes(bottoms[0], self.type),)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY, IDENTITY, IDENTITY)

    def reach(self, *bottoms: Shape) -> None:
        return None  # every pixel sees all others

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        labels = number(planes(bottoms[0], self.type)[1])
        return tuple(BlobSpec(name, (1, 1, labels, labels)) for name in ("spatial", "bilateral", "compatibility"))

    def emit(self, e: Emission) -> Emitted:

        labels = number(planes(e.bottoms[0], self.type)[1])
        names = [f"{e.name}_{blob.name}" for blob in self.blobs(*e.bottoms)]
        init = tuple(f"self.{name} = nn.Parameter(torch.empty({labels}, {labels}))" for name in names)
        tensors = tuple((name, Reshape(e.take(i), (labels, labels))) for i, name in enumerate(names))
        weights = ", ".join(f"self.{name}" for name in names)
        widths = f"alpha={literal(self.alpha)}, beta={literal(self.beta)}, gamma={literal(self.gamma)}"
        options = f"iterations={self.iterations}, {widths}"
        bottoms = ", ".join(as_planes(x, shape) for x, shape in zip(e.x, e.bottoms, strict=True))
        make = f"mean_field({bottoms}, ({weights}), {options})"
        return Emitted((f"{e.y[0]} = {make}",), init, (LATTICE, MEAN_FIELD), tensors)

    def traced(self) -> Mapping[str, str]:
        raise Refused(
            "mean-field inference cannot be exported",
            code="export",
            at="type",
            why="how many vertices its lattice has, and which are neighbours, depends on the image's numbers",
        )


LATTICE = '''
class Lattice:
    """A Gaussian filter of deviation 1 over points, on the permutohedral lattice.

    `features` is points × dimensions. The lattice has the vertices of the simplices
    that the points lie in, and of the origin's if their number is no multiple of 4:
    CRF-RNN's code takes points by fours and fills the last four up with zeros.
    """

    def __init__(self, features):
        count, d = features.shape
        features = F.pad(features, (0, 0, 0, 1)) if count % 4 else features
        points = len(features)
        options = {"device": features.device, "dtype": features.dtype}
        axis = torch.arange(1, d + 1, **options)
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
        vertices, vertex = codes.unique(return_inverse=True)
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

    def filter(self, values):
        """`values` is channels × points."""
        splat = (values[:, :, None] * self.weight.view(values.shape[1], -1)).flatten(1)
        grid = splat.new_zeros(values.shape[0], self.size + 1)
        grid = grid.index_add(1, self.vertex, splat)
        for before, after in self.neighbours:
            grid = grid + 0.5 * (grid[:, before] + grid[:, after])
        slices = (grid[:, self.vertex] * self.weight).reshape(*values.shape, -1)
        return (slices.sum(dim=2) / (1 + 2.0**-self.dimensions)).to(values.dtype)
'''

MEAN_FIELD = '''
def mean_field(scores, start, image, weights, iterations, alpha, beta, gamma):
    """CRF-RNN: mean-field inference in a dense CRF; the result is not normalised.

    `weights` holds the spatial and the bilateral filter's and the compatibility, each
    labels × labels.
    """
    n, labels, h, w = scores.shape
    dtype = torch.promote_types(image.dtype, torch.float32)
    options = {"device": scores.device, "dtype": dtype}
    rows, columns = torch.meshgrid(
        torch.arange(h, **options), torch.arange(w, **options), indexing="ij"
    )
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
'''
