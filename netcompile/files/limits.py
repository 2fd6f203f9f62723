"""How much memory and disk a file can make this program take: asked before anything is allocated.

Whoever is about to allocate what a file declares or implies calls `require_memory` first. The bound is what
``--max-memory`` or the argument `max_memory` says, else half of the memory that is free at that moment. It is kept in a
context variable: some fifty functions lie between the command and a reader, and runs in other threads have their own.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import bytes_text

DEFLATE = 1032  # bytes that deflate unpacks of a byte at most
_ALWAYS = 1 << 20  # bytes that are never asked about
_FALLBACK = 1 << 32  # free memory where the system does not tell
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_given: ContextVar[int | None] = ContextVar("max_memory", default=None)


def memory_size(text: str) -> int:
    """A size as ``--max-memory`` takes it, in bytes. Raises ValueError.

    >>> memory_size("2GB"), memory_size("512MiB"), memory_size("1.5 g"), memory_size("4096")
    (2000000000, 536870912, 1500000000, 4096)
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]i?|)b?", text.strip().lower(), re.ASCII)
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise ValueError(f"{text!r} is no size: 2GB, 512MiB and 1000000 are")
    return size


@contextmanager
def max_memory(size: int | None) -> Iterator[None]:
    """Within the block this many bytes are the bound; None leaves it as it is."""
    if size is None:
        yield
        return
    before = _given.set(size)
    try:
        yield
    finally:
        _given.reset(before)


def memory_bound() -> int:
    """The bytes that one file, or one net with all that it computes, may take."""
    given = _given.get()
    return free_memory() // 2 if given is None else given


def require_memory(size: int, what: str, why: str = "", remedy: str = "") -> None:
    """Raises NetError if `size` bytes are more than the bound. `what` names the file and its part, for the message."""
    if size <= _ALWAYS and _given.get() is None:
        return
    bound = memory_bound()
    if size > bound:
        said = "--max-memory says" if _given.get() is not None else "half of the free memory is"
        option = "--max-memory SIZE allows more (max_memory= in Python)"
        refuse(
            "too-large",
            f"{what} takes {size_text(size)} of memory; {said} {size_text(bound)}",
            why=why,
            remedy=f"{remedy}; or {option}" if remedy else f"if the file is trusted, {option}",
        )


def require_disk(path: str, size: int) -> None:
    """Raises OSError (ENOSPC) if `size` bytes do not fit where `path` is to be written, before a byte of it is."""
    folder = os.path.dirname(os.path.realpath(path))
    try:
        disk = os.statvfs(folder)
    except (OSError, AttributeError):  # not there yet, or not a Unix: writing will tell
        return
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and size > free:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: it needs {size_text(size)}, {size_text(free)} are free", path
        )


def size_text(size: int) -> str:
    """Bytes for a message: exact below 1 kB, and no more than a bound for what no machine has.

    >>> size_text(12), size_text(538_000_000), size_text(10**300)
    ('12 B', '538.0 MB', 'more than 1000000.0 TB')
    """
    return bytes_text(size) if size <= 10**18 else f"more than {bytes_text(10**18)}"


def free_memory() -> int:
    """Bytes that can be had now without swapping: the least that the system, its control groups and ulimit leave.

    Linux: MemAvailable of /proc/meminfo, ``memory.max`` of the process's control group and those above it (version 1:
    ``memory.limit_in_bytes``), and RLIMIT_AS. Elsewhere half of the machine's memory, 4 GiB where that is not known.
    """
    found = [size for size in (_available(), *_groups(), _limit()) if size is not None]
    return max(0, min(found))


def _available() -> int:
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _FALLBACK


def _groups() -> Iterator[int]:
    """What every control group that this process is in leaves; caches that the system would drop count as free."""
    with suppress(OSError), open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = "/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup"
            names = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
            )
            while True:
                # A container may see its own group as the root.
                if (left := _left(root + path.rstrip("/"), *names)) is not None:
                    yield left
                if path in ("", "/"):
                    break
                path = os.path.dirname(path)


def _left(folder: str, most: str, used: str) -> int | None:
    try:
        values = []
        for name in (most, used):
            with open(os.path.join(folder, name), encoding="ascii") as file:
                values.append(int(file.read()))  # "max" is no number: no limit here
        with open(os.path.join(folder, "memory.stat"), encoding="ascii") as file:
            cached = next((int(line.split()[1]) for line in file if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError, IndexError):
        return None
    return values[0] - values[1] + cached


def _limit() -> int | None:
    """What ``ulimit -v`` leaves of the address space; None without one."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return None
        with open("/proc/self/statm", encoding="ascii") as file:
            return most - int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return None
