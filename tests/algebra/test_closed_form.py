"""How sizes are printed, and that what is printed is true: expressions and parameters are evaluated again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from netcompile.algebra import NSet, Size, conv_size, deconv_size, pool_size
from tests.algebra.oracles import FAR, NEAR, sizes

H = Size.variable("H")
BOUNDED = H.restrict(NSet.between(1, 9))

FORMS = [
    # size, str, ascii, python, when divisible, (b, m)
    (H, "H", "H", "H", "H", (0, 1)),
    (H + 38, "H + 38", "H + 38", "H + 38", "H + 38", (0, 1)),
    (40 - H, "40 - H", "40 - H", "40 - H", "40 - H", (0, 1)),
    (-H, "-H", "-H", "-H", "-H", (0, 1)),
    (H * 2 - 3, "2H - 3", "2H - 3", "2*H - 3", "2H - 3", (0, 1)),
    (Size.constant(7), "7", "7", "7", "7", (0, 1)),
    (Size.constant(0), "0", "0", "0", "0", (0, 1)),
    (Size.undefined(), "undefined", "undefined", "None", None, (0, 1)),
    (H // 2, "⌊H/2⌋", "floor(H/2)", "H//2", "H/2", (0, 2)),
    (H.ceil_div(2), "⌈H/2⌉", "ceil(H/2)", "(H + 1)//2", "H/2", (0, 2)),
    ((H + 5) // 8, "⌊(H+5)/8⌋", "floor((H+5)/8)", "(H + 5)//8", "(H+5)/8", (5, 8)),
    ((H - 192).ceil_div(32), "⌈(H-192)/32⌉", "ceil((H-192)/32)", "(H - 161)//32", "(H-192)/32", (0, 32)),
    ((H - 7) // 4, "⌊(H-7)/4⌋", "floor((H-7)/4)", "(H - 7)//4", "(H-7)/4", (1, 4)),
    ((H + 198).ceil_div(32), "⌈(H+198)/32⌉", "ceil((H+198)/32)", "(H + 229)//32", "(H+6)/32 + 6", (6, 32)),
    (
        (H + 6).ceil_div(32) * 32 + 32,
        "32⌈(H+6)/32⌉ + 32",
        "32ceil((H+6)/32) + 32",
        "32*((H + 5)//32) + 64",
        "H + 38",
        (6, 32),
    ),
    (
        (H + 6).ceil_div(32) * 32 + 13 - H,
        "32⌈(H+6)/32⌉ - H + 13",
        "32ceil((H+6)/32) - H + 13",
        "32*((H + 5)//32) - H + 45",
        "19",
        (6, 32),
    ),
    (-(H // 2), "-⌊H/2⌋", "-floor(H/2)", "-(H//2)", "-H/2", (0, 2)),
    ((H // 4) * 11 - 3, "11⌊H/4⌋ - 3", "11floor(H/4) - 3", "11*(H//4) - 3", "11H/4 - 3", (0, 4)),
    ((H * 3) // 2, "⌊H/2⌋ + H", "floor(H/2) + H", "(H//2) + H", "3H/2", (0, 2)),
    (
        (H + 198).ceil_div(16) - (H + 6).ceil_div(32) * 2 - 7,
        "⌈(H+6)/16⌉ - 2⌈(H+6)/32⌉ + 5",
        "ceil((H+6)/16) - 2ceil((H+6)/32) + 5",
        None,
        None,
        (0, 1),
    ),
    (
        H // 2 - H // 4 * 2,
        "⌊H/2⌋ - 2⌊H/4⌋",
        "floor(H/2) - 2floor(H/4)",
        "(0, 0, 1, 1,)[H % 4]",
        None,
        (0, 1),
    ),
    (
        (H * 2) // 5,
        "2⌊H/5⌋ + [0, 0, 0, 1, 1][H mod 5]",
        "2floor(H/5) + [0, 0, 0, 1, 1][H mod 5]",
        "(0, 0, 0, 1, 1,)[H % 5] + 2*(H//5)",
        None,
        (0, 1),
    ),
    ((H * 7) // 9, "7⌊H/9⌋ + [9 values][H mod 9]", "7floor(H/9) + [9 values][H mod 9]", None, None, (0, 1)),
    (
        pool_size(H, 2, 2, 0, "FLOOR"),
        "⌊H/2⌋ (H >= 2)",
        "floor(H/2) (H >= 2)",
        "None if H < 2 else H//2",
        "H/2",
        (0, 2),
    ),
    (BOUNDED, "H (H = 1 to 9)", "H (H = 1 to 9)", "H if H < 10 else None", None, (0, 1)),
    (
        H.restrict(NSet.of([3])),
        "3 (H = 3)",
        "3 (H = 3)",
        "None if H < 3 else 3 if H < 4 else None",
        None,
        (0, 1),
    ),
    (
        (H // 2).restrict(NSet.congruent(0, 4)),
        "H/2 (H ≡ 0 (mod 4))",
        "H/2 (H = 0 (mod 4))",
        "(None if (0, None, None, None,)[H % 4] is None else (0, None, None, None,)[H % 4] + 2*(H//4))",
        "H/2",
        (0, 1),
    ),
    (
        (H + H // 8).restrict(NSet.congruent(3, 8)),
        "(9H - 3)/8 (H ≡ 3 (mod 8))",
        None,
        None,
        "(9H - 3)/8",
        (0, 1),
    ),
    (
        (H.ceil_div(4) + 6).restrict(NSet.congruent(2, 4)),
        "(H+2)/4 + 6 (H ≡ 2 (mod 4))",
        None,
        None,
        "(H+2)/4 + 6",
        (0, 1),
    ),
    ((H - 20).max_with(3), "H - 20 (H >= 23), 3 (H = 1 to 22)", None, None, "H - 20", (0, 1)),
]


@pytest.mark.parametrize(
    ("size", "text", "ascii_text", "python", "divisible", "divisibility"),
    FORMS,
    ids=[form[1] for form in FORMS],
)
def test_forms(
    size: Size,
    text: str,
    ascii_text: str | None,
    python: str | None,
    divisible: str | None,
    divisibility: tuple[int, int],
) -> None:
    assert str(size) == text
    assert size.when_divisible() == divisible
    assert size.divisibility() == divisibility
    if ascii_text is not None:
        assert size.ascii() == ascii_text
        assert ascii_text.isascii()
        assert repr(size) == f"<Size {ascii_text}>"
    if python is not None:
        assert size.python() == python


@settings(max_examples=150)
@given(sizes())
def test_the_python_form_is_the_size(size: Size) -> None:
    evaluate: Any = eval(f"lambda {size.name or 'n'}: {size.python()}")
    for n in (*NEAR, *FAR):
        assert evaluate(n) == size.at(n)


def evaluate_json(parameters: dict[str, Any], n: int) -> int | None:
    """What a script does that knows nothing of this package."""
    piece = [piece for piece in parameters["pieces"] if piece["from"] <= n][-1]
    if "undefined" in piece:
        return None
    if "values" in piece:
        period = len(piece["values"])
        value = piece["values"][n % period]
        return None if value is None else value + piece["rise"] * (n // period)
    result: int = piece["a"] * n + piece["q"] * ((n + piece["b"]) // piece["m"]) + piece["d"]
    return result


@settings(max_examples=100)
@given(sizes())
def test_the_parameters_are_the_size(size: Size) -> None:
    parameters = json.loads(json.dumps(size.to_json()))
    assert parameters["variable"] == size.name
    for n in (*NEAR, *FAR):
        assert evaluate_json(parameters, n) == size.at(n)


@settings(max_examples=150)
@given(sizes())
def test_the_printed_form_is_the_size(size: Size) -> None:
    """Read the printed pieces back, brackets and all, where they are closed forms."""
    text = size.ascii()
    if "values" in text or "undefined" in text or "(mod" in text or "[" in text:
        return
    pieces = text.split(", ") if ">=" in text or "(H = " in text else [f"{text} (H >= 1)"]
    found: dict[int, int] = {}
    for piece in pieces:
        body, _, bound = piece.rpartition(" (H ")
        low, _, high = bound.rstrip(")").removeprefix(">= ").removeprefix("= ").partition(" to ")
        first = int(low)
        last = 600 if bound.startswith(">=") else int(high or low)
        evaluate: Any = eval(f"lambda H, floor, ceil: {_explicit(body)}")
        for n in range(first, min(last, 600) + 1):
            found[n] = evaluate(n, _Floor(), _Ceil())
    assert found == {n: size.at(n) for n in NEAR if size.at(n) is not None}


class _Floor:
    def __call__(self, x: Any) -> int:
        return int(x // 1)


class _Ceil:
    def __call__(self, x: Any) -> int:
        return int(-(-x // 1))


def _explicit(body: str) -> str:
    """Exact division and written multiplication: 32ceil((H+6)/32) becomes 32*ceil(Fraction…)."""
    import re

    body = re.sub(r"(\d)(ceil|floor|H)", r"\1*\2", body)
    return re.sub(r"(ceil|floor)\((\(H[+-]\d+\)|H)/(\d+)\)", r"\1(Fraction(\2, \3))", body).replace(
        "Fraction", "__import__('fractions').Fraction"
    )


@pytest.mark.parametrize("n", [1, 26, 27, 58, 500])
def test_when_divisible_is_true_where_it_is_meant(n: int) -> None:
    for size in ((H + 198).ceil_div(32), (H + 198).ceil_div(32) * 32 + 40, conv_size(H, 11, 4, 100)):
        b, m = size.divisibility()
        form = size.when_divisible()
        assert form is not None
        if (n + b) % m == 0:
            value: Any = eval(form.replace("H", str(n)))
            assert value == size.at(n)


def test_formula_leaves_small_sizes_out() -> None:
    size = deconv_size(conv_size(pool_size(H, 2, 2), 7), 64, 32)
    assert str(size) == "32⌈H/2⌉ - 160 (H >= 13)"
    assert size.formula() == "32⌈H/2⌉ - 160"
