"""Crop offsets: verified, resolved, refused; for every net of the FCN family and of the corpus."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from netcompile.analyser import analyse
from netcompile.analysis.assume import settle
from netcompile.analysis.crops import CropReport, resolve
from netcompile.analysis.shapes import infer
from netcompile.diagnostics.diagnostic import NetError
from netcompile.diagnostics.source import Source
from netcompile.ir.build import Options, build
from netcompile.prototxt.load import load_net
from netcompile.prototxt.recognise import open_source
from tests.conftest import REPOSITORY

FAMILY = {
    "voc-fcn32s": [19],
    "voc-fcn16s": [5, 27],
    "voc-fcn8s": [5, 9, 31],
    "voc-fcn8s-atonce": [5, 9, 31],
    "voc-fcn-alexnet": [18],
    "nyud-fcn32s-color": [19],
    "nyud-fcn32s-hha": [19],
    "nyud-fcn32s-color-d": [19],
    "nyud-fcn32s-color-hha": [19],
    "siftflow-fcn32s": [19, 19],
    "siftflow-fcn16s": [5, 5, 27, 27],
    "siftflow-fcn8s": [5, 9, 5, 9, 31, 31],
    "pascalcontext-fcn32s": [19],
    "pascalcontext-fcn16s": [5, 27],
    "pascalcontext-fcn8s": [5, 9, 31],
    "shapes-fcn8s": [5, 9, 31],
}
BUNDLED = sorted(
    path for path in REPOSITORY.glob("prototxt/*/*.prototxt") if path.stem != "solver" and path.parent.name in FAMILY
)


def label(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", BUNDLED, ids=label)
def test_the_family_is_aligned_for_every_size(path: Path) -> None:
    net = analyse(open_source(path)).require()
    assert [r.status for r in net.reports] == ["ok"] * len(net.reports)
    assert sorted(r.used[0] for r in net.reports if r.used) == sorted(FAMILY[path.parent.name])
    assert all(heights.is_all and widths.is_all for heights, widths in (r.valid for r in net.reports))
    assert all(sizes.is_all for sizes in net.valid)
    assert not net.crops.coordinates.conflicts


def test_every_family_is_bundled() -> None:
    assert {path.parent.name for path in BUNDLED} == set(FAMILY)


def check_wrong(found: tuple[CropReport, ...], index: int, right: CropReport, wrong: int) -> None:
    """One crop's offset is wrong, the others' are not, and the right one is named."""
    assert [r.status for r in found] == ["mismatch" if i == index else "ok" for i in range(len(found))]
    assert found[index].inferred == right.inferred
    assert found[index].used == (wrong, wrong)


@pytest.mark.parametrize("path", [p for p in BUNDLED if p.stem in ("val", "test", "deploy")], ids=label)
def test_every_wrong_offset_is_found_and_the_right_one_named(path: Path) -> None:
    """Some from the text on; all in the graph, which differs by nothing else."""
    source = open_source(path)
    net = analyse(source)
    graph = settle(build(load_net(source).net).graph).graph
    for index, report in enumerate(net.crops.reports):
        assert report.inferred is not None
        span = report.node.message.get("crop_param").span_of("offset")
        (at,) = (i for i, node in enumerate(graph.nodes) if node.message.span == report.node.message.span)
        for delta in (*range(-64, 0), *range(1, 65)):
            wrong = report.inferred[0] + delta
            if wrong < 0:
                continue  # the schema itself refuses it
            node = replace(graph.nodes[at], layer=replace(graph.nodes[at].layer, declared=(int(wrong),)))
            changed = graph.replace(nodes=(*graph.nodes[:at], node, *graph.nodes[at + 1 :]))
            check_wrong(resolve(changed, net.shapes).reports, index, report, wrong)
            if delta in (-64, -5, -1, 1, 2, 64):
                text = source.text[: span.start] + str(wrong) + source.text[span.end :]
                found = analyse(Source(text, source.name))
                assert found.graph.nodes[at].layer == replace(node.layer, offsets=(wrong, wrong))
                check_wrong(found.crops.reports, index, report, wrong)


def test_a_wrong_offset_is_told_at_its_place() -> None:
    source = open_source(REPOSITORY / "prototxt/voc-fcn8s/deploy.prototxt")
    net = analyse(Source(source.text.replace("offset: 31", "offset: 34"), "voc-fcn8s/deploy.prototxt"))
    (finding,) = net.crops.findings()
    assert finding.span is not None
    at = f"{finding.span.line}:{finding.span.column}"
    line = finding.span.source.line(finding.span.line)
    assert line.strip() == "offset: 34"
    caret = " " * (len(line) - len("34")) + "^^"
    conv = net.graph.nodes[0].message.span
    assert finding.format() == (
        f"voc-fcn8s/deploy.prototxt:{at}: error[crop-offset]: crop 'score' starts at 34, alignment needs 31\n"
        f"  {finding.span.line} | {line}\n"
        f"      | {caret}\n"
        "  why: data → upscore8 has stride 1 and offset -31 "
        f"(conv1_1 pad 100 at {conv.line}:{conv.column})\n"
        "  fix: offset: 31"
    )


@pytest.fixture
def undeclared(shared: Path) -> dict[str, list[list[object]]]:
    return json.loads((shared / "truth" / "undeclared-crops.json").read_text())  # type: ignore[no-any-return]


def test_undeclared_crops_of_the_corpus(shared: Path, undeclared: dict[str, list[list[object]]]) -> None:
    statuses: Counter[str] = Counter()
    for file, crops in undeclared.items():
        reports = analyse(open_source(shared / "corpus" / file)).crops.reports
        found = [(r.node.name, [b.blob for b in r.node.bottoms], str(r.inferred and r.inferred[0])) for r in reports]
        assert found == [tuple(crop) for crop in crops], file
        statuses.update(r.status for r in reports)
        for report in reports:
            assert (report.used is None) == (report.status != "inferred"), (file, report.node.name)
    assert statuses == {"inferred": 47, "noninteger": 11, "stride-mismatch": 4}


def crop_net(crop: str, kernel: int = 4) -> str:
    return f"""
    layer {{ name: "in" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 20 dim: 24 }} }} }}
    layer {{ name: "c" type: "Convolution" bottom: "data" top: "c"
             convolution_param {{ num_output: 2 kernel_size: 3 pad: 5 stride: 2 }} }}
    layer {{ name: "up" type: "Deconvolution" bottom: "c" top: "up"
             convolution_param {{ num_output: 2 kernel_size: {kernel} stride: 2 }} }}
    layer {{ name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "out" {crop} }}
    """


@pytest.mark.parametrize(
    ("crop", "kernel", "mode", "round_crops", "expected"),
    [
        ("", 3, "auto", False, ("inferred", (5, 5))),
        ("", 3, "declared", False, ("mismatch", (0, 0))),
        ("crop_param { }", 3, "auto", False, ("mismatch", (0, 0))),
        ("crop_param { offset: 5 }", 3, "auto", False, ("ok", (5, 5))),
        ("crop_param { offset: 5 offset: 4 }", 3, "auto", False, ("mismatch", (5, 4))),
        ("crop_param { offset: 5 offset: 4 }", 3, "inferred", False, ("mismatch", (5, 5))),
        ("crop_param { axis: 3 offset: 5 }", 3, "auto", False, ("mismatch", (5,))),
        ("crop_param { axis: 1 offset: 0 offset: 5 offset: 5 }", 3, "auto", False, ("ok", (0, 5, 5))),
        ("", 4, "auto", False, ("noninteger", None)),
        ("", 4, "auto", True, ("noninteger", (5, 5))),
        ("crop_param { offset: 5 }", 4, "auto", False, ("noninteger", (5, 5))),
    ],
)
def test_which_offset_is_used(
    crop: str, kernel: int, mode: str, round_crops: bool, expected: tuple[str, tuple[int, ...] | None]
) -> None:
    net = analyse(Source(crop_net(crop, kernel)), Options(), mode, round_crops)
    (report,) = net.crops.reports
    assert (report.status, report.used) == expected


def test_a_half_pixel_names_its_layer() -> None:
    net = analyse(Source(crop_net("", 4), "net.prototxt"))
    with pytest.raises(NetError) as refused:
        net.require()
    (problem,) = refused.value.diagnostics
    assert problem.code == "crop-half-pixel"
    assert problem.what == (
        "crop 'crop': 'data' in 'up' starts 11/2 pixels in, which is no whole number; "
        "fractions come from 'up' (-3/2, at 5:5)"
    )


def test_too_little_pad_is_refused() -> None:
    text = (
        crop_net("", 3)
        .replace("pad: 5", "pad: 0")
        .replace("kernel_size: 3 stride: 2", "kernel_size: 3 pad: 1 stride: 2")
    )
    net = analyse(Source(text))
    (report,) = net.crops.reports
    assert (report.status, report.used, report.inferred) == ("negative", None, (Fraction(-1), Fraction(-1)))


def test_blobs_without_a_common_ancestor_read_as_caffe_reads_them() -> None:
    text = """
    layer { name: "in" type: "Input" top: "a" top: "b"
            input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } shape { dim: 1 dim: 1 dim: 6 dim: 5 } } }
    layer { name: "crop" type: "Crop" bottom: "a" bottom: "b" top: "out" }
    """
    (report,) = analyse(Source(text)).require().crops.reports
    assert (report.status, report.used) == ("undefined", (0, 0))


def test_paths_that_disagree_are_a_conflict() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
    layer { name: "p" type: "Convolution" bottom: "x" top: "p"
            convolution_param { num_output: 1 kernel_size: 3 pad: 1 } }
    layer { name: "q" type: "Convolution" bottom: "x" top: "q"
            convolution_param { num_output: 1 kernel_size: 4 pad: 3 } }
    layer { name: "q2" type: "Convolution" bottom: "q" top: "r" convolution_param { num_output: 1 kernel_size: 4 } }
    layer { name: "sum" type: "Eltwise" bottom: "p" bottom: "r" top: "s" }
    """
    net = analyse(Source(text)).require()
    assert not net.crops.coordinates.conflicts  # 4 and 4 with pad 3 make up for each other
    (conflict,) = analyse(Source(text.replace("pad: 3", "pad: 2"))).crops.coordinates.conflicts
    assert (conflict.node.name, [str(m[0].offset) for m in conflict.maps]) == ("sum", ["0", "1"])


