"""A net as an ONNX file that lies ready for engines: opened, and compared with the module that it was made of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from os.path import join
from threading import Lock

import torch
from torch import Tensor, nn

from netcompile.array import Array
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.text import shape_text
from netcompile.engines.engine import Engine, Session
from netcompile.engines.module import EngineModule, Shape
from netcompile.export.onnx_file import TOLERANCE, difference
from netcompile.files.limits import require_disk, require_memory

FEW_DIGITS = 0.05  # of the largest magnitude of an output: what bfloat16's eight digits may add up to
COPIES = 3  # of the weights: the module's, the file's, the engine's
Example = tuple[Sequence[Tensor], Tensor | dict[str, Tensor]]  # inputs, and what the module makes of them


@dataclass(frozen=True, slots=True)
class Model:
    """The file at `path` of the net `made`, the emitted module with its weights.

    `inputs` have the declared shapes, `kinds` say which outputs jump (`export.onnx_file.jumping`). `complete`: the file
    takes everything that the module does, or that `others` takes the rest: it gives the file for other sizes, where
    this one holds what depends on its own. `legal`: whether the net takes inputs of these shapes. `examples` gives what
    to compare with: inputs and results, or why the module computes nothing. `refused` is the error of this net.
    """

    path: str
    made: nn.Module
    inputs: Mapping[str, Shape]
    outputs: Sequence[str]
    kinds: Mapping[str, str]
    complete: bool
    legal: Callable[[Sequence[Shape]], bool]
    examples: Callable[[], Iterator[Example | str]]
    refused: Callable[[str, str], NetError]
    others: Callable[[], AbstractContextManager[Model]] | None = None

    def opened(self, engine: Engine, dtype: str = "float32") -> Session:
        """The file in an engine. Raises NetError where that cannot run it, or computes something else."""
        own = self._opened(engine, dtype)
        return own if self.others is None else self._of_sizes(own, engine, dtype, self.others)

    def _of_sizes(
        self, own: Session, engine: Engine, dtype: str, others: Callable[[], AbstractContextManager[Model]]
    ) -> Session:
        """Inputs of the declared sizes by this file, others by the file for these, opened when the first come."""
        usual = [shape[1:] for shape in self.inputs.values()]
        lock, found = Lock(), list[Session]()

        def run(arrays: Sequence[Array]) -> list[Array]:
            if [array.shape[1:] for array in arrays] == usual:
                return own(arrays)
            with lock:
                if not found:
                    with others() as model:
                        found.append(model.opened(engine, dtype))
            return found[0](arrays)

        return run

    def _opened(self, engine: Engine, dtype: str) -> Session:
        try:
            session = engine.open(self.path, self.inputs, torch.get_num_threads(), dtype)
        except Exception as error:  # each engine has its own kinds
            raise self.refused(f"is not what {engine.title} can run", first_line(error)) from None
        why = "there is nothing to compare"
        compared = False
        for example in self.examples():
            if isinstance(example, str):
                why = example
                continue
            compared = True
            wrong = self._wrong(session, *example, tolerance=TOLERANCE if dtype == "float32" else FEW_DIGITS)
            if wrong:
                raise self.refused(f"is not what {engine.title} computes", wrong)
        if not compared:
            raise self.refused(f"cannot be compared with {engine.title}: the module itself computes nothing", why)
        return session

    def _wrong(
        self, session: Session, inputs: Sequence[Tensor], result: Tensor | dict[str, Tensor], tolerance: float
    ) -> str:
        """What is wrong with what an engine computes of these inputs; "" if nothing is."""
        given = f"input {' and '.join(shape_text(x.shape) for x in inputs)}"
        try:
            found = session([x.numpy() for x in inputs])
        except RuntimeError as error:
            return f"{given}: {first_line(error)}"
        wrong = difference(self.kinds, self.outputs, result, found, tolerance)
        return f"{given}, {wrong}" if wrong else ""

    def module_in(self, engine: Engine, session: Session, dtype: str = "float32") -> EngineModule:
        """The net as the engine computes it; `made` has no weights from then on."""
        return EngineModule(engine, session, self.made, self.inputs, self.outputs, self.legal, dtype)


@contextmanager
def place_for(size: int, what: str) -> Iterator[str]:
    """A path for a file with weights of `size` bytes, as long as the block lasts; what engines have read of it stays.

    `what` names the net, for a message. Raises NetError where the weights take too much memory, OSError.
    """
    require_memory(COPIES * size, f"{what}: to give the net to another engine")
    with tempfile.TemporaryDirectory(prefix="netcompile-", ignore_cleanup_errors=True) as folder:
        path = join(folder, "net.onnx")
        require_disk(path, size)
        yield path


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
