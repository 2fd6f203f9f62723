"""Random nets with planted repetitions: a random small block of layers, used several times among other layers."""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from random import Random

from netcompile.emit.module import EmittedModule

KEYWORDS = ("class", "def", "self", "forward", "x", "F", "nn", "torch", "Tensor", "Block1", "channels", "width", "type")
CLASHING = ("a.b", "a_b", "a/b", "a-b", "a b", "a_b_2", "A_b", "a__b")
Naming = Callable[[int, int, str], str]  # of the use, the layer in it, its type


def _long(use: int, layer: int, kind: str) -> str:
    return f"{'n' * 5000}{use}_{layer}{kind}"


NAMINGS: dict[str, Naming] = {
    "resnet": lambda use, layer, kind: (
        f"res{use // 3 + 2}{'abc'[use % 3]}_branch2{'abcdefghijklmnopqrstuvwxyz'[layer]}"
    ),
    "fire": lambda use, layer, kind: f"fire{use + 2}/{kind.lower()}{layer}",
    "vgg": lambda use, layer, kind: f"conv{use}_{layer}",
    "front": lambda use, layer, kind: f"{kind}{layer}_stage{use}",
    "numbers": lambda use, layer, kind: f"{use * 100 + layer}",
    "unrelated": lambda use, layer, kind: f"{Random(f'{use} {layer}').getrandbits(40):x}",
    "unicode": lambda use, layer, kind: f"блок{use}·слой {layer}é漢",
    "clash": lambda use, layer, kind: (
        ("a.b", "a_b", "a/b", "a-b", "a b", "a_b_2", "A_b", "a__b")[layer % 8] + "_" * use
    ),
    "keywords": lambda use, layer, kind: KEYWORDS[(use * 7 + layer) % len(KEYWORDS)] + (f"{use}" if use > 1 else ""),
    "same stem": lambda use, layer, kind: "l" * (use * 20 + layer + 1),
    "quotes": lambda use, layer, kind: f'it\'s \\"{use}\\" # {layer} \\\\ {{}}',
    "long": _long,
}
PLAIN = ("resnet", "fire", "vgg", "front")  # of ordinary length


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in a block: its channels are equal in every use where the symbols are equal."""

    name: str
    channels: tuple[str, ...]  # sorted symbols whose numbers are added


@dataclass(frozen=True, slots=True)
class Op:
    """A layer of a block: `text` is its parameters, in which ``<symbol>`` is a number of the use."""

    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Planted:
    """A block: its layers, what it reads and gives, and the symbols that each use gives numbers for."""

    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    symbols: tuple[str, ...]


@dataclass(slots=True)
class Net:
    """A text that grows, and which layers are planted: for each use the names of its layers."""

    text: str
    uses: list[list[str]] = field(default_factory=list)
    numbers: list[dict[str, int]] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)


_KEEPING = ("ReLU", "Sigmoid", "TanH", "BatchNorm", "Scale", "PReLU", "Dropout", "Power", "LRN", "Pooling", "ELU")

_KERNELS = ("kernel_size: 1", "kernel_size: 3 pad: 1", "kernel_size: 5 pad: 2")
_JOINS = ("", "operation: MAX", "coeff: 1 coeff: 0.5")


def block(random: Random, size: int, plain: bool) -> Planted:
    """A block of about `size` layers; it reads one value and gives one, or, where it is not `plain`, up to two."""
    stride = random.random() < 0.4
    inputs = ["in0"] if plain or stride or random.random() < 0.7 else ["in0", "in1"]
    values = [Tensor(name, (name,)) for name in inputs]
    symbols = [*inputs]
    ops: list[Op] = []

    def conv(of: Tensor, text: str) -> Tensor:
        symbol = random.choice([*(s for s in symbols if s.startswith("c")), f"c{len(symbols)}", f"c{len(symbols)}"])
        if symbol not in symbols:
            symbols.append(symbol)
        group = " bias_term: false" if random.random() < 0.3 else ""
        ops.append(Op("Convolution", (of.name,), (f"v{len(ops)}",), f"num_output: <{symbol}> {text}{group}"))
        return Tensor(ops[-1].tops[0], (symbol,))

    if stride:
        symbols.append("s")
        values = [conv(values[0], "kernel_size: 3 pad: 1 stride: <s>")]
    while len(ops) < size:
        kind = random.choice(("conv", "conv", "keep", "keep", "keep", "sum", "concat", "slice"))
        of = random.choice(values[-3:])
        top = f"v{len(ops)}"
        if kind == "conv":
            values = [
                *values,
                conv(of, random.choice(("kernel_size: 1", "kernel_size: 3 pad: 1", "kernel_size: 5 pad: 2"))),
            ]
        elif kind == "keep":
            ops.append(Op(random.choice(_KEEPING), (of.name,), (top,)))
            values = [*values, Tensor(top, of.channels)]
        elif kind == "sum":
            like = [value for value in values if value.channels == of.channels and value != of]
            if not like:
                continue
            other = random.choice(like)
            ops.append(
                Op(
                    "Eltwise",
                    (of.name, other.name),
                    (top,),
                    random.choice(("", "operation: MAX", "coeff: 1 coeff: 0.5")),
                )
            )
            values = [*values, Tensor(top, of.channels)]
        elif kind == "concat":
            other = random.choice(values)
            if other == of or len(of.channels) + len(other.channels) > 4:
                continue
            ops.append(Op("Concat", (of.name, other.name), (top,)))
            values = [*values, Tensor(top, tuple(sorted((*of.channels, *other.channels))))]
        else:
            if len(of.channels) != 1 or not of.channels[0].startswith("c") or "/" in of.channels[0]:
                continue
            half = (f"{of.channels[0]}/2",)
            ops.append(Op("Slice", (of.name,), (top, f"{top}b")))
            values = [*values, Tensor(top, half), Tensor(f"{top}b", half)]
    read = {name for op in ops for name in op.bottoms}
    loose = [value for value in values if value.name not in read and value.name not in inputs]
    unread = [name for name in inputs if name not in read]
    for name in unread:
        ops.append(Op("ReLU", (name,), (f"of_{name}",)))
        loose.append(Tensor(f"of_{name}", (name,)))
    given = 1 if plain else 2
    if len(loose) > given:
        ops.append(Op("Concat", tuple(value.name for value in loose[given - 1 :]), ("joined",)))
        loose = [*loose[: given - 1], Tensor("joined", ())]
    return Planted(tuple(ops), tuple(inputs), tuple(value.name for value in loose), tuple(symbols))


_PARAMETERS = {
    "Convolution": 'convolution_param { weight_filler { type: "xavier" } %s }',
    "Eltwise": "eltwise_param { %s }",
    "Scale": "scale_param { bias_term: true %s }",
    "Power": "power_param { scale: 0.5 shift: 1 %s }",
    "LRN": "lrn_param { local_size: 3 %s }",
    "Pooling": "pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 %s }",
    "Dropout": "dropout_param { dropout_ratio: 0.3 %s }",
}
_IN_PLACE = ("ReLU", "Sigmoid", "TanH", "BatchNorm", "Scale", "Dropout")


def planted(
    random: Random,
    count: int,
    size: int,
    naming: str,
    *,
    plain: bool = False,
    glue: bool = False,
    in_place: bool = False,
    varied: bool = False,
) -> Net:
    """A net that uses one block `count` times, each on what came before; with `glue` other layers stand between.

    The uses differ in channels and strides if they are `varied`.
    """
    what = block(random, size, plain)
    net = Net('name: "planted"\n')
    _input(net, "data", 8, 16)
    named = NAMINGS[naming]
    fixed = {s: 2 * random.randint(1, 4) for s in what.symbols}
    values = ["data"]
    for use in range(count):
        if glue and random.random() < 0.5:
            values.append(_other(random, net, values[-1], use))
        first = values[-1]
        given = dict(zip(what.inputs, [first, _second(random, net, values, first)], strict=False))
        numbers = {s: 2 * random.randint(1, 4) if varied else fixed[s] for s in what.symbols if s[0] == "c"}
        if "s" in what.symbols:
            numbers["s"] = random.choice((1, 1, 2)) if varied and net.size[first] >= 4 else 1
        values += _use(net, what, use, given, numbers, named, in_place)
    return net


def _input(net: Net, blob: str, channels: int, size: int) -> None:
    net.text += f'layer {{ name: "{blob}" type: "Input" top: "{blob}" '
    net.text += f"input_param {{ shape {{ dim: 1 dim: {channels} dim: {size} dim: {size} }} }} }}\n"
    net.channels[blob], net.size[blob] = channels, size


def _other(random: Random, net: Net, bottom: str, use: int) -> str:
    """A layer that is not the block's."""
    top = f"glue{use}"
    kind = random.choice(("ReLU", "AbsVal", "Convolution", "Convolution", "Softmax", "BNLL"))
    channels = net.channels[bottom]
    text = ""
    if kind == "Convolution":
        channels = random.randint(1, 9)
        text = f"convolution_param {{ num_output: {channels} kernel_size: 1 }} "
    net.text += f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {text}}}\n'
    net.channels[top], net.size[top] = channels, net.size[bottom]
    return top


