"""What the page is told is what the commands say, to the byte: for the bundled nets, and for those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from netcompile.emit.names import file_stem
from netcompile.zoo.find import definitions, find_definition
from tests.conftest import REPOSITORY

NETS = [name for name in definitions() if not name.endswith("/solver.prototxt")]
REFUSED = sorted((REPOSITORY / "tests" / "refused").glob("*.prototxt"))
INVALID = sorted((REPOSITORY / "tests" / "prototxt" / "invalid").glob("*.prototxt"))
FCN8S = "voc-fcn8s/val.prototxt"
TRAIN = "shapes-fcn8s/train.prototxt"


def bundled(name: str) -> str:
    found = find_definition(name)
    assert found is not None
    return found.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NETS)
def test_a_bundled_net_has_the_texts_of_the_commands(netcompile, ask, name):
    opened = ask("open", text=bundled(name), name=name, options={})
    check = netcompile("check", name)
    assert ask("check")["text"] == check.err + check.out
    told = netcompile("check", name, "--json").json
    assert [_plain(finding) for finding in opened["findings"]] == told["findings"]
    assert opened["net"]["name"] == told["net"]
    assert ask("offsets") == {
        "text": netcompile("offsets", name).out,
        "json": netcompile("offsets", name, "--json").out,
    }
    cost = ask("cost")
    assert cost["text"] == netcompile("inspect", name).out
    layers = netcompile("inspect", name, "--json").json
    assert (cost["rows"], cost["totals"]) == (layers["layers"], layers["totals"])
    assert ask("upgraded")["text"] == netcompile("upgrade", name).out
    assert [layer["name"] for layer in opened["layers"]] == [layer["name"] for layer in layers["layers"]]


def _plain(finding: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in finding.items() if key not in ("from", "to", "fix")}


@pytest.mark.parametrize("name", [FCN8S, TRAIN, "resnet-50/deploy.prototxt", "shapes-ssd/deploy.prototxt"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("style", ["blocks", "flat", None])
def test_a_module_is_the_one_that_build_writes(netcompile, ask, tmp_path, name, level, style):
    options = () if style is None else ("--style", style)
    assert netcompile("build", name, "-O", level, *options, "-o", tmp_path / "out").code == 0
    opened = ask("open", text=bundled(name), name=name)
    module = ask("source", level=level, style=style)
    file = tmp_path / "out" / f"{file_stem(opened['net']['name'])}.py"
    assert module["text"] == file.read_text(encoding="utf-8")
    lines, source = module["text"].split("\n"), bundled(name).split("\n")
    assert module["lines"]
    assert all(lines[line - 1] and source[origin - 1].startswith("layer {") for line, origin in module["lines"])
    if (level, style) == (1, None):
        assert ask("report")["html"] == (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"phase": "TRAIN"}, ["--phase", "train"]),
        ({"stages": ["deploy"], "level": 1}, ["--stage", "deploy", "--level", 1]),
        ({"crop_offsets": "inferred"}, ["--crop-offsets", "inferred"]),
        ({"crop_offsets": "declared"}, ["--crop-offsets", "declared"]),
        ({"input": "320x160"}, ["--input", "data=1x3x320x160", "--input", "label=1x1x320x160"]),
        ({"input": " 320 × 160 "}, ["--input", "data=1x3x320x160", "--input", "label=1x1x320x160"]),
    ],
)
@pytest.mark.parametrize("name", [FCN8S, TRAIN])
def test_options_are_those_of_the_commands(netcompile, ask, name, options, arguments):
    if name == FCN8S and "--input" in arguments:
        arguments = arguments[:2]  # its label is not read
    ask("open", text=bundled(name), name=name, options=options)
    check = netcompile("check", name, *arguments)
    assert ask("check")["text"] == check.err + check.out
    assert ask("offsets")["text"] == netcompile("offsets", name, *arguments).out
    assert ask("cost")["text"] == netcompile("inspect", name, *arguments).out


@pytest.mark.parametrize("path", [*REFUSED, *INVALID], ids=lambda path: path.stem)
def test_mistakes_are_told_as_check_tells_them(netcompile, ask, refused, monkeypatch, path):
    monkeypatch.chdir(path.parent)
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    opened = ask("open", text=text, name=path.name)
    check = netcompile("check", path.name)
    assert ask("check")["text"] == check.err + check.out
    assert [_plain(found) for found in opened["findings"]] == netcompile("check", path.name, "--json").json["findings"]
    offsets = netcompile("offsets", path.name)
    if offsets.code == 2:
        assert refused("offsets") == offsets.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase": "BOTH"}, "error[usage]: there is no phase 'BOTH'\n  fix: TEST or TRAIN\n"),
        ({"input": "500"}, "error[usage]: '500' is no height and width\n  fix: write it like 500x500\n"),
        ({"input": "0x5"}, "error[usage]: '0x5' is no height and width\n  fix: write it like 500x500\n"),
        ({"level": "x"}, "error[usage]: 'x' is no whole number\n  fix: the level is one, 0 for most nets\n"),
        (
            {"crop_offsets": "x"},
            "error[usage]: there is no way 'x' to resolve crops\n  fix: auto or declared or inferred\n",
        ),
    ],
)
def test_options_that_there_are_not(refused, options, message):
    assert refused("open", text="", name="net.prototxt", options=options) == message


def test_a_request_that_there_is_not(refused):
    assert refused("nonsense").startswith("internal error: KeyError: 'nonsense'")
    assert refused("source", level=3) == (
        "error[usage]: there is no level 3 in the style None\n  fix: 0, 1 or 2; blocks or flat\n"
    )


def test_nothing_is_open(ask, refused):
    assert refused("offsets") == "error[usage]: no net is open\n"


def test_a_text_is_analysed_once(ask, monkeypatch):
    from netcompile.site import reading

    calls = []
    analyse = reading.analyse
    monkeypatch.setattr(reading, "analyse", lambda *given: calls.append(given) or analyse(*given))
    for options in ({}, {}, {"phase": "TRAIN"}, {"phase": "TRAIN"}):
        ask("open", text=bundled(TRAIN), name=TRAIN, options=options)
        for method in ("check", "offsets", "cost", "source", "report"):
            ask(method)
    assert len(calls) == 2


# places and fixes ------------------------------------------------------------------------------------------------

CONV = "num_output: 2 kernel_size: 3 pad: 9"
CROPPED = """# {comment}
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 64 dim: 48 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ {conv} }} }}
layer {{ name: "score" type: "{type}" bottom: "c" bottom: "data" top: "score" {crop} }}
"""


def units(text: str, begin: int, end: int) -> str:
    """The stretch of a text as JavaScript counts."""
    return text.encode("utf-16-le", "surrogatepass")[2 * begin : 2 * end].decode("utf-16-le", "surrogatepass")


def fixed(text: str, fix: dict) -> str:
    data = text.encode("utf-16-le", "surrogatepass")
    for edit in sorted(fix["edits"], key=lambda each: -each["from"]):
        data = data[: 2 * edit["from"]] + edit["insert"].encode("utf-16-le") + data[2 * edit["to"] :]
    return data.decode("utf-16-le", "surrogatepass")


@pytest.mark.parametrize("comment", ["plain", "é", "\U0001f600 wide \U0001f600"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("type", "crop", "code", "title"),
    [
        ("Crop", "crop_param { offset: 5 }", "crop-offset", "write offset: 8"),
        ("Crop", "", "crop-undeclared", "write offset: 8"),
        ("Crop", "crop_param { offset: 500 }", "crop-offset", "write offset: 8"),
        ("Cropp", "crop_param { offset: 8 }", "unknown-layer", "change to Crop"),
        ("Crop", "crop_param { ofset: 8 }", "unknown-field", "change to offset"),
    ],
)
def test_a_fix_ends_its_finding(ask, comment, mark, type, crop, code, title):
    text = mark + CROPPED.format(comment=comment, type=type, crop=crop, conv=CONV)
    found = [f for f in ask("open", text=text, name="x")["findings"] if f["code"] == code]
    assert [finding["fix"]["title"] for finding in found] == [title]
    assert units(text, found[0]["from"], found[0]["to"]) in ("5", "500", '"Cropp"', "ofset", '"Crop"')
    after = ask("open", text=fixed(text, found[0]["fix"]), name="x")
    assert [finding["code"] for finding in after["findings"]] == []


def test_layers_have_their_stretch_of_the_text(ask):
    text = CROPPED.format(comment="\U0001f600", type="Crop", crop="crop_param { offset: 8 }", conv=CONV)
    layers = ask("open", text=text, name="x")["layers"]
    assert [units(text, layer["from"], layer["to"]) for layer in layers] == text.splitlines()[1:]
    assert layers[1] == {
        "name": "c",
        "type": "Convolution",
        "from": layers[1]["from"],
        "to": layers[1]["to"],
        "line": 3,
        "bottoms": ["data"],
        "tops": ["c"],
        "shapes": ["1×2×80×64"],
        "exact": ["1×2×(H + 16)×(W + 16)"],
        "stride": "1",
        "offset": "-8",
        "receptive_field": "3",
        "note": "56 parameters, 276.5 k MACs",
    }


def test_a_net_is_told_with_its_format(ask):
    head = 'name: "n" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8'
    layer = 'layers { name: "r" type: RELU bottom: "data" top: "r" }'
    assert ask("open", text=f"{head} {layer}", name="x")["net"] == {"name": "n", "format": "V1", "input": "1×3×8×8"}
    assert ask("open", text="layer {", name="x")["net"] is None


@pytest.mark.parametrize("data", [b"\x89HDF\r\n\x1a\n", b"a\0b", b"\xff\xfea\0", b"PK\x03\x04\0"])
def test_a_file_that_is_no_text_is_refused_as_the_commands_do(netcompile, refused, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_bytes(data)
    assert (
        refused("read", data=data.decode("latin-1"), name="net.prototxt") == netcompile("upgrade", "net.prototxt").err
    )


def test_a_file_is_read_as_the_commands_read_it(ask):
    assert ask("read", data="\xef\xbb\xbfa \xc3\xa9 \xff", name="x") == {"text": "a é \udcff"}
    assert ask("open", text="a\0b", name="x")["findings"][0]["code"] == "binary-file"


@pytest.mark.parametrize("number", [0xD83D, 0xDD00])
def test_half_a_character_is_no_fault_of_the_compiler(ask, number):
    """A browser's text may hold one, where a paste or an edit has parted two."""
    half = chr(number)
    text = bundled(FCN8S).replace("score_pool4", f"score_{half}pool4")
    assert ask("open", text=text, name="a") == ask("open", text=text.replace(half, "\ufffd"), name="a")
    for method in ("check", "offsets", "source", "upgraded", "report"):
        assert ask(method)
