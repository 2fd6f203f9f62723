"""Conversion: which blob goes where by Caffe's rules, and the file, which comes whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save

from netcompile.caffemodel import arithmetic as a
from netcompile.caffemodel import recipe as r
from netcompile.caffemodel import tensorfile
from netcompile.caffemodel.blob import StoredBlob
from netcompile.caffemodel.convert import convert, stream_tensors
from netcompile.caffemodel.plan import LayerSpec, Plan, Tensor, convert_plain, match
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source, Span
from netcompile.files import whole
from tests.caffemodel import encode as e
from tests.conftest import CASES


@pytest.fixture
def given_model(tmp_path):
    """Writes the bytes of a caffemodel and reads it."""

    def make(*layers: bytes):
        path = tmp_path / "w.caffemodel"
        path.write_bytes(e.net(*layers))
        return read_caffemodel(path)

    return make


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.safetensors"


def simple(*specs: LayerSpec) -> Plan:
    """A tensor for each blob that is the layer's own."""
    tensors, layers = [], []
    seen: dict[str, int] = {}
    for spec in specs:
        spec = replace(spec, occurrence=seen.get(spec.name, 0))
        layers.append(spec)
        seen[spec.name] = spec.occurrence + 1
        for take, owner, shape in zip(spec.takes(), spec.owners(), spec.blobs, strict=True):
            if take == owner:
                tensors.append(Tensor(str(take), shape, "float32", take))
    return Plan(tuple(tensors), tuple(layers))


def arrays(tensors):
    """What `stream_tensors` gives as arrays."""
    return {
        tensor.key: np.frombuffer(b"".join(map(bytes, chunks)), tensor.dtype).reshape(tensor.shape)
        for tensor, chunks in tensors
    }


def problems(model, plan, out, **options) -> list[tuple[str, str]]:
    with pytest.raises(NetError) as caught:
        convert(model, plan, out, **options)
    assert not out.exists()
    assert all(d.remedy for d in caught.value.diagnostics)
    return [(d.code, d.what.replace(model.path, "FILE")) for d in caught.value.diagnostics]


CONV = e.v2("conv", "Convolution", e.blob((2, 1, 1, 3), range(6)), e.blob((2,), [10, 20]))
CONV_SPEC = LayerSpec("conv", ((2, 1, 1, 3), (2,)))


# --- which blob goes where


def test_copies_and_report(given_model, out):
    model = given_model(CONV, e.v2("relu", "ReLU"), e.v2("old", "Convolution", e.blob((1,), [0])))
    report = convert(model, simple(CONV_SPEC, LayerSpec("relu"), LayerSpec("new")), out)
    tensors = load_file(out)
    np.testing.assert_array_equal(tensors["conv.0"], np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3))
    np.testing.assert_array_equal(tensors["conv.1"], np.array([10, 20], np.float32))
    assert (report.path, report.tensors, report.bytes) == (str(out), 2, out.stat().st_size)
    assert report.copied == ("conv.0", "conv.1")
    assert report.unused == ("old",)
    assert (report.missing, report.without_weights, report.notes) == ((), (), ())


SHAPES = [
    ((1, 1, 1, 6), (6,), True),
    ((1, 1, 2, 3), (2, 3), True),
    ((1, 6, 1, 1), (1, 6, 1, 1), True),
    ((2, 3, 1, 1), (2, 3, 1, 1), True),
    ((2, 3, 1, 1), (2, 3), True),
    ((1, 1, 1, 6), (1, 6), True),
    ((6, 1, 1, 1), (6,), True),
    ((1, 1, 1, 6), (1, 1, 1, 1, 6), True),
    ((1, 1, 3, 2), (2, 3), False),
    ((1, 1, 1, 6), (2, 3), False),
    ((1, 2, 1, 3), (3, 1, 2), False),
    ((1, 1, 1, 5), (6,), False),
]
MORE_SHAPES = [  # that a legacy blob cannot have
    ((6,), (1, 6, 1, 1), True),
    ((1, 1, 1, 1, 6), (6,), True),
    ((1, 6), (6,), True),
    ((1,), (), True),
    ((6,), (3, 2), False),
]


