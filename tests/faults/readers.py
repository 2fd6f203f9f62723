"""Who reads a build: each says which of two builds it took, or refuses; a mixture of both would show in its numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np

from tests.faults.forks import forked
from tests.faults.trial import Bench


def plain(folder: str) -> int:
    """Imports the module and loads the weights by itself, as the README says."""
    import torch
    from safetensors.torch import load_file

    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    from toy import Toy  # type: ignore[import-not-found]

    net = Toy()
    net.load_state_dict(load_file(os.path.join(folder, "toy.safetensors")), assign=True)
    return _which(net, torch)


def loaded(folder: str) -> int:
    """`netcompile.load`, which finishes what is half done where it may."""
    import torch

    from netcompile import load

    return _which(load(folder), torch)


def unwritable(folder: str) -> int:
    """The same where the folder cannot be written to."""

    def refused(*arguments: object, **options: object) -> None:
        raise OSError(30, os.strerror(30), arguments[0])

    for name in ("mkdir", "replace", "rename", "unlink", "rmdir", "link"):
        setattr(os, name, refused)
    return loaded(folder)


READERS: tuple[Callable[[str], int], ...] = (plain, unwritable, loaded)
NEITHER, REFUSED = 50, 60


def _which(net: object, torch: object) -> int:
    """0 or 1: whose numbers these are, as `expect` wrote them beside the folder."""
    with np.load("../expected.npz") as expected, torch.inference_mode():  # type: ignore[attr-defined]
        made = net(torch.from_numpy(expected["data"])).numpy()  # type: ignore[attr-defined, operator]
        for index in (0, 1):
            if np.allclose(made, expected[f"out{index}"], atol=1e-4):
                return index
    return NEITHER


def expect(bench: Bench) -> None:
    """Write what both nets compute where the readers look for it."""
    import torch

    import netcompile

    data = np.random.RandomState(1).standard_normal((1, 3, 6, 8)).astype(np.float32)
    found = {"data": data}
    for index in (0, 1):
        net = netcompile.load(bench.pristine / f"toy{index}.prototxt", bench.pristine / f"toy{index}.caffemodel")
        with torch.inference_mode():
            found[f"out{index}"] = net(torch.from_numpy(data)).numpy()
    assert not np.allclose(found["out0"], found["out1"], atol=1e-2)
    np.savez(bench.pristine.parent / "expected.npz", **found)


def accepted(bench: Bench) -> str:
    """What a reader made of a mixture; "" if each took one build or refused. The last may finish what is there."""
    if not (bench.pristine.parent / "expected.npz").exists():
        expect(bench)
    for reader in READERS:
        done = forked(lambda reader=reader: _code(reader), bench.folder)  # type: ignore[misc]
        if done.code not in (0, 1, REFUSED):
            return f"{reader.__name__} took a mixture: {done}"
    return ""


def _code(reader: Callable[[str], int]) -> int:
    from netcompile.diagnostics.diagnostic import NetError

    try:
        return reader("out")
    except (NetError, OSError, ImportError):
        return REFUSED
