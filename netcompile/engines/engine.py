"""What an engine is: a package that computes an ONNX file on arrays. No torch here, and no engine's package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import listed

if TYPE_CHECKING:
    from netcompile.array import Array

# The inputs in the order of the module's arguments to the outputs in the order of its results. Raises RuntimeError.
Session = Callable[[Sequence["Array"]], "list[Array]"]
Shapes = Mapping[str, tuple[int, ...]]  # of the inputs, by name, in their order
# The path of an ONNX file, the shapes that it will mostly be given, how many threads, and the type to compute in.
# Raises what the package does.
Open = Callable[[str, Shapes, int, str], Session]


@dataclass(frozen=True, slots=True)
class Engine:
    """A package that runs ONNX files: `name` for ``--engine``, `title` for people, `extra` of pip's netcompile[…].

    `dtypes`: the types that it computes in, all from a file with weights of 32 bits.
    """

    name: str
    title: str
    package: str
    extra: str
    open: Open
    dtypes: tuple[str, ...] = ("float32",)

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None

    @property
    def missing(self) -> list[str]:
        """The packages that it lacks, itself and those that write its file."""
        return [name for name in dict.fromkeys((self.package, *WRITING)) if find_spec(name) is None]

    @property
    def version(self) -> str:
        """The installed version, "" where there is none."""
        return version_of(self.package)

    def require(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Raises NetError where this engine does not compute on the device or in that type, or is not installed."""
        if device.partition(":")[0] != "cpu":
            what, why = f"--device {device}: {self.title} computes on the CPU here", "its GPU parts are not used"
            refuse("engine", what, why=why, remedy="--engine torch computes on a GPU")
        if dtype not in self.dtypes:
            what = f"--dtype {dtype}: {self.title} computes in {' or '.join(self.dtypes)} here"
            refuse("engine", what, why="the ONNX file has weights of 32 bits", remedy=f"--engine torch takes {dtype}")
        if self.missing:
            are = "is" if len(self.missing) == 1 else "are"
            what = f"--engine {self.name} needs {listed(self.missing)}, which {are} not installed"
            refuse("engine-missing", what, remedy=f'pip install "netcompile[{self.extra}]"')


WRITING = ("onnx", "onnxscript")  # what the file is written with, whoever runs it


def version_of(package: str) -> str:
    """The version of an installed package, "" where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
