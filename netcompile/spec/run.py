"""Runs a `net.py` written for pycaffe: `import caffe` finds the part of it that specifies networks.

This executes the user's code, in this process, with the rights of this process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from netcompile.prototxt.diagnostic import Diagnostic, NetError
from netcompile.prototxt.source import Source, Span
from netcompile.spec import coord_map, net_spec
from netcompile.spec.fields import SpecError
from netcompile.spec.literal import as_python2

if TYPE_CHECKING:
    from os import PathLike


def run_file(path: str | PathLike[str]) -> None:
    """Executes the file as a script in the current folder, where the files that it writes appear.

    Raises OSError if it cannot be read, NetError (located in the file) for whatever goes wrong inside it. A
    non-zero `sys.exit` passes through.
    """
    import os

    source = Source.read(path)
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
    ours = {module.__name__: module for module in _stand_in()}
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
    """The script is `__main__`, alone on the command line, its folder first on the path."""
    before, arguments, search = sys.modules.get("__main__"), sys.argv, list(sys.path)
    sys.modules["__main__"] = main
    sys.argv = [str(main.__file__)]
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, search
        if before is not None:
            sys.modules["__main__"] = before


def _stand_in() -> tuple[ModuleType, ...]:
    layers = net_spec.Layers(rewrite=_python2_keywords)
    caffe = ModuleType("caffe", "The part of Caffe's Python that specifies networks.")
    spec = ModuleType("caffe.net_spec")
    coords = ModuleType("caffe.coord_map")
    shared: dict[str, Any] = {
        "NetSpec": net_spec.NetSpec,
        "Top": net_spec.Top,
        "Function": net_spec.Function,
        "to_proto": net_spec.to_proto,
        "layers": layers,
        "params": net_spec.params,
    }
    spec.__dict__.update(shared)
    coords.__dict__.update(
        crop=coord_map.crop,
        coord_map_from_to=coord_map.coord_map_from_to,
        UndefinedMapException=coord_map.UndefinedMapException,
        AxisMismatchException=coord_map.AxisMismatchException,
        L=layers,
    )
    caffe.__dict__.update(shared, TRAIN=0, TEST=1, net_spec=spec, coord_map=coords, __path__=[])

    def absent(name: str) -> Any:
        raise AttributeError(f"caffe.{name} is not here: only the part of caffe that specifies networks is")

    caffe.__dict__["__getattr__"] = absent
    return caffe, spec, coords


def _python2_keywords(keywords: dict[str, Any]) -> dict[str, Any]:
    def rewritten(keyword: str, value: Any) -> Any:
        if keyword == "param_str" and isinstance(value, str):
            return as_python2(value)
        if keyword == "python_param" and isinstance(value, dict):
            return _python2_keywords(value)
        return value

    return {keyword: rewritten(keyword, value) for keyword, value in keywords.items()}


def _syntax(source: Source, error: SyntaxError | ValueError) -> Diagnostic:
    line = getattr(error, "lineno", None) or 1
    column = getattr(error, "offset", None) or 1
    start = _line_start(source, line) + column - 1
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
    start = _line_start(source, line) + len(text) - len(text.lstrip())
    span = Span(source, start, start + max(1, len(text.strip())))
    if isinstance(error, SpecError):
        return Diagnostic("spec", str(error), span)
    return Diagnostic(
        "spec-script",
        f"{type(error).__name__}: {error}",
        span,
        why="the script stopped here; files that it had written before are left as they are",
    )


def _line_start(source: Source, line: int) -> int:
    lines = source.text.split("\n")
    return sum(len(text) + 1 for text in lines[: line - 1])
