"""Runs a `net.py` written for pycaffe: `import caffe` finds the part of it that specifies networks.

This executes the user's code, in this process, with the rights of this process.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from types import ModuleType, TracebackType

from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt.recognise import open_source
from netcompile.spec.fields import SpecError
from netcompile.spec.stand_in import Absent, elsewhere, modules


def run_file(path: str | PathLike[str]) -> None:
    """Executes the file as a script in the current folder, where the files that it writes appear.

    Raises OSError if it cannot be read, NetError (located in the file) for whatever goes wrong inside it. A
    non-zero `sys.exit` passes through.
    """
    source = open_source(path)
    name = os.fspath(path)
    try:
        code = compile(source.text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise NetError([_syntax(source, error)]) from None
    main = ModuleType("__main__")
    main.__file__ = name
    with _as_caffe(), _as_main(main, os.path.dirname(os.path.abspath(name))):
        try:
            exec(code, main.__dict__)
        except SystemExit as stop:
            if stop.code not in (None, 0):
                raise
        except Exception as error:
            raise NetError([_located(source, name, error)]) from error


@contextmanager
def _as_caffe() -> Iterator[None]:
    """`import caffe` gives the stand-in while this lasts, in this process only."""
    ours = {module.__name__: module for module in modules()}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "caffe"}
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
            del sys.modules[name]
        sys.modules.update(hidden)


@contextmanager
def _as_main(main: ModuleType, folder: str) -> Iterator[None]:
    """The script is `__main__`, alone on the command line, its folder first on the path.

    What it imports from its own folder is forgotten afterwards: another script has files of the same names.
    """
    before, arguments, search = sys.modules.get("__main__"), sys.argv, list(sys.path)
    known = set(sys.modules)
    sys.modules["__main__"] = main
    sys.argv = [str(main.__file__)]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, search
        for name in [name for name in sys.modules if name not in known]:
            if _lies_in(sys.modules[name], folder):
                del sys.modules[name]
        if before is not None:
            sys.modules["__main__"] = before


def _lies_in(module: ModuleType, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return False
    inside = os.path.relpath(os.path.abspath(file), folder).split(os.sep)
    return inside[0] != os.pardir and "site-packages" not in inside


def _syntax(source: Source, error: SyntaxError | ValueError) -> Diagnostic:
    line = getattr(error, "lineno", None) or 1
    column = getattr(error, "offset", None) or 1
    start = source.offset(line) + column - 1
    what = getattr(error, "msg", None) or str(error)
    return Diagnostic(
        "spec-script",
        f"not Python 3: {what}",
        Span(source, start, start + 1),
        why="the file is run as Python 3; older files print without parentheses",
        remedy="write it for Python 3, or convert the prototxt that it once wrote",
    )


def _located(source: Source, name: str, error: Exception) -> Diagnostic:
    line = 1
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = source.line(line)
    start = source.offset(line) + len(text) - len(text.lstrip())
    span = Span(source, start, start + max(1, len(text.strip())))
    if isinstance(error, SpecError):
        return Diagnostic("spec", str(error), span)
    return Diagnostic(
        "spec-script",
        f"{'AttributeError' if isinstance(error, Absent) else type(error).__name__}: {error}",
        span,
        why="the script stopped here; files that it had written before are left as they are",
        remedy=_remedy(error),
    )


_PYTHON2_NAMES = {
    "xrange": "range",
    "unicode": "str",
    "raw_input": "input",
    "long": "int",
    "reduce": "functools.reduce",
}
_PYTHON2_METHODS = {"iteritems": "items", "itervalues": "values", "iterkeys": "keys", "has_key": "the operator in"}


def _remedy(error: Exception) -> str:
    """What helps against the errors that scripts for pycaffe and Python 2 run into."""
    name = getattr(error, "name", None)
    if isinstance(error, ImportError):
        package, _, part = str(name).partition(".")
        missing = re.search(r"cannot import name '(\w+)' from 'caffe'", str(error))
        if missing:
            return elsewhere(missing[1])
        if package == "caffe":
            return elsewhere(part) or "only caffe.net_spec, caffe.coord_map and caffe.proto are here"
        return f"'{name}' is not installed, and not beside the script" if name else ""
    if isinstance(error, SyntaxError):
        return f"{os.path.basename(error.filename or 'a file that it imports')} is no Python 3"
    if isinstance(error, Absent):
        return error.remedy
    if isinstance(error, NameError) and name in _PYTHON2_NAMES:
        return f"the file is run as Python 3: {_PYTHON2_NAMES[name]} instead of {name}"
    if isinstance(error, AttributeError) and name in _PYTHON2_METHODS:
        return f"the file is run as Python 3: {_PYTHON2_METHODS[name]} instead of {name}"
    if isinstance(error, TypeError) and "for >>: 'builtin_function_or_method'" in str(error):
        return "the file is run as Python 3: print(…, file=…) instead of print >>…"
    return ""
