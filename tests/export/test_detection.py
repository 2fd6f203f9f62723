"""Detection and region pooling: what stands in for the emitted loops computes the same, in PyTorch and as ONNX."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netcompile.cli.main import entry
from netcompile.diagnostics.diagnostic import NetError
from netcompile.export.onnx_file import PACKAGES, write_onnx
from tests.conftest import CONFORMANCE_FORKS, conformance_case
from tests.export.nets import Built, built, conformance

with_onnx = pytest.mark.skipif(any(find_spec(name) is None for name in PACKAGES), reason="ONNX is not installed")

PRIORS, CLASSES = 16, 3
INPUTS = f"""
layer {{ name: "l" type: "Input" top: "loc" input_param {{ shape {{ dim: 2 dim: {4 * PRIORS} }} }} }}
layer {{ name: "e" type: "Input" top: "each" input_param {{ shape {{ dim: 2 dim: {4 * PRIORS * CLASSES} }} }} }}
layer {{ name: "c" type: "Input" top: "conf" input_param {{ shape {{ dim: 2 dim: {PRIORS * CLASSES} }} }} }}
layer {{ name: "p" type: "Input" top: "prior" input_param {{ shape {{ dim: 1 dim: 2 dim: {4 * PRIORS} }} }} }}
"""
SSD = "nms_param { nms_threshold: 0.45 top_k: 400 } code_type: CENTER_SIZE keep_top_k: 200 confidence_threshold: 0.01"
SETTINGS = [
    SSD,
    "code_type: CORNER nms_param { nms_threshold: 0 }",
    "code_type: CORNER_SIZE nms_param { nms_threshold: 1.5 top_k: 7 } keep_top_k: 5",
    "code_type: CENTER_SIZE variance_encoded_in_target: true keep_top_k: 3 background_label_id: 2",
    "code_type: CENTER_SIZE nms_param { top_k: 0 eta: 0.5 nms_threshold: 0.4 } confidence_threshold: 0.3",
    "code_type: CENTER_SIZE confidence_threshold: 0.97",
    "keep_top_k: 0",
    "share_location: false background_label_id: -1 code_type: CENTER_SIZE keep_top_k: 20",
]


# Where a limit cuts between equal scores, SSD's own choice is that of an unstable sort, which ONNX has no operator for.
CUT = [f"d{index}" for index, settings in enumerate(SETTINGS) if "keep_top_k" in settings]
DRAWN = [(seed, tied) for seed in range(6) for tied in (False, True)]


def head(settings: str, top: str) -> str:
    location = "each" if "share_location: false" in settings else "loc"
    return (
        f'layer {{ name: "{top}" type: "DetectionOutput" bottom: "{location}" bottom: "conf" bottom: "prior" '
        f'top: "{top}" detection_output_param {{ num_classes: {CLASSES} {settings} }} }}\n'
    )


def feed(seed: int, tied: bool = True) -> dict[str, np.ndarray]:
    """Boxes that overlap, some turned inside out, and scores of two digits if `tied`, so that many are equal."""
    random = np.random.RandomState(seed)
    shapes = {"loc": 4 * PRIORS, "each": 4 * PRIORS * CLASSES}
    arrays = {name: random.normal(0, 0.6, (2, count)) for name, count in shapes.items()}
    arrays["conf"] = random.uniform(0, 1, (2, PRIORS * CLASSES)).round(2 if tied else 9)
    low = random.uniform(0, 0.6, (PRIORS, 2))
    boxes = np.concatenate((low, low + random.uniform(-0.05, 0.4, (PRIORS, 2))), axis=1)
    arrays["prior"] = np.stack((boxes.ravel(), np.full(4 * PRIORS, 0.1)))[None]
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def heads() -> Built:
    return built(INPUTS + "".join(head(text, f"d{i}") for i, text in enumerate(SETTINGS)))


@with_onnx
def test_stand_in_equals_the_emitted_loop(heads: Built) -> None:
    from netcompile.export.stand_ins import standing_in

    _, module, made = heads
    shapes = set()
    for seed, tied in DRAWN:
        inputs = [torch.from_numpy(feed(seed, tied)[value.blob]) for value in module.inputs]
        wanted = made(*inputs)
        with standing_in(module, made):
            found = made(*inputs)
        for blob, rows in wanted.items():
            assert torch.equal(found[blob], rows) or (tied and blob in CUT), (seed, blob)
            shapes.add((blob, tuple(rows.shape)))
    assert len(shapes) > 2 * len(SETTINGS)  # how many rows there are differs


@pytest.mark.long
@with_onnx
def test_onnx_runtime_gives_the_same_rows_in_the_same_order(heads: Built, tmp_path: Path) -> None:
    import onnxruntime

    _, module, made = heads
    write_onnx(*heads, str(tmp_path / "heads.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "heads.onnx")
    for seed, tied in DRAWN:
        arrays = feed(seed, tied)
        wanted = made(*(torch.from_numpy(arrays[value.blob]) for value in module.inputs))
        for blob, found in zip(module.outputs, session.run(list(module.outputs), arrays), strict=True):
            assert found.shape == tuple(wanted[blob].shape), (seed, blob)
            if not (tied and blob in CUT):
                np.testing.assert_allclose(found, wanted[blob].numpy(), rtol=1e-6, atol=1e-6)


@with_onnx
def test_what_onnx_cannot_do_is_refused_where_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(INPUTS + head("nms_param { nms_threshold: 0.6 eta: 0.9 }", "rows"))
    assert entry(["build", str(net), "--onnx", "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert (
        "net.prototxt:6:179: error[export]: layer 'rows': ONNX's NonMaxSuppression has one threshold, this one "
        "falls by eta 0.9 with every box kept\n"
    ) in err
    assert "fix: --output loc --output conf --output prior ends the net before this layer\n" in err
    assert not (tmp_path / "out").exists()


FORKS: dict[str, tuple[str, ...]] = {
    "priorbox-clip-offset": ("every H >= 1", "every W >= 1"),
    "frcnn-tail": ("every H >= 1", "every W >= 1"),
    "psroi-halves": ("every H >= 1", "every W >= 1"),
    "bn-segnet-two-tops": ("every H >= 1", "every W >= 1"),
    "permute-one": ("every H >= 1", "every W >= 1"),
    "unpooling-ave-overlap": ("every H >= 1", "every W >= 1"),
}


@with_onnx
@pytest.mark.parametrize("case", FORKS)
def test_forks_own_numbers(case: str, tmp_path: Path) -> None:
    """ONNX Runtime against what the fork's code computed."""
    import onnxruntime

    given = conformance_case(CONFORMANCE_FORKS / case)
    made = conformance(given.folder)
    exported = write_onnx(*made, str(tmp_path / "net.onnx"))
    assert tuple(axis.describe() for axis in exported.signature.axes) == FORKS[case]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    expected, outputs = given.arrays("expected"), made[1].outputs
    for blob, found in zip(outputs, session.run(list(outputs), given.arrays("inputs")), strict=True):
        wanted = expected[f"blob:{blob}"]
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-4 * max(1e-3, np.abs(wanted).max())


