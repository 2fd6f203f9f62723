"""`check`, `upgrade`, `explain`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import CONFORMANCE

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }\n'


@pytest.mark.parametrize(
    ("layers", "code", "codes"),
    [
        ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }', 0, []),
        ('layer { name: "r" type: "ReLU" bottom: "x" top: "y" pooling_param { } }', 1, ["unused-param"]),
        (
            'layer { name: "i" type: "Input" top: "z" input_param { shape { dim: 1 } } }\n'
            'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }',
            1,
            ["unused-input"],
        ),
        (
            'layer { name: "p" type: "Pooling" bottom: "x" top: "y" top: "m" pooling_param { kernel_size: 2 } }\n'
            'layer { name: "r" type: "ReLU" bottom: "y" top: "z" }',
            0,
            ["unused-blob"],
        ),
        (
            'layer { name: "c" type: "Crop" bottom: "x" bottom: "x" top: "y" crop_param { offset: 1 } }',
            1,
            ["crop-bounds", "crop-bounds", "crop-offset"],
        ),
        (
            'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 20 stride: 1 } }',
            2,
            ["empty-output"],
        ),
        (
            'layer { name: "a" type: "ReLU" bottom: "q" top: "y" }\n'
            'layer { name: "b" type: "ReLU" bottom: "w" top: "v" }',
            2,
            ["unknown-bottom", "unknown-bottom"],
        ),
        (  # the layer's other fields are not read, its bottoms are looked for all the same
            'layer { name: "a" type: "Pooling" bottom: "q" top: "y" pooling_param { kernel_size: 2 strid: 2 } }\n'
            'layer { name: "b" type: "ReLU" bottom: "y" top: "v" }',
            2,
            ["unknown-bottom", "unknown-field"],
        ),
        (  # a text that was not read whole names no blob
            'layer { name: "a" type: "ReLU" bottom: "q\\8" bottom: "w" top: "y" }',
            2,
            ["bad-escape", "unknown-bottom"],
        ),
    ],
)
def test_findings(netcompile, tmp_path, layers, code, codes):
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + layers)
    result = netcompile("check", path, "--json")
    findings = result.json["findings"]
    assert sorted(finding["code"] for finding in findings) == codes
    assert result.code == code
    assert result.json["version"] == 1
    assert all(finding["line"] >= 2 for finding in findings)
    assert [(f["line"], f["column"]) for f in findings] == sorted((f["line"], f["column"]) for f in findings)
    text = netcompile("check", path)
    assert text.code == code
    assert [f"[{finding['code']}]" in text.err for finding in findings] == [True] * len(codes)


def test_dead_layers_of_a_training_net(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }\n'
        'layer { name: "dead" type: "ReLU" bottom: "x" top: "z" }\n'
        'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "x" top: "loss" }\n'
    )
    result = netcompile("check", path, "--phase", "train")
    assert result.code == 0
    assert "note[dead-layer]: no loss depends on layer 'dead'" in result.err
    assert "dead-layer" not in netcompile("check", path).err


def test_the_summary(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    assert netcompile("check", path).out == "no findings\n"
    assert netcompile("check", "voc-fcn8s/val").out == "2 notes\n"


def test_bundled_nets_have_no_findings_but_notes(netcompile):
    from netcompile.zoo.find import definitions

    for name in definitions():
        if name.endswith("solver.prototxt"):
            continue
        result = netcompile("check", name, "--json")
        assert result.code == 0, (name, result.json)


def test_upgrade_is_a_fixed_point(netcompile, tmp_path):
    source = CONFORMANCE / "v1-net" / "net.prototxt"
    first = netcompile("upgrade", source)
    assert first.code == 0
    assert "layers {" not in first.out
    assert first.out.startswith('name: "v1-net"\nlayer {\n')
    assert "note[upgraded-v1]" in first.err
    path = tmp_path / "v2.prototxt"
    path.write_text(first.out)
    second = netcompile("upgrade", path)
    assert (second.out, second.err) == (first.out, "")


def test_explain(netcompile):
    page = netcompile("explain", "crop-offset")
    assert page.code == 0
    assert page.out.startswith("# ")
    assert netcompile("explain", "[crop-offset]").out == page.out
    every = netcompile("explain").out.split()
    assert "crop-offset" in every
    assert every == sorted(every)


WRONG = INPUT + (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c"\r\n'
    "  convolution_param { num_output: 4 kernel_size: 3 pad: 9 } } # pads a lot\r\n"
    'layer { name: "k" type: "Crop" bottom: "c" bottom: "x" top: "k" crop_param { offset: 9 } }\r\n'
    'layer { name: "l" type: "Crop" bottom: "c" bottom: "x" top: "l" } # \xfc'
)
RIGHT = WRONG.replace("offset: 9", "offset: 8").replace('top: "l" }', 'top: "l" crop_param { offset: 8 } }')


def test_fix_changes_the_offsets_and_nothing_else(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbf" + WRONG.encode("latin-1"))
    result = netcompile("check", path, "--fix")
    assert path.read_bytes() == b"\xef\xbb\xbf" + RIGHT.encode("latin-1")
    assert result.code == 0
    assert f"netcompile: {path}:4: crop 'k' now starts at 8\n" in result.err
    assert f"netcompile: {path}:5: crop 'l' now starts at 8\n" in result.err
    assert "crop-offset" not in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["net.prototxt"]
    before = path.stat().st_mtime_ns
    assert netcompile("check", path, "--fix").code == 0
    assert path.stat().st_mtime_ns == before  # nothing to fix, nothing written


def test_diff_shows_and_changes_nothing(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + WRONG.split("\n", 1)[1].replace("\r", "").encode("ascii", "ignore").decode() + "\n")
    text = path.read_text()
    for options in (["--diff"], ["--fix", "--diff"]):
        result = netcompile("check", path, *options)
        assert result.code == 1
        assert path.read_text() == text
        assert result.out.splitlines()[:2] == [f"--- {path}", f"+++ {path}"]
        changed = [line for line in result.out.splitlines()[2:] if line[0] in "+-"]
        assert "".join(line[0] for line in changed) == "-+-+"
    path.write_text(text.replace("offset: 9", "offset: 8").replace('top: "l" }', 'top: "l" crop_param { offset: 8 } }'))
    assert netcompile("check", path, "--diff").out == ""


@pytest.mark.parametrize("name", ["voc-fcn8s/val.prototxt", "-"])
def test_only_files_can_be_fixed(program, name):
    result = program("check", name, "--fix", stdin=INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    assert result.code == 2
    assert "error[usage]: --fix needs a file, not" in result.err


def test_a_pipe_is_not_fixed(program, tmp_path):
    """It is read once, and not opened a second time, which would wait for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(program, "check", path, "--fix")
        path.write_bytes(WRONG.encode("latin-1"))
        result = done.result()
    assert (result.code, f"error[not-a-file]: {path} is a pipe, not a file" in result.err) == (2, True)
    assert path.is_fifo()