def convert_blob(model, dims, shape, fits, out):
    """The blob's numbers in the net's shape, or the refusal of a shape of other extents."""
    plan, count = simple(LayerSpec("c", (shape,))), int(np.prod(dims))
    if fits:
        convert(model, plan, out)
        np.testing.assert_array_equal(load_file(out)["c.0"], np.arange(count, dtype=np.float32).reshape(shape))
        return
    have, want = ("×".join(map(str, s)) or "scalar" for s in (dims, shape))
    found = problems(model, plan, out)
    assert found == [("weights-shape", f"layer 'c' blob 0 is {want} in the net, {have} in FILE")]


@pytest.mark.parametrize(("dims", "shape", "fits"), SHAPES)
def test_legacy_shapes_compare_without_ones(dims, shape, fits, given_model, out):
    model = given_model(e.v1("c", 4, e.legacy(*dims) + e.chunk(5, e.floats(range(int(np.prod(dims)))))))
    convert_blob(model, dims, shape, fits, out)


@pytest.mark.parametrize(("dims", "shape", "fits"), SHAPES + MORE_SHAPES)
def test_shapes_compare_without_ones(dims, shape, fits, given_model, out):
    """Forks write vectors with 1s about them: PSPNet's BN, C3D's biases."""
    model = given_model(e.v2("c", "C", e.blob(dims, range(int(np.prod(dims))))))
    convert_blob(model, dims, shape, fits, out)


@pytest.mark.parametrize(("dims", "shape", "fits"), SHAPES + MORE_SHAPES)
def test_shapes_of_hdf5_compare_without_ones(dims, shape, fits, tmp_path, out):
    path = tmp_path / "w.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.arange(np.prod(dims), dtype="f4").reshape(dims)
    convert_blob(read_caffemodel(path), dims, shape, fits, out)


def test_every_mistake_at_once_with_its_place(given_model, out):
    source = Source('layer { name: "a" }\nlayer { name: "b" }\nlayer { name: "conv" }\n', "net.prototxt")
    spans = [Span(source, start, start + 5) for start in (0, 20, 40)]
    plan = simple(
        LayerSpec("a", ((1,),), span=spans[0]),
        LayerSpec("b", ((1,), (1,)), span=spans[1]),
        LayerSpec("conv", ((3, 1, 1, 2), (3,)), span=spans[2]),
    )
    model = given_model(CONV, e.v2("b", "C", e.blob((1,), [1])))
    assert problems(model, plan, out) == [
        ("weights-missing", "layer 'a' is missing in FILE"),
        ("weights-count", "layer 'b' has 2 blobs in the net, 1 in FILE"),
        ("weights-shape", "layer 'conv' blob 0 is 3×1×1×2 in the net, 2×1×1×3 in FILE"),
        ("weights-shape", "layer 'conv' blob 1 is 3 in the net, 2 in FILE"),
    ]
    with pytest.raises(NetError, match=r"net.prototxt:1:1: error\[weights-missing\]"):
        convert(model, plan, out)


def test_a_missing_layer_names_similar_ones(given_model, out):
    with pytest.raises(NetError) as caught:
        convert(given_model(CONV), simple(LayerSpec("conv1", ((1,),))), out)
    assert (
        caught.value.diagnostics[0].why == "layers of the file and of the net are matched by name; the file has 'conv'"
    )


def test_more_blobs_than_the_layer_has(given_model, out):
    model = given_model(CONV)
    assert problems(model, simple(LayerSpec("conv", ((2, 1, 1, 3),))), out) == [
        ("weights-count", "layer 'conv' has 1 blob in the net, 2 in FILE")
    ]
    convert(model, simple(LayerSpec("conv", ((2, 1, 1, 3),))), out, allow_missing=True)
    assert list(load_file(out)) == ["conv.0"]


def test_allow_missing_writes_zeros_and_says_so(given_model, out):
    plan = simple(CONV_SPEC, LayerSpec("new", ((2, 2),)), LayerSpec("half", ((1,), (1,))))
    total = Tensor("sum", (2, 2), "float32", a.Add(r.Take("new", 0), r.Constant(1, ())))
    plan = Plan((*plan.tensors, total), plan.layers)
    model = given_model(CONV, e.v2("half", "C", e.blob((1,), [5])))
    report = convert(model, plan, out, allow_missing=True)
    assert report.missing == ("new.0", "half.1", "sum")
    assert report.without_weights == ("new", "half")
    tensors = load_file(out)
    assert not tensors["new.0"].any()
    assert not tensors["sum"].any()
    assert tensors["half.0"].tolist() == [5]


