"""A layer's code with holes in place of its names and its numbers, so that layers can be compared and written anew.

A layer emits its code once, for the names `x(0)`, `y(0)`, `ME`; whoever writes it out puts in the variables and the
attribute of the place. Layers whose code differs in numbers alone have one `Kind`: what is between the numbers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netcompile.emit.signatures import Keyword, Signature, signature_of
from netcompile.layers.base import Emitted

ME = "nc_me__"
_NAME = re.compile(r"nc_(?:([xy])(\d+)|me)__")


def x(index: int) -> str:
    """What stands for the variable of a layer's bottom."""
    return f"nc_x{index}__"


def y(index: int) -> str:
    """What stands for the variable of a layer's top."""
    return f"nc_y{index}__"


def filled(text: str, bottoms: Sequence[str], tops: Sequence[str], name: str) -> str:
    """Text with the names of a place in it."""
    before, places = _between(text)
    for kind, index, after in places:
        before += ((bottoms if kind == "x" else tops)[index] if kind else name) + after
    return before


@lru_cache(maxsize=1 << 12)  # layers that are alike have the same lines
def _between(text: str) -> tuple[str, tuple[tuple[str | None, int, str], ...]]:
    """The text before the first placeholder; for each its kind (None: the attribute), index, and the text behind it."""
    first, *rest = _NAME.split(text)
    kinds, indices, behind = rest[::3], rest[1::3], rest[2::3]
    return first, tuple(
        (kind, int(index or 0), after) for kind, index, after in zip(kinds, indices, behind, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Hole:
    """A number in a statement: of which function it is which argument.

    `default` is what the function takes where it is not given, None where it must be; then it is written as a keyword.
    """

    role: str  # the parameter's name; "" where the number is no argument of a known function
    default: str | None = None
    keyword: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A statement: text and holes in turn."""

    parts: tuple[str | Hole, ...]
    holes: tuple[Hole, ...] = ()

    def written(self, numbers: Sequence[str]) -> str:
        """The statement with these numbers; a keyword that has its default is left out."""
        rest = iter(numbers)
        found = []
        for part in self.parts:
            if isinstance(part, str):
                found.append(part)
                continue
            number = next(rest)
            if not part.keyword:
                found.append(number)
            elif number != part.default:
                found.append(f", {part.role}={number}")
        return "".join(found)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the code of several layers has in common: everything but names and numbers."""

    init: tuple[Line, ...]
    forward: tuple[Line, ...]
    functions: tuple[str, ...]
    imports: tuple[str, ...]
    keys: tuple[str, ...]  # of the state dict, behind the attribute's name
    bottoms: int
    tops: int

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The holes of all lines, those of ``__init__`` first."""
        return tuple(hole for line in (*self.init, *self.forward) for hole in line.holes)


def kind_of(emitted: Emitted, bottoms: int, tops: int) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a layer's code, for the placeholders' names, and its numbers as source text."""
    init = [split(line, emitted.functions) for line in emitted.init]
    forward = [split(line, emitted.functions) for line in emitted.forward]
    kind = Kind(
        tuple(line for line, _ in init),
        tuple(line for line, _ in forward),
        emitted.functions,
        emitted.imports,
        tuple(key for key, _ in emitted.tensors),
        bottoms,
        tops,
    )
    return kind, tuple(number for _, numbers in (*init, *forward) for number in numbers)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a layer's code is: the number of its kind, its numbers, what these are, and how many ``forward`` needs."""

    kind: int
    numbers: tuple[str, ...]
    holes: tuple[Hole, ...]
    stored: int


class Kinds:
    """Kinds of layers' code by number, with groups or without: a depthwise convolution is another thing."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Kind, bool], int] = {}
        self._known: dict[Hashable, Counted] = {}  # by the texts: most layers have those of another one

    @property
    def kinds(self) -> list[Kind]:
        """All that were met, in the order of their numbers."""
        return [kind for kind, _ in self._numbers]

    def counted(self, emitted: Emitted, bottoms: int, tops: int) -> Counted:
        """The code of a layer that reads and makes so many blobs."""
        keys = tuple(key for key, _ in emitted.tensors)
        texts = emitted.init, emitted.forward, emitted.functions, emitted.imports, keys, bottoms, tops
        found = self._known.get(texts)
        if found is None:
            kind, numbers = kind_of(emitted, bottoms, tops)
            holes = kind.holes
            groups = any(h.role == "groups" and number != "1" for h, number in zip(holes, numbers, strict=True))
            number = self._numbers.setdefault((kind, groups), len(self._numbers))
            found = self._known[texts] = Counted(number, numbers, holes, sum(len(line.holes) for line in kind.forward))
        return found


@lru_cache(maxsize=1 << 14)
def split(text: str, functions: tuple[str, ...] = ()) -> tuple[Line, tuple[str, ...]]:
    """A statement between its numbers, and the numbers; without holes where it is no whole statement.

    Keyword arguments of functions whose signature is known are holes even where they are not given.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a line of a compound statement
        return Line((text,)), ()
    raw = text.encode()
    starts = [0]
    for line in raw.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def place(node: ast.expr, end: bool = False) -> int:
        row, column = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
        return starts[(row or 1) - 1] + (column or 0)

    found: list[tuple[int, int, Hole, str]] = []  # from, to, the hole, the number
    given = {name.rpartition(".")[2]: name for name in functions}
    _collect(tree, found, place, lambda name: signature_of(given.get(name, name)), raw)
    parts: list[str | Hole] = []
    numbers, done = [], 0
    for begin, end, hole, number in sorted(found, key=lambda each: each[0]):
        if begin > done:
            parts.append(raw[done:begin].decode())
        parts.append(hole)
        numbers.append(number)
        done = max(done, end)
    if done < len(raw):
        parts.append(raw[done:].decode())
    return Line(tuple(parts), tuple(part for part in parts if isinstance(part, Hole))), tuple(numbers)


def _collect(
    tree: ast.AST,
    found: list[tuple[int, int, Hole, str]],
    place: Callable[..., int],
    signature: Callable[[str], Signature | None],
    raw: bytes,
) -> None:
    """The holes of a statement."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            known = signature(ast.unparse(node.func))
            if known is not None:
                _arguments(node, known, found, place, signature, raw)
                continue
        if isinstance(node, ast.expr) and is_number(node):
            begin, end = place(node), place(node, end=True)
            found.append((begin, end, Hole(""), raw[begin:end].decode()))
        else:
            _collect(node, found, place, signature, raw)


def _arguments(
    node: ast.Call,
    known: Signature,
    found: list[tuple[int, int, Hole, str]],
    place: Callable[..., int],
    signature: Callable[[str], Signature | None],
    raw: bytes,
) -> None:
    """The holes of a call: its numbers, and the keywords that it might have."""
    _collect(node.func, found, place, signature, raw)
    for index, argument in enumerate(node.args):
        role = known.positional[index] if index < len(known.positional) else ""
        if is_number(argument):
            begin, end = place(argument), place(argument, end=True)
            found.append((begin, end, Hole(role), raw[begin:end].decode()))
        else:
            _collect(ast.Expression(argument), found, place, signature, raw)
    positional = set(known.positional[: len(node.args)])
    keywords = {each.arg: each.value for each in node.keywords}
    options: Mapping[str, Keyword] = {each.name: each for each in known.keywords if each.name not in positional}
    if not node.args or None in keywords or not all(name in options and is_number(v) for name, v in keywords.items()):
        for each in node.keywords:
            if is_number(each.value):
                begin, end = place(each.value), place(each.value, end=True)
                found.append((begin, end, Hole(each.arg or ""), raw[begin:end].decode()))
            else:
                _collect(ast.Expression(each.value), found, place, signature, raw)
        return
    begin, end = place(node.args[-1], end=True), place(node, end=True) - 1
    for name, option in options.items():
        value = keywords.get(name)
        number = option.default if value is None else raw[place(value) : place(value, end=True)].decode()
        if number is not None:
            found.append((begin, end, Hole(name, option.default, True), number))


def is_number(node: ast.expr) -> bool:
    """Whether an expression is a number, a truth value, or a tuple or list of such."""
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return True
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return isinstance(operand, ast.Constant) and is_number(operand)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return all(map(is_number, parts))
    return False
