"""The page as text: closed to the outside, complete without its script, and data that the script can trust."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from fractions import Fraction
from hashlib import sha256
from html import unescape

import pytest

from netcompile.algebra.nset import NSet
from netcompile.algebra.size import Size
from netcompile.analyser import analyse
from netcompile.compiler import compile_net
from netcompile.diagnostics.source import Source
from netcompile.prototxt.recognise import open_source
from netcompile.report.as_html import html_report, script_safe, verdict
from netcompile.report.layer_model import Report
from netcompile.report.layers import layers_report
from netcompile.report.offsets import offsets_report
from netcompile.report.page_data import fraction, generated_lines, page_data, set_, size_pieces
from netcompile.zoo.find import find_definition

FCN8S = "voc-fcn8s/val.prototxt"
HALF = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32
layer { name: "down" type: "Convolution" bottom: "data" top: "down"
  convolution_param { num_output: 1 kernel_size: 3 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "down" top: "up"
  convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }
layer { name: "cut" type: "Crop" bottom: "data" bottom: "up" top: "cut" }
"""

SEVEN = """input: "x" input_dim: 1 input_dim: 1 input_dim: 20 input_dim: 20
layer { name: "seven" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 1 kernel_size: 7 } }
"""


def analysed_of(text, **options):
    return analyse(Source(text, "net.prototxt"), **options)


def report_of(analysed):
    return Report(offsets_report(analysed), layers_report(analysed))


def page_of(analysed, **options):
    return html_report(analysed, report_of(analysed), **options)


@pytest.fixture(scope="module")
def fcn8s():
    return analyse(open_source(find_definition(FCN8S)))