def test_allow_missing_does_not_excuse_shapes(given_model, out):
    ((code, _), *_) = problems(given_model(CONV), simple(LayerSpec("conv", ((6,), (2,)))), out, allow_missing=True)
    assert code == "weights-shape"


def test_of_two_layers_of_one_name_in_the_file_the_last_wins(given_model, out):
    one, two = (e.v2("c", "C", e.blob((1,), [value])) for value in (1, 2))
    convert(given_model(one, two), simple(LayerSpec("c", ((1,),))), out)
    assert load_file(out)["c.0"].tolist() == [2]


def test_every_copy_of_a_layer_is_checked(given_model, out):
    one, two = (e.v2("c", "C", e.blob((n,), range(n))) for n in (3, 1))
    assert problems(given_model(one, two), simple(LayerSpec("c", ((1,),))), out) == [
        ("weights-shape", "layer 'c' blob 0 is 1 in the net, 3 in FILE")
    ]


def test_of_two_layers_of_one_name_in_the_net_the_first_gets_the_weights(given_model, out):
    plan = simple(LayerSpec("c", ((1,),)), LayerSpec("c", ((1,),)))
    model = given_model(e.v2("c", "C", e.blob((1,), [1])), e.v2("c", "C", e.blob((1,), [2])))
    assert problems(model, plan, out) == [
        ("weights-missing", "layer 'c' gets no weights: the net has 2 layers of this name")
    ]
    report = convert(model, plan, out, allow_missing=True)
    assert {key: value.tolist() for key, value in load_file(out).items()} == {"c.0": [2], "c#2.0": [0]}
    assert report.missing == ("c#2.0",)


def test_in_hdf5_the_last_layer_of_a_name_gets_the_weights(tmp_path, out):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/c/0"] = np.array([3], "<f4")
    report = convert(
        read_caffemodel(path),
        simple(LayerSpec("c", ((1,),)), LayerSpec("c", ((1,),))),
        out,
        allow_missing=True,
    )
    assert {key: value.tolist() for key, value in load_file(out).items()} == {"c.0": [0], "c#2.0": [3]}
    assert report.missing == ("c.0",)


OWNER = r.Take("a", 0)
SHARING = (LayerSpec("a", ((1,),)), LayerSpec("b", ((1,), (1,)), shared=((0, OWNER),)))


def test_shared_blobs_the_last_copy_wins(given_model, out):
    plan = simple(*SHARING)
    model = given_model(e.v2("a", "C", e.blob((1,), [1])), e.v2("b", "C", e.blob((1,), [2]), e.blob((1,), [3])))
    convert(model, plan, out)
    assert {key: value.tolist() for key, value in load_file(out).items()} == {"a.0": [2], "b.1": [3]}


def test_a_shared_blob_may_be_absent_in_hdf5_only(given_model, tmp_path, out):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/a/0"] = np.array([1], "<f4")
        file["data/b/1"] = np.array([3], "<f4")
    convert(read_caffemodel(path), simple(*SHARING), out)
    assert {key: value.tolist() for key, value in load_file(out).items()} == {"a.0": [1], "b.1": [3]}
    out.unlink()
    model = given_model(e.v2("a", "C", e.blob((1,), [1])), e.v2("b", "C", e.blob((1,), [3])))
    assert problems(model, simple(*SHARING), out) == [("weights-count", "layer 'b' has 2 blobs in the net, 1 in FILE")]


def test_a_blob_absent_from_hdf5(tmp_path, out):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/a/1"] = np.array([1], "<f4")
    model = read_caffemodel(path)
    plan = simple(LayerSpec("a", ((1,), (1,), (1,))))
    assert problems(model, plan, out) == [("weights-missing", "layer 'a' has no blob 0, 2 in FILE")]
    assert match(model, plan, allow_missing=True).missing == (r.Take("a", 0), r.Take("a", 2))


# --- without a net


def test_plain_keeps_names_shapes_and_types(given_model, out):
    model = given_model(
        e.v1("c", 4, e.legacy(1, 1, 1, 2) + e.chunk(5, e.floats([1, 2]))),
        e.v1("d", 4, e.chunk(8, e.floats([0.1], "<d")) + e.shape((1,))),
    )
    report = convert(model, convert_plain(model), out)
    tensors = load_file(out)
    assert {k: (t.shape, str(t.dtype)) for k, t in tensors.items()} == {
        "c.0": ((1, 1, 1, 2), "float32"),
        "d.0": ((1,), "float64"),
    }
    assert tensors["d.0"][0] == 0.1
    assert report.notes == ()


