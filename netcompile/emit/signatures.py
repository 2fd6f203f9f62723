"""What the functions that layers call take: names of arguments, and what they are where they are not given.

PyTorch's are a table, for emission does not import torch; a test holds it against PyTorch's own signatures.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from netcompile.emit.prelude import Missing, definitions


@dataclass(frozen=True, slots=True)
class Keyword:
    """An argument that may be left out, and its default as source text; None where it must be given."""

    name: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's arguments: the names of those that are given by place, and those given by name, in order."""

    positional: tuple[str, ...]
    keywords: tuple[Keyword, ...]


def _table(positional: str, keywords: str) -> Signature:
    pairs = (word.partition("=") for word in keywords.split())
    return Signature(tuple(positional.split()), tuple(Keyword(name, value or None) for name, _, value in pairs))


_CONV = _table("in_channels out_channels", "kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True")
_BATCH_NORM = _table("num_features", "eps=1e-05 momentum=0.1 affine=True")

TORCH = {
    **{f"nn.Conv{n}d": _CONV for n in (1, 2, 3)},
    **{f"nn.ConvTranspose{n}d": _CONV for n in (1, 2, 3)},
    **{f"nn.BatchNorm{n}d": _BATCH_NORM for n in (1, 2, 3)},
    "nn.PReLU": _table("num_parameters", ""),
    "torch.ones": _table("size", ""),
    "torch.zeros": _table("size", ""),
    "nn.Linear": _table("in_features out_features", "bias=True"),
    "F.max_pool2d": _table("input kernel_size", "kernel_size stride padding=0 dilation=1 ceil_mode=False"),
    "F.avg_pool2d": _table("input kernel_size", "kernel_size stride padding=0 ceil_mode=False"),
    "F.adaptive_avg_pool2d": _table("input output_size", ""),
    "F.leaky_relu": _table("input negative_slope", "negative_slope=0.01"),
    "F.softmax": _table("input", "dim"),
    "F.pad": _table("input pad", ""),
    "torch.cat": _table("tensors", "dim=0"),
}


@cache
def signature_of(name: str) -> Signature | None:
    """The signature of a function as a layer calls it: of PyTorch's, or of a prelude function "module.function"."""
    if name in TORCH:
        return TORCH[name]
    module, _, function = name.rpartition(".")
    if not module or module in ("nn", "F", "torch", "self", "math"):
        return None
    try:
        definition = definitions(module)[function]
    except (Missing, KeyError):
        return None
    tree = ast.parse(definition.source).body[0]
    if isinstance(tree, ast.ClassDef):
        made = [part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        return _derived(tree, made[0], definition.uses) if made else None
    return _of(tree, 0) if isinstance(tree, ast.FunctionDef) else None


def _derived(tree: ast.ClassDef, made: ast.FunctionDef, uses: Sequence[str]) -> Signature | None:
    """The signature of a class; one that takes ``*args`` takes what the class takes that it is derived from."""
    if made.args.vararg is None:
        return _of(made, 1)
    parent = ast.unparse(tree.bases[0]) if tree.bases else ""
    base = signature_of(next((name for name in uses if name.endswith(f".{parent}")), parent))
    if base is None:
        return None
    own = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
    keywords = (Keyword(each.arg, None if value is None else ast.unparse(value)) for each, value in own)
    return Signature(base.positional, (*base.keywords, *keywords))


def _of(tree: ast.FunctionDef, skipped: int) -> Signature | None:
    arguments = tree.args
    if arguments.vararg or arguments.kwarg:
        return None
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    defaults = dict(zip(reversed(names), (ast.unparse(each) for each in reversed(arguments.defaults)), strict=False))
    keywords = [Keyword(name, defaults.get(name)) for name in names[skipped:]]
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        keywords.append(Keyword(each.arg, None if value is None else ast.unparse(value)))
    return Signature(tuple(names[skipped:]), tuple(keywords))
