"""What a layer type is: one class that knows its parameters, shapes, coordinates, blobs and source code.

A class is written for one Caffe layer type and registered with ``@layer("Type")``. Every method is a pure function of
the class's own fields and of the shapes it is handed. What a class does not define is not guessed: `coords` undefined
means that no coordinate survives the layer, and whoever needs one says so.

Extents (`Dim`) are plain ints, or exact `Size` functions of the input's height or width: the shape rules are written
once and serve both. A rule that truly needs a number calls `number`, which raises `NeedsNumber` for a symbolic extent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from netcompile.algebra.coords import AxisMap
from netcompile.algebra.size import Size
from netcompile.algebra.volume import Volume
from netcompile.caffemodel.recipe import Recipe
from netcompile.layers.images import Images, nobody
from netcompile.layers.params import Params
from netcompile.layers.source import as_planes, call
from netcompile.layers.traits import InPlaceGradient, Labels, Reach, Rows
from netcompile.prototxt.message import Message

L = TypeVar("L", bound=type["Layer"])

AUTOMATIC = "(automatic)"  # Caffe's name for every top that it invents

Dim = int | Size | Volume
Shape = tuple[Dim, ...]
IntShape = tuple[int, ...]
Wish = tuple[int | None, ...]  # a shape, None for an extent that may be any


class Refused(Exception):
    """A layer cannot be what its parameters and bottoms say; `at` names the field at fault, as a path.

    `at` is a path below the layer's message: "convolution_param.stride", "bottom[1]", or "" for the layer itself.
    """

    def __init__(self, what: str, *, code: str = "shape", why: str = "", remedy: str = "", at: str = "") -> None:
        super().__init__(what)
        self.what, self.code, self.why, self.remedy, self.at = what, code, why, remedy, at


class NeedsNumber(Exception):
    """A shape rule needs an extent as a number, so the net is tied to the sizes that it was declared with."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`left == right` or `left >= right` must hold for the layer to be legal; `refusal` says what it means if not.

    A function as `refusal` makes it when it is asked for: words about sizes take longer than the question itself.
    """

    left: Dim
    relation: str
    right: Dim
    refusal: Refused | Callable[[], Refused]

    def refused(self) -> Refused:
        """What it means that the condition does not hold."""
        return self.refusal if isinstance(self.refusal, Refused) else self.refusal()

    def holds(self) -> bool:
        """Whether the relation holds between two plain numbers, or identically between two sizes."""
        if self.relation == "==":
            return bool(self.left == self.right)
        if isinstance(self.left, int) and isinstance(self.right, int):
            return self.left >= self.right
        return False


@dataclass(frozen=True, slots=True)
class Arity:
    """How many bottoms and tops a layer type takes: an exact number, or (least, most), `most` None for no limit."""

    bottoms: int | tuple[int, int | None] = 1
    tops: int | tuple[int, int | None] = 1
    equal: bool = False  # as many tops as bottoms

    @staticmethod
    def range(bound: int | tuple[int, int | None]) -> tuple[int, int | None]:
        return (bound, bound) if isinstance(bound, int) else bound


# What blobs of these names are to their layers.
_MEANINGS = {
    "weight": "kernel",
    "scale": "kernel",
    "bias": "bias",
    "mean": "mean",
    "running_mean": "mean",
    "variance": "variance",
    "running_var": "variance",
    "factor": "factor",
}


@dataclass(frozen=True, slots=True)
class BlobSpec:
    """One learnable blob: Caffe's shape, the name it has in PyTorch, and the filler that Caffe would draw it with.

    `role` says what its numbers are to the layer where the name does not: "kernel" (the bottom is multiplied by it, so
    that zeros let nothing through), "bias", "mean", "variance", "factor", or any other word.
    `unread`: the layer computes nothing from it, and takes it in whatever shape the file has it.
    """

    name: str
    shape: IntShape
    filler: Message | None = None
    role: str = ""
    unread: bool = False

    @property
    def meaning(self) -> str:
        """The role, as given or as the name tells; "" where neither does."""
        return self.role or _MEANINGS.get(self.name.rpartition(".")[2], "")

    @property
    def learned(self) -> bool:
        """Whether gradients change it; running statistics are counted, not learned."""
        return self.meaning not in ("mean", "variance", "factor", "correction")


@dataclass(frozen=True, slots=True)
class Emitted:
    """Source lines of one layer: for ``__init__``, for ``forward``, the functions it calls, and its tensors' recipes.

    `functions` name what the module contains a copy of: "pooling.caffe_max_pool" of `netcompile/prelude/pooling.py`;
    what these use in turn comes with them. `imports` name what it imports: "package.module.function". `tensors` maps a
    state_dict key to the recipe that makes it from the caffemodel.
    """

    forward: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    tensors: tuple[tuple[str, Recipe], ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Emission:
    """Where a layer's code goes: its variables, its attribute name, and the numbers that it may rely on."""

    x: tuple[str, ...]  # variables that hold the bottoms
    y: tuple[str, ...]  # variables that take the tops
    name: str  # attribute name, unique in the module: self.<name>
    layer_name: str  # Caffe's name of the layer, whose blobs are taken
    bottoms: tuple[IntShape, ...]  # shapes with the declared input
    tops: tuple[IntShape, ...]
    train: bool = False  # the net was built for phase TRAIN
    sources: tuple[Recipe, ...] = ()  # for each blob where it is taken from: a shared one's owner
    names: Mapping[tuple[str, int], str] | None = None  # (layer, occurrence) → attribute

    def take(self, index: int) -> Recipe:
        """The layer's blob `index`, as the caffemodel has it."""
        return self.sources[index]

    def entries(self, specs: Sequence[BlobSpec]) -> tuple[tuple[str, Recipe], ...]:
        """The state_dict entries of blobs that an attribute of the layer's name holds as the caffemodel has them."""
        return tuple((f"{self.name}.{spec.name}", self.take(index)) for index, spec in enumerate(specs))

    @property
    def planes(self) -> tuple[str, ...]:
        """The bottoms' variables, with an axis of length 1 for each that they lack of four."""
        return tuple(as_planes(x, shape) for x, shape in zip(self.x, self.bottoms, strict=True))

    def assign(self, text: str) -> Emitted:
        """The one top as the value of an expression."""
        return Emitted((f"{self.y[0]} = {text}",))

    def call(self, function: str, *args: object, **kwargs: object) -> Emitted:
        """The tops as results of a prelude function "module.function"; keyword arguments that are None are left out."""
        made = call(function.rpartition(".")[2], *args, **kwargs)
        return Emitted((f"{', '.join(self.y)} = {made}",), functions=(function,))