def test_plain_makes_keys_unique(given_model, out):
    layers = [e.v2(name, "C", e.blob((1,), [i])) for i, name in enumerate(["a", "a", "a#2", "a"])]
    model = given_model(*layers)
    report = convert(model, convert_plain(model), out)
    assert {k: t.tolist() for k, t in load_file(out).items()} == {
        "a.0": [0],
        "a#3.0": [1],
        "a#2.0": [2],
        "a#4.0": [3],
    }
    assert [(n.code, n.severity) for n in report.notes] == [("weights-duplicate", "note")] * 2


@pytest.mark.parametrize("case", [c for c in CASES if c.weights], ids=lambda c: c.name)
def test_conformance_weights_come_out_as_they_went_in(case, out):
    model = read_caffemodel(case.weights)
    convert(model, convert_plain(model), out)
    tensors = load_file(out)
    expected = {f"{layer.name}.{i}": b.array() for layer in model.layers for i, b in enumerate(layer.blobs)}
    assert tensors.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(tensors[key], value)
    assert out.read_bytes() == save(tensors, {"format": "pt"})


# --- types and arithmetic


def test_types_are_converted(given_model, out):
    values = np.array([1, 1.0039, 1.00390625, 3e38, -0.0, np.inf, np.nan, 1e-40], np.float32)
    model = given_model(e.v2("c", "C", e.chunk(5, values.tobytes()) + e.shape((8,))))
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        convert(model, convert_plain(model), out, dtype=dtype)
        with safe_open(out, "pt") as file:
            got = file.get_tensor("c.0")
        expected = torch.from_numpy(values).to(getattr(torch, dtype))
        assert torch.equal(got.isnan(), expected.isnan())
        assert torch.equal(got.nan_to_num(7), expected.nan_to_num(7))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_bfloat16_rounds_as_torch_does(values):
    from netcompile.caffemodel.computing import _bfloat16

    array = np.array(values, np.float32)
    ours = torch.from_numpy(_bfloat16(array).view(np.int16)).view(torch.bfloat16)
    theirs = torch.from_numpy(array).to(torch.bfloat16)
    assert torch.equal(ours.isnan(), theirs.isnan())
    assert torch.equal(ours.nan_to_num(7).view(torch.int16), theirs.nan_to_num(7).view(torch.int16))


def test_doubles_become_floats_as_in_caffe(given_model, out):
    model = given_model(e.v2("c", "C", e.chunk(8, e.floats([0.1, 1e300], "<d")) + e.shape((2,))))
    report = convert(model, simple(LayerSpec("c", ((2,),))), out)
    assert load_file(out)["c.0"].tolist() == [float(np.float32(0.1)), float("inf")]
    assert report.copied == ()


@pytest.mark.parametrize(("field", "kind"), [(5, "f4"), (8, "f8")])
def test_large_computed_tensors_are_made_some_rows_at_a_time(field, kind, given_model, out, monkeypatch):
    """Each number is read once for each use of it, and never all of them together."""
    rng = np.random.default_rng(1)
    weight, factor = rng.random((1000, 600)).astype(kind), rng.random(1000).astype(kind)
    shape = e.shape(weight.shape)
    model = given_model(
        e.v2("fc", "InnerProduct", e.chunk(field, weight.tobytes()) + shape),
        e.v2("s", "Scale", e.chunk(field, factor.tobytes()) + e.shape((1000,))),
    )
    fc, scale = r.Take("fc", 0), r.Take("s", 0)
    folded = a.Multiply(fc, r.Reshape(scale, (1000, 1)))
    sums = r.Concat((a.Combined(r.Reshape(fc, (1000, 300, 2)), 2, (1, -2)), r.Slice(fc, 1, 0, 300)), 0)
    plan = Plan(
        (Tensor("folded", (1000, 600), "float32", folded), Tensor("sums", (2000, 300), "float32", sums)),
        (LayerSpec("fc", ((1000, 600),)), LayerSpec("s", ((1000,),))),
    )
    seen = []
    array = StoredBlob.array
    monkeypatch.setattr(StoredBlob, "array", lambda blob: seen.append(blob.shape) or array(blob))
    convert(model, plan, out)
    made, weight, factor = load_file(out), weight.astype("f4"), factor.astype("f4")
    np.testing.assert_array_equal(made["folded"], weight * factor[:, None])
    pairs = weight.reshape(1000, 300, 2).astype("f8")
    np.testing.assert_array_equal(made["sums"][:1000], (pairs[..., 0] - 2 * pairs[..., 1]).astype("f4"))
    np.testing.assert_array_equal(made["sums"][1000:], weight[:, :300])
    kernels = [shape for shape in seen if len(shape) == 2]
    assert sum(rows * columns for rows, columns in kernels) == 3 * 1000 * 600
    assert max(rows for rows, _ in kernels) < 1000


