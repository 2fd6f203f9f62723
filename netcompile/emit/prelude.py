"""The functions of an emitted module: real Python in `netcompile/prelude`, whose source text is copied.

A layer names a function as "module.function": "pooling.caffe_max_pool" stands in `netcompile/prelude/pooling.py`.
Another package's module has its whole name: "my_layers.functions.swirl". Nothing is imported: these modules need torch.
"""

from __future__ import annotations

import ast
import symtable
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

PRELUDE = "netcompile.prelude"
WIDTH = 88
# What the code of layers may use without naming it.
IMPORTS = {
    "torch": "import torch",
    "F": "import torch.nn.functional as F",
    "nn": "from torch import nn",
    "Tensor": "from torch import Tensor",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or constant at the top level of a prelude module."""

    name: str
    source: str  # with its decorators and the comment right above
    uses: tuple[str, ...]  # what it needs of the prelude, as "module.name", in the order of the file
    imports: tuple[str, ...]  # the import statements that it needs
    module: str = ""  # the whole name of its module


class Missing(LookupError):
    """A layer names a function that is not there."""


class Clash(ValueError):
    """Two different functions of one emitted module would have the same name."""


def closure(names: Iterable[str]) -> dict[str, Definition]:
    """The definitions called `names` ("module.function") and all that they use, each after what it uses, by name.

    Raises Missing where there is none of that name, and Clash where two that differ have one.
    """
    found: dict[str, Definition] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        definition = _named(name)
        for used in definition.uses:
            visit(used)
        if found.setdefault(definition.name, definition) is not definition:
            raise Clash(f"two functions are called {definition.name}, the second one {name}")

    for name in names:
        visit(name)
    return found


def whole(modules: Iterable[str]) -> dict[str, Definition]:
    """All that these prelude modules define, and what that uses, by name, in an order of its own."""
    return closure([f"{module}.{name}" for module in modules for name in definitions(module)])


def free_names(source: str) -> frozenset[str]:
    """Names that a piece of source uses and does not bind in a function: globals and builtins."""
    found: set[str] = set()
    tables = [symtable.symtable(source, "<emitted>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        outermost = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (outermost or s.is_global())}
    return frozenset(found)


def import_lines(statements: Iterable[str]) -> list[str]:
    """Import statements, each once, in isort's order: Python's own library, an empty line, then torch and others.

    Names of one module are imported together: constants first, then classes, then what has a small letter.

    >>> import_lines(["from torch import nn", "import torch", "from torch import Tensor", "import math"])
    ['import math', '', 'import torch', 'from torch import Tensor, nn']
    """
    plain: dict[str, str] = {}  # module → statement
    names: dict[str, set[str]] = {}  # module → what is imported from it
    for statement in statements:
        if statement.startswith("from "):
            module, _, name = statement.removeprefix("from ").partition(" import ")
            names.setdefault(module, set()).add(name)
        else:
            plain[statement.split(" ")[1]] = statement
    lines = sorted(plain.items())
    lines += [(module, f"from {module} import {', '.join(_sorted(names[module]))}") for module in sorted(names)]
    own = [line for module, line in lines if module.partition(".")[0] in sys.stdlib_module_names]
    others = [line for _, line in lines if line not in own]
    return [*own, *([""] if own and others else []), *(part for line in others for part in _in_lines(line))]


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=_kind)


def _in_lines(statement: str) -> list[str]:
    """An import statement; one that is too long has a line for each name."""
    if len(statement) <= WIDTH:
        return [statement]
    head, _, names = statement.partition(" import ")
    return [f"{head} import (", *(f"    {name}," for name in names.split(", ")), ")"]


def _kind(name: str) -> tuple[int, str, str]:
    """By which isort sorts names."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name.lower(), name


def _named(name: str) -> Definition:
    module, _, function = name.rpartition(".")
    try:
        return definitions(module)[function]
    except KeyError:
        raise Missing(f"there is no {function} in {_module(module)}") from None


@cache
def definitions(module: str) -> Mapping[str, Definition]:
    """All of a module's functions, classes and constants, by name. Raises Missing where there is no such module."""
    path = _module(module)
    try:
        spec = find_spec(path)
    except (ImportError, ValueError):  # its package is not there
        spec = None
    source = spec.loader.get_source(path) if spec and spec.loader else None  # type: ignore[attr-defined]
    if source is None:
        raise Missing(f"there is no module {path}")
    return _definitions(source, module, path.rpartition(".")[0] + ".")


def _module(module: str) -> str:
    return module if "." in module else f"{PRELUDE}.{module}"


def _definitions(source: str, module: str, package: str) -> dict[str, Definition]:
    lines = source.splitlines()
    imports: dict[str, str] = {}  # name → import statement
    used: dict[str, str] = {}  # name → what it is in the prelude
    places: dict[str, tuple[int, int]] = {}  # name → first and last line, from 0
    for statement in ast.parse(source).body:
        first, last = statement.lineno - 1, statement.end_lineno or 0
        match statement:
            case ast.ImportFrom(module=str(origin), names=names) if origin.startswith((package, f"{PRELUDE}.")):
                short = origin.removeprefix(f"{PRELUDE}.")
                used |= {alias.name: f"{short}.{alias.name}" for alias in names}
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                imports |= {alias.asname or alias.name: _import(statement, alias) for alias in names}
            case ast.FunctionDef() | ast.ClassDef():
                first = min([first, *(d.lineno - 1 for d in statement.decorator_list)])
                while first and lines[first - 1].startswith("#"):
                    first -= 1
                places[statement.name] = first, last
            case ast.Assign(targets=[ast.Name(id=name)]):
                places[name] = first, last
    used |= {name: f"{module}.{name}" for name in places}
    found = {}
    for name, (first, last) in places.items():
        text = "\n".join(lines[first:last])
        free = free_names(text) - {name}
        needs = tuple(path for other, path in used.items() if other in free)
        found[name] = Definition(
            name, text, needs, tuple(line for other, line in imports.items() if other in free), _module(module)
        )
    return found


def _import(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """The statement that imports one name."""
    name = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
    return f"from {statement.module} import {name}" if isinstance(statement, ast.ImportFrom) else f"import {name}"
