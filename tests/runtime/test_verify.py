"""`verify`: what Caffe dumped agrees, what was changed is found where it begins."""

from __future__ import annotations

import re
from io import BytesIO, TextIOWrapper

import numpy as np
import pytest

from netcompile.runtime.blobs import Activations, Place, with_variables
from netcompile.runtime.verify import Verification, compare, verify
from netcompile.runtime.verify_report import heat
from tests.conftest import CASES, CONFORMANCE

BY_NAME = {case.name: case for case in CASES}


def call_of(name):
    case = BY_NAME[name]
    weights = ("--weights", case.weights) if case.weights else ()
    return case, (case.net, *weights, "--phase", case.phase.lower())


@pytest.mark.parametrize("name", ["v1-net", "inplace-chain", "conv-group", "batchnorm-test", "eltwise-max"])
def test_caffes_dumps_agree(netcompile, name):
    case, net = call_of(name)
    reference = case.folder / "expected.npz"
    done = netcompile("verify", *net, "--reference", reference, "--inputs", case.folder / "inputs.npz", "--json")
    assert done.code == 0, done.out + done.err
    assert (done.json["same"], done.json["first"], done.json["unknown"]) == (True, None, [])
    assert len(done.json["blobs"]) == len(case.arrays("expected"))
    assert max(blob["relative"] for blob in done.json["blobs"]) < 1e-5


def test_the_first_layer_that_differs_is_named(netcompile, tmp_path):
    """Every blob from `p` on is off; the inputs are taken from the reference itself."""
    case, net = call_of("v1-net")
    arrays = case.arrays("expected")
    for key in arrays:
        if key.rpartition(":")[2] in ("p", "f", "s"):
            arrays[key] = arrays[key] + 0.25
    arrays["blob:f"][0, 3] = np.nan
    np.savez(tmp_path / "ref.npz", **arrays, stranger=np.zeros(3))
    done = netcompile("verify", *net, "--reference", tmp_path / "ref.npz", "--html", tmp_path / "page.html")
    assert done.code == 1
    last = done.out.splitlines()[-1]
    assert re.fullmatch(
        r"6 of 11 blobs differ; the first is 'top:p:p' of layer 'p' \(Pooling, line \d+\): relative .*", last
    )
    assert "1 array of" in done.err
    assert "is no blob of the net: stranger" in done.err
    found = {
        b["blob"]: b for b in netcompile("verify", *net, "--reference", tmp_path / "ref.npz", "--json").json["blobs"]
    }
    assert found["p"]["max"] == pytest.approx(0.25, abs=1e-5)
    assert (found["f"]["max"], found["f"]["worst"]) == (None, [0, 3])
    assert found["f"]["why"].endswith("where the reference is nan, at (0, 3)")
    page = (tmp_path / "page.html").read_text()
    assert "✗ different" in page
    assert 'alt="where p differs"' in page
    assert not re.search(r"""(?:src|href)="(?!data:image/)|style="|<script""", page)


def test_names_as_other_tools_write_them(netcompile, tmp_path):
    """ONNX and TensorFlow exporters change names to identifiers; batches of 1 are often dropped."""
    case, net = call_of("v1-net")
    arrays = case.arrays("expected")
    plain = {key.removeprefix("blob:"): array for key, array in arrays.items() if key.startswith("blob:")}
    plain["c"] = plain["c"][0]
    np.savez(tmp_path / "ref.npz", **plain)
    done = netcompile("verify", *net, "--reference", tmp_path / "ref.npz")
    assert done.code == 0, done.out
    assert "all 5 blobs agree" in done.out


@pytest.mark.parametrize("level", [0, 1, 2])
def test_builds_are_compared_by_their_variables(netcompile, tmp_path, level):
    case, net = call_of("v1-net")
    netcompile("build", case.net, "--weights", case.weights, "-o", tmp_path / "b", f"-O{level}")
    done = netcompile("verify", tmp_path / "b", "--reference", case.folder / "expected.npz", "--json")
    assert done.code == 0, done.out + done.err
    assert {"data", "s"} <= {blob["blob"] for blob in done.json["blobs"]}
    netcompile("build", case.net, "--weights", case.weights, "-o", tmp_path / "other", "-O0")
    inputs = ("--inputs", case.folder / "inputs.npz")
    assert netcompile("verify", tmp_path / "b", "--reference", tmp_path / "other", *inputs).code == 0
    assert netcompile("verify", *net, "--reference", tmp_path / "other", *inputs).code == 0


