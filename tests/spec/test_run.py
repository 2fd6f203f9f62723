"""`run_file`: files written for pycaffe run as they are; what goes wrong in them is located in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netcompile.prototxt.diagnostic import NetError
from netcompile.prototxt.parser import parse
from netcompile.prototxt.source import Source
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
    assert parse(Source.read("train.prototxt")) == parse(Source(WRITTEN))
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
        sys.modules.pop("beside", None)
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
        "import caffe\ncaffe.set_mode_gpu()\n",
        (
            2,
            1,
            "spec-script",
            "AttributeError: caffe.set_mode_gpu is not here: only the part of caffe that specifies networks is",
        ),
    ),
    ("import caffe.proto\n", (1, 1, "spec-script", "ModuleNotFoundError: No module named 'caffe.proto'")),
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


def test_an_exit_passes_through_and_zero_is_none(script: Path) -> None:
    script.write_text("import sys\nsys.exit(0)\n")
    run_file(script)
    script.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SystemExit, match="3"):
        run_file(script)


def test_an_absent_file_is_an_os_error(script: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_file(script)
