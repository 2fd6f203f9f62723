"""The offset report: its numbers, its JSON contract, its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

HEAD = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 64 dim: 48 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 pad: 100 stride: 1 } }
"""
CROP = 'layer { name: "score" type: "Crop" bottom: "conv" bottom: "data" top: "score" %s }\n'


def net(folder: Path, crop: str, head: str = HEAD) -> Path:
    path = folder / "crop.prototxt"
    path.write_text(head + CROP % crop)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc-fcn32s/val.prototxt", [19]),
        ("voc-fcn16s/val.prototxt", [5, 27]),
        ("voc-fcn8s/val.prototxt", [5, 9, 31]),
        ("voc-fcn8s/deploy.prototxt", [5, 9, 31]),
        ("voc-fcn8s-atonce/train.prototxt", [5, 9, 31]),
        ("voc-fcn-alexnet/val.prototxt", [18]),
        ("shapes-fcn8s/deploy.prototxt", [5, 9, 31]),
    ],
)
def test_published_offsets(netcompile, name, expected):
    result = netcompile("offsets", name, "--json")
    assert result.code == 0
    crops = result.json["crops"]
    assert [crop["used"] for crop in crops] == [[v, v] for v in expected]
    assert [crop["inferred"] for crop in crops] == [[str(v), str(v)] for v in expected]
    assert {crop["status"] for crop in crops} == {"ok"}
    assert all(crop["valid"] == {"always": True, "from": 1, "invalid": []} for crop in crops)


def test_json_is_the_contract(netcompile, tmp_path):
    result = netcompile("offsets", net(tmp_path, "crop_param { axis: 2 offset: 99 }"), "--json")
    assert result.code == 0
    contract = {key: result.json[key] for key in ("net", "crops", "blobs")}
    contract["crops"] = [
        {key: value for key, value in crop.items() if key not in ("legal", "slack", "derivation")}
        for crop in contract["crops"]
    ]
    assert contract == {
        "net": "crop",
        "crops": [
            {
                "layer": "score",
                "line": 4,
                "bottoms": ["conv", "data"],
                "axis": 2,
                "declared": [99, 99],
                "inferred": ["99", "99"],
                "used": [99, 99],
                "status": "ok",
                "why": "",
                "valid": {"always": True, "from": 1, "invalid": []},
            }
        ],
        "blobs": {
            "data": {"stride": ["1", "1"], "offset": ["0", "0"], "size": ["H", "W"]},
            "conv": {"stride": ["1", "1"], "offset": ["-99", "-99"], "size": ["H + 198", "W + 198"]},
            "score": {"stride": ["1", "1"], "offset": ["0", "0"], "size": ["H", "W"]},
        },
    }


def test_json_is_byte_stable(program):
    first = program("offsets", "voc-fcn8s/val.prototxt", "--json", env={"PYTHONHASHSEED": "1"})
    second = program("offsets", "voc-fcn8s/val.prototxt", "--json", env={"PYTHONHASHSEED": "2", "LC_ALL": "C"})
    assert first.out == second.out
    assert first.json["blobs"]["fc6"]["size"] == ["⌈(H+6)/32⌉", "⌈(W+6)/32⌉"]


@pytest.mark.parametrize(
    ("crop", "options", "code", "status", "used"),
    [
        ("crop_param { offset: 98 }", [], 1, "mismatch", [98, 98]),
        ("crop_param { offset: 99 offset: 100 }", [], 1, "mismatch", [99, 100]),
        ("crop_param { }", [], 1, "mismatch", [0, 0]),
        ("", [], 0, "inferred", [99, 99]),
        ("", ["--crop-offsets", "declared"], 1, "mismatch", [0, 0]),
        ("crop_param { offset: 98 }", ["--crop-offsets", "inferred"], 1, "mismatch", [99, 99]),
        # Out of bounds because it is misaligned: a finding, with the right offset beside it.
        ("crop_param { offset: 300 }", [], 1, "mismatch", [300, 300]),
    ],
)
def test_status_and_exit_code(netcompile, tmp_path, crop, options, code, status, used):
    result = netcompile("offsets", net(tmp_path, crop), "--json", *options)
    assert result.code == code
    (found,) = result.json["crops"]
    assert (found["status"], found["used"], found["inferred"]) == (status, used, ["99", "99"])


def test_a_crop_that_is_out_of_bounds_for_another_reason_is_refused(netcompile, tmp_path):
    other = HEAD.replace('bottom: "data"', 'bottom: "x"') + (
        'layer { name: "ref" type: "Input" top: "ref" input_param { shape { dim: 1 dim: 3 dim: 999 dim: 9 } } }\n'
    )
    head = other.replace('top: "data"', 'top: "x"')
    path = tmp_path / "net.prototxt"
    path.write_text(head + (CROP % "crop_param { offset: 1 }").replace('"data"', '"ref"'))
    result = netcompile("offsets", path)
    assert result.code == 2
    assert "error[crop-bounds]: layer 'score': offset 1 + size 999 > 262" in result.err
    assert result.out == ""


def test_half_pixels_are_a_finding_that_names_the_cause(netcompile, tmp_path):
    head = HEAD.replace("kernel_size: 3", "kernel_size: 4")
    result = netcompile("offsets", net(tmp_path, "", head))
    assert result.code == 1
    assert "noninteger" in result.out
    first = result.err.splitlines()[0]
    assert "crop.prototxt:4:29: error[crop-half-pixel]: crop 'score'" in first
    assert "197/2" in first
    assert "'conv'" in first


