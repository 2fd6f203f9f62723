"""Names × places × commands: a net with hostile names must do what it does with its own names, and escape from nothing.

A case follows from its number: a conformance net, new names for some of its parts, one command. What it is held
against is the same net with its own names: the structure of the emitted module, the numbers that it computes, the
structure of pages, graphs and tables, and the exit code.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

from netcompile.cli.exit_codes import USAGE
from netcompile.cli.main import entry
from netcompile.diagnostics.source import Source
from netcompile.emit import nesting
from netcompile.emit.prelude import free_names
from netcompile.prototxt.load import load_net
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import open_source
from tests.conftest import ALL_CASES, ConformanceCase
from tests.names.payloads import SPECIAL, identifiers, payloads
from tests.names.renamed import PLACES, Renaming, drawn, rename, rename_weights

NET, WEIGHTS, INPUTS = "net.prototxt", "weights.caffemodel", "inputs.npz"
LEVELS = (0, 1, 2)
REPORTS = (
    ("check",),
    ("check", "--json"),
    ("offsets",),
    ("offsets", "--json"),
    ("offsets", "--html"),
    ("offsets", "--explain"),
    ("inspect",),
    ("inspect", "--json"),
    ("inspect", "--dot"),
    ("inspect", "--graphml"),
    ("upgrade",),
)
LARGEST = 255  # bytes of a file's name
ARCHIVED = 65_500  # bytes of a name in a zip
TOLERANCE = 1e-6  # of the largest number: the same code in the same process, but memory lies elsewhere


class Escaped(AssertionError):
    """A name that did more than name something."""


@dataclass(frozen=True, slots=True)
class NamesCase:
    """One net with other names, and what is done with it."""

    number: int
    base: ConformanceCase
    renaming: Renaming
    action: tuple[str, ...]
    all_escaped: bool = False

    def __repr__(self) -> str:
        names = "\n".join(
            f"  {place} {old!r}: {new[:60]!r}{len(new):>7}" for (place, old), new in self.renaming.items()
        )
        return f"number {self.number}: {self.base.name}, {' '.join(self.action)}\n{names}"


@cache
def bases() -> tuple[ConformanceCase, ...]:
    """The conformance nets for inference whose caffemodel names every layer once."""
    return tuple(c for c in ALL_CASES if c.phase == "TEST" and not c.level and not c.stages and _unique(c))


def _unique(case: ConformanceCase) -> bool:
    from netcompile.caffemodel.reader import read_caffemodel

    if case.weights is None:
        return True
    names = [layer.name for layer in read_caffemodel(case.weights).layers]
    return len(set(names)) == len(names)


@cache
def actions() -> tuple[tuple[str, ...], ...]:
    """Everything that is done with a net: what computes at every level, what reports once."""
    found: list[tuple[str, ...]] = [(name, f"-O{level}") for name in ("load", "build", "run") for level in LEVELS]
    return (*found, ("verify",), ("convert-weights",), *REPORTS)


def case_of(number: int, seed: int = 0) -> NamesCase:
    """The case of this number."""
    random = Random(f"{seed} {number}")
    base = random.choice(bases())
    action = actions()[number % len(actions())]
    places = PLACES if random.random() < 0.5 else (random.choice(PLACES),)
    text = base.net.read_text()
    mine = random.choice((payloads(), SPECIAL, own_names(base.name)))
    if len(mine) < text.count('"'):
        mine = SPECIAL
    return NamesCase(number, base, drawn(text, mine, random, places), action, random.random() < 0.1)


@cache
def own_names(base: str) -> tuple[str, ...]:
    """The identifiers of a net's modules at every level, and some that are cut to them."""
    found = set().union(*(identifiers(_plain(base, level).source) for level in LEVELS))
    return tuple(sorted([*found, *(f"{name[:-1]}-" for name in found if name[-1:] == "_")]))


@dataclass(frozen=True, slots=True)
class Plain:
    """A net's module under its own names: source and results."""

    source: str
    outputs: tuple[Any, ...]


# Whether calls share a line depends on how long names are. Here they always do, so that only what names do is seen.
any_width = patch.object(nesting, "WIDTH", 1 << 30)


@cache
@any_width
def _plain(base: str, level: int) -> Plain:
    case = next(c for c in bases() if c.name == base)
    with _folder(NamesCase(-1, case, {}, ())):
        source, outputs = _loaded(case, {}, level)
    return Plain(source, tuple(outputs))


@contextmanager
def _folder(case: NamesCase) -> Iterator[None]:
    """A new working folder with the net, its weights and its inputs."""
    before = os.getcwd()
    with TemporaryDirectory(prefix="netcompile-names-") as folder:
        text = rename(case.base.net.read_text(), case.renaming, case.all_escaped)
        Path(folder, NET).write_bytes(text.encode())
        if case.base.weights is not None:
            rename_weights(case.base.weights, Path(folder, WEIGHTS), case.renaming)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