@pytest.mark.parametrize("name", ["v1-net", "bn-scale-inplace", "fcn32s-narrow"])
def test_the_levels_of_optimisation_agree(netcompile, name):
    case, net = call_of(name)
    for weights in (net[1:3], ()):
        done = netcompile("verify", case.net, *weights, "--phase", case.phase.lower(), "--self", "--json")
        assert done.code == 0, done.out + done.err
        assert [level["reference"] for level in done.json["levels"]] == ["-O1 against -O0", "-O2 against -O0"]
        for level in done.json["levels"]:
            assert set(case.outputs) <= {blob["blob"] for blob in level["blobs"]}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "error[usage]: give --reference REF, or --self"),
        (("--self", "--reference", "x"), "error[usage]: give --reference REF, or --self"),
        (("--reference", "x.npz"), "error[no-such-file]: there is no file 'x.npz'"),
        (("--self", "--tolerance", "nan"), "error[usage]: --tolerance nan is no tolerance"),
        (("--reference", "strange.npz"), "error[missing-input]: there is no array for input 'data'"),
        (
            ("--reference", "strange.npz", "--inputs", "inputs.npz"),
            "error[reference]: the net has none of the blobs of",
        ),
        (("--self", "--tolerance", "inf"), "error[usage]: --tolerance inf is no tolerance"),
        (
            ("--reference", "fed.npz"),
            "error[reference]: nothing that the net computes can be compared with fed.npz\n"
            "  why: data is fed to the net, not computed\n"
            "  fix: a reference with the net's outputs, or with all its blobs",
        ),
        (
            ("--reference", "mixed.npz"),
            "  why: data is fed to the net, not computed; the net has no blob other, strange\n",
        ),
    ],
)
def test_refusals(netcompile, tmp_path, monkeypatch, arguments, what):
    case, net = call_of("v1-net")
    monkeypatch.chdir(tmp_path)
    np.savez("strange.npz", a=np.zeros(2))
    np.savez("inputs.npz", **case.arrays("inputs"))
    np.savez("fed.npz", **case.arrays("inputs"))
    np.savez("mixed.npz", other=np.zeros(3), strange=np.zeros(()), **case.arrays("inputs"))
    done = netcompile("verify", *net, *arguments)
    assert (done.code, what in done.err) == (2, True), done.err


def test_a_net_from_standard_input_is_read_once(netcompile, monkeypatch):
    net = b"""
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
    layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
    """
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(net)))
    done = netcompile("verify", "-", "--self")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("name", ["softmaxloss-default", "infogain", "accuracy"])
def test_drawn_labels_are_classes(netcompile, name):
    done = netcompile("verify", CONFORMANCE / name / "net.prototxt", "--self", "--with-loss")
    assert done.code == 0, done.err


def test_drawn_indices_of_nothing_are_told(netcompile):
    done = netcompile("verify", CONFORMANCE / "batch-reindex" / "net.prototxt", "--self")
    assert done.code == 2
    assert "error[label-range]" in done.err


def test_a_seed_is_a_number_of_32_bits(netcompile):
    done = netcompile("verify", CONFORMANCE / "accuracy" / "net.prototxt", "--self", "--seed", "-1")
    assert done.code == 2
    assert "'-1' is no number from 0 to 4294967295" in done.err


# --- the comparison itself

PLACE = Place(0, "l", "T")


@pytest.mark.parametrize(
    ("a", "b", "error", "relative", "same"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, 0, True),
        ([1.0, 2.5], [1.0, 2.0], 0.5, 0.25, False),
        ([0.0], [0.0], 0, 0, True),
        ([1e-30], [0.0], 1e-30, np.inf, False),
        ([np.nan, 1.0], [np.nan, 1.0], 0, 0, True),
        ([np.inf, 1.0], [np.inf, 2.0], 1, 0.5, False),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf, np.inf, False),
        ([np.nan, 1.0], [0.0, 1.0], np.inf, np.inf, False),
        ([np.nan, np.nan], [np.nan, np.nan], np.inf, np.inf, False),
        ([np.inf, np.inf], [np.inf, np.inf], 0, 0, True),
        ([], [], 0, 0, True),
    ],
)
def test_errors(a, b, error, relative, same):
    found = compare("x", PLACE, np.array(a), np.array(b), 1e-4)
    assert (found.error, found.relative, found.same) == (error, relative, same)


@pytest.mark.parametrize(
    ("entries", "proves"),
    [
        ([(-1, [1.0], [1.0])], False),  # an input
        ([(0, [], [])], False),
        ([(-1, [1.0], [1.0]), (0, [], [])], False),
        ([(-1, [1.0], [1.0]), (0, [1.0, np.nan], [1.0, np.nan])], True),
        ([(0, [0.0], [0.0])], True),
        ([(0, [np.nan], [np.nan])], True),  # it is a finding
        ([(0, [], [1.0])], True),  # so is this
    ],
)
def test_what_a_comparison_proves(entries, proves):
    found = [compare("x", Place(p, "l", "T"), np.array(a), np.array(b), 1e-4) for p, a, b in entries]
    assert Verification(tuple(found), (), (), 1e-4).proves is proves