def test_fix_leaves_what_it_cannot_fix(netcompile, tmp_path):
    path = tmp_path / "net.prototxt"
    text = INPUT + (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c"\n'
        "  convolution_param { num_output: 4 kernel_size: 4 pad: 9 } }\n"
        'layer { name: "k" type: "Crop" bottom: "c" bottom: "x" top: "k" crop_param { offset: 9 } }\n'
    )
    path.write_text(text)
    result = netcompile("check", path, "--fix")
    assert (result.code, path.read_text()) == (1, text)
    assert "crop-half-pixel" in result.err


def test_against_the_trained_net(netcompile, tmp_path):
    path = tmp_path / "deploy.prototxt"
    train = "voc-fcn8s/train.prototxt"
    assert netcompile("check", "voc-fcn8s/deploy", "--against", train).out == "no findings\n"
    from netcompile.zoo.find import find_definition

    text = find_definition("voc-fcn8s/deploy.prototxt").read_text()
    path.write_text(text.replace('name: "fc7"', 'name: "fc7_new"'))
    result = netcompile("check", path, "--against", train, "--json")
    assert result.code == 1
    assert {(f["code"], f["what"]) for f in result.json["findings"]} >= {
        ("train-differs", "the trained net has no layer 'fc7_new'")
    }
    missing = netcompile("check", path, "--against", "nowhere.prototxt")
    assert missing.code == 2
    assert "no-such-file" in missing.err
