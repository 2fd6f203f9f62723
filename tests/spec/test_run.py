"""`run_file`: files written for pycaffe run as they are; what goes wrong in them is located in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.prototxt.parser import parse
from netcompile.prototxt.recognise import open_source
from netcompile.spec.run import run_file

# The habits of Caffe's own specification files: all its imports, helpers that return a layer and its
# activation, a dictionary as text, writing to the current folder, the main guard.
NET = """
import caffe
from caffe import layers as L, params as P
from caffe.coord_map import crop

def conv(bottom, pad):
    top = L.Convolution(bottom, num_output=2, kernel_size=3, pad=pad,
        param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)])
    return top, L.ReLU(top, in_place=True)

def net(split):
    n = caffe.NetSpec()
    keys = dict(split=split, mean=(1.5, 2.5), seed=7)
    keys['voc_dir'] = 'voc'
    n.data, n.label = L.Python(module='layers', layer='Images', ntop=2, param_str=str(keys))
    n.c1, n.r1 = conv(n.data, 100)
    n.score = crop(n.r1, n.data)
    n.loss = L.SoftmaxWithLoss(n.score, n.label, include=dict(phase=caffe.TRAIN))
    return n.to_proto()

if __name__ == '__main__':
    with open('train.prototxt', 'w') as f:
        f.write(str(net('train')))
"""

WRITTEN = r"""
layer { name: "data" type: "Python" top: "data" top: "label" python_param { module: "layers" layer: "Images"
        param_str: "{'voc_dir': 'voc', 'seed': 7, 'split': 'train', 'mean': (1.5, 2.5)}" } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 2 kernel_size: 3 pad: 100 } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "score" type: "Crop" bottom: "c1" bottom: "data" top: "score"
        crop_param { axis: 2 offset: 99 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
        include { phase: TRAIN } }
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "elsewhere" / "net.py"


def test_a_file_written_for_pycaffe_writes_its_net_to_the_current_folder(script: Path) -> None:
    script.write_text(NET)
    run_file(script)
    assert parse(open_source("train.prototxt")) == parse(Source(WRITTEN))
    assert [path.name for path in script.parent.iterdir() if path.is_file()] == ["net.py"]


def test_the_stand_in_leaves_no_trace(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(sys)("caffe")
    monkeypatch.setitem(sys.modules, "caffe", real)
    script.write_text(
        "import sys, caffe, caffe.coord_map, beside\n"
        "assert __name__ == '__main__' and sys.modules['__main__'].caffe is caffe\n"
        "assert sys.argv == [__file__] and beside.value == 1\n"
        "caffe.seen = True\n"
    )
    (script.parent / "beside.py").write_text("value = 1\n")
    before = sys.modules["__main__"], list(sys.path), sys.argv
    try:
        run_file(str(script))
    finally:
        assert "beside" not in sys.modules
    assert (sys.modules["__main__"], sys.path, sys.argv) == before
    assert sys.modules["caffe"] is real
    assert not hasattr(real, "seen")
    assert "caffe.coord_map" not in sys.modules


CASES = [
    (
        "from caffe import layers as L\n\ndef f():\n    return L.Input(shap=1)\n\nf()\n",
        (4, 5, "spec", "L.Input has no keyword 'shap'; did you mean 'shape'?"),
    ),
    ("x = 1\ny = x / 0\n", (2, 1, "spec-script", "ZeroDivisionError: division by zero")),
    (
        "import caffe\nnet = caffe.Net('deploy.prototxt', caffe.TEST)\n",
        (
            2,
            1,
            "spec-script",
            "AttributeError: caffe.Net is not here: only the part of caffe that specifies networks is",
        ),
    ),
    ("import caffe.io\n", (1, 1, "spec-script", "ModuleNotFoundError: No module named 'caffe.io'")),
    (
        "from caffe import layers as L\na, b = L.Input(shape=dict(dim=[1]))\n",
        (2, 1, "spec", "L.Input made one top, not several: say ntop=2 (or how many) in its call"),
    ),
    ("a = 1\nprint 'x'\n", (2, 1, "spec-script", None)),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[str(n) for n in range(len(CASES))])
def test_mistakes_are_located_in_the_file(script: Path, text: str, expected: tuple[int, int, str, str]) -> None:
    script.write_text(text)
    with pytest.raises(NetError) as caught:
        run_file(script)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.span.line, found.span.column, found.code) == expected[:3]
    assert found.span.source.name == str(script)
    if expected[3] is None:
        assert found.what.startswith("not Python 3: Missing parentheses in call to 'print'")
    else:
        assert found.what == expected[3]


