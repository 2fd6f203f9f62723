"""Names that a prototxt may hold and that nobody expects: for nets, layers, blobs and parameters."""

from __future__ import annotations

import ast
import builtins
import keyword
from functools import cache
from importlib.util import find_spec
from pkgutil import iter_modules

# Pieces of text that end a literal, a comment, a line, a tag, an attribute, or mean something to a terminal.
CODE = (
    "",
    " ",
    "\t",
    '"',
    "'",
    "\\",
    '"""',
    "'''",
    '\\"',
    "a\\",
    "\\N{BULLET}",
    "\\x41\\u0042",
    "#",
    "a # b",
    "a = b",
    "a, b",
    "(",
    ")]}",
    "{}",
    "{0.__class__}",
    "{{x}}",
    "%s%n",
    "%(x)s",
    "$(id)",
    "`id`",
    ";",
    '"; import os; os.abort()  #',
    '")\nimport os\nos.abort()\n("',
    '"""\nimport os\nos.abort()\n"""',
    "a\nb",
    "a\r\nb",
    "a\rb",
    "a\x0cb",
    "a\x0bb",
    "a\x1cb\x1db\x1eb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "\x00",
    "a\x00b",
    "a\x00c",
    "\x01\x02\x7f",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\b\b\b",
    "</script><script>alert(1)</script>",
    "<!--",
    "]]>",
    "&lt;&amp;",
    '" onload="alert(1)',
    "javascript:alert(1)",
    "<svg/onload=alert(1)>",
    "../../x",
    "/etc/passwd",
    "..",
    ".",
    "./x",
    "~",
    "-x",
    "--help",
    ".hidden",
    "a/b",
    "a\\b",
    "C:\\x",
    "CON",
    "nul",
    "a:b",
    "blob:x",
    "top:a:b",
)
UNICODE = (
    "é",
    "ü",
    "ﬁ",
    "fi",
    "ｆｉ",
    "Å",
    "A\u030a",
    "ℌ",
    "H",
    "𝐱",
    "x",
    "ſelf",
    "ªº",
    "ß",
    "İ",
    "ı",
    "ǅ",
    "名前",
    "שם",
    "نص",
    "😀",
    "👩\u200d🔬",
    "\u0301",
    "x\u0301",
    "\u202ertl",
    "\u202alre\u202c",
    "\u2066iso\u2069",
    "\u200e\u200f\u061c",
    "zero\u200bwidth",
    "\ufeffbom",
    "a\ufeffb",
    "\u00a0",
    "\u3000",
    "\u00adsoft",
    "\ufffd",
    "\uffff",
    "\ufdd0",
    "\U0010ffff",
    "\U000e0041tag",
    "\ue000",
    "\u180e",
)
CLASHES = (
    "_",
    "__",
    "___",
    "_x",
    "__x",
    "__x__",
    "_x__",
    "__init__",
    "__class__",
    "__dict__",
    "__call__",
    "__2",
    "_2",
    "é_2",
    "a-b",
    "a_b",
    "a.b",
    "a b",
    "a_b_2",
    "a-b_2",
    "a_2",
    "a",
    "A",
    "a_3",
    "0",
    "00",
    "1x1",
    "123456789",
    "n1",
    "-1",
    "1e5",
    "0x10",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "y" * 5000,
    "y" * 4999 + "z",
    "名" * 5000,
    "\x1b" * 5000,
    '"' * 5000,
    "z" * 100_000,
    "a.weight",
    "a.bias",
    "weight",
    "bias",
    "running_mean",
    "data_numbers",
    "as",
    "x_scale",
    "x_mean",
    "c_scale",
    "c_mean",
    "(automatic)",
    "manifest",
    "offsets",
    "report",
    "random",
    "json",
    "typing",
    "numpy",
    "torch.nn",
    "safetensors",
)
SPECIAL = (*CODE, *UNICODE, *CLASHES)
# What modules of PyTorch have, or had, or may have: the list that nobody can complete.
MODULE_PRIVATE = (
    "_apply",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_buffers",
    "_call_impl",
    "_compiled_call_impl",
    "_forward_hooks",
    "_forward_hooks_always_called",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_get_name",
    "_is_full_backward_hook",
    "_is_fsdp_managed_module",
    "_load_from_state_dict",
    "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks",
    "_modules",
    "_named_members",
    "_non_persistent_buffers_set",
    "_parameters",
    "_parametrizations",
    "_replicate_for_data_parallel",
    "_save_to_state_dict",
    "_slow_forward",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_version",
    "_wrapped_call_impl",
    "T_destination",
    "call_super_init",
    "dump_patches",
    "training",
    "parametrizations",
    "device",
    "dtype",
    "shape",
    "requires_grad",
    "grad",
    "is_replica",
)
# Bytes that are no UTF-8: refused, with their place.
NOT_TEXT = (b"\xff", b"a\x80b", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")


@cache
def prelude_names() -> tuple[str, ...]:
    """What the modules of netcompile/prelude define or import, and the parameters of their functions."""
    found: dict[str, None] = {}
    package = find_spec("netcompile.prelude")
    assert package is not None
    for module in iter_modules(package.submodule_search_locations):
        spec = find_spec(f"netcompile.prelude.{module.name}")
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for statement in tree.body:
            match statement:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    found[name] = None
                case ast.Assign(targets=[ast.Name(id=name)]):
                    found[name] = None
                case ast.Import(names=names) | ast.ImportFrom(names=names):
                    found.update(dict.fromkeys(alias.asname or alias.name for alias in names))
    return tuple(found)


@cache
def module_names() -> tuple[str, ...]:
    """What this PyTorch's nn.Module defines, and says that it has."""
    from torch import nn

    module = nn.Module()
    return tuple(dict.fromkeys([*MODULE_PRIVATE, *dir(module), *vars(module), *nn.Module.__annotations__]))


def identifiers(source: str) -> frozenset[str]:
    """Every identifier in a piece of source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.keyword(arg=str(name)):
                found.add(name)
    return frozenset(found)


@cache
def payloads() -> tuple[str, ...]:
    """All of them, but for the identifiers of emitted modules, which each net has for itself."""
    own = ("self", "torch", "nn", "F", "math", "functional", "forward", "cls", "net", "input", "data", "label")
    return tuple(
        dict.fromkeys(
            [
                *SPECIAL,
                *own,
                *keyword.kwlist,
                *keyword.softkwlist,
                *(name for name in dir(builtins)),
                *module_names(),
                *prelude_names(),
            ]
        )
    )
