"""The rooms of docs/architecture.md: every file is in one, and imports only its own room and those above it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "netcompile"
DOCUMENT = REPOSITORY / "docs" / "architecture.md"
FRONT = {"netcompile", "netcompile.__main__"}  # import what they are the front of
# Programs of this repository, which read no file from elsewhere; the start of the program, which shows fixed texts; and
# the place where everything else is written.
PROGRAMS = {"netcompile.demo", "netcompile.train.demo", "netcompile.zoo.__main__"}
PRINTERS = {"netcompile.terminal", "netcompile.__main__", "netcompile.cli.program"} | PROGRAMS


def rooms() -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """What a file imports and calls."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom | ast.Call))


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports anywhere in it, for types too."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found & known.keys()


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_file_is_in_a_room() -> None:
    assert {room(module) for module in modules() if module not in FRONT} == set(rooms())
    assert len(rooms()) == len(set(rooms()))


def test_imports_go_one_way() -> None:
    known, order = modules(), rooms()
    wrong = [
        f"{module} imports {target}"
        for module, path in known.items()
        if module not in FRONT
        for target in imports(path, known) - FRONT
        if order.index(room(target)) > order.index(room(module))
    ]
    assert not wrong


def test_no_file_imports_the_front() -> None:
    known = modules()
    assert not [module for module, path in known.items() if module not in FRONT and imports(path, known) & FRONT]


def test_no_circles() -> None:
    known = modules()
    graph = nx.DiGraph((module, target) for module, path in known.items() for target in imports(path, known))
    assert list(nx.simple_cycles(graph)) == []


def test_the_files_that_the_document_names_exist() -> None:
    for name in re.findall(r"`((?:\w+/)+[\w.]+)`", DOCUMENT.read_text(encoding="utf-8")):
        assert (PACKAGE / name).exists() or (REPOSITORY / name).exists(), name


def prints(path: Path) -> list[str]:
    """Where a file writes to stdout or stderr by itself: print, write or writelines of a stream, a stream handed on."""
    found = []
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = [ast.unparse(part) for part in (*node.args, *(keyword.value for keyword in node.keywords))]
        streams = [text for text in given if re.fullmatch(r"sys\.(__)?std(out|err)(__)?(\.buffer)?", text)]
        if called == "print" or (called.startswith(("sys.stdout", "sys.stderr")) and "write" in called):
            found.append(f"{path.name}:{node.lineno}: {called}")
        elif streams and called not in (
            "getattr",
            "isinstance",
            "list_of_commands().print_help",
        ):  # argparse's: guarded
            found.append(f"{path.name}:{node.lineno}: {called}({', '.join(given)})")
        elif called in ("os.write", "Console", "rich.print", "warnings.showwarning"):
            found.append(f"{path.name}:{node.lineno}: {called}")
    return found


def test_one_place_prints() -> None:
    """Whatever is shown goes through `netcompile/terminal.py`, which escapes what would steer a terminal."""
    known = modules()
    wrong = {module: prints(path) for module, path in known.items() if module not in PRINTERS}
    assert {module: places for module, places in wrong.items() if places} == {}
    assert prints(PACKAGE / "terminal.py")


def test_printing_is_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "print(1)\nsys.stderr.write('x')\nfoo(file=sys.stderr)\nsys.stdout.isatty()\nsys.stdout.buffer.write(b'')\n"
    )
    assert len(prints(path)) == 4
