"""Whether a net that was accepted runs, and alike at every level: the oracle where there is no other.

-O0 in float64 is what the rest is held against: -O1 and -O2, every blob and the outputs alone, and other dtypes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netcompile.analyser import Analysed
from netcompile.compiler import compile_net
from netcompile.layers.convolution import Deconvolution
from tests.fuzz.draw import Array
from tests.layers.harness import draw_blobs, module_of

BOUND = 200_000  # elements that a net may have to be run
TOLERANCE = 1e-10
STEP = 1e-12  # how far inputs are moved, as parts of themselves, to see what rounding may do
# A label or an index that the net has no place for; a pooling that pads its plane by a stride beyond all reason.
OUTSIDE = re.compile(
    r"index -?\d+ is out of bounds|index out of range in self|out of bounds for dimension|allocate memory"
)
OTHER_DTYPES = ("float32", "bfloat16")


class Disagreement(AssertionError):
    """What a run did that no run may do."""


def agree(analysed: Analysed, given: Mapping[str, Array], extra: int = 0) -> None:
    """Run an accepted net. `extra` chooses the dtype that is tried besides float64. Raises Disagreement."""
    graph = analysed.graph
    specs = [s.shape for n in graph.nodes for s in n.layer.blobs(*(analysed.shapes[b] for b in n.bottoms))]
    sizes = [float(np.prod(shape, dtype=float)) for shape in (*analysed.shapes.values(), *specs)]
    if sum(sizes) > BOUND:
        return
    every, blobs = list(graph.blobs), draw_blobs(analysed)
    feed = {v.blob: _array(analysed.shapes[v], given.get(v.blob)) for v in (e.value for e in graph.inputs)}
    wanted = _run(analysed, blobs, feed, 0, every)
    if wanted is None:
        return
    _shapes(analysed, wanted)
    # Other random numbers too: what they decide is not compared.
    near = {name: value * (1 + STEP * _signs(value)) for name, value in feed.items()}
    moved = _run(analysed, blobs, near, 0, every, seed=1)
    for level, outputs in ((1, every), (2, every), (0, None), (1, None), (2, None)):
        found = _run(analysed, blobs, feed, level, outputs)
        where = f"-O{level}{'' if outputs else ', outputs only'}"
        if found is None:
            raise Disagreement(f"{where}: an index out of bounds, not so at -O0")
        for name, value in found.items():
            if why := _differ(value, wanted[name], None if moved is None else moved[name], TOLERANCE):
                raise Disagreement(f"{where}: blob '{name}': {why}")
    dtype = "float32" if stops_torch(analysed) else OTHER_DTYPES[extra % 2]
    found = _run(analysed, blobs, feed, extra // 2 % 3, every, dtype)
    for name, value in (found or {}).items():
        if value.shape != wanted[name].shape and name not in _by_values(analysed):
            raise Disagreement(f"{dtype}: blob '{name}' is {value.shape}, not {wanted[name].shape}")


def stops_torch(analysed: Analysed) -> bool:
    """Whether bfloat16 may crash: a dilated transposed convolution of one row does, on a CPU (PyTorch 2.13)."""
    layers = [node.layer for node in analysed.graph.nodes]
    return any(isinstance(layer, Deconvolution) and set(layer.dilation) != {1} for layer in layers)


def _array(shape: tuple[int, ...], given: Array | None) -> Array:
    """What was drawn, or zeros and ones, which are labels and indices as well."""
    if given is not None and given.shape == tuple(shape):
        return np.array(given, np.float64)
    return np.asarray(np.indices(shape).sum(0) % 2 if shape else 1, np.float64)


def _signs(value: Array) -> Array:
    return np.random.default_rng(0).choice((-1.0, 1.0), value.shape) * (value != np.round(value))


def _run(
    analysed: Analysed,
    blobs: Mapping[str, Sequence[Array]],
    feed: Mapping[str, Array],
    level: int,
    outputs: list[str] | None,
    dtype: str = "float64",
    seed: int = 0,
) -> dict[str, Array] | None:
    """The blobs; None where an index has no place. Raises Disagreement for what fails otherwise."""
    import torch

    from netcompile.runtime.execute import DTYPES

    module = compile_net(analysed, level, outputs)
    made = module_of(analysed, module, blobs, dtype)
    tensors = [torch.from_numpy(np.array(feed[v.blob])).to(DTYPES[dtype]) for v in module.inputs]
    torch.manual_seed(seed)
    try:
        with torch.no_grad():
            result: Any = made(*tensors)
    except Exception as error:
        if OUTSIDE.search(str(error)):
            return None
        raise Disagreement(f"accepted, but -O{level} {dtype} fails: {type(error).__name__}: {error}") from error
    named = result if isinstance(result, dict) else dict(zip(module.outputs, [result], strict=True))
    return {name: t.double().numpy() for name, t in named.items()}


def _by_values(analysed: Analysed) -> set[str]:
    """The blobs whose sizes depend on numbers, and what follows from them."""
    found: set[Any] = set()
    for node in analysed.graph.nodes:
        if node.layer.sized_by_values or any(b in found for b in node.bottoms):
            found.update(node.tops)
    return {value.blob for value in found}


def _shapes(analysed: Analysed, found: Mapping[str, Array]) -> None:
    free = _by_values(analysed)
    for name, value in found.items():
        wanted = analysed.shapes[analysed.graph.blobs[name]]
        if name not in free and value.shape != tuple(wanted):
            raise Disagreement(f"blob '{name}' is {value.shape}, inferred {tuple(wanted)}")


def _differ(found: Array, wanted: Array, moved: Array | None, tolerance: float) -> str:
    """Why two blobs differ by more than rounding may do; "" if they do not."""
    if found.shape != wanted.shape:
        return f"shape {found.shape}, not {wanted.shape}"
    ordinary = np.isfinite(wanted) & (np.abs(wanted) < 1e30)
    if moved is not None and moved.shape == wanted.shape:
        ordinary &= np.isfinite(moved)
    if not ordinary.any():
        return ""
    with np.errstate(all="ignore"):
        gap = np.abs(found - wanted)[ordinary]
        worst = float(np.abs(wanted[ordinary]).max())
        room = tolerance * max(worst, 1e-2)
        if moved is not None and moved.shape == wanted.shape:
            room += 100 * float(np.abs(moved - wanted)[ordinary].max())
    if not np.isfinite(gap).all() or gap.max() > room:
        at = int(np.nan_to_num(gap, nan=np.inf).argmax())
        return f"{found[ordinary][at]!r}, not {wanted[ordinary][at]!r}"
    return ""
