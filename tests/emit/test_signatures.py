"""What emission knows of PyTorch's functions, held against PyTorch: names, order and defaults of arguments."""

from __future__ import annotations

import ast
import inspect
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netcompile.emit.signatures import TORCH, Keyword, Signature, signature_of

EMPTY = inspect.Parameter.empty
MODULES = {"nn": nn, "F": F, "torch": torch}


def arguments(name: str) -> dict[str, object]:
    """The arguments of a function of PyTorch in order, with their defaults; `inspect._empty` for those without one."""
    place, _, function = name.partition(".")
    made = getattr(MODULES[place], function)
    if function.startswith("max_pool"):  # one of two functions, as `return_indices` says
        made = getattr(F, f"_{function}")
    try:
        return {each.name: each.default for each in inspect.signature(made).parameters.values()}
    except ValueError:  # a built-in function tells its arguments in its documentation
        return _documented(made.__doc__ or "", function)


def _documented(text: str, function: str) -> dict[str, object]:
    head = re.search(rf"^{function}\((.*?)\) ->", text.strip(), re.MULTILINE)
    assert head, text[:200]
    found: dict[str, object] = {}
    for part in head.group(1).split(", "):
        name, given, default = part.partition("=")
        if name != "*":
            found[name.lstrip("*")] = ast.literal_eval(default) if given and default[0] != "t" else EMPTY
    return found


@pytest.mark.parametrize("name", TORCH)
def test_arguments_are_pytorchs(name: str) -> None:
    known, real = TORCH[name], arguments(name)
    places = list(real)
    for index, word in enumerate(known.positional):
        assert places[index] == word
    for option in known.keywords:
        assert option.name in real, option
        if option.default is not None:
            assert ast.literal_eval(option.default) == real[option.name], option
        else:  # emission always writes it; PyTorch may have a default that layers never mean
            assert real[option.name] in (EMPTY, None), option


@pytest.mark.parametrize("name", TORCH)
def test_what_is_given_by_place_is_no_keyword_with_a_default(name: str) -> None:
    known = TORCH[name]
    given = set(known.positional) & {option.name for option in known.keywords if option.default is not None}
    assert given <= {"negative_slope"}  # F.leaky_relu, which layers call either way


def test_functions_of_the_prelude_are_read_from_their_source() -> None:
    assert signature_of("normalisation.lrn") == Signature(
        ("x", "size", "alpha", "beta", "k"), tuple(Keyword(name, None) for name in ("x", "size", "alpha", "beta", "k"))
    )
    assert signature_of("nn.NoSuch") is None
    assert signature_of("self.conv") is None
    assert signature_of("nowhere.function") is None
