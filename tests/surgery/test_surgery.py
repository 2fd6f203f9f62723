"""Surgery: the same scores before and after, FCN's rules for coercion and interpolation, files that Caffe reads."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import netcompile
from netcompile import surgery
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.cli.main import entry
from netcompile.diagnostics.diagnostic import NetError
from netcompile.prototxt.printer import to_text

NET = """\
name: "mini"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [1, 3, {high}, {wide}] }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {{ kernel_size: 2 stride: 2 }} }}
{flatten}
layer {{ name: "fc6" type: "InnerProduct" bottom: "{before}" top: "fc6"
  inner_product_param {{ num_output: 6 {fc6} weight_filler {{ type: "xavier" }} bias_filler {{ value: 0.5 }} }} }}
layer {{ name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }}
layer {{ name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }}
layer {{ name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"
  inner_product_param {{ num_output: 5 {fc7} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }}
"""
FLATTEN = 'layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }'


def mini(high=8, wide=8, flatten=False, fc6="", fc7=""):
    text = NET.format(
        high=high, wide=wide, fc6=fc6, fc7=fc7, flatten=FLATTEN if flatten else "", before="flat" if flatten else "pool"
    )
    net = surgery.parse_net(text)
    return net, surgery.transplant(net, {}, seed=3).weights


def run(net, weights, x, folder):
    (folder / "n.prototxt").write_text(to_text(net.message))
    types = {node.name: node.type for node in net.graph.nodes}
    surgery.write_weights(folder / "n.caffemodel", weights, net.name, types)
    with torch.inference_mode():
        return netcompile.load(folder / "n.prototxt", folder / "n.caffemodel")(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"high": 12, "wide": 8},
        {"flatten": True},
        {"fc6": "transpose: true"},
        {"fc6": "bias_term: false", "fc7": "transpose: true"},
        {"fc6": "axis: -3"},
    ],
)
def test_the_scores_stay_and_larger_images_give_a_map(tmp_path, options):
    net, weights = mini(**options)
    high, wide = options.get("high", 8), options.get("wide", 8)
    x = np.random.RandomState(0).standard_normal((2, 3, high, wide)).astype(np.float32)
    before = run(net, weights, x, tmp_path)
    done = surgery.convolutionalise(net, weights)
    after = run(done.net, done.weights, x, tmp_path)
    assert after.shape == (2, 5, 1, 1)
    assert np.allclose(before, after[:, :, 0, 0], atol=1e-6)
    # On a larger image each place of the map sees the window of its own: away from the padding, the same scores.
    large = np.random.RandomState(1).standard_normal((1, 3, high + 6, wide + 4)).astype(np.float32)
    assert run(done.net, done.weights, large, tmp_path).shape == (1, 5, 4, 3)


def test_a_score_map_is_the_classifier_slid_over_the_image(tmp_path):
    """Without padding, exactly: place (i, j) of the map is the classifier on the crop that starts at its stride."""
    text = to_text(mini()[0].message).replace("pad: 1\n", "")
    net = surgery.parse_net(text)
    weights = surgery.transplant(net, {}, seed=5).weights
    done = surgery.convolutionalise(net, weights)
    large = np.random.RandomState(1).standard_normal((1, 3, 12, 10)).astype(np.float32)
    found = run(done.net, done.weights, large, tmp_path)
    assert found.shape == (1, 5, 3, 2)
    for i in range(3):
        for j in range(2):
            crop = np.ascontiguousarray(large[:, :, 2 * i : 2 * i + 8, 2 * j : 2 * j + 8])
            assert np.allclose(run(net, weights, crop, tmp_path)[0], found[0, :, i, j], atol=1e-6)


def test_what_the_message_becomes():
    net, weights = mini(4, 6, flatten=True, fc7="bias_term: false")
    done = surgery.convolutionalise(net, weights, pad=100, suffix="-conv")
    assert [layer.get("name") for layer in done.net.message.all("layer")] == [
        "data", "conv", "relu", "pool", "fc6-conv", "relu6", "drop6", "fc7-conv", "prob"
    ]  # fmt: skip
    fc6, fc7 = done.net.layer("fc6-conv"), done.net.layer("fc7-conv")
    assert (fc6.all("bottom"), fc6.all("top")) == (("pool",), ("fc6",))
    assert not fc6.has("inner_product_param")
    assert (fc6.get("convolution_param").get("kernel_h"), fc6.get("convolution_param").get("kernel_w")) == (2, 3)
    assert fc7.get("convolution_param").get("kernel_size") == (1,)
    assert fc7.get("convolution_param").get("bias_term") is False
    assert done.net.layer("conv").get("convolution_param").get("pad") == (100,)
    assert {name: [blob.shape for blob in blobs] for name, blobs in done.weights.items()} == {
        "conv": [(4, 3, 3, 3), (4,)], "fc6-conv": [(6, 4, 2, 3), (6,)], "fc7-conv": [(5, 6, 1, 1)]
    }  # fmt: skip
    assert done.changes == (
        "flat: removed, the convolution needs the map",
        "fc6-conv: InnerProduct is a convolution of 2×3, 4 channels now",
        "fc7-conv: InnerProduct is a convolution of 1×1, 6 channels now",
    )


def vgg16() -> str:
    lines = ['layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 224, 224] } } }']
    top = "data"

    def add(name, kind, params="", inplace=False):
        nonlocal top
        new = top if inplace else name
        lines.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{top}" top: "{new}" {params} }}')
        top = new

    for block, (count, width) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for index in range(1, count + 1):
            add(
                f"conv{block}_{index}",
                "Convolution",
                f"convolution_param {{ num_output: {width} kernel_size: 3 pad: 1 }}",
            )
            add(f"relu{block}_{index}", "ReLU", inplace=True)
        add(f"pool{block}", "Pooling", "pooling_param { kernel_size: 2 stride: 2 }")
    for name, width in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        add(name, "InnerProduct", f"inner_product_param {{ num_output: {width} }}")
        if name != "fc8":
            add(f"relu{name[2]}", "ReLU", inplace=True)
            add(f"drop{name[2]}", "Dropout", inplace=True)
    return "\n".join(lines)


def test_vgg_16_becomes_the_trunk_of_fcn_32s():
    done = surgery.convolutionalise(surgery.parse_net(vgg16()), pad=100)
    fcn = surgery.read_net("voc-fcn32s/val.prototxt")
    for layer in fcn.message.all("layer"):
        name = layer.get("name")
        if name.startswith(("conv", "fc", "pool", "relu", "drop")):
            ours = done.net.layer(name)
            assert ours.get("type") == layer.get("type")
            for field in ("num_output", "kernel_size", "pad"):
                a, b = (m.get("convolution_param").get(field) for m in (ours, layer))
                assert (a or (0,)) == (b or (0,)) if field == "pad" else a == b
    assert done.net.shapes[done.net.graph.blobs["fc7"]][1] == 4096


POOL = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: [1, 2, 3, 3] } } }\n'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "%s" top: "fc" inner_product_param { num_output: 2 %s } }\n'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (POOL, "the net has no InnerProduct layer: there is nothing to convert"),
        (POOL + FC % ("d", "axis: 2"), "layer 'fc' works on axis 2 of 4: no convolution does that"),
        (POOL.replace("2, 3, 3", "18") + FC % ("d", ""), "layer 'fc' gets a vector that no layer made from a map"),
        (
            POOL + FC % ("d", "") + 'layer { name: "r" type: "Reduction" bottom: "fc" top: "r" }',
            "layer 'r' is a Reduction, which on a map is not what it is on a vector",
        ),
        (
            POOL
            + FC % ("d", "")
            + 'layer { name: "s" type: "Softmax" bottom: "fc" top: "s" softmax_param { axis: -1 } }',
            "layer 's' is a Softmax, which on a map is not what it is on a vector",
        ),
    ],
)
def test_nets_that_cannot_be_converted(text, what):
    with pytest.raises(NetError) as caught:
        surgery.convolutionalise(surgery.parse_net(text))
    assert [d.what for d in caught.value.diagnostics] == [what]


def test_weights_that_do_not_fit():
    net = surgery.parse_net(POOL + FC % ("d", ""))
    for weights, what in (
        ({}, "has no weights in the file"),
        ({"fc": (np.zeros((2, 9)),)}, "has 18 weights in the file"),
    ):
        with pytest.raises(NetError, match=what):
            surgery.convolutionalise(net, weights)


# --- transplant, interp, expand-score


def test_transplant_by_name_with_coercion():
    net, weights = mini()
    target = surgery.convolutionalise(net).net
    del weights["conv"]
    found = surgery.transplant(target, {**weights, "old": (np.zeros(3),), "fc7": (*weights["fc7"], np.zeros(2))})
    assert found.coerced == ("fc6.0", "fc7.0")
    assert found.copied == ("fc6.1", "fc7.1")
    assert found.filled == ("conv.0", "conv.1")
    assert found.dropped == ("old", "fc7.2")
    assert np.array_equal(found.weights["fc6"][0].ravel(), weights["fc6"][0].ravel())
    assert found.weights["conv"][0].std() == pytest.approx(np.sqrt(2 / 27), rel=0.3)  # msra
    assert (surgery.transplant(target, {}).weights["fc6"][1] == 0.5).all()


def test_transplant_with_a_suffix():
    net, weights = mini()
    target = surgery.convolutionalise(net, suffix="_new").net
    found = surgery.transplant(target, {"fc6": weights["fc6"]}, suffix="_new")
    assert (found.coerced, found.copied) == (("fc6_new.0",), ("fc6_new.1",))
    assert found.filled == ("conv.0", "conv.1", "fc7_new.0", "fc7_new.1")


def test_a_suffix_that_only_some_layers_have():
    """What `convolutionalise --suffix` makes: converted layers are renamed, convolutions keep their names."""
    net, weights = mini()
    target = surgery.convolutionalise(net, suffix="-conv").net
    found = surgery.transplant(target, {**weights, "fc6-conv": weights["fc6"]}, suffix="-conv")
    assert found.dropped == ("fc6-conv",)
    assert found.filled == ()
    for name in weights:
        heir = name if name in found.weights else f"{name}-conv"
        assert all(
            np.array_equal(a.ravel(), b.ravel()) for a, b in zip(weights[name], found.weights[heir], strict=True)
        )


def test_transplant_refuses_other_counts():
    net, weights = mini()
    with pytest.raises(NetError) as caught:
        surgery.transplant(net, {**weights, "fc7": (np.zeros((9, 6)), np.zeros(9))})
    assert [d.what for d in caught.value.diagnostics] == [
        "layer 'fc7' blob 0 is 5×6 in the net, 9×6 in the weights",
        "layer 'fc7' blob 1 is 5 in the net, 9 in the weights",
    ]


@given(st.integers(1, 40))
def test_bilinear_kernels(size):
    kernel = surgery.bilinear(size)
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    for i in range(size):
        for j in range(size):
            expected = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor)
            assert kernel[i, j] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("shape", "stride"), [((3, 3, 4, 4), 2), ((5, 1, 16, 16), 8)])
def test_interpolation_keeps_planes(shape, stride):
    """Upsampling a linear ramp with a bilinear kernel gives the finer ramp, away from the border."""
    weights = surgery.interp({"up": (np.full(shape, 7, np.float32),)}, ["up"])
    ramp = torch.arange(8.0)[None, None, :, None].expand(1, shape[0], 8, 8)
    groups = shape[0] if shape[1] == 1 else 1
    found = torch.nn.functional.conv_transpose2d(ramp, torch.from_numpy(weights["up"][0]), stride=stride, groups=groups)
    inner = found[0, :, 2 * stride : -2 * stride, 3 * stride]
    steps = torch.diff(inner, dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 1 / stride), atol=1e-5)


def test_interp_refuses():
    blobs = {"a": (np.zeros((2, 3, 4, 4), np.float32),), "fc": (np.zeros((2, 3)),)}
    with pytest.raises(NetError) as caught:
        surgery.interp(blobs, ["a", "fc", "no"])
    assert sorted(d.what for d in caught.value.diagnostics) == [
        "layer 'a' cannot interpolate: its blob is 2×3×4×4",
        "there is no layer 'fc' with a kernel",
        "there is no layer 'no' with a kernel",
    ]


def test_expand_score():
    old = {"score": (np.ones((2, 3, 1, 1), np.float32), np.full((1, 1, 1, 2), 4, np.float32))}
    new = {"score2": (np.zeros((5, 3, 1, 1), np.float32), np.zeros(5, np.float32)), "x": (np.zeros(1),)}
    found = surgery.expand_score(new, "score2", old, "score")
    assert found["score2"][0][:, 0, 0, 0].tolist() == [1, 1, 0, 0, 0]
    assert found["score2"][1].tolist() == [4, 4, 0, 0, 0]
    assert new["score2"][1].tolist() == [0] * 5
    with pytest.raises(NetError, match="is 5×3×1×1: no first part of 2×3×1×1"):
        surgery.expand_score(old, "score", new, "score2")
    with pytest.raises(NetError, match="the old weights have no layer 'y'"):
        surgery.expand_score(new, "score2", old, "y")
    with pytest.raises(NetError, match="the net has no layer 'z' with weights"):
        surgery.expand_score(new, "z", old, "score")


# --- files

ARRAYS = {
    "conv/1x1": (np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.array([1, 2], np.float32)),
    "scalar": (np.array(3, np.float32),),
    "Größe": (np.zeros((0, 4), np.float32), np.ones((300, 70), np.float32)),
}


@pytest.mark.parametrize("extension", [".caffemodel", ".safetensors"])
def test_files_give_back_what_was_written(tmp_path, extension):
    path = tmp_path / f"w{extension}"
    size = surgery.write_weights(path, ARRAYS, "net")
    assert size == path.stat().st_size
    found = surgery.read_weights(path)
    assert found.keys() == ARRAYS.keys()
    for name, blobs in ARRAYS.items():
        for ours, theirs in zip(blobs, found[name], strict=True):
            assert ours.shape == theirs.shape
            assert np.array_equal(ours, theirs)


def test_a_caffemodel_is_what_protobuf_reads(tmp_path):
    """The same file through protobuf's own parser, with the descriptors of the schema."""
    from netcompile.prototxt import descriptors

    path = tmp_path / "w.caffemodel"
    surgery.write_weights(path, ARRAYS, "net", {"conv/1x1": "Convolution"})
    net = descriptors.message_class("NetParameter")()
    net.ParseFromString(path.read_bytes())
    assert net.name == "net"
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ("conv/1x1", "Convolution"), ("scalar", ""), ("Größe", "")
    ]  # fmt: skip
    for layer in net.layer:
        for blob, array in zip(layer.blobs, ARRAYS[layer.name], strict=True):
            assert tuple(blob.shape.dim) == array.shape
            assert np.array_equal(np.array(blob.data, np.float32), array.ravel())
    assert [layer.type for layer in read_caffemodel(path).layers] == ["Convolution", "", ""]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"old")
    with pytest.raises(AttributeError):
        surgery.write_weights(path, {"a": (np.zeros(3, np.float32), "no array")})
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["w.caffemodel"]
    with pytest.raises(NetError, match=r"'x\.pth' is neither"):
        surgery.write_weights("x.pth", {})


