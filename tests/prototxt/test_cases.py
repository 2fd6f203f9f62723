"""Folders of cases: what a text reads as, how it is upgraded, and every word that is said about a wrong one.

``valid/X.prototxt`` reads as the message that ``X.txt`` writes plainly; ``upgrade/X.prototxt`` becomes
``X.txt``,
followed by its notes as comments; ``invalid/X.prototxt`` is refused with ``X.txt``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.load import load_net
from netcompile.prototxt.message import Message
from netcompile.prototxt.parser import parse
from netcompile.prototxt.printer import to_text
from netcompile.prototxt.recognise import decode_source
from tests.prototxt.oracle import disagreement

HERE = Path(__file__).parent
VALID = sorted((HERE / "valid").glob("*.prototxt"))
INVALID = sorted((HERE / "invalid").glob("*.prototxt"))
UPGRADE = sorted((HERE / "upgrade").glob("*.prototxt"))
REFUSED = HERE.parent / "refused"


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda p: p.stem)


def read(path: Path) -> Source:
    return decode_source(path.read_bytes(), path.name)


def expected(path: Path) -> str:
    return path.with_suffix(".txt").read_text(encoding="utf-8")


@named(VALID)
def test_valid(path: Path) -> None:
    message = parse(read(path))
    assert to_text(message) == expected(path)
    assert parse(Source(expected(path))) == message


@named([*VALID, *INVALID])
def test_same_as_protobuf(path: Path) -> None:
    text = path.read_bytes().decode("utf-8")
    assert disagreement(text) in KNOWN.get(path.stem, (None,))


# where Python's text_format differs from C++'s, see oracle.py
KNOWN = {
    "syntax": ("minus-apart", "integer-bool"),
    "escapes": ("escapes",),
    "required": (None,),
}


@named(INVALID)
def test_invalid(path: Path) -> None:
    with pytest.raises(NetError) as caught:
        load_net(read(path))
    assert f"{caught.value}\n" == expected(path)


@named(UPGRADE)
def test_upgrade(path: Path) -> None:
    result = load_net(read(path))
    notes = [f"# {n.span.line}:{n.span.column} {n.severity}[{n.code}]: {n.what}\n" for n in result.notes if n.span]
    assert to_text(result.net) + "".join(notes) == expected(path)
    assert parse(Source(to_text(result.net))) == result.net


@named(UPGRADE)
def test_upgrade_keeps_places(path: Path) -> None:
    """Strings and the values of layers' own fields stand where their span says, except names that changed."""
    source = read(path)
    renamed = 0
    for layer in load_net(source).net.all("layer"):
        for entry in layer:
            span = layer.source.span(entry.value_start, entry.value_end)
            assert span.source is source
            assert 0 <= span.start < span.end <= len(source.text)
            if isinstance(entry.value, str) and entry.field.name != "type" and entry.value != "input":
                assert span.text == f'"{entry.value}"'
                renamed += 1
            assert not isinstance(entry.value, Message) or entry.value.source is source
    assert renamed or path.stem in ("v1-types",)


def test_upgraded_nets_need_no_upgrade() -> None:
    for path in UPGRADE:
        net = load_net(read(path)).net
        again = load_net(Source(to_text(net)))
        assert again.net == net, path.stem
        assert again.notes == (), path.stem


# file of tests/refused -> line and column, code, words of the finding
TEXTUAL = {
    "bad-enum": ("3:83", "unknown-enum-value", "MAXIMUM is no PoolMethod"),
    "duplicate-scalar": ("3:19", "duplicate-field", "name given twice"),
    "negative-uint": ("3:97", "out-of-range", "num_output must not be negative"),
    "stray-token": ("3:60", "stray-brace", "unmatched brace '}'"),
    "unbalanced": ("3:57", "unclosed-brace", "unclosed brace"),
    "wrong-type": ("3:97", "wrong-type", 'num_output wants a number, whole and not negative, not "three"'),
}


@pytest.mark.parametrize("path", sorted(REFUSED.glob("*.prototxt")), ids=lambda p: p.stem)
def test_refused(path: Path) -> None:
    """The refused nets that are wrong as texts are refused here; the others are texts without a fault."""
    source = read(path)
    if path.stem not in TEXTUAL:
        assert load_net(source).notes == ()
        return
    with pytest.raises(NetError) as caught:
        load_net(source)
    (finding,) = caught.value.diagnostics
    place, code, what = TEXTUAL[path.stem]
    assert finding.span is not None
    assert f"{finding.span.line}:{finding.span.column}" == place
    assert (finding.code, finding.what) == (code, what)
