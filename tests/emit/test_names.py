"""Names from files become identifiers, one to one, and never code."""

from __future__ import annotations

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.emit.names import MODULE_ATTRIBUTES, Names, class_name, file_stem, identifier
from tests.names.payloads import MODULE_PRIVATE

EVIL = [
    '"; import os; os.system("x")  #',
    "a\nb",
    "\\",
    "'''",
    "None",
    "self",
    "class",
    "ﬁ",
    "",
    "1",
    "__init__",
    "é",
]


@given(st.lists(st.text(max_size=12) | st.sampled_from(EVIL), max_size=30))
def test_every_name_gets_an_identifier_of_its_own(names: list[str]) -> None:
    given_out = Names()
    made = [given_out.fresh(name) for name in names]
    assert len(set(made)) == len(made)
    assert all(m.isidentifier() and m.isascii() and not keyword.iskeyword(m) for m in made)


@given(st.text(max_size=20) | st.sampled_from(EVIL))
def test_class_and_file_names_are_identifiers(name: str) -> None:
    for made in (class_name(name), file_stem(name)):
        assert made.isidentifier()
        assert made.isascii()
        assert not keyword.iskeyword(made)


@pytest.mark.parametrize("name", ["conv1_1", "res2a_branch1", "_x", "data", "X"])
def test_names_that_python_allows_stay(name: str) -> None:
    assert Names().fresh(name) == name


def test_no_attribute_of_torch_modules_is_taken() -> None:
    from torch import nn

    module = nn.Module()
    found = {*dir(module), *vars(module), *nn.Module.__annotations__}
    assert {name for name in found if not name.startswith("_")} <= MODULE_ATTRIBUTES


@given(st.lists(st.text(max_size=12) | st.sampled_from([*EVIL, *MODULE_PRIVATE]), max_size=30))
def test_no_attribute_is_private(names: list[str]) -> None:
    given_out = Names(MODULE_ATTRIBUTES, public=True)
    made = [given_out.fresh(name, ("_scale",)) for name in names]
    every = [*made, *(f"{name}_scale" for name in made)]
    assert len(set(every)) == len(every)
    assert not any(name.startswith("_") for name in made)


def test_long_names_are_cut_and_stay_apart() -> None:
    names = ["x" * n for n in (100, 101, 5000, 5001, 100_000)]
    for make in (identifier, class_name, file_stem):
        made = [make(name) for name in names]
        assert len(set(made)) == len(made)
        assert all(len(name) <= 101 for name in made)
    assert identifier(names[0]) == names[0]


@pytest.mark.parametrize("name", ["torch", "random", "json", "numpy", "math", "CON", "nul", "com1", "import", "lambda"])
def test_no_file_takes_a_module_from_pytorch_or_names_a_device(name: str) -> None:
    assert file_stem(name) == f"{name.lower()}_"


@pytest.mark.parametrize("name", ["..", ".", "/", "../../etc", "-x", ".hidden", "~", "a\0b", "a/b", "名"])
def test_a_file_is_never_a_path(name: str) -> None:
    assert re.fullmatch("[a-z0-9][a-z0-9_]*", file_stem(name))
