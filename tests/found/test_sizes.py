"""Inputs whose sizes the analyses could not follow, or were illegal by our own assumption alone.

Right values are real Caffe's, or follow from its CHECKs: a Crop lies inside its bottom, a Slice's points inside its
channels, a blob has at most 32 axes and INT_MAX elements.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from netcompile.analyser import analyse
from netcompile.cli.main import entry
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.report.formatting import net_sizes_text
from netcompile.report.offsets import net_valid, offsets_report
from tests.conftest import REPOSITORY

FOUND = REPOSITORY / "tests" / "found"
NETS = sorted(FOUND.glob("nets/*.prototxt"))
ATTACKS = sorted(FOUND.glob("attacks/*.prototxt"))
COMMANDS = (
    ("check",),
    ("offsets", "--json"),
    ("offsets", "--html"),
    ("offsets", "--explain"),
    ("inspect",),
    ("inspect", "--json"),
    ("build", "-O", "0"),
    ("build", "-O", "1"),
    ("build", "-O", "2"),
)


def load(name: str):
    return analyse(open_source(FOUND / f"{name}.prototxt"))


def net(text: str):
    return analyse(Source(text, "test.prototxt"))


def errors(found) -> list[str]:
    return [f"{p.span.line}: {p.what}" for p in found.problems if p.severity == "error"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("path", [*NETS, *ATTACKS], ids=lambda path: path.stem)
def test_no_internal_error(path, command, capsys, tmp_path):
    extra = ["-o", str(tmp_path / "out")] if command[0] == "build" else []
    begun = time.process_time()
    code = entry([command[0], str(path), *command[1:], *extra])
    out, err = capsys.readouterr()
    assert code in (0, 1, 2), err
    assert time.process_time() - begun < 3  # an answer within a second, and room for a slow machine
    if code == 2:
        assert re.search(r"\d+:\d+: error\[[\w-]+\]: ", err if command[0] != "check" else out + err)


# what nets at the declared size come to -----------------------------------------------------------------------------

AXES = {
    "nets/axes1": (8, 5, "layer 'c' (line 3) asks that H >= W + 1"),
    "nets/axes3": (6, 6, "layer 'e' (line 3) asks that H == W"),
}


@pytest.mark.parametrize("name", AXES)
def test_height_against_width_is_not_proved(name):
    high, wide, why = AXES[name]
    found = load(name).require()
    assert net_valid(found) is None
    assert net_sizes_text(offsets_report(found)) == [
        f"the whole net is legal for {high}×{wide}; other sizes are not proved:",
        f"  {why}",
    ]
    assert [high in found.valid[0], wide in found.valid[1], high + 1 in found.valid[0]] == [True, True, False]
    for level in (0, 1, 2):
        assert "class " in compile_net(found, level).source


def test_crop_beyond_its_bottom_after_a_permute():
    """Width 5 is cut to the permuted blob's width, 8: Caffe's CropLayer checks each cropped axis."""
    assert errors(load("nets/axes2")) == ["3: layer 'c': offset 0 + size 8 > 5"]


@pytest.mark.parametrize(
    ("size", "legal"), [((6, 6), True), ((9, 9), True), ((6, 7), False)], ids=["square", "larger", "oblong"]
)
def test_mixed_axes_at_another_size(size, legal):
    text = (FOUND / "nets/axes3.prototxt").read_text().replace("dim: 6 dim: 6", "dim: {} dim: {}".format(*size))
    assert errors(net(text)) == ([] if legal else ["3: layer 'e': shapes differ"])


REFUSED = {
    "attacks/check_indexerror": ["3: layer 'x': axis 9 of 4"],
    "attacks/dims_33": ["1: input 'data' is a blob of 33 axes, and Caffe takes 32 at most"],
    "attacks/dim_prod": [
        "1: input 'data' is a blob of 65536×65536×65536×65536 elements, and Caffe counts up to 2147483647"
    ],
    "attacks/tile_chain": [
        "3: layer 'a1': top 0 would be a blob of 1000000×3000000×16×16 elements, and Caffe counts up to 2147483647"
    ],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_caffe_does(name):
    assert errors(load(name)) == REFUSED[name]


@pytest.mark.parametrize(("axes", "legal"), [(32, True), (33, False)])
def test_most_axes(axes, legal):
    head = 'layer { name: "in" type: "Input" top: "data" input_param { shape { %s } } }\n' % ("dim: 1 " * axes)
    tail = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    assert bool(errors(net(head + tail))) is not legal


@pytest.mark.parametrize(("extent", "legal"), [(2**31 - 1, True), (2**31, False)])
def test_most_elements(extent, legal):
    text = f'input: "data" input_shape {{ dim: {extent} }} layer {{ name: "r" type: "ReLU" bottom: "data" top: "r" }}'
    assert bool(errors(net(text))) is not legal


def test_weights_beyond_caffes_count():
    text = """
        input: "data" input_shape { dim: 1 dim: 65536 dim: 3 dim: 3 }
        layer { name: "c" type: "Convolution" bottom: "data" top: "c"
          convolution_param { num_output: 65536 kernel_size: 3 } }
    """
    assert errors(net(text)) == [
        "3: layer 'c': its weight would be a blob of 65536×65536×3×3 elements, and Caffe counts up to 2147483647"
    ]


def test_window_larger_than_its_input_before_an_inner_product():
    text = """
        input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }
        layer { name: "c" type: "Convolution" bottom: "data" top: "c"
          convolution_param { num_output: 2 kernel_size: 7 } }
        layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 5 } }
    """
    found = net(text)
    assert errors(found) == ["3: layer 'c': output size is not positive: 1×2×-2×-2"]
    assert offsets_report(found).gaps == ()


def test_analyses_ask_layers_in_one_place_only():
    """No analysis, report or command calls a layer's rules itself, where an exception could be forgotten."""
    calls = re.compile(
        r"\.layer\.(shapes|conditions|coords|reach|blobs|macs|wants)\(|except .*(SizeTooComplex|NeedsNumber)"
    )
    found = []
    for folder in ("analysis", "report", "cli"):
        for path in sorted((REPOSITORY / "netcompile" / folder).rglob("*.py")):
            if path.name == "follow.py":
                continue
            lines = path.read_text(encoding="utf-8").split("\n")
            found += [f"{folder}/{path.name}: {line.strip()}" for line in lines if calls.search(line)]
    # numbers alone go in there, and what it raises is reported at its place
    assert [line for line in found if not line.startswith("analysis/shapes.py")] == []