POWER = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 4] } } }
layer { name: "root" type: "Power" bottom: "data" top: "root" power_param { power: 0.5 } }
layer { name: "more" type: "Power" bottom: "root" top: "more" power_param { shift: 1 } }
"""


@pytest.mark.parametrize(("values", "code", "said"), [
    ([4, 9, 16, 25], 0, ""),
    ([4, -9, 16, -25], 0, "'root' (2 of 4), 'more' (2 of 4)"),
    ([-4, -9, -16, -25], 1, "'root' (4 of 4), 'more' (4 of 4)"),
])  # fmt: skip
def test_nan_on_both_sides_is_said(netcompile, tmp_path, monkeypatch, values, code, said):
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "net.prototxt").write_text(POWER)
    data = np.array([values], np.float32)
    with np.errstate(invalid="ignore"):
        np.savez(tmp_path / "ref.npz", data=data, root=data**0.5, more=data**0.5 + 1)
    done = netcompile("verify", tmp_path / "net.prototxt", "--reference", tmp_path / "ref.npz")
    assert done.code == code, done.out + done.err
    assert ("warning[verify-nan]" in done.err) == bool(said)
    assert said in done.err
    if code:
        assert "every number is NaN on both sides: nothing could be compared" in done.out
    elif said:
        assert "all 3 blobs agree within 0.0001; the largest relative error is 0; 4 numbers are NaN" in done.out
        assert "ok, but 2 of 4 are NaN on both sides" in done.out


def test_blobs_that_a_reference_lacks_are_named(netcompile, tmp_path):
    (tmp_path / "net.prototxt").write_text(POWER)
    data = np.array([[1, 4, 9, 16]], np.float32)
    np.savez(tmp_path / "ref.npz", data=data, root=data**0.5)
    done = netcompile("verify", tmp_path / "net.prototxt", "--reference", tmp_path / "ref.npz")
    assert (done.code, "1 blob of the net is not compared, the reference lacks more" in done.err) == (0, True)


def test_a_blob_twice_is_compared_twice(netcompile, tmp_path):
    (tmp_path / "net.prototxt").write_text(POWER)
    data = np.array([[1, 4, 9, 16]], np.float32)
    np.savez(tmp_path / "ref.npz", **{"data": data, "root": data**0.5, "blob:root": data})
    done = netcompile("verify", tmp_path / "net.prototxt", "--reference", tmp_path / "ref.npz")
    assert (done.code, "1 of 3 blobs differ; the first is 'root'" in done.out) == (1, True), done.out


def test_builds_without_a_common_computed_blob(netcompile, tmp_path):
    (tmp_path / "a.prototxt").write_text(POWER)
    (tmp_path / "b.prototxt").write_text(POWER.replace("root", "other").replace("more", "less"))
    for name in "ab":
        netcompile("build", tmp_path / f"{name}.prototxt", "-o", tmp_path / name)
    np.savez(tmp_path / "in.npz", data=np.ones((1, 4), np.float32))
    inputs = ("--inputs", tmp_path / "in.npz")
    done = netcompile("verify", tmp_path / "a", "--reference", tmp_path / "b", *inputs)
    assert (done.code, "nothing that the net computes can be compared" in done.err) == (2, True), done.out + done.err


def test_shapes_that_differ():
    found = compare("x", PLACE, np.zeros((1, 2, 3)), np.zeros((3, 2)), 1e-4)
    assert (found.same, found.why) == (False, "its shape is 1×2×3, the reference's 3×2")
    assert compare("x", PLACE, np.zeros((1, 2, 1, 3)), np.zeros((2, 3)), 1e-4).same


def test_names_that_two_blobs_could_have_are_not_guessed():
    blobs = Activations(
        {"a/b": np.zeros(1), "a-b": np.ones(1), "c/d": np.ones(1)}, dict.fromkeys(["a/b", "a-b", "c/d"], PLACE)
    )
    found = verify(blobs, {"a_b": np.zeros(1), "c_d": np.ones(1)})
    assert [entry.key for entry in found.compared] == ["c/d"]
    assert found.unknown == ("a_b",)


def test_variables_of_a_module():
    lines = [
        "class N:",
        "    def forward(self, x):",
        "        y = x + 1",
        "        y = y * 2",
        "        z, w = y, x",
        "        return z",
    ]
    source = "\n".join(lines)
    changed, order = with_variables(source, "N")
    namespace = {}
    exec(changed, namespace)
    found = namespace["N"]().forward(3)
    assert {name: found[name] for name in "xyzw"} == {"x": 3, "y": 8, "z": 8, "w": 3}
    assert order == {"y": 1, "z": 2, "w": 2}


def test_heat_maps_go_from_black_to_white():
    plane = np.array([[0.0, 1 / 3, 2 / 3, 1.0]])
    assert heat(plane)[0].tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255]]


CUT = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 16, 16] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 6 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
  convolution_param { num_output: 3 kernel_size: 4 stride: 2 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "score" crop_param { axis: 2 offset: 4 } }
"""


def test_windows_without_a_fused_layer_run_and_are_not_taken_for_their_blobs(netcompile, tmp_path):
    """The windows' extents come from the image's; a window of a blob is no blob that differs."""
    (tmp_path / "net.prototxt").write_text(CUT)
    done = netcompile("verify", tmp_path / "net.prototxt", "--self")
    assert done.code == 0, done.out + done.err
