"""Our parser against protobuf's: the whole corpus, mutants, and texts made of random tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.parser import parse
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import decode_source, open_source
from tests.conftest import CONFORMANCE
from tests.prototxt.fuzz import SPICE, disagreement, mutants, ours, seeds


def test_mutants() -> None:
    texts = seeds(CONFORMANCE)
    assert len(texts) > 100
    for text in islice(mutants(texts, seed=1), 2000):
        found = disagreement(text)
        assert found is None or not found.startswith("?"), text


@given(st.lists(st.sampled_from(SPICE), max_size=12).map(" ".join))
def test_random_tokens(text: str) -> None:
    found = disagreement(text)
    assert found is None or not found.startswith("?")


@given(st.text(alphabet='layer{}<>[]:,;#"\\-+.0189eExXfn \n$%', max_size=40))
def test_random_characters(text: str) -> None:
    found = disagreement(text)
    assert found is None or not found.startswith("?")


def verdict(source: Callable[[], Source]) -> str:
    """ "read", or what is said about it."""
    try:
        load_net(source())
    except NetError as error:
        assert error.diagnostics  # noqa: PT017 - any other error fails the test
        return str(error)
    return "read"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    shown = verdict(lambda: Source(text))
    assert all(c == "\n" or c.isprintable() for c in shown)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert verdict(lambda: decode_source(data))


def of_new_kinds(paths: list[Path]) -> Iterator[Path]:
    """Those files, small ones first, with a line that differs from all before in more than names, numbers, spaces."""
    seen = set[str]()
    for path in sorted(paths, key=lambda path: (path.stat().st_size, path)):
        plain = re.sub(r'"[^"]*"|[-+.\w]*\d[-+.\w]*|#.*', "0", path.read_text(errors="replace"))
        lines = {re.sub(r"\s", "", line) for line in plain.splitlines()}
        if not lines <= seen:
            yield path
        seen |= lines


def test_corpus(shared: Path) -> None:
    """Nets found in the wild: the same verdict and message as protobuf's; what is read prints and reads back."""
    paths = sorted((shared / "corpus").rglob("*.prototxt"))
    assert len(paths) > 150
    read = sum(read_as_by_protobuf(path) for path in of_new_kinds(paths))
    assert read > 60


def read_as_by_protobuf(path: Path) -> bool:
    """Whether it is read at all."""
    source = open_source(path)
    assert disagreement(source.text) is None, path
    try:
        net = load_net(source).net
    except NetError:
        return False
    assert parse(Source(to_text(net))) == net, path
    return True


def test_deep_and_long_texts_do_not_recurse() -> None:
    assert isinstance(ours("layer { " * 50_000), NetError)
    assert isinstance(ours("}" * 50_000), NetError)
    assert isinstance(ours("x { " * 50_000 + "}" * 50_000), NetError)
    many = parse(Source('layer { name: "x" }\n' * 20_000))
    assert len(many.all("layer")) == 20_000
    dims = parse(Source(f"input_dim: [{', '.join('1' * 20_000)}]"))
    assert len(dims.all("input_dim")) == 20_000