def test_computed_tensors(given_model, out):
    rng = np.random.default_rng(0)
    weight, mean, factor = rng.random((40, 30), "f4"), rng.random(30, "f4"), np.array([7], "f4")
    model = given_model(
        e.v2("fc", "InnerProduct", e.chunk(5, weight.tobytes()) + e.shape(weight.shape)),
        e.v2("bn", "BatchNorm", e.chunk(5, mean.tobytes()) + e.shape((30,)), e.blob((1,), [7])),
    )
    fc, bn = r.Take("fc", 0), r.Take("bn", 0)
    plan = Plan(
        (
            Tensor("t", (30, 40), "float32", r.Transpose(fc, (1, 0))),
            Tensor("folded", (40, 30), "float32", a.Multiply(fc, bn)),
            Tensor("mean", (1, 30), "float32", r.Reshape(a.ScaledByFactor(bn, r.Take("bn", 1)), (1, 30))),
            Tensor("n", (), "int64", r.Constant(0, (), "int64")),
        ),
        (LayerSpec("fc", ((40, 30),)), LayerSpec("bn", ((30,), (1,)))),
    )
    convert(model, plan, out)
    in_file = load_file(out)
    reports = []
    in_memory = arrays(stream_tensors(model, plan, done=reports.append))
    (report,) = reports
    assert list(in_memory) == ["t", "folded", "mean", "n"]
    for tensors in (in_file, in_memory):
        np.testing.assert_array_equal(tensors["t"], weight.T)
        np.testing.assert_array_equal(tensors["folded"], weight * mean)
        np.testing.assert_array_equal(tensors["mean"], (mean * (np.float32(1) / factor))[None])
        assert tensors["n"].dtype == np.int64
    assert report.copied == ()
    convert(model, plan, out, dtype="float64")
    doubles = load_file(out)
    np.testing.assert_array_equal(doubles["folded"], weight.astype("f8") * mean.astype("f8"))
    assert doubles["n"].dtype == np.int64


@pytest.mark.parametrize(("shape", "axes"), [((1200, 1500), (1, 0)), ((3, 2, 1 << 20), (1, 0, 2))])
def test_large_results_are_written_in_parts(shape, axes, given_model, out):
    weight = np.arange(np.prod(shape), dtype="<f4").reshape(shape)
    model = given_model(e.v2("fc", "IP", e.chunk(5, weight.tobytes()) + e.shape(shape)))
    recipe = r.Transpose(r.Take("fc", 0), axes)
    expected = weight.transpose(axes)
    plan = Plan((Tensor("t", expected.shape, "float32", recipe),), (LayerSpec("fc", (shape,)),))
    convert(model, plan, out)
    np.testing.assert_array_equal(load_file(out)["t"], expected)


def test_a_plan_that_contradicts_itself_is_a_bug(given_model, out):
    plan = Plan((Tensor("x", (7,), "float32", r.Take("conv", 1)),), (CONV_SPEC,))
    with pytest.raises(ValueError, match="is to be"):
        convert(given_model(CONV), plan, out)
    double = Plan((Tensor("x", (2,), "float32", r.Take("conv", 1)),) * 2, (CONV_SPEC,))
    with pytest.raises(ValueError, match="keys"):
        convert(given_model(CONV), double, out)


# --- the file


