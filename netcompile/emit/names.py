"""Blob and layer names to Python identifiers: unchanged where Python allows, else mangled, never two to one."""

from __future__ import annotations

from keyword import kwlist, softkwlist

# Names that the emitted module uses itself.
_TAKEN = (
    frozenset(kwlist)
    | frozenset(softkwlist)
    | frozenset(
        [
            "self",
            "torch",
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

# What nn.Module defines; a test holds this list against torch.
MODULE_ATTRIBUTES = frozenset(
    [
        "T_destination",
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
        "_get_backward_hooks",
        "_get_backward_pre_hooks",
        "_get_name",
        "_is_full_backward_hook",
        "_load_from_state_dict",
        "_load_state_dict_post_hooks",
        "_load_state_dict_pre_hooks",
        "_maybe_warn_non_full_backward_hook",
        "_modules",
        "_named_members",
        "_non_persistent_buffers_set",
        "_parameters",
        "_register_load_state_dict_pre_hook",
        "_register_state_dict_hook",
        "_replicate_for_data_parallel",
        "_save_to_state_dict",
        "_slow_forward",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_version",
        "_wrapped_call_impl",
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


def identifier(name: str) -> str:
    """The nearest ASCII identifier: other characters become ``_``, a leading digit or ``__`` gets an ``n`` in front.

    >>> identifier("inception_3a/1x1"), identifier("2d"), identifier('"; import os')
    ('inception_3a_1x1', 'n2d', '___import_os')
    """
    text = "".join(c if c in _LETTERS else "_" for c in name)
    if not text or text[0].isdigit():
        text = "n" + text
    return text


class Names:
    """Identifiers of one namespace, each given once; a clash is resolved by a number at the end."""

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._taken = set(_TAKEN | reserved)

    def fresh(self, name: str) -> str:
        """An identifier for `name` that nobody has yet."""
        base = identifier(name)
        if base.startswith("__"):
            base = "n" + base
        candidate, number = base, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{base}_{number}"
        self._taken.add(candidate)
        return candidate


def class_name(name: str) -> str:
    """A class name in CapWords.

    >>> class_name("voc-fcn8s"), class_name("GoogleNet"), class_name("3d net")
    ('VocFcn8s', 'GoogleNet', 'Net3dNet')
    """
    words = "".join(c if c in _LETTERS - {"_"} else " " for c in name).split()
    text = "".join(word[0].upper() + word[1:] for word in words)
    if not text or text[0].isdigit():
        text = "Net" + text
    return text + "_" if text in _TAKEN or text in ("True", "False", "None", "F") else text


def file_stem(name: str) -> str:
    """A file and module name: lower case, an identifier.

    >>> file_stem("voc-fcn8s"), file_stem("")
    ('voc_fcn8s', 'net')
    """
    text = identifier(name.strip().lower()).strip("_") if name.strip() else "net"
    if not text or text[0].isdigit():
        text = f"net_{text}" if text else "net"
    return text + "_" if text in _TAKEN else text