@any_width
def check(case: NamesCase) -> None:
    """Do what the case says and hold it against the net with its own names. Raises Escaped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            {"load": _load, "build": _build, "run": _run, "verify": _verify, "convert-weights": _convert}.get(
                case.action[0], _report
            )(case)
    except Escaped as error:
        raise Escaped(f"{error}\n{case!r}") from error
    except Exception as error:
        raise Escaped(f"{type(error).__name__}: {str(error)[:2000]}\n{case!r}") from error


def _options(base: ConformanceCase) -> Any:
    from netcompile.ir.build import Options

    return Options(with_loss=True)


def _renamed(renaming: Renaming, blob: str) -> str:
    return renaming.get(("blob", blob), blob)


def _level(case: NamesCase) -> int:
    return int(case.action[1].removeprefix("-O"))


def _loaded(base: ConformanceCase, renaming: Renaming, level: int) -> tuple[str, list[Any]]:
    """What `netcompile.load` does: the source, and the outputs in their order."""
    import torch

    from netcompile.analyser import analyse
    from netcompile.compiler import compile_net
    from netcompile.runtime.emitted import by_name
    from netcompile.runtime.execute import with_weights

    weights = WEIGHTS if os.path.exists(WEIGHTS) else None
    analysed = analyse(open_source(NET), _options(base)).require()
    module = compile_net(analysed, level, weights=weights)
    net = with_weights(analysed, module, weights)
    with torch.no_grad():
        found = by_name(net(*feed(base, [v.blob for v in module.inputs], renaming)), module.outputs)
    return module.source, [found[_renamed(renaming, name)].numpy() for name in _outputs(analysed, renaming)]


def _outputs(analysed: Any, renaming: Renaming) -> list[str]:
    """The net's outputs under their own names, in alphabetical order."""
    back = {new: old for (place, old), new in renaming.items() if place == "blob"}
    return sorted(back.get(name, name) for name in analysed.graph.outputs)


def feed(base: ConformanceCase, inputs: list[str], renaming: Renaming) -> list[Any]:
    """The inputs' tensors, in the order of the module's arguments."""
    import torch

    arrays = {_renamed(renaming, name): array for name, array in base.arrays("inputs").items()}
    return [torch.from_numpy(arrays[name].copy()) for name in inputs]


def _same(found: list[Any], wanted: tuple[Any, ...]) -> None:
    if len(found) != len(wanted):
        raise Escaped(f"{len(found)} outputs, not {len(wanted)}")
    for one, other in zip(found, wanted, strict=True):
        finite = np.isfinite(other)
        bound = TOLERANCE * np.abs(other[finite]).max(initial=0)
        if one.shape != other.shape or not np.allclose(one, other, rtol=0, atol=bound, equal_nan=True):
            raise Escaped("other numbers than with its own names")


def _load(case: NamesCase) -> None:
    plain = _plain(case.base.name, _level(case))
    with _folder(case):
        source, outputs = _loaded(case.base, case.renaming, _level(case))
    _same_source(source, plain.source)
    _same(outputs, plain.outputs)


