"""Plain command lines, NET and flags, read without argparse: to import it takes as long as to analyse a net.

`read` knows names and flags, and the defaults of everything else. Whatever it does not know for certain it leaves to
argparse: `None` is its answer then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

_KNOWN = {"action", "choices", "default", "help", "metavar", "type"}


class _Unsure(Exception):
    """Something that argparse has to read."""


class _Parser:
    """What a command's ``configure`` takes for a parser: it keeps names, flags and defaults."""

    def __init__(self, group: object = None, of: _Parser | None = None) -> None:
        self.group = group  # of flags that exclude each other
        self.positional: list[str] = [] if of is None else of.positional
        self.flags: dict[str, tuple[str, object]] = {} if of is None else of.flags  # option → attribute and group
        self.defaults: dict[str, Any] = {} if of is None else of.defaults

    def add_argument(self, *names: str, **options: Any) -> None:
        if not _KNOWN.issuperset(options):
            raise _Unsure
        if not names[0].startswith("-"):
            if len(options.keys() & {"action", "choices", "default", "type"}):
                raise _Unsure
            self.positional.append(names[0])
            return
        attribute = next((name for name in names if name.startswith("--")), names[0]).lstrip("-").replace("-", "_")
        if options.get("action") == "store_true":
            self.flags.update(dict.fromkeys(names, (attribute, self.group)))
            self.defaults[attribute] = False
        elif options.get("action") in (None, "append"):
            default, kind = options.get("default"), options.get("type")
            self.defaults[attribute] = kind(default) if kind is not None and isinstance(default, str) else default
        else:
            raise _Unsure

    def add_argument_group(self, *_: object) -> _Parser:
        return self

    def add_mutually_exclusive_group(self) -> _Parser:
        return _Parser(object(), self)

    def __getattr__(self, name: str) -> Any:
        raise _Unsure


def read(configure: Callable[[Any], None], arguments: Sequence[str]) -> SimpleNamespace | None:
    """What argparse would make of these arguments, if all of them are plain; None where only argparse can tell."""
    parser = _Parser()
    try:
        configure(parser)
    except _Unsure:
        return None
    given: dict[str, Any] = {}
    groups: list[object] = []
    names = iter(parser.positional)
    for argument in arguments:
        if argument in parser.flags:
            attribute, group = parser.flags[argument]
            if attribute in given or group in groups:
                return None
            given[attribute] = True
            groups += [group] if group is not None else []
        elif argument and (argument == "-" or not argument.startswith("-")):
            name = next(names, None)
            if name is None:
                return None
            given[name] = argument
        else:
            return None
    if next(names, None) is not None:
        return None
    return SimpleNamespace(**{**parser.defaults, **given})
