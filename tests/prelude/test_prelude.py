"""The functions of emitted modules: named once, used by layers, and taken with all that they need."""

from __future__ import annotations

import ast
import builtins
import re
from importlib import import_module
from pathlib import Path

import pytest

import netcompile
from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.emit.prelude import Clash, Definition, Missing, closure, definitions, free_names
from netcompile.ir.build import Options
from netcompile.prototxt.recognise import open_source
from tests.conftest import ALL_CASES, ConformanceCase

PACKAGE = Path(netcompile.__file__).parent
FAMILIES = sorted(path.stem for path in (PACKAGE / "prelude").glob("*.py") if path.stem != "__init__")
WHOLE = {f"{family}.{name}": each for family in FAMILIES for name, each in definitions(family).items()}
PUBLIC = re.compile(rf"\b(?:{'|'.join(FAMILIES)})\.[A-Za-z_]\w*")


def mentioned() -> dict[str, Path]:
    """What source outside the prelude names of it, in strings of layers, passes and emission, or imports, and where."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if "prelude" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and PUBLIC.fullmatch(node.value):
                found[node.value] = path
            elif isinstance(node, ast.ImportFrom) and path.stem != "functions":  # which imports all
                family = (node.module or "").removeprefix("netcompile.prelude.")
                found |= {f"{family}.{alias.name}": path for alias in node.names if family in FAMILIES}
    return found


def test_names_are_unique_over_the_whole_prelude() -> None:
    names = [each.name for each in WHOLE.values()]
    assert sorted(names) == sorted(set(names))


def test_a_name_that_a_layer_gives_is_there() -> None:
    assert {name: path for name, path in mentioned().items() if name not in WHOLE} == {}


def test_every_function_is_named_by_a_layer_or_used_by_another() -> None:
    used = {name for each in WHOLE.values() for name in each.uses}
    assert set(WHOLE) - set(mentioned()) - used == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_runs_and_imports_torch_alone(family: str) -> None:
    module = import_module(f"netcompile.prelude.{family}")
    for name, each in definitions(family).items():
        assert hasattr(module, name)
        assert each.source in Path(module.__file__ or "").read_text()
        for statement in each.imports:
            node = ast.parse(statement).body[0]
            assert isinstance(node, ast.Import | ast.ImportFrom)
            origin = node.names[0].name if isinstance(node, ast.Import) else node.module
            allowed = ("torch", "math", "functools", "typing", "collections", "contextlib", "importlib", "threading")
            allowed += ("itertools", "operator", "time")
            assert (origin or "").split(".")[0] in allowed


@pytest.mark.parametrize("name", WHOLE)
def test_a_function_has_all_it_needs(name: str) -> None:
    """What is emitted for it runs, and no name in it is unknown."""
    found = closure([name])
    head = {statement for each in found.values() for statement in each.imports}
    source = "\n".join([*head, *(each.source for each in found.values())])
    space: dict[str, object] = {}
    exec(source, space)
    assert free_names(source) <= space.keys() | vars(builtins).keys()


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_no_name_in_an_emitted_module_is_unknown(case: ConformanceCase) -> None:
    options = Options(train=case.phase == "TRAIN", level=case.level, stages=case.stages)
    source = compile_net(analyse(open_source(case.net), options)).source
    tree = ast.parse(source)
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = [a for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for a in node.names]
    imported = {alias.asname or alias.name for alias in imports}
    assert free_names(source) - {"__class__"} <= own | imported | vars(builtins).keys()
    assert imported - {"nn"} <= free_names(source)


def test_what_is_used_comes_first_and_once() -> None:
    assert list(closure(["box_loss.BoxLoss", "boxes.suppress"]))[-1] == "BoxLoss"
    names = list(closure(["detection.detect"]))
    assert names.index("box_overlap") < names.index("suppress") < names.index("detect")
    assert names == list(closure(["detection.detect", "boxes.suppress", "detection.detect"]))


def test_a_definition_has_its_decorators_comments_and_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_layers"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    found = closure(["some_layers.functions.halved"])
    assert list(found) == ["STEPS", "once", "halved"]
    assert found["halved"].source == FUNCTIONS[FUNCTIONS.index("# Halved") :].rstrip("\n")
    assert found["STEPS"] == Definition("STEPS", "STEPS = (1, 2)", (), (), "some_layers.functions")
    assert found["once"].imports == ("from functools import wraps as wrapped",)
    with pytest.raises(Missing, match=r"there is no third in some_layers\.functions"):
        closure(["some_layers.functions.third"])
    with pytest.raises(Missing, match=r"there is no module some_layers\.none"):
        closure(["some_layers.none.third"])
    with pytest.raises(Clash, match=r"two functions are called suppress, the second one boxes\.suppress"):
        closure(["some_layers.functions.suppress", "boxes.suppress"])


FUNCTIONS = '''"""Functions."""

from functools import wraps as wrapped

from netcompile.prelude.boxes import box_overlap

STEPS = (1, 2)


def once(f):
    return wrapped(f)(lambda x: f(x))


def suppress(boxes):
    return box_overlap(boxes, boxes)


# Halved by
# both steps.
@once
def halved(x):
    return x / STEPS[1]
'''
