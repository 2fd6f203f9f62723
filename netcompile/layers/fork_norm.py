"""Normalisations of Caffe's forks: the BN layers of SegNet and of PSPNet/TSN, SSD's Normalize, LRNMap."""

from __future__ import annotations

from netcompile.layers.activation import Elementwise
from netcompile.layers.base import (
    IDENTITY,
    Arity,
    Axes,
    BlobSpec,
    Emission,
    Emitted,
    Layer,
    Refused,
    Shape,
    layer,
    literal,
    number,
)
from netcompile.layers.params import Params
from netcompile.prototxt.message import Message
from netcompile.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self

    from netcompile.caffemodel.recipe import Recipe

SEGNET_EPS = 1e-9
# Fields that only one fork's bn_param has; they tell the forks apart.
SEGNET_FIELDS = ("bn_mode",)
TSN_FIELDS = ("slope_filler", "bias_filler", "frozen", "momentum", "eps", "engine")
OLD_PSPNET_FIELDS = ("var_eps", "decay", "moving_average", "axis")
SHARED_FIELDS = ("scale_filler", "shift_filler")  # SegNet's and the early PSPNet's


@layer("BN")
@record
class BN(Layer):
    """Batch normalisation with a learned scale and shift, as two families of forks have it under one name.

    `segnet` (SegNet, ENet, DeconvNet): blobs scale and shift, each 1×C×1×1. In mode LEARN every forward pass
    uses the statistics of its own batch, at test too (ε 1e-9); in mode INFERENCE the statistics are folded
    into the blobs, and the layer is scale · x + shift.

    `running` (PSPNet, TSN): blobs slope, bias, mean, variance. Running statistics at test, or always if
    `frozen`; batch statistics in training, where both running blobs become momentum · old + (1 − momentum) ·
    new.

    `early` (an older PSPNet): the same blobs, under scale_filler and shift_filler, with var_eps and decay;
    running statistics at test only if moving_average is set, else those of the batch.
    """

    kind: str = "segnet"
    mode: str = "LEARN"
    eps: float = SEGNET_EPS
    momentum: float = 0.9
    frozen: bool = False
    running: bool = False  # running statistics at test
    tops: int = 1
    scale_filler: Message | None = None
    shift_filler: Message | None = None

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=(1, 3))
    fork: ClassVar[str] = "SegNet, PSPNet, TSN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("bn_param")
        segnet = [f for f in SEGNET_FIELDS if s.message.has(f)]
        tsn = [f for f in TSN_FIELDS if s.message.has(f)]
        early = [f for f in OLD_PSPNET_FIELDS if s.message.has(f)]
        kinds = [fields for fields in (segnet, tsn, early) if fields]
        if len(kinds) > 1:
            s.refuse(
                kinds[1][0],
                f"{kinds[0][0]} and {kinds[1][0]} belong to BN layers of different forks",
                code="fork-clash",
                why="SegNet has bn_mode; PSPNet and TSN have slope_filler, bias_filler, frozen, momentum, eps; "
                "an early PSPNet has var_eps, decay, moving_average",
                remedy="keep the fields of the fork that the net was written for",
            )
            return cls()
        shared = [f for f in SHARED_FIELDS if s.message.has(f)]
        if not kinds and not shared:
            p.refuse(
                "bn_param" if p.has("bn_param") else "type",
                "a BN layer whose fork cannot be told",
                code="fork-clash",
                why="SegNet's BN has two blobs and PSPNet's four; only the fields of bn_param tell which is meant",
                remedy="bn_param { bn_mode: INFERENCE } for SegNet's, bn_param { frozen: true } for PSPNet's",
            )
            return cls()
        if tsn and shared:
            s.refuse(
                shared[0],
                f"{shared[0]} and {tsn[0]} belong to BN layers of different forks",
                code="fork-clash",
                remedy="slope_filler and bias_filler, or leave them out",
            )
            return cls()
        if tsn:
            s.ignore("engine")
            if p.tops > 1:
                p.refuse("top[1]", "this fork's BN makes one top", code="arity")
            return cls(
                "running",
                "",
                s.get("eps"),
                s.get("momentum"),
                bool(s.get("frozen")),
                True,
                1,
                s.filler("slope_filler"),
                s.filler("bias_filler"),
            )
        scale, shift = s.filler("scale_filler"), s.filler("shift_filler")
        if early:
            if s.get("axis") != 1:
                s.refuse(
                    "axis",
                    f"BN along axis {s.get('axis')}",
                    code="unsupported",
                    why="only axis 1 is known here",
                )
            decay, running = s.get("decay"), bool(s.get("moving_average"))
            return cls("early", "", s.get("var_eps"), 1 - decay, False, running, 1, scale, shift)
        return cls("segnet", s.get("bn_mode"), SEGNET_EPS, 0.9, False, False, p.tops, scale, shift)

    def channels(self, shape: Shape) -> int:
        if not 2 <= len(shape) <= 4:
            raise Refused(f"BN wants 2 to 4 axes, not {len(shape)}", at="bottom[0]")
        return number(shape[1])

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        c = self.channels(bottoms[0])
        return (bottoms[0], (1, c, 1, 1), (1, c, 1, 1))[: self.tops]

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        c = self.channels(bottoms[0])
        shape = (1, c) if self.kind == "running" else (1, c, 1, 1)
        own = (BlobSpec("weight", shape, self.scale_filler), BlobSpec("bias", shape, self.shift_filler))
        if self.kind == "segnet":
            return own
        return (*own, BlobSpec("running_mean", shape), BlobSpec("running_var", shape))

    def emit(self, e: Emission) -> Emitted:
        from netcompile.caffemodel.recipe import Constant, Reshape

        c, rank = self.channels(e.bottoms[0]), len(e.bottoms[0])
        me, x, y, eps = f"self.{e.name}", e.x[0], e.y[0], literal(self.eps)
        lines: list[str] = []
        functions: tuple[str, ...] = ()
        affine = f"{me}.weight, {me}.bias"
        keys = ["weight", "bias"] if self.kind == "segnet" else ["weight", "bias", "running_mean", "running_var"]
        tensors: list[tuple[str, Recipe]] = [
            (f"{e.name}.{key}", Reshape(e.take(i), (c,))) for i, key in enumerate(keys)
        ]
        if self.kind == "segnet":
            make, functions = f"ScaleShift({c})", (SCALE_SHIFT,)
        elif e.train and not self.frozen:
            make = f"RunningBN({c}, eps={eps}, momentum={literal(self.momentum)})"
            functions = (BATCH_NORM, RUNNING_BN)
        else:
            make = f"nn.BatchNorm{2 if rank == 4 else 1}d({c}, eps={eps})"
            make += ".requires_grad_(False)" if e.train else ""
        if self.kind == "segnet" and self.mode == "INFERENCE":
            if self.tops > 1:
                raise Refused(
                    "BN in mode INFERENCE makes one top",
                    code="arity",
                    at="top[1]",
                    why="it takes no statistics",
                )
            lines.append(f"{y} = {me}({x})")
        elif self.kind == "segnet" or (self.kind == "early" and not self.running and not e.train):
            dims = (0, *range(2, rank))
            for statistic, top in zip(("mean(%s)", "var(%s, correction=0)"), e.y[1:], strict=False):
                lines.append(f"{top} = {x}.{statistic % str(dims)}.view(1, -1, 1, 1)")
            lines.append(f"{y} = batch_norm({x}, {affine}, {eps})")
            functions = (*functions, BATCH_NORM)
        elif e.train and self.frozen:
            lines.append(f"{y} = F.batch_norm({x}, {me}.running_mean, {me}.running_var, {affine}, eps={eps})")
        else:
            lines.append(f"{y} = {me}({x})")
        if make.startswith("nn.BatchNorm"):
            tensors.append((f"{e.name}.num_batches_tracked", Constant(0, (), "int64")))
        return Emitted(tuple(lines), (f"{me} = {make}",), functions, tuple(tensors))


