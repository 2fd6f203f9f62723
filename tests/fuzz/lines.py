"""Which lines of netcompile have been run: what guides the fuzzing.

From Python 3.12 on, `sys.monitoring` tells each line once and then costs nothing. Before, `sys.settrace` is on for a
share of the runs only; a function whose lines have all been seen is not traced again.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import Any

import netcompile

FOLDER = os.path.dirname(os.path.abspath(netcompile.__file__)) + os.sep


class Traced:
    """Lines by `sys.settrace`, while entered."""

    every = 6  # one run in so many is traced

    def __init__(self) -> None:
        self.count = 0
        self._locals: dict[int, Any] = {}
        self._codes: list[CodeType] = []  # kept, so that no other takes the place of one that ended

    def __enter__(self) -> None:
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        try:
            return self._locals[id(code)]
        except KeyError:
            self._codes.append(code)
            local = self._local(code) if code.co_filename.startswith(FOLDER) else None
            self._locals[id(code)] = local
            return local

    def _local(self, code: CodeType) -> Any:
        unseen = {line for _, _, line in code.co_lines() if line}
        unseen.discard(code.co_firstlineno)

        def local(frame: FrameType, event: str, argument: object) -> Any:
            if event == "line" and frame.f_lineno in unseen:
                unseen.discard(frame.f_lineno)
                self.count += 1
                if not unseen:
                    self._locals[id(code)] = None
            return local

        return local


class Monitored:
    """Lines by `sys.monitoring`, while entered."""

    every = 1

    def __init__(self) -> None:
        self.count = 0
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
        if self._monitoring.get_tool(self._monitoring.COVERAGE_ID) is not None:  # a counter before this one
            self._monitoring.free_tool_id(self._monitoring.COVERAGE_ID)
            self._monitoring.restart_events()
        self._monitoring.use_tool_id(self._monitoring.COVERAGE_ID, "netcompile-fuzz")
        self._monitoring.register_callback(self._monitoring.COVERAGE_ID, self._monitoring.events.LINE, self._line)

    def __enter__(self) -> None:
        self._monitoring.set_events(self._monitoring.COVERAGE_ID, self._monitoring.events.LINE)

    def __exit__(self, *_: object) -> None:
        self._monitoring.set_events(self._monitoring.COVERAGE_ID, 0)

    def _line(self, code: CodeType, line: int) -> Any:
        self.count += code.co_filename.startswith(FOLDER)
        return self._monitoring.DISABLE


def lines() -> Traced | Monitored:
    """What counts lines on this Python."""
    return Monitored() if hasattr(sys, "monitoring") else Traced()