REMEDIES = [
    ("import caffe\ncaffe.Net()\n", "netcompile.load, or netcompile run and predict, compute with a net"),
    ("from caffe import SGDSolver\n", "netcompile train takes the solver's prototxt"),
    ("import caffe.draw\n", "netcompile build writes a report with the graph"),
    ("import caffe.pycaffe\n", "only caffe.net_spec, caffe.coord_map and caffe.proto are here"),
    ("import voc_helper\n", "'voc_helper' is not installed, and not beside the script"),
    ("for i in xrange(3): pass\n", "the file is run as Python 3: range instead of xrange"),
    ("{}.iteritems()\n", "the file is run as Python 3: items instead of iteritems"),
    ("import sys\nprint >>sys.stderr, 1\n", "the file is run as Python 3: print(…, file=…) instead of print >>…"),
    ("import beside\n", "beside.py is no Python 3"),
    ("1 / 0\n", ""),
]


@pytest.mark.parametrize(("text", "remedy"), REMEDIES)
def test_what_scripts_for_caffe_and_python_2_trip_over_has_a_remedy(script: Path, text: str, remedy: str) -> None:
    (script.parent / "beside.py").write_text("print 'x'\n")
    script.write_text(text)
    with pytest.raises(NetError) as caught:
        run_file(script)
    assert [found.remedy for found in caught.value.diagnostics] == [remedy]


HABITS = """
import numpy as np
import caffe
from caffe import layers as L, params as P, to_proto
from caffe.net_spec import NetSpec
from caffe.proto import caffe_pb2
from google.protobuf import text_format

caffe.set_device(0)
caffe.set_mode_gpu()
n = caffe.NetSpec()
n.data, n.label = L.Data(source='db', backend=P.Data.LMDB, batch_size=np.int64(2), ntop=2)
n['a'], n.b = L.Slice(n.data, ntop=2, slice_param=dict(axis=1, slice_point=1))
n.silence = L.Silence(n.b, ntop=0)
n.act = getattr(L, 'PReLU')(n.a, in_place=True)
n.loss = L.SoftmaxWithLoss(n.act, n.label, loss_param=dict(normalization=P.Loss.VALID),
                           include=[dict(phase=0), dict(phase=caffe.TEST, stage='val')])
net = n.to_proto()
assert isinstance(net, caffe_pb2.NetParameter) and P.Pooling.AVE == caffe_pb2.PoolingParameter.AVE == 1
net.name = 'edited'
for layer in net.layer:
    if layer.type == 'PReLU':
        layer.prelu_param.filler.value = 0.5
more = net.layer.add()
more.CopyFrom(to_proto(L.Input(shape=dict(dim=[1, 2]))).layer[0])
with open('net.prototxt', 'w') as f:
    f.write(text_format.MessageToString(net))
with open('net.prototxt') as f:
    again = text_format.Merge(f.read(), caffe_pb2.NetParameter())
assert again == net and again.SerializeToString() == net.SerializeToString()
solver = caffe_pb2.SolverParameter()
solver.test_iter.append(7)
solver.solver_mode = caffe_pb2.SolverParameter.GPU
assert caffe_pb2.TRAIN == caffe.TRAIN == caffe_pb2.Phase.Value('TRAIN')
with open('solver.prototxt', 'w') as f:
    f.write(str(solver))
"""

HABITS_WRITTEN = """
name: "edited"
layer { name: "data" type: "Data" top: "data" top: "label"
        data_param { source: "db" batch_size: 2 backend: LMDB } }
layer { name: "a" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }
layer { name: "silence" type: "Silence" bottom: "b" }
layer { name: "act" type: "PReLU" bottom: "a" top: "a" prelu_param { filler { value: 0.5 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss"
        include { phase: TRAIN } include { phase: TEST stage: "val" } loss_param { normalization: VALID } }
layer { name: "Input1" type: "Input" top: "Input1" input_param { shape { dim: 1 dim: 2 } } }
"""


def test_scripts_get_protobuf_messages_as_from_pycaffe(script: Path) -> None:
    script.write_text(HABITS)
    run_file(script)
    assert parse(open_source("net.prototxt")) == parse(Source(HABITS_WRITTEN))
    assert Path("solver.prototxt").read_text().split() == ["test_iter:", "7", "solver_mode:", "GPU"]


def test_files_beside_one_script_are_not_seen_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared_habits.py").write_text(f"import caffe\nname = {name!r}\nL = caffe.layers\n")
        (tmp_path / name / "net.py").write_text(
            "from shared_habits import L, name\n"
            "with open(name + '.txt', 'w') as f:\n"
            "    f.write(str(L.Input().to_proto()))\n"
        )
        run_file(tmp_path / name / "net.py")
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["one.txt", "two.txt"]
    assert "shared_habits" not in sys.modules


def test_an_exit_passes_through_and_zero_is_none(script: Path) -> None:
    script.write_text("import sys\nsys.exit(0)\n")
    run_file(script)
    script.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SystemExit, match="3"):
        run_file(script)


def test_an_absent_file_is_an_os_error(script: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_file(script)