# assumed shapes ------------------------------------------------------------------------------------------------------

FEED = 'layer { name: "src" type: "Python" top: "data" top: "other" python_param { module: "m" layer: "L" } }\n'
ONE = 'layer { name: "src" type: "Python" top: "data" python_param { module: "m" layer: "L" } }\n'
ASSUMED = {
    "usual": (
        ONE + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }',
        {"data": (1, 3, 500, 500)},
    ),
    "regions": (
        FEED + 'layer { name: "p" type: "ROIPooling" bottom: "data" bottom: "other" top: "p" '
        "roi_pooling_param { pooled_w: 2 pooled_h: 2 } }",
        {"data": (1, 3, 500, 500), "other": (1, 5)},
    ),
    "slice of an image": (
        ONE + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 3 } }',
        {"data": (1, 4, 500, 500)},
    ),
    "slice into equal parts": (
        ONE + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" }',
        {"data": (1, 2, 500, 500)},
    ),
    "slices that are multiplied": (
        ONE + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 19 } }\n'
        'layer { name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "e" }',
        {"data": (1, 38, 500, 500)},
    ),
    "partner of a smaller plane": (
        FEED + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 7 kernel_size: 8 stride: 8 } }\n"
        'layer { name: "e" type: "Eltwise" bottom: "c" bottom: "other" top: "e" }',
        {"data": (1, 3, 500, 500), "other": (1, 7, 62, 62)},
    ),
    "grouped": (
        ONE + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 8 kernel_size: 1 group: 4 } }",
        {"data": (1, 4, 500, 500)},
    ),
    "shared weights": (
        FEED + 'layer { name: "a" type: "Convolution" bottom: "data" top: "a" param { name: "w" } '
        "convolution_param { num_output: 8 kernel_size: 1 bias_term: false } }\n"
        'layer { name: "b" type: "Convolution" bottom: "other" top: "b" param { name: "w" } '
        "convolution_param { num_output: 8 kernel_size: 1 bias_term: false } }",
        {"data": (1, 3, 500, 500), "other": (1, 3, 500, 500)},
    ),
    "autoencoder": (
        ONE + 'layer { name: "f" type: "Flatten" bottom: "data" top: "f" }\n'
        'layer { name: "i" type: "InnerProduct" bottom: "data" top: "i" inner_product_param { num_output: 784 } }\n'
        'layer { name: "e" type: "Eltwise" bottom: "i" bottom: "f" top: "e" }',
        {"data": (1, 1, 28, 28)},
    ),
    "video": (
        ONE + 'layer { name: "c" type: "Convolution3D" bottom: "data" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 3 kernel_depth: 3 } }",
        {"data": (1, 3, 16, 112, 112)},
    ),
    "sequences": (
        FEED + 'layer { name: "l" type: "LSTM" bottom: "data" bottom: "other" top: "l" '
        "recurrent_param { num_output: 4 } }",
        {"data": (1, 3, 500, 500), "other": (1, 3)},
    ),
    "fixed images": (
        ONE + 'layer { name: "i" type: "InnerProduct" bottom: "data" top: "i" inner_product_param { num_output: 6 } }\n'
        'layer { name: "r" type: "Reshape" bottom: "i" top: "r" '
        "reshape_param { shape { dim: 4 dim: 2 dim: 6 } } }",
        {"data": (8, 3, 500, 500)},
    ),
}


