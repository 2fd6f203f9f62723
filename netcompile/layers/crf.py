"""CRF-RNN's mean-field inference, on the permutohedral lattice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netcompile.caffemodel.recipe import Reshape
from netcompile.layers.base import (
    IDENTITY,
    ITEM,
    Arity,
    Axes,
    BlobSpec,
    Condition,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    layer,
)
from netcompile.layers.params import Params
from netcompile.layers.shapes import number, planes, same_shape
from netcompile.layers.source import literal


@layer("MultiStageMeanfield")
@dataclass(frozen=True, slots=True)
class MultiStageMeanfield(Layer):
    """A dense CRF as a recurrent net (Zheng et al., "Conditional Random Fields as Recurrent Neural Networks").

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
    attributes: ClassVar[tuple[str, ...]] = ("_spatial", "_bilateral", "_compatibility")
    mixed: ClassVar[frozenset[int] | None] = ITEM

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
        widths = {"alpha": literal(self.alpha), "beta": literal(self.beta), "gamma": literal(self.gamma)}
        made = e.call("crf.mean_field", *e.planes, f"({weights})", iterations=self.iterations, **widths)
        return replace(made, init=init, tensors=tensors)

    def traced(self) -> Mapping[str, str]:
        raise Refused(
            "mean-field inference cannot be exported",
            code="export",
            at="type",
            why="how many vertices its lattice has, and which are neighbours, depends on the image's numbers",
        )
