"""What an HDF5 file may not do to whoever reads it: lead to other files, or have its numbers unpacked by a plugin.

An external link, a virtual data set and external storage name other files by path, and HDF5 opens these with the
reader's rights as soon as it is asked for a shape. So every step from the root to the numbers goes through `member`,
and `require_own` looks at the layout of a data set before anything else is asked of it.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 6: "scaleoffset", 32000: "lzf"}
_LINKS = 16  # soft links on the way to a data set


# What HDF5 tells of the system; EINVAL and the like come of places that a damaged file names.
_ERRNO = re.compile(r"errno = (\d+)")
_SYSTEM = {
    getattr(errno, name, 0)
    for name in ("EIO", "EACCES", "EPERM", "ENOMEM", "EMFILE", "ENFILE", "EINTR", "ENOSPC", "EDQUOT", "EROFS", "ESTALE")
} - {0}  # fmt: skip


def raise_of_system(error: Exception, path: str) -> None:
    """Raises OSError where h5py tells a refusal of the system to read the file, and not what is wrong with it."""
    found = _ERRNO.search(str(error))
    if found is not None and int(found[1]) in _SYSTEM:
        raise OSError(int(found[1]), os.strerror(int(found[1])), path) from None


class Elsewhere(Exception):
    """Why an object of an HDF5 file is not read: `what` goes behind its name, `remedy` says what to do."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def member(parent: Any, name: bytes) -> Any:
    """The group or data set (h5py's low-level object) behind a hard link. Raises Elsewhere for all else."""
    from h5py import h5d, h5g, h5l, h5o

    kind = parent.links.get_info(name).type
    if kind != h5l.TYPE_HARD:
        what = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}.get(kind, "a special link")
        raise Elsewhere(f"is {what}, which is not followed", "store the numbers themselves (h5repack, or copy them)")
    found = h5o.open(parent, name)
    if not isinstance(found, (h5g.GroupID, h5d.DatasetID)):
        raise Elsewhere("is neither a group nor a data set")
    return found


def require_own(dataset: Any) -> None:
    """Raises Elsewhere for a data set (low-level) whose numbers are not in its file, or packed by an unknown filter."""
    from h5py import h5d

    properties = dataset.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL:
        raise Elsewhere("is a virtual data set: its numbers lie in other files", "copy it with h5repack")
    if properties.get_external_count():
        raise Elsewhere("keeps its numbers in another file", "copy it with h5repack")
    for number in (properties.get_filter(i)[0] for i in range(properties.get_nfilters())):
        if number not in FILTERS:
            raise Elsewhere(f"is packed with filter {number}, which is not known", "unpack it with h5repack")


def own_dataset(file: Any, path: str) -> Any:
    """The `h5py.Dataset` at a path of an open `h5py.File`, None where there is none. Raises Elsewhere.

    A name with slashes is a path of groups. A soft link is a path too, and followed as such: it stays in the file.
    """
    import h5py
    from h5py import h5g, h5l

    root = found = h5g.open(file.id, b"/")
    names, links = _names(path.encode("utf-8", "surrogateescape")), 0
    while names:
        name = names.pop()
        if not isinstance(found, h5g.GroupID) or b"\0" in name or not found.links.exists(name):
            return None
        if found.links.get_info(name).type == h5l.TYPE_SOFT:
            links += 1
            if links > _LINKS:
                raise Elsewhere(f"is behind more than {_LINKS} soft links")
            target = found.links.get_val(name)
            found = root if target.startswith(b"/") else found
            names += _names(target)
        else:
            found = member(found, name)
    if isinstance(found, h5g.GroupID):
        return None
    require_own(found)
    return h5py.Dataset(found)


def _names(path: bytes) -> list[bytes]:
    """The steps of a path, the first one last."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