def _second(random: Random, net: Net, values: Sequence[str], first: str) -> str:
    """An earlier value of the same size, for a block that reads two."""
    like = [value for value in values if net.size[value] == net.size[first] and value != first]
    return random.choice(like) if like else first


def _use(
    net: Net, what: Planted, use: int, given: dict[str, str], numbers: dict[str, int], named: Naming, in_place: bool
) -> list[str]:
    """Write one use of the block; return what it gives."""
    blobs = dict(given)
    channels = {name: net.channels[blob] for name, blob in given.items()}
    size = net.size[given["in0"]]
    readers: dict[str, list[int]] = {}
    for index, op in enumerate(what.ops):
        for name in op.bottoms:
            readers.setdefault(name, []).append(index)
    names = []
    for index, op in enumerate(what.ops):
        name = named(use, index, op.type)
        while name in names or any(name in each for each in net.uses):
            name += "'"
        names.append(name)
        text = op.text
        for symbol, number in numbers.items():
            text = text.replace(f"<{symbol}>", str(number))
        if op.type == "Convolution":
            size_of = (size - 1) // numbers["s"] + 1 if "<s>" in op.text else None
            size = size_of or size
        alone = readers[op.bottoms[0]] == [index] and op.bottoms[0] not in given
        over = in_place and op.type in _IN_PLACE and alone
        tops = [blobs[op.bottoms[0]]] if over else [name if i == 0 else f"{name}|{i}" for i in range(len(op.tops))]
        lines = _PARAMETERS.get(op.type, "%s") % text
        bottoms = " ".join(f'bottom: "{blobs[b]}"' for b in op.bottoms)
        net.text += f'layer {{ name: "{name}" type: "{op.type}" {bottoms} '
        net.text += " ".join(f'top: "{top}"' for top in tops) + f" {lines} }}\n"
        for inner, top in zip(op.tops, tops, strict=True):
            blobs[inner] = top
            channels[inner] = _channels(op, text, channels)
    net.uses.append(names)
    net.numbers.append(numbers)
    for inner in what.outputs:
        net.channels[blobs[inner]], net.size[blobs[inner]] = channels[inner], size
    return [blobs[inner] for inner in what.outputs]