# Axes, for `Layer.mixed`.
NO_AXES, CHANNELS, PLANE, ITEM = frozenset[int](), frozenset([1]), frozenset([2, 3]), frozenset([1, 2, 3, 4])

# What a layer is to a reader of the net: colours in graphs, and what is drawn as one box.
FAMILIES = (
    "activation",
    "convolution",
    "crop",
    "input",
    "join",
    "normalisation",
    "pooling",
    "prediction",
    "upsampling",
)

Axes = tuple[AxisMap, AxisMap]  # (H, W)
IDENTITY: Axes = (AxisMap.identity(), AxisMap.identity())


class Layer:
    """Base of every layer type. Subclasses are frozen dataclasses registered with `@layer`.

    One without fields of its own may go without the decorator, where its base has it: it is the same dataclass.
    """

    __slots__ = ()
    type: ClassVar[str] = ""
    arity: ClassVar[Arity] = Arity()
    is_data: ClassVar[bool] = False  # produces its tops from outside: becomes an input of the module
    declares_shapes: ClassVar[bool] = False  # a data layer whose fields are its tops' shapes: each matters
    is_measure: ClassVar[bool] = False  # loss or metric: vanishes at inference with the labels that it needs
    computed: ClassVar[bool] = True  # False: known by name, and computed by nobody here
    taught: ClassVar[str] = ""  # what a loss, a metric or a Softmax says of the values that it reads first
    auto_top: ClassVar[bool] = False  # Caffe invents a top where none is named (losses)
    sized_by_values: ClassVar[bool] = False  # how large a top is depends on numbers: `shapes` tells the least
    keeps_state: ClassVar[bool] = False  # has attributes though no blobs: wants a unique name
    attributes: ClassVar[tuple[str, ...]] = ()  # ends of further attributes that its code sets: f"{e.name}_scale"
    regions: ClassVar[int | None] = None  # the bottom whose rows are regions of an image, as many as there are
    index_bottoms: ClassVar[tuple[int, ...]] = ()  # read as whole numbers, in whatever type they come
    moves: ClassVar[slice | None] = None  # bottoms whose elements the tops are: indices among them stay indices
    fork: ClassVar[str] = ""  # the fork that has this layer, "" for BVLC Caffe
    stored: ClassVar[tuple[str, ...]] = ()  # roles of its blobs, if these are the same whatever its parameters
    mixed: ClassVar[frozenset[int] | None] = None  # `mixes`, where it is always the same
    family: ClassVar[str] = "other"  # one of FAMILIES, or "other"
    counts_every_gradient: ClassVar[bool] = False  # Caffe computes its blobs' gradients where lr_mult is 0, too
    with_loss: ClassVar[str] = ""  # the loss that contains this layer, and keeps the digits that it rounds away

    @classmethod
    def read(cls, p: Params) -> Layer:
        """The layer that a `LayerParameter` describes; reports its mistakes to `p`."""
        return cls()

    def conditions(self, *bottoms: Shape) -> Sequence[Condition]:
        """What must hold between the bottoms' extents."""
        return ()

    def shapes(self, *bottoms: Shape) -> tuple[Shape, ...]:
        """The tops' shapes, given the bottoms' (Caffe's Reshape). Raises Refused, NeedsNumber."""
        raise NotImplementedError

    def wants(self, index: int, *bottoms: IntShape) -> Sequence[Wish]:
        """Shapes that would do as bottom `index` beside the others as they are, the likeliest first.

        None stands for an extent that may be any. Asked only where the layer is refused and the file does not say the
        shape of an input that it depends on. Most layers of several bottoms want them alike.
        """
        return tuple(dict.fromkeys(bottom for other, bottom in enumerate(bottoms) if other != index))

    def coords(self, *bottoms: Shape) -> tuple[Axes | None, ...] | None:
        """Per bottom, the map from the top's pixel grid to that bottom's; None where a bottom sets no coordinate.

        Several bottoms with a map must agree about where a pixel lies. None altogether: undefined.
        """
        return None

    def reach(self, *bottoms: Shape) -> tuple[tuple[Reach, Reach] | None, ...] | None:
        """Per bottom, which of its pixels a pixel of the top sees (H, W); None where a bottom's pixels do not count.

        None altogether: undefined. Without an override it follows from `coords`: layers that work pixel by pixel,
        shifted or not, see one pixel; not so those that move no pixel and mix them all the same.
        """
        maps, mixed = self.coords(*bottoms), self.mixes(False, *bottoms) or ()
        if maps is None or (set(maps) == {IDENTITY} and (2 in mixed or 3 in mixed)):
            return None
        found: list[tuple[Reach, Reach] | None] = []
        for axes in maps:
            if axes is None:
                found.append(None)
                continue
            if any(m.stride != 1 or m.offset.denominator != 1 for m in axes):
                return None
            found.append((Reach(pad=-int(axes[0].offset)), Reach(pad=-int(axes[1].offset))))
        return tuple(found)

    # Traits: what passes ask for in place of a layer's name. False, None and "" mean "not known", so that whoever asks
    # does without. tests/layers/test_traits.py holds every class to its answers, by numbers.

    def mixes(self, train: bool, *bottoms: Shape) -> Collection[int] | None:
        """The axes along which a top's element is not computed alike everywhere, from the bottoms' at its place alone.

        Along any other axis a part of the bottoms gives that part of the tops, however long the axis is; what a random
        layer draws is left out. `train`: with phase TRAIN. None: not known, perhaps all.
        """
        return self.mixed

    def pixelwise(self, *bottoms: Shape) -> bool:
        """Whether, at test, the layer treats each pixel of N×C×H×W bottoms by itself."""
        mixed = self.mixes(False, *bottoms)
        return mixed is not None and all(len(b) == 4 for b in bottoms) and 2 not in mixed and 3 not in mixed

    def rowwise(self, *bottoms: Shape) -> bool:
        """Whether the layer treats each entry of axis 0 by itself, in training too."""
        mixed = self.mixes(True, *bottoms)
        return mixed is not None and 0 not in mixed

    def same_on_maps(self, *maps: Shape) -> bool:
        """Whether the layer does to N×K×1×1 bottoms (`maps`) what it does to N×K ones."""
        return self.pixelwise(*maps)

    def content(self, *bottoms: str) -> str:
        """What the tops hold if the bottoms hold this, one of `analysis.outputs.CONTENTS`, or "" where nothing says."""
        if self.moves is not None:
            found = set(bottoms[self.moves])
            return found.pop() if len(found) == 1 else ""
        return bottoms[0] if bottoms and self.is_noop(train=False) else ""

    def detected(self) -> Rows | None:
        """What the top says where it holds "detections"."""
        return None

    def labels(self, *bottoms: IntShape) -> Labels | None:
        """The bottom that the layer reads class labels from."""
        return None

    def takes_logarithm(self) -> bool:
        """Whether it takes the logarithm of its first bottom as it is, so that a 0 gives no number."""
        return False

    def in_place_gradient(self) -> InPlaceGradient | None:
        """Caffe's gradient where the top is the bottom; None where that is the derivative."""
        return None

    def blobs(self, *bottoms: Shape) -> tuple[BlobSpec, ...]:
        """The learnable blobs in Caffe's order."""
        return ()

    def index_tops(self) -> tuple[int, ...]:
        """Tops that hold indices: emitted as int64 (or wider than the net's type), which no float type rounds."""
        return ()

    def choices(self, *bottoms: IntShape) -> int:
        """How many elements an index in `index_tops` chooses from; 0 where that is not known."""
        return 0

    def macs(self, bottoms: Sequence[IntShape], tops: Sequence[IntShape]) -> int:
        """Multiply-accumulates of one forward pass."""
        return 0

    def emit(self, e: Emission) -> Emitted:
        """The layer's source code."""
        raise NotImplementedError

    def shares_memory(self, bottoms: int, tops: int) -> bool:
        """Whether every top is the first bottom's memory and no copy (Caffe's ShareData), with so many of them."""
        return False

    def images(self, message: Message, top: str) -> Images:
        """What a data layer does to the images that it feeds as `top`; for any other input nobody says."""
        return nobody()

    def traced(self) -> Mapping[str, str]:
        """Functions that `emit` calls and torch.export cannot follow: the dotted name of what stands in for each.

        A stand-in takes the module's functions, by name, before the function's own arguments. Raises Refused where the
        layer has parameters for which there is none.
        """
        return {}

    def is_noop(self, train: bool) -> bool:
        """Whether, at inference, every top equals the first bottom, so that the layer may be dropped."""
        return False


REGISTRY: dict[str, type[Layer]] = {}


def layer(*types: str) -> Callable[[L], L]:
    """Register a class for one Caffe layer type, or several names of it."""

    def register(cls: L) -> L:
        for name in types:
            if name in REGISTRY:
                raise ValueError(f"layer type {name!r} is registered twice: {REGISTRY[name]} and {cls}")
            REGISTRY[name] = cls
        if "type" not in cls.__dict__:
            cls.type = types[0]
        return cls

    return register