def test_safetensors_of_a_module_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.zeros(3, np.float32)}, tmp_path / "m.safetensors")
    with pytest.raises(NetError, match=r"'conv\.weight' is no blob of a layer"):
        surgery.read_weights(tmp_path / "m.safetensors")


# --- the command


def call(capsys, *arguments):
    capsys.readouterr()
    code = entry(["surgery", *map(str, arguments)])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("extension", [".caffemodel", ".safetensors"])
def test_the_commands(tmp_path, capsys, extension):
    net, weights = mini()
    (tmp_path / "n.prototxt").write_text(to_text(net.message))
    surgery.write_weights(tmp_path / "n.caffemodel", weights, "mini")
    out = tmp_path / "conv.prototxt"
    code, said, err = call(
        capsys, "convolutionalise", tmp_path / "n.prototxt", "--weights", tmp_path / "n.caffemodel", "-o", out,
        "--out-weights", tmp_path / f"conv{extension}",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "fc6: InnerProduct is a convolution of 4×4, 4 channels now\n" in said
    assert surgery.read_weights(tmp_path / f"conv{extension}")["fc6"][0].shape == (6, 4, 4, 4)
    code, said, err = call(
        capsys, "transplant", out, "--weights", tmp_path / "n.caffemodel", "-o", tmp_path / f"t{extension}"
    )
    assert (code, err) == (0, "")
    assert "copied: conv.0, conv.1, fc6.1, fc7.1\nread in another shape: fc6.0, fc7.0\n" in said


def test_interp_and_expand_score_as_commands(tmp_path, capsys):
    deploy = "shapes-fcn8s/deploy.prototxt"
    code, said, _ = call(
        capsys, "interp", deploy, "--weights", "shapes-fcn8s.caffemodel", "-o", tmp_path / "i.caffemodel"
    )
    assert (code, "bilinear: upscore2, upscore_pool4, upscore8\n" in said) == (0, True)
    found = surgery.read_weights(tmp_path / "i.caffemodel")
    assert np.array_equal(found["upscore8"][0][2, 2], surgery.bilinear(16))
    assert not found["upscore8"][0][2, 1].any()
    text = to_text(surgery.read_net(deploy).message)
    more = text.replace("num_output: 6\n", "num_output: 9\n")
    (tmp_path / "more.prototxt").write_text(more)
    one = {name: blobs for name, blobs in found.items() if name.startswith(("conv", "fc")) or name == "score_fr"}
    surgery.write_weights(tmp_path / "one.caffemodel", one)
    code, said, err = call(
        capsys, "expand-score", tmp_path / "more.prototxt", "--weights", tmp_path / "one.caffemodel",
        "--layer", "score_fr", "-o", tmp_path / "more.caffemodel",
    )  # fmt: skip
    assert (code, "score_fr: 6 old classes, 3 new ones\n" in said) == (0, True), err
    grown = surgery.read_weights(tmp_path / "more.caffemodel")
    assert np.array_equal(grown["score_fr"][0][:6], found["score_fr"][0])
    assert grown["upscore8"][0].shape == (9, 9, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "error: which operation?"),
        (("interp", "voc-fcn8s/val.prototxt"), "the following arguments are required: -o"),
        (("convolutionalise", "shapes-fcn8s/deploy.prototxt", "-o", "x"), "the net has no InnerProduct layer"),
        (
            ("transplant", "shapes-fcn8s/deploy.prototxt", "--weights", "no.caffemodel", "-o", "x.caffemodel"),
            "there is no file 'no.caffemodel'",
        ),
    ],
)
def test_mistakes(capsys, tmp_path, monkeypatch, arguments, what):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert (code, what in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []


SHARED = (
    POOL
    + """layer { name: "a" type: "InnerProduct" bottom: "d" top: "a" param { name: "w" } inner_product_param {
      num_output: 2 } }
    layer { name: "b" type: "InnerProduct" bottom: "d" top: "b" param { name: "w" } inner_product_param {
      num_output: 2 } }
"""
)


def test_a_blob_that_hdf5_leaves_out_is_its_owners(tmp_path):
    """The bias of a layer that shares its weights is blob 1 of it, not blob 0, and the weights are the owner's."""
    matrix, first, second = np.arange(36, dtype=np.float32), np.float32([1, 2]), np.float32([3, 4])
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"], file["data/a/1"], file["data/b/1"] = matrix.reshape(2, 18), first, second
    old = surgery.read_weights(tmp_path / "w.h5")
    assert old["b"][0] is None
    assert np.array_equal(old["b"][1], second)
    net = surgery.parse_net(SHARED)
    moved = surgery.transplant(net, old)
    assert (moved.copied, moved.filled) == (("a.0", "a.1", "b.1"), ())
    for weights in (moved.weights, surgery.convolutionalise(net, old).weights):
        surgery.write_weights(tmp_path / "w.caffemodel", weights)
        found = surgery.read_weights(tmp_path / "w.caffemodel")
        for name, bias in (("a", first), ("b", second)):
            assert np.array_equal(found[name][0].ravel(), matrix)
            assert np.array_equal(found[name][1], bias)
    with pytest.raises(NetError, match=r"layer 'b' has no blob 0, and a \.caffemodel leaves none out"):
        surgery.write_weights(tmp_path / "w.caffemodel", old)
    with pytest.raises(NetError, match="the old weights leave out blob 0 of 'b'"):
        surgery.expand_score(moved.weights, "b", old)
    surgery.write_weights(tmp_path / "w.safetensors", old)
    again = surgery.read_weights(tmp_path / "w.safetensors")
    assert again["b"][0] is None
    assert np.array_equal(again["b"][1], second)


def test_layers_that_share_a_blob_are_filled_alike():
    weights = surgery.transplant(surgery.parse_net(SHARED.replace("num_output: 2", FILLED)), {}).weights
    assert weights["a"][0].any()
    assert np.array_equal(weights["a"][0], weights["b"][0])


FILLED = 'num_output: 2 weight_filler { type: "xavier" }'


# --- more classes

SCORES = ["score_fr", "score_pool4", "score_pool3"]
DEMO = ("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel")


def shapes_weights():
    from netcompile.zoo.find import find_weights

    return surgery.read_weights(find_weights(DEMO[1]))


def grown_text(name, old=6, new=8):
    return to_text(surgery.read_net(name).message).replace(f"num_output: {old}\n", f"num_output: {new}\n")


@pytest.mark.parametrize(("name", "found"), [
    ("shapes-fcn8s/deploy", [(6, SCORES, ["upscore2", "upscore_pool4", "upscore8"])]),
    ("voc-fcn32s/val", [(21, ["score_fr"], ["upscore"])]),
    ("nyud-fcn32s-color-hha/test", [(40, ["score_frcolor", "score_frhha"], ["upscore"])]),
    ("shapes-fcn8s/train", [(6, SCORES, ["upscore2", "upscore_pool4", "upscore8"])]),
    ("siftflow-fcn16s/test", [
        (33, ["score_fr_sem", "score_pool4_sem"], ["upscore2_sem", "upscore16_sem"]),
        (3, ["score_fr_geo", "score_pool4_geo"], ["upscore2_geo", "upscore16_geo"]),
    ]),
])  # fmt: skip
def test_heads_of_the_fcn_nets(name, found):
    heads = surgery.heads(surgery.read_net(name))
    assert [(head.classes, list(head.scores), list(head.upsampling)) for head in heads] == found


def test_heads_are_found_by_what_layers_do():
    """Names say nothing, a softmax and an ArgMax are looked through, numbers for each class belong to the head."""
    text = """
        layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }
        layer { name: "up" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 kernel_size: 1 } }
        layer { name: "n" type: "BatchNorm" bottom: "a" top: "n" }
        layer { name: "s" type: "Scale" bottom: "n" top: "n" scale_param { bias_term: true } }
        layer { name: "conv" type: "Deconvolution" bottom: "n" top: "b"
          convolution_param { num_output: 4 group: 4 kernel_size: 4 stride: 2 } }
        layer { name: "p" type: "Softmax" bottom: "b" top: "p" }
        layer { name: "l" type: "ArgMax" bottom: "p" top: "l" argmax_param { axis: 1 } }
    """
    (head,) = surgery.heads(surgery.parse_net(text))
    parts = [list(head.scores), list(head.upsampling), list(head.others)]
    assert (head.classes, parts) == (4, [["up"], ["conv"], ["n", "s"]])
    net, _ = surgery.with_classes(surgery.parse_net(text), 6)
    old = surgery.transplant(surgery.parse_net(text), {}, seed=2).weights
    found = surgery.expand_classes(net, old)
    assert found.counts == {"up": (4, 6)}
    assert net.layer("conv").get("convolution_param").get("group") == 6
    assert [blob.shape for blob in found.weights["conv"]] == [(6, 1, 4, 4), (6,)]
    assert [blob.shape for blob in found.weights["s"]] == [(6,), (6,)]
    assert surgery.heads(surgery.parse_net(POOL)) == ()


def test_every_score_layer_grows_and_the_old_scores_stay(tmp_path):
    """Weights to the bit, scores but for rounding, at both levels; new classes' maps are enlarged bilinearly."""
    old = shapes_weights()
    net, _ = surgery.with_classes(surgery.read_net(DEMO[0]), 8)
    assert to_text(net.message) == grown_text(DEMO[0])
    found = surgery.expand_classes(net, old)
    assert found.counts == dict.fromkeys(["score_fr", "score_pool4", "score_pool3"], (6, 8))
    assert found.bilinear == ("upscore2", "upscore_pool4", "upscore8")
    assert found.filled == ()
    for name, size in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        kernel = found.weights[name][0]
        for i, j in np.ndindex(8, 8):
            wanted = old[name][0][i, j] if max(i, j) < 6 else surgery.bilinear(size) * (i == j)
            assert np.array_equal(kernel[i, j], wanted)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        for mine, theirs in zip(found.weights[name], old[name], strict=True):
            assert np.array_equal(mine[:6], theirs.reshape(mine[:6].shape))
    x = np.random.RandomState(0).standard_normal((1, 3, 61, 75)).astype(np.float32) * 30
    (tmp_path / "8.prototxt").write_text(to_text(net.message))
    surgery.write_weights(tmp_path / "8.caffemodel", found.weights)
    with torch.inference_mode():
        for level in (0, 1):
            before = netcompile.load(*DEMO, level=level)(torch.from_numpy(x))
            after = netcompile.load(tmp_path / "8.prototxt", tmp_path / "8.caffemodel", level=level)(
                torch.from_numpy(x)
            )
            assert after.shape == (1, 8, 61, 75)
            # a product with eight columns may be cut into other blocks than one with six
            torch.testing.assert_close(after[:, :6], before, rtol=0, atol=2e-6)


def test_what_was_learned_in_an_upsampling_layer_stays():
    old = shapes_weights()
    random = np.random.RandomState(0)
    old["upscore2"] = (random.standard_normal((6, 6, 4, 4)).astype(np.float32),)
    old["upscore8"] = (np.zeros((6, 6, 16, 16), np.float32),)
    del old["upscore_pool4"]
    net, _ = surgery.with_classes(surgery.read_net(DEMO[0]), 7)
    found = surgery.expand_classes(net, old)
    assert np.array_equal(found.weights["upscore2"][0][:6, :6], old["upscore2"][0])
    assert not found.weights["upscore2"][0][:6, 6].any()
    for name, size in (("upscore8", 16), ("upscore_pool4", 4)):  # of zeros, and of none at all
        kernel = found.weights[name][0]
        assert all(np.array_equal(kernel[i, j], surgery.bilinear(size) * (i == j)) for i, j in np.ndindex(7, 7))


@pytest.mark.parametrize("grouped", [False, True])
def test_groups_come_and_go(grouped):
    """The old net enlarges each class in a group of its own, the new one does not, and the reverse."""
    plain, groups = grown_text(DEMO[0]), grown_text(DEMO[0]).replace("bias_term: false", "bias_term: false group: 8")
    old = shapes_weights()
    if not grouped:
        for name in ("upscore2", "upscore_pool4", "upscore8"):
            old[name] = (old[name][0][np.arange(6), np.arange(6)][:, None],)
    found = surgery.expand_classes(surgery.parse_net(groups if grouped else plain), old).weights["upscore8"][0]
    assert found.shape == (8, 1 if grouped else 8, 16, 16)
    assert np.array_equal(found, surgery.interp({"u": (found,)}, ["u"])["u"][0])


def test_one_head_of_several(tmp_path):
    net = surgery.read_net("siftflow-fcn16s/test")
    with pytest.raises(NetError) as caught:
        surgery.with_classes(net, 40)
    assert str(caught.value) == (
        "error[surgery]: the net has several heads\n"
        "  why: their score layers are score_fr_sem, score_pool4_sem; score_fr_geo, score_pool4_geo\n"
        "  fix: --layer NAME says which"
    )
    changed, _ = surgery.with_classes(net, 5, "score_pool4_geo")
    assert [head.classes for head in surgery.heads(changed)] == [33, 5]


@pytest.mark.parametrize(("classes", "layer", "what"), [
    (6, "", "the net has 6 classes already (score_fr, score_pool4, score_pool3): 6 are no more"),
    (3, "", "the net has 6 classes already (score_fr, score_pool4, score_pool3): 3 are no more"),
    (8, "conv1_1", "the net has no score layer 'conv1_1'"),
])  # fmt: skip
def test_classes_that_there_cannot_be(classes, layer, what):
    with pytest.raises(NetError) as caught:
        surgery.with_classes(surgery.read_net(DEMO[0]), classes, layer)
    assert [d.what for d in caught.value.diagnostics] == [what]


def test_expand_score_as_a_command_and_a_step_of_training(tmp_path, capsys, monkeypatch):
    """Eight classes instead of six: steps on a picture with a new class in it lower the loss, and its score learns."""
    monkeypatch.chdir(tmp_path)
    given = ("shapes-fcn8s/train.prototxt", "--weights", DEMO[1], "--classes", "8", "-o", "new.caffemodel")
    code, said, err = call(capsys, "expand-score", *given)
    assert (code, err) == (0, "")
    assert said.splitlines()[:4] == [
        "score_fr: 6 old classes, 2 new ones", "score_pool4: 6 old classes, 2 new ones",
        "score_pool3: 6 old classes, 2 new ones", "bilinear: upscore2, upscore_pool4, upscore8",
    ]  # fmt: skip
    assert said.splitlines()[4].startswith("wrote new.caffemodel (")
    assert said.splitlines()[5:] == ["wrote new.prototxt"]
    random = np.random.RandomState(1)
    data = random.standard_normal((1, 1, 3, 40, 40)).astype(np.float32) * 30
    label = np.full((1, 1, 1, 40, 40), 7, np.float32)
    np.savez("batches.npz", data=np.repeat(data, 3, 0), label=np.repeat(label, 3, 0))
    (tmp_path / "solver.prototxt").write_text(
        'net: "new.prototxt" base_lr: 1e-3 lr_policy: "fixed" max_iter: 3 display: 1 momentum: 0 snapshot_prefix: "s"'
    )
    assert entry(["train", "solver.prototxt", "--weights", "new.caffemodel", "--data", "batches.npz", "-o", "run"]) == 0
    losses = json.loads((tmp_path / "run" / "log.json").read_text())["loss"]
    assert losses[2] < losses[1] < losses[0]
    before, after = surgery.read_weights("new.caffemodel"), surgery.read_weights("run/final.safetensors")
    assert all((before[name][1][7] != after[name][1][7]).all() for name in ("score_fr", "score_pool4", "score_pool3"))


def test_expand_score_mistakes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("--weights", DEMO[1], "-o", "x.caffemodel")
    for line, what in (
        ((DEMO[0],), "error[surgery]: no score layer of the net has more classes than in shapes-fcn8s.caffemodel\n"
         "  fix: give a net with more, or --classes N, which writes one\n"),
        ((DEMO[0], "--out-net", "y"), "error[usage]: --out-net needs --classes N: without it NET is the new net\n"),
        ((DEMO[0], "--layer", "no"), "error[surgery]: the old weights have no layer 'no'\n"),
        ((DEMO[0], "--layer", "score_fr:no"), "error[surgery]: the net has no layer 'no' with weights\n"),
        ((DEMO[0], "--classes", "4"), "error[surgery]: the net has 6 classes already (score_fr, score_pool4, "
         "score_pool3): 4 are no more\n"),
    ):  # fmt: skip
        code, _, err = call(capsys, "expand-score", *line, *given)
        assert (code, err) == (2, what)
        assert list(tmp_path.iterdir()) == []