@pytest.mark.parametrize("name", ASSUMED)
def test_a_legal_shape_is_assumed(name):
    text, shapes = ASSUMED[name]
    found = net(text)
    assert errors(found) == []
    assert {entry.value.blob: entry.shape for entry in found.graph.inputs} == shapes
    assert sum(note.code == "assumed-shape" for note in found.notes) == len(shapes)


LABELS = {
    "of an item": ('type: "InnerProduct" inner_product_param { num_output: 10 }', (1,)),
    "of pixels": ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 stride: 2 }', (1, 1, 249, 249)),
}


@pytest.mark.parametrize("loss", ["SoftmaxWithLoss", "Accuracy"])
@pytest.mark.parametrize("name", LABELS)
def test_labels(name, loss):
    from netcompile.ir.build import Options

    layer, shape = LABELS[name]
    text = FEED + f'layer {{ name: "i" {layer} bottom: "data" top: "i" }}\n'
    text += f'layer {{ name: "l" type: "{loss}" bottom: "i" bottom: "other" top: "l" }}'
    found = analyse(Source(text, "test.prototxt"), Options(with_loss=True))
    assert errors(found) == []
    assert [entry.shape for entry in found.graph.inputs] == [(1, 3, 500, 500), shape]


def test_found_files_with_data_layers():
    shapes = {}
    for name in ("nets/assumed-size-breaks-join", "nets/rois-from-data-layer"):
        found = load(name)
        assert errors(found) == []
        shapes |= {f"{name}/{entry.value.blob}": entry.shape for entry in found.graph.inputs}
    assert shapes == {
        "nets/assumed-size-breaks-join/data": (1, 3, 224, 224),
        "nets/rois-from-data-layer/data": (1, 3, 500, 500),
        "nets/rois-from-data-layer/rois": (1, 5),
    }


