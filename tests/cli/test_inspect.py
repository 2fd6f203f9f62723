"""`inspect`: the JSON contract, totals, and data layers in their place."""

from __future__ import annotations

NET = """\
name: "two"
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 4 }
  transform_param { crop_size: 8 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "late" type: "Input" top: "late" input_param { shape { dim: 4 dim: 2 dim: 6 dim: 6 } } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "late" top: "sum" }
"""


def write(folder, text=NET):
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def test_json_is_the_contract(netcompile, tmp_path):
    result = netcompile("inspect", write(tmp_path), "--json")
    assert result.code == 0
    found = result.json
    assert (found["version"], found["net"]) == (1, "two")
    assert {name: blob["shape"] for name, blob in found["blobs"].items()} == {
        "data": [4, 3, 8, 8],
        "conv": [4, 2, 6, 6],
        "late": [4, 2, 6, 6],
        "sum": [4, 2, 6, 6],
    }
    rows = [(r["name"], r["type"], r["bottoms"], r["tops"], r["blobs"]) for r in found["layers"]]
    assert rows == [
        ("data", "Data", [], ["data"], []),
        ("conv", "Convolution", ["data"], ["conv"], [[2, 3, 3, 3], [2]]),
        ("relu", "ReLU", ["conv"], ["conv"], []),
        ("late", "Input", [], ["late"], []),
        ("sum", "Eltwise", ["conv", "late"], ["sum"], []),
    ]
    conv = found["layers"][1]
    assert (conv["parameters"], conv["macs"], conv["activation_bytes"]) == (56, 4 * 2 * 36 * 27, 4 * 4 * 2 * 36)
    assert conv["fields"] == [{"size": [3, 3], "stride": ["1", "1"], "centre": ["1", "1"]}]


def test_labels_stay_when_they_are_given(netcompile, tmp_path):
    result = netcompile("inspect", write(tmp_path), "--json", "--input", "label=4")
    assert result.json["layers"][0]["tops"] == ["data", "label"]
    assert result.json["blobs"]["label"]["shape"] == [4]


def test_input_replaces_the_declared_shape(netcompile):
    result = netcompile("inspect", "voc-fcn8s/val.prototxt", "--json", "--input", "data=2x3x100x77")
    assert result.json["blobs"]["score"]["shape"] == [2, 21, 100, 77]
    assert result.json["blobs"]["score"]["symbolic"] == ["2", "21", "H", "W"]
    assert result.json["assumed"] == []


def test_assumed_shapes_are_said(netcompile):
    result = netcompile("inspect", "voc-fcn8s/val.prototxt")
    assert "49 layers, 134,489,759 parameters" in result.out
    assert "with assumed shapes for data\noutputs: score\n" in result.out
    assert "note[assumed-shape]: the file does not say the shape of input 'data'" in result.err
    assert "1×500×500" not in result.out


def test_numbers_with_input(netcompile):
    assert "1×21×16×16" in netcompile("inspect", "voc-fcn8s/val", "--input", "data=1x3x500x500").out


def test_receptive_field_of_fcn8s(netcompile):
    layers = netcompile("inspect", "voc-fcn8s/deploy.prototxt", "--json").json["layers"]
    fields = {layer["name"]: layer["fields"][0] for layer in layers}
    assert fields["fc7"] == {"size": [404, 404], "stride": ["32", "32"], "centre": ["25/2", "25/2"]}
    assert fields["score"]["stride"] == ["1", "1"]
    assert fields["score"]["centre"] == ["0", "0"]