def test_the_table(netcompile, tmp_path):
    result = netcompile("offsets", net(tmp_path, "crop_param { offset: 98 }"))
    assert result.code == 1
    assert result.out == (
        f"crop ({tmp_path}/crop.prototxt, phase test)\n"
        "\n"
        "crop   line  axis  declared  needed  used  status    legal for\n"
        "─────  ────  ────  ────────  ──────  ────  ────────  ──────────\n"
        "score     4     2        98      99    98  mismatch  every H, W\n"
        "\n"
        "the whole net is legal for every H, W\n"
    )
    assert result.err.splitlines()[0].endswith(
        "crop.prototxt:4:100: error[crop-offset]: crop 'score' starts at 98, alignment needs 99"
    )
    assert result.err.splitlines()[-1] == "  fix: offset: 99"


def test_blobs_without_coordinates_are_null(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }\n'
        'layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 7 } } }\n'
    )
    blobs = netcompile("offsets", path, "--json").json["blobs"]
    assert blobs == {
        "a": {"stride": ["1", "1"], "offset": ["0", "0"], "size": ["H", "W"]},
        "b": {"stride": None, "offset": None, "size": None},
    }


def test_without_crops(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD)
    assert "\nno crop layers\n" in netcompile("offsets", path).out


def test_the_proof_in_json(netcompile):
    found = netcompile("offsets", "voc-fcn8s/val.prototxt", "--json").json
    assert (found["version"], found["phase"]) == (1, "test")
    every = {"text": "every H >= 1", "runs": [], "start": 1, "period": 1, "residues": [0]}
    assert found["valid"][0] == every
    score = found["crops"][2]
    assert score["legal"][0] == every
    assert score["slack"][0] == {
        "before": 31,
        "after": "32⌈(H+6)/32⌉ - H + 25",
        "least": 31,
        "greatest": 62,
        "smallest": {"n": 1, "cropped": 88, "window": 1, "after": 56},
    }
    steps = score["derivation"]["cropped"]
    assert score["derivation"]["ancestor"] == "data"
    assert (steps[0]["layer"], steps[0]["line"], steps[0]["local"]["P"]) == ("conv1_1", 13, ["-99", "-99"])
    assert steps[-1]["compound"] == {"stride": ["1", "1"], "offset": ["-31", "-31"], "P": ["-31", "-31"]}
    up = found["deconvolutions"][2]
    assert (up["layer"], up["factor"], up["bilinear"], up["undoes"]) == (
        "upscore8",
        [8, 8],
        True,
        ["pool3", "pool2", "pool1"],
    )
    assert (up["fibres"][0]["most"], up["fibres"][0]["members"]["runs"]) == (32, [[475, 507]])
    assert up["uses"] == [{"kind": "cut", "crop": "score", "other": "data", "resolved": True}]
    assert [fusion["layer"] for fusion in found["fusions"]] == ["fuse_pool4", "fuse_pool3"]
    assert found["refusals"] == found["ties"] == []


def test_explain_follows_the_derivation(netcompile):
    result = netcompile("offsets", "voc-fcn32s/val.prototxt", "--explain")
    assert result.code == 0
    assert "T = (P′ of 'data' - P′ of 'upscore') / S = (0 - (-19)) / 1 = 19\n" in result.out


@pytest.mark.parametrize(
    ("name", "pads", "code", "needed", "valid"),
    [
        ("voc-fcn32s/val", ["conv1_1=81"], 1, [0], 33),
        ("voc-fcn32s/val", ["conv1_1=100"], 0, [19], 1),
        ("voc-fcn8s/val", ["conv1_1=81"], 1, [5, 9, 12], 33),
        ("voc-fcn8s/val", ["conv1_1=81", "score_pool4=1"], 1, [6, 9, 12], 33),
        ("voc-fcn8s/val", ["conv1_1=132x132"], 1, [5, 9, 63], 1),
    ],
)
def test_what_if(netcompile, name, pads, code, needed, valid):
    options = [option for pad in pads for option in ("--pad", pad)]
    result = netcompile("offsets", name, "--json", *options)
    assert result.code == code
    crops = result.json["crops"]
    assert [crop["used"] for crop in crops] == [[v, v] for v in needed]
    assert {crop["valid"]["from"] for crop in crops} <= {1, valid}
    assert result.json["valid"][0]["start"] == valid
    shown = netcompile("offsets", name, *options)
    assert "what if" in shown.err
    assert "the file itself is not changed" in shown.err


def test_what_if_with_too_little_pad(netcompile):
    result = netcompile("offsets", "voc-fcn8s/val", "--pad", "conv1_1=60")
    assert result.code == 1
    assert "negative" in result.out
    assert "starts -9 pixels in, before the first one: too little pad" in result.err


@pytest.mark.parametrize(
    ("pad", "words"),
    [
        ("conv1_1", "'conv1_1' is not of the form LAYER=81"),
        ("conv1_1=x", "is not of the form LAYER=81"),
        ("=81", "is not of the form LAYER=81"),
        ("conv11=81", "there is no layer 'conv11'\n  fix: did you mean 'conv1_1'?"),
        ("relu1_1=81", "layer 'relu1_1' has no windows whose pad could change"),
    ],
)
def test_a_pad_that_makes_no_sense(netcompile, pad, words):
    result = netcompile("offsets", "voc-fcn8s/val", "--pad", pad)
    assert result.code == 2
    assert words in result.err
    assert result.out == ""
