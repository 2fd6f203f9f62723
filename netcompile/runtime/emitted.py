"""Emitted source as a Python module: tracebacks show its lines, `inspect.getsource` works, its nets can be pickled."""

from __future__ import annotations

import copyreg
import linecache
import sys
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.abc import ExecutionLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from netcompile.array import Array
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import listed
from netcompile.runtime.notebook import html

IN_MEMORY = "<netcompile>/"  # where source lies that is no file: the start of its file name


class _Loader(ExecutionLoader):
    """Loads a module from text; `path` is what tracebacks show."""

    def __init__(self, source: str, path: str) -> None:
        self.source, self.path = source, path

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_filename(self, fullname: str) -> str:
        return self.path


def module_of(source: str, path: str) -> ModuleType:
    """The module that the source is; the same one for the same source and path. Raises what its code raises."""
    name = "netcompile_emitted_" + sha256("\0".join((path, source)).encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_loader(name, _Loader(source, path))
    assert spec is not None
    assert spec.loader is not None
    linecache.cache.pop(path, None)  # lines of what the file was before
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    for made in vars(module).values():
        if isinstance(made, type) and issubclass(made, nn.Module) and made.__module__ == name:
            copyreg.pickle(made, _reduced)
            setattr(made, "_repr_html_", html)  # noqa: B010 (no attribute that torch knows)
    return module


def _place(source: str, class_name: str) -> str:
    """A file name for source that is no file; another one for other source, since Python keeps lines by file names."""
    return f"{IN_MEMORY}{sha256(source.encode()).hexdigest()[:8]}/{class_name}.py"


def instance(source: str, class_name: str, path: str = "") -> nn.Module:
    """A net of the emitted class, on the CPU, its parameters not yet set. `path` is the source's file, if it is one.

    Raises LookupError where the source has no such class.
    """
    with warnings.catch_warnings(), torch.device("cpu"):
        warnings.simplefilter("ignore")
        made = getattr(module_of(source, path or _place(source, class_name)), class_name, None)
        if not isinstance(made, type) or not issubclass(made, nn.Module):
            raise LookupError(f"the module has no class '{class_name}' of a net")
        return made()


def by_name(result: Any, outputs: Sequence[str]) -> dict[str, Tensor]:
    """What a net returned, by blob name: with one output it returns the tensor itself.

    Raises NetError where it has other outputs: then it is not the module that these were written down for.
    """
    found = result if isinstance(result, dict) else dict.fromkeys(outputs[:1], result)
    lacking = [name for name in outputs if name not in found]
    if lacking:
        what = f"the module gives no '{lacking[0]}'"
        refuse("build-folder", what, why=f"it gives {listed(list(found))}", remedy="build it again")
    return found


def arrays_of(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors among the values as arrays (bfloat16 becomes float32)."""
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
        for name, value in tensors.items()
        if isinstance(value, Tensor)
    }


def source_of(net: nn.Module) -> tuple[str, str]:
    """The emitted source that a net's class comes from, and its path."""
    loader = sys.modules[type(net).__module__].__loader__
    assert isinstance(loader, _Loader)
    return loader.source, loader.path


def _reduced(net: nn.Module) -> Any:
    """A pickle holds the source, so that a process that has not compiled the net can read it."""
    return _blank, (*source_of(net), type(net).__name__), *net.__reduce_ex__(2)[2:]


def _blank(source: str, path: str, class_name: str) -> Any:
    """An object of the class, its attributes not yet set."""
    made = getattr(module_of(source, path), class_name)
    return made.__new__(made)