def test_bytes_are_those_of_the_safetensors_package(out):
    rng = np.random.default_rng(1)
    arrays = {
        'quote " and \\ and \n and é and \x7f': rng.random((2, 3)).astype("<f4"),
        "z": rng.random(3).astype("<f8"),
        "a": np.arange(4, dtype="<i8"),
        "half": rng.random(5).astype("<f2"),
        "scalar": np.array(1.5, "<f4"),
        "none": np.zeros((0, 3), "<f4"),
        "": np.ones(1, "<f4"),
    }
    entries = [
        tensorfile.Entry(key, str(array.dtype), array.shape, lambda a=array: [a.tobytes()])
        for key, array in arrays.items()
    ]
    size = tensorfile.write(str(out), entries, {"format": "pt"})
    assert out.read_bytes() == save(arrays, {"format": "pt"})
    assert size == out.stat().st_size


def test_metadata_is_kept_and_output_is_the_same_every_time(given_model, out):
    model = given_model(CONV)
    digests = set()
    for extra in ({"b": "2", "a": "1"}, {"a": "1", "b": "2"}):
        convert(model, convert_plain(model), out, metadata=extra)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1
    with safe_open(out, "np") as file:
        assert file.metadata() == {"format": "pt", "a": "1", "b": "2"}


class Stop(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


class Disk(io.FileIO):
    """A disk that takes three bytes at a time, and in the end none."""

    def __init__(self, path, room, error=None):
        super().__init__(path, "w")
        self.room, self.error = room, error

    def write(self, data):
        self.room -= 3
        if self.room < 0:
            raise self.error
        return super().write(data[:3])


@pytest.mark.parametrize("error", [OSError("disk full"), Stop()])
def test_a_failure_leaves_the_old_output_and_no_litter(error, given_model, out, tmp_path_factory, monkeypatch):
    out.write_bytes(b"precious")
    model, disk = given_model(CONV), tmp_path_factory.mktemp("disk") / "x"
    monkeypatch.setattr(whole, "_unnamed", lambda folder: io.BufferedWriter(Disk(disk, 10, error)))
    with pytest.raises(type(error)):
        convert(model, convert_plain(model), out)
    assert disk.stat().st_size == 9
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.safetensors", "w.caffemodel"]


def test_short_writes_are_continued(given_model, out, tmp_path_factory, monkeypatch):
    model, disk = given_model(CONV), tmp_path_factory.mktemp("disk") / "x"
    monkeypatch.setattr(whole, "_unnamed", lambda folder: io.BufferedWriter(Disk(disk, 1 << 20)))
    convert(model, convert_plain(model), out)
    assert load_file(out)["conv.1"].tolist() == [10, 20]


def test_outputs_that_cannot_be(given_model, tmp_path):
    model = given_model(CONV)
    with pytest.raises(NetError, match="is the caffemodel itself"):
        convert(model, convert_plain(model), model.path)
    with pytest.raises(NetError, match="is a folder or a device"):
        convert(model, convert_plain(model), tmp_path)
    with pytest.raises(FileNotFoundError):
        convert(model, convert_plain(model), tmp_path / "absent" / "x")


def test_a_link_stays_a_link(given_model, tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(real)
    model = given_model(CONV)
    convert(model, convert_plain(model), link)
    assert link.is_symlink()
    assert "conv.0" in load_file(real)


def test_memory_does_not_grow_with_the_file(tmp_path):
    """A child converts 64 MB and may not need 32 MB for it, nor NumPy."""
    path = tmp_path / "w.caffemodel"
    count = 1 << 24
    body = e.shape((count,)) + e.varint(5 << 3 | 2) + e.varint(4 * count)
    blob = e.varint(7 << 3 | 2) + e.varint(len(body) + 4 * count) + body
    layer = e.chunk(1, "c") + blob
    with path.open("wb") as file:
        file.write(e.varint(100 << 3 | 2) + e.varint(len(layer) + 4 * count) + layer)
        file.truncate(file.tell() + 4 * count)
    code = (
        "import resource, sys\n"
        "from netcompile.caffemodel.reader import read_caffemodel\n"
        "from netcompile.caffemodel.plan import convert_plain\n"
        "from netcompile.caffemodel.convert import convert\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "model = read_caffemodel(sys.argv[1])\n"
        "convert(model, convert_plain(model), sys.argv[2])\n"
        "peak = [l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]\n"
        "print('numpy' in sys.modules, peak)\n"
    )
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("peak memory is read from /proc")
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "o")]
    numpy, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert numpy == "False"
    assert int(peak) < 32 * 1024
    assert (tmp_path / "o").stat().st_size > 4 * count