def test_upsampling_to_fixed_numbers_gives_the_size():
    """As in SegNet, 23 × 30 pixels meet a mask of ⌈H/16⌉ × ⌈W/16⌉: images are no square."""
    text = ONE + "".join(
        f'layer {{ name: "p{i}" type: "Pooling" bottom: "{b}" top: "p{i}" top: "m{i}" '
        "pooling_param { kernel_size: 2 stride: 2 } }\n"
        for i, b in enumerate(["data", "p0", "p1", "p2", "p3"])
    )
    text += 'layer { name: "u" type: "Upsample" bottom: "p4" bottom: "m4" top: "u" '
    text += "upsample_param { scale: 2 upsample_h: 23 upsample_w: 30 } }\n"
    text += 'layer { name: "v" type: "Upsample" bottom: "u" bottom: "m3" top: "v" '
    text += "upsample_param { scale: 2 upsample_h: 45 upsample_w: 60 } }"
    found = net(text)
    assert errors(found) == []
    (entry,) = found.graph.inputs
    assert 353 <= entry.shape[2] <= 368
    assert 465 <= entry.shape[3] <= 480


def test_an_error_tells_that_a_shape_is_assumed():
    """No channels make 4 and 1 equal, so the layer is at fault; but the shape is not the file's."""
    found = load("nets/internal-error-valid-sizes")
    first = found.problems[0]
    assert first.what == "layer 'm1': shapes differ"
    assert first.why.endswith("the file does not say the shape of 'label' (1×8×500×500): it is assumed")
    assert first.remedy == "--input label=1x8xHxW with the right numbers"


def test_a_given_shape_is_not_assumed_anew():
    from netcompile.ir.build import Options

    text, _ = ASSUMED["slice of an image"]
    found = analyse(Source(text, "test.prototxt"), Options(shapes={"data": (1, 3, 8, 8)}))
    assert errors(found) == ["2: layer 's': slice_point 3 is not less than 3"]
    assert "assumed" not in found.problems[0].why


# products of extents --------------------------------------------------------------------------------------------------

HEAD = """
    layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {n} dim: {n} }} }} }}
    layer {{ name: "a" type: "Convolution" bottom: "data" top: "a"
      convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 8 }} }}
    layer {{ name: "b" type: "Pooling" bottom: "a" top: "b" pooling_param {{ kernel_size: 3 stride: 2 }} }}
"""
BRANCH = """
    layer {{ name: "{x}_{w}" type: "Convolution" bottom: "{x}" top: "{x}_{w}"
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 }} }}
    layer {{ name: "{x}_{w}_p" type: "Permute" bottom: "{x}_{w}" top: "{x}_{w}_p"
      permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
    layer {{ name: "{x}_{w}_f" type: "Flatten" bottom: "{x}_{w}_p" top: "{x}_{w}_f" flatten_param {{ axis: 1 }} }}
"""
PRIORS = """
    layer {{ name: "{x}_prior" type: "PriorBox" bottom: "{x}" bottom: "data" top: "{x}_prior"
      prior_box_param {{ min_size: 20 variance: 0.1 }} }}
"""
JOIN = """
    layer { name: "loc" type: "Concat" bottom: "a_loc_f" bottom: "b_loc_f" top: "loc" }
    layer { name: "conf" type: "Concat" bottom: "a_conf_f" bottom: "b_conf_f" top: "conf" }
    layer { name: "prior" type: "Concat" bottom: "a_prior" bottom: "b_prior" top: "prior" concat_param { axis: 2 } }
    layer { name: "r" type: "Reshape" bottom: "conf" top: "r" reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
    layer { name: "s" type: "Softmax" bottom: "r" top: "s" softmax_param { axis: 2 } }
    layer { name: "f" type: "Flatten" bottom: "s" top: "f" flatten_param { axis: 1 } }
    layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "f" bottom: "prior" top: "out"
      detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.4 } } }
"""


def ssd(n: int, outputs: int = 4) -> str:
    parts = [HEAD.format(n=n)]
    for x in "ab":
        parts += [BRANCH.format(x=x, w="loc", outputs=outputs), BRANCH.format(x=x, w="conf", outputs=3)]
        parts.append(PRIORS.format(x=x))
    return "".join(parts) + JOIN


@pytest.mark.parametrize("n", [300, 320, 512])
def test_ssd_is_legal_for_every_size_that_its_layers_allow(n):
    found = net(ssd(n))
    assert errors(found) == []
    report = offsets_report(found)
    assert net_sizes_text(report) == ["the whole net is legal for every H, W >= 9"]  # the pooling needs two pixels
    assert report.proof.ties == ()
    shapes = {blob.name: blob.symbolic for blob in report.blobs}
    assert str(shapes["a_loc_f"][1]) == "4·⌈H/8⌉·⌈W/8⌉"
    assert shapes["r"][1] * 3 == shapes["conf"][1]


