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


def test_dot(netcompile, program):
    result = netcompile("inspect", "voc-fcn8s/deploy.prototxt", "--dot")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == 'digraph "voc-fcn8s" {'
    assert lines[-1] == "}"
    assert '  "0:conv1_1" [label="conv1_1\\nConvolution", fillcolor="#cfe2f3"];' in lines
    assert (
        '  "44:upscore8" -> "45:score" [label="1×21×(32⌈(H+6)/32⌉ + 56)×(32⌈(W+6)/32⌉ + 56)\\nstride 1, offset -31"];'
        in lines
    )
    again = program("inspect", "voc-fcn8s/deploy.prototxt", "--dot", env={"PYTHONHASHSEED": "7"})
    assert again.out == result.out


def test_dot_quotes_what_names_hold(netcompile, tmp_path):
    text = NET.replace('"conv"', '"a\\"];evil -> b\\\\"')
    shown = netcompile("inspect", write(tmp_path, text), "--dot").out
    assert '"0:a\\"];evil -> b\\\\"' in shown


def test_graphml_is_read_back(netcompile, tmp_path):
    import io

    import networkx as nx

    result = netcompile("inspect", "voc-fcn8s/deploy.prototxt", "--graphml")
    graph = nx.read_graphml(io.BytesIO(result.out.encode()), force_multigraph=True)
    assert (len(graph), graph.number_of_edges()) == (47, 51)
    assert graph.nodes["0:conv1_1"]["macs"] == 841888512
    (edge,) = graph.get_edge_data("44:upscore8", "45:score").values()
    assert (edge["shape"], edge["stride"], edge["offset"]) == ("1×21×568×568", "1", "-31")
    twice = NET.replace('bottom: "conv" bottom: "late"', 'bottom: "conv" bottom: "conv"')
    result = netcompile("inspect", write(tmp_path, twice.replace('"two"', '"\\001 two"')), "--graphml")
    graph = nx.read_graphml(io.BytesIO(result.out.encode()), force_multigraph=True)
    assert len(graph.get_edge_data("1:relu", "2:sum")) == 2


def test_activations_and_centre_are_shown(netcompile, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    lines = netcompile("inspect", "voc-fcn8s/deploy.prototxt").out.splitlines()
    assert lines[2].split()[-5:] == ["activations", "field", "centre", "stride", "offset"]
    (fc7,) = [line.split() for line in lines if line.startswith("fc7")]
    assert fc7[-6:] == ["4.2", "MB", "404", "25/2", "32", "25/2"]
    assert lines[-2] == "47 layers, 134,489,759 parameters, 181.5 G MACs, 649.3 MB of activations (float32)"


def test_json_is_byte_stable(program):
    first = program("inspect", "voc-fcn8s/val.prototxt", "--json", env={"PYTHONHASHSEED": "1"})
    second = program("inspect", "voc-fcn8s/val.prototxt", "--json", env={"PYTHONHASHSEED": "2", "LC_ALL": "C"})
    assert first.out == second.out
    assert list(first.json) == ["version", "net", "phase", "assumed", "outputs", "blobs", "layers", "totals"]
