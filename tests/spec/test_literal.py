"""Dictionaries in the order in which Python 2.7 wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netcompile.spec.literal import _table_order, as_python2

# Left, the order in which a program sets the keys; right, the order that Python 2.7 is known to list them in:
# in published prototxts, in the Python 2 tutorial, and in any session of it.
KNOWN = [
    ("split mean seed sbdd_dir", "sbdd_dir seed split mean"),
    ("split mean seed voc_dir", "voc_dir seed split mean"),
    ("nyud_dir split tops seed", "tops seed nyud_dir split"),
    ("voc_dir context_dir split seed", "context_dir seed split voc_dir"),
    ("siftflow_dir split seed", "siftflow_dir seed split"),
    ("jack sape guido", "sape jack guido"),
    ("a b c d e f g h", "a c b e d g f h"),
    ("", ""),
]


@pytest.mark.parametrize(("inserted", "listed"), KNOWN)
def test_known_orders(inserted: str, listed: str) -> None:
    assert _table_order(inserted.split()) == listed.split()


@given(st.lists(st.text(st.characters(max_codepoint=127)), unique=True, max_size=200))
def test_no_key_is_lost(keys: list[str]) -> None:
    assert sorted(_table_order(keys)) == sorted(keys)


@given(
    st.recursive(
        st.integers() | st.text() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=9),
    )
)
def test_only_the_order_changes(value: object) -> None:
    from ast import literal_eval

    text = str(value)
    if not isinstance(value, dict):
        assert as_python2(text) == text or text.startswith("{")
    else:
        assert literal_eval(as_python2(text)) == value


@pytest.mark.parametrize("text", ["", "train", "{", "{'b': 1,'a': 2}", "{'b': f()}", '{"b": 1, "a": 2}', "{1, 2}"])
def test_other_text_is_left_alone(text: str) -> None:
    assert as_python2(text) == text


def test_dictionaries_inside_are_ordered_too() -> None:
    assert as_python2("{'x': [{'b': 1, 'c': (2, {'b': 1, 'c': 2})}]}") == (
        "{'x': [{'c': (2, {'c': 2, 'b': 1}), 'b': 1}]}"
    )