def test_ssd_whose_heads_do_not_fit_is_refused():
    assert errors(net(ssd(64, outputs=8))) == ["43: layer 'out': 640 numbers for each image, not 320"]


def test_reports_agree_on_an_ssd(capsys, tmp_path):
    path = tmp_path / "ssd.prototxt"
    path.write_text(ssd(300))
    assert entry(["offsets", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [these["text"] for these in found["valid"]] == ["every H >= 9", "every W >= 9"]
    assert (found["unproved"], found["ties"]) == ([], [])
    assert entry(["offsets", str(path), "--html"]) == 0
    assert "<b>every H, W &gt;= 9</b>" in capsys.readouterr().out


def test_reports_agree_where_sizes_are_not_proved(capsys):
    path = str(FOUND / "nets" / "axes3.prototxt")
    assert entry(["offsets", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is None
    assert found["unproved"] == [{"layer": "e", "line": 3, "why": "asks that H == W"}]
    assert entry(["offsets", path, "--html"]) == 0
    page = capsys.readouterr().out
    assert "<b>6×6; other sizes are not proved</b>" in page
    assert "Not proved for all sizes: layer e (line 3) asks that H == W." in page


BINDING = {
    "InnerProduct": 'layer { name: "x" type: "InnerProduct" bottom: "b" top: "x" '
    "inner_product_param { num_output: 2 } }",
    "flattened": 'layer { name: "f" type: "Flatten" bottom: "b" top: "f" }\n'
    'layer { name: "x" type: "InnerProduct" bottom: "f" top: "x" inner_product_param { num_output: 2 } }',
    "fixed Reshape": 'layer { name: "x" type: "Reshape" bottom: "b" top: "x" '
    "reshape_param { shape { dim: 4 dim: 2 dim: 2 } } }",
}


@pytest.mark.parametrize("name", BINDING)
def test_what_binds_a_size_still_does(name):
    found = net(HEAD.format(n=32) + BINDING[name])
    assert errors(found) == []
    report = offsets_report(found)
    assert [tie.node.name for tie in report.proof.ties] == ["x"]
    assert report.gaps == ()
    assert 300 not in report.valid[0]
    assert 32 in report.valid[0]


def test_a_pyramid_before_an_inner_product_binds_nothing_that_is_known():
    """SPP makes as many numbers of every plane; it is not followed, and the weights behind it are not blamed."""
    text = (
        HEAD.format(n=64)
        + """
        layer { name: "s" type: "SPP" bottom: "a" top: "s" spp_param { pyramid_height: 2 pool: MAX } }
        layer { name: "x" type: "InnerProduct" bottom: "s" top: "x" inner_product_param { num_output: 2 } }
    """
    )
    found = net(text)
    assert errors(found) == []
    report = offsets_report(found)
    assert report.proof.ties == ()


# crops between two pixels -------------------------------------------------------------------------------------------


def test_a_crop_between_pixels_names_what_caffe_does(capsys, tmp_path):
    path = str(FOUND / "nets" / "crop-undeclared-even-deconv.prototxt")
    assert entry(["check", path]) == 1
    assert "fix: --crop-offsets declared takes what the file says, 0 where it says nothing, as Caffe does" in (
        capsys.readouterr().err
    )
    assert entry(["build", path, "--crop-offsets", "declared", "-o", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "offsets.json").read_text())
    assert found["crops"][0]["used"] == [0, 0]


def test_an_undeclared_crop_of_a_whole_offset_is_aligned(capsys):
    path = str(FOUND / "nets" / "crop-undeclared-whole-offset.prototxt")
    assert entry(["offsets", path, "--json"]) == 0
    (crop,) = json.loads(capsys.readouterr().out)["crops"]
    assert (crop["status"], crop["inferred"], crop["used"]) == ("inferred", ["2", "2"], [2, 2])