class _Anonymous(ast.NodeTransformer):
    """Numbers in place of names that the module binds itself, nothing in place of texts."""

    def __init__(self, outside: frozenset[str]) -> None:
        self.outside = outside
        self.numbers: dict[tuple[str, str], str] = {}

    def _number(self, kind: str, name: str) -> str:
        return self.numbers.setdefault((kind, name), f"{kind}{len(self.numbers)}")

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id not in self.outside:
            node.id = self._number("v", node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._number("v", node.arg)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self._number("a", node.attr)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if node.args.args and node.args.args[0].arg == "self":
            node.name = self._number("a", node.name)
            self.numbers = {key: value for key, value in self.numbers.items() if key[0] == "a"}
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            node.value = ""
        return node


def anatomy(source: str, outside: frozenset[str]) -> str:
    """What is left of a module without the names that a net gives: `outside` are those that its code takes from Python,
    from PyTorch and from the top of the file.
    """
    _, *parts = ast.parse(source).body
    net = net_of(parts)
    net.name = "C"
    helpers = [part for part in parts if part is not net]
    return "\n".join([*map(ast.dump, helpers), ast.dump(_Anonymous(outside).visit(net))])


def net_of(parts: Sequence[ast.stmt]) -> ast.ClassDef:
    """The net's class: the first one, with what it calls below it."""
    return next(part for part in parts if isinstance(part, ast.ClassDef))


def taken_from_outside(source: str) -> frozenset[str]:
    """The names that the net's class takes from Python, from PyTorch and from the file."""
    return free_names(ast.unparse(net_of(ast.parse(source).body)))


def _same_source(source: str, plain: str) -> None:
    unprintable = {c for c in source if c != "\n" and not c.isprintable()}
    if unprintable:
        raise Escaped(f"the module's source has {sorted(unprintable)!r}")
    outside = taken_from_outside(plain)
    if anatomy(source, outside) != anatomy(plain, outside):
        raise Escaped(f"the module is another one:\n{source[:6000]}")


def _call(*arguments: str, prepare: Callable[[], None] | None = None) -> tuple[int, str, str]:
    """A command in this process: exit code, output, messages."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    with patch.dict(os.environ, {"NETCOMPILE_TRACEBACK": "1"}), redirect_stdout(out), redirect_stderr(err):
        code = entry(arguments)
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return code, said[0], said[1]


def _done(*arguments: str) -> str:
    """The output of a command that must succeed."""
    code, out, err = _call(*arguments)
    _printed(arguments, out, err)
    if code != 0:
        raise Escaped(f"{' '.join(arguments)[:200]}: exit {code}\n{err[:3000]}")
    return out


def _printed(arguments: tuple[str, ...], *texts: str) -> None:
    for text in texts:
        found = {c for c in text if c != "\n" and not c.isprintable()}
        if found:
            place = next(i for i, c in enumerate(text) if c in found)
            raise Escaped(
                f"{' '.join(arguments)[:80]} prints {sorted(found)!r}: {text[max(0, place - 80) : place + 9]!r}"
            )


def _weights() -> list[str]:
    return ["--weights", WEIGHTS] if os.path.exists(WEIGHTS) else []


def _build(case: NamesCase) -> None:
    """Built into a folder that the net names; its module loads what lies beside it, without netcompile's help too."""
    import torch
    from safetensors.torch import load_file

    from netcompile.runtime.loaded import load_build

    plain = _plain(case.base.name, _level(case))
    with _folder(case):
        before = set(os.listdir("."))
        _done("build", NET, *_weights(), case.action[1], "--with-loss")
        (folder,) = set(os.listdir(".")) - before
        files = os.listdir(folder)
        for name in [folder, *files]:
            if len(os.fsencode(name)) > LARGEST or not name.isascii() or not name.isprintable() or name[0] in ".-~":
                raise Escaped(f"a file is called {name!r}")
        with open(f"{folder}/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        source = Path(folder, manifest["module"]).read_text(encoding="utf-8")
        _same_source(source, plain.source)
        page = Path(folder, "report.html").read_text(encoding="utf-8")
        _printed(("report.html",), page)
        _same_text(("offsets", "--html"), page, _page(case.base.name, _level(case)))
        module = _imported(Path(folder, manifest["module"]))
        net = getattr(module, manifest["class"])().eval()
        if manifest["weights"]:
            net.load_state_dict(load_file(f"{folder}/{manifest['weights']}"), strict=True)
        inputs = [entry["name"] for entry in manifest["inputs"]]
        with torch.no_grad():
            found = net(*feed(case.base, inputs, case.renaming))
        results = found if isinstance(found, dict) else {manifest["outputs"][0]: found}
        back = {new: old for (place, old), new in case.renaming.items() if place == "blob"}
        named = {back.get(name, name): value.numpy() for name, value in results.items()}
        _same([named[name] for name in sorted(named)], plain.outputs)
        loaded = load_build(folder) if manifest["weights"] else None
        if loaded is not None and loaded.outputs != tuple(manifest["outputs"]):
            raise Escaped("the build's outputs are called otherwise")


@cache
def _page(base: str, level: int) -> str:
    """The page of a build under the net's own names."""
    case = next(c for c in bases() if c.name == base)
    with _folder(NamesCase(-1, case, {}, ())):
        _done("build", NET, *_weights(), f"-O{level}", "--with-loss", "-o", "out")
        return Path("out", "report.html").read_text(encoding="utf-8")


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("emitted_with_other_names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _arrays(case: NamesCase) -> bool:
    """Write the inputs' file. Whether it has them: no archive holds a name beyond 64 kB, and that is said."""
    from netcompile.files.npz import write_npz

    arrays = {_renamed(case.renaming, name): array for name, array in case.base.arrays("inputs").items()}
    with open(INPUTS, "wb") as file:
        write_npz(file, arrays)
    if all(len(name.encode()) < ARCHIVED for name in arrays):
        return True
    code, out, err = _call("run", NET, *_weights(), "--with-loss", "--inputs", INPUTS, "--out", "out.npz")
    _printed(("run",), out, err)
    if code != USAGE or "error[missing-input]" not in err:
        raise Escaped(f"run without an input: exit {code}\n{err[:2000]}")
    return False


def _run(case: NamesCase) -> None:
    from netcompile.files.npz import array_name, member_name, read_npz

    plain = _plain(case.base.name, _level(case))
    with _folder(case):
        if not _arrays(case):
            return
        _done("run", NET, *_weights(), "--with-loss", "--inputs", INPUTS, "--out", "out.npz", case.action[1])
        wanted = {array_name(member_name(_renamed(case.renaming, name))): name for name in case.base.outputs}
        found = {wanted[name]: array for name, array in read_npz("out.npz", "float32", list(wanted)).items()}
    _same([found[name] for name in sorted(found)], plain.outputs)


def _verify(case: NamesCase) -> None:
    with _folder(case):
        if not _arrays(case):
            return
        _done("run", NET, *_weights(), "--with-loss", "--inputs", INPUTS, "--out", "all.npz", "--blobs", "all")
        inputs = ["--inputs", INPUTS] if case.base.inputs else []
        _done("verify", NET, *_weights(), "--with-loss", "--reference", "all.npz", *inputs)
        if case.base.weights is not None:
            _done("build", NET, *_weights(), "--with-loss", "-O0", "-o", "out")
            _done("verify", "out", "--reference", "all.npz", *inputs)


def _convert(case: NamesCase) -> None:
    from safetensors.torch import load_file

    with _folder(case):
        if case.base.weights is None:
            return
        _done("convert-weights", WEIGHTS, "--net", NET, "-o", "net.safetensors")
        _done("convert-weights", WEIGHTS, "-o", "plain.safetensors")
        layers = {_name.rpartition(".")[0] for _name in load_file("plain.safetensors")}
        wanted = {case.renaming.get(("layer", name), name) for name in _layers(case.base.name)}
        if layers != wanted:
            raise Escaped(f"layers {sorted(layers)[:5]!r}, not {sorted(wanted)[:5]!r}")


@cache
def _layers(base: str) -> frozenset[str]:
    from netcompile.caffemodel.reader import read_caffemodel

    case = next(c for c in bases() if c.name == base)
    assert case.weights is not None
    return frozenset(layer.name for layer in read_caffemodel(case.weights).layers if layer.blobs)


def _report(case: NamesCase) -> None:
    options = () if case.action[0] == "upgrade" else ("--with-loss",)
    code, wanted = _reported(case.base.name, case.action)
    with _folder(case):
        found, out, err = _call(case.action[0], NET, *case.action[1:], *options)
        text = open_source(NET)
    _printed(case.action, out, err)
    if found != code:
        raise Escaped(f"{' '.join(case.action)}: exit {found}, not {code}\n{err[:2000]}{out[:2000]}")
    if code == USAGE:
        return
    if case.action == ("upgrade",):
        if to_text(load_net(Source(out, NET)).net) != to_text(load_net(text).net):
            raise Escaped(f"upgraded to another net:\n{out[:3000]}")
        return
    _same_text(case.action, out, wanted)


@cache
def _reported(base: str, action: tuple[str, ...]) -> tuple[int, str]:
    case = next(c for c in bases() if c.name == base)
    options = () if action[0] == "upgrade" else ("--with-loss",)
    with _folder(NamesCase(-1, case, {}, ())):
        code, out, _ = _call(action[0], NET, *action[1:], *options)
    return code, out


class _Tags(HTMLParser):
    """The elements of a page with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.found.append(("!--",))


def _same_text(action: tuple[str, ...], out: str, plain: str) -> None:
    """The structure of what was printed is that of the net with its own names."""
    if "--json" in action:
        one, other = (_keys(json.loads(text)) for text in (out, plain))
    elif "--html" in action:
        parsers = _Tags(), _Tags()
        for parser, text in zip(parsers, (out, plain), strict=True):
            parser.feed(text)
            parser.close()
        one, other = (_without_widths(parser.found) for parser in parsers)
    elif "--graphml" in action:
        one, other = ([element.tag for element in ElementTree.fromstring(text).iter()] for text in (out, plain))
    elif "--dot" in action:
        one, other = (_outside_quotes(text) for text in (out, plain))
    else:
        return
    if one != other:
        raise Escaped(f"{' '.join(action)} has another structure:\n{str(one)[:1500]}\n{str(other)[:1500]}")


def _without_widths(tags: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [tag for tag in tags if tag[0].removeprefix("/") not in ("wbr", "br")]


def _keys(value: Any) -> Any:
    """The shape of JSON: its keys where they are words of ours, and how long lists are."""
    if isinstance(value, dict):
        return [_keys(v) for v in value.values()]
    return [_keys(v) for v in value] if isinstance(value, list) else type(value).__name__


def _outside_quotes(text: str) -> str:
    """What stands outside the double-quoted strings of a dot file."""
    out, inside, escaped = [], False, False
    for c in text:
        if inside:
            escaped, inside = c == "\\" and not escaped, escaped or c != '"'
        else:
            inside = c == '"'
            out.append(c)
    return "".join(out)
