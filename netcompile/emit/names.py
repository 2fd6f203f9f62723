"""Blob and layer names to Python identifiers: unchanged where Python allows, else mangled, never two to one."""

from __future__ import annotations

import builtins
import re
from collections.abc import Container, Iterable
from hashlib import sha256
from keyword import kwlist, softkwlist
from sys import stdlib_module_names

# Names that the emitted module uses itself, other than by calling them: `module.py` looks for those.
_TAKEN = (
    frozenset(kwlist)
    | frozenset(softkwlist)
    | frozenset(
        [
            "self",
            "torch",
            "Tensor",
            "nn",
            "F",
            "math",
            "super",
            "tuple",
            "float",
            "int",
            "max",
            "min",
            "zip",
            "range",
            "len",
            "sum",
            "list",
            "dict",
            "isinstance",
            "ValueError",
            "NotImplementedError",
            "__class__",
        ]
    )
)

# What nn.Module defines, of any PyTorch from 2.0 on; a test holds this list against torch. Its private names are not
# here, nor those that it will have: no attribute of a layer begins with "_".
MODULE_ATTRIBUTES = frozenset(
    [
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
    ]
)

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

_OTHERS = re.compile("[^a-zA-Z0-9_]")

LONGEST = 100  # characters of an identifier or a file's stem; file systems allow names of 255 bytes

# Module names that the emitted file must not take away from PyTorch, which imports them from anywhere.
_MODULES = stdlib_module_names | {
    *("torch", "numpy", "safetensors", "sympy", "mpmath", "networkx", "jinja2", "typing_extensions", "filelock"),
    *("fsspec", "triton", "onnx", "onnxscript", "onnxruntime"),
}
# Names that are no files on Windows, whatever their suffix.
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))])


def identifier(name: str) -> str:
    """The nearest ASCII identifier: other characters become ``_``, a leading digit or ``__`` gets an ``n`` in front.

    Of a name longer than `LONGEST` characters its beginning, with a hash of the whole.

    >>> identifier("inception_3a/1x1"), identifier("2d"), identifier('"; import os')
    ('inception_3a_1x1', 'n2d', '___import_os')
    """
    text = _OTHERS.sub("_", name)
    if not text or text[0].isdigit():
        text = "n" + text
    return _cut(text, name)


def _cut(text: str, name: str) -> str:
    """`text`, made of `name`, or where it is too long its beginning with a hash of the name."""
    if len(text) <= LONGEST:
        return text
    mark = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: LONGEST - len(mark) - 1]}_{mark}"


def distinct(names: Iterable[str]) -> dict[str, str]:
    """An identifier for each name, for folders: no two are alike, even where capitals do not count.

    >>> distinct(["a-b", "A_b", "score"])
    {'a-b': 'a_b', 'A_b': 'A_b_2', 'score': 'score'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base = candidate = identifier(name)
        number = 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{base}_{number}"
        taken.add(candidate.lower())
        found[name] = candidate
    return found


class Names:
    """Identifiers of one namespace, each given once; a clash is resolved by a number at the end.

    With `public` none begins with an underscore.
    """

    def __init__(self, reserved: frozenset[str] = frozenset(), public: bool = False) -> None:
        self._taken = set(_TAKEN | reserved)
        self._next: dict[str, int] = {}
        self._private = "_" if public else "__"  # those that begin with two a class changes: __x is _Class__x in it

    def fresh(self, name: str, suffixes: tuple[str, ...] = ()) -> str:
        """An identifier for `name` that nobody has yet, nor, with any of `suffixes` behind it, will have."""
        base = identifier(name)
        if base.startswith(self._private) or base == "_":  # layers put into "_" what they do not need
            base = "n" + base
        candidate, number = base, self._next.get(base, 1)
        while not self._taken.isdisjoint(made := [candidate, *(candidate + suffix for suffix in suffixes)]):
            number += 1
            candidate = f"{base}_{number}"
        self._next[base] = number
        self._taken.update(made)
        return candidate


def class_name(name: str, reserved: Container[str] = ()) -> str:
    """A class name in CapWords: none of `reserved`, no builtin of Python and nothing that every module uses.

    >>> class_name("voc-fcn8s"), class_name("GoogleNet"), class_name("3d net"), class_name("warning")
    ('VocFcn8s', 'GoogleNet', 'Net3dNet', 'Warning_')
    """
    words = "".join(c if c in _LETTERS - {"_"} else " " for c in name).split()
    text = "".join(word[0].upper() + word[1:] for word in words)
    if not text or text[0].isdigit():
        text = "Net" + text
    text = _cut(text, name)
    while text in _TAKEN or hasattr(builtins, text) or text in reserved:
        text += "_"
    return text


def file_stem(name: str) -> str:
    """A file and module name: lower case, an identifier, and none of a module that PyTorch imports.

    >>> file_stem("voc-fcn8s"), file_stem(""), file_stem("../random")
    ('voc_fcn8s', 'net', 'random_')
    """
    text = identifier(name.strip().lower()).strip("_") if name.strip() else "net"
    if not text or text[0].isdigit():
        text = f"net_{text}" if text else "net"
    return text + "_" if text in _TAKEN or text in _MODULES or text in _DEVICES else text
