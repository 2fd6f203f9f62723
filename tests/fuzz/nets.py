"""The hypothesis strategy of valid nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import elements, forks, losses, structure, windows
from tests.fuzz.draw import Drawn, Gen, Layer, Unsuitable

DRAWS: dict[str, Callable[[Gen], Layer]] = {
    **windows.DRAWS,
    **elements.DRAWS,
    **structure.DRAWS,
    **losses.DRAWS,
}
# What nets are made of most; the rest of the types share the other half of the draws.
COMMON = ("Convolution", "ReLU", "Pooling", "Eltwise", "Concat", "Deconvolution", "Crop", "Scale", "InnerProduct")
TYPES = tuple(DRAWS)
DRAWS.update(forks.DRAWS)
FORKS = tuple(forks.DRAWS)


@st.composite
def nets(draw: Callable[[st.SearchStrategy[Any]], Any], only: tuple[str, ...] = ()) -> Drawn:
    """Valid nets of up to eight layers; `only` these types, if given."""
    g = Gen(draw, draw(st.integers(0, 9)) == 9)
    for _ in range(g.int(1, 8)):
        for _attempt in range(3):
            name = g.choice(only or g.choice((TYPES, TYPES, TYPES, COMMON, FORKS)))
            before = g.snapshot()
            try:
                g.add(DRAWS[name](g))
                break
            except Unsuitable:
                g.restore(before)
    if not g.outputs():  # layers without tops alone
        g.add(DRAWS["ReLU"](g))
    return g.finish()