def saving(flat: EmittedModule, net: Net) -> int:
    """How many lines a class for the planted block saves, with a line in each method for every use."""
    source, lasting = flat.source.split("\n"), _init_heights(flat)
    own = []
    for names in net.uses:
        spans = [
            flat.lines[index] for index, node in enumerate(flat.nodes) if node.name in names and index in flat.lines
        ]
        lines = {line for first, last in spans for line in range(first - 1, last)}
        attributes = {_attribute(weight.key, lasting) for weight in flat.weights if weight.layer in names}
        told = sum(not source[line].lstrip().startswith("#") for line in lines)
        own.append(told + sum(lasting[name] for name in attributes))
    columns = {tuple(numbers[s] for numbers in net.numbers) for s in net.numbers[0]}
    numbers = 1 + sum(len(set(column)) > 1 for column in columns)
    more = numbers if numbers > 3 else 0  # lines for the numbers in the class's head
    each = 2 + (2 if numbers > 3 else 0)  # a call that is too long for a line
    return sum(own) - max(own) - 11 - more - each * len(own)


def _init_heights(module: EmittedModule) -> dict[str, int]:
    """How many lines each attribute of the net has in ``__init__``."""
    tree = ast.parse(module.source)
    made = next(part for part in tree.body if isinstance(part, ast.ClassDef) and part.name == module.class_name)
    init = next(part for part in made.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
    found = {}
    for statement in init.body:
        if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Attribute):
            found[target.attr] = (statement.end_lineno or 0) - statement.lineno + 1
    return found


def _attribute(key: str, attributes: Container[str]) -> str:
    return key if key in attributes else key.rpartition(".")[0]


def height(module: EmittedModule) -> int:
    """The lines of a module without those that are comments."""
    return sum(not line.lstrip().startswith("#") for line in module.source.split("\n"))


def _channels(op: Op, text: str, channels: dict[str, int]) -> int:
    first = channels[op.bottoms[0]]
    if op.type == "Convolution":
        return int(text.split()[1])
    if op.type == "Concat":
        return sum(channels[name] for name in op.bottoms)
    return first // 2 if op.type == "Slice" else first
