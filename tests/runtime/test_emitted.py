"""Emitted source in memory is a module like any other: lines in tracebacks, its text, pickles."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import traceback

import pytest
import torch

import netcompile as package
from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.runtime.emitted import instance
from netcompile.runtime.execute import load_source
from tests import ranks

NET = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }\n'
    'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }\n'
)


@pytest.fixture
def module():
    return compile_net(analyse(Source(NET, "small.prototxt")), 1)


def test_the_source_of_a_net_is_at_hand(module):
    net = load_source(module)
    assert inspect.getsource(sys.modules[type(net).__module__]) == module.source
    assert inspect.getsource(type(net)) in module.source
    assert inspect.getsource(type(net).forward) in module.source


def test_tracebacks_show_emitted_lines(module):
    with pytest.raises(RuntimeError) as caught:
        load_source(module)(torch.zeros(1, 5))
    shown = "".join(traceback.format_exception(caught.value))
    assert f"{module.class_name}.py" in shown
    assert any(line.strip() in shown for line in module.source.splitlines() if "self.ip" in line and "data" in line)


def test_nets_go_through_pickles_to_another_process(module, tmp_path):
    """In tests/runtime/test_notebook.py the process has nothing imported."""
    net = load_source(module)
    x = torch.randn(1, 2, 3, 3)
    (tmp_path / "net").write_bytes(pickle.dumps(net))
    torch.save(x, tmp_path / "x")
    program = tmp_path / "program.py"
    program.write_text(
        "import pickle, sys, torch\n"
        "net = pickle.load(open(sys.argv[1], 'rb'))\ntorch.save(net(torch.load(sys.argv[2])), sys.argv[3])\n"
    )
    done = ranks.run(0, program, *(tmp_path / name for name in ("net", "x", "y")))
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(tmp_path / "y"), net(x))
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert type(other) is type(net)
        assert torch.equal(other(x), net(x))
        assert other.state_dict().keys() == net.state_dict().keys()
        assert all(a is not b for a, b in zip(other.parameters(), net.parameters(), strict=True))


def test_a_build_shows_its_own_file(netcompile, tmp_path):
    (tmp_path / "small.prototxt").write_text(NET.replace("InnerProduct", "Flatten"))
    assert netcompile("build", tmp_path / "small.prototxt", "-o", tmp_path / "b").code == 0
    net = package.load(tmp_path / "b")
    assert inspect.getsourcefile(type(net)) == str(tmp_path / "b" / "small.py")
    assert sorted(path.name for path in (tmp_path / "b").iterdir() if path.is_dir()) == []  # no __pycache__


def test_source_that_fails_leaves_no_module():
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        instance("1 / 0", "Net")
    assert set(sys.modules) == before
