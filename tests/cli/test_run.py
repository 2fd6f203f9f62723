"""`run`: blob for blob as Caffe, real shapes and labels from the inputs file, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import CONFORMANCE

CASE = CONFORMANCE / "conv-basic"
FCN = CONFORMANCE / "fcn8s-narrow"
LABELLED = """\
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
layer { name: "side" type: "Python" top: "label" python_param { module: "m" layer: "L" } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
layer { name: "loss" type: "EuclideanLoss" bottom: "relu" bottom: "label" top: "loss" }
"""


@pytest.mark.parametrize("level", [0, 1, 2])
def test_all_blobs_are_caffes(netcompile, tmp_path, level):
    out = tmp_path / "out.npz"
    weights = ["--weights", FCN / "weights.caffemodel", "-O", level]
    inputs = ["--inputs", FCN / "inputs.npz", "--out", out, "--blobs", "all"]
    result = netcompile("run", FCN / "net.prototxt", *weights, *inputs)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    with np.load(out) as found, np.load(FCN / "expected.npz") as expected:
        names = [key.removeprefix("blob:") for key in expected.files if key.startswith("blob:")]
        assert found.files == names
        assert lines[0].startswith(f"wrote {out} ({len(names)} arrays, ")
        shapes = {name: "×".join(map(str, found[name].shape)) for name in names}
        assert lines[1:] == [f"  {name}: {shapes[name]}, float32" for name in names]
        for name in names:
            want = expected[f"blob:{name}"]
            assert found[name].shape == want.shape
            assert np.abs(found[name] - want).max() <= 1e-5 * np.abs(want).max()


def test_default_is_the_outputs_and_files_are_equal(netcompile, tmp_path):
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for out in paths:
        weights = ("--weights", CASE / "weights.caffemodel")
        assert (
            netcompile("run", CASE / "net.prototxt", *weights, "--inputs", CASE / "inputs.npz", "--out", out).code == 0
        )
    with np.load(paths[0]) as found:
        assert found.files == ["out"]
        assert found["out"].dtype == np.float32
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_float64(netcompile, tmp_path):
    out = tmp_path / "a.npz"
    options = ["--weights", CASE / "weights.caffemodel", "--inputs", CASE / "inputs.npz", "--dtype", "float64"]
    assert netcompile("run", CASE / "net.prototxt", *options, "--out", out).code == 0
    with np.load(out) as found:
        assert found["out"].dtype == np.float64


def relu(folder, **arrays):
    path = folder / "in.npz"
    np.savez(path, **arrays)
    net = folder / "net.prototxt"
    net.write_text(LABELLED)
    return ["run", net, "--inputs", path, "--out", folder / "out.npz"]


def test_labels_in_the_file_keep_the_loss(netcompile, tmp_path):
    data = np.arange(18, dtype=np.float64).reshape(1, 2, 3, 3)
    assert netcompile(*relu(tmp_path, data=data)).code == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == ["relu"]
    assert netcompile(*relu(tmp_path, data=data, label=np.zeros((1, 2, 3, 3)))).code == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == ["loss"]
        assert found["loss"] == pytest.approx((data**2).sum() / 2)


def test_the_real_shape_counts(netcompile, tmp_path):
    assert netcompile(*relu(tmp_path, data=np.ones((2, 5, 7, 4), np.int64))).code == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found["relu"].shape == (2, 5, 7, 4)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({}, [], "error[missing-input]: the inputs file has no array 'data'"),
        ({"data": np.zeros((3, 3))}, [], "error[input-shape]: input 'data' has 2 axes in {in}, 4 in the net"),
        ({"data": np.zeros((1, 2, 0, 3))}, [], "error[input-shape]: input 'data' is empty: 1×2×0×3 in {in}"),
        ({"data": np.array(["x"])}, [], "error[inputs-file]: array 'data' of {in} cannot be read"),
        ({"data": np.zeros((1, 2, 3, 3)) + 1j}, [], "error[inputs-file]: array 'data' of {in} cannot be read"),
        ({"data": np.array([{}])}, [], "error[inputs-file]: array 'data' of {in} cannot be read"),
        (
            {"data": np.zeros((1, 2, 3, 3))},
            ["--blobs", "rely"],
            "error[unknown-blob]: the net has no blob 'rely'",
        ),
        (
            {"data": np.zeros((1, 2, 3, 3)), "label": np.zeros((1, 2, 3, 4))},
            [],
            "error[shape]: layer 'loss': ",
        ),
    ],
)
def test_inputs_that_do_not_fit(netcompile, tmp_path, arrays, options, message):
    result = netcompile(*relu(tmp_path, **arrays), *options)
    assert result.code == 2
    assert message.replace("{in}", str(tmp_path / "in.npz")) in result.err
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(("shape", "what", "why", "fix"), [
    ((1, 5, 4, 2), "input 'data' is 1×5×4×2 in {in}: its axes are in another order than the net's",
     "the net takes 1×2×3×3: this looks like N×H×W×C", "save it as x.transpose(0, 3, 1, 2), with NumPy"),
    ((4, 5, 2, 1), "input 'data' is 4×5×2×1 in {in}: its axes are in another order than the net's",
     "the net takes 1×2×3×3: this looks like W×H×C×N, as MATLAB has it",
     "save it as x.transpose(3, 2, 1, 0), with NumPy"),
    ((2, 5, 4), "input 'data' has 3 axes in {in}, 4 in the net",
     "2×5×4 against 1×2×3×3: this looks like C×H×W, without the axis of the batch", "save it as x[None], with NumPy"),
    ((5, 4, 2), "input 'data' has 3 axes in {in}, 4 in the net",
     "5×4×2 against 1×2×3×3: this looks like H×W×C, without the axis of the batch",
     "save it as x.transpose(2, 0, 1)[None], with NumPy"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["run", "verify"])
def test_axes_in_another_order(netcompile, tmp_path, command, shape, what, why, fix):
    arguments = relu(tmp_path, data=np.zeros(shape))
    path = str(tmp_path / "in.npz")
    if command == "verify":
        arguments = ["verify", arguments[1], "--reference", path]
    result = netcompile(*arguments)
    assert (result.code, result.out) == (2, "")
    assert f"error[input-shape]: {what.replace('{in}', path)}\n" in result.err
    assert result.err.endswith(f"  why: {why}\n  fix: {fix}\n")
    # What the advice says is taken.
    if command == "run":
        change = fix.removeprefix("save it as ").removesuffix(", with NumPy")
        np.savez(path, data=eval(change, {"x": np.zeros(shape)}))
        assert netcompile(*arguments).code == 0


def test_what_is_no_number(netcompile, tmp_path):
    result = netcompile(*relu(tmp_path, data=np.zeros((1, 2, 3, 3)) + 1j))
    assert result.err.endswith(
        "  why: <c16 is no type of real numbers\n  fix: save it as numbers: x.astype(numpy.float32)\n"
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00", b"not a zip", b"\x80\x04K\x01."])
def test_inputs_that_are_no_npz(netcompile, tmp_path, content):
    arguments = relu(tmp_path, data=np.zeros(1))
    (tmp_path / "in.npz").write_bytes(content)
    result = netcompile(*arguments)
    assert result.code == 2
    assert f"error[inputs-file]: {tmp_path}/in.npz is no .npz file of arrays" in result.err


def test_one_array_without_a_name(netcompile, tmp_path):
    arguments = relu(tmp_path, data=np.zeros(1))
    with open(tmp_path / "in.npz", "wb") as file:
        np.save(file, np.zeros((1, 2, 3, 3)))
    result = netcompile(*arguments)
    assert result.code == 2
    assert "  why: it holds one array without a name (.npy)\n" in result.err


def test_an_array_that_is_no_input_is_a_warning(netcompile, tmp_path):
    result = netcompile(*relu(tmp_path, data=np.zeros((1, 2, 3, 3)), lable=np.zeros(1)))
    assert result.code == 0
    assert f"warning[unused-array]: array 'lable' of {tmp_path}/in.npz is no input of the net" in result.err


def test_weights_are_asked_for(netcompile, tmp_path):
    arguments = ["--inputs", CASE / "inputs.npz", "--out", tmp_path / "o.npz"]
    result = netcompile("run", CASE / "net.prototxt", *arguments)
    assert result.code == 2
    assert "error[weights-needed]" in result.err


def test_a_blob_called_file_or_with_commas(netcompile, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "i" type: "Input" top: "file" input_param { shape { dim: 2 } } }\n'
        'layer { name: "r" type: "ReLU" bottom: "file" top: "a,b" }\n'
    )
    np.savez(tmp_path / "in.npz", **{"x": np.zeros(1)})
    from netcompile.files.npz import write_npz

    with open(tmp_path / "in.npz", "wb") as file:
        write_npz(file, {"file": np.array([-1, 2], np.float32)})
    arguments = ["run", net, "--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz"]
    assert netcompile(*arguments, "--blobs", "a,b", "--blobs", "file").code == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == ["a,b", "file"]
        assert found["a,b"].tolist() == [0, 2]


def test_a_failed_write_leaves_the_old_file(netcompile, tmp_path, monkeypatch):
    data = np.ones((1, 2, 3, 3))
    out = tmp_path / "out.npz"
    out.write_bytes(b"old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    result = netcompile(*relu_without_writing(tmp_path, data))
    assert result.code == 3
    assert result.err.endswith(f"\nnetcompile: error: {out}: No space left on device\n")
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npz", "net.prototxt", "out.npz"]


def relu_without_writing(folder, data):
    """As `relu`, with the inputs written by hand, because NumPy's writer is broken in that test."""
    import io
    import zipfile

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": data.shape})
    with zipfile.ZipFile(folder / "in.npz", "w") as archive:
        archive.writestr("data.npy", head.getvalue() + data.tobytes())
    (folder / "net.prototxt").write_text(LABELLED)
    return ["run", folder / "net.prototxt", "--inputs", folder / "in.npz", "--out", folder / "out.npz"]


BRANCHES = """\
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
layer { name: "side" type: "Input" top: "side" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "a" type: "Power" bottom: "data" top: "a" power_param { scale: 2 } }
layer { name: "neg" type: "Power" bottom: "a" top: "a" power_param { scale: -1 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "relu" }
layer { name: "far" type: "SpatialTransformerOfNobody" bottom: "side" top: "far" }
layer { name: "bad" type: "Convolution" bottom: "data" top: "bad" convolution_param { num_output: 0 } }
"""


@pytest.mark.parametrize("level", [0, 1, 2])
def test_output_cuts_the_net(netcompile, tmp_path, level):
    """A blob's final value is meant; what is wrong with layers and inputs beside it does not matter."""
    x = np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3)
    np.savez(tmp_path / "in.npz", data=x, side=np.zeros((1, 2), np.float32))
    (tmp_path / "net.prototxt").write_text(BRANCHES)
    given = ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz", "-O", level]
    result = netcompile("run", tmp_path / "net.prototxt", *given, "--output", "a", "--output", "relu", "--output", "a")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(" (2 arrays, 640 B)\n  a: 1×2×3×3, float32\n  relu: 1×2×3×3, float32\n")
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == ["a", "relu"]
        assert np.array_equal(found["a"], -2 * x)
        assert not found["relu"].any()