SCALE_SHIFT = '''
class ScaleShift(nn.Module):
    """A scale and a shift for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        shape = (-1,) + (1,) * (x.dim() - 2)
        return x * self.weight.view(shape) + self.bias.view(shape)
'''

BATCH_NORM = '''
def batch_norm(x, weight, bias, eps):
    """Normalise by the batch's mean and biased variance, then scale and shift."""
    dims, shape = (0, *range(2, x.dim())), (-1,) + (1,) * (x.dim() - 2)
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    return (x - mean) / (var + eps).sqrt() * weight.view(shape) + bias.view(shape)
'''

RUNNING_BN = '''
class RunningBN(nn.Module):
    """Batch normalisation whose running variance is the biased one, as in the fork."""

    def __init__(self, channels, eps, momentum):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        if not self.training:
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        with torch.no_grad():
            var, mean = torch.var_mean(x, (0, *range(2, x.dim())), correction=0)
            self.running_mean.lerp_(mean, 1 - self.momentum)
            self.running_var.lerp_(var, 1 - self.momentum)
        return batch_norm(x, self.weight, self.bias, self.eps)
'''


@layer("Normalize")
@record
class Normalize(Layer):
    """Unit Euclidean length, of each pixel's channels or of a whole image, times a learned scale (SSD).

    The length is √(Σx² + ε), over the channels of a pixel or, with across_spatial, over all of an image.
    """

    across_spatial: bool = True
    channel_shared: bool = True
    eps: float = 1e-10
    scale_filler: Message | None = None

    arity: ClassVar[Arity] = Arity(bottoms=1, tops=1)
    fork: ClassVar[str] = "SSD"

    @classmethod
    def read(cls, p: Params) -> Self:
        if not p.has("norm_param"):
            p.refuse(
                "type",
                "a Normalize layer whose fork cannot be told",
                code="fork-clash",
                why="SSD's has norm_param and a scale blob; the face forks' has neither, and they differ",
                remedy="norm_param { } for SSD's",
            )
        s = p.sub("norm_param")
        return cls(
            bool(s.get("across_spatial")),
            bool(s.get("channel_shared")),
            s.get("eps"),
            s.filler("scale_filler"),
        )

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        if not 2 <= len(bottoms[0]) <= 4:
            raise Refused(f"Normalize wants 2 to 4 axes, not {len(bottoms[0])}", at="bottom[0]")
        return (bottoms[0],)

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        return (IDENTITY,)

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        shape = () if self.channel_shared else (number(bottoms[0][1]),)
        return (BlobSpec("scale", shape, self.scale_filler),)

    def emit(self, e: Emission) -> Emitted:
        x, rank = e.x[0], len(e.bottoms[0])
        shape = "()" if self.channel_shared else f"{e.bottoms[0][1]}"
        init = f"self.{e.name}_scale = nn.Parameter(torch.ones({shape}))"
        eps = literal(self.eps)
        dims = tuple(range(1, rank)) if self.across_spatial and rank > 2 else 1
        norm = f"({x}.pow(2).sum(dim={dims}, keepdim=True) + {eps}).sqrt()"
        view = "" if self.channel_shared or rank == 2 else ".view(-1" + ", 1" * (rank - 2) + ")"
        line = f"{e.y[0]} = {x} / {norm} * self.{e.name}_scale{view}"
        return Emitted((line,), (init,), (), ((f"{e.name}_scale", e.take(0)),))


@layer("LRNMap")
@record
class LRNMap(Elementwise):
    """Normalisation within each map, as an early branch of Caffe had it: x · (1 + α·mean(x²))^−β."""

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75

    fork: ClassVar[str] = "cuda-convnet LRN"

    @classmethod
    def read(cls, p: Params) -> Self:
        s = p.sub("lrn_map_param")
        size = int(s.get("local_size"))
        if size < 1 or size % 2 == 0:
            s.refuse("local_size", f"local_size {size} is not odd", code="param-range")
            size = 5
        return cls(size, s.get("alpha"), s.get("beta"))

    def expression(self, x: str) -> str:
        mean = f"F.avg_pool2d({x} * {x}, {self.size}, stride=1, padding={self.size // 2})"
        return f"{x} * (1 + {literal(self.alpha)} * {mean}) ** -{literal(self.beta)}"
