"""Which images a run works on: files, folders and globs, each image once, each with a name for its outputs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob

from netcompile.data.images import EXTENSIONS
from netcompile.diagnostics.diagnostic import Diagnostic, NetError
from netcompile.files.look import is_folder, is_there


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to work on. `name` is a relative path without extension, unique in the run."""

    path: str
    name: str


def pictures(arguments: Sequence[str], beside: str = "") -> tuple[Picture, ...]:
    """The images that files, folders (searched through) and globs name, in a fixed order, each once.

    What lies in the folder `beside`, where the outputs go, is left out of folders that are searched.

    An image of a folder is named by its path from that folder, any other by its file name. Two images of one name keep
    their extensions. Raises NetError where nothing is found, or two images would have the same outputs.
    """
    found: dict[str, tuple[str, str]] = {}
    problems = []
    for argument in arguments:
        entries = list(_of_argument(argument, beside))
        if not entries:
            problems.append(_nothing(argument))
        for path, name in entries:
            found.setdefault(os.path.realpath(path), (path, name))
    if problems:
        raise NetError(problems)
    return _named(found.values())


def _of_argument(argument: str, beside: str) -> Iterable[tuple[str, str]]:
    pattern = not is_there(argument) and any(character in argument for character in "*?[")
    for path in sorted(glob(argument, recursive=True)) if pattern else [argument]:
        if is_folder(path):
            yield from _of_folder(path, beside)
        elif is_there(path):
            yield path, os.path.basename(path)


def _of_folder(folder: str, beside: str) -> Iterable[tuple[str, str]]:
    seen = {os.path.realpath(beside)} if beside else set()  # and folders seen, since links may lead in circles
    for here, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith("."):
                path = os.path.join(here, name)
                yield path, os.path.relpath(path, folder)


def _fail(error: OSError) -> None:
    """A folder that cannot be listed is no folder without images."""
    raise error


def _named(files: Iterable[tuple[str, str]]) -> tuple[Picture, ...]:
    parts = [(path, *os.path.splitext(name)) for path, name in files]
    counts = Counter(stem for _, stem, _ in parts)
    made: dict[str, str] = {}
    problems = []
    for path, stem, extension in parts:
        unique = stem if counts[stem] == 1 else f"{stem}_{extension.lstrip('.')}"
        if unique in made:
            what = f"{made[unique]} and {path} would have the same outputs, '{unique}'"
            remedy = "give the folder that both lie in: then their names have their folders in front"
            problems.append(Diagnostic("image-names", what, remedy=remedy))
        made[unique] = path
    if problems:
        raise NetError(problems[:20])
    return tuple(Picture(path, name) for name, path in made.items())


def _nothing(argument: str) -> Diagnostic:
    if is_folder(argument):
        return Diagnostic("no-images", f"the folder '{argument}' holds no images", why="none is known by its extension")
    if any(character in argument for character in "*?["):
        return Diagnostic("no-images", f"nothing matches '{argument}'")
    return Diagnostic("no-such-file", f"there is no image or folder '{argument}'")