@with_onnx
def test_segnet_at_odd_sizes(tmp_path: Path) -> None:
    """Pools that round up make masks of a plane that the decoder's is larger than."""
    import onnxruntime

    case = conformance_case(CONFORMANCE_FORKS / "segnet-encdec")
    _, module, made = net = conformance(case.folder)
    exported = write_onnx(*net, str(tmp_path / "net.onnx"))
    assert [axis.describe() for axis in exported.signature.axes] == ["H ≡ 0, 3 (mod 4)", "W ≡ 0, 3 (mod 4)"]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (labels,) = session.run(list(module.outputs), case.arrays("inputs"))
    assert (labels == case.arrays("expected")["blob:am"]).all()
    for seed, (height, width) in enumerate([(3, 7), (19, 23), (31, 8), (35, 51)]):
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            wanted = made(x)
        (found,) = session.run(list(module.outputs), {"data": x.numpy()})
        assert found.shape == tuple(wanted.shape) == (2, 1, (height + 1) // 2 * 2, (width + 1) // 2 * 2)
        assert (found == wanted.numpy()).all()


@with_onnx
def test_a_loop_over_numbers_is_refused_where_it_stands() -> None:
    with pytest.raises(NetError) as caught:
        write_onnx(*conformance(CONFORMANCE_FORKS / "crf-net"), "nowhere.onnx")
    (finding,) = caught.value.diagnostics
    assert finding.code == "export"
    assert finding.span is not None
    assert finding.what == "layer 'x': mean-field inference cannot be exported"
    assert finding.remedy == "--output c --output data ends the net before this layer"


@with_onnx
def test_a_decision_by_size_ties_the_file_to_the_declared_one(tmp_path: Path) -> None:
    exported = write_onnx(*conformance(CONFORMANCE_FORKS / "resample-linear-odd"), str(tmp_path / "net.onnx"))
    (limit,) = exported.limits
    assert (limit.code, limit.severity) == ("export", "warning")
    assert limit.span is not None
    assert [axis.describe() for axis in exported.signature.axes] == ["only H = 6", "only W = 8"]


@with_onnx
def test_the_file_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    net = tmp_path / "net.prototxt"
    net.write_text(
        'name: "little one" layer { name: "data" type: "ImageData" top: "data" top: "label" '
        'transform_param { mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 } image_data_param { source: "x" '
        'batch_size: 1 } } layer { name: "r" type: "ReLU" bottom: "data" top: "mean" }'
    )
    (tmp_path / "classes.txt").write_text("sky\nsea\nÉté\n", encoding="utf-8")
    options = ["--input", "data=1x3x8x9", "--onnx", "--opset", "18", "-o", str(tmp_path / "out")]
    options += ["--classes", str(tmp_path / "classes.txt")]
    assert entry(["build", str(net), *options]) == 0
    assert capsys.readouterr().err == ""
    model = onnx.load(tmp_path / "out" / "little_one.onnx")
    kept: dict[str, Any] = {entry.key: entry.value for entry in model.metadata_props}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    version = manifest["tool"]
    assert manifest["classes"] == ["sky", "sea", "Été"]
    assert kept == {
        "net": "little one",
        "netcompile": version,
        "mean": "104,117,123",
        "scale": "0.5",
        "order": "bgr",
        "classes": '["sky", "sea", "Été"]',
    }
    assert (model.producer_name, model.producer_version, model.graph.name) == ("netcompile", version, "little one")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--onnx", "--opset", "11"],
            "error[usage]: --opset 11: files are written in operator sets 18 to 23\n"
            "  why: torch knows no operators older than those of set 18\n  fix: --opset 18\n",
        ),
        (
            ["--onnx", "--opset", "99"],
            "error[usage]: --opset 99: files are written in operator sets 18 to 23\n"
            "  why: the newest that torch writes and ONNX Runtime runs is 23\n  fix: --opset 23\n",
        ),
        (["--opset", "18"], "error[usage]: --opset is about the ONNX file\n  fix: --onnx writes one\n"),
    ],
)
def test_opset_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert entry(["build", "shapes-fcn8s/deploy.prototxt", *options, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == message