OUTPUT_REFUSED = [
    (["--output", "reul"], "error[unknown-blob]: the net has no blob 'reul'\n  fix: did you mean 'relu'?\n"),
    (
        ["--output", "relu", "--blobs", "a"],
        "error[usage]: --output says what the net's outputs are, --blobs what is saved besides: "
        "both together say it twice\n  fix: --output BLOB alone; or --blobs A,B, which keeps the whole net\n",
    ),
]


@pytest.mark.parametrize(("options", "message"), OUTPUT_REFUSED)
def test_output_refused(netcompile, tmp_path, options, message):
    np.savez(tmp_path / "in.npz", data=np.zeros((1, 2, 3, 3), np.float32))
    (tmp_path / "net.prototxt").write_text(BRANCHES.split('layer { name: "far"')[0])
    given = ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz"]
    result = netcompile("run", tmp_path / "net.prototxt", *given, *options)
    assert (result.code, result.out, result.err) == (2, "", message)
    assert not (tmp_path / "out.npz").exists()


def test_output_that_needs_a_bad_layer(netcompile, tmp_path):
    (tmp_path / "net.prototxt").write_text(BRANCHES)
    np.savez(tmp_path / "in.npz", data=np.zeros((1, 2, 3, 3), np.float32))
    given = ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz", "--output", "far"]
    result = netcompile("run", tmp_path / "net.prototxt", *given)
    assert result.code == 2
    assert "unknown layer type 'SpatialTransformerOfNobody'" in result.err
    assert "num_output" not in result.err


def test_a_label_that_is_no_class_is_told(netcompile, tmp_path):
    case = CONFORMANCE / "softmaxloss-default"
    with np.load(case / "inputs.npz") as given:
        arrays = dict(given)
    arrays["label"] = np.full_like(arrays["label"], -20)
    np.savez(tmp_path / "in.npz", **arrays)
    files = ["--inputs", tmp_path / "in.npz", "--out", tmp_path / "out.npz"]
    done = netcompile("run", case / "net.prototxt", *files)
    assert done.code == 2
    assert "error[label-range]: label -20 in 'label': the classes of layer" in done.err
