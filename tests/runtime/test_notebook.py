"""What a notebook shows of a loaded net, and that nothing else notices it."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

import netcompile as package
from netcompile.runtime.execute import load_source
from netcompile.runtime.notebook import MOST

DEMO = ("shapes-fcn8s/deploy.prototxt", "shapes-fcn8s.caffemodel")


class Cells(HTMLParser):
    """The rows of the tables, as texts; whatever else is text; every tag."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.texts, self.tags, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        assert dict(attributes).keys() <= {"style"}
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        elif data.strip():
            self.texts.append(data.strip())


def shown(net):
    return Cells(net._repr_html_())


CROPS = [
    ["crop", "declared", "needed", "used", "status", "legal for"],
    ["score_pool4c", "5", "5", "5", "ok", "every H, W"],
    ["score_pool3c", "9", "9", "9", "ok", "every H, W"],
    ["score", "31", "31", "31", "ok", "every H, W"],
]


def test_offsets_inputs_outputs_and_cost():
    found = shown(package.load(*DEMO))
    assert found.rows == [
        ["input, output", "shape"], ["→ data", "1×3×96×128"], ["score →", "1×6×H×W"], *CROPS
    ]  # fmt: skip
    assert found.texts[0] == "ShapesFcn8s"
    assert found.texts[1].endswith(
        "deploy.prototxt), 714.3 k parameters, 1.1 G multiply-accumulates at data 1×3×96×128, in evaluation mode"
    )
    assert found.texts[2:] == ["the whole net is legal for every H, W"]


def test_the_numbers_are_those_of_inspect(netcompile):
    totals = netcompile("inspect", DEMO[0]).out
    assert "714,322 parameters, 1.1 G MACs" in totals
    assert sum(p.numel() for p in package.load(*DEMO).parameters()) == 714322


def test_a_build_shows_what_lies_in_its_folder(netcompile, tmp_path):
    assert netcompile("build", *DEMO[:1], "--weights", DEMO[1], "-o", tmp_path / "b").code == 0
    found = shown(package.load(tmp_path / "b"))
    assert found.rows == [["input, output", "shape"], ["→ data", "1×3×96×128"], ["score →", "…×H×W"], *CROPS]
    assert found.texts == [
        "ShapesFcn8s", f": shapes-fcn8s ({tmp_path / 'b'}), 714.3 k parameters, in evaluation mode",
        "the whole net is legal for every H, W",
    ]  # fmt: skip
    for text in ("[]", '{"blobs": {"score": 1}}', "{", '{"blobs": {}, "crops": [{}]}'):
        (tmp_path / "b" / "offsets.json").write_text(text)
        assert shown(package.load(tmp_path / "b")).rows == [
            ["input, output", "shape"], ["→ data", "1×3×96×128"], ["score →"]
        ]  # fmt: skip
    (tmp_path / "b" / "offsets.json").unlink()
    assert len(shown(package.load(tmp_path / "b")).rows) == 3


HOSTILE = "<script>alert(1)</script>&\\\"'\\033[31m\\342\\200\\256"


def test_names_are_text_and_nothing_else(tmp_path):
    (tmp_path / "x.prototxt").write_text(
        f'name: "{HOSTILE}"\n'
        f'layer {{ name: "d" type: "Input" top: "{HOSTILE}" input_param {{ shape {{ dim: [1, 3, 20, 20] }} }} }}\n'
        f'layer {{ name: "p" type: "Pooling" bottom: "{HOSTILE}" top: "p" '
        "pooling_param { kernel_size: 3 stride: 1 } }\n"
        f'layer {{ name: "{HOSTILE}" type: "Crop" bottom: "{HOSTILE}" bottom: "p" top: "o" }}\n'
    )
    net = package.load(tmp_path / "x.prototxt")
    found = shown(net)
    assert set(found.tags) <= {"div", "p", "b", "table", "tr", "th", "td"}
    name = "<script>alert(1)</script>&\"'\\x1b[31m\\u202e"
    assert [name, "-", "1", "1", "inferred", "every H ≥ 3, W ≥ 3"][:5] == found.rows[-1][:5]
    assert found.rows[1][0] == f"→ {name}"
    assert "\x1b" not in net._repr_html_()