@pytest.fixture(scope="module")
def page(fcn8s):
    return page_of(fcn8s)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_is_closed_to_the_outside(fcn8s, page):
    assert page_of(fcn8s) == page
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    parts = (
        re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1],
        re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1],
    )
    style, script = (b64encode(sha256(part.encode()).digest()).decode() for part in parts)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'"
    )
    assert len(page.encode()) < 500_000
    assert "prefers-color-scheme: dark" in parts[0]
    assert not re.search(r"<link|<img|<iframe|@import|url\((?!#)|style=|\son\w+=", page.replace(parts[1], ""))
    assert set(re.findall(r"https?://[^\s\"'`]*", page)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("sink", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch("])
def test_the_script_makes_no_markup_of_text(page, sink):
    assert sink not in re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]


def test_without_its_script_the_page_shows_offsets_and_formulas(page):
    text = page.split('<script type="application/json"')[0]
    assert "Why score has to start at 31" in text
    assert "⌈(H+6)/32⌉" in text
    assert text.count('class="chip ok"') == 3
    assert "All 3 crops start where alignment needs them to." in text
    assert "Each of the 3 crops is legal for every H and W." in text


def test_the_data_of_the_last_crop(page):
    data = data_of(page)
    crop = data["crops"][-1]
    assert crop["layer"] == "score"
    assert crop["maps"] == [[[[1, 1], [-31, 1]]] * 2, [[[1, 1], [0, 1]]] * 2]
    assert crop["needed"] == [[31, 1], [31, 1]]
    assert crop["used"] == crop["declared"] == [31, 31]
    assert [data["values"][v]["blob"] for v in crop["bottoms"]] == ["upscore8", "data"]
    assert data["padding"] == [[100, "conv1_1"], [100, "conv1_1"]]
    assert data["extents"] == [500, 500]


def test_layers_know_their_lines_in_both_sources(fcn8s, page):
    data = data_of(page)
    prototxt, module = data["source"].split("\n"), data["module"].split("\n")
    for layer in data["layers"]:
        first, last = layer["lines"]
        assert f'name: "{layer["name"]}"' in "\n".join(prototxt[first - 1 : last])
        assert prototxt[first - 1].startswith("layer {")
        assert prototxt[last - 1] == "}"
    conv = next(layer for layer in data["layers"] if layer["name"] == "conv3_2")
    assert [module[first - 1].split("(")[0].strip() for first, _ in conv["code"]] == [
        "conv3_2 = F.relu",
        "self.conv3_2 = nn.Conv2d",
    ]
    assert all(layer["code"] for layer in data["layers"] if layer["type"] not in ("Python", "Dropout"))


def test_lines_of_shared_and_repeated_layers(repository):
    """Two layers of one name: each has its own line; the parameters' line goes to the first."""
    text = """
    input: "x" input_dim: 1 input_dim: 2 input_dim: 9 input_dim: 9
    layer { name: "same" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 2 kernel_size: 3 } }
    layer { name: "same" type: "ReLU" bottom: "a" top: "b" }
    """
    analysed = analysed_of(text)
    module = compile_net(analysed, 1)
    found = generated_lines(module)
    lines = module.source.split("\n")
    assert [lines[first - 1].strip().split("  #")[0] for first, _ in found["same", 0]] == [
        "b: Tensor = F.relu(self.same(x))",
        "self.same = nn.Conv2d(2, 2, kernel_size=3)",
    ]
    assert found["same", 1] == found["same", 0][:1]


def test_lines_of_a_layer_that_became_part_of_another():
    text = """
    input: "x" input_dim: 1 input_dim: 2 input_dim: 9 input_dim: 9
    layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" }
    layer { name: "s" type: "Scale" bottom: "y" top: "z" }
    """
    module = compile_net(analysed_of(text), 1)
    found = generated_lines(module)
    lines = module.source.split("\n")
    assert [lines[first - 1].strip().split("  #")[0] for first, _ in found["s", 0]] == [
        "z: Tensor = self.n(x)",
        "self.n = nn.BatchNorm2d(2, momentum=0.001)",
    ]
    assert found["n", 0] == found["s", 0]


def test_lines_of_layers_within_blocks():
    part = """
    layer { name: "u<i>_conv" type: "Convolution" bottom: "<b>" top: "c<i>"
            convolution_param { num_output: 2 kernel_size: 1 } }
    layer { name: "u<i>_bn" type: "BatchNorm" bottom: "c<i>" top: "n<i>" }
    layer { name: "u<i>_scale" type: "Scale" bottom: "n<i>" top: "n<i>" }
    layer { name: "u<i>_tanh" type: "TanH" bottom: "n<i>" top: "t<i>" }
    layer { name: "u<i>_slope" type: "PReLU" bottom: "t<i>" top: "p<i>" }
    layer { name: "u<i>_sum" type: "Eltwise" bottom: "p<i>" bottom: "<b>" top: "<o>" }
    """
    text = 'input: "x0" input_dim: 1 input_dim: 2 input_dim: 9 input_dim: 9'
    for i in range(6):
        text += part.replace("<i>", str(i)).replace("<b>", f"x{i}").replace("<o>", f"x{i + 1}")
    text += 'layer { name: "conv" type: "Convolution" bottom: "x6" top: "y" '
    text += "convolution_param { num_output: 1 kernel_size: 1 } }"
    module = compile_net(analysed_of(text), 1, style="blocks")
    assert module.style == "blocks"
    found, lines = generated_lines(module), module.source.split("\n")
    first = 'class Residual(nn.Module):\n    """u0, u1, u2 and 3 more."""'
    assert first in module.source
    for i in range(6):
        told = {
            name: [lines[line - 1].strip() for line, _ in found[f"u{i}_{name}", 0]] for name in ("conv", "bn", "slope")
        }
        assert told["conv"][0] == told["bn"][0]
        assert told["conv"][0].startswith("conv = torch.tanh(")
        assert told["conv"][1:] == ["self.conv = nn.Conv2d(2, 2, kernel_size=1)"]
        assert told["slope"][1:] == ["self.slope = nn.PReLU(2)"]
    assert [lines[line - 1].strip() for line, _ in found["conv", 0]] == [
        "y: Tensor = self.conv(x6)",
        "self.conv = nn.Conv2d(2, 1, kernel_size=1)",
    ]


def test_a_net_that_is_refused_still_has_its_page():
    text = page_of(analysed_of(HALF))
    assert "1 of 1 crops is not aligned: cut (line 7)." in text
    assert "There is none: crop &#39;cut&#39;: " in text
    crop = data_of(text)["crops"][0]
    assert (crop["status"], crop["used"], crop["needed"]) == ("noninteger", None, [[-1, 2], [-1, 2]])
    assert data_of(text)["module"] is None


def test_a_crop_of_the_width_alone():
    text = """
    input: "a" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 40
    input: "b" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 30
    layer { name: "cut" type: "Crop" bottom: "a" bottom: "b" top: "cut" crop_param { axis: 3 offset: 4 } }
    """
    crop = data_of(page_of(analysed_of(text)))["crops"][0]
    assert crop["used"] == crop["declared"] == [None, 4]
    assert crop["maps"] is None


def test_a_net_without_layers_or_height_and_width():
    text = page_of(analysed_of('input: "x" input_shape { dim: 2 dim: 3 }'))
    assert "The net has no crop layers." in text
    assert data_of(text)["extents"] is None


def test_sizes_as_pieces():
    n = Size.variable("H")
    assert size_pieces(n) == [[1, 1, 0, 0, 1, 0]]
    shrinks = (n - 3).where_positive()
    assert size_pieces(shrinks)[0] == [1]
    assert size_pieces(shrinks)[1][0] == 4


def test_sets_as_lists():
    assert set_(NSet.all()) == [[], 1, 1, [[0, 1]]]
    assert set_(NSet.of([5, 6, 9])) == [[[5, 7], [9, 10]], 10, 1, []]
    assert set_(NSet.congruent(3, 32) & NSet.between(10)) == [[], 4, 32, [[3, 4]]]
    assert set_(NSet.of(range(1, 20000, 2))) is None


def test_fractions_are_exact():
    assert fraction(Fraction(-183, 2)) == [-183, 2]


def test_json_cannot_leave_its_element():
    text = script_safe({"a": "</script><!--<script>&\u2028"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"a": "</script><!--<script>&\u2028"}


@pytest.mark.parametrize(
    ("crop", "status", "sentence"),
    [
        ("crop_param { offset: 2 }", "ok", "The crop starts where alignment needs it to."),
        ("", "ok", "The crop starts where alignment needs it to, by an offset that the file does not declare."),
        ("crop_param { offset: 3 }", "mismatch", "1 of 1 crops is not aligned: cut (line 4)."),
    ],
)
def test_the_verdict(crop, status, sentence):
    text = """input: "x" input_dim: 1 input_dim: 1 input_dim: 20 input_dim: 20
    layer { name: "big" type: "Convolution" bottom: "x" top: "big"
      convolution_param { num_output: 1 kernel_size: 5 pad: 4 } }
    layer { name: "cut" type: "Crop" bottom: "big" bottom: "x" top: "cut" %s }"""
    report = offsets_report(analysed_of(text % crop))
    assert verdict(report) == (status, sentence)


def test_page_data_is_small(fcn8s):
    data = page_data(fcn8s, report_of(fcn8s), None)
    assert len(script_safe(data)) < 60_000


def test_products_name_the_height_first():
    """A product's sizes are kept in a set, whose order is another in each run of Python."""
    layers = [f'layer {{ name: "p{k}" type: "Pooling" bottom: "x" top: "p{k}" pooling_param {{ kernel_size: {k} }} }}'
              f'layer {{ name: "f{k}" type: "Flatten" bottom: "p{k}" top: "f{k}" }}' for k in range(2, 12)]  # fmt: skip
    analysed = analysed_of('input: "x" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 20\n' + "\n".join(layers))
    data = page_data(analysed, report_of(analysed), None)
    products = [dim["terms"] for value in data["values"] for dim in value["dims"] if isinstance(dim, dict)]
    axes = [[data["sizes"][place][2] for (place,) in places] for ((_, places),) in products]
    assert axes == [[0, 1]] * 10


def test_the_proof_in_sentences(page):
    text = unescape(page)
    assert "'upscore8' is 32⌈(H+6)/32⌉ + 56 high; the window leaves 31 before it and " in text
    least = "At the smallest legal input, H = 1: 88 = 31 + 1 + 56 (before + window + after)."
    assert f" after it, from 31 to 62. {least} Its width likewise." in text


def test_what_refuses_the_sizes_that_are_not_legal():
    assert "<li>H = 6 is refused by &#39;seven&#39; (net.prototxt:2): " in page_of(analysed_of(SEVEN))


@pytest.mark.parametrize("path", ["/home/somebody/nets/fcn/val.prototxt", "C:\\Users\\somebody\\fcn\\val.prototxt"])
def test_no_path_of_the_machine_is_in_the_page(path):
    """Neither where the net is refused, nor where sizes are: of the file's path the last two parts."""
    for text in (HALF, SEVEN):
        page = page_of(analyse(Source(text, path)))
        assert "somebody" not in page
        assert "fcn/val.prototxt, phase TEST" in page


def test_folds_are_ranges_of_layers_that_repeat():
    data = data_of(page_of(analyse(open_source(find_definition("resnet-50/deploy.prototxt")))))
    names = [layer["name"] for layer in data["layers"]]
    found = [(name, word, count, names[first], names[last]) for name, word, count, first, last, _ in data["folds"]]
    assert found[0] == ("res2a", "ProjectedBottleneck", 1, "res2a_branch1", "res2a_relu")
    assert found[1] == ("res2b … res2c", "Bottleneck", 2, "res2b_branch2a", "res2c_relu")
    assert [fold[0] for fold in data["folds"][1][5]] == ["res2b", "res2c"]
    ends = [end for fold in data["folds"] for end in fold[3:5]]
    assert ends == sorted(ends)


def test_folds_do_not_depend_on_how_the_module_is_written(fcn8s):
    analysed = analyse(open_source(find_definition("squeezenet-v1.1/deploy.prototxt")))
    pages = [page_of(analysed, module=compile_net(analysed, level)) for level in (0, 1)]
    assert [fold[0] for fold in data_of(pages[0])["folds"]] == [f"fire{number}" for number in range(2, 10)]
    assert data_of(pages[0])["folds"] == data_of(pages[1])["folds"]
    assert data_of(page_of(fcn8s))["folds"] == []
