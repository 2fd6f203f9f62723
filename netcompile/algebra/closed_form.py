"""Sizes as text: closed forms for people, expressions for programs."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from netcompile.algebra.effort import SizeTooComplex, unbounded
from netcompile.algebra.pieces import (
    UNDEFINED,
    Body,
    Pieces,
    Staircase,
    Table,
    affine_where_defined,
    is_total,
    segments,
    two_staircases,
    where_defined,
)


@dataclass(frozen=True, slots=True)
class Brackets:
    """How rounding up and down is written: opening and closing text of each."""

    ceil: tuple[str, str]
    floor: tuple[str, str]


UNICODE = Brackets(("⌈", "⌉"), ("⌊", "⌋"))
ASCII = Brackets(("ceil(", ")"), ("floor(", ")"))
_ASCII_SIGNS = str.maketrans({"≡": "=", "≢": "!=", "…": "..."})
LISTED = 8
"""Tables of up to so many values are written out."""


@dataclass(frozen=True, slots=True)
class _Form:
    """a*n + q*round((n + c)/m) + d, rounding up or down: a staircase as it is written."""

    a: int
    q: int
    c: int
    m: int
    d: int
    up: bool


def _form(f: Staircase) -> _Form:
    """The way to write a staircase that reads best.

    Up where that leaves the smaller constants. A lone ``round((n + c)/m)`` takes all of d inside, as
    long as it can be written up with c >= 0 or down with c >= 0; else the c nearer to a multiple of m.
    """
    if f.a == 0 and f.q == 1:
        down = f.b + f.d * f.m
        up = down - (f.m - 1)
        rounds_up = up >= 0 or (down < 0 and up % f.m <= down % f.m)
        return _Form(0, 1, up if rounds_up else down, f.m, 0, rounds_up)
    return min(_written(f, True), _written(f, False), key=lambda form: (form.c + abs(form.d), not form.up))


def _written(f: Staircase, up: bool) -> _Form:
    """Rounding as asked, with 0 <= c < m."""
    turns, c = divmod(f.b - (f.m - 1 if up else 0), f.m)
    return _Form(f.a, f.q, c, f.m, f.d + f.q * turns, up)


def _terms(*terms: tuple[int, str], times: str = "") -> str:
    """A sum of integer multiples; a positive term comes first where there is one, "" stands for 1."""
    kept = [(factor, name) for factor, name in terms if factor]
    if not kept:
        return "0"
    if kept[0][0] < 0:
        kept.sort(key=lambda term: term[0] < 0)
    text = ""
    for factor, name in kept:
        size = abs(factor)
        body = str(size) if not name else name if size == 1 else f"{size}{times}{name}"
        if not text:
            text = f"-{body}" if factor < 0 else body
        else:
            text += f" - {body}" if factor < 0 else f" + {body}"
    return text


def _shifted(variable: str, by: int) -> str:
    return f"({variable}{by:+d})" if by else variable


def formula(f: Body, variable: str, brackets: Brackets = UNICODE) -> str:
    """One piece in closed form."""
    if f == UNDEFINED:
        return "undefined"
    if isinstance(f, Table):
        return _table_formula(f, variable, brackets)
    if f.m == 1:
        return _terms((f.a, variable), (f.d, ""))
    form = _form(f)
    return _terms((form.q, _rounded(form, variable, brackets)), (form.a, variable), (form.d, ""))


def _rounded(form: _Form, variable: str, brackets: Brackets) -> str:
    opening, closing = brackets.ceil if form.up else brackets.floor
    return f"{opening}{_shifted(variable, form.c)}/{form.m}{closing}"


def _line(u: int, c: int, v: int, variable: str) -> str:
    """(u*n + c)/v"""
    if v == 1:
        return _terms((u, variable), (c, ""))
    if c % v == 0:
        return _terms((u, f"{variable}/{v}"), (c // v, ""))
    if u != 0 and c % u == 0:
        whole, rest = divmod(c // u, v) if c // u > 0 else (0, c // u)
        return _terms((u, f"{_shifted(variable, rest)}/{v}"), (u * whole, ""))
    return f"({_terms((u, variable), (c, ''))})/{v}"


def _table_formula(f: Table, variable: str, brackets: Brackets) -> str:
    """A sum of two staircases, a short list, or just what kind of table it is."""
    line = affine_where_defined(f)
    if line:
        return _line(*line, variable)
    try:
        pair = two_staircases(f)
    except SizeTooComplex:  # the steps that are allowed are spent; it is written as the table that it is
        pair = None
    if pair:
        up = any(part.b for part in pair)
        fine, coarse = (_written(part, up) for part in pair)
        return _terms(
            (fine.q, _rounded(fine, variable, brackets)),
            (coarse.q, _rounded(coarse, variable, brackets)),
            (fine.a + coarse.a, variable),
            (fine.d + coarse.d, ""),
        )
    turns = f"{brackets.floor[0]}{variable}/{f.period}{brackets.floor[1]}"
    if f.period <= LISTED:
        values = ", ".join("undefined" if v is None else str(v) for v in f.values)
        return _terms((f.rise, turns), (1, f"[{values}][{variable} mod {f.period}]"))
    return _terms((f.rise, turns), (1, f"[{f.period} values][{variable} mod {f.period}]"))


def text(pieces: Pieces, variable: str, brackets: Brackets = UNICODE) -> str:
    """All pieces, the one for large n first: ``⌊(H-7)/4⌋ (H >= 11), 1 (H = 8 to 10)``."""
    parts = [
        (formula(f, variable, brackets), _range(variable, lo, hi, f))
        for lo, hi, f in segments(pieces)
        if f != UNDEFINED
    ]
    if not parts:
        return "undefined"
    whole = ", ".join(f"{part} ({where})" if where else part for part, where in reversed(parts))
    return whole.translate(_ASCII_SIGNS) if brackets is ASCII else whole


def _range(variable: str, lo: int, hi: int | None, f: Body) -> str:
    """Where the piece holds; "" for every n."""
    if not is_total(f):
        with unbounded():
            return where_defined(f, lo, hi).describe(variable)
    if hi is None and lo == 1:
        return ""
    if hi is None:
        return f"{variable} >= {lo}"
    return f"{variable} = {lo}" if hi == lo + 1 else f"{variable} = {lo} to {hi - 1}"


def when_divisible(f: Body, variable: str) -> str | None:
    """The form without rounding, where the division leaves no remainder."""
    if isinstance(f, Table):
        line = affine_where_defined(f)
        return _line(*line, variable) if line else None
    if f.m == 1:
        return formula(f, variable)
    form = _form(f)
    common = gcd(form.q, form.m)
    q, m = form.q // common, form.m // common
    if m == 1:
        return _terms((form.a + q, variable), (q * form.c + form.d, ""))
    c, d = form.c, form.d
    if form.q == 1 and c >= 0:  # as in the tables: (H+6)/8 + 24 rather than (H+198)/8
        whole, c = divmod(c, m)
        d += whole
    if c == 0:
        return _terms((form.a * m + q, f"{variable}/{m}"), (d, ""))
    return _terms((q, f"{_shifted(variable, c)}/{m}"), (form.a, variable), (d, ""))


def divisibility(f: Body) -> tuple[int, int]:
    """(b, m): nothing is rounded where m divides n + b, 0 <= b < m."""
    if not isinstance(f, Staircase) or f.m == 1:
        return 0, 1
    form = _form(f)
    return form.c % form.m, form.m


def python(pieces: Pieces, variable: str) -> str:
    """A Python expression, exact for every n >= 1, None where undefined."""
    text = ""
    for _, hi, f in segments(pieces):
        text += _expression(f, variable) if hi is None else f"{_expression(f, variable)} if {variable} < {hi} else "
    return text


def _expression(f: Body, variable: str) -> str:
    if f == UNDEFINED:
        return "None"
    if isinstance(f, Staircase):
        if f.m == 1:
            return _terms((f.a, f"{variable}"), (f.d, ""), times="*")
        if f.a == 0 and f.q == 1:
            return f"{_spaced(variable, f.b + f.d * f.m)}//{f.m}"
        rounded = f"({_spaced(variable, f.b)}//{f.m})"
        return _terms((f.q, rounded), (f.a, variable), (f.d, ""), times="*")
    values = f"({', '.join(map(str, f.values))},)[{variable} % {f.period}]"
    whole = _terms((1, values), (f.rise, f"({variable}//{f.period})"), times="*")
    return f"(None if {values} is None else {whole})" if None in f.values else whole


def _spaced(variable: str, by: int) -> str:
    return f"({_terms((1, variable), (by, ''))})" if by else variable


def to_json(pieces: Pieces) -> list[dict[str, object]]:
    """The parameters of every piece; see `Size.to_json`."""
    found: list[dict[str, object]] = []
    for start, f in pieces:
        if f == UNDEFINED:
            found.append({"from": start, "undefined": True})
        elif isinstance(f, Staircase):
            found.append({"from": start, "a": f.a, "q": f.q, "b": f.b, "m": f.m, "d": f.d})
        else:
            found.append({"from": start, "rise": f.rise, "values": list(f.values)})
    return found
