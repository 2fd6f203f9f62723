"""Files to texts, offsets to places, and how findings look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import Diagnostic, NetError, sorted_by_position, visible
from netcompile.diagnostics.source import Source, Span
from netcompile.prototxt.load import load_net
from netcompile.prototxt.recognise import decode_source, open_source

NET = b'layer { name: "a" type: "ReLU" bottom: "x" top: "x" }\n'


def refusal(data: bytes) -> Diagnostic:
    with pytest.raises(NetError) as caught:
        load_net(decode_source(data, "f"))
    return caught.value.diagnostics[0]


def test_positions() -> None:
    source = Source("ab\n\ncd\r\nlast", "f")
    assert [source.position(i) for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 99, -1)] == [
        *(
            (1, 1),
            (1, 2),
            (1, 3),
            (2, 1),
            (3, 1),
            (3, 2),
            (3, 3),
            (3, 4),
            (4, 1),
            (4, 4),
            (4, 5),
            (4, 5),
            (1, 1),
        )
    ]
    assert [source.line(i) for i in range(6)] == ["", "ab", "", "cd", "last", ""]
    span = source.span(4, 6)
    assert (str(span), span.line, span.column, span.text) == ("f:3:1", 3, 1, "cd")
    assert Source("").position(0) == (1, 1)
    assert Source("").line(1) == ""


def test_read_drops_the_byte_order_mark_and_keeps_columns(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_bytes(b"\xef\xbb\xbflayer { nam: 1 }\r\nlayer { nam: 2 }\r\n")
    with pytest.raises(NetError) as caught:
        load_net(open_source(path))
    assert [str(d.span) for d in caught.value.diagnostics] == [f"{path}:1:9", f"{path}:2:9"]
    assert "\r" not in str(caught.value)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "nothing")


def test_old_mac_line_ends_are_space() -> None:
    assert load_net(Source('layer {\r  name: "a"\r}\r')).net.get("layer")[0].get("name") == "a"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x0a\x03net\x12\x05aa\0aa", "this is a binary NetParameter, such as a .caffemodel"),
        (b"\x0a\x06my-net\xa2\x06\x10\x0a\x05conv1", "this is a binary NetParameter, such as a .caffemodel"),
        (b"\x0a\x03net\x12\x08\x0a\x06\x22\x04conv", "this is a binary NetParameter, such as a .caffemodel"),
        (b"\xa2\x06\x10\x0a\x05conv1", "this is a binary NetParameter, such as a .caffemodel"),
        (b"\x89HDF\r\n\x1a\n\0\0\0", "this is an HDF5 file"),
        (b"\x1f\x8b\x08\x00", "this is a gzip archive"),
        (b"PK\x03\x04\x14\x00", "this is a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "this is a PNG image"),
        (b"GIF89a\0", "this is a GIF image"),
        (b"BM\x0e\0\0", "this is a BMP image"),
        (b"II*\0\x08", "this is a TIFF image"),
        (b"\x08\x0e\x12\x07pytorch", "this is a binary message of protobuf that is no net, such as an ONNX model"),
        (b"\x80\x02}q", "this is a pickle of Python's, such as an old PyTorch checkpoint"),
        ("layer { }".encode("utf-16"), "this is a UTF-16 text"),
        (NET + b"\0" + NET, "this is a binary file"),
    ],
)  # fmt: skip
def test_binary_files(data: bytes, what: str) -> None:
    finding = refusal(data)
    assert (finding.code, finding.what) == ("binary-file", what)


def test_latin_1_is_noted_in_a_comment_and_refused_in_a_string() -> None:
    (note,) = load_net(decode_source(b"# caf\xe9\n" + NET, "f")).notes
    assert (note.code, note.severity, str(note.span)) == ("not-utf8", "note", "f:1:6")
    assert "�" in note.format()
    finding = refusal(b'layer { name: "caf\xe9" }')
    assert (finding.code, str(finding.span), finding.why) == (
        "not-utf8",
        "f:1:15",
        "byte 0xe9 begins no character",
    )
    assert refusal(b"layer { caf\xe9: 1 }").code == "unexpected-text"


def test_format_without_a_place_and_with_colour() -> None:
    assert Diagnostic("c", "what", why="one\ntwo", remedy="r").format() == (
        "error[c]: what\n  why: one\n       two\n  fix: r"
    )
    source = Source("a bc", "f")
    shown = Diagnostic("c", "w", Span(source, 2, 4), severity="warning").format(color=True)
    assert shown == "\x1b[1mf:1:3: \x1b[0m\x1b[1;33mwarning[c]\x1b[0m: \x1b[1mw\x1b[0m\n    1 | a bc\n      |   ^^"


def test_control_characters_never_reach_the_terminal() -> None:
    source = Source('layer { name: "\x1b[31m\u202e" nam\x07: 1 }', "evil\x1b[2J\n.prototxt")
    finding = Diagnostic(
        "c", "\x1b]0;x\x07", source.span(15, 20), "\x9b1m", "\r", related=((source.span(0, 1), "\x1b"),)
    )
    shown = finding.format()
    assert all(c == "\n" or c.isprintable() for c in shown)
    assert len(shown.split("\n")) == 6
    assert visible("a\udce9\x1b") == "a\\udce9\\x1b"


def test_to_json_is_plain_data() -> None:
    source = Source("x\nab", "f")
    finding = Diagnostic("c", "w", source.span(2, 4), "y", "r", related=((source.span(0, 1), "there"),))
    place = {"file": "f", "line": 2, "column": 1, "end_line": 2, "end_column": 3}
    other = {"file": "f", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "what": "there"}
    rest = {"code": "c", "severity": "error", "what": "w", "why": "y", "remedy": "r", "related": [other]}
    assert json.loads(json.dumps(finding.to_json())) == {**rest, **place}
    assert Diagnostic("c", "w").to_json()["line"] is None


def test_sorting() -> None:
    one, two = Source("abc", "1"), Source("abc", "2")
    a, b, c, d = (Diagnostic(x, "") for x in "abcd")
    places = [Span(two, 0, 1), Span(one, 2, 3), Span(one, 1, 2)]
    placed = [Diagnostic(x.code, "", span) for x, span in zip((a, b, c), places, strict=True)]
    assert [x.code for x in sorted_by_position([*placed, d])] == ["d", "c", "b", "a"]


@pytest.mark.parametrize("head", [b"", b"\n", b"\r\n", b"\n\x0c", b"# \x12 in a comment\n", b"\n\n# a\x12\n"])
def test_nets_are_not_taken_for_binary_files(head: bytes) -> None:
    assert len(load_net(decode_source(head + NET)).net.all("layer")) == 1
