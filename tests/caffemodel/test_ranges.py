"""The parts of a conversion, joined, are the file that `convert` writes, with NumPy and without."""

from __future__ import annotations

import pytest

from netcompile.analyser import analyse
from netcompile.caffemodel import convert as conversion
from netcompile.caffemodel.convert import convert, prepare
from netcompile.caffemodel.plan import LayerSpec, convert_plain
from netcompile.caffemodel.ranges import Range, parts
from netcompile.caffemodel.reader import read_caffemodel
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.emit.weights import weight_plan
from netcompile.ir.build import Options
from tests.caffemodel import encode as e
from tests.caffemodel.test_convert import simple
from tests.conftest import ALL_CASES, REPOSITORY

NUMBERS = [0.5, -1, 3e38, 1e-45, 0, 7]
PACKED = e.chunk(5, e.floats(NUMBERS))
PIECES = e.chunk(5, e.floats(NUMBERS[:2])) + e.shape((2, 3)) + e.chunk(5, e.floats(NUMBERS[2:]))


def joined(path, work) -> bytes:
    data = path.read_bytes()
    return b"".join(data[p.start : p.end] if isinstance(p, Range) else bytes(p) for p in parts(work))


@pytest.fixture(params=[True, False], ids=["numpy", "plain"])
def numpy(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    return request.param


def equal(path, analysed, level, tmp_path, monkeypatch) -> list[Range | bytes]:
    """Convert with NumPy, make the parts without, compare; the parts that are no ranges."""
    module = compile_net(analysed, level, weights=str(path), comments=False)
    plan, model = weight_plan(analysed.graph, module), read_caffemodel(path)
    convert(model, plan, tmp_path / "out.safetensors")
    work = prepare(model, plan, False, None)
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "find_spec", lambda name: None)
        assert joined(path, work) == (tmp_path / "out.safetensors").read_bytes()
        return [bytes(part) for part in parts(work) if not isinstance(part, Range)]


@pytest.mark.parametrize("net", ["classifier", "fcn8s", "ssd"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_demo_nets(net, level, tmp_path, monkeypatch):
    text = (REPOSITORY / "prototxt" / f"shapes-{net}" / "deploy.prototxt").read_text()
    path = REPOSITORY / "weights" / f"shapes-{net}.caffemodel"
    read = equal(path, analyse(Source(text, "deploy.prototxt")), level, tmp_path, monkeypatch)
    if level < 2:
        assert sum(map(len, read)) < 100_000  # the header, and statistics


WEIGHED = [case for case in ALL_CASES if case.weights is not None]


@pytest.mark.parametrize("case", WEIGHED, ids=[case.name for case in WEIGHED])
def test_conformance_nets(case, tmp_path, monkeypatch):
    options = Options(case.phase == "TRAIN", case.level, case.stages, case.inputs)
    analysed = analyse(Source(case.net.read_text(), "net.prototxt"), options)
    for level in (1, 2):
        equal(case.weights, analysed, level, tmp_path, monkeypatch)


FORMS = {
    "packed": e.net(e.v2("a", "Convolution", PACKED + e.shape((2, 3)))),
    "unpacked": e.net(e.v2("a", "Convolution", e.unpacked(5, NUMBERS) + e.shape((2, 3)))),
    "in two pieces": e.net(e.v2("a", "Convolution", PIECES)),
    "double": e.net(e.v2("a", "Convolution", e.chunk(8, e.floats(NUMBERS, "<d")) + e.shape((2, 3)))),
    "double, unpacked": e.net(e.v2("a", "Convolution", e.unpacked(8, NUMBERS, "<d") + e.shape((2, 3)))),
    "half": e.net(
        e.v2(
            "a", "Convolution",
            e.number(10, 2) + e.chunk(12, e.floats([0.5, -1, 65504, 6e-8, 0, 7], "<e")) + e.shape((2, 3)),
        )
    ),
    "V1": e.net(e.v1("a", 4, e.legacy(1, 1, 2, 3) + PACKED)),
    "V0": e.net(e.v0("a", "conv", e.legacy(1, 1, 2, 3) + PACKED)),
    "absent": e.net(e.v2("b", "Convolution", PACKED + e.shape((2, 3)))),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alone", [False, True], ids=["net", "alone"])
def test_every_way_to_store_numbers(form, alone, tmp_path, numpy):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(FORMS[form])
    model = read_caffemodel(path)
    plan = convert_plain(model) if alone else simple(LayerSpec("a", ((2, 3),)))
    convert(model, plan, tmp_path / "out.safetensors", allow_missing=True)
    work = prepare(model, plan, True, None)
    assert joined(path, work) == (tmp_path / "out.safetensors").read_bytes()
    ranged = [p for p in parts(work) if isinstance(p, Range)]
    copied = {"packed": 1, "in two pieces": 2, "V1": 1, "V0": 1} | (
        {"double": 1, "half": 1, "absent": 1} if alone else {}
    )
    assert len(ranged) == copied.get(form, 0)


def test_numbers_in_many_pieces_are_read(tmp_path):
    path = tmp_path / "w.caffemodel"
    gap = e.number(10, 1)  # a field between two pieces
    path.write_bytes(
        e.net(e.v2("a", "X", b"".join(e.chunk(5, e.floats([n])) + gap for n in range(100)) + e.shape((100,))))
    )
    model = read_caffemodel(path)
    convert(model, convert_plain(model), tmp_path / "out.safetensors")
    work = prepare(model, convert_plain(model), False, None)
    assert not any(isinstance(p, Range) for p in parts(work))
    assert joined(path, work) == (tmp_path / "out.safetensors").read_bytes()
