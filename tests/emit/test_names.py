"""Names from files become identifiers, one to one, and never code."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.emit.names import MODULE_ATTRIBUTES, Names, class_name, file_stem

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
    assert {name for name in [*dir(module), *vars(module)] if not name.startswith("__")} <= MODULE_ATTRIBUTES
