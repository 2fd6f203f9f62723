"""Where the bundled definitions and weights are: found by name from any folder.

>>> find_definition("voc-fcn8s/val.prototxt").name
'val.prototxt'
>>> find_definition("voc-fcn9s/val.prototxt") is None
True
>>> near_definitions("voc-fcn9s/val.prototxt")[0]
'voc-fcn8s/val.prototxt'
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from netcompile.diagnostics.nearest import nearest

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def bundled_folder() -> str:
    """The folder that holds `prototxt/` and `weights/`: inside an installed package, else the repository."""
    inside = os.path.join(_PACKAGE, "bundled")
    return inside if os.path.isdir(inside) else os.path.dirname(_PACKAGE)


def definitions() -> tuple[str, ...]:
    """The names of all bundled definitions, sorted: "voc-fcn8s/val.prototxt" and so on."""
    root = os.path.join(bundled_folder(), "prototxt")
    found = []
    for net in os.scandir(root) if os.path.isdir(root) else ():
        if net.is_dir():
            found += [f"{net.name}/{name}" for name in os.listdir(net.path) if name.endswith(".prototxt")]
    return tuple(sorted(found))


def find_definition(name: str | os.PathLike[str]) -> Path | None:
    """The file at this path, or else the bundled definition of this name; None if there is neither.

    A bundled name may be said with or without a leading "prototxt/" and the extension.
    """
    return _find(os.fspath(name), "prototxt", ".prototxt", definitions)


def find_weights(name: str | os.PathLike[str]) -> Path | None:
    """The file at this path, or else the bundled caffemodel of this name, "shapes-fcn8s.caffemodel"."""
    return _find(os.fspath(name), "weights", ".caffemodel", _weights)


def near_definitions(name: str) -> list[str]:
    """Up to three bundled names much like `name`, the likeliest first; for a folder's name, all files in it."""
    name = _normal(name, "prototxt")
    known = definitions()
    inside = [item for item in known if item.startswith(name.removesuffix(".prototxt") + "/")]
    stems = {item.removesuffix(".prototxt"): item for item in known}  # what all names share says nothing
    return inside or [stems[stem] for stem in nearest(name.removesuffix(".prototxt"), stems, 3, 0.5)]


def _weights() -> tuple[str, ...]:
    root = os.path.join(bundled_folder(), "weights")
    return tuple(sorted(os.listdir(root))) if os.path.isdir(root) else ()


def _find(name: str, folder: str, extension: str, known: Callable[[], tuple[str, ...]]) -> Path | None:
    if os.path.isfile(name):
        return Path(name)
    wanted = _normal(name, folder)
    # Only names from the listing are opened, so that no "../" leads out of the folder.
    for candidate in (wanted, wanted + extension):
        if candidate in known():
            return Path(bundled_folder(), folder, candidate)
    return None


def _normal(name: str, folder: str) -> str:
    return name.replace(os.sep, "/").removeprefix(f"{folder}/")