def test_a_table_has_an_end(tmp_path):
    count = MOST + 7
    tops = "\n".join(f'layer {{ name: "r{i}" type: "ReLU" bottom: "d" top: "r{i}" }}' for i in range(count))
    crops = "\n".join(
        f'layer {{ name: "c{i}" type: "Crop" bottom: "d" bottom: "r{i}" top: "c{i}" }}' for i in range(count)
    )
    (tmp_path / "x.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: [1, 1, 4, 4] } } }\n'
        f"{tops}\n{crops}\n"
    )
    found = shown(package.load(tmp_path / "x.prototxt"))
    assert len(found.rows) == 1 + 1 + MOST + 1 + MOST
    assert "and 7 more: netcompile offsets shows all" in found.texts


@pytest.fixture
def net():
    return package.load(*DEMO)


X = torch.linspace(-30, 30, 3 * 40 * 56).reshape(1, 3, 40, 56)


def test_nothing_else_notices(net):
    plain = load_source_of_the_demo()
    plain.load_state_dict(net.state_dict())
    assert repr(net) == repr(plain)
    assert list(net.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in net.named_modules()] == [name for name, _ in plain.named_modules()]
    assert "_repr_html_" not in nn.Module.__dict__
    assert plain._repr_html_() is None  # nobody told it anything, and IPython falls back on its text
    assert net.conv1_1.__class__ is nn.Conv2d


def load_source_of_the_demo():
    from netcompile.analyser import analyse
    from netcompile.compiler import compile_net
    from netcompile.prototxt.recognise import open_source
    from netcompile.zoo.find import find_definition

    return load_source(compile_net(analyse(open_source(find_definition(DEMO[0]))), 1)).eval()


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_show_the_same(net, copied):
    text = net._repr_html_()
    other = copied(net)
    assert other._repr_html_() == text
    with torch.inference_mode():
        assert torch.equal(other(X), net(X))


def test_torch_save_keeps_it(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    assert torch.load(file, weights_only=False)._repr_html_() == net._repr_html_()


def test_another_process_shows_the_same(net, tmp_path):
    (tmp_path / "net").write_bytes(pickle.dumps(net))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))._repr_html_(), end='')"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "net"], capture_output=True, text=True, check=True)
    assert done.stdout == net._repr_html_()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torch_takes_the_module_as_ever(net):
    with torch.inference_mode():
        wanted = net(X)
        assert torch.equal(torch.jit.trace(net, X)(X), wanted)
        assert torch.equal(torch.jit.script(net)(X), wanted)
        assert torch.equal(torch.func.functional_call(net, dict(net.state_dict()), X), wanted)
    with torch.no_grad():
        assert torch.equal(torch.export.export(net, (X,)).module()(X), wanted)


def test_mode_and_numbers_are_those_of_the_moment(net):
    net.train()
    assert "in training mode" in net._repr_html_()
    net.score_fr = nn.Identity()
    assert "714.3 k" not in net._repr_html_()


def test_two_nets_of_one_name_have_lines_of_their_own(netcompile, tmp_path):
    """Python keeps lines by the names of files: in memory each net has one of its own, a build's is read again."""
    whole, part = package.load(*DEMO), package.load(*DEMO, outputs=["pool3"])
    for _ in range(2):
        assert "self.conv4_1(" in inspect.getsource(type(whole).forward)
        assert "self.conv4_1(" not in inspect.getsource(type(part).forward)
    for outputs in (["--output", "pool3"], []):
        line = ("build", *DEMO[:1], "--weights", DEMO[1], "-o", tmp_path / "b", *outputs)
        assert netcompile(*line).code == 0
        source = inspect.getsource(type(package.load(tmp_path / "b")).forward)
        assert ("self.conv4_1(" in source) == (not outputs)


def test_the_source_is_at_hand(net):
    assert "def forward(self, data: Tensor) -> Tensor:" in inspect.getsource(type(net))
    assert inspect.getsource(type(net).forward).startswith("    def forward(self, data: Tensor)")