@pytest.mark.parametrize(
    "name", ["fcn8s-narrow", "fcn32s-narrow", "crop-one-offset", "pool-max-pad-clip", "deconv-dilation"]
)
def test_the_proof_against_brute_force(name: str) -> None:
    """For every size: the analysis says legal exactly where shape inference finds nothing to refuse."""
    path = REPOSITORY / "tests" / "conformance" / name / "net.prototxt"
    net = analyse(open_source(path))
    heights, widths = net.valid
    first = net.graph.inputs[0]
    for n in (*range(1, 70), 127, 128, 500, 1001):
        for axis, legal in ((2, heights), (3, widths)):
            shape = list(first.shape)
            shape[axis] = n
            graph = net.graph.replace(
                inputs=tuple(
                    type(e)(
                        e.value, tuple(shape) if e.value in net.symbolic.spatial else e.shape, True, e.message, e.layer
                    )
                    for e in net.graph.inputs
                )
            )
            shapes, problems = infer(graph)
            problems += resolve(graph, shapes).problems()
            assert (not problems) == (n in legal), (n, axis)
            if not problems:
                for value, symbolic in net.symbolic.shapes.items():
                    assert symbolic is not None
                    for dim, extent in zip(symbolic, shapes[value], strict=True):
                        at = dim if isinstance(dim, int) else dim.at(n)
                        if isinstance(dim, int) or dim.name == "HW"[axis - 2]:
                            assert at == extent, (value, n)
