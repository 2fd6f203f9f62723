"""A net that another engine computes, as an `nn.Module` that is called as the emitted one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from netcompile.array import Array
from netcompile.diagnostics.diagnostic import refuse
from netcompile.diagnostics.text import shape_text
from netcompile.engines.engine import Engine, Session
from netcompile.runtime.notebook import html

Shape = tuple[int, ...]


class EngineModule(nn.Module):
    """Called with tensors in the order of `inputs`; returns a tensor, or of several outputs a dictionary by blob name.

    `module` is the emitted one. It computes nothing here: on PyTorch's meta device it says, without numbers, which
    shapes the net takes and what comes out; an ONNX file cannot. On the CPU, for evaluation; what goes in and comes out
    is float32, whatever the engine computes in. It has no parameters, and its results no gradient.
    """

    _repr_html_ = html

    def __init__(
        self, engine: Engine, session: Session, module: nn.Module, inputs: Mapping[str, Shape], outputs: Sequence[str],
        legal: Callable[[Sequence[Shape]], bool] = lambda shapes: True, dtype: str = "float32",
    ) -> None:  # fmt: skip
        """`inputs` have the declared shapes; `legal` says whether the net takes others, where the module cannot.

        The session computes in `dtype`.
        """
        super().__init__()
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.engine, self.session = engine, session
        self.inputs, self.outputs, self.legal = tuple(inputs), tuple(outputs), legal
        self.known: dict[tuple[Shape, ...], tuple[Shape, ...] | None] = {}
        self.__dict__["meta"] = module.to("meta").eval()  # no part of this module's parameters
        try:
            self.known[tuple(inputs.values())] = self._shapes(tuple(inputs.values()))
        except (RuntimeError, ValueError, IndexError):  # it asks for numbers
            self.__dict__["meta"] = None
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """One pass. Raises ValueError for shapes that the net, or the file, does not take; RuntimeError."""
        if len(inputs) != len(self.inputs):
            raise TypeError(f"the net takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), not {len(inputs)}")
        arrays = [self._array(name, x) for name, x in zip(self.inputs, inputs, strict=True)]
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self.known:
            self.known[shapes] = self._shapes(shapes)
        wanted = self.known[shapes]
        if wanted is not None and not any(0 not in shape for shape in wanted):
            found = [torch.zeros(shape) for shape in wanted]  # a batch of no images
        else:
            found = [torch.from_numpy(array) for array in self.session(arrays)]
            self._compare(shapes, wanted, [tuple(tensor.shape) for tensor in found])
        return found[0] if len(self.outputs) == 1 else dict(zip(self.outputs, found, strict=True))

    def _array(self, name: str, x: Tensor) -> Array:
        if x.device.type != "cpu":
            raise ValueError(f"input '{name}' is on {x.device}: {self.engine.title} computes on the CPU here")
        if x.is_floating_point() and x.dtype not in (torch.float32, self.dtype):
            raise ValueError(f"input '{name}' is {x.dtype}: {self.engine.title} computes in {self.dtype} here")
        return x.detach().to(torch.float32).contiguous().numpy()

    def _shapes(self, shapes: tuple[Shape, ...]) -> tuple[Shape, ...] | None:
        """The outputs' shapes; None where they depend on numbers. Raises what the module does at illegal shapes."""
        meta = self.__dict__["meta"]
        if meta is None:
            if not self.legal(shapes):
                given = " and ".join(map(shape_text, shapes))
                raise ValueError(f"in {self.engine.title} this net does not take {given}")
            return None
        with torch.no_grad():
            found = meta(*(torch.empty(shape, device="meta") for shape in shapes))
        values = found.values() if isinstance(found, dict) else [found]
        return tuple(tuple(tensor.shape) for tensor in values)

    def _compare(self, shapes: tuple[Shape, ...], wanted: tuple[Shape, ...] | None, found: Sequence[Shape]) -> None:
        """Raises ValueError where other shapes come out than those of the module."""
        for name, one, other in zip(self.outputs, wanted or (), found, strict=False):
            if one != other:
                given = " and ".join(map(shape_text, shapes))
                what = (
                    f"{self.engine.title} makes '{name}' {shape_text(other)} of {given}; the module {shape_text(one)}"
                )
                raise ValueError(what)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode. Raises NetError where training is asked for."""
        if mode:
            refuse(
                "engine", f"{self.engine.title} computes, and does not learn", remedy='engine="torch" gives a module'
            )
        return super().train(False)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """What `.to`, `.cuda`, `.half` and their like call; what changes nothing is let pass. Raises NetError."""
        probe = fn(torch.empty(0))
        if probe.device.type != "cpu" or probe.dtype not in (torch.float32, self.dtype):
            what = (
                f"{self.engine.title} computes in {self.dtype} on the CPU here, not in {probe.dtype} on {probe.device}"
            )
            refuse("engine", what, remedy='engine="torch" gives a module that moves')
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # nothing of it changes

    def __reduce__(self) -> Any:
        raise TypeError(f"a net in {self.engine.title} cannot be pickled: load it where it is needed")

    def extra_repr(self) -> str:
        return f"{self.engine.title}: {', '.join(self.inputs)} → {', '.join(self.outputs)}"
